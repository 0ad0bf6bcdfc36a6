"""Paper orders against a real book and its trades: the queue before a resting order, and what is displayed to a taker."""

from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.messages import Top
from core.units import MINUTE_MS, Instrument, MarketRules, Side
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.followed import FollowedMarket
from exchanges.simulated.orders import OrderRequest, OrderType, SimOrder, Status
from exchanges.simulated.refusals import VenueRefusal
from exchanges.trade import Trade

XYZ = Instrument("binance", "XYZ/USDT")
NOW = 1_767_225_600_000
RULES = {
    XYZ: MarketRules(
        instrument=XYZ, tick=D("0.1"), step=D("1"), min_qty=D(1), max_qty=D(10_000), min_notional=D(1), maker_fee=D(0)
    )
}
BIDS = [(100.0, 5.0), (99.9, 8.0), (99.7, 20.0)]
ASKS = [(100.1, 4.0), (100.2, 6.0), (100.5, 9.0)]


class Paper:
    """A followed market with an account, and a clock that goes on by itself."""

    def __init__(self, bids=BIDS, asks=ASKS) -> None:
        self.market = FollowedMarket((XYZ,), RULES, NOW)
        self.exchange = SimulatedExchange(self.market, RULES, {"USDT": D(10_000_000), "XYZ": D(100_000)})
        self.at_ms, self._number = NOW, 0
        self.book(bids, asks)
        # The first trade tells that trades are heard.
        self.trade(100.1, 1, sold=False)

    def book(self, bids=BIDS, asks=ASKS) -> None:
        self.market.observe_book(XYZ, bids, asks, self.at_ms)
        self.top(bids[0], asks[0])

    def top(self, bid=BIDS[0], ask=ASKS[0]) -> None:
        top = Top(bid=bid[0], bid_qty=bid[1], ask=ask[0], ask_qty=ask[1], at_ms=self.at_ms)
        self.market.observe_top(XYZ, top)

    def trade(self, price: float, quantity: float, sold: bool, number: int | None = None, ago_ms: int = 0) -> None:
        self._number += 1
        number = self._number if number is None else number
        told = Trade(id=number, price=price, quantity=quantity, at_ms=self.at_ms - ago_ms, sold=sold)
        self.market.observe_trade(XYZ, told)

    def pass_time(self, ms: int) -> None:
        """Nothing is heard meanwhile."""
        self.at_ms += ms
        self.exchange.advance_to(self.at_ms)

    def place(self, side: Side, price: float, quantity: int, force: str = "GTC") -> SimOrder:
        return self.exchange.place(
            OrderRequest(
                instrument=XYZ,
                side=side,
                type=OrderType.LIMIT,
                quantity=D(quantity),
                price=D(str(price)),
                time_in_force=force,
            )
        )

    def filled(self, order: SimOrder) -> int:
        self.pass_time(100)
        return order.executed


def test_trades_at_the_price_eat_the_queue_first_and_then_fill():
    paper = Paper()
    order = paper.place(Side.BUY, 100.0, 10)
    paper.trade(100.0, 3, sold=True)
    assert paper.filled(order) == 0
    paper.trade(100.0, 4, sold=True)
    assert paper.filled(order) == 2
    assert [(t.price, t.quantity, t.maker) for t in order.trades] == [(D("100.0"), D(2), True)]
    paper.trade(100.0, 50, sold=True)
    assert (paper.filled(order), order.status) == (10, Status.FILLED)


def test_a_seller_queues_behind_the_asks_and_is_met_by_buyers():
    paper = Paper()
    order = paper.place(Side.SELL, 100.1, 3)
    paper.trade(100.1, 5, sold=True)
    assert paper.filled(order) == 0
    paper.trade(100.1, 5, sold=False)
    assert paper.filled(order) == 1


def test_a_trade_through_the_price_fills_without_a_queue_and_for_no_more_than_was_traded():
    paper = Paper()
    order = paper.place(Side.BUY, 99.9, 10)
    paper.trade(99.8, 7, sold=True)
    assert paper.filled(order) == 7
    assert {t.price for t in order.trades} == {D("99.9")}
    paper.trade(99.8, 7, sold=True)
    assert paper.filled(order) == 10


def test_the_display_shortens_the_queue_only_below_what_stood_ahead():
    paper = Paper()
    order = paper.place(Side.BUY, 99.9, 4)
    paper.book([(100.0, 5.0), (99.9, 30.0)])
    paper.book([(100.0, 5.0), (99.9, 8.0)])
    paper.book([(100.0, 5.0), (99.9, 2.0)])
    paper.pass_time(5_000)
    paper.book([(99.9, 2.0)])
    paper.trade(99.9, 3, sold=True)
    assert paper.filled(order) == 1


def test_a_trade_that_the_book_showed_first_is_not_counted_twice():
    paper = Paper()
    order = paper.place(Side.BUY, 100.0, 10)
    paper.book([(100.0, 2.0), (99.9, 8.0)])
    paper.trade(100.0, 3, sold=True)
    assert paper.filled(order) == 0
    paper.trade(100.0, 3, sold=True)
    assert paper.filled(order) == 1


def test_an_order_that_improves_on_the_best_price_is_the_first():
    paper = Paper([(100.0, 5.0)], [(100.4, 5.0)])
    order = paper.place(Side.BUY, 100.2, 3)
    paper.trade(100.2, 2, sold=True)
    assert paper.filled(order) == 2


def test_a_price_that_is_not_displayed_has_an_unknown_queue_until_it_is():
    paper = Paper()
    order = paper.place(Side.BUY, 99.0, 5)
    paper.trade(99.0, 3, sold=True)
    assert paper.filled(order) == 0
    paper.book([(99.1, 1.0), (99.0, 4.0)])
    paper.trade(99.0, 6, sold=True)
    assert paper.filled(order) == 2


def test_own_orders_at_one_price_share_what_was_traded_the_older_first():
    paper = Paper()
    first, second = paper.place(Side.BUY, 100.0, 3), paper.place(Side.BUY, 100.0, 3)
    paper.trade(100.0, 9, sold=True)
    paper.pass_time(100)
    assert (first.executed, second.executed) == (3, 1)


def test_trades_told_twice_and_trades_from_before_the_order_do_not_count():
    paper = Paper([(100.0, 5.0)], [(100.4, 5.0)])
    paper.pass_time(1_000)
    order = paper.place(Side.BUY, 100.2, 9)
    paper.trade(100.2, 4, sold=True, ago_ms=500)
    paper.trade(100.2, 2, sold=True, number=77)
    paper.trade(100.2, 2, sold=True, number=77)
    assert paper.filled(order) == 2


def test_what_was_reached_is_filled_before_a_cancel_and_cancels_the_rest():
    paper = Paper([(100.0, 5.0)], [(100.4, 5.0)])
    order = paper.place(Side.BUY, 100.2, 3)
    paper.trade(100.2, 1, sold=True)
    paper.exchange.cancel(0, order.order_id)
    assert (order.status, order.executed) == (Status.CANCELED, 1)
    other = paper.place(Side.BUY, 100.2, 3)
    paper.trade(100.1, 9, sold=True)
    with pytest.raises(VenueRefusal):
        paper.exchange.cancel(0, other.order_id)
    assert other.status is Status.FILLED


def test_where_trades_are_heard_a_quiet_book_fills_nothing_however_far_the_top_goes():
    paper = Paper()
    order = paper.place(Side.BUY, 100.0, 1)
    paper.pass_time(1_100)
    paper.top((99.0, 1.0), (99.1, 1.0))
    assert paper.filled(order) == 0
    paper.pass_time(2_000)
    assert order.executed == 0


def test_without_any_trade_tops_fill_as_before():
    market = FollowedMarket((XYZ,), RULES, NOW)
    exchange = SimulatedExchange(market, RULES, {"USDT": D(10_000)})
    market.observe_book(XYZ, BIDS, ASKS, NOW)
    market.observe_top(XYZ, Top(bid=100.0, bid_qty=5.0, ask=100.1, ask_qty=4.0, at_ms=NOW))
    request = OrderRequest(instrument=XYZ, side=Side.BUY, type=OrderType.LIMIT, quantity=D(1), price=D("99.9"))
    order = exchange.place(request)
    market.observe_top(XYZ, Top(bid=99.8, bid_qty=5.0, ask=99.9, ask_qty=4.0, at_ms=NOW + 1_500))
    exchange.advance_to(NOW + 2_000)
    assert order.status is Status.FILLED


# Takers


def test_a_taker_walks_the_displayed_levels_and_no_further_than_its_limit():
    paper = Paper()
    done = paper.place(Side.BUY, 100.2, 15, "IOC")
    assert [(t.price, t.quantity) for t in done.trades] == [(D("100.1"), D(4)), (D("100.2"), D(6))]
    assert done.status is Status.EXPIRED


def test_what_was_taken_is_missing_until_the_book_is_shown_anew():
    paper = Paper()
    assert paper.place(Side.BUY, 100.2, 10, "IOC").executed == 10
    paper.top()
    assert paper.place(Side.BUY, 100.2, 10, "IOC").executed == 0
    paper.book()
    assert paper.place(Side.BUY, 100.2, 10, "IOC").executed == 10


def test_levels_that_a_newer_top_has_left_behind_are_gone():
    paper = Paper()
    paper.top((100.1, 1.0), (100.2, 3.0))
    done = paper.place(Side.BUY, 100.5, 20, "IOC")
    assert [(t.price, t.quantity) for t in done.trades] == [(D("100.2"), D(3)), (D("100.5"), D(9))]


def test_a_lost_book_leaves_the_top_to_trade_with():
    paper = Paper()
    paper.market.lose_book(XYZ)
    assert paper.place(Side.BUY, 100.5, 20, "IOC").executed == 4


# Whatever comes

SIZES = st.integers(0, 12).map(float)
EVENTS = st.one_of(
    st.tuples(st.just("trade"), st.integers(994, 1006), st.integers(1, 9), st.booleans()),
    st.tuples(st.just("book"), st.integers(996, 1001), st.lists(SIZES, min_size=4, max_size=4)),
    st.tuples(st.just("top"), st.integers(996, 1001), SIZES, SIZES),
    st.tuples(st.just("place"), st.sampled_from(list(Side)), st.integers(994, 1006), st.integers(1, 9)),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.integers(1, 2_500)),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_no_order_gets_more_than_was_traded_at_or_through_its_price_since_it_came(events):
    paper = Paper()
    rested: list[tuple[SimOrder, int]] = []
    """Orders with what they took when they came."""
    traded: dict[int, int] = {}
    for event in events:
        kind, *words = event
        if kind == "trade":
            price, quantity, sold = words
            for order, _ in rested:
                gone = order.ticks - price if order.side is Side.BUY else price - order.ticks
                if order.live and (gone > 0 or (gone == 0 and sold is (order.side is Side.BUY))):
                    traded[order.order_id] = traded.get(order.order_id, 0) + quantity
            paper.trade(price / 10, quantity, sold)
        elif kind == "book":
            bid, sizes = words
            paper.book(
                [(bid / 10, sizes[0]), ((bid - 2) / 10, sizes[1])],
                [((bid + 1) / 10, sizes[2]), ((bid + 3) / 10, sizes[3])],
            )
        elif kind == "top":
            bid, have, want = words
            paper.top((bid / 10, have), ((bid + 1) / 10, want))
        elif kind == "place":
            side, price, quantity = words
            order = paper.place(side, price / 10, quantity)
            rested.append((order, order.executed))
        elif kind == "cancel" and words[0] < len(rested) and rested[words[0]][0].live:
            order = rested[words[0]][0]
            paper.pass_time(1)
            if order.live:
                paper.exchange.cancel(0, order.order_id)
        elif kind == "wait":
            paper.top()
            paper.pass_time(words[0])
    paper.pass_time(MINUTE_MS)
    for order, at_once in rested:
        makers = [t for t in order.trades if t.maker]
        assert sum(t.quantity for t in order.trades) == order.executed <= order.steps
        assert order.executed - at_once <= traded.get(order.order_id, 0)
        assert all(t.price == order.price for t in makers)
        better = (t.price <= order.price if order.side is Side.BUY else t.price >= order.price for t in order.trades)
        assert all(better)
    volume = sum(event[2] for event in events if event[0] == "trade")
    assert sum(order.executed - at_once for order, at_once in rested) <= volume
