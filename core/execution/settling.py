"""Orders whose end, or whose fills, are not known: asked about, doubted, and cancelled where nobody wants them any more.

A send without an answer is unknown, never failed: it is asked about by its name, and given up only when the venue has
denied it twice, ``requery_ms`` apart. What was given up is asked about for a while longer.
"""

from collections.abc import Collection, Iterable

from core.execution.books import Books, Order
from core.execution.intake import Intake
from core.execution.stimuli import Instruction
from core.messages import CancelOrder, OrderState, QueryOrder
from core.orders import OrderEvent
from core.reasons import Reason
from core.units import MINUTE_MS

DOUBT_MS = 10 * MINUTE_MS
"""An order that was given up as denied is asked about at every reconciliation of so long a time: the request may have
been late, and the news of it lost with a connection."""


def query_of(order: Order) -> QueryOrder:
    return QueryOrder(client_id=order.client_id, instrument=order.placed.instrument)


class Settling:
    """What becomes of the orders of one executor."""

    def __init__(self, books: Books, intake: Intake, requery_ms: int) -> None:
        self._books = books
        self._intake = intake
        self.requery_ms = requery_ms
        self.stopped = False
        """Nothing but what protects a position is wanted any more."""

    def ask(self, order: Order, now_ms: int) -> QueryOrder:
        """The question what became of it."""
        if order.state is OrderState.SENT:
            # Whose answer is still on its way is not asked about (``awaited``): this one's was lost.
            self._books.move(order, OrderEvent.LOSE, "its answer never came")
        order.asked_ms = now_ms
        self._books.version += 1
        return query_of(order)

    def ask_due(self, now_ms: int, awaited: Collection[str] = ()) -> list[Instruction]:
        """Questions about those that were not asked about lately, but for the names in ``awaited``."""
        latest = now_ms - self.requery_ms
        due = [
            order
            for order in self._books.watch.values()
            if order.asked_ms <= latest and not _stands(order) and order.client_id not in awaited
        ]
        return [self.ask(order, now_ms) for order in due]

    def ask_all(self, now_ms: int, awaited: Collection[str] = ()) -> list[Instruction]:
        """Questions about all of them but the names in ``awaited``, and about those given up not long ago."""
        orders = (*self._books.watch.values(), *self._doubted(now_ms))
        return [self.ask(order, now_ms) for order in orders if order.client_id not in awaited]

    def end_all(self, now_ms: int, asked: set[str]) -> list[Instruction]:
        """For the last time: cancels of what stands, questions about the rest but for the names in ``asked``."""
        out: list[Instruction] = []
        for order in list(self._books.watch.values()):
            if order.client_id not in asked:
                out += self.chase(order) or [self.ask(order, now_ms)]
        # The last chance to hear of those that were given up.
        return out + [self.ask(order, now_ms) for order in self._doubted(now_ms)]

    def _doubted(self, now_ms: int) -> list[Order]:
        """Orders given up not long ago, of which nothing was heard since."""
        doubted = self._books.doubted
        for order in list(doubted.values()):
            if order.state is not OrderState.REJECTED or now_ms - order.absent_ms > DOUBT_MS:
                del doubted[order.client_id]
                self._books.version += 1
        return list(doubted.values())

    def denied(self, order: Order, now_ms: int) -> bool:
        """The venue knows nothing of it; True when it is given up for that."""
        if order.state is OrderState.SENT:
            self._intake.say(order, OrderEvent.LOSE, "the venue does not show it yet")
        if order.state is OrderState.UNKNOWN:
            if self._denied_twice(order, now_ms):
                order.absences += 1
                order.absent_ms = now_ms
                self._intake.say(order, OrderEvent.ABSENT, Reason("denied", count=str(order.absences)))
                self._books.doubted[order.client_id] = order
                return True
        elif (order.live or order.short) and self._denied_twice(order, now_ms):
            self._books.fault(
                f"{order.client_id}: the venue denies an order that it had confirmed ({order.state.value})"
            )
        return False

    def _denied_twice(self, order: Order, now_ms: int) -> bool:
        """Note a denial; True when an earlier one lies ``requery_ms`` back. A venue's questions lag behind its engine."""
        if order.absences == 0:
            order.absences, order.absent_ms = 1, now_ms
            self._books.version += 1
            return False
        return now_ms - order.absent_ms >= self.requery_ms

    def chase_all(self, orders: Iterable[Order]) -> list[Instruction]:
        return [instruction for order in orders for instruction in self.chase(order)]

    def chase(self, order: Order) -> list[Instruction]:
        """Cancel an order that stands although its intent has ended."""
        if order.state not in (OrderState.OPEN, OrderState.PARTIAL, OrderState.CANCELLING):
            return []
        parent = order.parent
        wanted = order.standing or (parent is not None and not parent.closed and not parent.over)
        # A stop stays at the venue when we go: that is what it is for.
        if wanted and (not self.stopped or order.protects):
            return []
        self._books.move(order, OrderEvent.ASK_CANCEL)
        return [CancelOrder(client_id=order.client_id, instrument=order.placed.instrument)]


def _stands(order: Order) -> bool:
    """Known to rest as wanted: the stream and the next reconciliation tell of it, no beat need ask."""
    return order.standing and not order.short and order.state in (OrderState.OPEN, OrderState.PARTIAL)
