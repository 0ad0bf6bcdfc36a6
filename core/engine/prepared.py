"""What a market's minutes are worth to whoever trades in them, prepared once for all of them."""

import math

import numpy as np
from numba import njit

from core.liquidity import SIGMA_MINUTES, VOLUME_MINUTES
from core.messages import CLOSE, VOLUME, FloatArray

_TILE = 2_048


@njit(cache=True)
def liquidity_table(bars: FloatArray, floor: float) -> FloatArray:
    """(S, T + 1, 2): ``liquidity_at`` of every minute of ``bars`` (S, T, 5), with the same digits.

    Each term is made once, and added lag by lag over many minutes: every minute's terms in the order of time. What is
    not known adds zero, which changes no sum.
    """
    rows, minutes = bars.shape[0], bars.shape[1]
    out = np.empty((rows, minutes + 1, 2))
    lead = max(SIGMA_MINUTES, VOLUME_MINUTES)
    terms = np.empty((4, lead + _TILE))
    sums = np.empty((4, _TILE))
    for row in range(rows):
        for first in range(0, minutes + 1, _TILE):
            size = min(_TILE, minutes + 1 - first)
            for j in range(lead + size):
                k = first - lead + j
                terms[:, j] = 0.0
                if k < 0 or k >= minutes:
                    continue
                volume, now = bars[row, k, VOLUME], bars[row, k, CLOSE]
                if not math.isnan(volume):
                    terms[0, j], terms[1, j] = volume, 1.0
                if k > 0 and not (math.isnan(bars[row, k - 1, CLOSE]) or math.isnan(now)):
                    change = math.log(now / bars[row, k - 1, CLOSE])
                    terms[2, j], terms[3, j] = change * change, 1.0
            for what in range(4):
                total = sums[what]
                total[:size] = 0.0
                for lag in range(VOLUME_MINUTES if what < 2 else SIGMA_MINUTES, 0, -1):
                    lagged = terms[what, lead - lag : lead - lag + size]
                    for t in range(size):
                        total[t] += lagged[t]
            for t in range(size):
                known, pairs = sums[1, t], sums[3, t]
                out[row, first + t, 0] = sums[0, t] / known if known > 0.0 else 0.0
                out[row, first + t, 1] = max(math.sqrt(sums[2, t] / pairs) if pairs > 0.0 else 0.0, floor)
    return out
