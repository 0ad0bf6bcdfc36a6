"""Fees at the simulated exchange: from the received coin, or in BNB while there is some; nothing made, nothing lost."""

from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.params import CostSettings
from core.units import Side
from exchanges.simulated.events import AccountMoved
from exchanges.simulated.fees import bnb_charge, fee_on
from exchanges.simulated.orders import OrderType, Status
from exchanges.simulated.refusals import VenueRefusal
from exchanges.simulated.selftrade import Stp
from tests.support.scripted_market import BEGIN, PRICE, request, steady, story

MARKET = OrderType.MARKET
BNB_PRICE = 600.0


def burning(bnb: str, **how):
    venue = story(steady(3), {"USDT": D(100_000), "BTC": D(1), "BNB": D(bnb)}, bnb_price=BNB_PRICE, **how)
    venue.burns_bnb = True
    return venue


def test_while_there_is_bnb_the_fee_is_paid_in_it_a_quarter_off():
    venue = burning("1")
    bought = venue.place(request(Side.BUY, MARKET, 0.1))
    sold = venue.place(request(Side.SELL, MARKET, 0.1))
    trades = bought.trades + sold.trades
    assert {t.fee_asset for t in trades} == {"BNB"}
    for trade in trades:
        assert trade.fee == fee_on(trade.quote_quantity / D("600"), D("0.00075"))
    assert venue.account.free("BTC") == 1
    assert venue.account.free("BNB") == 1 - sum(t.fee for t in trades)
    moved = [e for e in venue.take_events() if isinstance(e, AccountMoved)]
    assert {asset for asset, _, _ in moved[-1].balances} == {"BTC", "USDT", "BNB"}


def test_without_enough_bnb_the_received_coin_pays_in_full():
    venue = burning("0.001")
    order = venue.place(request(Side.BUY, MARKET, 0.1))
    assert order.status is Status.FILLED
    assert "BTC" in {t.fee_asset for t in order.trades}
    for trade in order.trades:
        if trade.fee_asset == "BTC":
            assert trade.fee == fee_on(trade.quantity, D("0.001"))
    assert venue.account.free("BNB") >= 0


def test_without_a_price_for_bnb_the_received_coin_pays():
    venue = story(steady(3), {"USDT": D(100_000), "BNB": D(5)})
    venue.burns_bnb = True
    assert {t.fee_asset for t in venue.place(request(Side.BUY, MARKET, 0.1)).trades} == {"BTC"}


def test_fees_that_stand_for_bnb_in_money_are_not_paid_in_it_again():
    venue = burning("5", costs=CostSettings(latency=False, participation=False, fee_paid_in="bnb"))
    (trade, *_) = venue.place(request(Side.BUY, MARKET, 0.1)).trades
    assert (trade.fee_asset, trade.fee) == ("USDT", fee_on(trade.quote_quantity, D("0.00075")))
    assert venue.account.free("BNB") == 5


def test_a_charge_in_bnb_needs_all_of_it():
    assert bnb_charge(D(600), D("0.001"), D(600), D("0.00075")).amount == D("0.00075")
    assert bnb_charge(D(600), D("0.001"), D(600), D("0.00074999")) is None


KINDS = list(OrderType)
MODES = list(Stp)
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["place"] * 6 + ["oco", "oco", "money", "cancel", "amend", "wait", "wait", "transfer"]),
        st.sampled_from(KINDS),
        st.sampled_from(list(Side)),
        st.sampled_from(["GTC", "GTC", "IOC", "FOK"]),
        st.integers(1, 60_000),
        st.integers(-400, 400),
        st.integers(-400, 400),
    ),
    min_size=1,
    max_size=30,
)
SWINGS = [
    (PRICE, PRICE + 250, PRICE - 250, PRICE + 100),
    (PRICE + 100, PRICE + 150, PRICE - 350, PRICE - 300),
    (PRICE - 300, PRICE + 400, PRICE - 300, PRICE + 350),
] * 6


@settings(max_examples=120, deadline=None)
@given(ACTIONS, st.sampled_from(["0", "0.02", "10"]))
def test_over_orders_of_all_types_no_balance_is_negative_and_all_is_accounted_for(actions, bnb):
    venue = story(SWINGS, {"USDT": D(100_000), "BTC": D(1), "BNB": D(bnb)}, bnb_price=BNB_PRICE)
    venue.burns_bnb = True
    moved = {"USDT": D(0), "BTC": D(0), "BNB": D(0)}
    for what, kind, side, force, size, away, stop in actions:
        quantity = D(size) * D("0.00001")
        try:
            if what == "wait":
                venue.advance_to(venue.now_ms + size)
            elif what == "cancel":
                for order in venue.open_orders()[:1]:
                    venue.cancel(order.row, order.order_id)
            elif what == "amend":
                for order in venue.open_orders()[-1:]:
                    venue.amend(order.row, quantity, order.order_id)
            elif what == "transfer":
                venue.transfer("USDT", D(away))
                moved["USDT"] += D(away)
            elif what == "oco":
                venue.place_oco(*pair(side, quantity, kind, abs(away) + 1, abs(stop) + 1))
            elif what == "money":
                venue.place(request(side, MARKET, quote_quantity=size))
            else:
                more = {"stp": MODES[size % len(MODES)]}
                if kind.contingent:
                    more["stop_price"] = PRICE + stop
                if kind.contingent and size % 3 == 0:
                    more["trailing_delta"] = 10 + size % 90
                price = None if kind.at_market else PRICE + away
                takes_force = kind not in (OrderType.LIMIT_MAKER, MARKET)
                venue.place(request(side, kind, quantity, price, time_in_force=force if takes_force else "GTC", **more))
        except VenueRefusal:
            pass
        check_all_is_there(venue, bnb, moved)
    venue.advance_to(BEGIN + 18 * 60_000)
    for order in venue.open_orders():
        venue.cancel(order.row, order.order_id)
    check_all_is_there(venue, bnb, moved)
    assert all(venue.account.locked(asset) == 0 for asset in venue.account.assets())


def pair(side, quantity, kind, up, down):
    """A limit on the good side of the market, or a take-profit, and a stop on the other."""
    gain, loss = (
        (OrderType.LIMIT_MAKER, OrderType.STOP_LOSS_LIMIT)
        if kind.at_market
        else (OrderType.TAKE_PROFIT, OrderType.STOP_LOSS)
    )
    selling = side is Side.SELL
    high, low = PRICE + up, PRICE - down
    good, bad = (high, low) if selling else (low, high)
    first = request(side, gain, quantity, good) if kind.at_market else request(side, gain, quantity, stop_price=good)
    second = request(side, loss, quantity, bad if kind.at_market else None, stop_price=bad)
    return (first, second) if selling else (second, first)


def check_all_is_there(venue, bnb, moved):
    account = venue.account
    owned = {"USDT": D(100_000), "BTC": D(1), "BNB": D(bnb)}
    for trade in venue.trades[0]:
        sign = 1 if trade.side is Side.BUY else -1
        owned["BTC"] += sign * trade.quantity
        owned["USDT"] -= sign * trade.quote_quantity
        owned[trade.fee_asset] -= trade.fee
    for asset, amount in owned.items():
        assert account.free(asset) >= 0
        assert account.locked(asset) >= 0
        assert account.free(asset) + account.locked(asset) == amount + moved[asset]
    open_ = venue.open_orders()
    alone = [o for o in open_ if o.list_id < 0 or venue.order_list(o.list_id).done]
    pairs = [found.orders for found in venue.order_lists() if not found.done]
    coins = [o.remaining * o.step for o in alone if o.side is Side.SELL]
    coins += [one.remaining * one.step for one, _ in pairs if one.side is Side.SELL]
    assert account.locked("BTC") == sum(coins)
    assert all(one.live and other.live and one.locked + other.locked > 0 for one, other in pairs)
    assert account.locked("USDT") == sum(o.locked for o in open_ if o.side is Side.BUY)
    assert len(open_) == len(venue._working[0]) + len(venue._waiting[0])
    for order in venue.orders.values():
        assert order.executed == sum(int(t.quantity / order.step) for t in order.trades)
        assert order.executed + order.prevented <= order.steps
        assert order.live or not order.locked
        for trade in order.trades if order.price else ():
            assert trade.price <= order.price if trade.side is Side.BUY else trade.price >= order.price


@pytest.mark.parametrize("side", list(Side))
def test_in_one_coin_fees_come_off_what_is_received(side):
    venue = story(steady(3))
    (trade, *_) = venue.place(request(side, MARKET, 0.01)).trades
    asset, paid_on = ("BTC", trade.quantity) if side is Side.BUY else ("USDT", trade.quote_quantity)
    assert (trade.fee_asset, trade.fee) == (asset, fee_on(paid_on, D("0.001")))
