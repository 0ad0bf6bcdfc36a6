"""A raw recording played to clients: its very bytes, its time, and the book that unmodified ccxt.pro makes of it."""

import asyncio
import gzip
import json
from pathlib import Path

import aiohttp
import ccxt.pro
import pytest

from core.errors import DataError
from core.units import MINUTE_MS
from exchanges.simulated.recording import merged, read_lines
from exchanges.simulated.recording_server import serve_recording
from tests.sim.conftest import OPTIONS, point

WAIT_S = 60
BEGIN_NS = 1_723_161_253_000_000_000
SNAPSHOT = '{"lastUpdateId":9,"bids":[["10.00000000","1.0"],["9.00000000","2.0"]],"asks":[["11.00","3.00"]]}'


def diff(first, last, bids=(), asks=(), at=0):
    body = {"e": "depthUpdate", "E": at, "s": "XBTUSDT", "U": first, "u": last, "b": list(bids), "a": list(asks)}
    return "xbtusdt@depth@100ms", json.dumps(body)


def trade(number, price, at, maker=False):
    # Odd spacing on purpose: what was recorded is what is sent.
    return (
        "xbtusdt@trade",
        f'{{"e":"trade",  "E":{at},"t":{number},"p":"{price}","q":"0.5","T":{at},"m":{str(maker).lower()}}}',
    )


AT = 1_723_161_254_000 // MINUTE_MS * MINUTE_MS
MESSAGES = [
    diff(5, 8, at=AT + 100),
    # Newer than the snapshot, which took its time.
    diff(9, 10, [["10.00000000", "0"]], at=AT + 200),
    SNAPSHOT,
    trade(1, "10.5", AT + 250),
    trade(2, "10.75", AT + 300, maker=True),
    diff(11, 12, asks=[["11.00", "4.00"]], at=AT + 400),
    trade(3, "9.5", AT + MINUTE_MS),
]


def text_of(message, number):
    stamp = BEGIN_NS + number * 50_000_000
    return (
        f"{stamp} {message}" if isinstance(message, str) else f'{stamp} {{"stream":"{message[0]}","data":{message[1]}}}'
    )


@pytest.fixture
def recording(tmp_path) -> Path:
    path = tmp_path / "xbt.gz"
    with gzip.open(path, "wt") as file:
        file.write("\n".join(text_of(m, n) for n, m in enumerate(MESSAGES)) + "\n")
    return path


async def received(socket, count):
    async with asyncio.timeout(WAIT_S):
        return [await socket.receive_str() for _ in range(count)]


async def test_what_was_recorded_is_what_is_sent_byte_for_byte(recording):
    server = await serve_recording([recording], speed=100.0)
    wanted = [m for m in MESSAGES if isinstance(m, tuple)]
    try:
        async with aiohttp.ClientSession(server.url) as http:
            streams = "xbtusdt@trade/xbtusdt@depth@100ms"
            # Nothing is sent before somebody listens, and both are there from the beginning.
            async with http.ws_connect(f"{server.stream_url}") as combined, http.ws_connect("/ws") as raw:
                ask = {"method": "SUBSCRIBE", "params": ["xbtusdt@trade"], "id": 1}
                server.replay.hub.heard.clear()
                async with server.replay.lock:
                    await raw.send_json(ask)
                    await combined.send_json({**ask, "params": streams.split("/")})
                    await asyncio.sleep(0.05)
                assert json.loads((await received(raw, 1))[0]) == {"result": None, "id": 1}
                assert json.loads((await received(combined, 1))[0]) == {"result": None, "id": 1}
                assert await received(combined, 6) == [f'{{"stream":"{s}","data":{d}}}' for s, d in wanted]
                assert await received(raw, 3) == [d for s, d in wanted if s.endswith("trade")]
            await asyncio.wait_for(server.finished(), WAIT_S)
            async with http.get("/sim/state") as answer:
                state = await answer.json()
            assert (state["sent"], state["ended"], state["symbols"]) == (6, True, ["XBT/USDT"])
    finally:
        await server.close()


async def ask(http, path):
    async with http.get(f"/api/v3/{path}") as answer:
        return answer.status, await answer.text()


async def test_rest_tells_the_recordings_time_its_book_and_bars_of_its_trades(recording):
    server = await serve_recording([recording], speed=50.0)
    try:
        async with aiohttp.ClientSession(server.url) as http:
            async with http.ws_connect("/ws/xbtusdt@trade") as socket:
                assert (await ask(http, "depth?symbol=XBTUSDT&limit=1000"))[0] == 200
                await received(socket, 3)
            await asyncio.wait_for(server.finished(), WAIT_S)
            assert json.loads((await ask(http, "time"))[1]) == {"serverTime": AT + MINUTE_MS}
            book = json.loads((await ask(http, "depth?symbol=XBTUSDT"))[1])
            assert book == {"lastUpdateId": 12, "bids": [["9.00000000", "2.0"]], "asks": [["11.00", "4.00"]]}
            rows = json.loads((await ask(http, "klines?symbol=XBTUSDT&interval=1m"))[1])
            assert rows[0][:6] == [AT, "10.50000000", "10.75000000", "10.50000000", "10.75000000", "1.00000000"]
            assert rows[0][6:] == [AT + MINUTE_MS - 1, "10.62500000", 2, "0.50000000", "5.25000000", "0"]
            assert len(rows) == 2
            info = json.loads((await ask(http, "exchangeInfo"))[1])
            assert [s["symbol"] for s in info["symbols"]] == ["XBTUSDT"]
            for path, code in (
                ("depth?symbol=NO", -1121),
                ("depth", -1102),
                ("klines?symbol=XBTUSDT&interval=2m", -1120),
            ):
                status, body = await ask(http, path)
                assert (status, json.loads(body)["code"]) == (400, code)
    finally:
        await server.close()


async def test_a_snapshot_is_served_as_it_was_recorded_until_the_book_moves(recording):
    market = None
    for line in read_lines(recording):
        if market is None:
            server = await serve_recording([recording], speed=1.0)
            market = server.replay.markets["xbtusdt"]
        market.take(line)
        if not line.stream:
            assert (market.depth(1_000), market.last_id) == (SNAPSHOT, 10)
            assert json.loads(market.depth(1))["bids"] == [["9.00000000", "2.0"]]
    assert market.depth(1_000) != SNAPSHOT
    await server.close()


async def test_after_a_hole_there_is_no_book(recording):
    server = await serve_recording([recording], speed=1.0)
    market = server.replay.markets["xbtusdt"]
    for line in merged([recording]):
        market.take(line)
    hole = next(line for line in read_lines(recording) if line.stream.endswith("100ms"))
    market.take(type(hole)(hole.at_ns, hole.symbol, hole.stream, diff(14, 15)[1]))
    assert market.last_id == 0
    await server.close()


@pytest.mark.parametrize("broken", ["nonsense", "12 {", '12 {"stream":"a@b","data":{}', 'x {"stream":"a@b","data":{}}'])
def test_a_line_that_is_none_is_named(tmp_path, broken):
    path = tmp_path / "broken.txt"
    path.write_text(text_of(MESSAGES[0], 0) + "\n" + broken + "\n")
    with pytest.raises(DataError, match=r"broken\.txt:2: not a recorded message"):
        list(read_lines(path))
    with pytest.raises(DataError, match="cannot be read"):
        list(read_lines(tmp_path / "absent.gz"))


async def test_a_file_without_messages_or_of_an_unknown_market_is_refused(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(DataError, match="no messages"):
        await serve_recording([tmp_path / "empty.txt"])
    (tmp_path / "odd.txt").write_text(text_of(("odd@trade", "{}"), 0))
    with pytest.raises(DataError, match="'odd' ends in no quote coin"):
        await serve_recording([tmp_path / "odd.txt"])


async def watch(client):
    while True:
        await client.watch_order_book("BTC/USDT")


@pytest.mark.shared
async def test_ccxt_pro_builds_the_recorded_book(shared_data):
    """Two files of ten minutes of Bitcoin: at the end ccxt's book is the one of all recorded changes."""
    folder = shared_data / "binance_raw_ws_2024-08-08"
    paths = [folder / "btcusdt_20240808.gz", folder / "btcusdt_20240809.gz"]
    server = await serve_recording(paths, speed=100.0)
    client = ccxt.pro.binance({"options": OPTIONS})

    class Pointed:
        url, stream_url, ws_api_url = server.url, server.stream_url, server.url

    point(client, Pointed)
    try:
        await client.load_markets()
        watching = asyncio.create_task(watch(client))
        await asyncio.wait_for(server.finished(), WAIT_S)
        market = server.replay.markets["btcusdt"]
        async with asyncio.timeout(WAIT_S):
            while client.orderbooks["BTC/USDT"]["nonce"] != market.last_id:
                await asyncio.sleep(0.05)
        watching.cancel()
        book = client.orderbooks["BTC/USDT"]
        assert book["nonce"] == market.last_id
        wanted = json.loads(market.depth(100))
        for side in ("bids", "asks"):
            assert [row[:2] for row in book[side][:100]] == [[float(p), float(q)] for p, q in wanted[side]]
        assert server.replay.sent == 99_573
        bars = await client.fetch_ohlcv("BTC/USDT", "1m")
        assert [b[0] for b in bars] == list(range(bars[0][0], bars[0][0] + len(bars) * MINUTE_MS, MINUTE_MS))
    finally:
        await client.close()
        await server.close()


def test_a_file_that_is_no_recording_is_not_quoted(tmp_path):
    path = tmp_path / "passwords.txt"
    path.write_text("root:secret:0:0\n")
    with pytest.raises(DataError, match=r"passwords.txt:1: not a recorded message") as fault:
        list(read_lines(path))
    assert "secret" not in str(fault.value)
