"""A kept order book: the sequence rule, what a fault does to it, and that it equals the obvious book."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import bars
from exchanges.book import (
    MAX_PRICE,
    MAX_VOLUME,
    MAX_WAITING,
    MOST_OLD,
    NO_ASK,
    NO_BID,
    KeptBook,
    OrderBook,
    Snapshot,
    Step,
    is_touch,
)

WHOLE = Snapshot(100, [(10.0, 1.0), (9.0, 2.0)], [(11.0, 1.5), (12.0, 3.0)])


def live() -> KeptBook:
    kept = KeptBook()
    kept.diff(99, 100, [], [])
    assert kept.snapshot(WHOLE) is Step.APPLIED
    return kept


def test_diffs_wait_for_the_snapshot_and_join_on_where_it_ends():
    kept = KeptBook()
    assert not kept.wanting
    assert kept.diff(95, 100, [(10.0, 7.0)], []) is Step.WAITS
    assert kept.diff(101, 103, [(10.5, 4.0)], [(11.0, 0.0)]) is Step.WAITS
    assert kept.wanting
    assert kept.snapshot(WHOLE) is Step.APPLIED
    assert (kept.live, kept.last_id, kept.wanting) == (True, 103, False)
    assert kept.book.top() == (10.5, 4.0, 12.0, 3.0)
    assert kept.book.bids[10.0] == 1.0  # the first diff was in the snapshot already


def test_a_snapshot_older_than_the_first_diff_is_fetched_again():
    kept = KeptBook()
    kept.diff(150, 160, [], [])
    assert kept.snapshot(WHOLE) is Step.TOO_OLD
    assert kept.wanting
    assert kept.snapshot(Snapshot(149, *WHOLE[1:])) is Step.APPLIED
    assert kept.last_id == 160


def test_a_snapshot_without_any_diff_is_not_believed():
    kept = KeptBook()
    assert kept.snapshot(WHOLE) is Step.WAITS
    assert not kept.live


def test_what_is_known_is_dropped_and_what_overlaps_joins():
    kept = live()
    assert kept.diff(90, 100, [(10.0, 99.0)], []) is Step.OLD
    assert kept.book.bids[10.0] == 1.0
    assert kept.diff(98, 102, [(10.0, 5.0)], []) is Step.APPLIED
    assert kept.diff(103, 103, [], [(11.5, 1.0)]) is Step.APPLIED
    assert (kept.last_id, kept.resyncs) == (103, 0)


def test_a_gap_takes_the_book_away_until_a_new_snapshot():
    kept = live()
    assert kept.diff(102, 104, [(10.4, 1.0)], []) is Step.GAP
    assert (kept.live, kept.gaps, kept.wanting) == (False, 1, True)
    assert kept.book.top() is None
    assert kept.diff(105, 106, [(10.6, 1.0)], []) is Step.WAITS
    assert kept.snapshot(Snapshot(104, [(10.4, 1.0)], WHOLE.asks)) is Step.APPLIED
    assert kept.book.top() == (10.6, 1.0, 11.0, 1.5)


def test_a_book_that_crosses_is_gone():
    kept = live()
    assert kept.diff(101, 101, [(11.0, 1.0)], []) is Step.CROSSED
    assert (kept.live, kept.crossings, kept.book.top()) == (False, 1, None)
    kept.diff(102, 102, [], [])
    assert kept.snapshot(Snapshot(101, [(12.0, 1.0)], [(11.0, 1.0)])) is Step.CROSSED
    assert not kept.live


def test_a_hole_among_the_diffs_that_wait_starts_them_anew():
    kept = KeptBook()
    kept.diff(95, 100, [], [])
    kept.diff(110, 112, [], [])
    assert kept.snapshot(WHOLE) is Step.TOO_OLD
    assert kept.snapshot(Snapshot(111, *WHOLE[1:])) is Step.APPLIED


def test_diffs_that_two_connections_bring_wait_once():
    kept = KeptBook()
    for first, last in ((99, 101), (102, 104), (99, 101), (102, 104), (105, 106)):
        kept.diff(first, last, [], [])
    assert kept.snapshot(WHOLE) is Step.APPLIED
    assert (kept.last_id, kept.resyncs) == (106, 0)


def test_diffs_that_wait_are_bounded():
    kept = KeptBook()
    for number in range(MAX_WAITING + 50):
        kept.diff(number, number, [], [])
    assert kept.snapshot(Snapshot(48, *WHOLE[1:])) is Step.TOO_OLD
    assert kept.snapshot(Snapshot(49, *WHOLE[1:])) is Step.APPLIED


def test_a_lost_connection_forgets_everything():
    kept = live()
    kept.forget()
    assert not (kept.live or kept.wanting)
    assert kept.resyncs == 0  # no fault of the sequence


def test_a_count_that_ran_away_does_not_freeze_the_book():
    kept = live()
    assert kept.diff(101, 10**15, [(10.2, 1.0)], []) is Step.APPLIED  # believed, and wrong
    steps = [kept.diff(n, n, [], []) for n in range(102, 102 + MOST_OLD)]
    assert steps == [Step.OLD] * (MOST_OLD - 1) + [Step.GAP]
    assert kept.wanting
    assert kept.snapshot(Snapshot(201, *WHOLE[1:])) is Step.APPLIED


def test_empty_sides_have_no_top():
    book = OrderBook()
    assert (book.best_bid, book.best_ask, book.top()) == (NO_BID, NO_ASK, None)
    assert book.change([(5.0, 1.0)], [])
    assert (book.best_bid, book.best_ask, book.top()) == (5.0, NO_ASK, None)
    assert book.change([(5.0, 0.0)], [(4.0, 1.0)])  # the bid is gone before the ask comes under it
    assert (book.best_bid, book.best_ask) == (NO_BID, 4.0)


def test_a_price_named_twice_means_the_last():
    book = OrderBook()
    book.change([(5.0, 0.0), (5.0, 2.0), (6.0, 1.0), (6.0, 0.0), (4.0, 0.0)], [(7.0, 1.0)])
    assert book.bids == {5.0: 2.0}
    assert book.top() == (5.0, 2.0, 7.0, 1.0)


levels = st.lists(st.tuples(st.integers(1, 30).map(float), st.sampled_from([0.0, 0.0, 1.0, 2.5])), max_size=8)


@pytest.mark.parametrize("near", [1, 2, 64])
@given(diffs=st.lists(st.tuples(levels, levels), max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_book_equals_the_obvious_one(monkeypatch, near, diffs):
    """Best prices, order of levels and crossing, against two dicts and max and min after each diff."""
    monkeypatch.setattr("exchanges.book.NEAR", near)
    monkeypatch.setattr("exchanges.book.NEAR_AT_MOST", 2 * near)
    book, bids, asks = OrderBook(), {}, {}
    for new_bids, new_asks in diffs:
        new_asks = [(price + 12.0, quantity) for price, quantity in new_asks]
        for side, changes in ((bids, new_bids), (asks, new_asks)):
            for price, quantity in changes:
                if quantity:
                    side[price] = quantity
                else:
                    side.pop(price, None)
        good = max(bids, default=0.0) < min(asks, default=NO_ASK)
        assert book.change(new_bids, new_asks) == good
        assert (book.bids, book.asks) == (bids, asks)
        assert (book.best_bid, book.best_ask) == (max(bids, default=NO_BID), min(asks, default=NO_ASK))
        assert book.levels(3) == (sorted(bids.items())[::-1][:3], sorted(asks.items())[:3])


@pytest.mark.parametrize(
    ("touch", "sound"),
    [
        ((1.0, 0.0, 1.0, 2.0), True),
        ((1.1, 1.0, 1.0, 1.0), False),
        ((0.0, 1.0, 1.0, 1.0), False),
        ((-1.0, 1.0, 1.0, 1.0), False),
        ((1.0, -1.0, 1.0, 1.0), False),
        ((1.0, 1.0, float("inf"), 1.0), False),
        ((1.0, 1.0, 2.0, float("nan")), False),
        ((float("nan"), 1.0, 2.0, 1.0), False),
        ((1.0, 1.0, MAX_PRICE, 1.0), False),
    ],
)
def test_what_can_be_the_best_of_two_sides(touch, sound):
    assert is_touch(*touch) is sound


def test_the_bounds_are_those_of_bars():
    assert (MAX_PRICE, MAX_VOLUME) == (bars.MAX_PRICE, bars.MAX_VOLUME)
