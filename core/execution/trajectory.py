"""How long an order waits by its own schedule: the time for which a whole one would have to wait to bear the same risk.

The variance of what the price does while an order is worked is sigma² times the sum of tau x², the units x that still wait
through each interval tau (Almgren & Chriss 2000, "Optimal execution of portfolio transactions", J. Risk 3, equation 5). The
trajectory x is that of the kernels which cut the order (``schedules.rule``), walked ahead for a usual market.
"""

from core.execution.schedules.adaptive import NOTHING, Sight, choose, patience
from core.execution.schedules.rule import ADAPTIVE, FIRST, Schedule, due_lots, next_stage
from core.lean import lean
from core.units import MINUTE_MS

GRAIN = 1_000_000
"""Lots that an order is taken to have: what its venue's grid does to the last slice is no risk."""


@lean
def risk_minutes(
    schedule: Schedule,
    quantity: float,
    volume: float,
    sigma: float,
    half_spread: float,
    notional: float,
    latency_ms: float,
) -> float:
    """Minutes that the whole of ``quantity`` (base units, worth ``notional`` USDT) would wait to bear the schedule's risk.

    ``volume`` and ``sigma`` a minute, ``half_spread`` a fraction of the mid. Of the volume curve an even one is taken. All
    of an order bears ``latency_ms``. A market that is not known (NaN, no volume) leaves only that.
    """
    waited = latency_ms / MINUTE_MS
    if not (quantity > 0.0 and volume > 0.0 and sigma >= 0.0):
        return waited
    if schedule.kind == ADAPTIVE:
        return waited + _patient(schedule, quantity, volume, sigma, half_spread)
    # Typed from the start: literals would have the callee compiled three times, beside what the engine calls.
    none = 0 * schedule.minutes
    least, most = none + 1, none + GRAIN
    left, passed, stage, usual = most, 0.0, FIRST, volume / quantity * GRAIN
    for age in range(schedule.minutes):
        ahead = float(schedule.minutes - 1 - age)
        stage = next_stage(
            schedule, stage, age > 0, GRAIN - left, float(left), usual, usual, sigma, notional, 1.0, ahead
        )
        wanted = left
        for slot in range(schedule.slices):
            at = age + (slot * schedule.slice_ms + 500.0 * schedule.jitter_s) / MINUTE_MS
            waited += (at - passed) * (left / GRAIN) * (left / GRAIN)
            passed = at
            left -= due_lots(schedule, stage, slot, left, wanted, least, most)
        if left <= 0:
            return waited
    # A share of the volume may not have sufficed: the rest waits until its life ends.
    return waited + (schedule.minutes - passed) * (left / GRAIN) * (left / GRAIN)


@lean
def _patient(schedule: Schedule, quantity: float, volume: float, sigma: float, half_spread: float) -> float:
    """The same of an adaptive parent: what does not cross at the first look fills evenly while it rests."""
    look = schedule.reprice_ms / MINUTE_MS
    sight = Sight(
        half_spread,
        0.0,
        sigma,
        volume,
        quantity,
        0.0,
        schedule.minutes - look,
        look,
        0.0,
        schedule.urgency,
        0.0,
        0.0,
        schedule.coefficient,
        NOTHING,
        NOTHING,
        0.0,
    )
    choice = choose(sight)
    rest = 1.0 - choice.cross
    wait = min(max(rest * quantity / (0.5 * volume), look), max(patience(sight, choice.crossing), 0.0))
    return rest * rest * wait / 3.0
