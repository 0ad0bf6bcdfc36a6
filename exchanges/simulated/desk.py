"""Working orders: what one takes when it arrives, how it rests, and how it waits for its price.

Times: ``at_ms`` is the instant an order meets the book, which may lie a little after the exchange's ``now_ms``.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import takewhile

from core.book import ANY
from core.units import MarketRules, Side, to_decimal
from exchanges.simulated.books import Books
from exchanges.simulated.floor import Floor
from exchanges.simulated.lists import OrderList
from exchanges.simulated.market import SECOND_MS, MarketSource, Passage
from exchanges.simulated.matching import Take, crosses, passed_volume, queue_ahead, traded_through
from exchanges.simulated.orders import OrderType, SimOrder, Status
from exchanges.simulated.price_range import PriceRange, reference_price
from exchanges.simulated.refusals import VenueRefusal, no_liquidity, would_match, would_trigger
from exchanges.simulated.selftrade import Meeting, Plan, Stp, met_by, plan_past_own
from exchanges.simulated.stops import Watch, follow, reached


class Desk:
    """Moves orders between the books and the market."""

    def __init__(
        self,
        market: MarketSource,
        rules: Sequence[MarketRules],
        price_range: PriceRange | None,
        books: Books,
        floor: Floor,
    ) -> None:
        self.market = market
        self._range = price_range
        self._rules = tuple(rules)
        self._books = books
        self._floor = floor
        self._tick = [float(r.tick) for r in rules]
        self._step = [float(r.step) for r in rules]

    def begin(self, order: SimOrder, now_ms: int) -> None:
        """Take an order that acts at once; VenueRefusal when it may not or cannot be paid for."""
        at_ms = order.created_ms
        if order.type is OrderType.LIMIT_MAKER:
            self._refuse_if_matching(order, at_ms)
        plan = self._plan(order, at_ms)
        self._books.number(order)
        self._books.set_aside(order, self._cost(order, plan))
        self._books.enter(order)
        self._work(order, plan, at_ms, now_ms)

    def keep(self, order: SimOrder) -> None:
        """Take an order that waits for its price, unless that is there already."""
        price = self.market.price(order.row, order.created_ms)
        stop = float(order.stop_price)
        if stop and price is not None and reached(order.side, order.type, stop, price):
            raise would_trigger()
        order.lock_ticks = self._lock_ticks(order)
        self._books.number(order)
        self._books.set_aside(order, self._books.needed(order, order.ticks or order.lock_ticks))
        self._books.waiting[order.row][order.order_id] = order
        self._books.enter(order)

    def keep_pair(self, above: SimOrder, below: SimOrder, client_id: str) -> OrderList:
        """Take two orders of which one cancels the other: each waits for its price, or rests."""
        at_ms = above.created_ms
        for order in (above, below):
            if not order.type.contingent:
                self._refuse_if_matching(order, at_ms)
            order.lock_ticks = self._lock_ticks(order)
        need = max(self._books.needed(order, order.ticks or order.lock_ticks) for order in (above, below))
        for order in (below, above):
            self._books.number(order)
        made = self._books.enter_pair(above, below, client_id, need)
        for order in (above, below):
            if order.type.contingent:
                self._books.waiting[order.row][order.order_id] = order
            else:
                self._rest(order, at_ms)
        return made

    def _lock_ticks(self, order: SimOrder) -> int:
        """The price at which money is set aside for a contingent order without a limit."""
        price = order.stop_price or to_decimal(self.market.price(order.row, order.created_ms) or 0.0)
        return int(price / self._rules[order.row].tick)

    def let_pass(self, row: int, now_ms: int) -> None:
        """Let the second that just ended pass over the open orders of a market."""
        if not self._books.working[row] and not self._books.waiting[row]:
            return
        passage = self.market.passage(row, now_ms)
        if passage is not None:
            self._let_rest(row, passage, now_ms)
            self._let_wait(row, passage, now_ms)

    # An order that acts

    def _plan(self, order: SimOrder, at_ms: int) -> Plan:
        """What an order does at an instant; gives an order over money its quantity."""
        row, side = order.row, order.side
        low, high = self._bounds(order, at_ms)
        limit = order.ticks or None
        if order.quote_quantity:
            units = int(order.quote_quantity / self._books.unit[row])
            found = self._floor.find_for(row, side, units, at_ms)
            if not found and not self._floor.opposite(row, side, at_ms):
                raise no_liquidity()
            order.steps = sum(t.steps for t in found)
        else:
            found = self._floor.find(row, side, limit, order.steps, at_ms)
        takes = list(takewhile(lambda t: low <= t.ticks <= high, found))
        if order.stp == Stp.EXPIRE_MAKER:
            plan = Plan(takes, out_of_range=len(takes) < len(found))
        else:
            met = met_by(order, list(self._books.working[row].values()))
            if order.quote_quantity and order.stp in (Stp.NONE, Stp.DECREMENT):
                # What is left of the money after a part with an own order is not followed up.
                met = []
            plan = plan_past_own(order, takes, [o for o in met if low <= o.ticks <= high], order.steps)
            plan = replace(plan, out_of_range=len(takes) < len(found) and plan.stopped_by is None)
        if order.time_in_force == "FOK" and plan.steps < order.steps:
            return Plan()
        return plan

    def _bounds(self, order: SimOrder, at_ms: int) -> tuple[int, int]:
        """(lowest, highest) tick at which an order may trade now."""
        reference = None if self._range is None else reference_price(self.market, order.row, at_ms)
        if self._range is None or reference is None:
            return 0, ANY
        return self._range.ticks(order.side, reference, self._tick[order.row])

    def _refuse_if_matching(self, order: SimOrder, arrival: int) -> None:
        opposite = self._floor.opposite(order.row, order.side, arrival)
        if opposite and crosses(order.side, order.ticks, opposite[0][0]):
            raise would_match()

    def _cost(self, order: SimOrder, plan: Plan) -> Decimal:
        """What is to be set aside for an order that begins to work."""
        if order.side is Side.BUY and not order.ticks:
            parts = plan.takes if order.stp == Stp.DECREMENT else plan.parts
            money = sum(t.steps * t.ticks for t in parts) * self._books.unit[order.row]
            return money + self._books.fee_beside(order, money, maker=False)
        return self._books.needed(order, order.ticks)

    def _work(self, order: SimOrder, plan: Plan, at_ms: int, now_ms: int) -> None:
        """Let an order do what it does; the rest stays in the book, or expires."""
        if order.stp == Stp.EXPIRE_MAKER:
            self._expire_own_opposite(order, plan.takes, now_ms)
        for part in plan.parts:
            if isinstance(part, Meeting):
                self._meet(order, part, at_ms)
                continue
            self._floor.took(order.row, order.side, part.level, part.steps, at_ms)
            self._floor.traded(order.row, order.side, part.steps, at_ms)
            self._books.fill(order, part.ticks, part.steps, at_ms, maker=False)
        if plan.stopped_by is not None and order.live:
            self._books.prevent(order, plan.stopped_by, plan.stopped_by.ticks, at_ms)
        if order.live:
            self._rest_or_end(order, plan.out_of_range, at_ms, now_ms)

    def _meet(self, order: SimOrder, part: Meeting, at_ms: int) -> None:
        """Trade with an own order, or lessen both by what they would have traded."""
        if order.stp == Stp.DECREMENT:
            self._books.prevent(order, part.other, part.ticks, at_ms, part.steps)
            return
        self._books.fill(order, part.ticks, part.steps, at_ms, maker=False)
        self._books.fill(part.other, part.ticks, part.steps, at_ms, maker=True)

    def _expire_own_opposite(self, order: SimOrder, takes: list[Take], now_ms: int) -> None:
        """Own resting orders that this one would have met expire."""
        filled = bool(takes) and sum(t.steps for t in takes) == order.steps
        reach = takes[-1].ticks if filled else (order.ticks or None)
        for other in list(self._books.working[order.row].values()):
            if other.side is not order.side and crosses(order.side, reach, other.ticks):
                self._books.prevent(order, other, other.ticks, now_ms)

    def _rest_or_end(self, order: SimOrder, out_of_range: bool, at_ms: int, now_ms: int) -> None:
        if out_of_range:
            order.expiry = "EXECUTION_RULE_PRICE_RANGE_EXCEEDED"
            self._books.end(order, Status.EXPIRED, "EXPIRED", now_ms)
            return
        if order.type.at_market or order.time_in_force in ("IOC", "FOK"):
            ioc = order.time_in_force == "IOC"
            order.expiry = "UNFILLED_IOC_QUANTITY_EXPIRED" if ioc else "INSUFFICIENT_LIQUIDITY"
            self._books.end(order, Status.EXPIRED, "EXPIRED", now_ms)
            return
        self._rest(order, at_ms)

    def _rest(self, order: SimOrder, at_ms: int) -> None:
        bids, asks = self._floor.depth(order.row, at_ms)
        order.ahead = queue_ahead(bids if order.side is Side.BUY else asks, order.side, order.ticks)
        order.working, order.rest_ms = True, at_ms
        self._books.working[order.row][order.order_id] = order

    # Time passes

    def _let_rest(self, row: int, passage: Passage, now_ms: int) -> None:
        """Let a second pass over the resting orders of a market, best price and oldest first."""
        for side in Side:
            own = [o for o in self._books.working[row].values() if o.side is side and o.rest_ms <= now_ms - SECOND_MS]
            own.sort(key=lambda o: (-o.ticks if o.side is Side.BUY else o.ticks, o.order_id))
            used = 0
            for order in own:
                before = order.remaining
                # A resting order's second ends with the instant it is filled: it counts to the minute that passed.
                room = self._floor.room(row, side, now_ms - 1)
                if traded_through(side, order.ticks, self._tick[row], passage):
                    reached_steps = min(before, room)
                else:
                    order.passed += passed_volume(side, order.ticks, self._tick[row], passage) / self._step[row]
                    reached_steps = min(int(order.passed) - order.ahead - order.rested - used, before, room)
                    order.rested += max(reached_steps, 0)
                if reached_steps > 0:
                    self._floor.traded(row, side, reached_steps, now_ms - 1)
                    self._books.fill(order, order.ticks, reached_steps, now_ms, maker=True)
                used += before - order.remaining
                if before != order.remaining:
                    self._books.account_moved(order, now_ms)

    def _let_wait(self, row: int, passage: Passage, now_ms: int) -> None:
        """Let a second pass over the contingent orders of a market; those reached first act first."""
        due = []
        for order in self._books.waiting[row].values():
            if order.created_ms > now_ms - SECOND_MS:
                continue
            watch = Watch(order.side, order.type, float(order.stop_price), order.trailing_delta, order.extreme)
            moved = follow(watch, passage.start, passage.end)
            if moved.extreme and not order.extreme:
                order.trailing_ms = now_ms
            order.extreme = moved.extreme
            if moved.at is not None:
                due.append((moved.at, order.order_id, order))
        for _, _, order in sorted(due, key=lambda d: d[:2]):
            if order.live:
                self._act(order, now_ms)

    def _act(self, order: SimOrder, now_ms: int) -> None:
        """A contingent order's price came: from now on it is a market or a limit order."""
        self._books.alone(order, now_ms)
        self._books.give_back(order)
        del self._books.waiting[order.row][order.order_id]
        order.working_ms = order.updated_ms = now_ms
        plan = self._plan(order, now_ms)
        try:
            self._books.set_aside(order, self._cost(order, plan))
        except VenueRefusal:
            # The market ran away from the stop price further than the account can pay for.
            order.expiry = "INSUFFICIENT_LIQUIDITY"
            self._books.end(order, Status.EXPIRED, "EXPIRED", now_ms)
        else:
            order.working = True
            self._books.moved(order, "NEW")
            self._work(order, plan, now_ms, now_ms)
        self._books.account_moved(order, now_ms)
