"""Orders of one account that meet: every mode of self-trade prevention, as the venue's own examples have it."""

from decimal import Decimal as D

import pytest

from core.units import Side
from exchanges.simulated.events import OrderMoved
from exchanges.simulated.filters import Limits
from exchanges.simulated.orders import OrderType, Status
from exchanges.simulated.refusals import VenueRefusal
from exchanges.simulated.selftrade import Stp
from tests.support.scripted_market import request, steady, story

LIMIT = OrderType.LIMIT
DEAR = {"USDT": D(10_000_000), "BTC": D(100)}


def sells_between(venue):
    """Two own sells inside the spread and just above it; gives them and the market's best ask."""
    ask = venue.top(0).ask
    inside = venue.place(request(Side.SELL, LIMIT, 1, ask - D("0.02")))
    above = venue.place(request(Side.SELL, LIMIT, 2, ask + 1))
    venue.take_events()
    return inside, above, ask


def buy(venue, quantity, price, stp, force="GTC"):
    return venue.place(request(Side.BUY, LIMIT, quantity, price, stp=stp, time_in_force=force))


def reports(venue):
    return [(e.order.order_id, e.kind) for e in venue.take_events() if isinstance(e, OrderMoved)]


def test_expire_maker_is_the_default_and_clears_the_way():
    venue = story(steady(3), DEAR)
    inside, above, ask = sells_between(venue)
    order = venue.place(request(Side.BUY, LIMIT, 5, ask + 5))
    assert (order.stp, inside.status, above.status) == (
        "EXPIRE_MAKER",
        Status.EXPIRED_IN_MATCH,
        Status.EXPIRED_IN_MATCH,
    )
    assert [(m.maker_id, m.taker_id, m.maker_steps, m.taker_steps) for m in venue.prevented(0)] == [
        (inside.order_id, order.order_id, 100_000, None),
        (above.order_id, order.order_id, 200_000, None),
    ]
    assert (inside.prevented_quantity, inside.match_id, above.match_id) == (1, 0, 1)
    assert all(t.price >= ask for t in order.trades)
    assert venue.account.locked("BTC") == 0


def test_expire_taker_ends_the_order_where_it_would_meet_its_own():
    venue = story(steady(3), DEAR)
    inside, above, ask = sells_between(venue)
    order = buy(venue, 5, ask + 5, Stp.EXPIRE_TAKER)
    assert (order.status, order.executed, inside.status) == (Status.EXPIRED_IN_MATCH, 0, Status.NEW)
    assert reports(venue) == [(order.order_id, "NEW"), (order.order_id, "TRADE_PREVENTION")]
    venue.cancel(0, inside.order_id)
    second = buy(venue, 50, ask + 5, Stp.EXPIRE_TAKER)
    assert second.status is Status.EXPIRED_IN_MATCH
    assert 0 < second.executed < second.steps
    assert all(t.price <= above.price for t in second.trades)
    assert second.prevented == second.steps - second.executed
    assert above.status is Status.NEW
    assert venue.account.locked("USDT") == 0


def test_expire_both_ends_both():
    venue = story(steady(3), DEAR)
    inside, above, ask = sells_between(venue)
    order = buy(venue, 5, ask + 5, Stp.EXPIRE_BOTH)
    assert (order.status, inside.status, above.status) == (Status.EXPIRED_IN_MATCH, Status.EXPIRED_IN_MATCH, Status.NEW)
    (match,) = venue.prevented(0)
    assert (match.taker_steps, match.maker_steps, match.mode) == (500_000, 100_000, "EXPIRE_BOTH")
    kinds = reports(venue)
    assert kinds[1:] == [(inside.order_id, "TRADE_PREVENTION"), (order.order_id, "TRADE_PREVENTION")]


def test_none_lets_them_trade_with_each_other_and_both_pay_fees():
    venue = story(steady(3), DEAR)
    inside, _, ask = sells_between(venue)
    order = buy(venue, 1, ask - D("0.02"), Stp.NONE)
    assert (order.status, inside.status) == (Status.FILLED, Status.FILLED)
    (bought,), (sold,) = order.trades, inside.trades
    assert (bought.price, bought.maker, sold.price, sold.maker) == (inside.price, False, inside.price, True)
    assert venue.account.free("BTC") == 100 - 2 - bought.fee
    assert venue.account.locked("BTC") == 2
    assert venue.account.free("USDT") == 10_000_000 - sold.fee
    assert venue.prevented(0) == []


def test_none_walks_through_the_market_and_own_orders_best_price_first():
    venue = story(steady(3), DEAR)
    inside, above, ask = sells_between(venue)
    order = buy(venue, 60, ask + 4, Stp.NONE, "IOC")
    prices = [t.price for t in order.trades]
    assert prices == sorted(prices)
    assert prices[0] == inside.price
    assert above.price in prices
    assert above.status is Status.FILLED


def test_decrement_lessens_both_and_expires_the_smaller():
    venue = story(steady(3), DEAR)
    inside, _, ask = sells_between(venue)
    order = buy(venue, "0.4", ask - D("0.01"), Stp.DECREMENT)
    assert (order.status, order.prevented_quantity, order.executed) == (Status.EXPIRED_IN_MATCH, D("0.4"), 0)
    assert (inside.status, inside.remaining, inside.prevented_quantity) == (Status.NEW, 60_000, D("0.4"))
    assert venue.account.locked("BTC") == D("2.6")
    larger = buy(venue, 1, ask - D("0.01"), Stp.DECREMENT)
    assert (larger.status, larger.remaining, inside.status) == (Status.NEW, 40_000, Status.EXPIRED_IN_MATCH)
    assert venue.account.locked("USDT") == D("0.4") * larger.price
    assert venue.top(0).bid == larger.price


def test_a_market_order_meets_its_own_too():
    venue = story(steady(3), DEAR)
    inside, _, ask = sells_between(venue)
    stopped = venue.place(request(Side.BUY, OrderType.MARKET, 1, stp=Stp.EXPIRE_TAKER))
    assert (stopped.status, stopped.executed) == (Status.EXPIRED_IN_MATCH, 0)
    by_money = venue.place(request(Side.BUY, OrderType.MARKET, quote_quantity=1_000, stp=Stp.EXPIRE_BOTH))
    assert (by_money.status, inside.status) == (Status.EXPIRED_IN_MATCH, Status.EXPIRED_IN_MATCH)
    traded = venue.place(request(Side.BUY, OrderType.MARKET, 1, stp=Stp.NONE))
    assert traded.status is Status.FILLED
    assert venue.account.locked("USDT") == 0
    assert ask


def test_a_mode_that_a_market_does_not_allow_is_refused():
    venue = story(steady(3), limits=Limits(stp_default=Stp.NONE, stp_allowed=frozenset({Stp.NONE})))
    for mode in (Stp.EXPIRE_MAKER, "TRANSFER"):
        with pytest.raises(
            VenueRefusal, match="This symbol does not allow the specified self-trade prevention mode"
        ) as no:
            venue.place(request(Side.BUY, LIMIT, "0.1", 59_000, stp=mode))
        assert no.value.number == -1013
    assert venue.place(request(Side.BUY, LIMIT, "0.1", 59_000)).stp == "NONE"
