"""The executor's machine: short stories, stimuli in, instructions out. The books are checked after every stimulus."""

from dataclasses import replace
from decimal import Decimal

import pytest

from core.errors import Defect
from core.execution.machine import ExecutionMachine, configured
from core.execution.stimuli import (
    Beat,
    CancelDone,
    CancelFailed,
    CancelWanted,
    FillSeen,
    MinuteStarted,
    NotSent,
    OpenSeen,
    OrderWanted,
    OutcomeUnclear,
    Placed,
    PlaceRefused,
    Queried,
    QueryFailed,
    Reconcile,
    Reported,
    Restarted,
    SnapshotSeen,
    Stopped,
)
from core.messages import CancelOrder, Fill, OrderSnapshot, OrderState, PlaceOrder, QueryOrder, TimeInForce
from core.orders import client_id
from core.params import ExecutionSettings
from core.units import MINUTE_MS, Side
from tests.support.fake_venue import BTC, ETH, MINUTE, RULES, approved

CLOSE = MINUTE + MINUTE_MS
SETTINGS = ExecutionSettings(slices=3, slice_seconds=15)


class Checked(ExecutionMachine):
    """A machine that checks its books after every stimulus."""

    def handle(self, stimulus):
        out = super().handle(stimulus)
        self.validate()
        return out


def machine(**settings):
    return Checked(ExecutionSettings(**{"slices": 3, "slice_seconds": 15} | settings), RULES, "main")


def begin(m, *intents, minute=MINUTE, now_ms=None):
    now_ms = minute + MINUTE_MS if now_ms is None else now_ms
    return m.handle(MinuteStarted(minute=minute, now_ms=now_ms, approved=intents))


def snapshot(order: PlaceOrder, state: OrderState, executed="0", fills=(), **changes) -> OrderSnapshot:
    base = OrderSnapshot(
        client_id=order.client_id,
        venue_id="1",
        instrument=order.instrument,
        side=order.side,
        state=state,
        quantity=order.quantity,
        price=order.price,
        executed=Decimal(executed),
        at_ms=0,
        fills=tuple(fills),
    )
    return replace(base, **changes)


def fill(order: PlaceOrder, quantity, trade_id="t1", **changes) -> Fill:
    base = Fill(
        client_id=order.client_id,
        instrument=order.instrument,
        trade_id=trade_id,
        side=order.side,
        quantity=Decimal(quantity),
        price=order.price,
        fee=Decimal(0),
        fee_asset="USDT",
        maker=False,
        at_ms=0,
    )
    return replace(base, **changes)


def filled(order: PlaceOrder, trade_id=None) -> Placed:
    done = fill(order, order.quantity, trade_id or f"trade of {order.client_id}")
    return Placed(snapshot=snapshot(order, OrderState.FILLED, order.quantity, [done]))


def parent(m, instrument=BTC, minute=MINUTE):
    return m.books.parents[minute, instrument]


def order(m, placed):
    return m.books.orders[placed.client_id]


def parts(p):
    return {"executed": p.executed, "open": p.open, "unsent": p.unsent, "abandoned": p.abandoned}


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


# --- unhappy sends ---------------------------------------------------------------------------------------------------


def test_not_sent_is_tried_again_under_a_new_name():
    m = machine()
    (first,) = begin(m, approved("0.9"))
    assert m.handle(NotSent(client_id=first.client_id, text="busy")) == []
    assert order(m, first).state is OrderState.REJECTED
    (second,) = m.handle(Beat(now_ms=CLOSE + 15_000))
    assert second.client_id != first.client_id
    assert second.quantity == Decimal("0.45")


def test_a_refusal_ends_the_intent():
    m = machine()
    (first,) = begin(m, approved("0.9"))
    m.handle(PlaceRefused(client_id=first.client_id, code="-2010", text="insufficient balance"))
    assert order(m, first).state is OrderState.REJECTED
    assert order(m, first).reason == "refused -2010: insufficient balance"
    assert m.handle(Beat(now_ms=CLOSE + 15_000)) == []
    assert parent(m).abandoned == Decimal("0.9")


def test_refused_as_duplicate_means_the_first_one_is_there():
    m = machine()
    (first,) = begin(m, approved("0.9"))
    (ask,) = m.handle(PlaceRefused(client_id=first.client_id, code="-2010", text="Duplicate order sent."))
    assert ask == QueryOrder(client_id=first.client_id, instrument=BTC)
    assert order(m, first).state is OrderState.UNKNOWN


def lose(m, quantity="0.9"):
    (first,) = begin(m, approved(quantity))
    out = m.handle(OutcomeUnclear(client_id=first.client_id, text="timed out", now_ms=CLOSE))
    assert out == [QueryOrder(client_id=first.client_id, instrument=BTC)]
    return first


def test_an_unknown_order_is_asked_about_and_its_quantity_held_back():
    m = machine()
    first = lose(m)
    m.handle(QueryFailed(client_id=first.client_id, text="away"))
    out = m.handle(Beat(now_ms=CLOSE + 15_000))
    assert out[0] == QueryOrder(client_id=first.client_id, instrument=BTC)
    assert out[1].quantity == Decimal("0.3")
    assert parent(m).open == Decimal("0.6")


def test_found_after_all():
    m = machine()
    first = lose(m)
    m.handle(Queried(client_id=first.client_id, snapshot=filled(first).snapshot, now_ms=CLOSE))
    assert order(m, first).state is OrderState.FILLED
    assert parent(m).executed == Decimal("0.3")


def test_one_denial_is_not_enough():
    m = machine()
    first = lose(m)
    m.handle(Queried(client_id=first.client_id, snapshot=None, now_ms=CLOSE))
    m.handle(Queried(client_id=first.client_id, snapshot=None, now_ms=CLOSE + 1_999))
    assert order(m, first).state is OrderState.UNKNOWN
    m.handle(Queried(client_id=first.client_id, snapshot=None, now_ms=CLOSE + 2_000))
    assert order(m, first).state is OrderState.REJECTED
    assert "denied" in order(m, first).reason
    (second,) = m.handle(Beat(now_ms=CLOSE + 15_000))
    assert second.client_id != first.client_id
    assert second.quantity == Decimal("0.45")


def test_questions_are_spaced():
    m = machine()
    lose(m)
    assert m.handle(Beat(now_ms=CLOSE + 1_999)) == []
    assert [type(i) for i in m.handle(Beat(now_ms=CLOSE + 2_000))] == [QueryOrder]


def test_given_up_yet_it_surfaces_and_is_counted_and_told():
    m = machine(algorithm="immediate")
    first = lose(m)
    for now in (CLOSE, CLOSE + 5_000):
        m.handle(Queried(client_id=first.client_id, snapshot=None, now_ms=now))
    assert parent(m).abandoned == Decimal("0.9")
    m.handle(FillSeen(fill=fill(first, "0.9")))
    assert order(m, first).state is OrderState.FILLED
    assert parts(parent(m)) == {"executed": Decimal("0.9"), "open": 0, "unsent": 0, "abandoned": 0}


def test_surfaced_after_its_quantity_was_sent_again_is_a_fault_and_what_stands_is_cancelled():
    m = machine()
    (first,) = begin(m, approved("0.3"))
    m.handle(filled(first))
    (second,) = m.handle(Beat(now_ms=CLOSE + 15_000))
    m.handle(OutcomeUnclear(client_id=second.client_id, text="timed out", now_ms=CLOSE + 15_000))
    for now in (15_000, 18_000):
        m.handle(Queried(client_id=second.client_id, snapshot=None, now_ms=CLOSE + now))
    (third,) = m.handle(Beat(now_ms=CLOSE + 30_000))
    assert third.quantity == Decimal("0.2")
    out = m.handle(SnapshotSeen(snapshot=snapshot(second, OrderState.OPEN)))
    assert out == [CancelOrder(client_id=second.client_id, instrument=BTC)]
    assert parent(m).over == Decimal("0.1")
    assert any("over-filled" in fault for fault in m.faults)
    m.handle(CancelDone(snapshot=snapshot(second, OrderState.CANCELLED)))
    assert parent(m).over == 0


def test_a_newer_intent_waits_for_an_older_unknown_order():
    m = machine()
    lost = lose(m)
    later = MINUTE + MINUTE_MS
    assert begin(m, approved("0.6", minute=later), minute=later) == []
    out = m.handle(Beat(now_ms=later + MINUTE_MS + 15_000))
    assert out == [QueryOrder(client_id=lost.client_id, instrument=BTC)]
    # It had filled: the fill stands in for that much of the newer intent, which was sized without it.
    m.handle(Queried(client_id=lost.client_id, snapshot=filled(lost).snapshot, now_ms=later + MINUTE_MS + 15_000))
    (new,) = m.handle(Beat(now_ms=later + MINUTE_MS + 30_000))
    assert new.quantity == Decimal("0.3")
    assert parent(m, minute=later).abandoned == Decimal("0.3")


def test_a_newer_intent_that_waited_in_vain_says_why():
    m = machine()
    lost = lose(m)
    later = MINUTE + MINUTE_MS
    for now in (0, 15_000, 30_000):
        if now:
            m.handle(Beat(now_ms=later + MINUTE_MS + now))
        else:
            begin(m, approved("0.6", minute=later), minute=later)
    reasons = [r.reason for r in m.report(later, "t").orders]
    assert any(lost.client_id in reason and "not settled" in reason for reason in reasons)


def test_an_answer_that_never_came_is_unknown_at_the_next_beat():
    m = machine()
    (first,) = begin(m, approved("0.9"))
    out = m.handle(Beat(now_ms=CLOSE + 2_000))
    assert out == [QueryOrder(client_id=first.client_id, instrument=BTC)]
    assert order(m, first).state is OrderState.UNKNOWN


# --- fills -----------------------------------------------------------------------------------------------------------


def test_a_fill_told_twice_counts_once():
    m = machine(algorithm="immediate")
    (first,) = begin(m, approved("1"))
    told = fill(first, "1")
    m.handle(FillSeen(fill=told))
    m.handle(Placed(snapshot=snapshot(first, OrderState.FILLED, "1", [told])))
    m.handle(FillSeen(fill=told))
    assert m.books.totals[BTC].bought == 1
    assert len(m.report(MINUTE, "t").fills) == 1


def test_the_same_trade_id_at_another_instrument_is_another_fill():
    m = machine(algorithm="immediate")
    for placed in begin(m, approved("1"), approved("1", instrument=ETH)):
        m.handle(FillSeen(fill=fill(placed, "1", "7")))
    assert m.books.totals[BTC].bought == m.books.totals[ETH].bought == 1


def test_a_late_fill_after_the_end_is_counted_and_the_end_stays():
    m = machine(algorithm="immediate")
    (first,) = begin(m, approved("1"))
    m.handle(Placed(snapshot=snapshot(first, OrderState.EXPIRED)))
    assert parent(m).abandoned == 1
    m.handle(FillSeen(fill=fill(first, "0.25")))
    assert order(m, first).state is OrderState.EXPIRED
    assert parts(parent(m)) == {
        "executed": Decimal("0.25"),
        "open": 0,
        "unsent": 0,
        "abandoned": Decimal("0.75"),
    }


def test_old_news_after_the_end_changes_nothing():
    m = machine(algorithm="immediate")
    (first,) = begin(m, approved("1"))
    m.handle(filled(first))
    version = m.version
    m.handle(SnapshotSeen(snapshot=snapshot(first, OrderState.OPEN)))
    m.handle(SnapshotSeen(snapshot=snapshot(first, OrderState.PARTIAL, "0.5")))
    assert m.version == version


def test_executed_without_fills_is_believed_and_the_fills_are_asked_for():
    m = machine(algorithm="immediate")
    (first,) = begin(m, approved("1"))
    out = m.handle(Placed(snapshot=snapshot(first, OrderState.FILLED, "1")))
    assert out == [QueryOrder(client_id=first.client_id, instrument=BTC)]
    assert parent(m).executed == 1
    assert [o.client_id for o in m.unsettled()] == [first.client_id]
    m.handle(Queried(client_id=first.client_id, snapshot=filled(first).snapshot, now_ms=CLOSE))
    assert parent(m).executed == 1
    assert m.unsettled() == ()


def test_filled_by_word_but_not_by_amount_is_never_sent_again():
    m = machine()
    (first,) = begin(m, approved("0.9"))
    m.handle(Placed(snapshot=snapshot(first, OrderState.FILLED, "0")))
    assert parent(m).executed == Decimal("0.3")
    assert any("stated as filled" in fault for fault in m.faults)


def test_a_venue_that_executes_too_much_is_a_fault_and_is_counted():
    m = machine(algorithm="immediate")
    (first,) = begin(m, approved("1"))
    m.handle(filled(first))
    m.handle(FillSeen(fill=fill(first, "1", "again")))
    assert parent(m).executed == 2
    assert parent(m).over == 1
    assert any("executed 2" in fault for fault in m.faults)


def test_a_fill_of_the_other_side_is_a_fault_and_is_not_counted():
    m = machine(algorithm="immediate")
    (first,) = begin(m, approved("1"))
    m.handle(FillSeen(fill=fill(first, "1", side=Side.SELL)))
    assert parent(m).executed == 0
    assert any("does not belong" in fault for fault in m.faults)


def test_cancelled_after_filled_is_a_fault_that_stops_nothing():
    m = machine(algorithm="immediate")
    (first,) = begin(m, approved("1"))
    m.handle(filled(first))
    m.handle(SnapshotSeen(snapshot=snapshot(first, OrderState.CANCELLED)))
    assert order(m, first).state is OrderState.FILLED
    assert any("'filled' cannot take the event 'cancel'" in fault for fault in m.faults)


def test_fees_and_fills_add_up_to_the_flows():
    m = machine(algorithm="immediate")
    (first,) = begin(m, approved("2", price="50"))
    m.handle(FillSeen(fill=fill(first, "2", fee=Decimal("0.002"), fee_asset="BTC")))
    assert m.books.flows == {("binance", "BTC"): Decimal("1.998"), ("binance", "USDT"): Decimal(-100)}


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


# --- orders wanted by themselves, and doubts ------------------------------------------------------------------------


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
