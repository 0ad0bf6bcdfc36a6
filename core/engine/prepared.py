"""What a market's minutes are worth to whoever trades in them, prepared once for all of them."""

import math

import numpy as np

from core.lean import inner, lean
from core.liquidity import SIGMA_MINUTES, VOLUME_MINUTES
from core.messages import CLOSE, HIGH, LOW, VOLUME, FloatArray

BLOCK = 32
"""Minutes of which one lowest and one highest price are kept."""
_TILE = 2_048
_ROOM = 6
"""Rows of scratch: volumes, squared returns, which of each are known, and the two sums."""


def blocks_of(minutes: int) -> int:
    """How many blocks so many minutes are."""
    return -(-minutes // BLOCK)


@lean
def fill_extremes(bars: FloatArray, out: FloatArray) -> None:
    """Write the lowest low and the highest high of each block of ``bars`` (S, T, 5) to ``out`` (S, B, 2), which may be
    mapped from a file; infinite and minus infinite where none has a bar."""
    for row in range(bars.shape[0]):
        for block in range(out.shape[1]):
            lowest, highest = math.inf, -math.inf
            for k in range(block * BLOCK, min(bars.shape[1], (block + 1) * BLOCK)):
                low, high = bars[row, k, LOW], bars[row, k, HIGH]
                lowest, highest = low if low < lowest else lowest, high if high > highest else highest
            out[row, block, 0], out[row, block, 1] = lowest, highest


@lean
def fill_closes(bars: FloatArray, first: int, stride: int, last: int, out: FloatArray) -> None:
    """Write the last known closes of ``bars`` (S, T, 5) at minutes ``first``, ``first + stride`` and so on, up to
    ``last``, to ``out`` (G, S); NaN where there is none."""
    for row in range(bars.shape[0]):
        for g in range(out.shape[0]):
            k = min(first + g * stride, last)
            while k >= 0 and math.isnan(bars[row, k, VOLUME]):
                k -= 1
            out[g, row] = bars[row, k, CLOSE] if k >= 0 else math.nan


def liquidity_table(bars: FloatArray, floor: float) -> FloatArray:
    """(S, T + 1, 2): ``liquidity_at`` of every minute of ``bars`` (S, T, 5), with the same digits."""
    out = np.empty((bars.shape[0], bars.shape[1] + 1, 2))
    fill_liquidity(bars, floor, out)
    return out


def fill_liquidity(bars: FloatArray, floor: float, out: FloatArray) -> None:
    """Write ``liquidity_table`` to ``out``, which may be mapped from a file."""
    lead = max(SIGMA_MINUTES, VOLUME_MINUTES)
    _fill_liquidity(bars, floor, lead, np.empty((_ROOM, lead + _TILE)), out)


@lean
def _fill_liquidity(bars: FloatArray, floor: float, lead: int, room: FloatArray, out: FloatArray) -> None:
    """``fill_liquidity`` in the room (_ROOM, lead + _TILE).

    Each term is made once, and added lag by lag over many minutes: every minute's terms in the order of time. What is
    not known adds zero, which changes no sum. How many are known is counted in whole numbers, which no order changes.
    """
    rows, minutes = bars.shape[0], bars.shape[1]
    volumes, squares, known, pairs, total, square = room[0], room[1], room[2], room[3], room[4], room[5]
    none = 0 * rows  # no literal (core.lean)
    for row in range(rows):
        for first in range(0, minutes + 1, _TILE):
            size = min(_TILE, minutes + 1 - first)
            for j in range(lead + size):
                k = first - lead + j
                volumes[j] = squares[j] = known[j] = pairs[j] = 0.0
                if k < 0 or k >= minutes:
                    continue
                volume, now = bars[row, k, VOLUME], bars[row, k, CLOSE]
                if not math.isnan(volume):
                    volumes[j], known[j] = volume, 1.0
                if k > 0 and not (math.isnan(bars[row, k - 1, CLOSE]) or math.isnan(now)):
                    change = math.log(now / bars[row, k - 1, CLOSE])
                    squares[j], pairs[j] = change * change, 1.0
            _add_lags(volumes, lead, none + VOLUME_MINUTES, size, total)
            _add_lags(squares, lead, none + SIGMA_MINUTES, size, square)
            # As of the minute before the tile's first one; each minute lets one in and one out.
            volumes_known, pairs_known = 0.0, 0.0
            for j in range(lead - VOLUME_MINUTES, lead):
                volumes_known += known[j]
            for j in range(lead - SIGMA_MINUTES, lead):
                pairs_known += pairs[j]
            for t in range(size):
                out[row, first + t, 0] = total[t] / volumes_known if volumes_known > 0.0 else 0.0
                out[row, first + t, 1] = max(math.sqrt(square[t] / pairs_known) if pairs_known > 0.0 else 0.0, floor)
                volumes_known += known[lead + t] - known[lead + t - VOLUME_MINUTES]
                pairs_known += pairs[lead + t] - pairs[lead + t - SIGMA_MINUTES]


@inner
def _add_lags(terms: FloatArray, lead: int, lags: int, size: int, total: FloatArray) -> None:
    """``total`` (size,): the sum of the ``lags`` terms before each place, oldest first.

    Five at a time, so that a sum is taken from memory and put back a fifth as often; each is still added on its own.
    """
    total[:size] = 0.0
    for lag in range(lags, 0, -5):
        a, b = terms[lead - lag : lead - lag + size], terms[lead - lag + 1 : lead - lag + 1 + size]
        c, d = terms[lead - lag + 2 : lead - lag + 2 + size], terms[lead - lag + 3 : lead - lag + 3 + size]
        e = terms[lead - lag + 4 : lead - lag + 4 + size]
        for t in range(size):
            total[t] = ((((total[t] + a[t]) + b[t]) + c[t]) + d[t]) + e[t]
