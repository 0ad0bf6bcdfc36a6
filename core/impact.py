"""How far an order is expected to move the price before it is sent: the square-root law, thin for now."""

import math

import numpy as np

from core.messages import CLOSE, VOLUME, Market
from core.units import BPS

COEFFICIENT = 1.0
"""Of order one in every market it was measured in; to be fitted to our own fills."""


def expected_impact_bps(quantity: float, volume: float, volatility: float) -> float:
    """Expected impact of trading ``quantity`` while the market trades ``volume``, in basis points of the mid.

    ``volatility`` is the standard deviation of the log return over the span in which ``volume`` is traded; quantity
    and volume share one unit. impact = Y * volatility * sqrt(quantity / volume), the square-root law (Tóth et al.
    2011, "Anomalous price impact and the critical nature of liquidity in financial markets"). NaN when nothing
    trades or an input is not known: there is no law for a market without volume.
    """
    if not (quantity >= 0.0 and volume > 0.0 and volatility >= 0.0):
        return math.nan
    return COEFFICIENT * volatility * math.sqrt(quantity / volume) * BPS


def impact_of(market: Market, row: int, quantity: float, minutes: int = 60) -> float:
    """``expected_impact_bps`` of ``quantity`` base units of instrument ``row``, by its last ``minutes`` of bars."""
    close = market.bars[row, -minutes - 1 :, CLOSE]
    changes = np.diff(np.log(close))
    variance = float(np.dot(changes, changes))
    volume = float(market.bars[row, -minutes:, VOLUME].sum())
    return expected_impact_bps(quantity, volume, math.sqrt(variance) if variance >= 0.0 else math.nan)
