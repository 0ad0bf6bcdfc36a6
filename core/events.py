"""What happened this minute that changes who should be listened to: shocks, surges, staleness, and the regime.

Pure readings of the market's window; the detector keeps nothing between minutes. ``read_row`` is the compiled rule
over one instrument, ``Detector`` compares its readings with the thresholds and joins the instruments.
"""

import math

import numpy as np
from numba import njit

from core.messages import CLOSE, VOLUME, BoolArray, Detected, FloatArray, Market, MarketEvent, Regime
from core.params import EventSettings

USUAL = 60
"""Minutes that make up "usual" for shocks, surges and trends."""
SHORT = 15
"""Minutes of the short volatility."""

SHOCK, SURGE, STALE, VOLATILITY_RATIO, TREND = range(5)
"""Columns of a reading."""

VOLATILITY_SHOCK = "volatility_shock"
VOLUME_SURGE = "volume_surge"
STALE_MARKET = "stale_market"


@njit(cache=True)
def _mean_square(close: FloatArray, first: int, last: int) -> float:
    """Mean squared log return of the bars first..last (each against the one before); NaN when one is unknown."""
    total = 0.0
    for k in range(first, last + 1):
        change = math.log(close[k] / close[k - 1])
        total += change * change
    return total / (last - first + 1)


@njit(cache=True)
def read_row(bars: FloatArray, filler: BoolArray) -> FloatArray:
    """(5,) reading of one instrument's window (W, 5), W > USUAL; NaN where the window is not known far enough back.

    SHOCK: size of the last return over the root mean square of the USUAL returns before it.
    SURGE: last volume over the mean of the USUAL volumes before it.
    STALE: fillers in a row up to now. VOLATILITY_RATIO: root mean square return of SHORT minutes over that of the
    whole window. TREND: |sum of USUAL returns| over its standard error, were they independent (a t-statistic
    without the mean taken out). A window that does not move reads 0 in all ratios.
    """
    size = bars.shape[0]
    out = np.full(5, math.nan)
    stale = 0.0
    while stale < size and filler[size - 1 - int(stale)]:
        stale += 1.0
    out[STALE] = stale

    known = 0
    while known < size and bars[size - 1 - known, CLOSE] > 0.0 and bars[size - 1 - known, VOLUME] >= 0.0:
        known += 1
    close = bars[:, CLOSE]
    end = size - 1
    if known >= USUAL + 2:
        usual = math.sqrt(_mean_square(close, end - USUAL, end - 1))
        last = abs(math.log(close[end] / close[end - 1]))
        if last == 0.0:
            out[SHOCK] = 0.0
        else:
            out[SHOCK] = last / usual if usual > 0.0 else math.inf
        volume = 0.0
        for k in range(end - USUAL, end):
            volume += bars[k, VOLUME]
        volume /= USUAL
        if bars[end, VOLUME] == 0.0:
            out[SURGE] = 0.0
        else:
            out[SURGE] = bars[end, VOLUME] / volume if volume > 0.0 else math.inf
    if known >= USUAL + 1:
        spread = math.sqrt(_mean_square(close, end - USUAL + 1, end) * USUAL)
        out[TREND] = abs(math.log(close[end] / close[end - USUAL])) / spread if spread > 0.0 else 0.0
    if known == size:
        long = _mean_square(close, 1, end)
        out[VOLATILITY_RATIO] = math.sqrt(_mean_square(close, end - SHORT + 1, end) / long) if long > 0.0 else 0.0
    return out


class Detector:
    """Reads each minute's market; keeps no state."""

    def __init__(self, settings: EventSettings) -> None:
        self._settings = settings

    def detect(self, market: Market) -> Detected:
        """Events of every instrument, and the regime of all of them together.

        A first move or first volume after a wholly flat hour has no usual size and is reported as infinite.
        """
        readings = self.read(market)
        events: list[MarketEvent] = []
        for row, instrument in enumerate(market.instruments):
            shock, surge, stale = (float(readings[row, column]) for column in (SHOCK, SURGE, STALE))
            if shock >= self._settings.volatility_shock:
                events.append(MarketEvent(kind=VOLATILITY_SHOCK, instrument=instrument, size=shock))
            if surge >= self._settings.volume_surge:
                events.append(MarketEvent(kind=VOLUME_SURGE, instrument=instrument, size=surge))
            if stale >= self._settings.stale_minutes:
                events.append(MarketEvent(kind=STALE_MARKET, instrument=instrument, size=stale))
        return Detected(minute=market.minute, trace=market.trace, regime=self.regime(readings), events=tuple(events))

    def read(self, market: Market) -> FloatArray:
        """(S, 5) readings, one row an instrument."""
        bars = np.require(market.bars, np.float64, ["C", "W"])
        filler = np.require(market.filler, np.bool_, ["C", "W"])
        return np.stack([read_row(bars[row], filler[row]) for row in range(len(market.instruments))])

    def regime(self, readings: FloatArray) -> Regime:
        """Turbulent when the median volatility ratio is high, else trend when the median trend is strong, else calm.

        While no instrument's window is whole, the cautious answer: turbulent.
        """
        ratio = readings[:, VOLATILITY_RATIO]
        trend = readings[:, TREND]
        ratio, trend = ratio[np.isfinite(ratio)], trend[np.isfinite(trend)]
        if not len(ratio) or not len(trend) or float(np.median(ratio)) > self._settings.turbulent_ratio:
            return Regime.TURBULENT
        if float(np.median(trend)) > self._settings.trend_ratio:
            return Regime.TREND
        return Regime.CALM
