"""Market data calls of the simulated Binance: rules, time, bars, book, prices."""

from itertools import islice

from aiohttp import web

from exchanges.simulated.binance.day import MINI, NO_TOP
from exchanges.simulated.binance.klines import INTERVALS
from exchanges.simulated.binance.market_payloads import (
    agg_trade_row,
    book_ticker_row,
    execution_rules,
    kline_row,
    symbol_row,
    trade_row_public,
)
from exchanges.simulated.binance.payloads import amount, rounded, symbol_of
from exchanges.simulated.binance.rest import WALLET, Ask, Security, endpoint
from exchanges.simulated.price_range import BUCKET_MS, BUCKETS
from exchanges.simulated.refusals import VenueRefusal, bad_combination


async def ping(ask: Ask) -> dict:
    return {}


async def time(ask: Ask) -> dict:
    return {"serverTime": ask.state.exchange.now_ms}


async def exchange_info(ask: Ask) -> dict:
    exchange = ask.state.exchange
    return {
        "timezone": "UTC",
        "serverTime": exchange.now_ms,
        "rateLimits": ask.state.budget.stated(),
        "exchangeFilters": [],
        "symbols": [symbol_row(exchange.filters[row], ask.status(row), exchange.limits) for row in ask.rows()],
    }


async def execution_rules_of(ask: Ask) -> dict:
    exchange = ask.state.exchange
    return {"symbolRules": [execution_rules(exchange.instruments[row], exchange.limits) for row in ask.rows()]}


async def reference_price(ask: Ask) -> dict:
    row, exchange = ask.row(), ask.state.exchange
    value = exchange.reference_price(row)
    price = None if value is None else f"{value:.8f}"
    return {"symbol": symbol_of(exchange.instruments[row]), "referencePrice": price, "timestamp": exchange.now_ms}


async def reference_price_calculation(ask: Ask) -> dict:
    row, exchange = ask.row(), ask.state.exchange
    exchange.reference_price(row)
    mean = {"calculationType": "ARITHMETIC_MEAN", "bucketCount": BUCKETS, "bucketWidthMs": BUCKET_MS}
    return {"symbol": symbol_of(exchange.instruments[row])} | mean


async def klines(ask: Ask) -> list:
    row, interval = ask.row(), ask.text("interval")
    if interval not in (*INTERVALS, "1s"):
        raise VenueRefusal(-1120, "Invalid interval.")
    if ask.params.get("timeZone", "0") not in ("0", "+0", "00:00", "+00:00"):
        raise VenueRefusal(-1000, "The simulator serves klines of time zone 0 only.")
    limit = ask.integer("limit", 500, most=1_000)
    now, source = ask.state.exchange.now_ms, ask.state.klines
    end, start = min(ask.integer("endTime", now), now), ask.optional_integer("startTime")
    if start is not None:
        # An end before the start is no fault at the venue: nothing lies between.
        return [kline_row(found) for found in islice(source.since(row, interval, start, end, now), limit)]
    return [kline_row(found) for found in islice(source.until(row, interval, end, now), limit)][::-1]


async def depth(ask: Ask) -> dict:
    row = ask.row()
    answer = ask.state.snapshot(row, ask.integer("limit", 100, most=5_000))
    await ask.state.hub.flush()
    return answer


async def book_ticker(ask: Ask) -> object:
    exchange = ask.state.exchange
    rows = [book_ticker_row(symbol_of(exchange.instruments[r]), exchange.top(r) or NO_TOP) for r in ask.rows()]
    return rows[0] if ask.params.get("symbol") else rows


async def price(ask: Ask) -> object:
    exchange = ask.state.exchange
    rows = [
        {"symbol": symbol_of(exchange.instruments[r]), "price": amount(ask.state.days.last_price(r))}
        for r in ask.rows()
    ]
    return rows[0] if ask.params.get("symbol") else rows


async def average_price(ask: Ask) -> dict:
    row, exchange = ask.row(), ask.state.exchange
    minutes = exchange.limits.average_minutes
    value = exchange.market.average_price(row, exchange.now_ms, minutes)
    return {"mins": minutes, "price": rounded(value or 0.0), "closeTime": exchange.now_ms}


async def day_ticker(ask: Ask) -> object:
    kind = ask.params.get("type", "FULL")
    if kind not in ("FULL", "MINI"):
        raise VenueRefusal(-1139, "Invalid ticker type.")
    rows = [ask.state.days.row(symbol_of(ask.state.exchange.instruments[row]), row) for row in ask.rows()]
    if kind == "MINI":
        rows = [{name: row[name] for name in MINI} for row in rows]
    return rows[0] if ask.params.get("symbol") else rows


async def trades(ask: Ask) -> list:
    """The newest trades."""
    row = ask.row()
    found = ask.state.prints.newest(row, ask.state.exchange.now_ms, ask.integer("limit", 500, most=1_000))
    return [trade_row_public(trade) for trade in found]


async def historical_trades(ask: Ask) -> list:
    """Trades from a number on, or the newest ones."""
    first = ask.optional_integer("fromId")
    if first is None:
        return await trades(ask)
    row, limit = ask.row(), ask.integer("limit", 500, most=1_000)
    return [trade_row_public(t) for t in ask.state.prints.numbered(row, first, ask.state.exchange.now_ms, limit)]


async def agg_trades(ask: Ask) -> list:
    """The same trades, by number, by time, or the newest; each is a group of its own."""
    row, limit = ask.row(), ask.integer("limit", 500, most=1_000)
    now, prints = ask.state.exchange.now_ms, ask.state.prints
    first, start = ask.optional_integer("fromId"), ask.optional_integer("startTime")
    end = min(ask.integer("endTime", now), now)
    if first is not None:
        if start is not None or "endTime" in ask.params:
            raise bad_combination()
        found = prints.numbered(row, first, now, limit)
    elif start is not None:
        found = prints.since(row, start, end, limit)
    else:
        found = prints.newest(row, end, limit)
    return [agg_trade_row(trade) for trade in found]


async def system_status(ask: Ask) -> dict:
    """Whether the venue is being mended; the wallet API's call."""
    return {"status": 0, "msg": "normal"}


ROUTES: list[web.RouteDef] = [
    endpoint("GET", path, Security.NONE, call)
    for path, call in (
        ("ping", ping),
        ("time", time),
        ("exchangeInfo", exchange_info),
        ("executionRules", execution_rules_of),
        ("referencePrice", reference_price),
        ("referencePrice/calculation", reference_price_calculation),
        ("klines", klines),
        # For charts: the venue may smooth what it shows there. Here they are the same.
        ("uiKlines", klines),
        ("depth", depth),
        ("ticker/bookTicker", book_ticker),
        ("ticker/price", price),
        ("ticker/24hr", day_ticker),
        ("avgPrice", average_price),
        ("trades", trades),
        ("historicalTrades", historical_trades),
        ("aggTrades", agg_trades),
    )
]
ROUTES.append(endpoint("GET", "system/status", Security.NONE, system_status, WALLET))
