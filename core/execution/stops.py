"""Stop orders left at venues that hold them: a net under each position for when the bot is away or blind.

The bot's own exits come first: what is left at the venue is one limit order with a stop price, at the level where
``core.protection`` would sell, its limit ``widest`` below that. It binds the coins, so whoever sells takes it off
first and waits for the venue's word; until then its quantity counts as sold. It is placed when nothing else of ours
works on the instrument, and anew when the quantity or the level has changed.

Where a take-profit is set, and the venue holds pairs, the stop is one of two: a limit order at the take-profit stands
above it, one cancels the other. Both are orders in the books, with names and fills of their own; they are sent as one, and
what the venue does not say of the second in its answer it is asked about. A cancel of one takes both off; a sale waits
until the venue has said so of each.

The stop does not trail at the venue (trailingDelta): there it would trail from when it was placed, by trades, under a
limit price that does not move, and could not be held against a hard stop beside it. While the bot is there it moves the
order itself (``MOVED``); while it is away the last level holds.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from core.execution.books import Books, Order
from core.execution.names import Names
from core.execution.positions import Position, lots_of
from core.execution.schedules.twap import least_lots_of
from core.execution.settling import Settling
from core.execution.stimuli import Instruction
from core.messages import AccountState, OrderState, PlaceOrder, TimeInForce
from core.orders import OrderEvent, parse_id
from core.ports import ZERO
from core.protection import NOT_DUE, STOPS, TAKE_PROFIT, ExitRules, exit_intent, stop_level
from core.units import MINUTE_MS, Instrument, Side

STRATEGY = "stop"
"""In the client ids of these orders."""
MOVED = 0.005
"""A stop is placed anew when its level has moved by so much of itself; each time the position is bare for a moment."""
GRACE_MS = 5_000
"""A stop that was reached is left to the venue so long, then taken off, and the bot sells."""
RETRY_MS = MINUTE_MS
"""After the venue turned one down."""


def _near(price: Decimal, level: float) -> bool:
    """Not worth being moved."""
    return level > 0.0 and abs(float(price) / level - 1.0) <= MOVED


def stays(name: str) -> bool:
    """Whether an order of this name may stand at the venue when the bot has gone: that is what it is for."""
    parts = parse_id(name)
    return parts is not None and parts.strategy == STRATEGY


class Stops:
    """The stop orders of one executor, at most one an instrument."""

    def __init__(self, books: Books, instance: str) -> None:
        self._books = books
        self._names = Names(books, instance, STRATEGY)
        self.venues: frozenset[str] = frozenset()
        """Where they are left."""
        self.pairs: frozenset[str] = frozenset()
        """Where one may cancel the other."""

    def standing(self, instrument: Instrument) -> Order | None:
        """The stop that the venue has, or may have; what is left of its pair where that is gone."""
        found = [order for order in self._protecting() if order.placed.instrument == instrument]
        stops = [order for order in found if order.placed.stop_price is not None]
        return next(iter(stops or found), None)

    def pair_of(self, order: Order) -> tuple[Order, ...]:
        """The order, and the other of its pair."""
        other = self._books.orders.get(order.placed.pair)
        return (order,) if other is None else (order, other)

    def unheard(self, order: Order) -> tuple[Order, ...]:
        """The other of its pair, while the venue has said nothing of it."""
        return tuple(o for o in self.pair_of(order)[1:] if o.state is OrderState.SENT)

    def take_off(self, stop: Order | None, settling: Settling) -> list[Instruction]:
        """Cancel a stop that was left at the venue, with the other of its pair."""
        if stop is None:
            return []
        for order in self.pair_of(stop):
            if order.standing:
                order.standing = False
                self._books.version += 1
        return settling.chase(stop) if stop.state is not OrderState.CANCELLING else []

    def clear(self, instrument: Instrument, now_ms: int, rules: ExitRules, settling: Settling) -> list[Instruction]:
        """Take off what stands in an exit's way, and what does not fit its position any more."""
        out = self.take_off(self.too_long(instrument, now_ms), settling)
        return out + self.take_off(self.outdated(instrument, rules), settling)

    def turned_down(self, order: Order) -> None:
        """The venue refused it. Better one order than none: not every market takes lists."""
        position = self._books.positions.held.get(order.placed.instrument)
        if order.placed.pair and position is not None and position.stop == order.client_id:
            position.alone = True
            self._books.version += 1

    def too_long(self, instrument: Instrument, now_ms: int) -> Order | None:
        """The stop to be taken off for the exit that is due: at once, or when the venue has had its time with it."""
        position = self._books.positions.held.get(instrument)
        if position is None or position.due == NOT_DUE:
            return None
        standing = self.standing(instrument)
        graced = position.due in STOPS or (
            position.due == TAKE_PROFIT and standing is not None and standing.placed.pair
        )
        return None if graced and now_ms < position.due_ms + GRACE_MS else standing

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
        fits = order.open_quantity == quantity and _near(stop, level)
        return None if fits and self._is_paired(order, position, rules) else order

    def missing(
        self, instrument: Instrument, mid: float, now_ms: int, minute: int, rules: ExitRules
    ) -> PlaceOrder | None:
        """The stop that a position lacks, booked as sent."""
        position, market = self._books.positions.held.get(instrument), self._books.positions.rules.get(instrument)
        if instrument.venue not in self.venues or position is None or market is None or not position.open:
            return None
        if position.due != NOT_DUE or self._busy(instrument) or self.standing(instrument) is not None:
            return None
        refused = self._refused(position)
        waits = refused is not None and not (position.alone and refused.placed.pair)
        if waits and now_ms < position.stop_ms + RETRY_MS:
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
        profit = self._profit_at(instrument, position, rules)
        other = self._names.next(instrument, minute) if profit > mid else ""
        above = math.ceil(profit / float(market.tick)) * market.tick if other else None
        placed = PlaceOrder(
            client_id=name,
            intent_id=f"{minute}:{instrument}:stop",
            instrument=instrument,
            side=Side.SELL,
            quantity=lots * market.step,
            price=limit,
            time_in_force=TimeInForce.GTC,
            stop_price=ticks * market.tick,
            pair=other,
            pair_price=above,
        )
        self._book(placed, minute)
        if above is not None:
            named = exit_intent(minute, instrument, TAKE_PROFIT)
            profit_at = replace(placed, client_id=other, intent_id=named, pair=name, price=above)
            self._book(replace(profit_at, stop_price=None, pair_price=None), minute)
        position.stop, position.stop_ms = name, now_ms
        return placed

    def _book(self, placed: PlaceOrder, minute: int) -> None:
        self._books.move(self._books.add_order(placed, minute, None, standing=True), OrderEvent.SEND)

    def _profit_at(self, instrument: Instrument, position: Position, rules: ExitRules) -> float:
        """Where the other of a pair is to stand; 0 where there is to be none."""
        wanted = rules.profit > 0.0 and instrument.venue in self.pairs and not position.alone
        return position.entry * (1.0 + rules.profit) if wanted else 0.0

    def _is_paired(self, stop: Order, position: Position, rules: ExitRules) -> bool:
        """The other order is as it should be: there, or none."""
        profit, others = self._profit_at(stop.placed.instrument, position, rules), self.pair_of(stop)[1:]
        if not profit > 0.0 or not others:
            return not others and not profit > 0.0
        return (
            others[0].live and others[0].open_quantity == stop.open_quantity and _near(others[0].placed.price, profit)
        )

    def released(self, account: AccountState) -> AccountState:
        """The account as it would be with these stops taken off: what they bind can be sold."""
        bound: dict[tuple[str, str], Decimal] = {}
        for order in self._protecting():
            if order.placed.stop_price is None and any(other.live for other in self.pair_of(order)[1:]):
                # Two orders, and the coins of one.
                continue
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

    def _refused(self, position: Position) -> Order | None:
        """The newest one, where the venue turned it down."""
        last = self._books.orders.get(position.stop)
        return last if last is not None and last.state is OrderState.REJECTED else None
