"""The simulated exchange: orders, balances and a clock over one market source. Pure: no sockets, no wall clock.

Everything it does follows from (market, time asked for, own orders), so the same calls in-process and over the
wire give the same digits. Time moves only by ``advance_to``. An order sent now meets the book of a little later
(``MarketSource.arrival_ms``): only matching looks that far, and what it did is stamped with that later time.

Above 400 lines because orders, matching and the clock work on one set of books; what needs none of it stands beside
it (accounts, filters, matching, ladder, footprint).
"""

import copy
from collections.abc import Mapping
from decimal import Decimal
from itertools import count

from core.costs import UNIT, fees_of
from core.errors import ConfigError, Defect
from core.params import CostSettings
from core.units import MINUTE_MS, Instrument, MarketRules, Side
from exchanges.simulated.accounts import Account, fee_on
from exchanges.simulated.events import AccountMoved, BarClosed, BookMoved, BookTop, Event, OrderMoved
from exchanges.simulated.filters import Limits, check_filters, check_shape
from exchanges.simulated.footprint import Footprint, Trace
from exchanges.simulated.ladder import Ladder, Levels
from exchanges.simulated.market import SECOND_MS, MarketSource, TapeMarket
from exchanges.simulated.matching import (
    Take,
    crosses,
    passed_volume,
    queue_ahead,
    shown,
    take,
    take_money,
    traded_through,
    with_own,
)
from exchanges.simulated.orders import ZERO, OrderRequest, OrderType, SimOrder, Status, Trade
from exchanges.simulated.refusals import (
    cancel_rejected,
    duplicate_order,
    invalid_symbol,
    market_closed,
    no_such_order,
    would_match,
)
from exchanges.simulated.rules import DEFAULT_COSTS
from exchanges.simulated.tape import Tape


class SimulatedExchange:
    """One account at one simulated spot exchange.

    ``rules`` give each market's grid, minimum and fees; ``balances`` what the account starts with, by asset; ``costs``
    how a tape trades (``TapeMarket``) and in which coin fees are taken. ``whole_units``: every price times every lot
    comes to whole units of 1e-8, as the engine that loops over years counts them.
    Every refusal is a ``VenueRefusal`` with Binance's code and text.
    """

    def __init__(
        self,
        market: Tape | MarketSource,
        rules: Mapping[Instrument, MarketRules],
        balances: Mapping[str, Decimal],
        start_ms: int | None = None,
        limits: Limits | None = None,
        costs: CostSettings = DEFAULT_COSTS,
        *,
        whole_units: bool = True,
    ) -> None:
        self.market: MarketSource = TapeMarket(market, dict(rules), costs) if isinstance(market, Tape) else market
        self.instruments = self.market.instruments
        self.rules = tuple(rules[i] for i in self.instruments)
        self.limits = limits or Limits()
        self.now_ms = self.start_ms = self.market.start_ms if start_ms is None else start_ms
        if not self.market.start_ms <= self.now_ms <= self.market.end_ms:
            raise ConfigError(
                f"simulated exchange: start {start_ms} is outside {self.market.start_ms}..{self.market.end_ms}"
            )
        self.account = Account(balances)
        self.orders: dict[int, SimOrder] = {}
        self.trades: list[list[Trade]] = [[] for _ in self.instruments]
        self._rows = {instrument: row for row, instrument in enumerate(self.instruments)}
        self._tick = [float(r.tick) for r in self.rules]
        self._step = [float(r.step) for r in self.rules]
        self._unit = [r.tick * r.step for r in self.rules]
        self._fee_in_quote = [fees_of(r.instrument, costs).in_quote for r in self.rules]
        for rule, unit in zip(self.rules, self._unit, strict=True):
            if whole_units and unit % UNIT:
                raise ConfigError(
                    f"{rule.instrument}: tick {rule.tick} x step {rule.step} has over 8 decimals; use a coarser grid"
                )
            self.account.add(rule.instrument.base)
            self.account.add(rule.instrument.quote)
        self._by_client: dict[tuple[int, str], SimOrder] = {}
        self._working: list[dict[int, SimOrder]] = [{} for _ in self.instruments]
        self._footprints = [Footprint() for _ in self.instruments]
        self._order_ids = count(1)
        self._trade_ids = [count(1) for _ in self.instruments]
        self._execution_ids = count(1)
        self._events: list[Event] = []

    # Reading

    def row(self, instrument: Instrument) -> int:
        """Row of an instrument; VenueRefusal -1121 when it is not listed."""
        try:
            return self._rows[instrument]
        except KeyError:
            raise invalid_symbol() from None

    def trading(self, row: int) -> bool:
        return self.market.trading(row, self.now_ms)

    def depth(self, row: int) -> tuple[Levels, Levels]:
        """(bids, asks) as displayed now: the market's book, less our takes, plus our resting orders."""
        return self._depth(row, self.now_ms)

    def _depth(self, row: int, ms: int) -> tuple[Levels, Levels]:
        ladder, trace = self._book(row, ms)
        bids, asks = shown(ladder.bids, trace.taken[Side.SELL]), shown(ladder.asks, trace.taken[Side.BUY])
        if not self._working[row]:
            return bids, asks
        # An order that the market moved onto fills when the second ends; until then it is not shown across.
        own = [(o.side, o.ticks, o.remaining) for o in self._working[row].values()]
        buys = [(t, n) for side, t, n in own if side is Side.BUY and not (asks and t >= asks[0][0])]
        sells = [(t, n) for side, t, n in own if side is Side.SELL and not (bids and t <= bids[0][0])]
        return with_own(bids, buys, Side.BUY), with_own(asks, sells, Side.SELL)

    def top(self, row: int) -> BookTop | None:
        """Best displayed bid and ask, or None with both sides empty."""
        bids, asks = self.depth(row)
        if not bids and not asks:
            return None
        tick, step = self.rules[row].tick, self.rules[row].step
        bid, bid_qty = (bids[0][0] * tick, bids[0][1] * step) if bids else (ZERO, ZERO)
        ask, ask_qty = (asks[0][0] * tick, asks[0][1] * step) if asks else (ZERO, ZERO)
        return BookTop(bid, bid_qty, ask, ask_qty)

    def met(self, row: int, side: Side) -> Levels:
        """The levels that an order on ``side`` sent now would meet, own resting orders included."""
        bids, asks = self._depth(row, self.market.arrival_ms(self.now_ms))
        return asks if side is Side.BUY else bids

    def query(self, row: int, order_id: int | None = None, client_id: str | None = None) -> SimOrder:
        """The order by either id (the newest with that client id); VenueRefusal -2013 when there is none."""
        order = self._find(row, order_id, client_id)
        if order is None:
            raise no_such_order()
        return order

    def open_orders(self, row: int | None = None) -> list[SimOrder]:
        return [o for o in self.orders.values() if o.live and (row is None or o.row == row)]

    def my_trades(self, row: int, order_id: int | None = None) -> list[Trade]:
        return [t for t in self.trades[row] if order_id is None or t.order_id == order_id]

    def take_events(self) -> list[Event]:
        """What happened since this was last called, in order."""
        events, self._events = self._events, []
        return events

    # Trading

    def check(self, request: OrderRequest) -> int:
        """Everything that is checked before the matching engine; returns the row."""
        row = self.row(request.instrument)
        check_shape(request)
        average = self.market.average_price(row, self.now_ms, self.limits.average_minutes)
        check_filters(request, self.rules[row], self.limits, average, len(self._working[row]))
        return row

    def place(self, request: OrderRequest) -> SimOrder:
        """Take an order. Its trades so far are ``order.trades``; VenueRefusal when it is refused."""
        row = self.check(request)
        if not self.trading(row):
            raise market_closed()
        earlier = self._by_client.get((row, request.client_id)) if request.client_id else None
        if earlier is not None and earlier.status is not Status.FILLED:
            raise duplicate_order()
        rule = self.rules[row]
        limit = None if request.price is None else int(request.price / rule.tick)
        arrival = self.market.arrival_ms(self.now_ms)
        if request.type is OrderType.LIMIT_MAKER:
            self._refuse_if_matching(row, request.side, limit)
        takes = self._plan(row, request, limit, arrival)
        steps = sum(t.steps for t in takes) if request.quantity is None else int(request.quantity / rule.step)
        if request.time_in_force == "FOK" and sum(t.steps for t in takes) < steps:
            takes = []
        order_id = next(self._order_ids)
        order = SimOrder(
            order_id=order_id,
            client_id=request.client_id or f"sim{order_id:019d}",
            row=row,
            instrument=rule.instrument,
            side=request.side,
            type=request.type,
            time_in_force="GTC" if limit is None else request.time_in_force,
            ticks=limit or 0,
            steps=steps,
            price=request.price or ZERO,
            quote_quantity=request.quote_quantity or ZERO,
            step=rule.step,
            created_ms=arrival,
            updated_ms=arrival,
        )
        self._lock_for(order, takes)
        self.orders[order_id] = self._by_client[row, order.client_id] = order
        self._moved(order, "NEW")
        self._expire_own_opposite(order, takes)
        self._execute(order, takes, arrival)
        self._rest_or_end(order, arrival)
        self._account_moved(order)
        return order

    def cancel(
        self, row: int, order_id: int | None = None, client_id: str | None = None, cancel_id: str = ""
    ) -> SimOrder:
        """Cancel a resting order; VenueRefusal -2011 when it is not open."""
        order = self._find(row, order_id, client_id)
        if order is None or not order.live:
            raise cancel_rejected()
        self._end(order, Status.CANCELED, "CANCELED", cancel_id=cancel_id)
        self._account_moved(order)
        return order

    # Time

    def advance_to(self, ms: int, tops: bool = True) -> list[Event]:
        """Move the clock, let resting orders fill second by second, and return what happened.

        Stops at the end of the market. With ``tops`` the last events name every book, for whoever shows it.
        """
        if ms < self.now_ms:
            raise Defect(f"simulated exchange: time cannot go back from {self.now_ms} to {ms}")
        target = min(ms, self.market.end_ms)
        while self.now_ms < target:
            stride = SECOND_MS if any(self._working) else MINUTE_MS
            self.now_ms = min(target, self.now_ms - self.now_ms % stride + stride)
            if self.now_ms % SECOND_MS == 0:
                for row, working in enumerate(self._working):
                    if working:
                        self._let_rest(row)
            if self.now_ms % MINUTE_MS == 0:
                minute = self.now_ms - MINUTE_MS
                self._events += [
                    BarClosed(row, minute)
                    for row in range(len(self.instruments))
                    if self.market.bar(row, minute, self.now_ms) is not None
                ]
        if tops:
            self._events += [BookMoved(row, self.now_ms) for row in range(len(self.instruments))]
        return self.take_events()

    # Inside

    def _find(self, row: int, order_id: int | None, client_id: str | None) -> SimOrder | None:
        order = self._by_client.get((row, client_id or "")) if order_id is None else self.orders.get(order_id)
        if order is None or order.row != row or (client_id is not None and order.client_id != client_id):
            return None
        return order

    def _book(self, row: int, ms: int) -> tuple[Ladder, Trace]:
        """The market's ladder at an instant, and what we did in it."""
        return self.market.ladder(row, ms), self._footprints[row].of(self.market.epoch(row, ms))

    def _room(self, row: int, side: Side, ms: int) -> int:
        """Steps that we may still trade on one side in the epoch of ``ms``."""
        traded = self._footprints[row].of(self.market.epoch(row, ms)).traded[side]
        return max(0, self.market.room(row, ms) - traded)

    def _plan(self, row: int, request: OrderRequest, limit: int | None, arrival: int) -> list[Take]:
        room = self._room(row, request.side, arrival)
        if not room:
            return []
        ladder, trace = self._book(row, arrival)
        levels, taken = (ladder.asks if request.side is Side.BUY else ladder.bids), trace.taken[request.side]
        if request.quote_quantity is not None:
            smallest = int(self.rules[row].min_qty / self.rules[row].step)
            return take_money(levels, taken, int(request.quote_quantity / self._unit[row]), smallest, room)
        want = int((request.quantity or ZERO) / self.rules[row].step)
        return take(levels, taken, request.side, limit, want, room)

    def _refuse_if_matching(self, row: int, side: Side, limit: int | None) -> None:
        opposite = self.met(row, side)
        if opposite and crosses(side, limit, opposite[0][0]):
            raise would_match()

    def _lock_for(self, order: SimOrder, takes: list[Take]) -> None:
        if order.side is Side.BUY and not order.ticks:
            money = sum(t.steps * t.ticks for t in takes) * self._unit[order.row]
            need = money + self._fee_beside(order, money, maker=False)
        else:
            need = self._needed(order)
        self.account.lock(_paid_in(order), need)
        order.locked = need

    def _needed(self, order: SimOrder) -> Decimal:
        """What must be set aside for the rest of an order: coins to sell, or money at its limit and the fee on it."""
        if order.side is Side.SELL:
            return order.remaining * order.step
        money = order.remaining * order.ticks * self._unit[order.row]
        rule = self.rules[order.row]
        return money + self._fee_beside(order, money, maker=rule.maker_fee > rule.taker_fee)

    def _fee_beside(self, order: SimOrder, money: Decimal, maker: bool) -> Decimal:
        """The fee that a buy pays on top of ``money``."""
        rule = self.rules[order.row]
        rate = rule.maker_fee if maker else rule.taker_fee
        return fee_on(money, rate) if self._fee_in_quote[order.row] else ZERO

    def _expire_own_opposite(self, order: SimOrder, takes: list[Take]) -> None:
        """Self-trade prevention EXPIRE_MAKER: own resting orders this one would have met expire."""
        filled = bool(takes) and sum(t.steps for t in takes) == order.steps
        reach = takes[-1].ticks if filled else (order.ticks or None)
        for other in list(self._working[order.row].values()):
            if other.side is not order.side and crosses(order.side, reach, other.ticks):
                self._end(other, Status.EXPIRED_IN_MATCH, "TRADE_PREVENTION")

    def _execute(self, order: SimOrder, takes: list[Take], arrival: int) -> None:
        taken = self._footprints[order.row].of(self.market.epoch(order.row, arrival)).taken[order.side]
        for level, ticks, steps in takes:
            taken[level] += steps
            self._fill(order, ticks, steps, arrival, maker=False)

    def _rest_or_end(self, order: SimOrder, arrival: int) -> None:
        if not order.live:
            return
        if order.type is OrderType.MARKET or order.time_in_force in ("IOC", "FOK"):
            ioc = order.time_in_force == "IOC"
            order.expiry = "UNFILLED_IOC_QUANTITY_EXPIRED" if ioc else "INSUFFICIENT_LIQUIDITY"
            self._end(order, Status.EXPIRED, "EXPIRED")
            return
        bids, asks = self._depth(order.row, arrival)
        order.ahead = queue_ahead(bids if order.side is Side.BUY else asks, order.side, order.ticks)
        order.working, order.rest_ms = True, arrival
        self._working[order.row][order.order_id] = order

    def _let_rest(self, row: int) -> None:
        """Let the second that just ended pass over the resting orders of a market, best price and oldest first."""
        passage = self.market.passage(row, self.now_ms)
        if passage is None:
            return
        for side in Side:
            own = [o for o in self._working[row].values() if o.side is side and o.rest_ms <= self.now_ms - SECOND_MS]
            own.sort(key=lambda o: (-o.ticks if o.side is Side.BUY else o.ticks, o.order_id))
            used = 0
            for order in own:
                before = order.remaining
                room = self._room(row, side, self.now_ms - 1)
                if traded_through(side, order.ticks, self._tick[row], passage):
                    reached = min(before, room)
                else:
                    order.passed += passed_volume(side, order.ticks, self._tick[row], passage) / self._step[row]
                    reached = min(int(order.passed) - order.ahead - order.rested - used, before, room)
                    order.rested += max(reached, 0)
                if reached > 0:
                    self._fill(order, order.ticks, reached, self.now_ms, maker=True)
                used += before - order.remaining
                if before != order.remaining:
                    self._account_moved(order)

    def _fill(self, order: SimOrder, ticks: int, steps: int, at_ms: int, maker: bool) -> None:
        row, rule, unit = order.row, self.rules[order.row], self._unit[order.row]
        money, quantity = steps * ticks * unit, steps * order.step
        in_quote = self._fee_in_quote[row]
        base, quote = order.instrument.base, order.instrument.quote
        rate = rule.maker_fee if maker else rule.taker_fee
        fee = self.account.settle(order.side, base, quote, quantity, money, rate, in_quote)
        paid = quantity if order.side is Side.SELL else money + (fee if in_quote else ZERO)
        # A resting order's second ends with the instant it is filled: it counts to the minute that passed.
        trace = self._footprints[row].of(self.market.epoch(row, at_ms - 1 if maker else at_ms))
        trace.traded[order.side] += steps
        order.executed += steps
        order.quote_executed += money
        order.status = Status.FILLED if order.remaining == 0 else Status.PARTIALLY_FILLED
        order.updated_ms = at_ms
        if order.side is Side.SELL or order.ticks:
            left = self._needed(order)
            self.account.release(_paid_in(order), order.locked - paid - left)
            order.locked = left
        else:
            order.locked -= paid
        trade = Trade(
            trade_id=next(self._trade_ids[row]),
            order_id=order.order_id,
            client_id=order.client_id,
            side=order.side,
            price=ticks * rule.tick,
            quantity=quantity,
            quote_quantity=money,
            fee=fee,
            fee_asset=base if order.side is Side.BUY and not in_quote else quote,
            maker=maker,
            at_ms=at_ms,
        )
        order.trades.append(trade)
        self.trades[row].append(trade)
        if order.status is Status.FILLED:
            self._stop_working(order)
            # Fees are cut at each fill, so a little of what was set aside for them may be left.
            self.account.release(_paid_in(order), order.locked)
            order.locked = ZERO
        self._moved(order, "TRADE", trade)

    def _end(self, order: SimOrder, status: Status, kind: str, cancel_id: str = "") -> None:
        self.account.release(_paid_in(order), order.locked)
        order.locked = ZERO
        order.status, order.updated_ms = status, max(order.updated_ms, self.now_ms)
        self._stop_working(order)
        self._moved(order, kind, cancel_id=cancel_id)

    def _stop_working(self, order: SimOrder) -> None:
        order.working = False
        self._working[order.row].pop(order.order_id, None)

    def _moved(self, order: SimOrder, kind: str, trade: Trade | None = None, cancel_id: str = "") -> None:
        then = copy.copy(order)
        self._events.append(OrderMoved(then, kind, next(self._execution_ids), order.updated_ms, trade, cancel_id))

    def _account_moved(self, order: SimOrder) -> None:
        self.account.changed_ms = self.now_ms
        assets = (order.instrument.base, order.instrument.quote)
        rows = tuple((asset, self.account.free(asset), self.account.locked(asset)) for asset in assets)
        self._events.append(AccountMoved(rows, self.now_ms))


def _paid_in(order: SimOrder) -> str:
    """The asset that an order pays with."""
    return order.instrument.base if order.side is Side.SELL else order.instrument.quote
