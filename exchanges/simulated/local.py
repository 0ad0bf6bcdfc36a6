"""The simulated exchange without a wire: ``core.ports.LocalVenue``, its clock, and what a feed would see.

Backtest, tests and the RL environment trade here; the numbers are those of the server, to the last digit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from core.errors import OutcomeUnknown
from core.messages import (
    LEVELS_SHOWN,
    AccountState,
    Balance,
    CancelOrder,
    Fill,
    MarketSlice,
    OrderSnapshot,
    OrderState,
    PlaceOrder,
    QuoteRate,
    ShownBook,
    Top,
)
from core.params import CostSettings
from core.units import Instrument, MarketRules
from exchanges.simulated.exchange import TRADING, SimulatedExchange
from exchanges.simulated.orders import OrderRequest, OrderType, SimOrder, Status, Trade
from exchanges.simulated.refusals import VenueRefusal
from exchanges.simulated.rules import DEFAULT_COSTS
from exchanges.simulated.tape import Tape

STATES = {
    Status.NEW: OrderState.OPEN,
    Status.PARTIALLY_FILLED: OrderState.PARTIAL,
    Status.FILLED: OrderState.FILLED,
    Status.CANCELED: OrderState.CANCELLED,
    Status.EXPIRED: OrderState.EXPIRED,
    Status.EXPIRED_IN_MATCH: OrderState.EXPIRED,
}


class SimulatedVenue:
    """``core.ports.LocalVenue`` over a SimulatedExchange in this process."""

    def __init__(
        self,
        exchange: SimulatedExchange,
        name: str = "binance",
        rates: Callable[[int], tuple[QuoteRate, ...]] = lambda now_ms: (),
    ) -> None:
        """``rates``: what watched markets show of quote currencies at a time, epoch ms."""
        self.name = name
        self.exchange = exchange
        self._rates = rates

    @classmethod
    def of_tape(
        cls,
        tape: Tape,
        balances: Mapping[str, Decimal],
        rules: Mapping[Instrument, MarketRules] | None = None,
        start_ms: int | None = None,
        name: str = "binance",
        costs: CostSettings = DEFAULT_COSTS,
        rates: Callable[[int], tuple[QuoteRate, ...]] = lambda now_ms: (),
    ) -> "SimulatedVenue":
        """A venue that plays ``tape`` under ``costs``, with its default rules unless told others."""
        rules = rules or tape.default_rules(costs)
        return cls(SimulatedExchange(tape, rules, balances, start_ms, costs=costs), name, rates)

    def now_ms(self) -> int:
        return self.exchange.now_ms

    def advance_to(self, ms: int) -> int:
        """Move the market's clock; gives the time it came to (the tape may end before)."""
        self.exchange.advance_to(ms, tops=False)
        return self.exchange.now_ms

    def slice(self, minute: int) -> MarketSlice:
        """Bars of ``minute``, and tops and mood as of now: what the feed reports over the wire."""
        exchange = self.exchange
        rows = range(len(exchange.instruments))
        bars = tuple(exchange.market.bar(row, minute, exchange.now_ms) for row in rows)
        return MarketSlice(
            minute=minute,
            instruments=exchange.instruments,
            bars=bars,
            tops=tuple(self._top(row) for row in rows),
            late=tuple(i for i, bar in zip(exchange.instruments, bars, strict=True) if bar is None),
            sentiment=exchange.market.sentiment_at(exchange.now_ms),
            news=exchange.market.news_at(exchange.now_ms),
            rates=self._rates(exchange.now_ms),
        )

    def _top(self, row: int) -> Top | None:
        top = self.exchange.top(row)
        if top is None or not top.bid or not top.ask:
            return None
        bid, bid_qty, ask, ask_qty = map(float, top)
        return Top(bid=bid, bid_qty=bid_qty, ask=ask, ask_qty=ask_qty, at_ms=self.exchange.now_ms)

    def rules(self) -> dict[Instrument, MarketRules]:
        exchange = self.exchange
        return {
            rule.instrument: rule if status == TRADING else replace(rule, status=status)
            for rule, status in zip(exchange.filters, exchange.status, strict=True)
        }

    def account(self) -> AccountState:
        """Balances that are not zero, by asset: what the gateway asks the venue for."""
        account = self.exchange.account
        return AccountState(
            at_ms=self.exchange.now_ms,
            balances=tuple(
                Balance(venue=self.name, asset=asset, free=account.free(asset), locked=account.locked(asset))
                for asset in account.assets()
                if account.free(asset) or account.locked(asset)
            ),
        )

    def place(self, order: PlaceOrder) -> OrderSnapshot:
        """Send a limit order, or a pair of which one cancels the other. A client id that already stands is
        OutcomeUnknown, as over the wire: ask about it."""
        request = OrderRequest(
            instrument=order.instrument,
            side=order.side,
            type=_type_of(order),
            quantity=order.quantity,
            price=order.price,
            stop_price=order.stop_price,
            time_in_force="GTC" if order.post_only else str(order.time_in_force),
            client_id=order.client_id,
        )
        try:
            if order.pair_price is not None:
                above = replace(
                    request,
                    type=OrderType.LIMIT_MAKER,
                    price=order.pair_price,
                    stop_price=None,
                    client_id=order.pair,
                )
                return self._snapshot(self.exchange.place_oco(above, request, order.client_id).orders[1])
            return self._snapshot(self.exchange.place(request), with_fills=True)
        except VenueRefusal as refusal:
            if refusal.is_duplicate:
                raise OutcomeUnknown(f"{refusal}: an order with this client id already stands") from None
            raise

    def cancel(self, order: CancelOrder) -> OrderSnapshot:
        """Cancel by client id. Where there is nothing to cancel, the order is what a query says it is."""
        row = self.exchange.row(order.instrument)
        try:
            return self._snapshot(self.exchange.cancel(row, client_id=order.client_id))
        except VenueRefusal as refusal:
            found = self.query(order.client_id, order.instrument) if refusal.number == -2011 else None
            if found is None:
                raise
            return found

    def query(self, client_id: str, instrument: Instrument) -> OrderSnapshot | None:
        try:
            return self._snapshot(self.exchange.query(self.exchange.row(instrument), client_id=client_id))
        except VenueRefusal as refusal:
            if refusal.number == -2013:
                return None
            raise

    def open_orders(self) -> tuple[OrderSnapshot, ...]:
        return tuple(self._snapshot(order) for order in self.exchange.open_orders())

    def fills(self, client_id: str, instrument: Instrument) -> tuple[Fill, ...]:
        row = self.exchange.row(instrument)
        return tuple(_fill(t, instrument) for t in self.exchange.my_trades(row) if t.client_id == client_id)

    def tops(self, instruments: Sequence[Instrument]) -> dict[Instrument, Top]:
        """Best bid and ask now, of those that show both."""
        found = ((instrument, self._top(self.exchange.row(instrument))) for instrument in instruments)
        return {instrument: top for instrument, top in found if top is not None}

    def books(self, instruments: Sequence[Instrument]) -> dict[Instrument, ShownBook]:
        """The best levels of both sides now, of those that show both."""
        found = {}
        for instrument in instruments:
            row = self.exchange.row(instrument)
            rules, sides = self.exchange.rules[row], self.exchange.depth(row)
            bids, asks = (
                tuple((float(ticks * rules.tick), float(steps * rules.step)) for ticks, steps in side[:LEVELS_SHOWN])
                for side in sides
            )
            if bids and asks:
                found[instrument] = ShownBook(bids=bids, asks=asks, at_ms=self.exchange.now_ms)
        return found

    def _snapshot(self, order: SimOrder, with_fills: bool = False) -> OrderSnapshot:
        return OrderSnapshot(
            client_id=order.client_id,
            venue_id=str(order.order_id),
            instrument=order.instrument,
            side=order.side,
            state=STATES[order.status],
            quantity=order.quantity,
            price=order.price,
            executed=order.executed_quantity,
            at_ms=order.updated_ms,
            fills=tuple(_fill(t, order.instrument) for t in order.trades) if with_fills else (),
        )


def _type_of(order: PlaceOrder) -> OrderType:
    if order.stop_price is not None:
        return OrderType.STOP_LOSS_LIMIT
    return OrderType.LIMIT_MAKER if order.post_only else OrderType.LIMIT


def _fill(trade: Trade, instrument: Instrument) -> Fill:
    return Fill(
        client_id=trade.client_id,
        instrument=instrument,
        trade_id=str(trade.trade_id),
        side=trade.side,
        quantity=trade.quantity,
        price=trade.price,
        fee=trade.fee,
        fee_asset=trade.fee_asset,
        maker=trade.maker,
        at_ms=trade.at_ms,
    )
