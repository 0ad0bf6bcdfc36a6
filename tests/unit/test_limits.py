"""The request budget: who waits, who does not, and what a penalty does."""

import pytest

from exchanges.limits import BAN_S, CEILING, Ledger, Priority
from exchanges.limits.budget import Budget

MINUTE = 1_772_000_040_000  # a whole minute of the venue's clock


def spend(ledger: Ledger, now: int, weight: int, stated: int) -> None:
    """One request and its answer, on which the venue stated its sum."""
    ledger.send(now, weight)
    ledger.heard(now, {"X-MBX-USED-WEIGHT-1M": str(stated)})
    ledger.answered(now, weight)


def test_history_stops_at_half_the_budget_and_exits_go_on():
    ledger = Ledger()
    spend(ledger, MINUTE, 2, stated=3_000)
    waits = {p: ledger.wait_ms(MINUTE + 10_000, 4, p) for p in Priority}
    assert waits[Priority.HISTORY] == 50_000
    assert all(waits[p] == 0 for p in Priority if p is not Priority.HISTORY)


@pytest.mark.parametrize("priority", list(Priority))
def test_each_priority_stops_at_its_own_ceiling(priority):
    ledger = Ledger()
    top = int(6_000 * CEILING[priority])
    spend(ledger, MINUTE, 1, stated=top - 1)
    assert ledger.wait_ms(MINUTE, 1, priority) == 0
    assert ledger.wait_ms(MINUTE, 2, priority) == 60_000


def test_ceilings_fall_with_urgency():
    shares = [CEILING[p] for p in sorted(Priority)]
    assert shares == sorted(shares, reverse=True)
    assert len(set(shares)) == len(shares)


def test_what_is_in_flight_counts_before_it_is_answered():
    ledger = Ledger()
    ledger.send(MINUTE, 2_990)
    assert ledger.wait_ms(MINUTE, 20, Priority.HISTORY) > 0
    ledger.heard(MINUTE, {"x-mbx-used-weight-1m": "0"})  # a successful order is given back
    ledger.answered(MINUTE, 2_990)
    assert ledger.wait_ms(MINUTE, 20, Priority.HISTORY) == 0


def test_a_request_without_a_stated_sum_still_counts():
    ledger = Ledger()
    ledger.send(MINUTE, 100)
    ledger.answered(MINUTE, 100, counted=False)
    assert ledger.weight.used(MINUTE) == 100


def test_the_sum_starts_anew_with_the_venues_minute():
    ledger = Ledger()
    spend(ledger, MINUTE, 1, stated=6_000)
    assert ledger.wait_ms(MINUTE + 59_000, 1, Priority.CANCEL) == 1_000
    assert ledger.wait_ms(MINUTE + 60_000, 1, Priority.HISTORY) == 0


def test_others_on_the_same_ip_show_in_the_stated_sum():
    ledger = Ledger()
    spend(ledger, MINUTE, 1, stated=5_990)
    assert ledger.wait_ms(MINUTE, 1, Priority.EXIT) > 0
    assert ledger.wait_ms(MINUTE, 1, Priority.CANCEL) == 0


def test_a_pause_holds_everyone_as_long_as_the_venue_said():
    ledger = Ledger()
    assert ledger.turned_away(MINUTE, 429, 7.0) == 7.0
    assert {ledger.wait_ms(MINUTE, 1, p) for p in Priority} == {7_000}
    assert ledger.wait_ms(MINUTE + 7_000, 1, Priority.ORDER) == 0


def test_a_pause_is_never_shortened_by_a_later_smaller_one():
    ledger = Ledger()
    ledger.turned_away(MINUTE, 418, 300.0)
    ledger.turned_away(MINUTE + 1_000, 429, 1.0)
    assert ledger.wait_ms(MINUTE + 1_000, 1, Priority.CANCEL) == 299_000
    assert ledger.refusals == 2


def test_without_retry_after_a_ban_lasts_its_shortest_and_a_429_the_minute():
    assert Ledger().turned_away(MINUTE + 20_000, 418, None) == BAN_S
    assert Ledger().turned_away(MINUTE + 20_000, 429, None) == 40.0


def test_orders_have_a_count_of_their_own():
    ledger = Ledger(orders=Budget(10, 10_000))
    ledger.heard(MINUTE, {"X-MBX-ORDER-COUNT-10S": "9"})
    assert ledger.wait_ms(MINUTE + 4_000, 1, Priority.ORDER, order=True) == 6_000
    assert ledger.wait_ms(MINUTE + 4_000, 1, Priority.CANCEL) == 0
    assert ledger.wait_ms(MINUTE + 10_000, 1, Priority.ORDER, order=True) == 0


def test_headers_that_are_no_numbers_are_not_believed():
    ledger = Ledger()
    assert not ledger.heard(MINUTE, {"X-MBX-USED-WEIGHT-1M": "-5", "X-MBX-ORDER-COUNT-10S": "many"})
    assert ledger.weight.used(MINUTE) == 0
