"""The simulated exchange: orders, balances and a clock over one market source. Pure: no sockets, no wall clock.

Everything it does follows from (market, time asked for, own orders), so the same calls in-process and over the
wire give the same digits. Time moves only by ``advance_to``. An order sent now meets the book of a little later
(``MarketSource.arrival_ms``): only matching looks that far, and what it did is stamped with that later time.
"""

from collections.abc import Mapping
from decimal import Decimal

from core.costs import UNIT, fees_of
from core.errors import ConfigError, Defect
from core.params import CostSettings
from core.units import MINUTE_MS, Instrument, MarketRules, Side, to_decimal
from exchanges.simulated.accounts import Account
from exchanges.simulated.books import Books
from exchanges.simulated.desk import Desk
from exchanges.simulated.events import BarClosed, BookMoved, BookTop, Event, Transferred
from exchanges.simulated.fees import DISCOUNT_ASSET
from exchanges.simulated.filters import Limits, check_amendment, check_filters, check_shape
from exchanges.simulated.floor import Floor
from exchanges.simulated.ladder import Levels
from exchanges.simulated.lists import NO_LIST, OrderList, check_pair, check_prices
from exchanges.simulated.market import SECOND_MS, MarketSource, TapeMarket
from exchanges.simulated.orders import ZERO, Amendment, OrderRequest, SimOrder, Status, Trade
from exchanges.simulated.price_range import reference_price
from exchanges.simulated.refusals import (
    VenueRefusal,
    amend_rejected,
    cancel_rejected,
    cancel_restricted,
    duplicate_order,
    filter_failure,
    invalid_symbol,
    market_closed,
    no_reference_price,
    no_such_order,
)
from exchanges.simulated.rules import DEFAULT_COSTS
from exchanges.simulated.selftrade import PreventedMatch
from exchanges.simulated.tape import Tape

TRADING = "TRADING"
STATUSES = (TRADING, "HALT", "BREAK", "CANCEL_ONLY")


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
        self.filters = list(self.rules)
        """By market, what a new order is checked against and what the venue tells of its rules (``restate``)."""
        self.limits = limits or Limits()
        self.now_ms = self.start_ms = self.market.start_ms if start_ms is None else start_ms
        if not self.market.start_ms <= self.now_ms <= self.market.end_ms:
            raise ConfigError(
                f"simulated exchange: start {start_ms} is outside {self.market.start_ms}..{self.market.end_ms}"
            )
        self.status = [TRADING] * len(self.instruments)
        """By market, one of ``STATUSES``: unless TRADING, no orders are taken and none are matched; cancels are."""
        self.account = Account(balances)
        self._rows = {instrument: row for row, instrument in enumerate(self.instruments)}
        in_quote = [fees_of(r.instrument, costs).in_quote for r in self.rules]
        self.fees_in_quote = any(in_quote)
        """Fees are taken from the quote coin, at their worth in another: then none is paid in BNB itself."""
        self._books = Books(self.rules, in_quote, self.account, self._bnb_price)
        self.orders, self.trades = self._books.orders, self._books.trades
        self._working, self._waiting = self._books.working, self._books.waiting
        self._floor = Floor(self.market, self.rules, self._working)
        self._desk = Desk(self.market, self.rules, self.limits.price_range, self._books, self._floor)
        for rule, unit in zip(self.rules, self._books.unit, strict=True):
            if whole_units and unit % UNIT:
                raise ConfigError(
                    f"{rule.instrument}: tick {rule.tick} x step {rule.step} has over 8 decimals; use a coarser grid"
                )
            self.account.add(rule.instrument.base)
            self.account.add(rule.instrument.quote)

    def trade_on(self, market: MarketSource) -> None:
        """Trade on another source of the same markets from now on."""
        self.market = market
        self._floor.market = self._desk.market = market

    def restate(self, rule: MarketRules) -> None:
        """A venue changes a market's filters: orders from now on must keep ``rule``. Matching goes on in the grid of the
        start, so tick and step must be multiples of those; raises Defect when they are not."""
        row = self.row(rule.instrument)
        first = self.rules[row]
        if rule.tick % first.tick or rule.step % first.step:
            raise Defect(f"{rule.instrument}: tick {rule.tick}, step {rule.step} are no multiples of {first}")
        self.filters[row] = rule

    # Reading

    def row(self, instrument: Instrument) -> int:
        """Row of an instrument; VenueRefusal -1121 when it is not listed."""
        try:
            return self._rows[instrument]
        except KeyError:
            raise invalid_symbol() from None

    def trading(self, row: int) -> bool:
        return self.status[row] == TRADING and self.market.trading(row, self.now_ms)

    def depth(self, row: int) -> tuple[Levels, Levels]:
        """(bids, asks) as displayed now: the market's book, less our takes, plus our resting orders."""
        return self._floor.depth(row, self.now_ms)

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
        return self._floor.opposite(row, side, self.market.arrival_ms(self.now_ms))

    def query(self, row: int, order_id: int | None = None, client_id: str | None = None) -> SimOrder:
        """The order by either id (the newest with that client id); VenueRefusal -2013 when there is none."""
        order = self._books.find(row, order_id, client_id)
        if order is None:
            raise no_such_order()
        return order

    def open_orders(self, row: int | None = None) -> list[SimOrder]:
        return [o for o in self.orders.values() if o.live and (row is None or o.row == row)]

    def my_trades(self, row: int, order_id: int | None = None) -> list[Trade]:
        return [t for t in self.trades[row] if order_id is None or t.order_id == order_id]

    def order_lists(self) -> list[OrderList]:
        return list(self._books.lists.values())

    def order_list(self, list_id: int | None, client_id: str | None = None) -> OrderList | None:
        """A list by its number or, the newest, by its client id."""
        if list_id is not None:
            return self._books.lists.get(list_id)
        return next((found for found in reversed(self.order_lists()) if found.client_id == client_id), None)

    def prevented(self, row: int) -> list[PreventedMatch]:
        """Trades of an order with its own account's that did not happen."""
        return [m for m in self._books.prevented if m.row == row]

    def prevented_by(self, order: SimOrder) -> list[PreventedMatch]:
        """Those that an order caused when it came."""
        return [m for m in self._books.prevented if m.taker_id == order.order_id]

    def reference_price(self, row: int) -> float | None:
        """What the price range lies around; VenueRefusal -2043 where there is no range."""
        if self.limits.price_range is None:
            raise no_reference_price()
        return reference_price(self.market, row, self.now_ms)

    def take_events(self) -> list[Event]:
        """What happened since this was last called, in order."""
        return self._books.take_events()

    @property
    def burns_bnb(self) -> bool:
        """Whether fees are paid in BNB, a quarter off, while there is some (POST /sapi/v1/bnbBurn)."""
        return self._books.burns_bnb

    @burns_bnb.setter
    def burns_bnb(self, wanted: bool) -> None:
        self._books.burns_bnb = wanted

    # Trading

    def check(self, request: OrderRequest) -> int:
        """Everything that is checked before the matching engine; returns the row."""
        row = self.row(request.instrument)
        check_shape(request, self.limits)
        average = self.market.average_price(row, self.now_ms, self.limits.average_minutes)
        algos = sum(o.type.contingent for o in self._books.open_in(row)) if request.type.contingent else 0
        resting = len(self._working[row]) + len(self._waiting[row])
        check_filters(request, self.filters[row], self.limits, average, resting, algos)
        return row

    def place(self, request: OrderRequest) -> SimOrder:
        """Take an order. Its trades so far are ``order.trades``; VenueRefusal when it is refused."""
        row = self.check(request)
        self._refuse_at_once(row, request)
        arrival = self.market.arrival_ms(self.now_ms)
        order = self._made(row, request, arrival)
        if request.type.contingent:
            self._desk.keep(order)
        else:
            self._desk.begin(order, self.now_ms)
        self._books.account_moved(order, self.now_ms)
        return order

    def place_oco(self, above: OrderRequest, below: OrderRequest, client_id: str = "") -> OrderList:
        """Take two orders of which one cancels the other; VenueRefusal when either is refused."""
        check_pair(above, below)
        row = self.check(above)
        self.check(below)
        if sum(found.row == row and not found.done for found in self.order_lists()) >= self.limits.max_order_lists:
            raise filter_failure("MAX_NUM_ORDER_LISTS")
        for request in (above, below):
            self._refuse_at_once(row, request)
        if (above.client_id and above.client_id == below.client_id) or any(
            found.client_id == client_id and not found.done for found in self.order_lists()
        ):
            raise duplicate_order()
        arrival = self.market.arrival_ms(self.now_ms)
        check_prices(above, below, self.market.price(row, arrival))
        made = self._desk.keep_pair(self._made(row, above, arrival), self._made(row, below, arrival), client_id)
        self._books.account_moved(made.orders[0], self.now_ms)
        return made

    def _refuse_at_once(self, row: int, request: OrderRequest) -> None:
        """What the engine says no to without looking at the book."""
        if not self.trading(row):
            raise market_closed()
        earlier = self._books.by_client(row, request.client_id) if request.client_id else None
        if earlier is not None and earlier.status is not Status.FILLED:
            raise duplicate_order()

    def cancel(
        self,
        row: int,
        order_id: int | None = None,
        client_id: str | None = None,
        cancel_id: str = "",
        only: Status | None = None,
    ) -> SimOrder:
        """Cancel an open order; VenueRefusal -2011 when it is not open, or not in the state ``only``."""
        self._desk.let_reach(row, self.now_ms)
        order = self._books.find(row, order_id, client_id)
        if order is None or not order.live:
            raise cancel_rejected()
        if only is not None and order.status is not only:
            raise cancel_restricted()
        self._books.end(order, Status.CANCELED, "CANCELED", self.now_ms, cancel_id=cancel_id)
        self._books.account_moved(order, self.now_ms)
        return order

    def amend(
        self, row: int, quantity: Decimal, order_id: int | None = None, client_id: str | None = None, new_id: str = ""
    ) -> tuple[SimOrder, Amendment]:
        """Reduce an open order, which keeps its place in the queue; VenueRefusal -2038 when that cannot be."""
        self._desk.let_reach(row, self.now_ms)
        order = self._books.find(row, order_id, client_id)
        if order is None or not order.live:
            raise amend_rejected("Unknown order sent.")
        if order.list_id != NO_LIST:
            # The venue would reduce both orders of the list; here a list is cancelled and placed anew.
            raise amend_rejected("Order amend is not supported for this symbol.")
        check_amendment(quantity, order, self.rules[row], self.limits)
        new_id = new_id or f"amend{order.order_id}-{len(order.amendments) + 1}"
        earlier = self._books.by_client(row, new_id)
        if earlier not in (None, order) and earlier.status is not Status.FILLED:
            raise amend_rejected(duplicate_order().text)
        done = self._books.reduce(order, int(quantity / self.rules[row].step), new_id, self.now_ms)
        self._books.account_moved(order, self.now_ms)
        return order, done

    def reject(self, request: OrderRequest, refusal: VenueRefusal) -> None:
        """Report an order that a cancel-replace could not place."""
        order = self._made(self.row(request.instrument), request, self.now_ms)
        order.order_id, order.status = -1, Status.REJECTED
        self._books.moved(order, "REJECTED", reason=refusal.reject_reason)

    def transfer(self, asset: str, amount: Decimal) -> None:
        """A deposit, or a withdrawal (negative); VenueRefusal -2010 when there is not so much."""
        self.account.transfer(asset, amount)
        self._books.tell(Transferred(asset, amount, self.now_ms))
        self._books.balances_moved([asset], self.now_ms)

    # Time

    def advance_to(self, ms: int, tops: bool = True) -> list[Event]:
        """Move the clock, let resting orders fill second by second, and return what happened.

        Stops at the end of the market. With ``tops`` the last events name every book, for whoever shows it.
        """
        if ms < self.now_ms:
            raise Defect(f"simulated exchange: time cannot go back from {self.now_ms} to {ms}")
        target = min(ms, self.market.end_ms)
        while self.now_ms < target:
            stride = SECOND_MS if any(self._working) or any(self._waiting) else MINUTE_MS
            self.now_ms = min(target, self.now_ms - self.now_ms % stride + stride)
            if self.now_ms % SECOND_MS == 0:
                for row, status in enumerate(self.status):
                    if status == TRADING:
                        self._desk.let_pass(row, self.now_ms)
            if self.now_ms % MINUTE_MS == 0:
                minute = self.now_ms - MINUTE_MS
                for row in range(len(self.instruments)):
                    if self.market.bar(row, minute, self.now_ms) is not None:
                        self._books.tell(BarClosed(row, minute))
        for row, status in enumerate(self.status):
            if status == TRADING:
                self._desk.let_reach(row, self.now_ms)
        if tops:
            for row in range(len(self.instruments)):
                self._books.tell(BookMoved(row, self.now_ms))
        return self.take_events()

    # Inside

    def _made(self, row: int, request: OrderRequest, arrival: int) -> SimOrder:
        """The order of a request, without a number yet."""
        rule = self.rules[row]
        return SimOrder(
            order_id=0,
            client_id=request.client_id,
            row=row,
            instrument=rule.instrument,
            side=request.side,
            type=request.type,
            time_in_force="GTC" if request.price is None else request.time_in_force,
            ticks=0 if request.price is None else int(request.price / rule.tick),
            steps=0 if request.quantity is None else int(request.quantity / rule.step),
            price=request.price or ZERO,
            quote_quantity=request.quote_quantity or ZERO,
            step=rule.step,
            created_ms=arrival,
            updated_ms=arrival,
            working_ms=-1 if request.type.contingent else arrival,
            stop_price=request.stop_price or ZERO,
            stp=request.stp or self.limits.stp_default,
            trailing_delta=request.trailing_delta or 0,
        )

    def _bnb_price(self, asset: str, at_ms: int) -> Decimal | None:
        """One BNB in ``asset``, by the market that trades it here."""
        if asset == DISCOUNT_ASSET:
            return Decimal(1)
        row = self._rows.get(Instrument(self.instruments[0].venue, f"{DISCOUNT_ASSET}/{asset}"))
        price = None if row is None else self.market.price(row, at_ms)
        return to_decimal(price) if price else None
