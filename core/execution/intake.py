"""Taking in what a venue says of our orders: snapshots, fills, strangers that carry our name.

A venue's word is never a reason to stop: what cannot be is noted in the books as a fault, and the rest is counted.
"""

from dataclasses import replace

from core.errors import Defect
from core.execution.books import Books, Order
from core.execution.strangers import from_fill, from_snapshot
from core.messages import Fill, OrderSnapshot, PlaceOrder
from core.orders import SAID, OrderEvent, parse_id
from core.units import MINUTE_MS


class Intake:
    """Books what the venue says, for the orders of one instance."""

    def __init__(self, books: Books, instance: str) -> None:
        self.books = books
        self.instance = instance

    def order_of(self, snapshot: OrderSnapshot, minute: int) -> Order | None:
        """The order a snapshot speaks of; a stranger with our name is adopted; None for anybody else's."""
        order = self.books.orders.get(snapshot.client_id)
        if order is None and self._may_adopt(snapshot.client_id, minute):
            order = self._adopt(from_snapshot(snapshot))
        return order

    def order_of_fill(self, fill: Fill, minute: int) -> tuple[Order | None, bool]:
        """The order a fill belongs to, and whether it was adopted just now."""
        order = self.books.orders.get(fill.client_id)
        if order is None and self._may_adopt(fill.client_id, minute):
            return self._adopt(from_fill(fill)), True
        return order, False

    def take(self, order: Order, snapshot: OrderSnapshot) -> None:
        """Book a venue's statement of an order: its fills, its executed quantity, its state."""
        placed = order.placed
        if (snapshot.instrument, snapshot.side) != (placed.instrument, placed.side):
            seen = f"{snapshot.side.value} {snapshot.instrument}"
            self.books.fault(f"{order.client_id}: the venue shows {seen} under our name")
            return
        if snapshot.quantity != placed.quantity:
            if not order.stranger:
                shown = f"the venue shows a quantity of {snapshot.quantity}, sent was {placed.quantity}"
                self.books.fault(f"{order.client_id}: {shown}")
            else:
                order.placed = replace(placed, quantity=snapshot.quantity)
                self.books.touch(order)
        for fill in snapshot.fills:
            self._book_fill(order, fill)
        self.books.state_executed(order, snapshot.executed)
        event = SAID.get(snapshot.state)
        if event is None:
            self.books.fault(f"{order.client_id}: a venue cannot state {snapshot.state.value!r} of an order")
            return
        if event is OrderEvent.FILL_ALL and order.executed < order.placed.quantity:
            # Believe the state: what is said to be filled must never be sent again. The fills are asked for.
            self.books.fault(
                f"{order.client_id}: stated as filled, with {order.executed} of {order.placed.quantity} executed"
            )
            self.books.state_executed(order, order.placed.quantity)
        if event in (OrderEvent.OPEN, OrderEvent.FILL_PART):
            # An old statement may say less than the fills already counted.
            event = self._by_amount(order, event)
        self.say(order, event)

    def count(self, order: Order, fill: Fill) -> bool:
        """Book one fill from the user stream and what it says of the order's state; False when it is not news."""
        if not self._book_fill(order, fill):
            return False
        self.say(order, self._by_amount(order, OrderEvent.FILL_PART))
        return True

    def say(self, order: Order, event: OrderEvent, reason: str = "") -> None:
        """Advance an order on the venue's word; a step that the table does not have is a fault."""
        try:
            self.books.move(order, event, reason)
        except Defect as contradiction:
            self.books.fault(f"{order.client_id}: {contradiction}")

    def _book_fill(self, order: Order, fill: Fill) -> bool:
        placed = order.placed
        if fill.quantity <= 0 or fill.instrument != placed.instrument or fill.side is not placed.side:
            text = f"trade {fill.trade_id} ({fill.side.value} {fill.quantity} {fill.instrument})"
            self.books.fault(f"{order.client_id}: {text} does not belong to it")
            return False
        return self.books.count(order, fill)

    def _by_amount(self, order: Order, event: OrderEvent) -> OrderEvent:
        if order.executed >= order.placed.quantity:
            return OrderEvent.FILL_ALL
        return OrderEvent.FILL_PART if order.executed else event

    def _may_adopt(self, name: str, minute: int) -> bool:
        parts = parse_id(name)
        if parts is None or parts.instance != self.instance:
            return False
        if parts.minute < minute - self.books.retain_minutes * MINUTE_MS:
            self.books.fault(f"{name}: news of an order older than the books")
            return False
        return True

    def _adopt(self, placed: PlaceOrder) -> Order:
        parts = parse_id(placed.client_id)
        order = self.books.add_order(placed, parts.minute if parts else 0, None)
        self.books.move(order, OrderEvent.SEND)
        self.books.move(order, OrderEvent.LOSE, "found at the venue, not in the books")
        self.books.fault(f"{placed.client_id}: found at the venue, not in the books")
        return order
