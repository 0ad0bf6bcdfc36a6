"""Upbit's groups: places in a second, what the venue says is left, and its pauses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.limits import Priority
from exchanges.limits.groups import BLOCK_S, GROUP_LIMITS, GroupLedger, remaining

T = 1_000_000


def spend(ledger: GroupLedger, now: int, group: str, times: int, answer_after: int = 20) -> None:
    for _ in range(times):
        ledger.send(now, group)
    for _ in range(times):
        ledger.answered(now + answer_after, group)


def test_a_cancel_still_finds_a_place_where_history_finds_none():
    ledger = GroupLedger()
    spend(ledger, T, "order", 6)
    assert ledger.wait_ms(T + 20, "order", Priority.HISTORY) == 1_000
    assert ledger.wait_ms(T + 20, "order", Priority.CANCEL) == 0


def test_a_place_is_free_one_second_after_the_answer_not_after_the_sending():
    ledger = GroupLedger()
    spend(ledger, T, "candle", 10, answer_after=300)
    assert ledger.wait_ms(T + 300, "candle", Priority.CANCEL) == 1_000
    assert ledger.wait_ms(T + 1_299, "candle", Priority.CANCEL) == 1
    assert ledger.wait_ms(T + 1_300, "candle", Priority.CANCEL) == 0


def test_groups_do_not_eat_each_others_places():
    ledger = GroupLedger()
    spend(ledger, T, "candle", 10)
    assert ledger.wait_ms(T + 20, "ticker", Priority.HISTORY) == 0


def test_a_limit_of_one_in_two_seconds_is_usable_by_everyone():
    ledger = GroupLedger()
    assert ledger.wait_ms(T, "order-cancel-all", Priority.HISTORY) == 0
    spend(ledger, T, "order-cancel-all", 1)
    assert ledger.wait_ms(T + 20, "order-cancel-all", Priority.CANCEL) == 2_000


def test_what_others_spend_shows_in_remaining_req():
    ledger = GroupLedger()
    ledger.send(T, "default")
    assert ledger.heard(T + 20, {"Remaining-Req": "group=default; min=1800; sec=0"})
    ledger.answered(T + 20, "default")
    assert ledger.wait_ms(T + 20, "default", Priority.CANCEL) == 1_000
    assert ledger.wait_ms(T + 1_020, "default", Priority.CANCEL) == 0


@pytest.mark.parametrize("value", ["", "sec=3", "group=default; sec=-1", "group=default; min=9", "group=; sec=3"])
def test_a_header_that_says_nothing_readable_is_not_believed(value: str):
    assert remaining({"remaining-req": value}) is None
    assert not GroupLedger().heard(T, {"remaining-req": value})


def test_an_unknown_group_counts_as_default():
    ledger = GroupLedger()
    assert not ledger.heard(T, {"Remaining-Req": "group=brand-new; sec=0"})
    spend(ledger, T, "brand-new", 30)
    assert ledger.wait_ms(T + 20, "default", Priority.CANCEL) > 0


def test_a_429_holds_its_group_and_a_418_everything():
    ledger = GroupLedger()
    assert ledger.turned_away(T, 429, None, "candle") == 1.0
    assert ledger.wait_ms(T, "candle", Priority.CANCEL) == 1_000
    assert ledger.wait_ms(T, "order", Priority.CANCEL) == 0
    assert ledger.turned_away(T, 418, None, "candle") == BLOCK_S
    assert ledger.wait_ms(T, "order", Priority.CANCEL) == BLOCK_S * 1_000
    ledger.turned_away(T, 418, 1.0)
    assert ledger.wait_ms(T, "order", Priority.CANCEL) == BLOCK_S * 1_000
    assert ledger.refusals == 3


@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(1, 900), st.integers(0, 900), st.sampled_from(list(Priority))),
        max_size=80,
    )
)
def test_no_second_at_the_venue_sees_more_than_the_limit(asks):
    """(pause, way there, way back, priority) of each request, sent as soon as there is a place for it."""
    ledger, now = GroupLedger(), T
    coming: list[int] = []
    handled: list[int] = []

    def to(moment: int) -> None:
        for answer in sorted(a for a in coming if a <= moment):
            coming.remove(answer)
            ledger.answered(answer, "candle")

    for pause, there, back, priority in asks:
        now += pause
        to(now)
        while wait := ledger.wait_ms(now, "candle", priority):
            now += wait
            to(now)
        ledger.send(now, "candle")
        handled.append(now + there)
        coming.append(now + there + back)
    limit, window = GROUP_LIMITS["candle"]
    assert all(sum(t <= h < t + window for h in handled) <= limit for t in handled)
