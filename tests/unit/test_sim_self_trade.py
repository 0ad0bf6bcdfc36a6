"""Orders of one account that meet each other at the simulated exchange."""

from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.params import CostSettings
from core.units import MINUTE_MS, Side
from exchanges.simulated.events import OrderMoved
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.orders import OrderRequest, OrderType, SelfTrade, Status
from exchanges.simulated.refusals import VenueRefusal
from exchanges.simulated.walk import random_walk_tape

START = 1_767_225_600_000
BEGIN = START + 30 * MINUTE_MS
MONEY = {"USDT": D(1_000_000), "BTC": D(10), "ETH": D(0)}
AT_ONCE = CostSettings(latency=False, participation=False, fees=False)
TICK = D("0.01")


def exchange() -> SimulatedExchange:
    tape = random_walk_tape(("BTC/USDT", "ETH/USDT"), START, 90, seed=11)
    return SimulatedExchange(tape, tape.default_rules(AT_ONCE), MONEY, BEGIN, costs=AT_ONCE)


def order(venue, side, quantity, price, mode=SelfTrade.EXPIRE_MAKER, force="GTC"):
    return venue.place(
        OrderRequest(
            instrument=venue.instruments[0],
            side=side,
            type=OrderType.LIMIT,
            quantity=D(str(quantity)),
            price=price,
            time_in_force=force,
            self_trade=mode,
        )
    )


@pytest.fixture
def met():
    """An own sell of 1 BTC one tick above the best ask, and that ask's size."""
    venue = exchange()
    top = venue.top(0)
    return venue, order(venue, Side.SELL, 1, top.ask + TICK), top


def test_the_resting_order_goes(met):
    venue, rest, top = met
    take = order(venue, Side.BUY, 2, top.ask + TICK)
    assert (rest.status, rest.executed, rest.locked) == (Status.EXPIRED_IN_MATCH, 0, 0)
    assert (take.status, take.executed_quantity) == (Status.PARTIALLY_FILLED, top.ask_qty)


def test_the_incoming_order_goes(met):
    venue, rest, top = met
    venue.take_events()
    take = order(venue, Side.BUY, 2, top.ask + TICK, SelfTrade.EXPIRE_TAKER)
    assert rest.status is Status.NEW
    assert (take.status, take.executed_quantity) == (Status.EXPIRED_IN_MATCH, top.ask_qty)
    assert take.prevented * take.step == 2 - top.ask_qty
    kinds = [e.kind for e in venue.take_events() if isinstance(e, OrderMoved)]
    assert kinds == ["NEW", "TRADE", "TRADE_PREVENTION"]


def test_both_lose_what_they_share(met):
    venue, rest, top = met
    take = order(venue, Side.BUY, D("0.4") + top.ask_qty, top.ask + TICK, SelfTrade.DECREMENT)
    assert (rest.status, rest.remaining * rest.step, rest.locked) == (Status.NEW, D("0.6"), D("0.6"))
    assert (take.status, take.executed_quantity) == (Status.EXPIRED_IN_MATCH, top.ask_qty)
    larger = order(venue, Side.BUY, 2, top.ask + TICK, SelfTrade.DECREMENT)
    assert rest.status is Status.EXPIRED_IN_MATCH
    assert (larger.status, larger.remaining * larger.step) == (Status.NEW, D("1.4"))
    assert larger.locked == D("1.4") * (top.ask + TICK)


def test_they_trade_with_each_other(met):
    venue, rest, top = met
    take = order(venue, Side.BUY, D("0.4") + top.ask_qty, top.ask + TICK, SelfTrade.NONE)
    assert take.status is Status.FILLED
    assert [t.maker for t in take.trades] == [False, False]
    (own,) = rest.trades
    assert (own.maker, own.quantity, own.price) == (True, D("0.4"), top.ask + TICK)
    assert venue.account.free("BTC") + venue.account.locked("BTC") == 10 + top.ask_qty


def test_an_order_that_is_done_before_it_meets_its_own_leaves_it_alone(met):
    venue, rest, top = met
    for mode in (SelfTrade.EXPIRE_TAKER, SelfTrade.DECREMENT, SelfTrade.NONE):
        take = order(venue, Side.BUY, "0.00009", top.ask + TICK, mode)
        assert (take.status, rest.status) == (Status.FILLED, Status.NEW)


def test_fill_or_kill_without_the_market_kills_and_touches_nothing(met):
    venue, rest, top = met
    for mode in (SelfTrade.EXPIRE_TAKER, SelfTrade.DECREMENT, SelfTrade.NONE):
        take = order(venue, Side.BUY, top.ask_qty + 1, top.ask, mode, "FOK")
        assert (take.status, take.executed, rest.executed, rest.prevented) == (Status.EXPIRED, 0, 0, 0)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Side)),
            st.sampled_from(list(SelfTrade)),
            st.sampled_from(["IOC", "GTC", "FOK", "money", "market"]),
            st.integers(1, 200_000),
            st.integers(-30, 30),
            st.integers(0, 20_000),
        ),
        min_size=1,
        max_size=25,
    )
)
def test_nothing_is_made_or_lost_however_they_meet(actions):
    """Without fees the account and the market trade one for one; what is locked belongs to open orders."""
    venue = exchange()
    for side, mode, how, steps, away, wait in actions:
        venue.advance_to(venue.now_ms + wait, tops=False)
        rule, top = venue.rules[0], venue.top(0)
        price = (top.bid if side is Side.BUY else top.ask) + away * TICK
        request = OrderRequest(
            instrument=venue.instruments[0],
            side=side,
            type=OrderType.MARKET if how in ("money", "market") else OrderType.LIMIT,
            quantity=None if how == "money" else steps * rule.step,
            quote_quantity=D(steps) if how == "money" else None,
            price=None if how in ("money", "market") else price,
            time_in_force=how if how in ("IOC", "FOK") else "GTC",
            self_trade=mode,
        )
        try:
            venue.place(request)
        except VenueRefusal:
            continue
    orders = venue.orders.values()
    bought = sum(o.executed_quantity * (1 if o.side is Side.BUY else -1) for o in orders)
    paid = sum(o.quote_executed * (1 if o.side is Side.BUY else -1) for o in orders)
    account = venue.account
    assert account.free("BTC") + account.locked("BTC") == 10 + bought
    assert account.free("USDT") + account.locked("USDT") == 1_000_000 - paid
    assert account.locked("BTC") == sum(o.locked for o in orders if o.live and o.side is Side.SELL)
    assert account.locked("USDT") == sum(o.locked for o in orders if o.live and o.side is Side.BUY)
    for o in orders:
        assert 0 <= o.executed + o.prevented <= o.steps
        if not o.live:
            assert o.locked == 0
        elif o.side is Side.SELL:
            assert o.locked == o.remaining * o.step
