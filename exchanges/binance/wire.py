"""Binance spot's stream payloads as structs, and from there to the core's messages.

Fields are named as documented (binance-spot-api-docs: web-socket-streams.md, user-data-stream.md, 2026-07). A frame
that is not what the documents say raises ``DataError``, which the streams count; nothing here guesses.
"""

import math
from decimal import Decimal, InvalidOperation
from typing import Annotated

import msgspec

from core.errors import DataError
from core.messages import Balance, Bar, Fill, OrderSnapshot, OrderState, Top
from core.units import MINUTE_MS, Instrument, Side
from exchanges.trade import Trade

VENUE = "binance"
LARGEST = Decimal(10) ** 18

STATUS = {
    "NEW": OrderState.OPEN,
    "PENDING_NEW": OrderState.OPEN,
    "PARTIALLY_FILLED": OrderState.PARTIAL,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELLED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}
"""The venue's order status in our words. PENDING_CANCEL is still working: see ``order_state``."""


Price = Annotated[float, msgspec.Meta(gt=0, lt=1e15)]
Amount = Annotated[float, msgspec.Meta(ge=0, lt=1e18)]
"""Numbers that the venue writes as texts, read and checked in the decoder's C (NaN and infinity fail the bounds, which
are those of ``core.bars``)."""


Stamp = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
"""Epoch milliseconds."""


class Kline(msgspec.Struct):
    """``k`` of a kline frame."""

    t: int
    s: str
    i: str
    o: str
    h: str
    l: str  # noqa: E741 - the field's name on the wire
    c: str
    v: str
    x: bool


class KlineEvent(msgspec.Struct):
    """One state of the current candle; final when ``k.x``."""

    e: str
    s: str
    k: Kline
    E: Stamp = 0


class KlineFrame(msgspec.Struct):
    data: KlineEvent


class BookTicker(msgspec.Struct, gc=False):
    """Best bid and ask. The venue sends no event time with it."""

    u: int
    s: str
    b: Amount
    B: Amount
    a: Amount
    A: Amount
    E: int = 0


class TopFrame(msgspec.Struct, gc=False):
    data: BookTicker


class Print(Trade, frozen=True, gc=False, kw_only=True):
    """``data`` of a trade frame: a ``Trade`` as it lies on the wire, so that none need be made of it."""

    s: str
    id: int = msgspec.field(name="t")
    price: Price = msgspec.field(name="p")
    quantity: Amount = msgspec.field(name="q")
    at_ms: int = msgspec.field(name="T")
    sold: bool = msgspec.field(name="m")


class TradeFrame(msgspec.Struct, gc=False):
    data: Print


class DepthDiff(msgspec.Struct):
    """``data`` of a depth frame: changed levels, from update ``U`` to update ``u``."""

    s: str
    U: int
    u: int
    b: list[tuple[Price, Amount]]
    a: list[tuple[Price, Amount]]


class DepthFrame(msgspec.Struct):
    data: DepthDiff


class WirePause(msgspec.Struct):
    """How long to stay away: both in epoch ms, by the venue's clock."""

    serverTime: int = 0
    retryAfter: int = 0


class VenueError(msgspec.Struct):
    code: int = 0
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw()
    """With a 429 or 418 of the WebSocket API a ``WirePause``."""


class MarketFrame(msgspec.Struct):
    """Envelope of the combined stream: an event, an answer to a request, or an unwrapped notice."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    id: int | str | None = None
    error: VenueError | None = None
    code: int | None = None
    msg: str = ""
    e: str = ""


class ExecutionReport(msgspec.Struct):
    """State of one order after one execution."""

    s: str
    c: str
    S: str
    q: str
    p: str
    x: str
    X: str
    i: int
    z: str
    T: int
    C: str | None = ""
    l: str = "0"  # noqa: E741
    L: str = "0"
    n: str = "0"
    N: str | None = None
    t: int = -1
    I: int = -1  # noqa: E741
    m: bool = False
    r: str = "NONE"


class WireBalance(msgspec.Struct):
    a: str
    f: str
    l: str  # noqa: E741


class AccountPosition(msgspec.Struct):
    """Balances that changed."""

    u: int
    B: list[WireBalance]


class EventKind(msgspec.Struct):
    e: str = ""


class Subscription(msgspec.Struct):
    subscriptionId: int | None = None


class UserFrame(msgspec.Struct):
    """Envelope of the WebSocket API: an event, or the answer to a request."""

    event: msgspec.Raw = msgspec.Raw()
    id: int | str | None = None
    status: int = 0
    error: VenueError | None = None
    result: msgspec.Raw = msgspec.Raw()


def reader(kind: type, *, numbers: bool = False) -> "msgspec.json.Decoder":
    """A decoder of one struct; make it once, it is what makes decoding cheap. ``numbers``: texts may be numbers."""
    return msgspec.json.Decoder(kind, strict=not numbers)


_REPORT, _POSITION = map(reader, (ExecutionReport, AccountPosition))
UNREADABLE = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)


def decode(decoder: "msgspec.json.Decoder", payload: bytes | msgspec.Raw, what: str):
    """``payload`` as the decoder's struct; ``DataError`` naming ``what`` when it is none."""
    try:
        return decoder.decode(payload)
    except UNREADABLE as error:
        raise DataError(f"{VENUE} {what}: {str(error)[:120]}") from None


def number(text: str, what: str) -> float:
    """A finite number of the wire."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{VENUE} {what}: {text[:40]!r} is not a finite number")
    return value


def amount(text: str, what: str) -> Decimal:
    """A finite amount of the wire, not below zero and not beyond what a venue counts, exactly as sent."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 <= value < LARGEST:
        raise DataError(f"{VENUE} {what}: {text[:40]!r} is not an amount")
    return value


def make_bar(minute: int, ohlcv: tuple[str, str, str, str, str], source: str, what: str) -> Bar:
    """A bar from the wire's texts, checked for sense."""
    opened, high, low, close, volume = (number(text, what) for text in ohlcv)
    if minute < 0 or minute % MINUTE_MS:
        raise DataError(f"{VENUE} {what}: {minute} is not the open of a minute")
    if not (0 < low <= min(opened, close) and max(opened, close) <= high) or volume < 0:
        raise DataError(f"{VENUE} {what}: open {opened} high {high} low {low} close {close} volume {volume} is no bar")
    return Bar(
        minute=minute, open=opened, high=high, low=low, close=close, volume=volume, filler=volume == 0, source=source
    )


def kline_bar(event: KlineEvent) -> Bar:
    """The bar of a one-minute kline event, final or not."""
    k = event.k
    if event.e != "kline" or k.i != "1m" or k.s != event.s:
        raise DataError(f"{VENUE} kline: event {event.e!r}, interval {k.i!r} of {event.s!r} is not what was subscribed")
    return make_bar(k.t, (k.o, k.h, k.l, k.c, k.v), "stream", f"kline {event.s}")


def top_of(t: BookTicker, at_ms: int) -> Top | None:
    """Best bid and ask; None when a side is empty, which the venue shows as zeros.

    Stamped ``at_ms`` unless the frame tells its own time.
    """
    bid, ask = t.b, t.a
    if 0.0 < bid <= ask:
        return Top(bid=bid, bid_qty=t.B, ask=ask, ask_qty=t.A, at_ms=t.E or at_ms)
    if (bid == 0 and t.B == 0) or (ask == 0 and t.A == 0):
        return None
    raise DataError(f"{VENUE} bookTicker {t.s}: bid {bid} x {t.B}, ask {ask} x {t.A} is no book")


def order_state(status: str, executed: Decimal, what: str) -> OrderState:
    """Our state for the venue's status."""
    if status == "PENDING_CANCEL":
        return OrderState.PARTIAL if executed else OrderState.OPEN
    try:
        return STATUS[status]
    except KeyError:
        raise DataError(f"{VENUE} {what}: unknown order status {status[:40]!r}") from None


def order_side(text: str, what: str) -> Side:
    try:
        return Side(text.lower())
    except ValueError:
        raise DataError(f"{VENUE} {what}: unknown side {text[:40]!r}") from None


def decode_report(payload: bytes | msgspec.Raw, instruments: dict[str, Instrument]) -> tuple[OrderSnapshot, int] | None:
    """(order as it stands with the fill of this report, execution id); None for a symbol that is not ours.

    On a cancel the order's own id is in ``C`` and ``c`` is the cancel's.
    """
    r: ExecutionReport = decode(_REPORT, payload, "executionReport")
    instrument = instruments.get(r.s)
    if instrument is None:
        return None
    what = f"executionReport {r.s} {r.i}"
    client_id = r.C if r.C and r.C != "null" else r.c
    side, executed = order_side(r.S, what), amount(r.z, what)
    fills: tuple[Fill, ...] = ()
    if r.x == "TRADE":
        if r.t < 0:
            raise DataError(f"{VENUE} {what}: a trade without a trade id")
        fills = (
            Fill(
                client_id=client_id,
                instrument=instrument,
                trade_id=str(r.t),
                side=side,
                quantity=amount(r.l, what),
                price=amount(r.L, what),
                fee=amount(r.n or "0", what),
                fee_asset=r.N or "",
                maker=r.m,
                at_ms=r.T,
            ),
        )
    snapshot = OrderSnapshot(
        client_id=client_id,
        venue_id=str(r.i),
        instrument=instrument,
        side=side,
        state=order_state(r.X, executed, what),
        quantity=amount(r.q, what),
        price=amount(r.p, what),
        executed=executed,
        at_ms=r.T,
        fills=fills,
    )
    return snapshot, r.I


def decode_position(payload: bytes | msgspec.Raw) -> tuple[Balance, ...]:
    """Balances that changed, as the venue now states them."""
    position: AccountPosition = decode(_POSITION, payload, "outboundAccountPosition")
    return tuple(
        Balance(venue=VENUE, asset=b.a, free=amount(b.f, f"balance {b.a}"), locked=amount(b.l, f"balance {b.a}"))
        for b in position.B
    )
