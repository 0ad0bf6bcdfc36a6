"""The simulated Upbit looks on the wire as the real one does: its numbers, and how it refuses what is written wrongly."""

import json
from collections.abc import Iterator
from decimal import Decimal

import aiohttp
import pytest

from core.grid import upbit_tick
from core.units import DAY_MS, MINUTE_MS, to_decimal
from exchanges.simulated.server import serve_exchange
from exchanges.simulated.upbit.market import UpbitExchange
from exchanges.simulated.upbit.walk import krw_walk_tape
from tests.sim.upbit.conftest import AT_ONCE, KEY, MONEY, SECRET, START, UNHURRIED

MARKETS = ("BTC/KRW", "DOGE/KRW", "USDT/KRW")
BEGIN = START + 60 * MINUTE_MS


@pytest.fixture
async def market():
    """In the middle of a minute."""
    exchange = UpbitExchange(krw_walk_tape(MARKETS, START, 180, seed=5), MONEY, BEGIN, AT_ONCE)
    running = await serve_exchange(exchange, credentials={KEY: SECRET}, venue="upbit", allowance=UNHURRIED)
    async with running.state.lock:
        await running.state.advance(BEGIN + 17_350)
    yield running
    await running.close()


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


def numbers(value, inside="") -> Iterator[tuple[str, float]]:
    """(path, number) of every JSON number."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from numbers(part, f"{inside}.{name}")
    elif isinstance(value, list):
        for part in value:
            yield from numbers(part, inside)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield inside, value


def decimals(value: float) -> int:
    return max(0, -int(to_decimal(value).normalize().as_tuple().exponent))


def check_forms(answer, symbol: str) -> int:
    """No number has more decimals than the venue's, and prices lie on the grid of their height."""
    seen = 0
    for path, value in numbers(answer):
        seen += 1
        name = path.rpartition(".")[2]
        most = 10 if "rate" in name else 5 if name.endswith(("acc_trade_price", "acc_trade_price_24h")) else 8
        assert decimals(value) <= most, (path, value)
        if name.endswith("_price") and "acc_" not in name and value:
            tick = upbit_tick(symbol, abs(value)) if "change" not in name else upbit_tick(symbol, START_OF[symbol])
            assert to_decimal(value) % tick == 0, (path, value)
    return seen


START_OF = {"BTC/KRW": 150_000_000.0, "DOGE/KRW": 350.0, "USDT/KRW": 1_450.0}


async def test_every_number_of_every_public_answer_has_the_venues_form(market, http):
    calls = (
        "candles/minutes/1?count=60",
        "candles/minutes/5?count=5",
        "candles/minutes/240",
        "candles/seconds?count=9",
    )
    calls += ("candles/weeks", "candles/months?count=2", "candles/years")
    calls += ("candles/days?count=2&converting_price_unit=KRW", "trades/ticks?count=30", "ticker", "orderbook")
    for symbol in MARKETS:
        code = "-".join(reversed(symbol.split("/")))
        for call in calls:
            path, _, more = call.partition("?")
            named = "markets" if path in ("ticker", "orderbook") else "market"
            async with http.get(f"{market.url}/v1/{path}?{named}={code}&{more}".rstrip("&")) as answer:
                assert answer.status == 200, await answer.text()
                assert check_forms(await answer.json(), symbol) > 0


async def test_every_number_of_every_frame_has_the_venues_form(market, http):
    kinds = ("ticker", "trade", "orderbook", "candle.1s", "candle.1m", "candle.5m")
    asked = [{"ticket": "t"}, *({"type": kind, "codes": ["KRW-DOGE"]} for kind in kinds)]
    seen = set()
    async with http.ws_connect(f"{market.url}/websocket/v1") as socket:
        await socket.send_json(asked)
        while len(seen) < 2 * len(kinds):
            frame = json.loads((await socket.receive(timeout=5)).data)
            check_forms(frame, "DOGE/KRW")
            seen.add((frame["type"], frame["stream_type"]))
            if len(seen) == len(kinds):
                async with market.state.lock:
                    await market.state.advance(BEGIN + 3 * MINUTE_MS)


TYPE = "Type mismatch error. Check the parameters type!"
RANGE = "Invalid parameter. Check the given value!"
MISSING = "Missing request parameter error. Check the required parameters!"
UNKNOWN = "Code not found"


@pytest.mark.parametrize(
    ("asked", "status", "text"),
    [
        ("candles/minutes/1?market=KRW-BTC&count=abc", 400, TYPE),
        ("candles/minutes/1?market=KRW-BTC&count=1.5", 400, TYPE),
        ("candles/minutes/1?market=KRW-BTC&count=%D9%A3", 400, TYPE),
        ("candles/minutes/1?market=KRW-BTC&count=-1", 400, RANGE),
        ("candles/minutes/1?market=KRW-BTC&count=0", 400, RANGE),
        ("candles/minutes/1?market=KRW-BTC&to=yesterday", 400, RANGE),
        ("candles/minutes/1?market=KRW-BTC&to=2026-13-01T00:00:00Z", 400, RANGE),
        ("candles/minutes/1?market=KRW-BTC&to=1767225600", 400, RANGE),
        # A plus that was not encoded, of which the venue's questions and answers warn.
        ("candles/minutes/1?market=KRW-BTC&to=2026-01-01T09:00:00+09:00", 400, RANGE),
        ("candles/minutes/1", 400, MISSING),
        ("candles/minutes/1?market=", 400, MISSING),
        ("candles/minutes/1?market=KRW-LUNA", 404, UNKNOWN),
        ("candles/minutes/1?market=BTC/KRW", 404, UNKNOWN),
        ("candles/minutes/1?market=KRW-BTC,KRW-DOGE", 404, UNKNOWN),
        ("candles/minutes/1?market=KRW-BTC%00", 404, UNKNOWN),
        ("candles/minutes/7?market=KRW-BTC", 400, RANGE),
        ("candles/minutes/-1?market=KRW-BTC", 400, RANGE),
        ("candles/minutes/x?market=KRW-BTC", 400, TYPE),
        ("candles/days?market=KRW-BTC&converting_price_unit=EUR", 400, RANGE),
        ("candles/seconds?market=KRW-BTC&count=abc", 400, TYPE),
        ("trades/ticks?market=KRW-BTC&count=abc", 400, TYPE),
        ("trades/ticks?market=KRW-BTC&days_ago=x", 400, TYPE),
        ("trades/ticks?market=KRW-BTC&days_ago=8", 400, RANGE),
        ("trades/ticks?market=KRW-BTC&to=250000", 400, RANGE),
        ("trades/ticks?market=KRW-BTC&cursor=x", 400, TYPE),
        ("orderbook?markets=KRW-BTC&count=abc", 400, TYPE),
        ("orderbook", 400, MISSING),
        ("orderbook?markets=KRW-BTC,KRW-LUNA", 404, UNKNOWN),
        ("ticker?markets=KRW-LUNA", 404, UNKNOWN),
        ("ticker?markets=,", 400, MISSING),
        ("ticker/all", 400, MISSING),
        ("orderbook/instruments?markets=KRW-LUNA", 404, UNKNOWN),
    ],
)
async def test_a_request_that_is_written_wrongly_is_refused_as_at_the_venue(market, http, asked, status, text):
    async with http.get(f"{market.url}/v1/{asked}") as answer:
        assert (answer.status, await answer.json()) == (status, {"error": {"name": status, "message": text}})
        assert answer.headers["Remaining-Req"].startswith("group=")


async def test_what_the_venue_takes_is_taken(market, http):
    async def ask(asked):
        async with http.get(f"{market.url}/v1/{asked}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    # More than the most is cut (ccxt asks for 500), and small letters are as good as capital ones.
    assert 50 < len(await ask("candles/minutes/1?market=KRW-BTC&count=999")) <= 61
    assert (await ask("ticker?markets=krw-btc,KRW-DOGE"))[0]["market"] == "KRW-BTC"
    assert len((await ask("orderbook?markets=KRW-BTC&count=50"))[0]["orderbook_units"]) <= 30
    times = ("2026-01-01T00:30:00Z", "2026-01-01%2000:30:00", "2026-01-01T09:30:00%2B09:00", "2026-01-01T00:30:00")
    found = [await ask(f"candles/minutes/1?market=KRW-BTC&count=2&to={to}") for to in times]
    assert all(rows == found[0] for rows in found)
    days = await ask("candles/days?market=KRW-BTC&count=5&converting_price_unit=KRW")
    week, month, year = [(await ask(f"candles/{p}?market=KRW-BTC&count=3"))[0] for p in ("weeks", "months", "years")]
    assert [p["first_day_of_period"] for p in (week, month, year)] == ["2025-12-29", "2026-01-01", "2026-01-01"]
    assert week["candle_acc_trade_volume"] == days[0]["candle_acc_trade_volume"]
    minutes = await ask("candles/minutes/1?market=KRW-BTC&count=200")
    assert [day["candle_date_time_utc"][11:] for day in days] == ["00:00:00"]
    assert days[0]["candle_acc_trade_volume"] == pytest.approx(sum(m["candle_acc_trade_volume"] for m in minutes))
    assert days[0]["converted_trade_price"] == days[0]["trade_price"] == minutes[0]["trade_price"]
    assert BEGIN % DAY_MS == 60 * MINUTE_MS
    assert Decimal(str(days[0]["change_price"])) == to_decimal(days[0]["trade_price"]) - to_decimal(
        days[0]["prev_closing_price"]
    )
