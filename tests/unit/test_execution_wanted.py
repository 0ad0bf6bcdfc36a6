"""Orders that are wanted by themselves, and orders of which nobody is sure. Stimuli in, instructions out."""

from dataclasses import replace
from decimal import Decimal

import pytest

from core.errors import Defect
from core.execution.stimuli import (
    Beat,
    CancelWanted,
    OpenSeen,
    OrderWanted,
    OutcomeUnclear,
    Placed,
    Queried,
    Reconcile,
    Restarted,
    Stopped,
)
from core.messages import CancelOrder, OrderState, PlaceOrder, QueryOrder, TimeInForce
from core.orders import client_id
from core.units import MINUTE_MS, Side
from tests.support.fake_venue import BTC, MINUTE, approved
from tests.support.machine_stories import (
    CLOSE,
    begin,
    fill,
    lose,
    machine,
    order,
    snapshot,
)


def wanted(m, slot=0, side=Side.BUY, quantity="0.5", force=TimeInForce.GTC, instrument=BTC, post_only=False):
    placed = PlaceOrder(
        client_id=client_id("main", "exit", MINUTE, instrument.symbol, slot),
        intent_id="by itself",
        instrument=instrument,
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(100),
        time_in_force=force,
        post_only=post_only,
    )
    return placed, m.handle(OrderWanted(order=placed, minute=MINUTE))


def test_an_order_wanted_by_itself_is_sent_once_and_stands_through_the_minutes():
    m = machine()
    placed, out = wanted(m, post_only=True)
    assert out == [placed]
    assert m.handle(OrderWanted(order=placed, minute=MINUTE)) == []
    assert m.handle(Placed(snapshot=snapshot(placed, OrderState.OPEN))) == []
    begin(m, minute=MINUTE + MINUTE_MS)
    assert m.handle(Beat(now_ms=CLOSE + 600_000)) == []
    assert m.handle(OpenSeen(snapshots=(snapshot(placed, OrderState.OPEN),))) == []
    m.validate()


def test_one_that_is_wanted_no_more_is_cancelled_even_when_it_only_then_turns_out_to_stand():
    m = machine()
    stands, _ = wanted(m, 0)
    m.handle(Placed(snapshot=snapshot(stands, OrderState.OPEN)))
    cancel = CancelOrder(client_id=stands.client_id, instrument=BTC)
    assert m.handle(CancelWanted(client_id=stands.client_id)) == [cancel]
    assert m.handle(CancelWanted(client_id=stands.client_id)) == []
    lost, _ = wanted(m, 1)
    m.handle(OutcomeUnclear(client_id=lost.client_id, text="timed out", now_ms=CLOSE))
    assert m.handle(CancelWanted(client_id=lost.client_id)) == []
    found = Queried(client_id=lost.client_id, snapshot=snapshot(lost, OrderState.OPEN), now_ms=CLOSE + 1)
    assert m.handle(found) == [CancelOrder(client_id=lost.client_id, instrument=BTC)]
    assert m.handle(CancelWanted(client_id="mh-main-exit-00000-NONE-0")) == []


def test_a_wanted_order_that_rests_is_in_nobodys_way_but_one_of_unknown_outcome_is():
    m = machine()
    rests, _ = wanted(m, 0)
    m.handle(Placed(snapshot=snapshot(rests, OrderState.OPEN)))
    assert len(begin(m, approved("0.9"))) == 1
    m = machine()
    lost, _ = wanted(m, 0)
    m.handle(OutcomeUnclear(client_id=lost.client_id, text="timed out", now_ms=CLOSE))
    assert begin(m, approved("0.9")) == []


def test_a_stopped_executor_cancels_wanted_orders_and_sends_none():
    m = machine()
    rests, _ = wanted(m, 0)
    m.handle(Placed(snapshot=snapshot(rests, OrderState.OPEN)))
    assert m.handle(Stopped(now_ms=CLOSE)) == [CancelOrder(client_id=rests.client_id, instrument=BTC)]
    late, out = wanted(m, 1)
    assert out == []
    assert order(m, late).state is OrderState.REJECTED


@pytest.mark.parametrize(
    "change",
    [{"client_id": "mh-other-exit-h9kjk-BTCUSDT-0"}, {"quantity": Decimal("0.0005")}, {"price": Decimal(0)}],
)
def test_impossible_wishes_are_defects_and_change_nothing(change):
    m = machine()
    placed, _ = wanted(machine())
    with pytest.raises(Defect):
        m.handle(OrderWanted(order=replace(placed, **change), minute=MINUTE))
    assert m.books.orders == {}


def give_up(m):
    placed = lose(m)
    for at in (CLOSE, CLOSE + 2_000):
        m.handle(Queried(client_id=placed.client_id, snapshot=None, now_ms=at))
    assert order(m, placed).state is OrderState.REJECTED
    return placed


def test_a_given_up_order_is_asked_about_for_ten_minutes_more():
    """Its request may have been late, and the news of its fill lost with a connection."""
    m = machine()
    placed = give_up(m)
    query = QueryOrder(client_id=placed.client_id, instrument=BTC)
    assert m.handle(Reconcile(now_ms=CLOSE + 60_000)) == [query]
    m.handle(Queried(client_id=placed.client_id, snapshot=None, now_ms=CLOSE + 60_000))
    assert m.handle(Restarted(now_ms=CLOSE + 300_000)) == [query]
    late = snapshot(placed, OrderState.FILLED, executed="0.3", fills=(fill(placed, "0.3"),))
    m.handle(Queried(client_id=placed.client_id, snapshot=late, now_ms=CLOSE + 300_000))
    assert order(m, placed).state is OrderState.FILLED
    assert m.books.totals[BTC].bought == Decimal("0.3")
    assert m.handle(Reconcile(now_ms=CLOSE + 360_000)) == []
    m.validate()


def test_after_ten_minutes_it_is_given_up_for_good():
    m = machine()
    give_up(m)
    assert len(m.handle(Reconcile(now_ms=CLOSE + 600_000))) == 1
    assert m.handle(Reconcile(now_ms=CLOSE + 602_001)) == []
    assert m.books.doubted == {}


def test_a_confirmed_order_that_is_denied_once_is_a_lag_and_twice_a_fault():
    m = machine()
    placed, _ = wanted(m)
    m.handle(Placed(snapshot=snapshot(placed, OrderState.OPEN)))
    denied = [Queried(client_id=placed.client_id, snapshot=None, now_ms=CLOSE + ms) for ms in (0, 1_999, 2_000)]
    m.handle(denied[0])
    m.handle(denied[1])
    assert m.faults == ()
    # Shown again in between: the count begins anew.
    m.handle(Queried(client_id=placed.client_id, snapshot=snapshot(placed, OrderState.OPEN), now_ms=CLOSE + 1_999))
    m.handle(denied[2])
    assert m.faults == ()
    m.handle(Queried(client_id=placed.client_id, snapshot=None, now_ms=CLOSE + 4_000))
    assert "denies an order that it had confirmed (open)" in m.faults[0]


def test_the_fee_of_a_buy_in_its_own_coin_leaves_less_of_the_coin():
    m = machine()
    placed = begin(m, approved("0.9"))[0]
    m.handle(
        Placed(
            snapshot=snapshot(
                placed,
                OrderState.FILLED,
                executed="0.3",
                fills=(fill(placed, "0.3", fee=Decimal("0.0003"), fee_asset="BTC"),),
            )
        )
    )
    assert m.books.flows["binance", "BTC"] == Decimal("0.2997")
    assert m.books.totals[BTC].bought == Decimal("0.3")
