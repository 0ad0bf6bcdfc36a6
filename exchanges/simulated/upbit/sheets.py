"""An order as Upbit knows it: what was asked in its words, beside the engine's order that works it.

Fields from docs.upbit.com, API reference v1.6.4 ("Create order", "Get order", "List open orders", …). All amounts are
decimal strings.
"""

import uuid
from dataclasses import dataclass
from decimal import Decimal

from core.units import Side
from exchanges.simulated.fees import fee_on
from exchanges.simulated.orders import ZERO, SimOrder, Status, Trade
from exchanges.simulated.upbit.errors import WORDS
from exchanges.simulated.upbit.payloads import KST, code_of, created, exact, moment

NAMES = uuid.uuid5(uuid.NAMESPACE_URL, "minutehand:simulated-upbit")


def name_of(kind: str, *numbers: int) -> str:
    """A uuid that follows from what it names, so that the same run names the same things alike."""
    return str(uuid.uuid5(NAMES, ":".join((kind, *map(str, numbers)))))


@dataclass(slots=True)
class Sheet:
    """One order. ``order`` is the engine's, or a finished one that never reached the book."""

    order: SimOrder
    ord_type: str
    """limit, price (buy for so much money), market (sell), best."""
    price: Decimal | None
    """Limit, or the money of a ``price`` order and of a ``best`` buy."""
    volume: Decimal | None
    time_in_force: str | None
    smp_type: str
    fee_rate: Decimal
    identifier: str | None = None
    prevented_volume: Decimal = ZERO
    prevented_locked: Decimal = ZERO

    @property
    def uuid(self) -> str:
        return name_of("order", self.order.order_id)

    @property
    def code(self) -> str:
        return code_of(self.order.instrument)

    @property
    def by_money(self) -> bool:
        """It says what to spend, not how much to buy."""
        return self.volume is None

    @property
    def state(self) -> str:
        return state_of(self, self.order)

    @property
    def asked_money(self) -> Decimal:
        """What a buy may spend, without its fee; 0 for a sell."""
        if self.order.side is Side.SELL or self.price is None:
            return ZERO
        return self.price if self.volume is None else self.price * self.volume

    @property
    def reserved_fee(self) -> Decimal:
        return fee_on(self.asked_money, self.fee_rate)


def state_of(sheet: Sheet, order: SimOrder) -> str:
    """wait, done or cancel. A buy for money that left a rest ends ``cancel``, with the rest given back."""
    if order.live:
        return "wait"
    if order.status is not Status.FILLED:
        return "cancel"
    return "cancel" if sheet.by_money and order.quote_executed < sheet.asked_money else "done"


def paid_fee(order: SimOrder) -> Decimal:
    return sum((trade.fee for trade in order.trades), ZERO)


def remaining(sheet: Sheet, order: SimOrder) -> Decimal | None:
    """What is left of the volume; None for an order over money."""
    if sheet.volume is None:
        return None
    return sheet.volume - order.executed_quantity - sheet.prevented_volume


def accepted_row(sheet: Sheet) -> dict:
    """The answer to a new order: taken, and nothing else is known yet."""
    locked = sheet.asked_money + sheet.reserved_fee if sheet.order.side is Side.BUY else sheet.volume or ZERO
    return _row(sheet, "wait", sheet.volume, ZERO, sheet.reserved_fee, ZERO, locked, 0, prevented=False)


def order_row(sheet: Sheet) -> dict:
    """An order as every query shows it."""
    order = sheet.order
    paid = paid_fee(order)
    left = max(ZERO, sheet.reserved_fee - paid) if order.live else ZERO
    return _row(
        sheet,
        sheet.state,
        remaining(sheet, order),
        order.executed_quantity,
        left,
        paid,
        order.locked,
        len(order.trades),
    ) | {"executed_funds": exact(order.quote_executed)}


def _row(
    sheet: Sheet,
    state: str,
    left: Decimal | None,
    executed: Decimal,
    remaining_fee: Decimal,
    paid: Decimal,
    locked: Decimal,
    trades: int,
    prevented: bool = True,
) -> dict:
    def text(value: Decimal | None) -> str | None:
        return None if value is None else exact(value)

    row = {
        "market": sheet.code,
        "uuid": sheet.uuid,
        "side": WORDS[sheet.order.side],
        "ord_type": sheet.ord_type,
        "price": text(sheet.price),
        "state": state,
        "created_at": created(sheet.order.created_ms),
        "volume": text(sheet.volume),
        "remaining_volume": text(left),
        "executed_volume": exact(executed),
        "reserved_fee": exact(sheet.reserved_fee),
        "remaining_fee": exact(remaining_fee),
        "paid_fee": exact(paid),
        "locked": exact(locked),
        "prevented_volume": exact(sheet.prevented_volume if prevented else ZERO),
        "prevented_locked": exact(sheet.prevented_locked if prevented else ZERO),
        "trades_count": trades,
        "time_in_force": sheet.time_in_force,
        "identifier": sheet.identifier,
        "smp_type": sheet.smp_type,
    }
    # What an order does not have is left out, as at the venue.
    return {name: value for name, value in row.items() if value is not None}


def trade_row(sheet: Sheet, trade: Trade) -> dict:
    """An execution, as GET /v1/order lists them."""
    return {
        "market": sheet.code,
        "uuid": trade_name(sheet.order, trade),
        "price": exact(trade.price),
        "volume": exact(trade.quantity),
        "funds": exact(trade.quote_quantity),
        "trend": "up" if (trade.side is Side.BUY) != trade.maker else "down",
        "created_at": moment(trade.at_ms).astimezone(KST).isoformat(timespec="milliseconds"),
        "side": WORDS[trade.side],
    }


def trade_name(order: SimOrder, trade: Trade) -> str:
    return name_of("trade", order.row, trade.trade_id)
