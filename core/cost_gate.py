"""An order must be worth its cost: a buy shrinks to where one more unit would cost what the forecast earns, or is not
sent.

Applied to what ``core.sizing`` found. Only buys are held against a forecast: a sell always passes, as it is less
exposure. A buy without a forecast (targets that were given) has nothing to be held against; one whose cost cannot be
estimated is not sent. What a cut leaves of the cash is not offered to the rows behind it in the same minute.
"""

import math
from typing import NamedTuple

import numpy as np

from core.execution.estimate import Estimate, estimate, even_risk_minutes, marginal_cost, most_worth
from core.impact import PRIOR, ImpactLaw
from core.lean import lean, pasted
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
    Caps,
    IntArray,
    Limit,
    Rows,
)
from core.units import BPS

SIDES = {"off": 0.0, "one_way": 1.0, "round_trip": 2.0}
"""How often an order pays spread, fee and temporary impact out of its forecast, by ``execution.cost_gate``."""
_WORDS = {1.0: "to get in", 2.0: "in and out again"}
_SHAVE = 1.0 - 1e-12
_COST = int(Limit.COST)
HALF, VOLUME, SIGMA = range(3)
"""Rows of a table of costs: ``Seen`` without its forecast."""


class CostGate(NamedTuple):
    """The rule as the kernels read it."""

    sides: float
    """0 = off."""
    law: ImpactLaw
    risk_minutes: float
    """``core.execution.estimate.even_risk_minutes`` of the schedule."""


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
    slices = 1 if execution.algorithm == "immediate" else execution.slices
    latency = float(costs.latency_ms) if costs.latency else 0.0
    risk = even_risk_minutes(slices, 1_000.0 * execution.slice_seconds, latency)
    return CostGate(SIDES[execution.cost_gate], ImpactLaw(*map(float, law)), float(risk))


def gate_rows(
    rows: Rows, caps: Caps, gate: CostGate, seen: Seen, lots: FloatArray, allowed: FloatArray, limit: IntArray
) -> None:
    """``gate_into`` over columns of their own, (S,) each: ``lots``, ``allowed`` and ``limit`` are written to."""
    sized = np.zeros((ALLOWED + 1, len(lots)))
    sized[LOTS], sized[ALLOWED] = lots, allowed
    costs = np.array([seen.half_spread, seen.volume, seen.sigma], dtype=np.float64)
    gate_into(np.array(rows[: len(ROW_FLOATS)]), caps, gate, np.array(seen.edge, dtype=np.float64), costs, sized, limit)
    lots[:], allowed[:] = sized[LOTS], sized[ALLOWED]


@lean
def gate_into(
    rows: FloatArray,
    caps: Caps,
    gate: CostGate,
    edge: FloatArray,
    costs: FloatArray,
    sized: FloatArray,
    limit: IntArray,
) -> None:
    """Cut the buys that ``core.sizing.size_into`` found (its tables ``rows``, ``sized`` and ``limit``) to what their
    forecast ``edge`` (S,) pays for at ``costs`` (3, S); a cut row's allowance becomes that, in USDT, and its ``limit``
    COST. Below the least order nothing is left."""
    if gate.sides == 0.0:
        return
    for i in range(limit.shape[0]):
        lots = sized[LOTS, i]
        if not lots > 0.0 or edge[i] != edge[i]:
            continue
        step = rows[STEP, i]
        fee = rows[FEE, i] * BPS
        most = most_worth(edge[i], costs[HALF, i], fee, costs[VOLUME, i], costs[SIGMA, i], gate.law, gate.sides)
        if most >= lots * step:
            continue
        lot = step * rows[MID, i] * rows[RATE, i]
        paid_for = np.floor(most / step * _SHAVE) if most == most else 0.0
        sized[ALLOWED, i] = most / step * lot
        limit[i] = _COST
        least = least_buy(
            rows[MID, i], rows[TICK, i], rows[RATE, i], rows[MIN_NOTIONAL, i], caps.collar, caps.min_order
        )
        sized[LOTS, i] = paid_for if paid_for * step >= rows[MIN_QTY, i] and paid_for * lot >= least else 0.0


@pasted
def least_buy(mid: float, tick: float, rate: float, min_notional: float, collar: float, min_order: float) -> float:
    """USDT of the smallest buy: ours and the venue's, at the lower of mid and limit price."""
    limit_price = max(1.0, np.floor(mid * (1.0 + collar) / tick * _SHAVE)) * tick
    venue = min_notional * rate * (mid / min(mid, limit_price))
    return max(min_order, venue) / _SHAVE


def estimate_of(gate: CostGate, seen: Seen, fee: float, row: int, quantity: float) -> Estimate:
    """The estimate of an order of ``quantity`` base units; ``fee`` a fraction."""
    half, volume, sigma = (float(a[row]) for a in (seen.half_spread, seen.volume, seen.sigma))
    return estimate(quantity, half, float(fee) * BPS, volume, sigma, gate.risk_minutes, gate.law)


def cost_lines(gate: CostGate, seen: Seen, fee: float, row: int, quantity: float, buying: bool) -> tuple[str, ...]:
    """What an order of ``quantity`` base units is expected to cost, and what its forecast pays, in short lines; none
    where nothing is known."""
    found = estimate_of(gate, seen, fee, row, quantity)
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
