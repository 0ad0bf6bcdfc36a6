"""Closed one-minute bars: what a sound bar is, and how minutes without one are filled, flagged as filler.

Arrays are (T, 5) for one instrument or (S, T, 5) for several: open, high, low, close, volume. A minute with no bar
is NaN in storage; a *filler* repeats the last known close with volume 0, so that look-backs stay whole, and is
flagged so that features and models can tell it from a trade.
"""

import math

import numpy as np

from core.lean import lean
from core.messages import CLOSE, VOLUME, Bar, BoolArray, FloatArray

MAX_PRICE = 1e15
MAX_VOLUME = 1e18
"""Above these a number is a fault of the wire, not a market."""


def is_sound(bar: Bar) -> bool:
    """Whether the bar can be a market's: positive finite prices, low <= open, close <= high, volume >= 0."""
    prices = (bar.open, bar.high, bar.low, bar.close)
    if not all(math.isfinite(p) and 0.0 < p < MAX_PRICE for p in prices):
        return False
    if not (math.isfinite(bar.volume) and 0.0 <= bar.volume < MAX_VOLUME):
        return False
    return bar.low <= min(bar.open, bar.close) and bar.high >= max(bar.open, bar.close)


@lean
def all_sound(bars: FloatArray) -> bool:
    """Whether every bar of ``bars`` (S, T, 5) is a market's (``is_sound``) or wholly NaN, looked at once each."""
    for row in range(bars.shape[0]):
        for t in range(bars.shape[1]):
            o, h, low, c, v = bars[row, t, 0], bars[row, t, 1], bars[row, t, 2], bars[row, t, 3], bars[row, t, 4]
            sound = 0.0 < low <= o <= h and low <= c <= h < MAX_PRICE and 0.0 <= v < MAX_VOLUME
            if not sound and not (o != o and h != h and low != low and c != c and v != v):
                return False
    return True


@lean
def last_known(close: FloatArray, end: int) -> float:
    """The newest of ``close`` (T,) before index ``end`` that is finite; NaN where none is."""
    for t in range(end - 1, -1, -1):
        if math.isfinite(close[t]):
            return close[t]
    return math.nan


@lean
def first_known(close: FloatArray) -> float:
    """The oldest of ``close`` (T,) that is finite; NaN where none is."""
    for t in range(close.shape[0]):
        if math.isfinite(close[t]):
            return close[t]
    return math.nan


def fill_gaps(bars: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Fill minutes without a bar by the last close; returns (bars, filler), copies of the same leading shape.

    ``filler`` is True where nothing traded: the bar was missing (any of its numbers NaN), or its volume is 0.
    Minutes before the first known bar stay NaN and are marked filler. Applying it twice changes nothing.
    Raises ValueError when the last axis is not the five columns of a bar.
    """
    if bars.ndim not in (2, 3) or bars.shape[-1] != 5:
        raise ValueError(f"bars must be (T, 5) or (S, T, 5), got {bars.shape}")
    filled = np.array(bars, dtype=np.float64, order="C", copy=True)
    filler = np.zeros(filled.shape[:-1], dtype=np.bool_)
    if filled.ndim == 2:
        _fill(filled, filler)
    else:
        for row in range(filled.shape[0]):
            _fill(filled[row], filler[row])
    return filled, filler


@lean
def _fill(bars: FloatArray, filler: BoolArray) -> None:
    last = math.nan
    for t in range(bars.shape[0]):
        unknown = False
        for column in range(5):
            if math.isnan(bars[t, column]):
                unknown = True
        if unknown:
            for column in range(4):
                bars[t, column] = last
            bars[t, VOLUME] = 0.0 if not math.isnan(last) else math.nan
            filler[t] = True
        else:
            last = bars[t, CLOSE]
            filler[t] = bars[t, VOLUME] == 0.0
