"""How far an order moves the price: the square-root law, once, for the risk check before it is sent and for the book
that it is simulated against."""

import math

import numpy as np

from core.bars import last_known
from core.lean import lean, pasted
from core.messages import CLOSE, VOLUME, FloatArray, Market
from core.units import BPS

COEFFICIENT = 1.0
"""Y: of order one in every market it was measured in; to be fitted to our own fills."""
IMPACT_MINUTES = 60
"""By how many minutes a market is known when it is asked what an order would move."""


@lean
def average_impact(coefficient: float, quantity: float, volume: float, volatility: float) -> float:
    """Mean log price paid above the touch for ``quantity``: Y * volatility * sqrt(quantity / volume).

    ``volatility`` is the standard deviation of the log return over the span in which ``volume`` is traded; quantity
    and volume share one unit. The square-root law (Tóth et al. 2011, "Anomalous price impact and the critical nature
    of liquidity in financial markets", Phys. Rev. X 1, 021006). NaN when nothing trades or an input is not known:
    there is no law for a market without volume.
    """
    if not (quantity >= 0.0 and volume > 0.0 and volatility >= 0.0):
        return math.nan
    return coefficient * volatility * math.sqrt(quantity / volume)


@pasted
def marginal_scale(coefficient: float, volatility: float, volume: float) -> float:
    """a of the price a * sqrt(q) of the last unit when q were bought, whose mean over 0..q is ``average_impact``."""
    return 1.5 * coefficient * volatility / math.sqrt(volume)


def expected_impact_bps(quantity: float, volume: float, volatility: float) -> float:
    """``average_impact`` in basis points of the mid, with our ``COEFFICIENT``."""
    return float(average_impact(COEFFICIENT, quantity, volume, volatility)) * BPS


def impact_of(market: Market, row: int, quantity: float, minutes: int = IMPACT_MINUTES) -> float:
    """``expected_impact_bps`` of ``quantity`` base units of instrument ``row``, by its last ``minutes`` of bars;
    NaN where one of them is not known."""
    bars = market.bars[row]
    if np.isnan(bars[-minutes - 1 :, CLOSE]).any():
        return math.nan
    return float(impact_at(bars, bars.shape[0] - 1, quantity, minutes))


@lean
def impact_at(bars: FloatArray, index: int, quantity: float, minutes: int = IMPACT_MINUTES) -> float:
    """``expected_impact_bps`` at the close of minute ``index`` of one instrument's ``bars`` (T, 5), by the ``minutes``
    up to it. A minute without a bar repeats the close before it, and nothing traded; NaN where no close came before."""
    first = max(0, index - minutes)
    last = bars[first, CLOSE]
    if math.isnan(last):
        last = last_known(bars[:, CLOSE], first)
    before = math.log(last)
    variance, volume = 0.0, math.nan if math.isnan(last) else 0.0
    for k in range(first, index + 1):
        traded = not math.isnan(bars[k, CLOSE])
        if traded and k >= index + 1 - minutes:
            volume += bars[k, VOLUME]
        if k > first:
            now = math.log(bars[k, CLOSE]) if traded else before
            variance += (now - before) * (now - before)
            before = now
    return average_impact(COEFFICIENT, quantity, volume, math.sqrt(variance)) * BPS
