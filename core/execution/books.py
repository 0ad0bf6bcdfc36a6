"""The executor's books: parents, their orders, every fill counted once. They keep the sums; the machine decides.

One equation holds for every parent at every moment:
``executed + open + unsent + abandoned == quantity + over``, where ``over`` is not zero only after the venue
executed more than we knew it could, which is also noted as a fault.

Above 400 lines because every sum over orders, parents and fills is held against the others here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from core.errors import Defect
from core.execution.positions import Positions
from core.execution.schedules.rule import Schedule, Stage
from core.execution.stimuli import Conditions
from core.execution.strangers import STRANGER
from core.messages import (
    Fill,
    Levels,
    OrderReport,
    OrderState,
    PlaceOrder,
    ProtectiveExit,
    Reports,
    WrittenOff,
)
from core.orders import LIVE, MAX_ID, OrderEvent, advance
from core.ports import ZERO
from core.protection import is_stop_out
from core.round_trips import RoundTrips
from core.units import MINUTE_MS, Instrument, Side

KEPT_FAULTS = 100


@dataclass(slots=True, eq=False)
class Parent:
    """One approved intent being worked."""

    intent_id: str
    minute: int
    instrument: Instrument
    side: Side
    quantity: Decimal
    limit_price: Decimal
    schedule: Schedule
    stage: Stage
    """Where it stands in a life that may span minutes."""
    unsent: Decimal
    seed: int = 0
    """Of its slots' jitter."""
    seen: Conditions | None = None
    """The market at its minute's beginning, where its schedule asks for it."""
    bid: float = 0.0
    """The touch as it was last shown, of an adaptive parent; 0 without one."""
    ask: float = 0.0
    book_ms: int = 0
    depth: Levels = ()
    """What it would walk if it crossed, as it was last shown."""
    queue: float = 0.0
    """Base units of others at the near touch, as they were last shown."""
    looked_ms: int = 0
    edge_bps: float = 0.0
    open: Decimal = ZERO
    """In orders that the venue may still fill, less what they filled."""
    executed: Decimal = ZERO
    abandoned: Decimal = ZERO
    """Given up: the schedule ended, a newer minute took over, the venue refused."""
    over: Decimal = ZERO
    slot: int = -1
    """The last slot that was acted upon."""
    closed: bool = False
    """Sends nothing any more."""
    orders: list["Order"] = field(default_factory=list, repr=False)

    @property
    def start_ms(self) -> int:
        """When slot 0 is due: the close of the minute."""
        return self.minute + MINUTE_MS


@dataclass(slots=True, eq=False)
class Order:
    """One order of ours."""

    placed: PlaceOrder
    minute: int
    parent: Parent | None
    """None for an order wanted by itself, and for a stranger: one with our name that the books did not know."""
    standing: bool = False
    """Wanted by itself: it stands until it ends or is no longer wanted."""
    state: OrderState = OrderState.PLANNED
    said: Decimal = ZERO
    """Executed, as the venue last stated it."""
    filled: Decimal = ZERO
    """Executed, as the sum of the fills counted."""
    fills: list[Fill] = field(default_factory=list, repr=False)
    reason: str = ""
    asked_ms: int = 0
    absences: int = 0
    absent_ms: int = 0

    @property
    def client_id(self) -> str:
        return self.placed.client_id

    @property
    def stranger(self) -> bool:
        return self.placed.intent_id == STRANGER

    @property
    def protects(self) -> bool:
        """A stop left at the venue, or the take-profit beside it."""
        return self.placed.stop_price is not None or bool(self.placed.pair)

    @property
    def executed(self) -> Decimal:
        return max(self.said, self.filled)

    @property
    def live(self) -> bool:
        return self.state in LIVE

    @property
    def short(self) -> bool:
        """The venue executed more than the fills we have seen."""
        return self.said > self.filled

    @property
    def open_quantity(self) -> Decimal:
        return max(self.placed.quantity - self.executed, ZERO) if self.live else ZERO


@dataclass(slots=True)
class Total:
    """What was traded in one instrument since the books began."""

    bought: Decimal = ZERO
    sold: Decimal = ZERO
    paid: Decimal = ZERO
    """Quote units spent on buys."""
    received: Decimal = ZERO
    fills: int = 0


@dataclass(frozen=True, slots=True)
class Agreed:
    """Balances, (venue, asset) -> amount, and what the fills had come to when they were stated."""

    totals: dict[tuple[str, str], Decimal]
    flows: dict[tuple[str, str], Decimal]


class Books:
    """Orders and parents of the last ``retain_minutes``, totals since the beginning."""

    def __init__(self, retain_minutes: int) -> None:
        self.retain_minutes = retain_minutes
        self.version = 0
        """Rises with every change, so that what changes nothing need not be journaled."""
        self.orders: dict[str, Order] = {}
        self.parents: dict[tuple[int, Instrument], Parent] = {}
        self.current: dict[Instrument, Parent] = {}
        """The parent that may send, of each instrument."""
        self.watch: dict[str, Order] = {}
        """Orders that have not ended or lack fills."""
        self.doubted: dict[str, Order] = {}
        """Given up because the venue denied them: a request may still have been on its way, so they are asked about
        for a while longer."""
        self.totals: dict[Instrument, Total] = {}
        self.flows: dict[tuple[str, str], Decimal] = {}
        """(venue, asset) -> net change of the account that the fills account for."""
        self.agreed: Agreed | None = None
        """The balances that later ones are compared with; None before the first."""
        self.trips = RoundTrips()
        self.faults: list[str] = []
        self.fault_count = 0
        """Faults ever noted; ``faults`` holds the last of them."""
        self._seen: set[tuple[Instrument, str]] = set()
        self._touched: dict[str, Order] = {}
        self._new_fills: list[Fill] = []
        self._new_exits: list[ProtectiveExit] = []
        self._new_dust: list[WrittenOff] = []
        self.positions = Positions()

    def agree(self, totals: dict[tuple[str, str], Decimal]) -> None:
        """Later balances are compared with these and the fills from here on."""
        self.agreed = Agreed(totals, dict(self.flows))
        self.version += 1

    def open_parent(self, parent: Parent) -> None:
        self.parents[parent.minute, parent.instrument] = parent
        self.current[parent.instrument] = parent
        self.version += 1

    def close_parent(self, parent: Parent) -> None:
        """Give up what is unsent. Orders already out stay counted as open until they end."""
        parent.closed = True
        parent.abandoned += parent.unsent
        parent.unsent = ZERO
        if self.current.get(parent.instrument) is parent:
            del self.current[parent.instrument]
        self.version += 1

    def add_order(self, placed: PlaceOrder, minute: int, parent: Parent | None, *, standing: bool = False) -> Order:
        if placed.client_id in self.orders:
            raise Defect(
                f"{placed.instrument}: client id {placed.client_id} is already in the books; it would be sent twice"
            )
        order = Order(placed=placed, minute=minute, parent=parent, standing=standing)
        self.orders[placed.client_id] = order
        if parent is not None:
            parent.orders.append(order)
        self.touch(order)
        return order

    def move(self, order: Order, event: OrderEvent, reason: str = "") -> None:
        """Advance the order by the table and book what that frees or ties up. Raises ``Defect`` and changes nothing."""
        state = advance(order.state, event)
        if state is order.state and not reason:
            return
        executed, tied = order.executed, order.open_quantity
        order.state = state
        if reason:
            order.reason = reason
        self._settle(order, executed, tied)

    def state_executed(self, order: Order, said: Decimal) -> None:
        """Take the venue's executed quantity where it is news."""
        if said > order.said:
            executed, tied = order.executed, order.open_quantity
            order.said = said
            self._settle(order, executed, tied)

    def count(self, order: Order, fill: Fill) -> bool:
        """Count a fill, once for ever; False when it was counted before."""
        key = (fill.instrument, fill.trade_id)
        if key in self._seen:
            return False
        self._seen.add(key)
        executed, tied = order.executed, order.open_quantity
        order.fills.append(fill)
        order.filled += fill.quantity
        self._new_fills.append(fill)
        self._add_to_totals(fill)
        self.positions.take(fill)
        self.trips.take(fill, stopped=is_stop_out(order.placed.intent_id))
        self._settle(order, executed, tied)
        return True

    def touch(self, order: Order) -> None:
        """The order changed: it belongs into the next report."""
        self._touched[order.client_id] = order
        if order.live or order.short:
            self.watch[order.client_id] = order
        else:
            self.watch.pop(order.client_id, None)
        self.version += 1

    def fault(self, text: str) -> None:
        """Note a contradiction between the venue and us. It is told once and shown as long as it is among the last."""
        if text in self.faults:
            return
        self.faults.append(text)
        self.fault_count += 1
        del self.faults[:-KEPT_FAULTS]
        self.version += 1

    def note_exit(self, permit: ProtectiveExit) -> None:
        """Protection sends an order: it belongs into the next report."""
        self._new_exits.append(permit)
        self.version += 1

    def note_dust(self) -> None:
        """What was left of positions that ended, and was not told yet, belongs into the next report."""
        found = self.positions.take_dust()
        if found:
            self._new_dust += found
            self.version += 1

    def older_live(self, parent: Parent) -> Order | None:
        """An order of the same instrument, not this parent's, that the venue may still fill; one that is known to
        stand because it is wanted is in nobody's way."""
        for order in self.watch.values():
            known = order.standing and order.state in (OrderState.OPEN, OrderState.PARTIAL)
            if order.live and not known and order.placed.instrument == parent.instrument and order.parent is not parent:
                return order
        return None

    def report(self, minute: int, trace: str) -> Reports:
        """Orders touched and fills counted that no report has shown yet."""
        orders = tuple(
            OrderReport(
                client_id=order.client_id,
                intent_id=order.placed.intent_id,
                instrument=order.placed.instrument,
                side=order.placed.side,
                state=order.state,
                quantity=order.placed.quantity,
                price=order.placed.price,
                executed=order.executed,
                reason=order.reason,
            )
            for order in self._touched.values()
        )
        return Reports(
            minute=minute,
            trace=trace,
            orders=orders,
            fills=tuple(self._new_fills),
            exits=tuple(self._new_exits),
            dust=tuple(self._new_dust),
        )

    def forget_reported(self) -> None:
        if self._touched or self._new_fills or self._new_exits or self._new_dust:
            self._touched, self._new_fills, self._new_exits, self._new_dust = {}, [], [], []
            self.version += 1

    def prune(self, minute: int) -> None:
        """Drop ended orders and closed parents of minutes older than the horizon; the totals keep their sums."""
        horizon = minute - self.retain_minutes * MINUTE_MS
        for client_id in list(_older(self.orders, horizon)):
            order = self.orders[client_id]
            if client_id in self.watch or client_id in self._touched or client_id in self.doubted:
                continue
            self._seen.difference_update((f.instrument, f.trade_id) for f in order.fills)
            del self.orders[client_id]
        for key in list(_until(self.parents, horizon)):
            if all(order.client_id not in self.orders for order in self.parents[key].orders):
                del self.parents[key]

    def _settle(self, order: Order, executed: Decimal, tied: Decimal) -> None:
        more, tied_more = order.executed - executed, order.open_quantity - tied
        if order.parent is not None:
            _rebook(order.parent, more, tied_more)
        if more:
            self._overtake(order, more)
            if order.executed > order.placed.quantity:
                self.fault(f"{order.client_id}: executed {order.executed} of an order of {order.placed.quantity}")
        if order.parent is not None and order.parent.over:
            self.fault(
                f"{order.client_id}: its intent of {order.parent.quantity} is over-filled by up to {order.parent.over}"
            )
        self.touch(order)

    def _overtake(self, order: Order, more: Decimal) -> None:
        # A newer parent was sized without this fill: let the fill stand in for that much of it.
        newer = self.current.get(order.placed.instrument)
        if newer is None or newer is order.parent or newer.side is not order.placed.side:
            return
        cut = min(more, newer.unsent)
        newer.unsent -= cut
        newer.abandoned += cut

    def _add_to_totals(self, fill: Fill) -> None:
        total = self.totals.setdefault(fill.instrument, Total())
        value = fill.quantity * fill.price
        total.fills += 1
        sign = 1 if fill.side is Side.BUY else -1
        if fill.side is Side.BUY:
            total.bought += fill.quantity
            total.paid += value
        else:
            total.sold += fill.quantity
            total.received += value
        venue = fill.instrument.venue
        for asset, change in (
            (fill.instrument.base, sign * fill.quantity),
            (fill.instrument.quote, -sign * value),
            (fill.fee_asset, -fill.fee),
        ):
            if change:
                self.flows[venue, asset] = self.flows.get((venue, asset), ZERO) + change

    def validate(self) -> None:
        """Check every invariant the hard way. Raises ``Defect`` naming the first that does not hold."""
        for parent in self.parents.values():
            _validate_parent(parent)
        for client_id, order in self.orders.items():
            _hold(len(client_id) <= MAX_ID, f"{client_id} is longer than {MAX_ID}")
            _hold(order.filled == sum((f.quantity for f in order.fills), ZERO), f"{client_id}: fills do not add up")
            _hold((client_id in self.watch) == (order.live or order.short), f"{client_id}: watched wrongly")
            _hold(order.parent is None or order in order.parent.orders, f"{client_id}: its parent does not know it")
        trades = [(f.instrument, f.trade_id) for order in self.orders.values() for f in order.fills]
        _hold(len(trades) == len(set(trades)), "a trade was counted twice")
        for instrument, parent in self.current.items():
            _hold(not parent.closed and parent.instrument == instrument, f"{instrument}: a closed parent is current")
        if any(parent.over for parent in self.parents.values()):
            _hold(self.fault_count > 0, "an over-filled intent without a fault")


def _rebook(parent: Parent, executed: Decimal, tied: Decimal) -> None:
    parent.executed += executed
    parent.open += tied
    freed = -(executed + tied)
    if freed > 0:
        back = min(freed, parent.over)
        parent.over -= back
        freed -= back
    if parent.closed:
        parent.abandoned += freed
    else:
        parent.unsent += freed
    if parent.unsent < 0:
        parent.abandoned += parent.unsent
        parent.unsent = ZERO
    if parent.abandoned < 0:
        parent.over -= parent.abandoned
        parent.abandoned = ZERO


def _validate_parent(parent: Parent) -> None:
    name = f"{parent.instrument} {parent.intent_id}"
    _hold(parent.executed == sum((o.executed for o in parent.orders), ZERO), f"{name}: executed does not add up")
    _hold(parent.open == sum((o.open_quantity for o in parent.orders), ZERO), f"{name}: open does not add up")
    parts = (parent.executed, parent.open, parent.unsent, parent.abandoned, parent.over)
    _hold(all(part >= 0 for part in parts), f"{name}: a negative part among {parts}")
    _hold(
        sum(parts[:4], ZERO) == parent.quantity + parent.over, f"{name}: {parts} is not the intent's {parent.quantity}"
    )
    _hold(not parent.closed or parent.unsent == 0, f"{name}: closed, yet {parent.unsent} would be sent")


def _hold(truth: bool, text: str) -> None:
    if not truth:
        raise Defect(f"the executor's books are wrong: {text}")


def _older(orders: dict[str, Order], horizon: int) -> Iterator[str]:
    for client_id, order in orders.items():
        if order.minute >= horizon:
            return
        yield client_id


def _until(parents: dict[tuple[int, Instrument], Parent], horizon: int) -> Iterator[tuple[int, Instrument]]:
    for key in parents:
        if key[0] >= horizon:
            return
        yield key
