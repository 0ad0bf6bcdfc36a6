"""How far an order moves the price: the square-root law, once, for the risk check before it is sent and for the book
that it is simulated against."""

import math
from typing import NamedTuple

from core.bars import last_known
from core.lean import lean, pasted
from core.messages import CLOSE, VOLUME, FloatArray

COEFFICIENT = 1.0
"""Y: of order one in every market it was measured in; to be fitted to our own fills."""
IMPACT_MINUTES = 60
"""``flow_at`` looks back so far where it is asked what an order would move."""
DAY_MINUTES = 1_440


class ImpactLaw(NamedTuple):
    """What is believed of how our orders move the price, and how surely (one standard deviation)."""

    coefficient: float
    """Y of the square-root law of temporary impact."""
    coefficient_sd: float
    permanent: float
    """gamma: log price moved for good, in standard deviations of a day, by an order of one day's volume."""
    permanent_sd: float


PRIOR = ImpactLaw(COEFFICIENT, 0.5, 0.314, 0.314)
"""Before there are fills of our own. Y is of order one wherever it was measured (Tóth et al. 2011). gamma is that of
Almgren, Thum, Hauptmann & Li (2005), "Direct Estimation of Equity Market Impact", Risk 18: 0.314 ± 0.041 for shares;
of coins it is not known, hence the wide deviation."""


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


@pasted
def permanent_impact(gamma: float, quantity: float, volume: float, volatility: float) -> float:
    """Mean log price that an order of ``quantity`` pays for moving the market for good: half of where it moves it to.

    ``volume`` and ``volatility`` (log return) are a minute's. The move is linear, gamma * sigma_day * quantity / day's
    volume (Almgren et al. 2005), as anything else would pay for going there and back (Huberman & Stanzl 2004, "Price
    manipulation and quasi-arbitrage", Econometrica 72); a day's sigma is sqrt(1440) minutes', its volume 1440.
    """
    return 0.5 * gamma * volatility * (quantity / volume) / math.sqrt(DAY_MINUTES)


@lean
def flow_at(bars: FloatArray, index: int, minutes: int) -> tuple[float, float]:
    """(volume, sigma) a minute, known at the close of minute ``index`` of one instrument's ``bars`` (T, 5): the mean
    volume (base units) of the ``minutes`` up to it, and the root mean square of their log returns.

    A minute without a bar repeats the close before it, and nothing traded: so live, where such minutes are filled, and
    a whole history, where they are missing, say the same. NaN where no close came before.
    """
    first = max(0, index - minutes)
    last = bars[first, CLOSE]
    if math.isnan(last):
        last = last_known(bars[:, CLOSE], first)
    if math.isnan(last):
        return math.nan, math.nan
    before = math.log(last)
    variance, volume = 0.0, 0.0
    for k in range(first, index + 1):
        traded = not math.isnan(bars[k, CLOSE])
        if traded and k >= index + 1 - minutes:
            volume += bars[k, VOLUME]
        if k > first:
            now = math.log(bars[k, CLOSE]) if traded else before
            variance += (now - before) * (now - before)
            before = now
    return volume / minutes, math.sqrt(variance / minutes)
