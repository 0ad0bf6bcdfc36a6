"""What became of an order: refused, unknown, found, denied, filled twice, late or too much. Stimuli in, instructions out."""

from decimal import Decimal

from core.execution.stimuli import (
    Beat,
    CancelDone,
    FillSeen,
    NotSent,
    OutcomeUnclear,
    Placed,
    PlaceRefused,
    Queried,
    QueryFailed,
    SnapshotSeen,
)
from core.messages import CancelOrder, OrderState, QueryOrder
from core.units import MINUTE_MS, Side
from tests.support.fake_venue import BTC, ETH, MINUTE, approved
from tests.support.machine_stories import CLOSE, begin, fill, filled, lose, machine, order, parent, parts, snapshot

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
