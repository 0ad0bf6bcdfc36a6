"""Market data calls of the simulated Upbit: markets, candles, trades, tickers, books, price steps."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import zip_longest

from aiohttp import web

from core.units import DAY_MS
from exchanges.simulated.orders import ZERO
from exchanges.simulated.upbit.errors import UpbitRefusal, missing_parameter, no_such_code, out_of_range, type_mismatch
from exchanges.simulated.upbit.market import tick_of
from exchanges.simulated.upbit.payloads import candle_row, change, code_of, exact, market_row, trade_row, utc
from exchanges.simulated.upbit.rest import Ask, endpoint
from exchanges.simulated.upbit.subscriptions import CANDLE_MINUTES

MOST_CANDLES = 200
MOST_TRADES = 500
MOST_UNITS = 30
LEVELS = ["0"]
"""Price units a book may be asked in: here none is joined."""
FOREVER_MS = 253_402_300_799_000
MOMENT = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?"
"""The forms of time that the documents show. A plus that was not encoded arrives as a blank, and is refused as they warn."""


async def markets(ask: Ask) -> list:
    details = "true" in (ask.text("is_details"), ask.text("isDetails"))
    return [market_row(i, details) for i in ask.state.exchange.instruments]


def _row(ask: Ask) -> tuple[str, int]:
    """(code, row) of the mandatory ``market``."""
    # The quotation calls take small letters too.
    code = ask.text("market").upper()
    if not code:
        raise missing_parameter()
    if code not in ask.state.codes:
        raise no_such_code()
    return code, ask.state.codes[code]


def _rows(ask: Ask) -> list[tuple[str, int]]:
    codes = [code.upper() for code in ask.many("markets")]
    if not codes:
        raise missing_parameter()
    if any(code not in ask.state.codes for code in codes):
        raise no_such_code()
    return [(code, ask.state.codes[code]) for code in codes]


def before(ask: Ask) -> int:
    """``to``, exclusive, as epoch ms; without a zone it is UTC."""
    text = ask.text("to")
    if not text:
        return FOREVER_MS
    if not re.fullmatch(MOMENT, text):
        raise out_of_range()
    try:
        at = datetime.fromisoformat(text)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise out_of_range() from None


async def minute_candles(ask: Ask, unit: int) -> list:
    (code, row), now = _row(ask), ask.state.exchange.now_ms
    count = ask.count(1, MOST_CANDLES)
    return [candle_row(code, c, unit) for c in ask.state.trades.candles(row, unit, count, before(ask), now)]


async def day_candles(ask: Ask) -> list:
    """Days of the venue, which begin at 09:00 in Seoul: midnight UTC. What a price is in won is told of won markets only."""
    (code, row), now = _row(ask), ask.state.exchange.now_ms
    unit = ask.text("converting_price_unit")
    if unit not in ("", "KRW"):
        raise out_of_range()
    wanted = ask.count(1, MOST_CANDLES)
    found = ask.state.trades.periods(row, _day_of, wanted + 1, before(ask), now)
    rows = []
    for (_, candle), past in zip_longest(found[:wanted], found[1 : wanted + 1]):
        closed_at = candle.open if past is None else past[1].close
        moved = change(candle.close, closed_at)
        told = {
            "prev_closing_price": closed_at,
            "change_price": moved["signed_change_price"],
            "change_rate": moved["signed_change_rate"],
        }
        if unit:
            told["converted_trade_price"] = candle.close if code.startswith("KRW-") else None
        rows.append(candle_row(code, candle, None) | told)
    return rows


def _day_of(ms: int) -> int:
    return ms - ms % DAY_MS


def _week_of(ms: int) -> int:
    """Weeks begin on Mondays; 1970 began on a Thursday."""
    return ms - (ms - 4 * DAY_MS) % (7 * DAY_MS)


def _month_of(ms: int) -> int:
    at = datetime.fromtimestamp(ms // 1_000, UTC)
    return int(datetime(at.year, at.month, 1, tzinfo=UTC).timestamp()) * 1_000


def _year_of(ms: int) -> int:
    return int(datetime(datetime.fromtimestamp(ms // 1_000, UTC).year, 1, 1, tzinfo=UTC).timestamp()) * 1_000


def _period(path: str, opens: Callable[[int], int]) -> web.RouteDef:
    """Candles of weeks, months and years, each with the day it begins on."""

    async def call(ask: Ask) -> list:
        (code, row), now = _row(ask), ask.state.exchange.now_ms
        found = ask.state.trades.periods(row, opens, ask.count(1, MOST_CANDLES), before(ask), now)
        return [candle_row(code, candle, None) | {"first_day_of_period": utc(at)[:10]} for at, candle in found]

    return endpoint("GET", f"candles/{path}", "candle", call)


async def second_candles(ask: Ask) -> list:
    (code, row), now = _row(ask), ask.state.exchange.now_ms
    count = ask.count(1, MOST_CANDLES)
    return [candle_row(code, c, None) for c in ask.state.trades.seconds(row, count, before(ask), now)]


async def recent_trades(ask: Ask) -> list:
    """The newest trades, newest first. ``to`` is a time of day in UTC (HHmmss), of ``days_ago`` 1 to 7; ``cursor`` a
    sequential_id that all answered ones are below."""
    (code, row), exchange = _row(ask), ask.state.exchange
    upto, cursor = exchange.now_ms, ask.text("cursor")
    if ask.text("days_ago") or ask.text("to"):
        upto = _time_of_day(ask, upto)
    if cursor:
        if not re.fullmatch("[0-9]{1,20}", cursor):
            raise type_mismatch()
        upto = min(upto, (int(cursor) - 1) // 1_000)
    found = ask.state.trades.newest(row, upto, ask.count(1, MOST_TRADES))
    closed_at = ask.state.tickers.closed_at(row)
    return [trade_row(code, trade, closed_at) for trade in found]


def _time_of_day(ask: Ask, now: int) -> int:
    ago, text = ask.text("days_ago") or "0", ask.text("to").replace(":", "") or "235959"
    if not re.fullmatch("-?[0-9]{1,9}", ago):
        raise type_mismatch()
    if not 0 <= int(ago) <= 7 or not re.fullmatch("([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]", text):
        raise out_of_range()
    seconds = int(text[:2]) * 3_600 + int(text[2:4]) * 60 + int(text[4:])
    return min(now, now - now % DAY_MS - int(ago) * DAY_MS + seconds * 1_000 - (1 if ask.text("to") else -999))


async def tickers(ask: Ask) -> list:
    found = [ask.state.tickers.row(row) for _, row in _rows(ask)]
    return [row for row in found if row is not None]


async def all_tickers(ask: Ask) -> list:
    quotes = ask.many("quote_currencies")
    if not quotes:
        raise missing_parameter()
    rows = [row for row, i in enumerate(ask.state.exchange.instruments) if i.quote in quotes]
    return [found for row in rows if (found := ask.state.tickers.row(row)) is not None]


async def books(ask: Ask) -> list:
    now, count = ask.state.exchange.now_ms, ask.count(MOST_UNITS, MOST_UNITS)
    level = ask.text("level") or "0"
    if not re.fullmatch(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?", level):
        raise type_mismatch()
    if float(level) != 0:
        raise out_of_range()
    return [{"market": code, "timestamp": now, **ask.state.book(row, count), "level": 0} for code, row in _rows(ask)]


async def supported_levels(ask: Ask) -> list:
    """Which ``level`` a book may be asked with: the call that ``orderbook/instruments`` took the place of."""
    return [{"market": code, "supported_levels": LEVELS} for code, _ in _rows(ask)]


async def instruments(ask: Ask) -> list:
    """The price step in force at the price of the moment."""
    exchange, found = ask.state.exchange, []
    for code, row in _rows(ask):
        newest = ask.state.trades.newest(row, exchange.now_ms)
        price = newest[0].price if newest else ZERO
        found.append(
            {
                "market": code_of(exchange.instruments[row]),
                "quote_currency": code.partition("-")[0],
                "tick_size": exact(tick_of(exchange, row, price)),
                "supported_levels": LEVELS,
            }
        )
    return found


def _minutes(unit: int) -> web.RouteDef:
    async def call(ask: Ask) -> list:
        return await minute_candles(ask, unit)

    return endpoint("GET", f"candles/minutes/{unit}", "candle", call)


def _no_minutes(pattern: str, refusal: Callable[[], UpbitRefusal]) -> web.RouteDef:
    """A ``unit`` that there is not. Its refusal is not published: here the documents' two for wrong parameters, by
    whether it is a number at all."""

    async def call(ask: Ask) -> list:
        raise refusal()

    return endpoint("GET", f"candles/minutes/{{unit:{pattern}}}", "candle", call)


ROUTES: list[web.RouteDef] = [
    endpoint("GET", "market/all", "market", markets),
    *(_minutes(unit) for unit in CANDLE_MINUTES),
    _no_minutes("-?[0-9]+", out_of_range),
    _no_minutes("[^/]+", type_mismatch),
    endpoint("GET", "candles/days", "candle", day_candles),
    _period("weeks", _week_of),
    _period("months", _month_of),
    _period("years", _year_of),
    endpoint("GET", "candles/seconds", "candle", second_candles),
    endpoint("GET", "trades/ticks", "trade", recent_trades),
    endpoint("GET", "ticker", "ticker", tickers),
    endpoint("GET", "ticker/all", "ticker", all_tickers),
    endpoint("GET", "orderbook", "orderbook", books),
    endpoint("GET", "orderbook/instruments", "orderbook", instruments),
    endpoint("GET", "orderbook/supported_levels", "orderbook", supported_levels),
]
