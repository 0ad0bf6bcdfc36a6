"""The walk over time and instruments: every block of minutes loaded once, every group of indicators written, masked.

``table`` and ``rows`` run the same block kernel: a table asks it for some blocks at a time, the live minute for its last
minute alone.
"""

import math

import numpy as np

from core.indicators import candles, channels, context, cross, returns, smoothed, volume
from core.indicators.series import (
    BREADTH,
    LEADER,
    LEADER_5,
    LEADER_REAL,
    LOG,
    MARKET,
    MOOD,
    OUT,
    PEERS,
    PREMIUM,
    RET,
    RUN,
    SPREAD,
    difference,
    load,
)
from core.indicators.spec import ANCHOR_BARS, BLOCK_MINUTES, REACH, FeatureSpec
from core.lean import lean
from core.messages import BoolArray, FloatArray

SPECS: tuple[FeatureSpec, ...] = (
    *returns.SPECS,
    *volume.SPECS,
    *channels.SPECS,
    *smoothed.SPECS,
    *candles.SPECS,
    *cross.SPECS,
    *context.SPECS,
)
"""All features, group by group."""
COUNT = len(SPECS)

_RETURNS = OUT
_VOLUME = _RETURNS + len(returns.SPECS)
_CHANNELS = _VOLUME + len(volume.SPECS)
_SMOOTHED = _CHANNELS + len(channels.SPECS)
_CANDLES = _SMOOTHED + len(smoothed.SPECS)
_CROSS = _CANDLES + len(candles.SPECS)
_CONTEXT = _CROSS + len(cross.SPECS)
_RV_60 = _RETURNS + [spec.name for spec in returns.SPECS].index("rv_60")


TOGETHER = 3
"""Blocks that a table takes at a time. Each time the REACH minutes before are worked out once more, and every kernel is
called from Python: at one block that is a third of all minutes, and 80 ns of 480 a symbol-minute. With more than three the
workspace leaves the processor's cache, which takes as long as is saved."""

_SHARED = (MARKET, LEADER, LEADER_5, LEADER_REAL, SPREAD, BREADTH, PEERS)


def block(
    bars: FloatArray,
    filler: BoolArray,
    mood: FloatArray,
    premium: FloatArray,
    first_minute: int,
    first: int,
    end: int,
    needs: FloatArray,
    clock: FloatArray,
    out: FloatArray,
    column: int,
) -> None:
    """Write the features of the minutes [first, end) into ``out`` (S, T, F) from ``column`` on.

    ``first_minute`` is that of index 0, in minutes since the epoch; ``needs`` (F,) how many known bars in a row, the
    minute's own included, each feature asks for.
    """
    start = max(first - (REACH - 1), 0)
    rows, n = bars.shape[0], end - start
    logs = np.empty((rows, n))
    shared = np.empty((cross.SHARED, n))
    w = np.empty((OUT + COUNT, n))
    cross.read_closes(bars, start, logs)
    cross.read_market(logs, filler, start, np.empty((2, n)), shared)
    w[list(_SHARED)] = shared
    w[MOOD] = mood[start:end]
    cross.write_shared(w, _CROSS)
    context.write_shared(w, _CONTEXT, first_minute + start, clock)
    for s in range(rows):
        load(bars, filler, s, start, logs, w)
        difference(w, LOG, 1, RET)
        w[PREMIUM] = premium[s, start:end]
        returns.write(w, _RETURNS)
        volume.write(w, _VOLUME, _RV_60)
        channels.write(w, _CHANNELS)
        for begin in (first, *range(_block_end(first_minute, first), end, BLOCK_MINUTES)):
            stop = min(_block_end(first_minute, begin), end)
            anchor = _block_end(first_minute, begin) - BLOCK_MINUTES - ANCHOR_BARS
            smoothed.write(bars, s, anchor, begin, stop, begin - start, w, _SMOOTHED)
        candles.write(w, _CANDLES)
        cross.write(w, _CROSS, rows)
        context.write(w, _CONTEXT)
        _hand_over(w, first - start, needs, out, s, column)


def table(
    bars: FloatArray,
    filler: BoolArray,
    mood: FloatArray,
    premium: FloatArray,
    first_minute: int,
    needs: FloatArray,
    clock: FloatArray,
    out: FloatArray,
) -> None:
    """Write the features of all minutes into ``out`` (S, T, F)."""
    first, size = 0, bars.shape[1]
    while first < size:
        end = min(_block_end(first_minute, first) + (TOGETHER - 1) * BLOCK_MINUTES, size)
        block(bars, filler, mood, premium, first_minute, first, end, needs, clock, out, first)
        first = end


def _block_end(first_minute: int, index: int) -> int:
    """Where the block of ``index`` ends."""
    return index + BLOCK_MINUTES - (first_minute + index) % BLOCK_MINUTES


@lean
def _hand_over(w: FloatArray, to: int, needs: FloatArray, out: FloatArray, s: int, column: int) -> None:
    """Turn the feature rows from column ``to`` on into rows of ``out`` (S, T, F); NaN where a look-back is not whole. What
    comes behind them there (the news) is 0."""
    run = w[RUN]
    longest = 0.0
    for f in range(needs.shape[0]):
        longest = max(longest, needs[f])
    for t in range(to, w.shape[1]):
        line = out[s, column + t - to]
        known = run[t]
        if known >= longest:
            for f in range(needs.shape[0]):
                line[f] = w[OUT + f, t]
        else:
            for f in range(needs.shape[0]):
                line[f] = w[OUT + f, t] if known >= needs[f] else math.nan
        for f in range(needs.shape[0], line.shape[0]):
            line[f] = 0.0
