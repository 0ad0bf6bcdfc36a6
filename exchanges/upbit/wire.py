"""Upbit's stream payloads as structs, and from there to the core's messages.

Fields are named as documented (docs.upbit.com: websocket-trade, -orderbook, -myorder, -myasset, state of November
2026), format DEFAULT. Amounts are read as decimals digit for digit, for the venue sends JSON numbers. A frame that is
not what the documents say raises ``DataError``, which the streams count; nothing here guesses.
"""

import math
from decimal import Decimal
from typing import Any

import msgspec

from core.bars import MAX_PRICE, MAX_VOLUME
from core.costs import UNIT
from core.errors import DataError
from core.messages import Balance, Fill, OrderSnapshot, OrderState, Top
from core.ports import ZERO
from core.units import Instrument, Side
from exchanges.trade import Trade
from exchanges.upbit.names import VENUE, client_id_of

UNREADABLE = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
MAX_MS = 1 << 53
LARGEST = Decimal(10) ** 18
SIDES = {"BID": Side.BUY, "ASK": Side.SELL, "bid": Side.BUY, "ask": Side.SELL}
ENDED_BY_VENUE = ("ioc", "fok")
"""Orders of which the venue itself ends what did not trade at once."""


class WireError(msgspec.Struct):
    name: str | int = ""
    message: str = ""


class Frame(msgspec.Struct):
    """What a frame is about."""

    type: str = ""
    stream_type: str = ""
    """``SNAPSHOT`` where it tells what was, ``REALTIME`` where it tells what happens."""
    error: WireError | None = None
    status: str | None = None


class TradeFrame(msgspec.Struct):
    code: str
    trade_price: float
    trade_volume: float
    trade_timestamp: int
    sequential_id: int
    ask_bid: str


class Level(msgspec.Struct):
    ask_price: float
    bid_price: float
    ask_size: float
    bid_size: float


class BookFrame(msgspec.Struct):
    """The whole book, best level first; every frame replaces the last."""

    code: str
    timestamp: int
    orderbook_units: list[Level]


class MyOrder(msgspec.Struct):
    """State of one order after one event; for ``trade``, price and volume are the trade's."""

    code: str
    uuid: str
    ask_bid: str
    order_type: str
    state: str
    timestamp: int
    price: Decimal | None = None
    avg_price: Decimal | None = None
    volume: Decimal | None = None
    remaining_volume: Decimal | None = None
    executed_volume: Decimal = ZERO
    prevented_volume: Decimal | None = None
    trade_uuid: str | None = None
    trade_fee: Decimal | None = None
    is_maker: bool | None = None
    time_in_force: str | None = None
    identifier: str | None = None
    trade_timestamp: int | None = None
    order_timestamp: int | None = None


class WireAsset(msgspec.Struct):
    currency: str
    balance: Decimal
    locked: Decimal


class MyAsset(msgspec.Struct):
    """Balances that changed, ``balance`` being what is free."""

    assets: list[WireAsset]


_FRAME, _TRADE, _BOOK = (msgspec.json.Decoder(kind) for kind in (Frame, TradeFrame, BookFrame))
_ORDER, _ASSET = msgspec.json.Decoder(MyOrder), msgspec.json.Decoder(MyAsset)


def decode(decoder: "msgspec.json.Decoder[Any]", payload: bytes, what: str) -> Any:
    """``payload`` as the decoder's struct; ``DataError`` naming ``what`` when it is none."""
    try:
        return decoder.decode(payload)
    except UNREADABLE as error:
        raise DataError(f"{VENUE} {what}: {str(error)[:120]}") from None


def frame_of(payload: bytes) -> Frame:
    return decode(_FRAME, payload, "frame")


def amount(value: Decimal | None, what: str) -> Decimal:
    """A finite amount of the wire, not below zero and not beyond what a venue counts, exactly as sent."""
    if value is None or not value.is_finite() or not 0 <= value < LARGEST:
        raise DataError(f"{VENUE} {what}: {str(value)[:40]!r} is not an amount")
    return value


def coins(value: Decimal | None, what: str) -> Decimal:
    """A volume: the venue counts 8 decimals, but sends what its binary64 arithmetic makes of them."""
    return amount(value, what).quantize(UNIT)


def side_of(text: str, what: str) -> Side:
    try:
        return SIDES[text]
    except KeyError:
        raise DataError(f"{VENUE} {what}: unknown side {text[:40]!r}") from None


def moment(value: int, what: str) -> int:
    if not 0 <= value < MAX_MS:
        raise DataError(f"{VENUE} {what}: {value} is not a time in epoch ms")
    return value


def decode_trade(payload: bytes) -> tuple[str, Trade]:
    """(market code, trade)."""
    frame: TradeFrame = decode(_TRADE, payload, "trade")
    what = f"trade {frame.code[:20]}"
    price, volume = frame.trade_price, frame.trade_volume
    if not (0 < price < MAX_PRICE and 0 < volume < MAX_VOLUME and 0 <= frame.sequential_id < 1 << 63):
        raise DataError(f"{VENUE} {what}: {volume} at {price}, number {frame.sequential_id} is no trade")
    sold = side_of(frame.ask_bid, what) is Side.SELL
    at_ms = moment(frame.trade_timestamp, what)
    return frame.code, Trade(id=frame.sequential_id, price=price, quantity=volume, at_ms=at_ms, sold=sold)


def decode_book(payload: bytes) -> tuple[str, Top | None]:
    """(market code, best bid and ask), or None for the top when a side of the book is empty."""
    frame: BookFrame = decode(_BOOK, payload, "orderbook")
    what = f"orderbook {frame.code[:20]}"
    at_ms = moment(frame.timestamp, what)
    if not frame.orderbook_units:
        return frame.code, None
    best = frame.orderbook_units[0]
    numbers = (best.bid_price, best.bid_size, best.ask_price, best.ask_size)
    if not all(map(math.isfinite, numbers)) or min(numbers) < 0 or max(numbers) >= MAX_VOLUME:
        raise DataError(f"{VENUE} {what}: {best} is no book")
    if best.bid_price == 0 or best.ask_price == 0:
        return frame.code, None
    if best.bid_price > best.ask_price or best.ask_price >= MAX_PRICE:
        raise DataError(f"{VENUE} {what}: bid {best.bid_price}, ask {best.ask_price} is no book")
    return frame.code, Top(
        bid=best.bid_price, bid_qty=best.bid_size, ask=best.ask_price, ask_qty=best.ask_size, at_ms=at_ms
    )


def decode_levels(payload: bytes) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Everything an orderbook frame displays: (price, size) of bids and of asks, best first; what is no level is left
    out (the venue fills a side that has fewer with zeros)."""
    units = decode(_BOOK, payload, "orderbook").orderbook_units
    bids, asks = [(u.bid_price, u.bid_size) for u in units], [(u.ask_price, u.ask_size) for u in units]
    return list(filter(_is_level, bids)), list(filter(_is_level, asks))


def _is_level(level: tuple[float, float]) -> bool:
    return 0 < level[0] < MAX_PRICE and 0 < level[1] < MAX_VOLUME


def order_state(
    state: str, force: str | None, executed: Decimal, remaining: Decimal, quantity: Decimal, what: str
) -> OrderState:
    """Our state for the venue's.

    An order that is over with less than all of it executed (a part was kept from trading with ourselves) counts as
    ended by the venue. ``trade`` and ``prevented`` are events of the stream; what is left after them tells the state.
    """
    if state == "done" or (state in ("trade", "prevented") and remaining == 0):
        return OrderState.FILLED if executed >= quantity else OrderState.EXPIRED
    if state in ("wait", "watch", "trade", "prevented"):
        return OrderState.PARTIAL if executed else OrderState.OPEN
    if state == "cancel":
        return OrderState.EXPIRED if force in ENDED_BY_VENUE else OrderState.CANCELLED
    raise DataError(f"{VENUE} {what}: unknown order state {state[:40]!r}")


def decode_order(payload: bytes, instruments: dict[str, Instrument]) -> OrderSnapshot | None:
    """The order as it stands, with the fill where this is one; None for a market that is not ours, and for an order
    that is not a limit order (nobody here sends one)."""
    m: MyOrder = decode(_ORDER, payload, "myOrder")
    instrument = instruments.get(m.code)
    if instrument is None or m.order_type != "limit":
        return None
    what = f"myOrder {m.code} {m.uuid[:40]}"
    side, executed = side_of(m.ask_bid, what), coins(m.executed_volume, what)
    at_ms = moment(m.timestamp, what)
    remaining = coins(m.remaining_volume, what)
    quantity = executed + remaining + coins(m.prevented_volume or ZERO, what)
    client_id = client_id_of(m.identifier or "")
    fills: tuple[Fill, ...] = ()
    price = amount(m.price, what)
    if m.state == "trade":
        if not m.trade_uuid or m.trade_fee is None or price <= 0 or coins(m.volume, what) <= 0:
            raise DataError(f"{VENUE} {what}: a trade without its id, fee, price or volume")
        fills = (
            Fill(
                client_id=client_id,
                instrument=instrument,
                trade_id=m.trade_uuid,
                side=side,
                quantity=coins(m.volume, what),
                price=price,
                fee=amount(m.trade_fee, what),
                fee_asset=instrument.quote,
                maker=bool(m.is_maker),
                at_ms=moment(at_ms if m.trade_timestamp is None else m.trade_timestamp, what),
            ),
        )
    return OrderSnapshot(
        client_id=client_id,
        venue_id=m.uuid,
        instrument=instrument,
        side=side,
        state=order_state(m.state, m.time_in_force, executed, remaining, quantity, what),
        quantity=quantity,
        price=price,
        executed=executed,
        at_ms=at_ms,
        fills=fills,
    )


def balance_of(row: WireAsset) -> Balance:
    what = f"balance {row.currency[:20]}"
    return Balance(venue=VENUE, asset=row.currency, free=amount(row.balance, what), locked=amount(row.locked, what))


def decode_assets(payload: bytes) -> tuple[Balance, ...]:
    """Balances that changed, as the venue now states them."""
    return tuple(balance_of(row) for row in decode(_ASSET, payload, "myAsset").assets)
