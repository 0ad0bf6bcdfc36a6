"""The law of impact learnt from our own fills: a robust Bayesian regression around the prior.

Two things are seen of each order, in bps of the mid, above zero where they cost:

- while it traded, its fills lay behind the mid it arrived at by impact and timing together:
  ``Y * sigma * sqrt(q / V) + gamma / 2 * sigma * (q / V) / sqrt(1440)``, and the market's own moves;
- until its end the mid had moved by ``gamma * sigma * (q / V) / sqrt(1440)``, and the market's own moves.

The market's own moves are noise of known size (timing risk; sigma times the root of the minutes); what else there is, is
a scale that is estimated. Errors have fat tails: Student's t with 4 degrees of freedom, fitted by iterated weights
(Lange, Little & Taylor 1989, "Robust statistical modeling using the t distribution", J. Am. Stat. Assoc. 84), with the
normal prior as two rows of the regression (Gelman et al., "Bayesian Data Analysis", ch. 14). A forecast that was right
looks like impact, so its share of the drift is taken off first.

With fewer than ``LEAST_ORDERS`` orders the prior stands as it is.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from core.execution.tca import Parent, shortfall_of
from core.impact import DAY_MINUTES, PRIOR, ImpactLaw
from core.messages import FloatArray
from core.units import BPS, MINUTE_MS, Side

LEAST_ORDERS = 30
FREEDOM = 4.0
"""Of Student's t."""
_ROUNDS = 50
_LEAST = 0.01
"""Of prior means: an order that moves the price in its own favour is chance, not a law."""


class Observations(NamedTuple):
    """What N orders showed, all (N,)."""

    root: FloatArray
    """sigma * sqrt(q / V), bps: what Y multiplies."""
    share: FloatArray
    """sigma * (q / V) / sqrt(1440), bps: what gamma multiplies."""
    paid: FloatArray
    """bps behind the arrival's mid, beyond half the spread."""
    paid_noise: FloatArray
    """Standard deviation of the market's own moves in it, bps."""
    moved: FloatArray
    """bps that the mid had moved by the order's end, less its forecast's share; NaN where it is not known."""
    moved_noise: FloatArray


class Calibration(NamedTuple):
    """The law, and what it was learnt from."""

    law: ImpactLaw
    orders: int
    scale_bps: float
    """What is not explained by the law and the market's own moves, one standard deviation; NaN for the prior."""
    learnt: bool
    """False: too few orders, the law is the prior."""


def observations_of(parents: Sequence[Parent], horizon_minutes: int) -> Observations:
    """What these parents showed: those with fills, and an estimate made before they were sent. ``horizon_minutes`` is
    over which their forecasts speak."""
    rows = []
    for parent in parents:
        decided = parent.decided
        if not parent.fills or len(decided.expected) < 9 or parent.arrived_ms is None:
            continue
        lost = shortfall_of(parent)
        volume, sigma = decided.expected[7], decided.expected[8]
        quantity, arrival = float(parent.executed), float(parent.arrival)
        worth = float(lost.filled)
        if not (volume > 0.0 and sigma > 0.0 and worth > 0.0):
            continue
        sign = 1.0 if decided.side is Side.BUY else -1.0
        lasted = max(parent.fills[-1].at_ms - parent.arrived_ms, 0) / MINUTE_MS
        whole = max(decided.minute + 2 * MINUTE_MS - parent.arrived_ms, 0) / MINUTE_MS
        edge = sign * parent.edge_bps / horizon_minutes if math.isfinite(parent.edge_bps) else 0.0
        known = parent.end != parent.decision or parent.arrival != parent.decision
        moved = sign * math.log(float(parent.end) / arrival) * BPS - edge * whole if known else math.nan
        rows.append(
            (
                sigma * math.sqrt(quantity / volume) * BPS,
                sigma * (quantity / volume) / math.sqrt(DAY_MINUTES) * BPS,
                float(lost.timing + lost.impact) / worth * BPS - edge * lasted / 2.0,
                sigma * math.sqrt(lasted / 3.0) * BPS,
                moved,
                sigma * math.sqrt(whole) * BPS,
            )
        )
    return Observations(*np.array(rows, dtype=np.float64).reshape(-1, 6).T)


def calibrate(seen: Observations, prior: ImpactLaw = PRIOR) -> Calibration:
    """Posterior mean and standard deviation of Y and gamma."""
    count = len(seen.root)
    if count < LEAST_ORDERS:
        return Calibration(prior, count, math.nan, False)
    known = np.isfinite(seen.moved)
    zero = np.zeros(int(known.sum()))
    columns = np.concatenate(
        [np.stack([seen.root, 0.5 * seen.share], axis=1), np.stack([zero, seen.share[known]], axis=1)]
    )
    values = np.concatenate([seen.paid, seen.moved[known]])
    noise = np.concatenate([seen.paid_noise, seen.moved_noise[known]]) ** 2
    mean = np.array([prior.coefficient, prior.permanent])
    precision = np.diag([prior.coefficient_sd**-2.0, prior.permanent_sd**-2.0])
    found, rest = mean, max(float(np.median((values - columns @ mean) ** 2 - noise)), 1e-4)
    inverse = np.linalg.inv(precision)
    for _ in range(_ROUNDS):
        errors = values - columns @ found
        spread = noise + rest
        weights = (FREEDOM + 1.0) / (FREEDOM + errors**2 / spread)
        # What is left beyond the known noise, where there is any: the weighted mean square less the noise's.
        rest = max(float(np.sum(weights * (errors**2 - noise)) / np.sum(weights)), 1e-4)
        by = weights / (noise + rest)
        inverse = np.linalg.inv(precision + (columns * by[:, None]).T @ columns)
        newer = inverse @ (precision @ mean + (columns * by[:, None]).T @ values)
        settled = bool(np.allclose(newer, found, rtol=1e-9, atol=1e-12))
        found = newer
        if settled:
            break
    law = ImpactLaw(
        max(float(found[0]), _LEAST * prior.coefficient),
        float(math.sqrt(inverse[0, 0])),
        max(float(found[1]), _LEAST * prior.permanent),
        float(math.sqrt(inverse[1, 1])),
    )
    return Calibration(law, count, math.sqrt(rest), True)
