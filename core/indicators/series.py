"""The workspace: one instrument's bars as series, from which every group of indicators reads and into which it writes.

A workspace is a (rows, n) array over n minutes in a row, named by row number. The first rows are scratch of
``core.indicators.windows``, then come the series below, then TEMP rows that each group may use for itself, and from
OUT on one row a feature, in the order of ``core.features.FEATURES``.
"""

import math

from core.bars import MAX_PRICE, MAX_VOLUME
from core.indicators.windows import SCRATCH
from core.lean import inner, lean
from core.messages import CLOSE, HIGH, LOW, OPEN, VOLUME, BoolArray, FloatArray

(
    OPENS,
    HIGHS,
    LOWS,
    CLOSES,
    VOLUMES,
    LOG,
    RET,
    TRUE_RANGE,
    TYPICAL,
    RUN,
    FILLER,
    REAL,
    MARKET,
    LEADER,
    LEADER_5,
    LEADER_REAL,
    SPREAD,
    BREADTH,
    PEERS,
    LATE,
    MARKET_240,
    MARKET_60,
    LATE_60,
    MOOD,
    PREMIUM,
) = range(SCRATCH, SCRATCH + 25)
"""Bars; log close; 1-minute log return; true range; (high + low + close) / 3; known bars in a row up to this one;
1 where a filler stands; 1 where a bar was traded; and what comes from the other instruments (``core.indicators.cross``)
and from outside the bars (``core.indicators.context``)."""
TEMP = SCRATCH + 25
TEMPS = 10
OUT = TEMP + TEMPS

FLAT_RETURN = 1e-9
"""Returns that deviate by less than this are rounding, not movement."""


@inner
def is_known(bars: FloatArray, s: int, t: int) -> bool:
    """Whether all five numbers of the bar can be a market's."""
    for column in range(4):
        price = bars[s, t, column]
        if not (price > 0.0 and price < MAX_PRICE):
            return False
    return bars[s, t, VOLUME] >= 0.0 and bars[s, t, VOLUME] < MAX_VOLUME


@lean
def load(bars: FloatArray, filler: BoolArray, s: int, start: int, logs: FloatArray, w: FloatArray) -> None:
    """Fill the bar series of instrument ``s`` from index ``start`` on; a bar that is not known is NaN throughout."""
    n = w.shape[1]
    run = 0.0
    before = math.nan
    for t in range(n):
        at = start + t
        if is_known(bars, s, at):
            run += 1.0
            high, low, close = bars[s, at, HIGH], bars[s, at, LOW], bars[s, at, CLOSE]
            w[OPENS, t] = bars[s, at, OPEN]
            w[HIGHS, t] = high
            w[LOWS, t] = low
            w[CLOSES, t] = close
            w[VOLUMES, t] = bars[s, at, VOLUME]
            w[TYPICAL, t] = (high + low + close) / 3.0
            top = high if high > before else before
            bottom = low if low < before else before
            w[TRUE_RANGE, t] = top - bottom  # NaN where the bar before is not known
            before = close
            w[REAL, t] = 0.0 if filler[s, at] else 1.0
        else:
            run = 0.0
            before = math.nan
            for row in (OPENS, HIGHS, LOWS, CLOSES, VOLUMES, TYPICAL, TRUE_RANGE):
                w[row, t] = math.nan
            w[REAL, t] = 0.0
        w[FILLER, t] = 1.0 if filler[s, at] else 0.0
        w[RUN, t] = run
        w[LOG, t] = logs[s, t]


@lean
def difference(w: FloatArray, x: int, lag: int, to: int) -> None:
    """Row ``to``: row ``x`` less what it was ``lag`` minutes before; NaN before there was such a minute."""
    n = w.shape[1]
    for t in range(min(lag, n)):
        w[to, t] = math.nan
    older, newer, out = w[x, : max(n - lag, 0)], w[x, lag:], w[to, lag:]
    for t in range(newer.shape[0]):
        out[t] = newer[t] - older[t]
