"""The venue's own documented samples and a real recording, where the folder of them is there."""

import gzip
import json
from pathlib import Path

import pytest

from config.settings import ExchangeSettings
from core.errors import DataError
from core.units import Instrument
from exchanges.binance.stream import MarketStream
from exchanges.binance.user_stream import UserStream
from exchanges.binance.wire import decode_position, decode_report
from tests.wire.test_decode import read_kline, read_top

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SAMPLES = DATA / "wire_samples" / "binance_docs_samples.json"
RECORDING = DATA / "binance_raw_ws_2024-08-08" / "btcusdt_20240808.gz"

pytestmark = pytest.mark.shared


def samples(file: str, section: str) -> list[dict]:
    rows = json.loads(SAMPLES.read_text())
    return [r["sample"] for r in rows if r["file"] == file and r["section"] == section]


def pack(value) -> bytes:
    return json.dumps(value).encode()


def test_documented_market_frames_are_read():
    (frame,) = samples("web-socket-streams.md", "Kline/Candlestick Streams for UTC")
    with pytest.raises(DataError, match="is no bar"):
        read_kline(pack(frame))  # the documented example's low is above its open
    frame["k"]["l"] = "0.0005"
    symbol, bar, final = read_kline(pack(frame))
    assert (symbol, bar.close, final) == ("BNBBTC", 0.0020, False)
    (frame,) = samples("web-socket-streams.md", "Individual Symbol Book Ticker Streams")
    assert read_top(pack(frame), 5)[1].ask == 25.3652


def test_documented_user_frames_are_read():
    (frame,) = samples("user-data-stream.md", "Order Update")
    snapshot, execution = decode_report(pack(frame["event"]), {"ETHBTC": Instrument("binance", "ETH/BTC")})
    assert (snapshot.venue_id, execution) == ("4293153", 8641984)
    (frame,) = samples("user-data-stream.md", "Account Update")
    assert decode_position(pack(frame["event"]))[0].asset == "ETH"


def test_every_documented_frame_is_taken_without_a_malformed_count():
    settings = ExchangeSettings()
    market = MarketStream(settings, [Instrument("binance", "BNB/BTC")], lambda *_: None, now_ms=lambda: 0)
    user = UserStream(settings, ("k", "s"), [Instrument("binance", "ETH/BTC")], lambda _: None, now_ms=lambda: 0)
    rows = [r["sample"] for r in json.loads(SAMPLES.read_text()) if r["file"] == "user-data-stream.md"]
    leaves = [market.take(pack(frame)) for frame in samples("web-socket-streams.md", "Server Shutdown")]
    leaves += [user.take(pack(row)) for row in rows]
    assert [leave.reason for leave in leaves if leave] == [
        "the server is shutting down",
        "the server is shutting down",
        "the venue sent eventStreamTerminated",
    ]
    assert market.faults["malformed"] == user.faults["malformed"] == 0


def test_a_real_recording_is_read_whole():
    seen = []
    btc = Instrument("binance", "BTC/USDT")
    stream = MarketStream(ExchangeSettings(), [btc], lambda *_: None, lambda _, top: seen.append(top), now_ms=lambda: 7)
    tickers = 0
    with gzip.open(RECORDING, "rt") as lines:
        for line in lines:
            frame = line.partition(" ")[2].strip()
            if "@bookTicker" in frame:
                tickers += 1
                assert stream.take(frame.encode()) is None
    assert tickers == len(seen) > 10_000
    assert stream.faults == {}
    assert all(top.bid < top.ask for top in seen)
    assert stream.tops == {btc: seen[-1]}
