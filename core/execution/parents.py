"""Approved intents at work: each begins as a parent, is cut by its schedule into orders, and ends.

What is due when is the schedule's (``pace.py`` for slices, ``adaptive.py`` for who looks at the book); here it becomes
orders in the books, each name sent at most once. While an older order of the instrument may still fill, a parent waits;
while a stop at the venue binds the coins, so does a sale.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from core.errors import Defect
from core.execution.adaptive import RESTING, is_last_look, move_of, see, stands_well, wants_depth
from core.execution.books import Books, Order, Parent
from core.execution.exits import Exits
from core.execution.pace import part_of, slot_at, stage_of
from core.execution.schedules.rule import ADAPTIVE, Schedule, jitter_seed
from core.execution.settling import Settling
from core.execution.stimuli import BookSeen, Conditions, Instruction, MinuteStarted
from core.execution.stops import Stops
from core.messages import Approved, CancelOrder, OrderState, PlaceOrder, TimeInForce, Top
from core.orders import OrderEvent, client_id
from core.reasons import Reason
from core.units import MINUTE_MS, Instrument, MarketRules, Side

MOST_SENDS = 1_200
"""Orders of one parent; a client id has no room for more than 1,296."""


class Parents:
    """The parents of one executor. ``schedule`` and ``rules`` hold for those that begin now."""

    def __init__(
        self,
        books: Books,
        settling: Settling,
        exits: Exits,
        stops: Stops,
        schedule: Schedule,
        instance: str,
        strategy: str,
    ) -> None:
        self._books, self._settling, self._exits, self._stops = books, settling, exits, stops
        self._instance, self._strategy = instance, strategy
        self.schedule = schedule
        self.rules: dict[Instrument, MarketRules] = {}

    def looking(self) -> tuple[Instrument, ...]:
        """Markets whose books adaptive parents look at now."""
        return tuple(i for i, parent in self._books.current.items() if parent.schedule.kind == ADAPTIVE)

    def wanting_depth(self, tops: Mapping[Instrument, Top]) -> dict[Instrument, Side]:
        """Adaptive parents that are larger than the touch they see, and their sides."""
        found = {}
        for instrument in self.looking():
            parent, top = self._books.current[instrument], tops.get(instrument)
            if top is not None and wants_depth(parent, top):
                found[instrument] = parent.side
        return found

    def see(self, stimulus: BookSeen) -> None:
        """Show a book to the adaptive parent that looks at it."""
        parent = self._books.current.get(stimulus.instrument)
        if parent is not None and parent.schedule.kind == ADAPTIVE:
            see(parent, stimulus.top, stimulus.depth)
            self._books.version += 1

    # --- a life ------------------------------------------------------------------------------------------------

    def check(self, stimulus: MinuteStarted) -> None:
        """Raises ``Defect`` for an intent that cannot be, before anything has changed."""
        seen: set[Instrument] = set()
        for approved in stimulus.approved:
            name = f"intent {approved.intent_id} for {approved.instrument}"
            if approved.minute != stimulus.minute:
                raise Defect(f"{name} belongs to minute {approved.minute}, not to {stimulus.minute}")
            if approved.instrument not in self.rules:
                raise Defect(
                    f"{name}: the executor has no market rules for it; it knows {', '.join(map(str, self.rules))}"
                )
            if approved.instrument in seen:
                raise Defect(f"{name}: a second intent for one instrument in one minute")
            if (
                approved.quantity <= 0
                or approved.quantity % self.rules[approved.instrument].step
                or approved.limit_price <= 0
            ):
                raise Defect(
                    f"{name}: {approved.quantity} at {approved.limit_price} is not a positive amount on the lot grid"
                )
            seen.add(approved.instrument)

    def begin(self, stimulus: MinuteStarted) -> list[Instruction]:
        """Begin those of a minute that have not begun."""
        out: list[Instruction] = []
        seen = {conditions.instrument: conditions for conditions in stimulus.conditions}
        # Sells first: what they bring in may pay for the buys.
        for approved in sorted(stimulus.approved, key=lambda a: a.side is Side.BUY):
            if (stimulus.minute, approved.instrument) not in self._books.parents:
                out += self._start(approved, seen.get(approved.instrument), stimulus.now_ms)
        return out

    def _start(self, approved: Approved, seen: Conditions | None, now_ms: int) -> list[Instruction]:
        parent = Parent(
            intent_id=approved.intent_id,
            minute=approved.minute,
            instrument=approved.instrument,
            side=approved.side,
            quantity=approved.quantity,
            limit_price=approved.limit_price,
            schedule=self.schedule,
            stage=stage_of(self._books, approved, seen, self.schedule, self.rules[approved.instrument]),
            unsent=approved.quantity,
            seed=jitter_seed(self._instance, approved.instrument),
            seen=seen,
            edge_bps=approved.edge_bps,
        )
        if seen is not None:
            parent.bid, parent.ask, parent.book_ms = seen.bid, seen.ask, now_ms
            parent.depth, parent.queue = seen.depth, seen.queue
        self._books.open_parent(parent)
        if self._settling.stopped:
            return self.close(parent, "the executor is stopped")
        if exit_name := self._exits.at_work(approved.instrument):
            return self.close(parent, f"a {exit_name} is selling the position")
        if now_ms >= parent.start_ms + MINUTE_MS:
            return self.close(parent, f"came {now_ms - parent.start_ms} ms after its minute closed")
        return self.advance(parent, now_ms)

    def advance_all(self, now_ms: int) -> list[Instruction]:
        """Time has passed: what is due of each."""
        return [i for parent in list(self._books.current.values()) for i in self.advance(parent, now_ms)]

    def close_all(self, reason: str, side: Side | None = None) -> list[Instruction]:
        """End all, or those of one side."""
        ending = [parent for parent in self._books.current.values() if side in (None, parent.side)]
        return [instruction for parent in ending for instruction in self.close(parent, reason)]

    def close(self, parent: Parent, reason: str) -> list[Instruction]:
        """End a parent; one that never sent anything leaves a dropped order, so that the record shows why."""
        if not parent.orders:
            dropped = self._place(parent, parent.quantity, max(parent.slot, 0))
            order = self._books.add_order(dropped, parent.minute, parent)
            self._books.move(order, OrderEvent.DROP, Reason("never_sent", why=reason))
        self._books.close_parent(parent)
        return self._settling.chase_all(parent.orders)

    def finish(self, parent: Parent | None) -> None:
        """Close a parent with nothing open, once nothing is left to send or no slot is left to send it in."""
        if parent is None or parent.closed or parent.open:
            return
        over = parent.schedule.kind != ADAPTIVE and parent.slot == parent.schedule.slices - 1
        if not parent.unsent or over:
            self._books.close_parent(parent)

    def released(self, order: Order) -> list[Instruction]:
        """A cancel is done: what was waiting for it goes on."""
        if self._settling.stopped or order.live:
            return []
        if order.protects:
            waiting = self._books.current.get(order.placed.instrument)
            if waiting is None or waiting.side is Side.BUY or waiting.orders:
                return []
            return self.advance(waiting, max(waiting.start_ms, waiting.looked_ms))
        parent = order.parent
        if parent is None or parent.closed or parent.schedule.kind != ADAPTIVE:
            return []
        # An adaptive parent took it back to do something else with it.
        return self._look(parent, parent.looked_ms)

    # --- what is due -------------------------------------------------------------------------------------------

    def advance(self, parent: Parent, now_ms: int) -> list[Instruction]:
        """What is due of a parent at ``now_ms``."""
        if parent.side is Side.SELL and (stop := self._stops.standing(parent.instrument)) is not None:
            # It binds the coins. The slot stays open: it is used when the venue has said that the stop is off.
            return self._stops.take_off(stop, self._settling)
        if parent.schedule.kind == ADAPTIVE:
            return self._look(parent, now_ms)
        slot = slot_at(parent, now_ms)
        if slot <= parent.slot:
            return []
        if slot >= parent.schedule.slices:
            return self.close(parent, "the schedule is over")
        parent.slot = slot
        self._books.version += 1
        blocker = self._books.older_live(parent)
        if blocker is not None:
            if slot == parent.schedule.slices - 1:
                return self.close(parent, f"{blocker.client_id} is not settled ({blocker.state.value})")
            return []
        part = part_of(parent, slot, self.rules[parent.instrument])
        if part is None:
            if parent.open:
                return []
            return self.close(parent, f"{parent.unsent} is below the venue's smallest order")
        if not part:
            if slot == parent.schedule.slices - 1 and not parent.orders:
                return self.close(parent, "its share of this minute is below the venue's smallest order")
            self.finish(parent)
            return []
        return self._send(parent, self._place(parent, part, slot))

    def _look(self, parent: Parent, now_ms: int) -> list[Instruction]:
        """Let an adaptive parent look at the book: what rests and should not, is cancelled first; what is due is sent
        when nothing of it is out any more, here or on the answer to the cancel."""
        parent.looked_ms = now_ms
        self._books.version += 1
        out = [order for order in parent.orders if order.live]
        if self._books.older_live(parent) is not None or any(
            order.state not in (*RESTING, OrderState.CANCELLING) for order in out
        ):
            return []
        move = move_of(parent, self.rules[parent.instrument], now_ms)
        if move is None:
            return []
        resting = [order for order in out if not stands_well(parent, order.placed.price, move)]
        if resting:
            for order in resting:
                self._books.move(order, OrderEvent.ASK_CANCEL)
            return [CancelOrder(client_id=o.client_id, instrument=parent.instrument) for o in resting]
        if out:
            return []
        sent: list[Instruction] = []
        limit, free = parent.limit_price, parent.unsent
        for quantity, price, how in ((move.cross, limit, TimeInForce.IOC), (move.rest, move.price, TimeInForce.GTC)):
            if quantity and quantity <= free and not parent.closed and parent.slot < MOST_SENDS:
                free -= quantity
                parent.slot += 1
                placed = self._place(parent, quantity, parent.slot, price, how)
                # What is to rest must not take: a market that came to its price first is looked at again.
                sent += self._send(parent, replace(placed, post_only=how is TimeInForce.GTC))
        if not sent and (is_last_look(parent, now_ms) or not move.rest):
            return self.close(parent, f"{parent.unsent} is below the venue's smallest order, or was not due yet")
        return sent

    def _send(self, parent: Parent, placed: PlaceOrder) -> list[Instruction]:
        if placed.client_id in self._books.orders:
            # An earlier life sent it, and its journal is gone.
            return self.close(parent, "sent before")
        order = self._books.add_order(placed, parent.minute, parent)
        self._books.move(order, OrderEvent.SEND)
        return [order.placed]

    def _place(
        self,
        parent: Parent,
        quantity: Decimal,
        slot: int,
        price: Decimal | None = None,
        how: TimeInForce = TimeInForce.IOC,
    ) -> PlaceOrder:
        return PlaceOrder(
            client_id=client_id(self._instance, self._strategy, parent.minute, parent.instrument.symbol, slot),
            intent_id=parent.intent_id,
            instrument=parent.instrument,
            side=parent.side,
            quantity=quantity,
            price=parent.limit_price if price is None else price,
            time_in_force=how,
        )
