"""Market data calls of the simulated Binance: rules, time, bars, book, prices."""

from aiohttp import web

from core.messages import Bar
from core.units import MINUTE_MS
from exchanges.simulated.binance.market_payloads import (
    agg_trade_row,
    book_ticker_row,
    execution_rules,
    kline_row,
    symbol_row,
    trade_row_public,
)
from exchanges.simulated.binance.payloads import number, symbol_of
from exchanges.simulated.binance.rest import Ask, Security, endpoint
from exchanges.simulated.events import BookTop
from exchanges.simulated.exchange import TRADING
from exchanges.simulated.orders import ZERO
from exchanges.simulated.price_range import BUCKET_MS, BUCKETS
from exchanges.simulated.refusals import VenueRefusal

DAY_MINUTES = 1_440


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
        "symbols": [symbol_row(exchange.filters[row], _status(ask, row), exchange.limits) for row in ask.rows()],
    }


def _status(ask: Ask, row: int) -> str:
    exchange = ask.state.exchange
    stated = exchange.status[row]
    if stated != TRADING:
        return stated
    return exchange.rules[row].status if exchange.trading(row) else "BREAK"


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
    row = ask.row()
    if ask.text("interval") != "1m":
        raise VenueRefusal(-1120, "Invalid interval.")
    limit = ask.integer("limit", 500, most=1_000)
    exchange = ask.state.exchange
    now, first = exchange.now_ms, exchange.market.start_ms
    end = min(ask.integer("endTime", now), now)
    newest = end // MINUTE_MS * MINUTE_MS
    start = ask.optional_integer("startTime")
    rows: list[list] = []
    if start is not None:
        minute = max(first, -(-start // MINUTE_MS) * MINUTE_MS)
        while minute <= newest and len(rows) < limit:
            _append(rows, exchange.market.bar(row, minute, now))
            minute += MINUTE_MS
        return rows
    minute = newest
    while minute >= first and len(rows) < limit:
        _append(rows, exchange.market.bar(row, minute, now))
        minute -= MINUTE_MS
    return rows[::-1]


def _append(rows: list[list], bar: Bar | None) -> None:
    if bar is not None:
        rows.append(kline_row(bar))


async def depth(ask: Ask) -> dict:
    row = ask.row()
    answer = ask.state.snapshot(row, ask.integer("limit", 100, most=5_000))
    await ask.state.hub.flush()
    return answer


async def book_ticker(ask: Ask) -> object:
    exchange = ask.state.exchange
    empty = BookTop(ZERO, ZERO, ZERO, ZERO)
    rows = [book_ticker_row(symbol_of(exchange.instruments[r]), exchange.top(r) or empty) for r in ask.rows()]
    return rows[0] if ask.params.get("symbol") else rows


def _last_price(ask: Ask, row: int) -> float:
    """Close of the newest bar known, running or not; 0 before the first."""
    exchange = ask.state.exchange
    minute = (exchange.now_ms - 1) // MINUTE_MS * MINUTE_MS
    while minute >= exchange.market.start_ms:
        bar = exchange.market.bar(row, minute, exchange.now_ms)
        if bar is not None:
            return bar.close
        minute -= MINUTE_MS
    return 0.0


async def price(ask: Ask) -> object:
    exchange = ask.state.exchange
    rows = [{"symbol": symbol_of(exchange.instruments[r]), "price": number(_last_price(ask, r))} for r in ask.rows()]
    return rows[0] if ask.params.get("symbol") else rows


async def average_price(ask: Ask) -> dict:
    row, exchange = ask.row(), ask.state.exchange
    minutes = exchange.limits.average_minutes
    value = exchange.market.average_price(row, exchange.now_ms, minutes)
    return {"mins": minutes, "price": number(value or 0.0), "closeTime": exchange.now_ms}


async def day_ticker(ask: Ask) -> object:
    rows = [_day(ask, row) for row in ask.rows()]
    return rows[0] if ask.params.get("symbol") else rows


def _day(ask: Ask, row: int) -> dict:
    exchange = ask.state.exchange
    now = exchange.now_ms
    newest = (now - 1) // MINUTE_MS * MINUTE_MS
    oldest = max(exchange.market.start_ms, newest - (DAY_MINUTES - 1) * MINUTE_MS)
    known = [b for m in range(oldest, newest + 1, MINUTE_MS) if (b := exchange.market.bar(row, m, now)) is not None]
    first, last = (known[0].open, known[-1].close) if known else (0.0, 0.0)
    volume = sum(b.volume for b in known)
    money = sum(b.volume * b.close for b in known)
    top = exchange.top(row) or BookTop(ZERO, ZERO, ZERO, ZERO)
    return book_ticker_row(symbol_of(exchange.instruments[row]), top) | {
        "priceChange": number(last - first),
        "priceChangePercent": f"{(last / first - 1) * 100 if first else 0.0:.3f}",
        "weightedAvgPrice": number(money / volume if volume else 0.0),
        "prevClosePrice": number(first),
        "lastPrice": number(last),
        "lastQty": number(known[-1].volume if known else 0.0),
        "openPrice": number(first),
        "highPrice": number(max((b.high for b in known), default=0.0)),
        "lowPrice": number(min((b.low for b in known), default=0.0)),
        "volume": number(volume),
        "quoteVolume": number(money),
        "openTime": oldest,
        "closeTime": now,
        "firstId": 0,
        "lastId": len(known),
        "count": len(known),
    }


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
        if start is not None or ask.params.get("endTime"):
            raise VenueRefusal(-1128, "Combination of optional parameters invalid.")
        found = prints.numbered(row, first, now, limit)
    elif start is not None:
        found = prints.since(row, start, end, limit)
    else:
        found = prints.newest(row, end, limit)
    return [agg_trade_row(trade) for trade in found]


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
