"""What happened this minute that changes who should be listened to: shocks, surges, staleness, and the regime.

Pure readings of the market's window; the detector keeps nothing between minutes. ``read_span`` is the compiled rule
over a stretch of one instrument's minutes, ``regime_of`` joins the instruments; ``Detector`` asks them about one
minute, a backtest about all of them.
"""

import math
from typing import NamedTuple

import numpy as np

from core.lean import inner, lean, pasted
from core.messages import CLOSE, VOLUME, BoolArray, Detected, FloatArray, Market, MarketEvent, Regime
from core.params import EventSettings

USUAL = 60
"""Minutes that make up "usual" for shocks, surges and trends."""
SHORT = 15
"""Minutes of the short volatility."""
LONG = 240
"""Minutes (bars) of the long volatility; nothing further back is looked at."""

SHOCK, SURGE, STALE, VOLATILITY_RATIO, TREND = range(5)
"""Columns of a reading."""

VOLATILITY_SHOCK = "volatility_shock"
VOLUME_SURGE = "volume_surge"
STALE_MARKET = "stale_market"

REGIMES: tuple[Regime, ...] = tuple(Regime)
_CALM, _TREND, _TURBULENT = (REGIMES.index(r) for r in (Regime.CALM, Regime.TREND, Regime.TURBULENT))
_TILE = 1_000
"""Minutes read at a time: what they need stays in the processor's cache. No power of two, at which the same minute of all
instruments would lie in the same few places of it."""


class EventRules(NamedTuple):
    """``EventSettings`` for the compiled rules."""

    volatility_shock: float
    turbulent_ratio: float
    trend_ratio: float


def event_rules(settings: EventSettings) -> EventRules:
    return EventRules(float(settings.volatility_shock), float(settings.turbulent_ratio), float(settings.trend_ratio))


@inner
def _add_window(terms: FloatArray, lead: int, first: int, last: int, sums: FloatArray) -> None:
    """sums[t] = terms[lead + t - first] + ... + terms[lead + t - last], oldest first, for every t.

    Lag by lag over all minutes, so that each minute's terms are added in the order of time whatever stretch is read,
    and neighbouring minutes are added at once by the processor. Five at a time, so that a sum is taken from memory and put
    back a fifth as often; each is still added on its own.
    """
    size = sums.shape[0]
    for t in range(size):
        sums[t] = 0.0
    lag = first
    while lag >= last + 4:
        a, b = terms[lead - lag : lead - lag + size], terms[lead - lag + 1 : lead - lag + 1 + size]
        c, d = terms[lead - lag + 2 : lead - lag + 2 + size], terms[lead - lag + 3 : lead - lag + 3 + size]
        e = terms[lead - lag + 4 : lead - lag + 4 + size]
        for t in range(size):
            sums[t] = ((((sums[t] + a[t]) + b[t]) + c[t]) + d[t]) + e[t]
        lag -= 5
    while lag >= last:
        lagged = terms[lead - lag : lead - lag + size]
        for t in range(size):
            sums[t] += lagged[t]
        lag -= 1


@pasted
def is_stale(bars: FloatArray, end: int, minutes: int) -> bool:
    """Whether nothing traded in each of the ``minutes`` minutes before index ``end`` of one instrument's ``bars`` (T, 5):
    no bar, a stand-in for one, or one without volume (the ``STALE`` of a reading, held against a limit).

    Minutes before the first count as such. One quiet minute is usual where a coin is thinly traded; several in a row are
    a market that stands still, halted or deserted: its book is nobody's offer, and orders sent there come back. The
    newest is looked at first: mostly it says all, and lies where it was just read.
    """
    k, first = end - 1, max(0, end - minutes)
    while k >= first and not bars[k, VOLUME] > 0.0:
        k -= 1
    return k < first


def _room(minutes: int) -> FloatArray:
    """For ``read_span`` of so many minutes at a time."""
    return np.empty((8, LONG + minutes))


@lean
def read_span(bars: FloatArray, filler: BoolArray, first: int, end: int, room: FloatArray, out: FloatArray) -> None:
    """Write the readings of minutes [first, end) of one instrument's bars (T, 5) and ``filler`` (T,) to out (., 5).

    SHOCK: size of the last return over the root mean square of the USUAL returns before it.
    SURGE: last volume over the mean of the USUAL volumes before it.
    STALE: fillers in a row up to now, at most LONG. VOLATILITY_RATIO: root mean square return of SHORT minutes over
    that of LONG bars. TREND: |sum of USUAL returns| over its standard error, were they independent (a t-statistic
    without the mean taken out). A window that does not move reads 0 in all ratios. NaN where the bars are not known
    far enough back. A minute's reading depends on the LONG bars that end with it alone, to the last bit.
    """
    lead = LONG
    size = end - first
    change, square, volume, known = room[0], room[1], room[2], room[3]
    usual, short, long, volumes = room[4, : size + 1], room[5, :size], room[6, :size], room[7, :size]
    run = 0
    stale = 0
    for j in range(lead + size):
        i = first - lead + j
        change[j] = math.nan
        volume[j] = math.nan
        if i >= 0 and bars[i, CLOSE] > 0.0 and bars[i, VOLUME] >= 0.0:
            if run > 0:
                change[j] = math.log(bars[i, CLOSE] / bars[i - 1, CLOSE])
            volume[j] = bars[i, VOLUME]
            run = min(run + 1, LONG)
        else:
            run = 0
        square[j] = change[j] * change[j]
        stale = min(stale + 1, LONG) if i < 0 or filler[i] else 0
        if j >= lead:
            known[j - lead] = run
            out[j - lead, STALE] = stale
    now = 0 * first  # no literal (core.lean)
    # From one minute earlier on: what was usual before a minute is what was as of the one before it.
    _add_window(square, now + LONG - 1, now + USUAL - 1, now, usual)
    _add_window(square, now + LONG, now + SHORT - 1, now, short)
    _add_window(square, now + LONG, now + LONG - 2, now, long)
    _add_window(volume, now + LONG, now + USUAL, now + 1, volumes)
    for t in range(size):
        out[t, SHOCK] = out[t, SURGE] = out[t, VOLATILITY_RATIO] = out[t, TREND] = math.nan
        if known[t] >= USUAL + 2:
            last = abs(change[lead + t])
            root = math.sqrt(usual[t] / USUAL)
            if last == 0.0:
                out[t, SHOCK] = 0.0
            else:
                out[t, SHOCK] = last / root if root > 0.0 else math.inf
            mean = volumes[t] / USUAL
            if volume[lead + t] == 0.0:
                out[t, SURGE] = 0.0
            else:
                out[t, SURGE] = volume[lead + t] / mean if mean > 0.0 else math.inf
        if known[t] >= USUAL + 1:
            error = math.sqrt(usual[t + 1] / USUAL * USUAL)
            i = first + t
            moved = abs(math.log(bars[i, CLOSE] / bars[i - USUAL, CLOSE]))
            out[t, TREND] = moved / error if error > 0.0 else 0.0
        if known[t] >= LONG:
            whole = long[t] / (LONG - 1)
            out[t, VOLATILITY_RATIO] = math.sqrt(short[t] / SHORT / whole) if whole > 0.0 else 0.0


def read_row(bars: FloatArray, filler: BoolArray) -> FloatArray:
    """(5,) reading of the last minute of one instrument's window (W, 5)."""
    out = np.empty((1, 5))
    read_span(bars, filler, bars.shape[0] - 1, bars.shape[0], _room(1), out)
    return out[0]


def read_table(bars: FloatArray, filler: BoolArray) -> FloatArray:
    """(T, 5) readings of every minute of one instrument's bars (T, 5), each equal to ``read_row`` of its window."""
    size = bars.shape[0]
    out, room = np.empty((size, 5)), _room(_TILE)
    for first in range(0, size, _TILE):
        end = min(first + _TILE, size)
        read_span(bars, filler, first, end, room, out[first:end])
    return out


@pasted
def _median_above(values: FloatArray, limit: float) -> tuple[bool, bool]:
    """(whether any of ``values`` is finite, whether the median of those that are is above ``limit``), looked at once each:
    to sort them would take time that grows with the square of how many there are."""
    above, others, lowest, highest = 0, 0, math.inf, -math.inf
    for i in range(values.shape[0]):
        value = values[i]
        if math.isfinite(value):
            if value > limit:
                above += 1
                lowest = min(lowest, value)
            else:
                others += 1
                highest = max(highest, value)
    # With as many above as not, the median is the mean of the two in the middle.
    return above + others > 0, above > others or (above == others and (highest + lowest) / 2.0 > limit)


@lean
def regime_of(ratio: FloatArray, trend: FloatArray, rules: EventRules) -> int:
    """Index into REGIMES from the (S,) volatility ratios and trends of all instruments.

    Turbulent when the median volatility ratio is high, else trend when the median trend is strong, else calm. While
    no instrument's window is whole, the cautious answer: turbulent.
    """
    known, turbulent = _median_above(ratio, rules.turbulent_ratio)
    if not known or turbulent:
        return _TURBULENT
    known, strong = _median_above(trend, rules.trend_ratio)
    if not known:
        return _TURBULENT
    return _TREND if strong else _CALM


def read_span_of_market(
    bars: FloatArray, filler: BoolArray, first: int, end: int, rules: EventRules
) -> tuple[np.ndarray, BoolArray]:
    """(N,) regime, an index into REGIMES, and (S, N) whether in a volatility shock, of minutes [first, end).

    ``bars`` (S, T, 5) filled, ``filler`` (S, T).
    """
    rows = filler.shape[0]
    regime, shock = np.empty(end - first, dtype=np.int8), np.zeros((rows, end - first), dtype=np.bool_)
    tile = np.empty((rows, _TILE, 5))
    _read_span_of_market(bars, filler, first, end, rules, _room(_TILE), tile, regime, shock)
    return regime, shock


@lean
def _read_span_of_market(
    bars: FloatArray,
    filler: BoolArray,
    first: int,
    end: int,
    rules: EventRules,
    room: FloatArray,
    tile: FloatArray,
    regime: np.ndarray,
    shock: BoolArray,
) -> None:
    rows = filler.shape[0]
    for start in range(first, end, _TILE):
        stop = min(start + _TILE, end)
        for row in range(rows):
            read_span(bars[row], filler[row], start, stop, room, tile[row])
            for k in range(stop - start):
                shock[row, start - first + k] = tile[row, k, SHOCK] >= rules.volatility_shock
        for k in range(stop - start):
            ratio, trend = tile[:, k, VOLATILITY_RATIO], tile[:, k, TREND]
            regime[start - first + k] = regime_of(ratio, trend, rules)


def read_market(bars: FloatArray, filler: BoolArray, rules: EventRules) -> tuple[np.ndarray, BoolArray]:
    """``read_span_of_market`` of every minute."""
    return read_span_of_market(bars, filler, 0, filler.shape[1], rules)


class Detector:
    """Reads each minute's market; keeps no state."""

    def __init__(self, settings: EventSettings) -> None:
        self._settings = settings
        self._rules = event_rules(settings)

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
        """``regime_of`` the (S, 5) readings of one minute."""
        ratio, trend = readings[:, VOLATILITY_RATIO], readings[:, TREND]
        return REGIMES[regime_of(ratio, trend, self._rules)]
