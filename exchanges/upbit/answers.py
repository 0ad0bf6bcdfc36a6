"""Upbit's REST answers as structs, and from there to the core's messages.

An answer that lacks what it must have raises (``DataError``); the gateway decides what that means: after a new order it
means that nobody knows.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Annotated, Any

import msgspec

from core.bars import MAX_PRICE, is_sound
from core.costs import UNIT, UPBIT
from core.errors import DataError
from core.grid import UPBIT_LEAST, step_for
from core.messages import Balance, Bar, Fill, OrderSnapshot, ShownBook, Top
from core.ports import ZERO
from core.units import MINUTE_MS, Instrument, MarketRules, Side, round_price
from exchanges.book import is_touch, shown_book
from exchanges.upbit.names import VENUE, client_id_of, market_code
from exchanges.upbit.wire import MAX_MS, UNREADABLE, WireAsset, amount, balance_of, moment, order_state, side_of

RATE = Decimal("0.000001")
"""Fee rates are multiples of this."""

LARGEST_KRW = Decimal(1_000_000_000)
"""Largest order value in a KRW market, which orders/chance states as ``max_total``."""


class WireMarket(msgspec.Struct):
    market: str


class WireTick(msgspec.Struct):
    market: str
    tick_size: Decimal


class WireTicker(msgspec.Struct):
    market: str
    trade_price: Annotated[float, msgspec.Meta(gt=0, lt=MAX_PRICE)]
    trade_timestamp: Annotated[int, msgspec.Meta(ge=0, lt=MAX_MS)] = 0
    """Of the market's newest trade, epoch ms."""


class WireUnit(msgspec.Struct):
    ask_price: float
    bid_price: float
    ask_size: float
    bid_size: float


class WireBook(msgspec.Struct):
    """One market's displayed book, best levels first."""

    market: str
    orderbook_units: list[WireUnit]
    timestamp: int = 0


class WireSide(msgspec.Struct, frozen=True):
    min_total: Decimal | None = None


class WireTerms(msgspec.Struct, frozen=True):
    bid: WireSide = WireSide()
    ask: WireSide = WireSide()
    max_total: Decimal | None = None
    state: str = "active"


class WireChance(msgspec.Struct):
    """What an account pays and may order in one market."""

    bid_fee: Decimal
    ask_fee: Decimal
    market: WireTerms
    maker_bid_fee: Decimal | None = None
    maker_ask_fee: Decimal | None = None


class WireTrade(msgspec.Struct):
    """One execution in the answer to a query. Its fee is not told, only the order's."""

    uuid: str
    price: Decimal
    volume: Decimal
    created_at: str
    funds: Decimal | None = None


class WireOrder(msgspec.Struct):
    """What place, cancel, query and open orders answer with; only a query carries trades."""

    uuid: str
    side: str
    ord_type: str
    state: str
    market: str
    created_at: str
    executed_volume: Decimal
    price: Decimal | None = None
    volume: Decimal | None = None
    remaining_volume: Decimal | None = None
    paid_fee: Decimal = ZERO
    time_in_force: str | None = None
    identifier: str | None = None
    trades: list[WireTrade] = []


class WireKey(msgspec.Struct):
    access_key: str
    expire_at: str


class WireCandle(msgspec.Struct):
    market: str
    candle_date_time_utc: str
    opening_price: float
    high_price: float
    low_price: float
    trade_price: float
    candle_acc_trade_volume: float


def read(body: bytes, kind: Any) -> Any:
    """``body`` as ``kind``; ``DataError`` when it is not."""
    try:
        return msgspec.json.decode(body, type=kind)
    except UNREADABLE as error:
        raise DataError(str(error)[:120]) from None


def instant(text: str, what: str) -> int:
    """ISO 8601 as epoch ms; without a zone it is UTC, as in the venue's field names."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f"{VENUE} {what}: {text[:40]!r} is no time") from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return moment(int(when.timestamp() * 1_000), what)


def iso(at_ms: int) -> str:
    """Epoch ms as the venue takes times in ``to``: whole seconds of UTC."""
    return datetime.fromtimestamp(at_ms // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def snapshot(order: WireOrder, instrument: Instrument, now_ms: int) -> OrderSnapshot:
    """The order as the venue states it at ``now_ms``, with its fills where the answer carried them.

    An order of another type than limit (nobody here sends one) may have no price or no volume: then 0, or what is
    known of it.
    """
    what = f"order {order.market[:20]} {order.uuid[:40]}"
    executed, remaining = amount(order.executed_volume, what), amount(order.remaining_volume or ZERO, what)
    quantity = executed + remaining if order.volume is None else amount(order.volume, what)
    return OrderSnapshot(
        client_id=client_id_of(order.identifier or ""),
        venue_id=order.uuid,
        instrument=instrument,
        side=side_of(order.side, what),
        state=order_state(order.state, order.time_in_force, executed, remaining, quantity, what),
        quantity=quantity,
        price=amount(order.price or ZERO, what),
        executed=executed,
        at_ms=now_ms,
        fills=fills_of(order, instrument),
    )


def fills_of(order: WireOrder, instrument: Instrument) -> tuple[Fill, ...]:
    """The executions, oldest first, each with its share of the order's fee.

    The venue tells one fee for the whole order. Its rate is the same for every trade, so a trade's fee is that rate of
    its worth, cut to the venue's 8 decimals; what cutting leaves over goes to the newest trade, and the sum is exact.
    """
    if not order.trades:
        return ()
    what = f"trades of order {order.uuid[:40]}"
    rows = sorted(((instant(t.created_at, what), n, t) for n, t in enumerate(order.trades)), key=lambda r: r[:2])
    worth = [amount(t.price, what) * amount(t.volume, what) for _, _, t in rows]
    total, paid = sum(worth, ZERO), amount(order.paid_fee, what)
    if total <= 0:
        raise DataError(f"{VENUE} {what}: worth nothing")
    rate = (paid / total / RATE).to_integral_value() * RATE
    fees = [(part * rate).quantize(UNIT, rounding=ROUND_FLOOR) for part in worth]
    fees[-1] = max(ZERO, fees[-1] + paid - sum(fees, ZERO))
    return tuple(
        Fill(
            client_id=client_id_of(order.identifier or ""),
            instrument=instrument,
            trade_id=t.uuid,
            side=side_of(order.side, what),
            quantity=t.volume,
            price=t.price,
            fee=fee,
            fee_asset=instrument.quote,
            maker=order.time_in_force == "post_only",
            at_ms=at_ms,
        )
        for (at_ms, _, t), fee in zip(rows, fees, strict=True)
    )


def balances(rows: list[WireAsset]) -> tuple[Balance, ...]:
    return tuple(balance_of(row) for row in rows)


def bar_of(candle: WireCandle) -> Bar:
    """A closed candle as a bar. The venue sends none for a minute without a trade, so there is no filler here."""
    what = f"candle {candle.market[:20]} {candle.candle_date_time_utc[:30]}"
    bar = Bar(
        minute=instant(candle.candle_date_time_utc, what),
        open=candle.opening_price,
        high=candle.high_price,
        low=candle.low_price,
        close=candle.trade_price,
        volume=candle.candle_acc_trade_volume,
        source="rest",
    )
    if bar.minute % MINUTE_MS or not is_sound(bar):
        raise DataError(f"{VENUE} {what}: {bar} is no bar of a minute")
    return bar


def rules_of(instrument: Instrument, tick: Decimal, price: float, chance: WireChance | None) -> MarketRules:
    """What the venue enforces at the price of now, and what it charges (its public tariff without ``chance``)."""
    what = f"rules of {instrument.symbol}"
    if tick <= 0 or not price > 0:
        raise DataError(f"{VENUE} {what}: tick {tick} and price {price} must be above zero")
    least, most, state = UPBIT_LEAST.get(instrument.quote, ZERO), None, "active"
    maker = taker = UPBIT.get(instrument.quote, max(UPBIT.values()))
    if chance is not None:
        terms = chance.market
        stated = [s.min_total for s in (terms.bid, terms.ask) if s.min_total is not None]
        least = max(amount(s, what) for s in stated) if stated else least
        most, state = terms.max_total, terms.state
        taker = max(_rate(chance.bid_fee, what), _rate(chance.ask_fee, what))
        makers = [taker if fee is None else _rate(fee, what) for fee in (chance.maker_bid_fee, chance.maker_ask_fee)]
        maker = max(makers)
    step = step_for(tick)
    most = amount(most, what) if most is not None else LARGEST_KRW if instrument.quote == "KRW" else None
    at = Decimal(repr(price))
    return MarketRules(
        instrument=instrument,
        tick=tick.normalize(),
        step=step,
        min_qty=step,
        max_qty=(most / at).quantize(step, rounding=ROUND_FLOOR) if most is not None else Decimal(10) ** 9,
        min_notional=least,
        maker_fee=maker,
        taker_fee=taker,
        status="TRADING" if state == "active" else state.upper(),
    )


def _rate(fee: Decimal, what: str) -> Decimal:
    """A fee as a share of an order's value."""
    if amount(fee, what) >= 1:
        raise DataError(f"{VENUE} {what}: {fee} is no fee rate")
    return fee


def key_expiry(keys: list[WireKey], ours: str) -> int | None:
    """When our key ends, epoch ms; None when the list does not name it."""
    ends: Mapping[str, str] = {key.access_key: key.expire_at for key in keys}
    return instant(ends[ours], "key list") if ours in ends else None


def price_of(tickers: Iterable[WireTicker], code: str) -> Decimal:
    """What the market traded at last; ``DataError`` where it is not told."""
    price = next((t.trade_price for t in tickers if t.market == code), None)
    if price is None:
        raise DataError(f"{VENUE} ticker: {code} is not told")
    return Decimal(repr(price))


def smallest_order(instrument: Instrument, tick: Decimal, price: Decimal) -> dict[str, str]:
    """A buy the venue would take, of twice its smallest value: to be tested, not placed."""
    volume = (2 * UPBIT_LEAST.get(instrument.quote, Decimal(1)) / price).quantize(UNIT)
    return {
        "market": market_code(instrument),
        "side": "bid",
        "ord_type": "limit",
        "volume": plain(volume),
        "price": plain(round_price(price, tick, Side.BUY)),
    }


def plain(value: Decimal) -> str:
    """The decimal as it goes over the wire: every digit, no exponent."""
    return format(value, "f")


def tops_of(books: Iterable[WireBook], codes: Mapping[str, Instrument], now_ms: int) -> dict[Instrument, Top]:
    """Best bid and ask by instrument, of those whose book has both sides and is one."""
    found = {}
    for book in books:
        best = book.orderbook_units[0] if book.orderbook_units else None
        if best is None or book.market not in codes:
            continue
        if is_touch(best.bid_price, best.bid_size, best.ask_price, best.ask_size):
            found[codes[book.market]] = Top(
                bid=best.bid_price, bid_qty=best.bid_size, ask=best.ask_price, ask_qty=best.ask_size, at_ms=now_ms
            )
    return found


def books_of(books: Iterable[WireBook], codes: Mapping[str, Instrument], now_ms: int) -> dict[Instrument, ShownBook]:
    """The displayed levels by instrument, of those whose book has both sides and is one."""
    found = {}
    for book in books:
        units = book.orderbook_units
        bids, asks = [(u.bid_price, u.bid_size) for u in units], [(u.ask_price, u.ask_size) for u in units]
        shown = shown_book(bids, asks, now_ms) if book.market in codes else None
        if shown is not None:
            found[codes[book.market]] = shown
    return found
