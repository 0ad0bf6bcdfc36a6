"""Working orders: what one takes when it arrives, how it rests, and how it waits for its price.

Times: ``at_ms`` is the instant an order meets the book, which may lie a little after the exchange's ``now_ms``.
"""

from collections.abc import Sequence
from decimal import Decimal

from core.units import MarketRules, Side, to_decimal
from exchanges.simulated.books import Books
from exchanges.simulated.floor import Floor
from exchanges.simulated.market import SECOND_MS, MarketSource, Passage
from exchanges.simulated.matching import Take, crosses, passed_volume, queue_ahead, traded_through
from exchanges.simulated.orders import OrderType, SelfTrade, SimOrder, Status
from exchanges.simulated.refusals import VenueRefusal, no_liquidity, would_match, would_trigger
from exchanges.simulated.stops import Watch, follow, reached


class Desk:
    """Moves orders between the books and the market."""

    def __init__(self, market: MarketSource, rules: Sequence[MarketRules], books: Books, floor: Floor) -> None:
        self.market = market
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
        takes = self._plan(order, at_ms)
        self._books.number(order)
        self._books.set_aside(order, self._cost(order, takes))
        self._books.enter(order)
        self._work(order, takes, at_ms, now_ms)

    def keep(self, order: SimOrder) -> None:
        """Take an order that waits for its price, unless that is there already."""
        price = self.market.price(order.row, order.created_ms)
        stop = float(order.stop_price)
        if stop and price is not None and reached(order.side, order.type, stop, price):
            raise would_trigger()
        order.lock_ticks = int((order.stop_price or to_decimal(price or 0.0)) / self._rules[order.row].tick)
        self._books.number(order)
        self._books.set_aside(order, self._books.needed(order, order.ticks or order.lock_ticks))
        self._books.waiting[order.row][order.order_id] = order
        self._books.enter(order)

    def let_pass(self, row: int, now_ms: int) -> None:
        """Let the second that just ended pass over the open orders of a market."""
        if not self._books.working[row] and not self._books.waiting[row]:
            return
        passage = self.market.passage(row, now_ms)
        if passage is not None:
            self._let_rest(row, passage, now_ms)
            self._let_wait(row, passage, now_ms)

    # An order that acts

    def _plan(self, order: SimOrder, at_ms: int) -> list[Take]:
        """What an order takes from the market at an instant; gives an order over money its quantity."""
        if order.quote_quantity:
            units = int(order.quote_quantity / self._books.unit[order.row])
            takes = self._floor.find_for(order.row, order.side, units, at_ms)
            if not takes and not self._floor.opposite(order.row, order.side, at_ms):
                raise no_liquidity()
            order.steps = sum(t.steps for t in takes)
            return takes
        takes = self._floor.find(order.row, order.side, order.ticks or None, order.steps, at_ms)
        if order.time_in_force == "FOK" and sum(t.steps for t in takes) < order.steps:
            return []
        return takes

    def _refuse_if_matching(self, order: SimOrder, arrival: int) -> None:
        opposite = self._floor.opposite(order.row, order.side, arrival)
        if opposite and crosses(order.side, order.ticks, opposite[0][0]):
            raise would_match()

    def _cost(self, order: SimOrder, takes: list[Take]) -> Decimal:
        """What is to be set aside for an order that begins to work."""
        if order.side is Side.BUY and not order.ticks:
            money = sum(t.steps * t.ticks for t in takes) * self._books.unit[order.row]
            return money + self._books.fee_beside(order, money, maker=False)
        return self._books.needed(order, order.ticks)

    def _work(self, order: SimOrder, takes: list[Take], at_ms: int, now_ms: int) -> None:
        """Let an order take what it takes; the rest stays in the book, or expires."""
        if order.self_trade is SelfTrade.EXPIRE_MAKER:
            self._expire_own_opposite(order, takes, now_ms)
        elif takes or order.time_in_force != "FOK":
            takes = self._meet_own(order, takes, at_ms, now_ms)
        for taken in takes:
            self._take(order, taken, at_ms)
        if order.live:
            self._rest_or_end(order, at_ms, now_ms)

    def _take(self, order: SimOrder, taken: Take, at_ms: int) -> None:
        """Trade with one level of the market, up to what the order still wants."""
        level, ticks, steps = taken
        steps = min(steps, order.remaining)
        if steps:
            self._floor.took(order.row, order.side, level, steps, at_ms)
            self._floor.traded(order.row, order.side, steps, at_ms)
            self._books.fill(order, ticks, steps, at_ms, maker=False)

    def _meet_own(self, order: SimOrder, takes: list[Take], at_ms: int, now_ms: int) -> list[Take]:
        """Walk the market and the account's own orders on the other side, best price first; the market stands before
        an own order at the same price. Returns what is left to take from the market."""
        buying = order.side is Side.BUY
        others = [
            o
            for o in self._books.working[order.row].values()
            if o.side is not order.side and crosses(order.side, order.ticks or None, o.ticks)
        ]
        for other in sorted(others, key=lambda o: (o.ticks if buying else -o.ticks, o.order_id)):
            while takes and crosses(order.side, other.ticks, takes[0].ticks):
                self._take(order, takes[0], at_ms)
                takes = takes[1:]
            if not order.live or not order.remaining:
                return []
            shared = min(order.remaining, other.remaining)
            if order.self_trade is SelfTrade.EXPIRE_TAKER:
                self._books.prevent(order, order.remaining, now_ms)
            elif order.self_trade is SelfTrade.DECREMENT:
                self._books.prevent(other, shared, now_ms)
                self._books.prevent(order, shared, now_ms)
            else:
                self._books.fill(other, other.ticks, shared, at_ms, maker=True)
                self._books.fill(order, other.ticks, shared, at_ms, maker=False)
            self._books.account_moved(other, now_ms)
            if not order.live:
                return []
        return takes

    def _expire_own_opposite(self, order: SimOrder, takes: list[Take], now_ms: int) -> None:
        """Self-trade prevention EXPIRE_MAKER: own resting orders this one would have met expire."""
        filled = bool(takes) and sum(t.steps for t in takes) == order.steps
        reach = takes[-1].ticks if filled else (order.ticks or None)
        for other in list(self._books.working[order.row].values()):
            if other.side is not order.side and crosses(order.side, reach, other.ticks):
                self._books.end(other, Status.EXPIRED_IN_MATCH, "TRADE_PREVENTION", now_ms)

    def _rest_or_end(self, order: SimOrder, at_ms: int, now_ms: int) -> None:
        if order.type.at_market or order.time_in_force in ("IOC", "FOK"):
            ioc = order.time_in_force == "IOC"
            order.expiry = "UNFILLED_IOC_QUANTITY_EXPIRED" if ioc else "INSUFFICIENT_LIQUIDITY"
            self._books.end(order, Status.EXPIRED, "EXPIRED", now_ms)
            return
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
        self._books.give_back(order)
        del self._books.waiting[order.row][order.order_id]
        order.working_ms = order.updated_ms = now_ms
        takes = self._plan(order, now_ms)
        try:
            self._books.set_aside(order, self._cost(order, takes))
        except VenueRefusal:
            # The market ran away from the stop price further than the account can pay for.
            order.expiry = "INSUFFICIENT_LIQUIDITY"
            self._books.end(order, Status.EXPIRED, "EXPIRED", now_ms)
        else:
            order.working = True
            self._books.moved(order, "NEW")
            self._work(order, takes, now_ms, now_ms)
        self._books.account_moved(order, now_ms)
