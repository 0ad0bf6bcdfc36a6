"""What the simulated Binance allows a client, and what becomes of one that does not stop."""

import pytest

from exchanges.simulated.binance.budget import DAY, Allowance, Budget
from exchanges.simulated.refusals import VenueRefusal

MINUTE = 60_000


class Clock:
    now = 1_767_225_600_000

    def __call__(self) -> int:
        return self.now


def refused(budget: Budget, weight: int = 1) -> tuple[int, int, int | None]:
    with pytest.raises(VenueRefusal) as refusal:
        budget.spend(weight)
    return refusal.value.status, refusal.value.number, refusal.value.retry_after_s


def spent(allowance: Allowance, clock: Clock, speed: float = 1.0) -> Budget:
    budget = Budget(clock, speed, allowance)
    budget.spend(allowance.weight)
    return budget


def test_who_waits_after_a_429_goes_on_as_if_nothing_had_been():
    clock = Clock()
    budget = spent(Allowance(weight=10, patience=0), clock)
    assert refused(budget) == (429, -1003, 60)
    clock.now += MINUTE
    budget.spend(10)
    assert refused(budget)[0] == 429
    assert budget.headers()["X-MBX-USED-WEIGHT-1M"] == "11"


def test_who_goes_on_after_a_429_is_banned_for_two_minutes_then_four_then_eight():
    clock = Clock()
    budget = spent(Allowance(weight=10, patience=2), clock)
    for seconds in (120, 240, 480):
        assert [refused(budget)[0] for _ in range(3)] == [429, 429, 429]
        clock.now += 1_000
        with pytest.raises(VenueRefusal, match=f"IP banned until {clock.now + seconds * 1_000}") as banned:
            budget.spend(1)
        assert (banned.value.status, banned.value.number, banned.value.retry_after_s) == (418, -1003, seconds)
        clock.now += 30_000
        assert refused(budget) == (418, -1003, seconds - 30)
        clock.now += (seconds - 30) * 1_000
        budget.spend(10)


def test_a_ban_never_lasts_longer_than_three_days():
    clock = Clock()
    budget = Budget(clock, 1.0, Allowance(weight=0, patience=0))
    longest = 0
    for _ in range(14):
        refused(budget)
        status, _, wait = refused(budget)
        assert status == 418
        longest = max(longest, wait)
        clock.now += wait * 1_000
    assert longest == 3 * DAY // 1_000


def test_bare_requests_count_too():
    clock = Clock()
    budget = Budget(clock, 1.0, Allowance(raw_requests=3))
    for _ in range(3):
        budget.spend(0)
    with pytest.raises(VenueRefusal, match="current limit is 3 requests per 5 MINUTE"):
        budget.spend(0)
    clock.now += 5 * MINUTE
    budget.spend(0)


def test_time_to_wait_is_in_the_clients_seconds():
    clock = Clock()
    assert refused(spent(Allowance(weight=1), clock, speed=60.0))[2] == 1
    assert {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000} in Budget(
        clock
    ).stated()
