"""An order must be worth its cost: a buy shrinks to where one more unit would cost what the forecast earns, or is not
sent.

Applied to what ``core.sizing`` found. Only buys are held against a forecast: a sell always passes, as it is less
exposure. A buy without a forecast (targets that were given) has nothing to be held against; one whose cost cannot be
estimated is not sent. What a cut leaves of the cash is not offered to the rows behind it in the same minute.
"""

import math
from typing import NamedTuple

import numpy as np

from core.execution.estimate import Estimate, estimate, marginal_cost, most_worth
from core.execution.schedules.rule import Schedule, schedule_of
from core.execution.trajectory import risk_minutes
from core.impact import PRIOR, ImpactLaw
from core.lean import lean
from core.messages import FloatArray
from core.params import CostSettings, ExecutionSettings
from core.sizing import (
    ALLOWED,
    FEE,
    LOTS,
    MID,
    MIN_NOTIONAL,
    MIN_QTY,
    RATE,
    ROW_FLOATS,
    STEP,
    TICK,
    TICKS,
    Caps,
    IntArray,
    Limit,
    Rows,
    Sized,
)
from core.units import BPS

SIDES = {"off": 0.0, "one_way": 1.0, "round_trip": 2.0}
"""How often an order pays spread, fee and temporary impact out of its forecast, by ``execution.cost_gate``."""
_WORDS = {1.0: "to get in", 2.0: "in and out again"}
_SHAVE = 1.0 - 1e-12
_COST = int(Limit.COST)
HALF_SPREAD, TRADED, SIGMA = range(3)
"""Columns of ``Seen`` behind the edge."""


class CostGate(NamedTuple):
    """The rule as the kernels read it."""

    sides: float
    """0 = off."""
    law: ImpactLaw
    schedule: Schedule
    """By which an order is worked: what it waits is the timing risk."""
    latency_ms: float
    """From a decision to the match."""


class Seen(NamedTuple):
    """What a minute shows of what trading costs, all (S,)."""

    edge: FloatArray
    """Forecast, bps; NaN without one."""
    half_spread: FloatArray
    """bps of the mid."""
    volume: FloatArray
    """Base units a minute (``core.impact.flow_at``)."""
    sigma: FloatArray
    """Log return a minute."""


def cost_gate(execution: ExecutionSettings, costs: CostSettings, law: ImpactLaw = PRIOR) -> CostGate:
    """The gate under these settings. Latency is assumed to be the one that is simulated."""
    latency = float(costs.latency_ms) if costs.latency else 0.0
    law = ImpactLaw(*map(float, law))
    return CostGate(SIDES[execution.cost_gate], law, schedule_of(execution, law), latency)


@lean
def gate_into(
    rows: FloatArray,
    caps: Caps,
    gate: CostGate,
    edge: FloatArray,
    costs: FloatArray,
    found: FloatArray,
    limit: IntArray,
) -> None:
    """Cut the buys that ``core.sizing.size_into`` wrote to ``found`` to what their forecast ``edge`` (S,) pays for; a cut
    row's ``ALLOWED`` becomes that, in USDT, and its ``limit`` COST. Below the least order nothing is left.

    ``rows`` as there; ``costs`` (3, S) are the ``HALF_SPREAD``, ``TRADED`` and ``SIGMA`` of ``Seen``, of the buys with a
    forecast at least.
    """
    if gate.sides == 0.0:
        return
    for i in range(limit.shape[0]):
        lots, step, mid = found[LOTS, i], rows[STEP, i], rows[MID, i]
        if not lots > 0.0 or edge[i] != edge[i]:
            continue
        half, volume, sigma = costs[HALF_SPREAD, i], costs[TRADED, i], costs[SIGMA, i]
        most = most_worth(edge[i], half, rows[FEE, i] * BPS, volume, sigma, gate.law, gate.sides)
        if most >= lots * step:
            continue
        lot = step * mid * rows[RATE, i]
        lowest = min(mid, found[TICKS, i] * rows[TICK, i])
        least = max(caps.min_order, rows[MIN_NOTIONAL, i] * rows[RATE, i] * (mid / lowest)) / _SHAVE
        paid_for = np.floor(most / step * _SHAVE) if most == most else 0.0
        found[ALLOWED, i] = most / step * lot
        limit[i] = _COST
        enough = paid_for * step >= rows[MIN_QTY, i] and paid_for * lot >= least
        found[LOTS, i] = paid_for if enough else 0.0


def gate_rows(rows: Rows, caps: Caps, gate: CostGate, seen: Seen, sized: Sized) -> Sized:
    """``gate_into`` of what ``core.sizing.size_rows`` found."""
    found, limit = np.array(sized[:4]), np.array(sized.limit)
    gate_into(np.array(rows[: len(ROW_FLOATS)]), caps, gate, np.array(seen.edge), np.array(seen[1:]), found, limit)
    lots, ticks, asked, allowed = found
    return Sized(lots, ticks, asked, allowed, limit)


def estimate_of(gate: CostGate, seen: Seen, fee: float, row: int, quantity: float, worth: float) -> Estimate:
    """The estimate of an order of ``quantity`` base units, worth ``worth`` USDT each; ``fee`` a fraction."""
    half, volume, sigma = (float(a[row]) for a in (seen.half_spread, seen.volume, seen.sigma))
    quantity, worth = float(quantity), float(worth)
    waits = risk_minutes(gate.schedule, quantity, volume, sigma, half / BPS, quantity * worth, gate.latency_ms)
    return estimate(quantity, half, float(fee) * BPS, volume, sigma, waits, gate.law)


def cost_lines(
    gate: CostGate, seen: Seen, fee: float, row: int, quantity: float, worth: float, buying: bool
) -> tuple[str, ...]:
    """What an order of ``quantity`` base units, worth ``worth`` USDT each, is expected to cost, and what its forecast pays,
    in short lines; none where nothing is known."""
    found = estimate_of(gate, seen, fee, row, quantity, worth)
    lines: tuple[str, ...] = ()
    if math.isfinite(found.total):
        lines += (
            f"expected cost {found.total:.2f} bps: half spread {found.half_spread:.2f}, impact {found.temporary:.2f} + "
            f"{found.permanent:.2f}, fee {found.fee:.2f}; 95% {found.low:.2f} to {found.high:.2f}",
        )
    if buying and gate.sides and math.isfinite(seen.edge[row]):
        lines += (worth_line(gate, seen, fee, row, quantity),)
    return lines


def worth_line(gate: CostGate, seen: Seen, fee: float, row: int, quantity: float) -> str:
    """The forecast beside what one unit behind ``quantity`` costs."""
    half, volume, sigma = (float(a[row]) for a in (seen.half_spread, seen.volume, seen.sigma))
    last = marginal_cost(quantity, half, float(fee) * BPS, volume, sigma, gate.law, gate.sides)
    what = "the last unit" if quantity else "the first unit"
    told = f"{last:.2f} bps" if math.isfinite(last) else "an unknown amount"
    return f"forecast {float(seen.edge[row]):.2f} bps, {what} costs {told} {_WORDS[gate.sides]}"
