"""One cancels the other, at the simulated exchange: money set aside once, one order acting, both cancelled together."""

from decimal import Decimal as D

import pytest

from core.units import MINUTE_MS, Side
from exchanges.simulated.events import ListMoved, OrderMoved
from exchanges.simulated.filters import Limits
from exchanges.simulated.orders import OrderType, Status
from exchanges.simulated.refusals import VenueRefusal
from tests.support.scripted_market import BEGIN, MONEY, request, steady, story

FALL = (60_000.0, 60_000.0, 59_000.0, 59_000.0)
RISE = (60_000.0, 61_000.0, 60_000.0, 61_000.0)
MAKER, LOSS, LOSS_LIMIT = OrderType.LIMIT_MAKER, OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT
PROFIT, PROFIT_LIMIT = OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT


def sell_pair(venue, quantity=0.4, **ids):
    above = request(Side.SELL, MAKER, quantity, 60_500, client_id=ids.get("above", ""))
    below = request(Side.SELL, LOSS_LIMIT, quantity, 59_300, stop_price=59_500, client_id=ids.get("below", ""))
    return venue.place_oco(above, below, ids.get("list", ""))


def told(events):
    return [
        (e.order.order_id, e.kind) if isinstance(e, OrderMoved) else "done" if e.done else "began"
        for e in events
        if isinstance(e, OrderMoved | ListMoved)
    ]


def test_a_pair_sets_its_coins_aside_once_and_counts_as_two_open_orders():
    venue = story(steady(3))
    pair = sell_pair(venue)
    above, below = pair.orders
    assert venue.account.locked("BTC") == D("0.4")
    assert {o.order_id for o in venue.open_orders()} == {above.order_id, below.order_id}
    assert (above.working, below.working, below.working_ms) == (True, False, -1)
    assert told(venue.take_events()) == [(above.order_id, "NEW"), (below.order_id, "NEW"), "began"]
    assert (venue.order_list(0), venue.order_lists()) == (pair, [pair])


def test_when_the_limit_is_filled_the_stop_expires():
    venue = story([RISE, *steady(1, 61_000.0)])
    pair = sell_pair(venue)
    above, below = pair.orders
    venue.take_events()
    events = venue.advance_to(BEGIN + MINUTE_MS)
    assert (above.status, below.status, pair.done) == (Status.FILLED, Status.EXPIRED, True)
    assert told(events)[:2] == [(below.order_id, "EXPIRED"), "done"]
    assert (venue.account.locked("BTC"), venue.account.free("BTC")) == (0, D("0.6"))


def test_when_the_stop_comes_the_limit_expires_and_the_stop_acts():
    venue = story([FALL, *steady(1, 59_000.0)])
    pair = sell_pair(venue)
    above, below = pair.orders
    venue.advance_to(BEGIN + MINUTE_MS)
    assert (above.status, below.status) == (Status.EXPIRED, Status.FILLED)
    assert all(t.price >= 59_300 for t in below.trades)
    assert venue.account.free("BTC") == D("0.6")


def test_cancelling_one_cancels_both_and_frees_all():
    venue = story(steady(3))
    for index in (0, 1):
        pair = sell_pair(venue)
        venue.take_events()
        venue.cancel(0, pair.orders[index].order_id, cancel_id="c")
        assert [o.status for o in pair.orders] == [Status.CANCELED] * 2
        assert (venue.account.free("BTC"), pair.done) == (1, True)
        with pytest.raises(VenueRefusal, match="Unknown order sent"):
            venue.cancel(0, pair.orders[1 - index].order_id)
        assert told(venue.take_events())[-1] == "done"


def test_a_buying_pair_sets_the_dearer_of_both_aside():
    venue = story([FALL, *steady(1, 59_000.0)])
    above = request(Side.BUY, LOSS, 0.5, stop_price=60_600)
    below = request(Side.BUY, MAKER, 0.5, 59_400)
    pair = venue.place_oco(above, below)
    assert venue.account.locked("USDT") == D("0.5") * 60_600
    venue.advance_to(BEGIN + MINUTE_MS)
    assert [o.status for o in pair.orders] == [Status.EXPIRED, Status.FILLED]
    assert (venue.account.free("USDT"), venue.account.locked("USDT")) == (100_000 - D("0.5") * 59_400, 0)


def test_two_contingent_orders_make_a_pair_too():
    venue = story([RISE, *steady(1, 61_000.0)])
    pair = venue.place_oco(
        request(Side.SELL, PROFIT, 0.4, stop_price=60_500), request(Side.SELL, LOSS, 0.4, trailing_delta=200)
    )
    venue.advance_to(BEGIN + MINUTE_MS)
    assert [o.status for o in pair.orders] == [Status.FILLED, Status.EXPIRED]


def test_a_leg_that_self_trade_prevention_takes_ends_its_pair():
    venue = story(steady(3), {"USDT": D(10_000_000), "BTC": D(1)})
    venue.place(request(Side.BUY, OrderType.MARKET, 10))
    pair = sell_pair(venue, 0.4)
    buyer = venue.place(request(Side.BUY, OrderType.LIMIT, 0.0002, 60_600))
    assert [o.status for o in pair.orders] == [Status.EXPIRED_IN_MATCH, Status.EXPIRED]
    assert venue.account.locked("BTC") == 0
    assert buyer.live


LEG = {"quantity": 0.1}


@pytest.mark.parametrize(
    ("above", "below", "number", "text"),
    [
        (
            ("SELL", MAKER, 60_500, None),
            ("SELL", MAKER, 59_500, None),
            -1168,
            "At least one OCO order must be contingent.",
        ),
        (
            ("SELL", PROFIT, None, 60_500),
            ("SELL", MAKER, 59_500, None),
            -1166,
            "A limit order in a sell OCO must be above.",
        ),
        (
            ("BUY", MAKER, 60_500, None),
            ("BUY", PROFIT, None, 59_500),
            -1165,
            "A limit order in a buy OCO must be below.",
        ),
        (
            ("SELL", LOSS, None, 60_500),
            ("SELL", LOSS, None, 59_500),
            -1197,
            "A stop loss order in a sell OCO must be below.",
        ),
        (
            ("BUY", LOSS, None, 60_500),
            ("BUY", LOSS, None, 59_500),
            -1196,
            "A stop loss order in a buy OCO must be above.",
        ),
        (
            ("SELL", PROFIT, None, 60_500),
            ("SELL", PROFIT, None, 59_500),
            -1199,
            "A take profit order in a sell OCO must be above.",
        ),
        (
            ("BUY", PROFIT, None, 60_500),
            ("BUY", PROFIT, None, 59_500),
            -1198,
            "A take profit order in a buy OCO must be below.",
        ),
        (
            ("SELL", OrderType.LIMIT, 60_500, None),
            ("SELL", LOSS, None, 59_500),
            -1158,
            "Order type not supported in OCO.",
        ),
        (
            ("SELL", MAKER, 60_500, None),
            ("SELL", LOSS, None, 60_200),
            -2010,
            "The relationship of the prices for the orders is not correct.",
        ),
        (
            ("BUY", LOSS, None, 59_800),
            ("BUY", MAKER, 59_500, None),
            -2010,
            "The relationship of the prices for the orders is not correct.",
        ),
    ],
)
def test_pairs_that_are_none_are_refused_in_binances_words(above, below, number, text):
    venue = story(steady(3))
    legs = [
        request(Side(side.lower()), kind, 0.1, price, **({"stop_price": stop} if stop else {}))
        for side, kind, price, stop in (above, below)
    ]
    with pytest.raises(VenueRefusal) as refused:
        venue.place_oco(*legs)
    assert (refused.value.number, refused.value.text) == (number, text)
    assert (venue.open_orders(), venue.account.locked("BTC"), venue.account.locked("USDT")) == ([], 0, 0)


def test_open_lists_are_limited_in_number():
    venue = story(steady(3), limits=Limits(max_order_lists=2))
    first = sell_pair(venue, 0.1)
    sell_pair(venue, 0.1)
    with pytest.raises(VenueRefusal, match="Filter failure: MAX_NUM_ORDER_LISTS") as refused:
        sell_pair(venue, 0.1)
    assert refused.value.number == -1013
    venue.cancel(0, first.orders[0].order_id)
    sell_pair(venue, 0.1)


def test_a_pair_is_refused_as_its_orders_would_be():
    venue = story(steady(3))
    with pytest.raises(VenueRefusal, match="insufficient balance"):
        sell_pair(venue, 2)
    sell_pair(venue, 0.1, above="a", below="b", list="l")
    for ids in ({"above": "a"}, {"below": "b"}, {"list": "l"}, {"above": "x", "below": "x"}):
        with pytest.raises(VenueRefusal, match="Duplicate order sent"):
            sell_pair(venue, 0.1, **ids)
    with pytest.raises(VenueRefusal, match="Order amend is not supported for this symbol") as refused:
        venue.amend(0, D("0.05"), client_id="a")
    assert refused.value.number == -2038
    venue.status[0] = "HALT"
    with pytest.raises(VenueRefusal, match="Market is closed"):
        sell_pair(venue, 0.1)
    assert venue.account.free("BTC") + venue.account.locked("BTC") == MONEY["BTC"]
