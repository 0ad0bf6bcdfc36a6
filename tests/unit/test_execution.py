"""The executor's machine keeps its schedule, cancels what is its own, and stops: short stories, stimuli in, instructions out."""

from dataclasses import replace
from decimal import Decimal

import pytest

from core.errors import Defect
from core.execution.machine import ExecutionMachine, configured
from core.execution.stimuli import (
    Beat,
    CancelDone,
    CancelFailed,
    FillSeen,
    OpenSeen,
    OutcomeUnclear,
    Placed,
    Queried,
    Reconcile,
    Reported,
    Restarted,
    Stopped,
)
from core.messages import CancelOrder, OrderState, PlaceOrder, QueryOrder
from core.params import ExecutionSettings
from core.units import MINUTE_MS, Side
from tests.support.fake_venue import BTC, ETH, MINUTE, RULES, approved
from tests.support.machine_stories import (
    CLOSE,
    SETTINGS,
    begin,
    fill,
    filled,
    lose,
    machine,
    order,
    parent,
    parts,
    snapshot,
)

# --- the schedule ----------------------------------------------------------------------------------------------------


def test_a_parent_becomes_three_slices_that_sum_to_it():
    m = machine()
    sent = []
    for now in (CLOSE, CLOSE + 15_000, CLOSE + 30_000):
        out = begin(m, approved("1.001")) if now == CLOSE else m.handle(Beat(now_ms=now))
        assert [type(i) for i in out] == [PlaceOrder]
        sent += out
        m.handle(filled(out[0]))
    assert [o.quantity for o in sent] == [Decimal("0.334"), Decimal("0.334"), Decimal("0.333")]
    assert len({o.client_id for o in sent}) == 3
    assert parent(m).executed == Decimal("1.001")
    assert parent(m).closed
    assert m.unsettled() == ()
    assert m.handle(Beat(now_ms=CLOSE + 45_000)) == []


def test_the_immediate_algorithm_is_one_slice():
    m = machine(algorithm="immediate")
    (only,) = begin(m, approved("1"))
    assert only.quantity == 1


def test_what_expired_is_spread_over_the_slices_left():
    m = machine()
    (first,) = begin(m, approved("0.9"))
    m.handle(Placed(snapshot=snapshot(first, OrderState.EXPIRED, "0.1", [fill(first, "0.1")])))
    assert parts(parent(m)) == {"executed": Decimal("0.1"), "open": 0, "unsent": Decimal("0.8"), "abandoned": 0}
    (second,) = m.handle(Beat(now_ms=CLOSE + 15_000))
    assert second.quantity == Decimal("0.4")


def test_an_expired_order_with_executed_quantity_is_counted():
    m = machine(algorithm="immediate")
    (only,) = begin(m, approved("1"))
    m.handle(Placed(snapshot=snapshot(only, OrderState.EXPIRED, "0.4", [fill(only, "0.4")])))
    assert order(m, only).state is OrderState.EXPIRED
    assert parts(parent(m)) == {
        "executed": Decimal("0.4"),
        "open": 0,
        "unsent": 0,
        "abandoned": Decimal("0.6"),
    }
    assert m.books.totals[BTC].bought == Decimal("0.4")


def test_a_beat_twice_in_one_slot_sends_once():
    m = machine()
    begin(m, approved("0.9"))
    assert len([i for i in m.handle(Beat(now_ms=CLOSE + 15_000)) if isinstance(i, PlaceOrder)]) == 1
    assert not [i for i in m.handle(Beat(now_ms=CLOSE + 15_500)) if isinstance(i, PlaceOrder)]


def test_missed_beats_are_made_up_in_the_slices_left():
    m = machine()
    (first,) = begin(m, approved("0.9"))
    m.handle(filled(first))
    (last,) = m.handle(Beat(now_ms=CLOSE + 31_000))
    assert last.quantity == Decimal("0.6")


def test_when_the_schedule_is_over_the_rest_is_given_up():
    m = machine()
    (first,) = begin(m, approved("0.9"))
    m.handle(filled(first))
    assert m.handle(Beat(now_ms=CLOSE + 45_000)) == []
    assert parent(m).abandoned == Decimal("0.6")


def test_a_decision_late_in_its_minute_still_gets_one_slice():
    m = machine()
    (only,) = begin(m, approved("0.9"), now_ms=CLOSE + 50_000)
    assert only.quantity == Decimal("0.9")


def test_a_decision_after_its_minute_sends_nothing_and_says_so():
    m = machine()
    assert begin(m, approved("0.9"), now_ms=CLOSE + MINUTE_MS) == []
    (report,) = m.report(MINUTE, "t").orders
    assert report.state is OrderState.REJECTED
    assert "after its minute closed" in report.reason


def test_too_small_for_the_venue_sends_nothing_and_says_so():
    m = machine()
    assert begin(m, approved("0.049")) == []
    (report,) = m.report(MINUTE, "t").orders
    assert "smallest order" in report.reason
    assert parent(m).abandoned == Decimal("0.049")


def test_sells_go_first():
    m = machine()
    out = begin(m, approved("1"), approved("1", Side.SELL, ETH))
    assert [o.side for o in out] == [Side.SELL, Side.BUY]


def test_the_same_minute_again_sends_nothing():
    m = machine()
    (first,) = begin(m, approved("0.9"))
    assert begin(m, approved("0.9")) == []
    m.handle(filled(first))
    assert begin(m, approved("0.9"), now_ms=CLOSE + 20_000) == []


def test_an_older_minute_sends_nothing():
    m = machine()
    begin(m, approved("0.9", minute=MINUTE + MINUTE_MS), minute=MINUTE + MINUTE_MS)
    assert begin(m, approved("0.9", instrument=ETH)) == []


def test_a_newer_minute_replaces_what_is_left():
    m = machine()
    (first,) = begin(m, approved("0.9"))
    m.handle(filled(first))
    later = MINUTE + MINUTE_MS
    (new,) = begin(m, approved("0.3", Side.SELL, minute=later), minute=later)
    assert new.side is Side.SELL
    assert parts(parent(m)) == {"executed": Decimal("0.3"), "open": 0, "unsent": 0, "abandoned": Decimal("0.6")}
    assert parent(m, minute=later).open == Decimal("0.1")


def test_a_newer_minute_without_intent_ends_the_old_one_too():
    m = machine()
    (first,) = begin(m, approved("0.9"))
    m.handle(filled(first))
    assert begin(m, minute=MINUTE + MINUTE_MS) == []
    assert m.handle(Beat(now_ms=CLOSE + 31_000)) == []


@pytest.mark.parametrize(
    ("intents", "fault"),
    [
        ((approved("1", minute=MINUTE - MINUTE_MS),), "belongs to minute"),
        ((approved("1", instrument=BTC._replace(symbol="XRP/USDT")),), "no market rules for it"),
        ((approved("1"), approved("2")), "a second intent"),
        ((approved("0.0005"),), "lot grid"),
        ((approved("0"),), "lot grid"),
        ((approved("1", price="0"),), "lot grid"),
    ],
)
def test_impossible_intents_are_defects_and_change_nothing(intents, fault):
    m = machine()
    version = m.version
    with pytest.raises(Defect, match=fault):
        begin(m, *intents)
    assert m.version == version
    assert m.books.orders == {}


# --- cancels, strangers, stop ----------------------------------------------------------------------------------------


def rest(m, quantity="1"):
    (first,) = begin(m, approved(quantity))
    m.handle(Placed(snapshot=snapshot(first, OrderState.OPEN)))
    return first


def test_an_open_order_is_cancelled_when_its_intent_ends():
    m = machine(algorithm="immediate")
    first = rest(m)
    out = begin(m, minute=MINUTE + MINUTE_MS)
    assert out == [CancelOrder(client_id=first.client_id, instrument=BTC)]
    m.handle(CancelDone(snapshot=snapshot(first, OrderState.CANCELLED, "0.4", [fill(first, "0.4")])))
    assert parent(m).executed == Decimal("0.4")
    assert parent(m).abandoned == Decimal("0.6")


def test_a_cancel_that_failed_is_followed_by_a_question_then_by_another_cancel():
    m = machine(algorithm="immediate")
    first = rest(m)
    begin(m, minute=MINUTE + MINUTE_MS)
    assert m.handle(CancelFailed(client_id=first.client_id, text="timed out")) == []
    now = CLOSE + MINUTE_MS + 15_000
    assert m.handle(Beat(now_ms=now)) == [QueryOrder(client_id=first.client_id, instrument=BTC)]
    out = m.handle(Queried(client_id=first.client_id, snapshot=snapshot(first, OrderState.OPEN), now_ms=now))
    assert out == [CancelOrder(client_id=first.client_id, instrument=BTC)]


def test_a_cancelled_order_that_had_filled_is_filled():
    m = machine(algorithm="immediate")
    first = rest(m)
    begin(m, minute=MINUTE + MINUTE_MS)
    m.handle(CancelFailed(client_id=first.client_id, text="Unknown order sent."))
    m.handle(Queried(client_id=first.client_id, snapshot=filled(first).snapshot, now_ms=CLOSE))
    assert order(m, first).state is OrderState.FILLED


def test_a_stranger_of_our_name_is_cancelled_and_nobody_elses():
    m = machine()
    ours, theirs = (
        PlaceOrder(client_id=name, intent_id="", instrument=BTC, side=Side.BUY, quantity=Decimal(1), price=Decimal(100))
        for name in ("mh-main-ens-h9kjj-BTCUSDT-0", "mh-other-ens-h9kjj-BTCUSDT-0")
    )
    seen = tuple(snapshot(o, OrderState.OPEN) for o in (ours, theirs, replace(ours, client_id="by-hand-1")))
    assert m.handle(OpenSeen(snapshots=seen)) == [CancelOrder(client_id=ours.client_id, instrument=BTC)]
    m.handle(CancelDone(snapshot=snapshot(ours, OrderState.CANCELLED, "0.5", [fill(ours, "0.5")])))
    assert m.books.totals[BTC].bought == Decimal("0.5")
    assert m.unsettled() == ()


def test_a_fill_of_a_stranger_of_our_name_is_counted_and_asked_about():
    m = machine()
    ours = PlaceOrder(
        client_id="mh-main-ens-h9kjj-BTCUSDT-0",
        intent_id="",
        instrument=BTC,
        side=Side.BUY,
        quantity=Decimal(2),
        price=Decimal(100),
    )
    told = fill(ours, "0.5")
    assert m.handle(FillSeen(fill=told)) == [QueryOrder(client_id=ours.client_id, instrument=BTC)]
    m.handle(FillSeen(fill=replace(told, client_id="by-hand", trade_id="t9")))
    m.handle(
        Queried(client_id=ours.client_id, snapshot=snapshot(ours, OrderState.EXPIRED, "0.5", [told]), now_ms=CLOSE)
    )
    assert m.books.totals[BTC].bought == Decimal("0.5")
    assert order(m, ours).placed.quantity == 2


def test_stop_sends_nothing_more_and_cancels_what_is_open():
    m = machine()
    first = rest(m, "0.9")
    out = m.handle(Stopped(now_ms=CLOSE + 1_000))
    assert out == [CancelOrder(client_id=first.client_id, instrument=BTC)]
    m.handle(CancelDone(snapshot=snapshot(first, OrderState.CANCELLED)))
    later = MINUTE + MINUTE_MS
    assert begin(m, approved("1", minute=later), minute=later) == []
    assert m.handle(Beat(now_ms=CLOSE + 15_000)) == []
    assert any("stopped" in r.reason for r in m.report(later, "t").orders)


def test_stop_asks_about_the_unknown_and_cancels_it_when_it_stands():
    m = machine()
    first = lose(m)
    assert m.handle(Stopped(now_ms=CLOSE + 1)) == [QueryOrder(client_id=first.client_id, instrument=BTC)]
    out = m.handle(Queried(client_id=first.client_id, snapshot=snapshot(first, OrderState.OPEN), now_ms=CLOSE + 1))
    assert out == [CancelOrder(client_id=first.client_id, instrument=BTC)]


def test_a_restart_makes_what_was_on_its_way_unknown_and_asks():
    m = machine()
    placed = begin(m, approved("1"), approved("1", instrument=ETH))
    m.handle(filled(placed[0]))
    assert m.handle(Restarted(now_ms=CLOSE + 500)) == [QueryOrder(client_id=placed[1].client_id, instrument=ETH)]
    assert order(m, placed[1]).state is OrderState.UNKNOWN


def test_reconcile_asks_about_all_that_is_not_settled_and_nothing_else():
    m = machine(algorithm="immediate")
    placed = begin(m, approved("1"), approved("1", instrument=ETH))
    m.handle(filled(placed[0]))
    m.handle(OutcomeUnclear(client_id=placed[1].client_id, text="", now_ms=CLOSE))
    assert m.handle(Reconcile(now_ms=CLOSE + 1)) == [QueryOrder(client_id=placed[1].client_id, instrument=ETH)]


# --- the rest --------------------------------------------------------------------------------------------------------


def test_a_report_holds_what_is_new_since_the_last():
    m = machine()
    (first,) = begin(m, approved("0.9"))
    m.handle(filled(first))
    report = m.report(MINUTE, "trace")
    assert [o.client_id for o in report.orders] == [first.client_id]
    assert [f.quantity for f in report.fills] == [Decimal("0.3")]
    m.handle(Reported(minute=MINUTE))
    assert m.report(MINUTE, "trace").orders == ()
    m.handle(Beat(now_ms=CLOSE + 15_000))
    assert len(m.report(MINUTE, "trace").orders) == 1


def test_what_changes_nothing_does_not_raise_the_version():
    m = machine()
    m.handle(Reported(minute=MINUTE))
    version = m.version
    for stimulus in (Beat(now_ms=CLOSE), Reconcile(now_ms=CLOSE), Reported(minute=MINUTE), OpenSeen(snapshots=())):
        assert m.handle(stimulus) == []
    assert m.version == version


def test_settled_orders_are_forgotten_after_the_horizon_and_totals_stay():
    m = ExecutionMachine(SETTINGS, RULES, "main", retain_minutes=5)
    for n in range(50):
        minute = MINUTE + n * MINUTE_MS
        for placed in begin(m, approved("0.1", minute=minute), minute=minute):
            m.handle(filled(placed))
        m.handle(Reported(minute=minute))
        m.validate()
    assert len(m.books.orders) <= 6
    assert len(m.books.parents) <= 6
    # 0.1 makes two slices of 0.05 (5 USDT each at least); only the first of each minute was reached.
    assert m.books.totals[BTC].bought == Decimal("0.05") * 50


def test_new_settings_hold_for_the_next_intent():
    m = machine()
    m.handle(configured(ExecutionSettings(algorithm="immediate"), RULES))
    (only,) = begin(m, approved("0.9"))
    assert only.quantity == Decimal("0.9")


def test_instruments_that_would_share_client_ids_are_refused():
    twin = BTC._replace(symbol="BTCU/SDT")
    with pytest.raises(Defect, match="share client ids"):
        ExecutionMachine(SETTINGS, RULES | {twin: replace(RULES[BTC], instrument=twin)}, "main")
