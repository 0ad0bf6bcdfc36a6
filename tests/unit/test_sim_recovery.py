"""What paper's orders took from the real book is missing from it for a while, as it would be there."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.messages import Top
from core.units import Instrument, Side
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.followed import FollowedMarket
from exchanges.simulated.ladder import Levels
from exchanges.simulated.orders import OrderRequest, OrderType, SimOrder
from exchanges.simulated.recovery import Recovery
from exchanges.simulated.rules import default_rules

BTC = Instrument("binance", "BTC/USDT")
NOW = 1_767_225_600_000
BIDS = [(59_999.0, 1.0), (59_998.0, 2.0), (59_990.0, 40.0)]
ASKS = [(60_000.0, 1.0), (60_001.0, 2.0), (60_010.0, 40.0)]

sizes = st.lists(st.integers(0, 50), min_size=1, max_size=6)
takes = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 5_000)), max_size=6)
"""(steps, ms since the one before)."""


class Paper:
    """A paper exchange over a book that is told as often as the real one is."""

    def __init__(self, half_life_s: float) -> None:
        rules = {BTC: default_rules(BTC, 60_000.0)}
        self.market = FollowedMarket((BTC,), rules, NOW, half_life_ms=half_life_s * 1_000)
        self.exchange = SimulatedExchange(self.market, rules, {"USDT": D(10**9), "BTC": D(1_000)})
        self.tell(0)

    def tell(self, after_ms: int, dearer: float = 0.0) -> None:
        at_ms = NOW + after_ms
        self.exchange.advance_to(at_ms)
        bids, asks = ([(price + dearer, size) for price, size in side] for side in (BIDS, ASKS))
        (bid, bid_qty), (ask, ask_qty) = bids[0], asks[0]
        self.market.observe_top(BTC, Top(bid=bid, bid_qty=bid_qty, ask=ask, ask_qty=ask_qty, at_ms=at_ms))
        self.market.observe_book(BTC, bids, asks, at_ms)

    def take(self, side: Side, quantity: str, price: str = "60000") -> SimOrder:
        limit = D(price) * (D("1.01") if side is Side.BUY else D("0.99"))
        order = OrderRequest(
            instrument=BTC,
            side=side,
            type=OrderType.LIMIT,
            quantity=D(quantity),
            price=limit.quantize(D("0.01")),
            time_in_force="IOC",
        )
        return self.exchange.place(order)

    def displayed(self, side: int) -> dict[float, float]:
        rules = self.exchange.rules[0]
        return {float(t * rules.tick): float(n * rules.step) for t, n in self.exchange.depth(0)[side]}


def paid(order: SimOrder) -> float:
    return float(sum(t.price * t.quantity for t in order.trades) / order.executed_quantity)


def test_without_a_half_life_the_next_book_is_whole():
    paper = Paper(0.0)
    paper.take(Side.BUY, "2")
    assert paper.displayed(1) == {60_001.0: 1.0, 60_010.0: 40.0}
    paper.tell(100)
    assert paper.displayed(1) == dict(ASKS) and paper.displayed(0) == dict(BIDS)


@pytest.mark.parametrize(("side", "met", "shown"), [(Side.BUY, 1, ASKS), (Side.SELL, 0, BIDS)])
def test_half_is_back_after_the_half_life_best_price_last(side: Side, met: int, shown: list[tuple[float, float]]):
    paper = Paper(5.0)
    paper.take(side, "2")
    (best, _), (second, _), (last, whole) = shown
    for after_ms, missing in ((100, 2 * 0.5**0.02), (5_000, 1.0), (10_000, 0.5)):
        paper.tell(after_ms)
        found = paper.displayed(met)
        left = [max(1.0 - missing, 0.0), 2.0 - max(missing - 1.0, 0.0), whole]
        assert [found.get(price, 0.0) for price in (best, second, last)] == pytest.approx(left, abs=1e-4)
        # The side that nothing was taken from is as it is.
        assert paper.displayed(1 - met) == dict(BIDS if side is Side.BUY else ASKS)
    paper.tell(200_000)
    assert paper.displayed(met) == dict(shown)


def test_a_second_order_pays_more_until_the_book_is_whole_again():
    first = paid(Paper(5.0).take(Side.BUY, "3"))
    later = []
    for after_ms in (100, 2_000, 10_000, 300_000):
        paper = Paper(5.0)
        paper.take(Side.BUY, "3")
        paper.tell(after_ms)
        later.append(paid(paper.take(Side.BUY, "3")))
    assert later == sorted(later, reverse=True)
    assert later[0] > later[1] > later[2] > later[3] == first


def test_what_is_missing_goes_with_the_touch():
    paper = Paper(5.0)
    paper.take(Side.BUY, "1")
    paper.tell(100, dearer=7.0)
    assert paper.displayed(1)[60_007.0] == pytest.approx(1.0 - 0.5**0.02, abs=1e-4)


def test_a_sale_pays_as_a_purchase_does():
    sale, purchase = (
        [paid(paper.take(side, "2")) for _ in range(2)]
        for side, paper in ((Side.SELL, Paper(5.0)), (Side.BUY, Paper(5.0)))
    )
    assert sale[0] > sale[1] and purchase[0] < purchase[1]


@given(sizes, takes, st.floats(0.0, 60_000.0))
def test_never_more_than_displayed_and_never_less_as_time_passes(shown: list[int], told: list, half_life_ms: float):
    levels: Levels = tuple(enumerate(shown))
    recovery, now, taken = Recovery(half_life_ms), 0, 0
    for steps, wait in told:
        now += wait
        recovery.took(steps, now)
        recovery.anew()
        taken += steps
    before = -1
    for later in range(now, now + 100_000, 7_000):
        found = recovery.lessen(levels, later)
        assert [ticks for ticks, _ in found] == [ticks for ticks, _ in levels]
        assert all(0 <= left <= size for (_, left), (_, size) in zip(found, levels, strict=True))
        whole = sum(left for _, left in found)
        # No more is missing than was taken, and what is missing is missing at the best prices.
        assert sum(shown) - taken <= whole <= sum(shown) and whole >= before
        gone = [size > left for (_, left), (_, size) in zip(found, levels, strict=True)]
        emptied = [left == 0 for _, left in found]
        last = max((k for k, one in enumerate(gone) if one), default=0)
        assert all(emptied[:last])
        before = whole
    assert half_life_ms or recovery.lessen(levels, now) == levels
