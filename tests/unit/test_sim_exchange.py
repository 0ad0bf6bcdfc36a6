"""Orders and balances at the simulated exchange, in-process."""

from decimal import Decimal as D

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigError, Defect, ExchangeRefused
from core.messages import CancelOrder, OrderState, PlaceOrder, TimeInForce
from core.params import CostSettings
from core.units import MINUTE_MS, Instrument, Side
from exchanges.simulated.events import BarClosed, OrderMoved
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.local import SimulatedVenue
from exchanges.simulated.orders import OrderRequest, OrderType, Status
from exchanges.simulated.refusals import VenueRefusal
from exchanges.simulated.tape import Tape
from exchanges.simulated.walk import random_walk_tape

START = 1_767_225_600_000
BTC = Instrument("binance", "BTC/USDT")
ETH = Instrument("binance", "ETH/USDT")
MONEY = {"USDT": D(100_000), "BTC": D(1), "ETH": D(10)}
BEGIN = START + 30 * MINUTE_MS


AT_ONCE = CostSettings(latency=False, participation=False)
"""What is shown is what is met: these stories are of orders and balances (latency, caps: ``test_sim_costs.py``)."""


def exchange(balances=MONEY, bars=None, minutes: int = 90) -> SimulatedExchange:
    tape = random_walk_tape(("BTC/USDT", "ETH/USDT"), START, minutes, seed=11)
    if bars is not None:
        tape = Tape(tape.instruments, START, bars(np.array(tape.bars)))
    return SimulatedExchange(tape, tape.default_rules(), balances, BEGIN, costs=AT_ONCE)


def limit(side, quantity, price, force="GTC", instrument=BTC, kind=OrderType.LIMIT, client_id=""):
    return OrderRequest(
        instrument=instrument,
        side=side,
        type=kind,
        quantity=D(str(quantity)),
        price=D(str(price)),
        time_in_force=force,
        client_id=client_id,
    )


def market(side, quantity=None, money=None):
    return OrderRequest(instrument=BTC, side=side, type=OrderType.MARKET, quantity=quantity, quote_quantity=money)


def test_a_buy_takes_the_best_asks_and_pays_its_fee_in_the_coin():
    venue = exchange()
    top = venue.top(0)
    order = venue.place(limit(Side.BUY, top.ask_qty, top.ask, "IOC"))
    assert order.status is Status.FILLED
    (trade,) = order.trades
    assert (trade.price, trade.quantity, trade.fee_asset, trade.maker) == (top.ask, top.ask_qty, "BTC", False)
    assert trade.fee == (top.ask_qty * D("0.001")).quantize(D("1e-8"), rounding="ROUND_DOWN")
    assert venue.account.free("BTC") == 1 + top.ask_qty - trade.fee
    assert venue.account.free("USDT") == 100_000 - top.ask * top.ask_qty
    assert venue.account.locked("USDT") == 0
    assert venue.top(0).ask > top.ask


def test_a_sell_pays_its_fee_in_money():
    venue = exchange()
    top = venue.top(0)
    order = venue.place(limit(Side.SELL, "0.001", top.bid, "IOC"))
    (trade,) = order.trades
    assert trade.fee_asset == "USDT"
    assert venue.account.free("USDT") == 100_000 + trade.quote_quantity - trade.fee


def test_an_ioc_larger_than_the_book_ends_expired_with_what_it_got():
    venue = exchange()
    top = venue.top(0)
    order = venue.place(limit(Side.BUY, top.ask_qty + D("0.2"), top.ask, "IOC"))
    assert order.status is Status.EXPIRED
    assert order.executed_quantity == top.ask_qty
    assert venue.account.locked("USDT") == 0


def test_fill_or_kill_does_all_or_nothing():
    venue = exchange()
    top = venue.top(0)
    killed = venue.place(limit(Side.BUY, top.ask_qty + D("0.2"), top.ask, "FOK"))
    assert (killed.status, killed.executed) == (Status.EXPIRED, 0)
    assert venue.account.free("USDT") == 100_000
    assert venue.place(limit(Side.BUY, top.ask_qty, top.ask, "FOK")).status is Status.FILLED


def test_own_takes_are_missing_until_the_next_minute():
    venue = exchange()
    top = venue.top(0)
    venue.place(limit(Side.BUY, top.ask_qty, top.ask, "IOC"))
    seen = venue.depth(0)[1]
    venue.advance_to(BEGIN + 15_000)
    assert len(venue.depth(0)[1]) == len(seen)
    venue.advance_to(BEGIN + MINUTE_MS)
    assert len(venue.depth(0)[1]) == len(seen) + 1


def test_a_market_order_by_money_spends_at_most_that():
    venue = exchange()
    order = venue.place(market(Side.BUY, money=D(5_000)))
    assert order.status is Status.FILLED
    assert 5_000 - 61 < order.quote_executed <= 5_000
    assert venue.account.free("USDT") == 100_000 - order.quote_executed


def test_a_market_order_eats_the_whole_book_and_the_rest_expires():
    venue = exchange({"BTC": D(1_000)})
    order = venue.place(market(Side.SELL, quantity=D(900)))
    assert order.status is Status.EXPIRED
    assert 0 < order.executed_quantity < 900
    assert venue.account.free("BTC") == 1_000 - order.executed_quantity
    assert venue.depth(0)[0] == ()


def test_a_resting_buy_waits_behind_the_queue_and_fills_at_its_own_price():
    venue = exchange()
    top = venue.top(0)
    price = top.bid - D(20)
    order = venue.place(limit(Side.BUY, "0.01", price))
    assert order.status is Status.NEW
    assert venue.account.locked("USDT") == D("0.01") * price
    venue.advance_to(BEGIN + 59 * MINUTE_MS)
    assert order.status is Status.FILLED
    assert {t.price for t in order.trades} == {price}
    assert all(t.maker and t.at_ms % 1000 == 0 for t in order.trades)
    assert venue.account.locked("USDT") == 0


def test_resting_fills_do_not_depend_on_how_time_was_cut():
    def run(stride):
        venue = exchange()
        top = venue.top(0)
        for k, side in enumerate((Side.BUY, Side.SELL, Side.BUY)):
            price = (top.bid - 5 * k) if side is Side.BUY else top.ask + 5 * k
            venue.place(limit(side, "0.3", price))
        while venue.now_ms < BEGIN + 5 * MINUTE_MS:
            venue.advance_to(venue.now_ms + stride)
        return venue.trades[0], venue.account.free("USDT")

    whole, pieces = run(5 * MINUTE_MS), run(2_500)
    assert whole[0]
    assert whole == pieces


def test_two_resting_orders_do_not_fill_on_the_same_volume():
    def filled(count):
        venue = exchange()
        price = venue.top(0).bid
        orders = [venue.place(limit(Side.BUY, D("0.4") / count, price)) for _ in range(count)]
        venue.advance_to(BEGIN + 10_000)
        return sum(o.executed for o in orders)

    assert 0 < filled(2) <= filled(1)


def test_a_post_only_order_that_would_take_is_refused():
    venue = exchange()
    with pytest.raises(VenueRefusal, match="immediately match") as refused:
        venue.place(limit(Side.BUY, "0.01", venue.top(0).ask, kind=OrderType.LIMIT_MAKER))
    assert refused.value.code == "-2010"
    assert venue.place(limit(Side.BUY, "0.01", venue.top(0).bid, kind=OrderType.LIMIT_MAKER)).status is Status.NEW


def test_our_own_resting_order_is_displayed_and_expires_before_it_meets_us():
    venue = exchange()
    top = venue.top(0)
    resting = venue.place(limit(Side.SELL, "0.01", top.ask - D("0.01")))
    assert venue.top(0).ask == top.ask - D("0.01")
    order = venue.place(limit(Side.BUY, "0.01", top.ask, "IOC"))
    assert resting.status is Status.EXPIRED_IN_MATCH
    assert order.trades[0].price == top.ask
    assert venue.account.locked("BTC") == 0


@pytest.mark.parametrize(
    ("request_", "number", "text"),
    [
        (limit(Side.BUY, "0.01", "60000.005"), -1013, "PRICE_FILTER"),
        (limit(Side.BUY, "0.000001", "60000"), -1013, "LOT_SIZE"),
        (limit(Side.BUY, "0.00001", "60000"), -1013, "NOTIONAL"),
        (limit(Side.BUY, "200", "60000"), -1013, "NOTIONAL"),
        (limit(Side.BUY, "0.01", "600000"), -1013, "PERCENT_PRICE_BY_SIDE"),
        (limit(Side.BUY, "0.000000001", "60000"), -1111, "too much precision"),
        (limit(Side.BUY, "100", "60000"), -2010, "insufficient balance"),
        (limit(Side.SELL, "2", "60000"), -2010, "insufficient balance"),
        (limit(Side.BUY, "0.01", "60000", client_id="spaces are bad"), -1100, "newClientOrderId"),
        (market(Side.BUY), -1102, "quantity"),
        (market(Side.BUY, D(1), D(1)), -1106, "quoteOrderQty"),
        (market(Side.SELL, D(3)), -2010, "insufficient balance"),
        (limit(Side.BUY, 1, 1, instrument=Instrument("binance", "NO/PE")), -1121, "Invalid symbol"),
    ],
)
def test_refusals_have_binances_code_and_text_and_change_nothing(request_, number, text):
    venue = exchange()
    with pytest.raises(VenueRefusal, match=text) as refused:
        venue.place(request_)
    assert refused.value.number == number
    assert venue.account.free("USDT") == 100_000
    assert venue.open_orders() == []
    assert venue.take_events() == []


def test_a_client_id_is_taken_again_only_after_its_order_filled():
    venue = exchange()
    top = venue.top(0)
    first = limit(Side.BUY, "0.001", top.ask + 100, "IOC", client_id="same")
    venue.place(first)
    assert venue.place(first).order_id == 2
    venue.place(limit(Side.BUY, "0.001", top.bid - 10, client_id="rests"))
    for _ in range(2):
        with pytest.raises(VenueRefusal, match="Duplicate order sent"):
            venue.place(limit(Side.BUY, "0.001", top.bid - 10, client_id="rests"))
        if venue.open_orders():
            venue.cancel(0, client_id="rests")


def test_open_orders_are_limited_in_number():
    venue = exchange()
    price = venue.top(0).bid - 1_000
    for _ in range(200):
        venue.place(limit(Side.BUY, "0.0001", price))
    with pytest.raises(VenueRefusal, match="MAX_NUM_ORDERS"):
        venue.place(limit(Side.BUY, "0.0001", price))


def test_cancelling_gives_everything_back_once():
    venue = exchange()
    order = venue.place(limit(Side.SELL, "0.5", venue.top(0).ask + 500, client_id="mine"))
    assert venue.account.locked("BTC") == D("0.5")
    venue.cancel(0, client_id="mine")
    assert (order.status, venue.account.free("BTC"), venue.account.locked("BTC")) == (Status.CANCELED, 1, 0)
    with pytest.raises(VenueRefusal, match="Unknown order sent"):
        venue.cancel(0, client_id="mine")
    with pytest.raises(VenueRefusal, match="does not exist"):
        venue.query(1, client_id="mine")


def halted(bars):
    bars[0, 35:38] = np.nan
    return bars


def test_a_halted_market_refuses_orders_and_shows_no_frames():
    venue = exchange(bars=halted)
    resting = venue.place(limit(Side.BUY, "0.01", venue.top(0).bid - D(3_000)))
    events = venue.advance_to(START + 38 * MINUTE_MS)
    closed = [(e.row, (e.minute - START) // MINUTE_MS) for e in events if isinstance(e, BarClosed)]
    assert closed == [(r, m) for m in range(30, 38) for r in (0, 1) if not (r == 0 and m >= 35)]
    assert venue.top(0).ask_qty == 0
    assert venue.top(0).bid == resting.price
    with pytest.raises(VenueRefusal, match="Market is closed"):
        venue.place(limit(Side.BUY, "0.01", "60000"))
    venue.cancel(0, resting.order_id)
    venue.advance_to(venue.now_ms + 1)
    assert venue.top(0) is not None


def test_time_does_not_go_back_and_ends_with_the_tape():
    venue = exchange()
    with pytest.raises(Defect, match="cannot go back"):
        venue.advance_to(BEGIN - 1)
    venue.advance_to(START + 1_000 * MINUTE_MS)
    assert venue.now_ms == START + 90 * MINUTE_MS
    with pytest.raises(ConfigError, match="outside"):
        SimulatedExchange(venue.market.tape, venue.market.tape.default_rules(), {}, START - 1)


def test_reports_come_in_the_order_things_happened():
    venue = exchange()
    top = venue.top(0)
    venue.place(limit(Side.BUY, top.ask_qty + D("0.2"), top.ask, "IOC"))
    kinds = [e.kind for e in venue.take_events() if isinstance(e, OrderMoved)]
    assert kinds == ["NEW", "TRADE", "EXPIRED"]


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["limit", "market", "money", "maker", "cancel", "wait"]),
        st.sampled_from(list(Side)),
        st.sampled_from(["GTC", "IOC", "FOK"]),
        st.integers(1, 60_000),
        st.integers(-3_000, 3_000),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(ACTIONS)
def test_whatever_is_done_nothing_is_made_or_lost_and_no_limit_is_passed(actions):
    venue = exchange()
    for kind, side, force, size, away in actions:
        quantity, price = D(size) * D("0.00001"), D("60000") + D(away)
        try:
            if kind == "wait":
                venue.advance_to(venue.now_ms + size)
            elif kind == "cancel":
                for order in venue.open_orders()[:1]:
                    venue.cancel(order.row, order.order_id)
            elif kind == "market":
                venue.place(market(side, quantity=quantity))
            elif kind == "money":
                venue.place(market(side, money=D(size)))
            else:
                maker = OrderType.LIMIT_MAKER if kind == "maker" else OrderType.LIMIT
                venue.place(limit(side, quantity, price, "GTC" if kind == "maker" else force, kind=maker))
        except VenueRefusal:
            continue
        _check_books(venue)


def _check_books(venue):
    """Balances equal the start plus all trades; locks equal what open orders may still spend."""
    coins, money = D(1), D(100_000)
    for trade in venue.trades[0]:
        sign = 1 if trade.side is Side.BUY else -1
        coins += sign * trade.quantity - (trade.fee if trade.fee_asset == "BTC" else 0)
        money -= sign * trade.quote_quantity + (trade.fee if trade.fee_asset == "USDT" else 0)
        order = venue.orders[trade.order_id]
        if order.price:
            assert trade.price <= order.price if trade.side is Side.BUY else trade.price >= order.price
    account = venue.account
    assert account.free("BTC") + account.locked("BTC") == coins
    assert account.free("USDT") + account.locked("USDT") == money
    assert all(account.free(a) >= 0 and account.locked(a) >= 0 for a in account.assets())
    open_ = venue.open_orders()
    assert account.locked("USDT") == sum(o.remaining * o.step * o.price for o in open_ if o.side is Side.BUY)
    assert account.locked("BTC") == sum(o.remaining * o.step for o in open_ if o.side is Side.SELL)
    for order in venue.orders.values():
        assert order.executed == sum(int(t.quantity / order.step) for t in order.trades) <= order.steps
        assert order.live == (order.order_id in {o.order_id for o in open_})
    bids, asks = venue.depth(0)
    assert not bids or not asks or bids[0][0] < asks[0][0]


# The local venue


def local() -> SimulatedVenue:
    return SimulatedVenue(exchange())


def order(client_id, price, side=Side.BUY, force=TimeInForce.IOC):
    return PlaceOrder(
        client_id=client_id,
        intent_id="i",
        instrument=BTC,
        side=side,
        quantity=D("0.001"),
        price=price,
        time_in_force=force,
    )


def test_the_local_venue_speaks_the_cores_language():
    venue = local()
    ask, bid = venue.exchange.top(0).ask, venue.exchange.top(0).bid
    placed = venue.place(order("a", ask + 100))
    assert placed.state is OrderState.FILLED
    assert placed.fills == venue.fills("a", BTC)
    assert venue.query("a", BTC).executed == D("0.001")
    assert venue.query("b", BTC) is None
    venue.place(order("c", bid - 100, force=TimeInForce.GTC))
    assert [o.client_id for o in venue.open_orders()] == ["c"]
    for _ in range(2):
        assert venue.cancel(CancelOrder(client_id="c", instrument=BTC)).state is OrderState.CANCELLED
    with pytest.raises(ExchangeRefused) as refused:
        venue.cancel(CancelOrder(client_id="never", instrument=BTC))
    assert refused.value.code == "-2011"
    account = venue.account()
    assert account.total("binance", "BTC") == 1 + D("0.001") - sum(fill.fee for fill in placed.fills)
    assert account.at_ms == BEGIN


def test_a_slice_holds_the_minutes_bars_and_todays_tops():
    venue = SimulatedVenue(exchange(bars=halted))
    minute = START + 34 * MINUTE_MS
    venue.advance_to(minute + MINUTE_MS)
    seen = venue.slice(minute)
    assert seen.late == ()
    assert seen.bars[0].close == pytest.approx((seen.tops[0].bid + seen.tops[0].ask) / 2, rel=1e-4)
    venue.advance_to(minute + 2 * MINUTE_MS)
    seen = venue.slice(minute + MINUTE_MS)
    assert (seen.bars[0], seen.tops[0], seen.late) == (None, None, (BTC,))
    assert seen.bars[1] is not None
