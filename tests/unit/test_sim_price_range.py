"""Trading only near the reference price, and markets that are halted, at the simulated exchange."""

from decimal import Decimal as D

import pytest

from core.units import MINUTE_MS, Side
from exchanges.simulated.filters import Limits
from exchanges.simulated.orders import OrderType, Status
from exchanges.simulated.price_range import PriceRange
from exchanges.simulated.refusals import VenueRefusal
from exchanges.simulated.selftrade import Stp
from tests.support.scripted_market import BEGIN, request, steady, story

NARROW = Limits(price_range=PriceRange.of_percent(D("0.022")))
BAND = D("60014.5")
DEAR = {"USDT": D(100_000_000), "BTC": D(1_000)}
SINK = (60_000.0, 60_000.0, 59_000.0, 59_000.0)


@pytest.mark.parametrize("stp", [Stp.EXPIRE_MAKER, Stp.NONE])
@pytest.mark.parametrize(
    ("kind", "price", "force"),
    [(OrderType.MARKET, None, "GTC"), (OrderType.LIMIT, 61_000, "GTC"), (OrderType.LIMIT, 61_000, "IOC")],
)
def test_what_lies_outside_the_range_expires_with_its_reason(kind, price, force, stp):
    venue = story(steady(3), DEAR, limits=NARROW)
    order = venue.place(request(Side.BUY, kind, 100, price, time_in_force=force, stp=stp))
    assert (order.status, order.expiry) == (Status.EXPIRED, "EXECUTION_RULE_PRICE_RANGE_EXCEEDED")
    assert 0 < order.executed < order.steps
    assert all(t.price <= BAND for t in order.trades)
    assert venue.account.locked("USDT") == 0


def test_an_order_that_ends_inside_the_range_is_as_ever():
    venue, free = story(steady(3), DEAR, limits=NARROW), story(steady(3), DEAR)
    for kind, price, force in ((OrderType.MARKET, None, "GTC"), (OrderType.LIMIT, 60_010, "GTC")):
        here = venue.place(request(Side.BUY, kind, "0.5", price, time_in_force=force))
        there = free.place(request(Side.BUY, kind, "0.5", price, time_in_force=force))
        assert (here.status, here.trades) == (there.status, there.trades)


def test_the_reference_moves_with_the_last_prices():
    venue = story([SINK, *steady(1, 59_000.0)], limits=NARROW)
    assert venue.reference_price(0) == pytest.approx(60_000, abs=5)
    venue.advance_to(BEGIN + 30_000)
    # Half way down at 50 a second: the mean of ten seconds lags by four and a half.
    assert venue.reference_price(0) == pytest.approx(59_500 + 4.5 * 50, abs=1)
    with pytest.raises(VenueRefusal, match="doesn't have a reference price") as none:
        story(steady(1)).reference_price(0)
    assert none.value.number == -2043


def test_bounds_are_whole_ticks_and_belong_to_the_range():
    band = PriceRange(D("1.1"), D("0.9"), D("1.2"), D("0.8"))
    assert band.ticks(Side.BUY, 100.0, 0.01) == (9_000, 11_000)
    assert band.ticks(Side.SELL, 100.0, 0.01) == (8_000, 12_000)
    assert band.ticks(Side.BUY, 100.0, 0.7) == (129, 157)


@pytest.mark.parametrize("status", ["HALT", "BREAK", "CANCEL_ONLY"])
def test_a_market_that_is_not_trading_takes_cancels_only_and_fills_nothing(status):
    venue = story([SINK, *steady(3, 59_000.0)])
    resting = venue.place(request(Side.BUY, OrderType.LIMIT, "0.1", 59_900))
    stop = venue.place(request(Side.SELL, OrderType.STOP_LOSS, "0.1", stop_price=59_500))
    venue.status[0] = status
    with pytest.raises(VenueRefusal, match="Market is closed") as closed:
        venue.place(request(Side.BUY, OrderType.LIMIT, "0.1", 59_900))
    assert closed.value.number == -2010
    venue.advance_to(BEGIN + MINUTE_MS)
    assert (resting.status, stop.status, venue.trading(0)) == (Status.NEW, Status.NEW, False)
    assert venue.cancel(0, stop.order_id).status is Status.CANCELED
    venue.status[0] = "TRADING"
    venue.advance_to(BEGIN + 2 * MINUTE_MS)
    assert resting.status is Status.FILLED
