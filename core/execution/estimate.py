"""What an order will cost, before it is sent: spread, impact, fee and the risk of waiting, each in basis points of the
mid, and the total with its error band. And how much of an order a forecast pays for.

Units: quantities in base units, volume and sigma a minute (``core.impact.flow_at``), costs in bps of the mid. All are
costs of one side: a sale loses the same under the mid.

Sources: the square-root law for what an order moves while it trades (Tóth et al. 2011), a linear law for what it moves
for good and the variance of what is still to be traded (Almgren & Chriss 2000, "Optimal execution of portfolio
transactions", J. Risk 3; Almgren et al. 2005).
"""

import math
from typing import NamedTuple

import numpy as np

from core.impact import DAY_MINUTES, ImpactLaw, average_impact, permanent_impact
from core.lean import compiled, lean, pasted
from core.messages import FloatArray
from core.units import BPS

BAND = 1.959963984540054
"""Standard deviations on either side of the total: 95 % of a normal distribution."""


class Estimate(NamedTuple):
    """The cost of one order, bps of the mid; NaN where the market says too little."""

    half_spread: float
    temporary: float
    """Price paid above the touch while it trades: the square-root law."""
    permanent: float
    """Price moved for good, as far as the order itself pays for it."""
    fee: float
    timing_risk: float
    """One standard deviation of what the price does while the order is worked; of no sign, so not in the total."""
    total: float
    """Expected: half spread, temporary, permanent and fee."""
    sd: float
    """Of the total: timing risk, and how surely the laws of impact are known."""

    @property
    def low(self) -> float:
        """Lower end of the 95 % band."""
        return self.total - BAND * self.sd

    @property
    def high(self) -> float:
        """Upper end of the 95 % band."""
        return self.total + BAND * self.sd


@lean
def estimate(
    quantity: float,
    half_spread_bps: float,
    fee_bps: float,
    volume: float,
    sigma: float,
    risk_minutes: float,
    law: ImpactLaw,
) -> Estimate:
    """The cost of trading ``quantity``. ``risk_minutes`` (``core.execution.trajectory``) is the time that the whole order
    would have to wait to bear the same risk as it does slice by slice."""
    temporary = average_impact(law.coefficient, quantity, volume, sigma) * BPS
    permanent = permanent_impact(law.permanent, quantity, volume, sigma) * BPS
    timing = sigma * math.sqrt(risk_minutes) * BPS
    unsure = average_impact(law.coefficient_sd, quantity, volume, sigma) * BPS
    unsure_too = permanent_impact(law.permanent_sd, quantity, volume, sigma) * BPS
    total = half_spread_bps + temporary + permanent + fee_bps
    sd = math.sqrt(timing * timing + unsure * unsure + unsure_too * unsure_too)
    return Estimate(half_spread_bps, temporary, permanent, fee_bps, timing, total, sd)


@compiled
def estimate_rows(
    quantity: FloatArray,
    half_spread_bps: FloatArray,
    fee_bps: FloatArray,
    volume: FloatArray,
    sigma: FloatArray,
    risk_minutes: FloatArray,
    law: ImpactLaw,
) -> FloatArray:
    """(7, N) fields of ``Estimate``, one column an order; all arguments (N,)."""
    out = np.empty((7, quantity.shape[0]))
    for k in range(quantity.shape[0]):
        one = estimate(quantity[k], half_spread_bps[k], fee_bps[k], volume[k], sigma[k], risk_minutes[k], law)
        out[0, k], out[1, k], out[2, k], out[3, k] = one.half_spread, one.temporary, one.permanent, one.fee
        out[4, k], out[5, k], out[6, k] = one.timing_risk, one.total, one.sd
    return out


@pasted
def half_spread_of_touch(bid: float, ask: float) -> float:
    """Half the spread, bps of the mid; NaN without a touch."""
    return (ask - bid) / (ask + bid) * BPS


@lean
def marginal_cost(
    quantity: float, half_spread_bps: float, fee_bps: float, volume: float, sigma: float, law: ImpactLaw, sides: float
) -> float:
    """Cost of one more unit behind ``quantity``, bps: the derivative of quantity times cost.

    ``sides`` is how often the order pays spread, fee and temporary impact: 1 to get in, 2 to get out again as well.
    Permanent impact is paid once: a linear one gives back on the way out what it took on the way in.
    """
    temporary = 1.5 * average_impact(law.coefficient, quantity, volume, sigma) * BPS
    permanent = 2.0 * permanent_impact(law.permanent, quantity, volume, sigma) * BPS
    return sides * (half_spread_bps + fee_bps + temporary) + permanent


@lean
def most_worth(
    edge_bps: float, half_spread_bps: float, fee_bps: float, volume: float, sigma: float, law: ImpactLaw, sides: float
) -> float:
    """The quantity at which ``marginal_cost`` equals the forecast ``edge_bps``: more would cost more than it earns.

    Base units; 0 where even the first unit costs more, infinity where nothing moves the price, NaN where the market
    says too little. With x = sqrt(quantity) the condition is the quadratic 2 b x² + 1.5 a x = edge - fixed costs.
    """
    left = edge_bps - sides * (half_spread_bps + fee_bps)
    if not (volume > 0.0 and sigma >= 0.0) or math.isnan(left):
        return math.nan
    if left <= 0.0:
        return 0.0
    a = 1.5 * sides * law.coefficient * sigma / math.sqrt(volume) * BPS
    b = 0.5 * law.permanent * sigma / volume / math.sqrt(DAY_MINUTES) * BPS
    root = a + math.sqrt(a * a + 8.0 * b * left)
    if not root > 0.0:
        return math.inf
    x = 2.0 * left / root
    return x * x
