"""Contingent orders at the simulated exchange: waiting, triggering, trailing, and what they are refused for."""

from decimal import Decimal as D
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.units import MINUTE_MS, Side
from exchanges.simulated.events import OrderMoved
from exchanges.simulated.orders import OrderType, Status
from exchanges.simulated.refusals import VenueRefusal
from exchanges.simulated.stops import Watch, follow
from tests.support.scripted_market import BEGIN, request, steady, story

FALL = (60_000.0, 60_000.0, 59_000.0, 59_000.0)
"""From the open to the low and back nowhere: high at 20 s, low at 40 s, close there."""
RISE = (60_000.0, 61_000.0, 60_000.0, 61_000.0)
LOSS, LOSS_LIMIT = OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT
PROFIT, PROFIT_LIMIT = OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT


def reports(venue):
    return [(e.kind, str(e.order.status)) for e in venue.take_events() if isinstance(e, OrderMoved)]


def test_a_stop_loss_waits_sells_at_the_market_and_reports_each_step():
    venue = story([FALL, *steady(2, 59_000.0)])
    order = venue.place(request(Side.SELL, LOSS, 0.1, stop_price=59_500))
    assert (order.status, order.working_ms, venue.account.locked("BTC")) == (Status.NEW, -1, D("0.1"))
    assert venue.depth(0) == story([FALL]).depth(0)
    assert venue.open_orders() == [order]
    venue.take_events()
    venue.advance_to(BEGIN + 25_000)
    assert order.status is Status.NEW
    events = venue.advance_to(BEGIN + MINUTE_MS)
    kinds = [e.kind for e in events if isinstance(e, OrderMoved)]
    assert (kinds[0], set(kinds[1:]), order.status) == ("NEW", {"TRADE"}, Status.FILLED)
    # Half way down from 60,000 at 20 s to 59,000 at 40 s.
    assert order.working_ms == BEGIN + 30_000
    assert all(59_300 < t.price <= 59_500 and not t.maker for t in order.trades)
    assert venue.account.locked("BTC") == 0


def test_a_stop_loss_limit_rests_at_its_limit_once_it_is_triggered():
    venue = story([FALL, *steady(3, 59_000.0), (59_000.0, 60_000.0, 59_000.0, 60_000.0)])
    order = venue.place(request(Side.SELL, LOSS_LIMIT, 0.1, 59_800, stop_price=59_500))
    venue.advance_to(BEGIN + 2 * MINUTE_MS)
    assert (order.status, order.working) == (Status.NEW, True)
    assert any(ticks == 59_800 * 100 for ticks, _ in venue.depth(0)[1])
    venue.advance_to(BEGIN + 5 * MINUTE_MS)
    assert order.status is Status.FILLED
    assert {(t.price, t.maker) for t in order.trades} == {(D(59_800), True)}


def test_a_take_profit_sells_into_a_rise_and_buys_into_a_fall():
    rising, falling = story([RISE, *steady(1, 61_000.0)]), story([FALL, *steady(1, 59_000.0)])
    sold = rising.place(request(Side.SELL, PROFIT, 0.1, stop_price=60_500))
    bought = falling.place(request(Side.BUY, PROFIT, 0.1, stop_price=59_500))
    for venue, order in ((rising, sold), (falling, bought)):
        venue.advance_to(BEGIN + MINUTE_MS)
        assert order.status is Status.FILLED
    assert all(t.price >= 60_400 for t in sold.trades)
    assert all(t.price <= 59_600 for t in bought.trades)
    assert falling.account.locked("USDT") == 0


def test_a_buying_stop_sets_its_stop_price_aside_and_expires_when_the_money_is_not_enough():
    gap = (62_000.0, 62_000.0, 62_000.0, 62_000.0)
    venue = story([*steady(1), gap, gap], balances={"USDT": D(6_050)})
    order = venue.place(request(Side.BUY, LOSS, 0.1, stop_price=60_500))
    assert venue.account.locked("USDT") == 6_050
    venue.advance_to(BEGIN + 3 * MINUTE_MS)
    assert (order.status, order.expiry, order.executed) == (Status.EXPIRED, "INSUFFICIENT_LIQUIDITY", 0)
    assert (venue.account.free("USDT"), venue.account.locked("USDT")) == (6_050, 0)


def test_a_trailing_stop_follows_the_best_price_and_sells_on_the_way_back():
    venue = story([RISE, (61_000.0, 61_000.0, 60_000.0, 60_000.0)])
    order = venue.place(request(Side.SELL, LOSS, 0.1, trailing_delta=100))
    venue.advance_to(BEGIN + MINUTE_MS)
    assert (order.status, order.extreme) == (Status.NEW, 61_000.0)
    assert order.trailing_ms == BEGIN + 1_000
    venue.advance_to(BEGIN + 2 * MINUTE_MS)
    assert order.status is Status.FILLED
    assert all(60_200 < t.price <= 60_390 for t in order.trades)


def test_stops_and_time_cut_in_pieces_give_the_same_trades():
    def run(stride):
        venue = story([FALL, RISE, FALL, *steady(2, 59_000.0)])
        venue.place(request(Side.SELL, LOSS, 0.2, stop_price=59_700))
        venue.place(request(Side.BUY, PROFIT_LIMIT, 0.1, 59_400, stop_price=59_300, time_in_force="IOC"))
        venue.place(request(Side.SELL, PROFIT_LIMIT, 0.3, 60_300, stop_price=60_200))
        while venue.now_ms < BEGIN + 5 * MINUTE_MS:
            venue.advance_to(venue.now_ms + stride)
        return venue.trades[0], venue.account.free("USDT")

    whole = run(5 * MINUTE_MS)
    assert len(whole[0]) >= 3
    assert whole == run(2_500)


@pytest.mark.parametrize(
    ("ask", "number", "text"),
    [
        (request(Side.SELL, LOSS, 0.1, stop_price=60_500), -2010, "Order would trigger immediately."),
        (request(Side.BUY, LOSS, 0.1, stop_price=59_500), -2010, "Order would trigger immediately."),
        (request(Side.SELL, PROFIT, 0.1, stop_price=59_500), -2010, "Order would trigger immediately."),
        (request(Side.BUY, PROFIT, 0.1, stop_price=60_500), -2010, "Order would trigger immediately."),
        (request(Side.SELL, LOSS, 0.1), -1102, "Param 'stopPrice' or 'trailingDelta' must be sent"),
        (request(Side.SELL, LOSS, 0.1, 59_000, stop_price=59_500), -1106, "Parameter 'price' sent when not required."),
        (request(Side.SELL, LOSS_LIMIT, 0.1, stop_price=59_500), -1102, "Mandatory parameter 'price'"),
        (request(Side.SELL, LOSS, stop_price=59_500), -1102, "Mandatory parameter 'quantity'"),
        (request(Side.SELL, LOSS, 0.1, quote_quantity=5, stop_price=59_500), -1106, "Parameter 'quoteOrderQty'"),
        (request(Side.SELL, OrderType.LIMIT, 0.1, 61_000, stop_price=59_500), -1106, "Parameter 'stopPrice'"),
        (request(Side.SELL, OrderType.MARKET, 0.1, trailing_delta=50), -1106, "Parameter 'trailingDelta'"),
        (request(Side.SELL, LOSS, 0.1, stop_price="59500.001"), -1013, "Filter failure: PRICE_FILTER"),
        (request(Side.SELL, LOSS, 0.1, stop_price="59500.000000001"), -1111, "Parameter 'stopPrice' has too much"),
        (request(Side.SELL, LOSS, 0.1, trailing_delta=9), -1013, "Filter failure: TRAILING_DELTA"),
        (request(Side.SELL, LOSS, 0.1, trailing_delta=2_001), -1013, "Filter failure: TRAILING_DELTA"),
        (request(Side.SELL, LOSS, 901, stop_price=59_500), -1013, "Filter failure: MARKET_LOT_SIZE"),
        (request(Side.SELL, OrderType.MARKET, 901), -1013, "Filter failure: MARKET_LOT_SIZE"),
        (request(Side.SELL, LOSS, 2, stop_price=59_500), -2010, "insufficient balance"),
        (request(Side.BUY, LOSS, 2, stop_price=60_500), -2010, "insufficient balance"),
        (
            request(Side.SELL, OrderType.LIMIT, 0.1, 61_000, iceberg=0.01),
            -2010,
            "Iceberg orders are not supported for this symbol.",
        ),
        (request(Side.SELL, OrderType.MARKET, 0.1, iceberg=0.01), -1106, "Parameter 'icebergQty'"),
    ],
)
def test_what_is_refused_is_refused_in_binances_words_and_changes_nothing(ask, number, text):
    venue = story(steady(2))
    with pytest.raises(VenueRefusal) as refused:
        venue.place(ask)
    assert (refused.value.number, text in refused.value.text) == (number, True), refused.value.text
    assert (venue.open_orders(), venue.take_events()) == ([], [])
    assert (venue.account.locked("BTC"), venue.account.locked("USDT")) == (0, 0)


@pytest.mark.parametrize("huge", ["1e400", "1e30", "99999999999999999999"])
def test_amounts_that_no_integer_holds_are_refused_by_their_filter(huge):
    venue = story(steady(2))
    for ask, name in (
        (request(Side.BUY, OrderType.LIMIT, huge, 59_000), "LOT_SIZE"),
        (request(Side.BUY, OrderType.LIMIT, 0.1, huge), "PRICE_FILTER"),
        (request(Side.SELL, LOSS, 0.1, stop_price=huge), "PRICE_FILTER"),
    ):
        with pytest.raises(VenueRefusal, match=f"Filter failure: {name}"):
            venue.place(ask)
    with pytest.raises(VenueRefusal, match="insufficient balance"):
        venue.place(request(Side.BUY, OrderType.MARKET, quote_quantity=huge))


def test_five_contingent_orders_a_market_are_enough():
    venue = story(steady(2))
    for _ in range(5):
        venue.place(request(Side.SELL, LOSS_LIMIT, 0.01, 59_000, stop_price=59_500))
    with pytest.raises(VenueRefusal, match="MAX_NUM_ALGO_ORDERS") as refused:
        venue.place(request(Side.SELL, PROFIT, 0.01, stop_price=60_500))
    assert refused.value.number == -1013
    venue.place(request(Side.SELL, OrderType.LIMIT, 0.01, 61_000))
    venue.cancel(0, venue.open_orders()[0].order_id)
    venue.place(request(Side.SELL, PROFIT, 0.01, stop_price=60_500))


def test_a_market_order_by_money_is_refused_where_nothing_is_for_sale():
    venue = story(steady(2), volume=0.0)
    with pytest.raises(VenueRefusal, match="Order book liquidity is less than symbol minimum quantity") as refused:
        venue.place(request(Side.BUY, OrderType.MARKET, quote_quantity=100))
    assert refused.value.number == -2010


def test_a_cancelled_stop_gives_back_what_it_set_aside():
    venue = story([FALL])
    order = venue.place(request(Side.SELL, LOSS, 0.4, stop_price=59_500))
    venue.cancel(0, order.order_id)
    venue.advance_to(BEGIN + MINUTE_MS)
    assert (order.status, venue.account.free("BTC"), venue.trades[0]) == (Status.CANCELED, 1, [])


@pytest.mark.parametrize(
    ("side", "kind", "stop", "path", "at"),
    [
        # faqs/trailing-stop-faq.md, scenarios A to E: the leg at whose end the order acts.
        (Side.BUY, LOSS_LIMIT, 44_000, (40_000, 37_000, 45_000, 46_000, 42_000, 44_100), 5),
        (Side.SELL, LOSS_LIMIT, 39_000, (40_000, 41_500, 37_000, 41_000, 36_900), 4),
        (Side.BUY, PROFIT_LIMIT, 38_000, (40_000, 42_000, 37_000, 39_000, 38_000, 40_145), 5),
        (Side.SELL, PROFIT_LIMIT, 42_000, (40_000, 41_500, 39_000, 45_000, 44_000, 46_500, 43_012.5), 6),
        (Side.SELL, LOSS_LIMIT, 0, (40_000, 42_000, 39_500, 45_500, 42_315), 4),
    ],
)
def test_trailing_orders_act_where_the_venues_own_examples_do(side, kind, stop, path, at):
    delta = {44_000: 500, 39_000: 1_000, 38_000: 850, 42_000: 750, 0: 700}[stop]
    extreme, acted = 0.0, []
    for start, end in pairwise(path):
        moved = follow(Watch(side, kind, stop, delta, extreme), start, end)
        extreme = moved.extreme
        acted.append(moved.at)
    assert acted[: at - 1] == [None] * (at - 1)
    assert acted[at - 1] == pytest.approx(1.0)


PRICES = st.floats(1.0, 1e6)


@given(
    st.sampled_from(list(Side)),
    st.sampled_from([LOSS, PROFIT]),
    PRICES,
    st.sampled_from([0, 10, 300, 2_000]),
    st.lists(PRICES, min_size=2, max_size=12),
)
def test_a_trigger_lies_on_the_way_and_an_extreme_never_gets_worse(side, kind, stop, delta, path):
    extreme = 0.0
    for start, end in pairwise(path):
        moved = follow(Watch(side, kind, stop, delta, extreme), start, end)
        assert moved.at is None or 0.0 <= moved.at <= 1.0
        if extreme and delta:
            assert moved.extreme <= extreme if side is Side.BUY else moved.extreme >= extreme
        extreme = moved.extreme
        if moved.at is not None:
            return
