"""Market data of the simulated Upbit: fields as recorded, empty minutes absent, everything told alike on every way."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.units import MINUTE_MS, Instrument
from exchanges.simulated.tape import Tape
from exchanges.simulated.upbit.market import UpbitExchange
from exchanges.simulated.upbit.payloads import utc
from tests.sim.upbit.conftest import AT_ONCE, BEGIN, START, Caller, advance, serve
from tests.sim.upbit.test_streams import Listener, of

SAMPLES = Path(__file__).resolve().parents[4] / "shared/data/wire_samples/upbit_rest_candles_2020-02-20"
EMPTY = (57, 58, 63, 64, 65)
"""Minutes of ``thin`` in which nobody trades; 58 is missing from the tape altogether."""


@pytest.fixture
async def thin(http):
    """A market that is quiet now and then."""
    rng = np.random.default_rng(3)
    close = np.round(500_000 * np.exp(np.cumsum(rng.normal(0, 1e-3, 120))) / 500) * 500
    opened = np.concatenate([[500_000.0], close[:-1]])
    bars = np.stack([opened, np.maximum(opened, close) + 1_000, np.minimum(opened, close) - 1_000, close], axis=1)
    bars = np.concatenate([bars, np.full((120, 1), 2.5)], axis=1)
    for k in EMPTY:
        bars[k] = [bars[k - 1, 3]] * 4 + [0.0]
        bars[k + 1, 0] = bars[k, 3]
    bars[:, 1], bars[:, 2] = np.maximum(bars[:, 1], bars[:, 0]), np.minimum(bars[:, 2], bars[:, 0])
    bars[58] = np.nan
    tape = Tape((Instrument("upbit", "BCH/KRW"),), START, bars[None], synthetic=True)
    server = await serve(UpbitExchange(tape, {"KRW": 10_000_000}, BEGIN, AT_ONCE))
    yield Caller(http, server.url), server
    await server.close()


@pytest.mark.shared
async def test_candles_have_the_recorded_fields(api):
    recorded = json.loads(sorted(SAMPLES.glob("*.json"))[0].read_text())[0]
    _, (ours,) = await api.get("candles/minutes/1", market="KRW-BTC")
    assert list(ours) == list(recorded)
    assert [type(v) for v in ours.values()] == [type(v) for v in recorded.values()]


@pytest.mark.shared
@pytest.mark.parametrize("coin", ["BTC", "SOL"])
async def test_recorded_minutes_come_back_as_they_were_those_without_a_trade_missing(http, shared_data, coin):
    """600 real minutes round one in which nobody traded, by REST in pages and as the last frame of each minute."""
    table = pl.read_parquet(shared_data / f"upbit_2025-09/upbit/KRW-{coin}.parquet").sort("ts")
    times = table["ts"].to_numpy()
    after_gap = int(times[1:][np.diff(times) > MINUTE_MS][0])
    start = after_gap - 300 * MINUTE_MS
    held = table.filter((pl.col("ts") >= start) & (pl.col("ts") < start + 600 * MINUTE_MS)).rows()
    assert len(held) < 600
    bars = np.full((1, 600, 5), np.nan)
    for ts, *row in held:
        bars[0, (ts - start) // MINUTE_MS] = row
    tape = Tape((Instrument("upbit", f"{coin}/KRW"),), start, bars)
    code = f"KRW-{coin}"
    server = await serve(UpbitExchange(tape, {"KRW": 1}, after_gap - 5 * MINUTE_MS, AT_ONCE))
    try:
        async with http.ws_connect(server.stream_url) as socket:
            stream = Listener(socket)
            await stream.ask(of("candle.1m", code))
            assert (await stream.next())["stream_type"] == "SNAPSHOT"
            await advance(server, after_gap + 10 * MINUTE_MS)
            last = {frame["candle_date_time_utc"]: frame for frame in await stream.rest()}
        await advance(server, tape.end_ms)
        api, found, to = Caller(http, server.url), [], {}
        while rows := (await api.get("candles/minutes/1", market=code, count="200", **to))[1]:
            found += rows
            to = {"to": rows[-1]["candle_date_time_utc"] + "Z"}
        names = ("opening_price", "high_price", "low_price", "trade_price", "candle_acc_trade_volume")
        assert [(r["candle_date_time_utc"], *(r[n] for n in names)) for r in found[::-1]] == [
            (utc(ts), *row) for ts, *row in held
        ]
        window = range(after_gap - 5 * MINUTE_MS, after_gap + 10 * MINUTE_MS, MINUTE_MS)
        told = {utc(ts): tuple(row) for ts, *row in held if ts in window}
        assert {at: tuple(frame[n] for n in names) for at, frame in last.items()} == told
        assert len(told) < len(window)
    finally:
        await server.close()


async def test_minute_candles_are_newest_first_and_to_is_exclusive(api, server):
    _, (running, *rows) = await api.get("candles/minutes/1", market="KRW-BTC", count="4")
    assert [row["candle_date_time_utc"][11:] for row in rows] == ["00:59:00", "00:58:00", "00:57:00"]
    assert running["candle_date_time_utc"] == "2026-01-01T01:00:00"  # begins now, with the trade that opened it
    assert rows[0]["candle_date_time_kst"] == "2026-01-01T09:59:00"
    for to in ("2026-01-01T00:59:00Z", "2026-01-01 00:59:00", "2026-01-01T09:59:00+09:00", "2026-01-01T00:58:30"):
        _, found = await api.get("candles/minutes/1", market="KRW-BTC", count="2", to=to)
        assert found == rows[1:]
    _, many = await api.get("candles/minutes/1", market="KRW-BTC", count="500")
    tape = server.state.exchange.market.tape
    assert len(many) == 1 + int((tape.bars[0, :60, 4] > 0).sum())  # all there is
    await advance(server, BEGIN + 30_000)
    _, (running, *_) = await api.get("candles/minutes/1", market="KRW-BTC", count="200")
    trades = list(server.state.trades.between(0, BEGIN - 1, BEGIN + 30_000))
    assert (running["opening_price"], running["trade_price"]) == (trades[0].price, trades[-1].price)
    assert (running["high_price"], running["timestamp"]) == (max(t.price for t in trades), trades[-1].at_ms)


async def test_at_most_200_candles_and_longer_ones_add_up(http):
    rng = np.random.default_rng(4)
    close = np.round(1_000 + np.cumsum(rng.integers(-2, 3, 300)))
    opened = np.concatenate([[1_000.0], close[:-1]])
    bars = np.stack([opened, np.maximum(opened, close), np.minimum(opened, close), close, np.full(300, 7.0)], axis=1)
    tape = Tape((Instrument("upbit", "XRP/KRW"),), START, bars[None], synthetic=True)
    server = await serve(UpbitExchange(tape, {"KRW": 1}, START + 300 * MINUTE_MS, AT_ONCE))
    try:
        api = Caller(http, server.url)
        _, minutes = await api.get("candles/minutes/1", market="KRW-XRP", count="500")
        assert len(minutes) == 200
        _, (five, *_) = await api.get("candles/minutes/5", market="KRW-XRP", count="2")
        parts = minutes[:5]
        assert five["unit"] == 5
        assert five["candle_date_time_utc"] == parts[-1]["candle_date_time_utc"]
        assert (five["opening_price"], five["trade_price"]) == (parts[-1]["opening_price"], parts[0]["trade_price"])
        assert five["candle_acc_trade_volume"] == 35.0
        assert five["high_price"] == max(row["high_price"] for row in parts)
    finally:
        await server.close()


async def test_a_minute_without_a_trade_has_no_row_and_no_trade(thin):
    api, server = thin
    await advance(server, START + 70 * MINUTE_MS)
    _, rows = await api.get("candles/minutes/1", market="KRW-BCH", count="16")
    found = {round((row["timestamp"] - START) // MINUTE_MS) for row in rows}
    assert not found & set(EMPTY)
    assert {int(row["candle_date_time_utc"][14:16]) + 60 * int(row["candle_date_time_utc"][11:13]) for row in rows} == (
        set(range(50, 71)) - set(EMPTY)
    )
    _, trades = await api.get("trades/ticks", market="KRW-BCH", count="500")
    assert not {(t["timestamp"] - START) // MINUTE_MS for t in trades} & set(EMPTY)
    _, seconds = await api.get("candles/seconds", market="KRW-BCH", count="200")
    assert not {int(row["candle_date_time_utc"][14:16]) for row in seconds} & {k % 60 for k in EMPTY}
    _, (five, *_) = await api.get("candles/minutes/3", market="KRW-BCH", count="1", to="2026-01-01T01:06:00Z")
    assert five["candle_date_time_utc"] == "2026-01-01T01:00:00"  # 63 to 65 are empty


async def test_trades_seconds_and_minutes_tell_the_same_bar(thin):
    api, server = thin
    await advance(server, START + 63 * MINUTE_MS)
    _, (minute,) = await api.get("candles/minutes/1", market="KRW-BCH")
    bar = server.state.exchange.market.bar(0, START + 62 * MINUTE_MS, START + 63 * MINUTE_MS)
    assert [minute[n] for n in ("opening_price", "high_price", "low_price", "trade_price")] == [
        bar.open,
        bar.high,
        bar.low,
        bar.close,
    ]
    assert minute["candle_acc_trade_volume"] == bar.volume
    _, seconds = await api.get("candles/seconds", market="KRW-BCH", count="60")
    seconds = [s for s in seconds if s["candle_date_time_utc"].startswith(minute["candle_date_time_utc"][:16])][::-1]
    assert (seconds[0]["opening_price"], seconds[-1]["trade_price"]) == (bar.open, bar.close)
    assert (max(s["high_price"] for s in seconds), min(s["low_price"] for s in seconds)) == (bar.high, bar.low)
    assert sum(s["candle_acc_trade_volume"] for s in seconds) == pytest.approx(bar.volume, abs=1e-12)
    _, trades = await api.get("trades/ticks", market="KRW-BCH", count="500")
    trades = [t for t in trades if t["timestamp"] >= START + 62 * MINUTE_MS]
    assert sum(t["trade_volume"] for t in trades) == pytest.approx(bar.volume, abs=1e-12)
    assert sum(t["trade_volume"] * t["trade_price"] for t in trades) == pytest.approx(minute["candle_acc_trade_price"])
    numbers = [t["sequential_id"] for t in trades]
    assert numbers == sorted(set(numbers), reverse=True)


async def test_older_trades_by_cursor_and_by_time_of_day(api):
    _, rows = await api.get("trades/ticks", market="KRW-BTC", count="5")
    _, more = await api.get("trades/ticks", market="KRW-BTC", count="5", cursor=str(rows[-1]["sequential_id"]))
    assert more[0]["sequential_id"] < rows[-1]["sequential_id"]
    _, (before,) = await api.get("trades/ticks", market="KRW-BTC", to="003000")
    assert before["trade_time_utc"] < "00:30:00"
    assert (await api.get("trades/ticks", market="KRW-BTC", to="noon"))[0] == 400


async def test_the_ticker_knows_the_day_and_the_last_24_hours(api, server):
    _, (row,) = await api.get("ticker", markets="KRW-BTC")
    _, candles = await api.get("candles/minutes/1", market="KRW-BTC", count="200")
    assert row["trade_price"] == candles[0]["trade_price"]
    assert row["opening_price"] == candles[-1]["opening_price"]  # since midnight UTC, when the tape began
    assert row["high_price"] == max(c["high_price"] for c in candles)
    assert row["acc_trade_volume_24h"] == pytest.approx(sum(c["candle_acc_trade_volume"] for c in candles))
    assert (row["trade_date"], row["trade_date_kst"], row["trade_time_kst"]) == ("20260101", "20260101", "100000")
    assert row["change"] == ("RISE" if row["signed_change_price"] > 0 else "FALL")
    _, rows = await api.get("ticker", markets="KRW-BTC,KRW-USDT")
    assert [r["market"] for r in rows] == ["KRW-BTC", "KRW-USDT"]
    assert len((await api.get("ticker/all", quote_currencies="KRW"))[1]) == 3


async def test_books_and_markets(api):
    _, markets = await api.get("market/all", is_details="true")
    assert [m["market"] for m in markets] == ["KRW-BTC", "KRW-DOGE", "KRW-USDT"]
    assert (markets[0]["korean_name"], markets[0]["english_name"]) == ("비트코인", "Bitcoin")
    assert markets[0]["market_event"]["warning"] is False
    _, (book,) = await api.get("orderbook", markets="KRW-BTC", count="5")
    rows = book["orderbook_units"]
    assert len(rows) == 5
    assert [r["ask_price"] for r in rows] == sorted(r["ask_price"] for r in rows)
    assert rows[0]["bid_price"] < rows[0]["ask_price"]
    assert book["total_bid_size"] > sum(r["bid_size"] for r in rows)
    _, rows = await api.get("orderbook/instruments", markets="KRW-BTC,KRW-DOGE,KRW-USDT")
    assert [r["tick_size"] for r in rows] == ["1000", "1", "0.5"]


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("candles/minutes/1", {}, 400),
        ("candles/minutes/1", {"market": "KRW-LUNA"}, 404),
        ("candles/minutes/1", {"market": "KRW-BTC", "to": "yesterday"}, 400),
        ("candles/minutes/7", {"market": "KRW-BTC"}, 400),
        ("ticker", {}, 400),
        ("orderbook", {"markets": "KRW-BTC,KRW-LUNA"}, 404),
        ("trades/ticks", {"market": ""}, 400),
    ],
)
async def test_quotation_names_errors_by_number(api, path, params, status):
    got, answer = await api.get(path, **params)
    assert (got, answer["error"]["name"]) == (status, status)


async def test_a_book_is_asked_for_in_the_price_units_that_are_told(api):
    assert await api.get("orderbook/supported_levels", markets="KRW-BTC") == (
        200,
        [{"market": "KRW-BTC", "supported_levels": ["0"]}],
    )
    assert (await api.get("orderbook", markets="KRW-BTC", level="0"))[0] == 200
    for level in ("10000", "much"):
        assert (await api.get("orderbook", markets="KRW-BTC", level=level))[0] == 400
