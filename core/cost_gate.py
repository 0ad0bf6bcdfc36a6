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
from core.lean import inlined, lean, pasted
from core.messages import FloatArray
from core.params import CostSettings, ExecutionSettings
from core.sizing import Caps, Limit, Rows
from core.units import BPS

SIDES = {"off": 0.0, "one_way": 1.0, "round_trip": 2.0}
"""How often an order pays spread, fee and temporary impact out of its forecast, by ``execution.cost_gate``."""
_WORDS = {1.0: "to get in", 2.0: "in and out again"}
_SHAVE = 1.0 - 1e-12
_COST, _PASSED = int(Limit.COST), int(Limit.PASSED)


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


@lean
def gate_rows(
    rows: Rows, caps: Caps, gate: CostGate, seen: Seen, lots: FloatArray, allowed: FloatArray, limit: np.ndarray
) -> None:
    """``gate_into`` for Python."""
    gate_into(rows, caps, gate, seen, lots, allowed, limit)


@inlined
def gate_into(
    rows: Rows, caps: Caps, gate: CostGate, seen: Seen, lots: FloatArray, allowed: FloatArray, limit: np.ndarray
) -> None:
    """Cut the buys among the (S,) ``lots`` of ``core.sizing.size_into`` to what their forecast pays for; a cut row's
    ``allowed`` becomes that, in USDT, and its ``limit`` COST. Below the least order nothing is left."""
    if gate.sides == 0.0:
        return
    for i in range(lots.shape[0]):
        edge = seen.edge[i]
        if not lots[i] > 0.0 or edge != edge:
            continue
        fee = rows.fee[i] * BPS
        most = most_worth(edge, seen.half_spread[i], fee, seen.volume[i], seen.sigma[i], gate.law, gate.sides)
        if most >= lots[i] * rows.step[i]:
            continue
        lot = rows.step[i] * rows.mid[i] * rows.rate[i]
        paid_for = np.floor(most / rows.step[i] * _SHAVE) if most == most else 0.0
        allowed[i] = most / rows.step[i] * lot
        limit[i] = _COST
        lots[i] = (
            paid_for
            if paid_for * rows.step[i] >= rows.min_qty[i] and paid_for * lot >= least_buy(rows, caps, i)
            else 0.0
        )


@pasted
def least_buy(rows: Rows, caps: Caps, i: int) -> float:
    """USDT of the smallest buy: ours and the venue's, at the lower of mid and limit price."""
    limit_price = max(1.0, np.floor(rows.mid[i] * (1.0 + caps.collar) / rows.tick[i] * _SHAVE)) * rows.tick[i]
    venue = rows.min_notional[i] * rows.rate[i] * (rows.mid[i] / min(rows.mid[i], limit_price))
    return max(caps.min_order, venue) / _SHAVE


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
