"""The arithmetic of the features, compiled: one row of features at a time, from a finite look-back.

Everything here reads one instrument. ``prepare`` takes what is computed bar by bar (logarithms, how many bars up
to here are known); ``_row`` takes one minute's features from a window that ends at it. ``row`` and ``table`` both
call ``_row``, so a table over years and the live minute agree to the last bit. Sums are written as loops, never
``np.sum``, so that compiled and uncompiled (``NUMBA_DISABLE_JIT=1``) add in the same order.

All kernels that call each other stand in this file: numba's cache does not see changes in another one.
"""

import math

import numpy as np
from numba import njit

from core.bars import MAX_PRICE, MAX_VOLUME
from core.messages import CLOSE, HIGH, LOW, OPEN, VOLUME, BoolArray, FloatArray

MINUTES_A_DAY = 1_440
N_OUT = 27
"""Features written by ``_row``, in the order of ``core.features.FEATURES``."""

# Tables, so that compiled and uncompiled code read the same numbers.
_SIN = np.array([math.sin(2.0 * math.pi * m / MINUTES_A_DAY) for m in range(MINUTES_A_DAY)])
_COS = np.array([math.cos(2.0 * math.pi * m / MINUTES_A_DAY) for m in range(MINUTES_A_DAY)])

FAST, SLOW = 12, 26
FAST_BARS, SLOW_BARS = 4 * FAST, 4 * SLOW
"""Exponential weights are cut after four spans (the rest weighs under 0.04 %) and made to sum to 1."""


def _weights(span: int, bars: int) -> FloatArray:
    """(bars,) exponential weights, the newest first, alpha = 2 / (span + 1), summing to 1."""
    decay = 1.0 - 2.0 / (span + 1.0)
    raw = [decay**age for age in range(bars)]
    total = math.fsum(raw)
    return np.array([w / total for w in raw])


_FAST_WEIGHTS = _weights(FAST, FAST_BARS)
_SLOW_WEIGHTS = _weights(SLOW, SLOW_BARS)

_FLAT = 1e-10
"""A deviation below this share of the level is rounding, not movement."""
_FLAT_RETURN = 1e-12
_PARKINSON = 1.0 / (4.0 * math.log(2.0))


@njit(cache=True)
def prepare(bars: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Bar by bar: (T,) log close, (T,) squared log(high / low), (T,) known bars in a row up to and with this one."""
    size = bars.shape[0]
    log_close = np.empty(size)
    range_sq = np.empty(size)
    run = np.empty(size)
    known = 0.0
    for t in range(size):
        sound = True
        for column in range(4):
            price = bars[t, column]
            if not (price > 0.0 and price < MAX_PRICE):
                sound = False
        if not (bars[t, VOLUME] >= 0.0 and bars[t, VOLUME] < MAX_VOLUME):
            sound = False
        if sound:
            known += 1.0
            log_close[t] = math.log(bars[t, CLOSE])
            spread = math.log(bars[t, HIGH]) - math.log(bars[t, LOW])
            range_sq[t] = spread * spread
        else:
            known = 0.0
            log_close[t] = math.nan
            range_sq[t] = math.nan
        run[t] = known
    return log_close, range_sq, run


@njit(cache=True)
def _rms_return(log_close: FloatArray, t: int, n: int) -> float:
    """Root mean square of the n - 1 log returns between the last n bars."""
    total = 0.0
    for k in range(t - n + 2, t + 1):
        change = log_close[k] - log_close[k - 1]
        total += change * change
    return math.sqrt(total / (n - 1))


@njit(cache=True)
def _mean(column: FloatArray, t: int, n: int) -> float:
    total = 0.0
    for k in range(t - n + 1, t + 1):
        total += column[k]
    return total / n


@njit(cache=True)
def _deviation(column: FloatArray, t: int, n: int, mean: float) -> float:
    """Population standard deviation of the last n values."""
    total = 0.0
    for k in range(t - n + 1, t + 1):
        gap = column[k] - mean
        total += gap * gap
    return math.sqrt(total / n)


@njit(cache=True)
def _vwap_distance(bars: FloatArray, log_close: FloatArray, t: int, n: int) -> float:
    """Log distance of the close to the volume-weighted typical price of n bars; 0 when nothing traded."""
    value = 0.0
    volume = 0.0
    for k in range(t - n + 1, t + 1):
        value += (bars[k, HIGH] + bars[k, LOW] + bars[k, CLOSE]) / 3.0 * bars[k, VOLUME]
        volume += bars[k, VOLUME]
    if value > 0.0 and volume > 0.0:
        price = value / volume
        if price > 0.0:
            return log_close[t] - math.log(price)
    return 0.0


@njit(cache=True)
def _gain_balance(bars: FloatArray, t: int, n: int) -> float:
    """(gains - losses) / (gains + losses) over n closes' changes; 0 when flat."""
    gains = 0.0
    losses = 0.0
    for k in range(t - n + 1, t + 1):
        change = bars[k, CLOSE] - bars[k - 1, CLOSE]
        if change > 0.0:
            gains += change
        else:
            losses -= change
    moved = gains + losses
    if moved > 0.0:
        return (gains - losses) / moved
    return 0.0


@njit(cache=True)
def _weighted_close(bars: FloatArray, t: int, weights: FloatArray) -> float:
    total = 0.0
    for age in range(weights.shape[0]):
        total += weights[age] * bars[t - age, CLOSE]
    return total


@njit(cache=True)
def _true_range(bars: FloatArray, t: int, n: int) -> float:
    """Mean true range of the last n bars (Wilder 1978), unsmoothed."""
    total = 0.0
    for k in range(t - n + 1, t + 1):
        before = bars[k - 1, CLOSE]
        total += max(bars[k, HIGH], before) - min(bars[k, LOW], before)
    return total / n


@njit(cache=True)
def _volume_balance(bars: FloatArray, t: int, n: int) -> float:
    """(volume of rising bars - volume of falling bars) / volume; 0 when nothing traded."""
    up = 0.0
    down = 0.0
    total = 0.0
    for k in range(t - n + 1, t + 1):
        volume = bars[k, VOLUME]
        total += volume
        if bars[k, CLOSE] > bars[k, OPEN]:
            up += volume
        elif bars[k, CLOSE] < bars[k, OPEN]:
            down += volume
    if total > 0.0:
        return (up - down) / total
    return 0.0


@njit(cache=True)
def _range_position(bars: FloatArray, t: int, n: int) -> float:
    """Where the close stands between the lowest low (0) and the highest high (1) of n bars; 0.5 when flat."""
    highest = bars[t, HIGH]
    lowest = bars[t, LOW]
    for k in range(t - n + 1, t + 1):
        highest = max(highest, bars[k, HIGH])
        lowest = min(lowest, bars[k, LOW])
    if highest > lowest:
        return (bars[t, CLOSE] - lowest) / (highest - lowest)
    return 0.5


@njit(cache=True)
def _autocorrelation(log_close: FloatArray, t: int, n: int) -> float:
    """Lag-one autocorrelation of the last n log returns; 0 when they do not vary."""
    mean = (log_close[t] - log_close[t - n]) / n
    same = 0.0
    lagged = 0.0
    before = 0.0
    for k in range(t - n + 1, t + 1):
        gap = log_close[k] - log_close[k - 1] - mean
        same += gap * gap
        if k > t - n + 1:
            lagged += gap * before
        before = gap
    if same > n * _FLAT_RETURN * _FLAT_RETURN:
        return lagged / same
    return 0.0


@njit(cache=True)
def _row(
    bars: FloatArray,
    filler: BoolArray,
    log_close: FloatArray,
    range_sq: FloatArray,
    run: FloatArray,
    t: int,
    minute: int,
    lookbacks: FloatArray,
    out: FloatArray,
) -> None:
    """Write the features of the minute at index ``t`` into ``out``; NaN where a look-back is not whole."""
    volume = bars[:, VOLUME]
    close = bars[:, CLOSE]

    out[0] = log_close[t] - log_close[t - 1]
    out[1] = log_close[t] - log_close[t - 5]
    out[2] = log_close[t] - log_close[t - 15]
    out[3] = log_close[t] - log_close[t - 30]
    out[4] = log_close[t] - log_close[t - 60]
    out[5] = log_close[t] - log_close[t - 120]
    out[6] = _rms_return(log_close, t, 15)
    out[7] = _rms_return(log_close, t, 60)
    out[8] = _rms_return(log_close, t, 240)
    out[9] = math.sqrt(_mean(range_sq, t, 60) * _PARKINSON)

    usual = _mean(volume, t, 60)
    spread = _deviation(volume, t, 60, usual)
    out[10] = (volume[t] - usual) / spread if spread > usual * _FLAT else 0.0
    recent = _mean(volume, t, 15)
    out[11] = (recent - usual) / (recent + usual) if recent + usual > 0.0 else 0.0

    out[12] = _vwap_distance(bars, log_close, t, 30)
    out[13] = _vwap_distance(bars, log_close, t, 120)
    out[14] = _gain_balance(bars, t, 14)
    fast = _weighted_close(bars, t, _FAST_WEIGHTS)
    slow = _weighted_close(bars, t, _SLOW_WEIGHTS)
    out[15] = math.log(fast) - math.log(slow) if fast > 0.0 and slow > 0.0 else 0.0
    middle = _mean(close, t, 20)
    spread = _deviation(close, t, 20, middle)
    out[16] = 0.5 + (close[t] - middle) / (4.0 * spread) if spread > middle * _FLAT else 0.5
    wide = _true_range(bars, t, 60)
    out[17] = _true_range(bars, t, 14) / wide if wide > 0.0 else 1.0

    height = bars[t, HIGH] - bars[t, LOW]
    if height > 0.0:
        out[18] = (bars[t, CLOSE] - bars[t, OPEN]) / height
        out[19] = (bars[t, HIGH] - max(bars[t, OPEN], bars[t, CLOSE])) / height
        out[20] = (min(bars[t, OPEN], bars[t, CLOSE]) - bars[t, LOW]) / height
    else:
        out[18] = 0.0
        out[19] = 0.0
        out[20] = 0.0
    out[21] = _volume_balance(bars, t, 15)
    out[22] = _range_position(bars, t, 60)
    out[23] = _autocorrelation(log_close, t, 30)

    of_day = (minute // 60_000) % MINUTES_A_DAY
    out[24] = _SIN[of_day]
    out[25] = _COS[of_day]
    fillers = 0.0
    for k in range(t - 29, t + 1):
        if filler[k]:
            fillers += 1.0
    out[26] = fillers / 30.0

    for feature in range(out.shape[0]):
        if run[t] < lookbacks[feature]:
            out[feature] = math.nan


@njit(cache=True)
def row(bars: FloatArray, filler: BoolArray, minute: int, window: int, lookbacks: FloatArray) -> FloatArray:
    """(F,) features of the last minute of ``bars`` (W, 5); NaN throughout when W < window."""
    out = np.full(lookbacks.shape[0], math.nan)
    size = bars.shape[0]
    if size >= window:
        log_close, range_sq, run = prepare(bars)
        _row(bars, filler, log_close, range_sq, run, size - 1, minute, lookbacks, out)
    return out


@njit(cache=True)
def table(bars: FloatArray, filler: BoolArray, first_minute: int, window: int, lookbacks: FloatArray) -> FloatArray:
    """(T, F) features of every minute of ``bars`` (T, 5); the first ``window`` - 1 rows are NaN."""
    size = bars.shape[0]
    out = np.full((size, lookbacks.shape[0]), math.nan)
    if size >= window:
        log_close, range_sq, run = prepare(bars)
        for t in range(window - 1, size):
            _row(bars, filler, log_close, range_sq, run, t, first_minute + t * 60_000, lookbacks, out[t])
    return out
