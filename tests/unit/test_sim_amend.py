"""Reducing an order that keeps its place, rejected orders, and transfers, at the simulated exchange."""

from decimal import Decimal as D

import pytest

from core.units import MINUTE_MS, Side
from exchanges.simulated.events import AccountMoved, OrderMoved, Transferred
from exchanges.simulated.filters import Limits
from exchanges.simulated.orders import OrderType, Status
from exchanges.simulated.refusals import VenueRefusal, insufficient_balance
from tests.support.scripted_market import BEGIN, request, steady, story

LIMIT = OrderType.LIMIT


def resting(venue, quantity=0.5, price=59_990, client_id="mine"):
    return venue.place(request(Side.BUY, LIMIT, quantity, price, client_id=client_id))


def test_a_reduced_order_keeps_its_number_and_its_place_and_frees_money():
    venue = story(steady(3))
    order = resting(venue)
    place = (order.ahead, order.passed, order.rest_ms, order.order_id)
    venue.take_events()
    same, done = venue.amend(0, D("0.2"), client_id="mine", new_id="less")
    assert (same, order.client_id, order.quantity) == (order, "less", D("0.2"))
    assert (order.ahead, order.passed, order.rest_ms, order.order_id) == place
    assert venue.account.locked("USDT") == D("0.2") * 59_990
    assert (done.old_client_id, done.old_steps, done.steps) == ("mine", 50_000, 20_000)
    report = next(e for e in venue.take_events() if isinstance(e, OrderMoved))
    assert (report.kind, report.former_id, report.execution_id) == ("REPLACED", "mine", done.execution_id)
    assert venue.query(0, client_id="less") is order


def test_a_waiting_order_is_reduced_too():
    venue = story(steady(3))
    order = venue.place(request(Side.BUY, OrderType.STOP_LOSS, 0.5, stop_price=60_500))
    venue.amend(0, D("0.1"), order.order_id)
    assert venue.account.locked("USDT") == D("0.1") * 60_500
    venue.cancel(0, order.order_id)
    assert venue.account.free("USDT") == 100_000


@pytest.mark.parametrize(
    ("quantity", "number", "text"),
    [
        ("0.6", -2038, "Order amend (quantity increase) is not supported."),
        ("0.5", -2038, "The requested action would change no state; rejecting"),
        ("0.000001", -1013, "Filter failure: LOT_SIZE"),
        ("0.00001", -1013, "Filter failure: NOTIONAL"),
        ("0.100000001", -1111, "Parameter 'newQty' has too much precision."),
    ],
)
def test_an_order_can_only_become_less(quantity, number, text):
    venue = story(steady(3))
    order = resting(venue)
    with pytest.raises(VenueRefusal) as refused:
        venue.amend(0, D(quantity), client_id="mine")
    assert (refused.value.number, refused.value.text) == (number, text)
    assert (order.quantity, order.client_id) == (D("0.5"), "mine")


def test_what_is_not_open_cannot_be_amended_nor_what_was_amended_too_often():
    venue = story(steady(3), limits=Limits(max_amends=2))
    order = resting(venue)
    resting(venue, client_id="other")
    with pytest.raises(VenueRefusal, match="Duplicate order sent"):
        venue.amend(0, D("0.4"), client_id="mine", new_id="other")
    for quantity in ("0.4", "0.3"):
        venue.amend(0, D(quantity), order.order_id, new_id="mine")
    with pytest.raises(VenueRefusal, match="MAX_NUM_ORDER_AMENDS") as refused:
        venue.amend(0, D("0.2"), order.order_id)
    assert refused.value.number == -2038
    venue.cancel(0, order.order_id)
    with pytest.raises(VenueRefusal, match="Unknown order sent") as refused:
        venue.amend(0, D("0.2"), order.order_id)
    assert refused.value.number == -2038


def test_a_cancel_may_ask_for_a_state():
    venue = story(steady(3))
    order = resting(venue)
    with pytest.raises(VenueRefusal, match="Order was not canceled due to cancel restrictions") as refused:
        venue.cancel(0, order.order_id, only=Status.PARTIALLY_FILLED)
    assert refused.value.number == -2011
    assert venue.cancel(0, order.order_id, only=Status.NEW).status is Status.CANCELED


def test_a_rejected_order_is_reported_and_is_not_there():
    venue = story(steady(3))
    ask = request(Side.BUY, LIMIT, 0.5, 59_990, client_id="never")
    venue.reject(ask, insufficient_balance())
    (report,) = [e for e in venue.take_events() if isinstance(e, OrderMoved)]
    assert (report.kind, report.order.status, report.reason) == ("REJECTED", Status.REJECTED, "INSUFFICIENT_BALANCES")
    assert venue.open_orders() == []
    assert venue.place(ask).status is Status.NEW


def test_a_transfer_moves_a_balance_and_says_so():
    venue = story(steady(1))
    venue.transfer("USDT", D(-500))
    venue.transfer("DOGE", D(7))
    first, balances, second, more = venue.take_events()
    assert (first, second) == (Transferred("USDT", D(-500), BEGIN), Transferred("DOGE", D(7), BEGIN))
    assert isinstance(balances, AccountMoved)
    assert more.balances == (("DOGE", D(7), D(0)),)
    assert venue.account.free("USDT") == 99_500
    with pytest.raises(VenueRefusal):
        venue.transfer("USDT", D(-100_000))
    venue.advance_to(BEGIN + MINUTE_MS)
