"""Protective exits at work: which positions are due at the prices seen, and the orders that sell them.

The rule is ``core.protection``; this keeps an exit going until its position has ended. Its orders are
immediate-or-cancel, have no parent, and never ask for more than the position holds beyond what other sells of ours may
still take: so nothing is sold twice, whatever became of an order of unknown outcome.
"""

import math
from collections.abc import Mapping
from decimal import Decimal

from core.execution.books import Books
from core.execution.names import Names
from core.execution.positions import Position, lots_of
from core.execution.schedules.twap import least_lots_of
from core.messages import AccountState, OrderState, PlaceOrder, TimeInForce, Top
from core.orders import OrderEvent
from core.ports import ZERO
from core.protection import (
    CHASE_MS,
    NAMES,
    NO_EXITS,
    NOT_DUE,
    Bounds,
    collar_at,
    due_at,
    exit_bounds,
    exit_ticks,
    protective_exit,
)
from core.units import Instrument, Side

Mids = tuple[tuple[Instrument, float], ...]

NO_BOUNDS = Bounds(0.0, math.inf)
"""Of what no price makes due."""
STRATEGY = "exit"
"""In the client ids of exits, where the ensemble's orders have theirs."""


class Exits:
    """The exits of one executor."""

    def __init__(self, books: Books, instance: str) -> None:
        self._books = books
        self._names = Names(books, instance, STRATEGY)
        self.rules = NO_EXITS
        """In force now."""

    def watched(self) -> list[Instrument]:
        """Whose price is wanted now, in order of name: open positions, and what a stop at the venue stands for."""
        stops = {order.placed.instrument for order in self._books.watch.values() if order.protects and order.live}
        return sorted(stops.union(self._books.positions.open() if self.rules.on else ()))

    def mids_of(self, tops: Mapping[Instrument, Top]) -> Mids:
        """The middles of ``tops``, of what is watched."""
        return tuple((i, (tops[i].bid + tops[i].ask) / 2.0) for i in self.watched() if i in tops)

    def bounds(self) -> dict[Instrument, Bounds]:
        """Between which prices nothing is due, of what is watched."""
        held = self._books.positions.held
        return {
            i: exit_bounds(p.entry, p.peak, p.due, self.rules) if (p := held.get(i)) and p.open else NO_BOUNDS
            for i in self.watched()
        }

    def totals_of(self, account: AccountState) -> tuple[tuple[Instrument, Decimal], ...]:
        """What the venue states of the coins of open positions."""
        return tuple((i, account.total(i.venue, i.base)) for i in self._books.positions.open())

    def at_work(self, instrument: Instrument) -> str:
        """The exit that is selling the instrument; empty when none is."""
        position = self._books.positions.held.get(instrument)
        return NAMES[position.due] if position is not None and position.due != NOT_DUE else ""

    def see(self, mids: Mids, now_ms: int) -> list[Instrument]:
        """Take in prices; gives the instruments whose exit became due just now."""
        found = []
        for instrument, mid in mids:
            position = self._open(instrument, mid)
            if position is None:
                continue
            if self.rules.trail > 0.0 and mid > position.peak:
                position.peak = mid
                self._books.version += 1
            if position.due == NOT_DUE:
                position.due = int(due_at(position.entry, position.peak, position.since_ms, mid, now_ms, self.rules))
                if position.due != NOT_DUE:
                    position.due_ms = now_ms
                    self._books.version += 1
                    found.append(instrument)
        return found

    def orders(self, mids: Mids, now_ms: int, minute: int) -> list[PlaceOrder]:
        """What the exits at work send now."""
        out = []
        for instrument, mid in mids:
            position = self._open(instrument, mid)
            if position is None or position.due == NOT_DUE or now_ms < self._ready_ms(position):
                continue
            placed = self._order(instrument, position, mid, now_ms, minute)
            if placed is not None:
                out.append(placed)
        return out

    def _open(self, instrument: Instrument, mid: float) -> Position | None:
        position = self._books.positions.held.get(instrument)
        usable = math.isfinite(mid) and mid > 0.0 and instrument in self._books.positions.rules
        return position if usable and position is not None and position.open else None

    def _ready_ms(self, position: Position) -> int:
        last = self._books.orders.get(position.last)
        if last is not None and last.state is OrderState.REJECTED:
            # The next one would be turned away as well: a venue in trouble is not asked every second.
            return position.next_ms - CHASE_MS + self.rules.look_ms
        return position.next_ms

    def _order(
        self, instrument: Instrument, position: Position, mid: float, now_ms: int, minute: int
    ) -> PlaceOrder | None:
        rules = self._books.positions.rules[instrument]
        ticks = int(exit_ticks(mid, float(rules.tick), collar_at(position.attempts, self.rules)))
        limit = ticks * rules.tick
        outstanding = self._outstanding(instrument)
        lots = lots_of(max(position.quantity - outstanding, ZERO), rules)
        if lots < least_lots_of(rules, limit):
            if not outstanding:
                self._books.positions.write_off(instrument, mid)
                self._books.version += 1
            return None
        name = self._names.next(instrument, minute)
        if not name:
            return None
        quantity = min(lots, int(rules.max_qty // rules.step)) * rules.step
        permit = protective_exit(
            minute=minute,
            now_ms=now_ms,
            instrument=instrument,
            due=position.due,
            attempt=position.attempts,
            quantity=quantity,
            ticks=ticks,
            mid=mid,
            entry=position.entry,
            peak=position.peak,
            since_ms=position.since_ms,
            exits=self.rules,
            rules=rules,
        )
        placed = PlaceOrder(
            client_id=name,
            intent_id=permit.intent_id,
            instrument=instrument,
            side=Side.SELL,
            quantity=permit.quantity,
            price=permit.limit_price,
            time_in_force=TimeInForce.IOC,
        )
        self._books.note_exit(permit)
        order = self._books.add_order(placed, minute, None)
        self._books.move(order, OrderEvent.SEND)
        position.attempts += 1
        position.last, position.next_ms = name, now_ms + CHASE_MS
        return placed

    def _outstanding(self, instrument: Instrument) -> Decimal:
        """Base units that sells of ours may still take."""
        return sum(
            (
                order.open_quantity
                for order in self._books.watch.values()
                if order.placed.instrument == instrument and order.placed.side is Side.SELL
            ),
            ZERO,
        )
