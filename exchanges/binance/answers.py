"""Binance spot's REST answers as structs, and from there to the core's messages.

An answer that lacks what it must have raises (``msgspec.ValidationError`` or ``DataError``); the gateway decides what
that means: after a new order it means that nobody knows.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from core.errors import DataError
from core.messages import Balance, Bar, Fill, OrderSnapshot, Top
from core.units import Instrument, MarketRules, Side
from exchanges.binance.wire import VENUE, Amount, Price, Stamp, amount, make_bar, order_side, order_state
from exchanges.book import Snapshot, is_touch


class WireFill(msgspec.Struct):
    """One execution in the answer to a new order."""

    price: str
    qty: str
    commission: str
    commissionAsset: str
    tradeId: int


class WireOrder(msgspec.Struct):
    """What place, cancel, query and open orders answer with."""

    symbol: str
    orderId: int
    clientOrderId: str
    price: str
    origQty: str
    executedQty: str
    status: str
    side: str
    origClientOrderId: str = ""
    """Only in the answer to a cancel, where ``clientOrderId`` is the cancel's own."""
    transactTime: Stamp = 0
    updateTime: Stamp = 0
    time: Stamp = 0
    fills: list[WireFill] = []


class WireTrade(msgspec.Struct):
    """One row of myTrades."""

    id: int
    orderId: int
    price: str
    qty: str
    commission: str
    commissionAsset: str
    time: Stamp
    isBuyer: bool
    isMaker: bool


class WireAsset(msgspec.Struct):
    asset: str
    free: str
    locked: str


class WireRates(msgspec.Struct):
    maker: str
    taker: str


class WireAccount(msgspec.Struct):
    balances: list[WireAsset]
    commissionRates: WireRates | None = None
    updateTime: int = 0
    canTrade: bool = False
    uid: int = 0


class WireRestrictions(msgspec.Struct):
    """What a key may do (wallet API, account/apiRestrictions)."""

    enableWithdrawals: bool
    enableSpotAndMarginTrading: bool
    ipRestrict: bool = False


class WireFilter(msgspec.Struct):
    """One filter; a type has only some of the fields."""

    filterType: str
    tickSize: str | None = None
    stepSize: str | None = None
    minQty: str | None = None
    maxQty: str | None = None
    minNotional: str | None = None


class WireSymbol(msgspec.Struct):
    symbol: str
    status: str
    baseAsset: str
    quoteAsset: str
    filters: list[WireFilter] = []


class WireLimit(msgspec.Struct):
    rateLimitType: str = ""
    interval: str = ""
    intervalNum: int = 0
    limit: int = 0


class WireExchange(msgspec.Struct):
    symbols: list[WireSymbol]
    rateLimits: list[WireLimit] = []


class WireTime(msgspec.Struct):
    serverTime: Stamp


class WireTop(msgspec.Struct):
    """One row of ticker/bookTicker."""

    symbol: str
    bidPrice: str
    bidQty: str
    askPrice: str
    askQty: str


class WireDepth(msgspec.Struct):
    """A whole order book, best levels first."""

    lastUpdateId: Annotated[int, msgspec.Meta(ge=0)]
    bids: list[tuple[Price, Amount]]
    asks: list[tuple[Price, Amount]]


Row = tuple[int, str, str, str, str, str, int]
"""A kline: open time, open, high, low, close, volume, close time (what follows is not read)."""


def read(answer: Any, kind: Any) -> Any:
    """``answer`` (parsed JSON) as ``kind``; ``msgspec.ValidationError`` when it is not."""
    return msgspec.convert(answer, kind)


def stated_ms(answer: Any) -> int | None:
    """The venue's time in an answer that should hold it; None where it does not."""
    try:
        return int(read(answer, WireTime).serverTime)
    except msgspec.ValidationError:
        return None


def snapshot(order: WireOrder, instrument: Instrument) -> OrderSnapshot:
    """The order as the venue states it. Fills are present only in the answer to a new order."""
    what = f"order {order.symbol} {order.orderId}"
    client_id, side = order.origClientOrderId or order.clientOrderId, order_side(order.side, what)
    at_ms = order.transactTime or order.updateTime or order.time
    executed = amount(order.executedQty, what)
    return OrderSnapshot(
        client_id=client_id,
        venue_id=str(order.orderId),
        instrument=instrument,
        side=side,
        state=order_state(order.status, executed, what),
        quantity=amount(order.origQty, what),
        price=amount(order.price, what),
        executed=executed,
        at_ms=at_ms,
        fills=tuple(_placed_fill(f, client_id, instrument, side, at_ms, what) for f in order.fills),
    )


def _placed_fill(f: WireFill, client_id: str, instrument: Instrument, side: Side, at_ms: int, what: str) -> Fill:
    """What filled while the order was being placed took the book: it is never a maker's fill."""
    return Fill(
        client_id=client_id,
        instrument=instrument,
        trade_id=str(f.tradeId),
        side=side,
        quantity=amount(f.qty, what),
        price=amount(f.price, what),
        fee=amount(f.commission, what),
        fee_asset=f.commissionAsset,
        maker=False,
        at_ms=at_ms,
    )


def trade_fill(trade: WireTrade, client_id: str, instrument: Instrument) -> Fill:
    what = f"trade {instrument.symbol} {trade.id}"
    return Fill(
        client_id=client_id,
        instrument=instrument,
        trade_id=str(trade.id),
        side=Side.BUY if trade.isBuyer else Side.SELL,
        quantity=amount(trade.qty, what),
        price=amount(trade.price, what),
        fee=amount(trade.commission, what),
        fee_asset=trade.commissionAsset,
        maker=trade.isMaker,
        at_ms=trade.time,
    )


def balances(account: WireAccount) -> tuple[Balance, ...]:
    return tuple(
        Balance(
            venue=VENUE,
            asset=row.asset,
            free=amount(row.free, f"balance {row.asset}"),
            locked=amount(row.locked, f"balance {row.asset}"),
        )
        for row in account.balances
    )


def rules_of(symbol: WireSymbol, instrument: Instrument, rates: WireRates | None) -> MarketRules:
    """What the venue enforces: PRICE_FILTER, LOT_SIZE, and NOTIONAL or the older MIN_NOTIONAL."""
    what = f"filters of {symbol.symbol}"
    tick = _filter_value(symbol, ("PRICE_FILTER",), "tickSize", what)
    step = _filter_value(symbol, ("LOT_SIZE",), "stepSize", what)
    if tick <= 0 or step <= 0:
        raise DataError(f"{VENUE} {what}: tick {tick} and step {step} must be above zero")
    fees = {} if rates is None else {"maker_fee": _rate(rates.maker, what), "taker_fee": _rate(rates.taker, what)}
    return MarketRules(
        instrument=instrument,
        tick=tick.normalize(),
        step=step.normalize(),
        min_qty=_filter_value(symbol, ("LOT_SIZE",), "minQty", what),
        max_qty=_filter_value(symbol, ("LOT_SIZE",), "maxQty", what),
        min_notional=_filter_value(symbol, ("NOTIONAL", "MIN_NOTIONAL"), "minNotional", what),
        status=symbol.status,
        **fees,
    )


def _rate(text: str, what: str) -> Decimal:
    """A fee as a share of an order's value."""
    fee = amount(text, what)
    if fee >= 1:
        raise DataError(f"{VENUE} {what}: {fee} is no fee rate")
    return fee


def _filter_value(symbol: WireSymbol, types: tuple[str, ...], name: str, what: str) -> Decimal:
    for wanted in types:
        for row in symbol.filters:
            value = getattr(row, name)
            if row.filterType == wanted and value is not None:
                return amount(value, what)
    raise DataError(f"{VENUE} {what}: no {name} in {' or '.join(types)}")


def bar_of(row: list[Any], instrument: Instrument) -> tuple[Bar, int]:
    """(bar, close time) of one kline row."""
    head: Row = read(row[:7], Row)
    opened, *ohlcv, closes = head
    return make_bar(opened, tuple(ohlcv), "rest", f"kline {instrument.symbol} {opened}"), closes


def whole_book(answer: Any) -> Snapshot:
    """The order book of a depth answer, whose numbers are texts."""
    book = msgspec.convert(answer, WireDepth, strict=False)
    return Snapshot(book.lastUpdateId, book.bids, book.asks)


def tops_of(rows: Iterable[WireTop], symbols: Mapping[str, Instrument], now_ms: int) -> dict[Instrument, Top]:
    """Best bid and ask by instrument, of those whose book has both sides and is one."""
    found = {}
    for row in rows:
        what = f"book ticker {row.symbol[:20]}"
        bid, bid_qty, ask, ask_qty = (
            float(amount(text, what)) for text in (row.bidPrice, row.bidQty, row.askPrice, row.askQty)
        )
        if row.symbol in symbols and is_touch(bid, bid_qty, ask, ask_qty):
            found[symbols[row.symbol]] = Top(bid=bid, bid_qty=bid_qty, ask=ask, ask_qty=ask_qty, at_ms=now_ms)
    return found


def plain(value: Decimal) -> str:
    """The decimal as it goes over the wire: every digit, no exponent."""
    return format(value, "f")
