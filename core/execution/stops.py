"""Stop orders left at venues that hold them: a net under each position for when the bot is away or blind.

The bot's own exits come first: what is left at the venue is one limit order with a stop price, at the level where
``core.protection`` would sell, its limit ``widest`` below that. It binds the coins, so whoever sells takes it off
first and waits for the venue's word; until then its quantity counts as sold. It is placed when nothing else of ours
works on the instrument, and anew when the quantity or the level has changed.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from core.execution.books import Books, Order
from core.execution.names import Names
from core.execution.positions import Position, lots_of
from core.execution.schedules.twap import least_lots_of
from core.messages import AccountState, OrderState, PlaceOrder, TimeInForce
from core.orders import OrderEvent
from core.ports import ZERO
from core.protection import NOT_DUE, STOPS, ExitRules, stop_level
from core.units import MINUTE_MS, Instrument, Side

STRATEGY = "stop"
"""In the client ids of these orders."""
MOVED = 0.005
"""A stop is placed anew when its level has moved by so much of itself; each time the position is bare for a moment."""
GRACE_MS = 5_000
"""A stop that was reached is left to the venue so long, then taken off, and the bot sells."""
RETRY_MS = MINUTE_MS
"""After the venue turned one down."""


class Stops:
    """The stop orders of one executor, at most one an instrument."""

    def __init__(self, books: Books, instance: str) -> None:
        self._books = books
        self._names = Names(books, instance, STRATEGY)
        self.venues: frozenset[str] = frozenset()
        """Where they are left."""

    def standing(self, instrument: Instrument) -> Order | None:
        """The stop that the venue has, or may have."""
        for order in self._books.watch.values():
            if order.protects and order.live and order.placed.instrument == instrument:
                return order
        return None

    def too_long(self, instrument: Instrument, now_ms: int) -> Order | None:
        """The stop to be taken off for the exit that is due: at once, or when the venue has had its time with it."""
        position = self._books.positions.held.get(instrument)
        if position is None or position.due == NOT_DUE:
            return None
        if position.due in STOPS and now_ms < position.due_ms + GRACE_MS:
            return None
        return self.standing(instrument)

    def outdated(self, instrument: Instrument, rules: ExitRules) -> Order | None:
        """The stop that does not fit its position any more."""
        order, position = self.standing(instrument), self._books.positions.held.get(instrument)
        if order is None or position is None or self._busy(instrument) or position.due != NOT_DUE:
            return None
        market, stop = self._books.positions.rules.get(instrument), order.placed.stop_price
        if not position.open or market is None or stop is None or instrument.venue not in self.venues:
            return order
        quantity = min(lots_of(position.quantity, market), int(market.max_qty // market.step)) * market.step
        level = stop_level(position.entry, position.peak, rules)
        fits = order.open_quantity == quantity and abs(float(stop) / level - 1.0) <= MOVED if level > 0.0 else False
        return None if fits else order

    def missing(
        self, instrument: Instrument, mid: float, now_ms: int, minute: int, rules: ExitRules
    ) -> PlaceOrder | None:
        """The stop that a position lacks, booked as sent."""
        position, market = self._books.positions.held.get(instrument), self._books.positions.rules.get(instrument)
        if instrument.venue not in self.venues or position is None or market is None or not position.open:
            return None
        if position.due != NOT_DUE or self._busy(instrument) or self.standing(instrument) is not None:
            return None
        if self._was_refused(position) and now_ms < position.stop_ms + RETRY_MS:
            return None
        level = stop_level(position.entry, position.peak, rules)
        if not 0.0 < level < mid:
            return None
        ticks = max(1, math.floor(level / float(market.tick)))
        limit = max(1, math.floor(ticks * (1.0 - rules.widest))) * market.tick
        lots = min(lots_of(position.quantity, market), int(market.max_qty // market.step))
        name = self._names.next(instrument, minute) if lots >= least_lots_of(market, limit) else ""
        if not name:
            return None
        placed = PlaceOrder(
            client_id=name,
            intent_id=f"{minute}:{instrument}:stop",
            instrument=instrument,
            side=Side.SELL,
            quantity=lots * market.step,
            price=limit,
            time_in_force=TimeInForce.GTC,
            stop_price=ticks * market.tick,
        )
        order = self._books.add_order(placed, minute, None, standing=True)
        self._books.move(order, OrderEvent.SEND)
        position.stop, position.stop_ms = name, now_ms
        return placed

    def released(self, account: AccountState) -> AccountState:
        """The account as it would be with these stops taken off: what they bind can be sold."""
        bound: dict[tuple[str, str], Decimal] = {}
        for order in self._protecting():
            key = (order.placed.instrument.venue, order.placed.instrument.base)
            bound[key] = bound.get(key, ZERO) + order.open_quantity
        if not bound:
            return account
        balances = []
        for balance in account.balances:
            back = min(bound.pop((balance.venue, balance.asset), ZERO), balance.locked)
            balances.append(replace(balance, free=balance.free + back, locked=balance.locked - back))
        return replace(account, balances=tuple(balances))

    def _protecting(self) -> Iterable[Order]:
        return (order for order in self._books.watch.values() if order.protects and order.live)

    def _busy(self, instrument: Instrument) -> bool:
        """Something else of ours works on the instrument, so its position is about to change."""
        return instrument in self._books.current or any(
            order.live and not order.protects and order.placed.instrument == instrument
            for order in self._books.watch.values()
        )

    def _was_refused(self, position: Position) -> bool:
        last = self._books.orders.get(position.stop)
        return last is not None and last.state is OrderState.REJECTED
