"""Sums, extremes and co-moments over the last ``length`` values, for every minute of a series at once.

Each is put together from windows of 1, 2, 4, 8, … values, every one made of two of half its length. So a value is a
function of exactly the ``length`` values of its window and of nothing else (nothing is added and later taken away,
which would leave rounding behind), costs about log2(length) additions, and no minute waits for the one before, which
lets the compiler use the processor's vector units without reordering a sum.

Series are rows of one workspace ``w`` (rows, n), named by their numbers; the first SCRATCH rows are these functions'
own. A value whose window begins before the series, or holds a NaN, is NaN (extremes: mask those). Moments are merged
by the pairwise formula of Chan, Golub & LeVeque 1983 ("Algorithms for computing the sample variance"): no
cancellation, and exactly 0 for a series that does not move.
"""

import math

from core.lean import inner, lean
from core.messages import FloatArray

SCRATCH = 12
"""Rows of the workspace that are overwritten by every call."""


@lean
def window_sum(w: FloatArray, x: int, length: int, to: int) -> None:
    """Sum of the last ``length`` values of row ``x``, written to row ``to``."""
    n = w.shape[1]
    size, done, at = 1, 0, x
    out = w[to]
    while True:
        part = w[at]
        if length & size:
            if done == 0:
                for t in range(n):
                    out[t] = part[t]
            else:
                older, newer = part[: max(n - done, 0)], out[done:]
                for t in range(newer.shape[0]):
                    newer[t] = newer[t] + older[t]
            done += size
        if done == length:
            break
        at = 1 if at == 0 else 0
        half, older, newer = w[at], part[: max(n - size, 0)], part[size:]
        for t in range(min(size, n)):
            half[t] = math.nan
        whole = half[size:]
        for t in range(newer.shape[0]):
            whole[t] = newer[t] + older[t]
        size *= 2
    for t in range(min(length - 1, n)):
        out[t] = math.nan


@lean
def window_extreme(w: FloatArray, x: int, sign: float, length: int, to: int) -> None:
    """Highest (``sign`` 1) or lowest (-1) of the last ``length`` values of row ``x``."""
    n = w.shape[1]
    size, at = 1, 0
    first, source = w[0], w[x]
    for t in range(n):
        first[t] = sign * source[t]
    while True:
        last = 2 * size > length
        shift = length - size if last else size
        part, half = w[at], w[to] if last else w[1 - at]
        older, newer, whole = part[: max(n - shift, 0)], part[shift:], half[shift:]
        for t in range(min(shift, n)):
            half[t] = math.nan
        if last:
            for t in range(newer.shape[0]):
                whole[t] = sign * (newer[t] if newer[t] > older[t] else older[t])
            return
        for t in range(newer.shape[0]):
            whole[t] = newer[t] if newer[t] > older[t] else older[t]
        at = 1 - at
        size *= 2


@lean
def window_age(w: FloatArray, x: int, sign: float, length: int, to: int) -> None:
    """Minutes since the highest (``sign`` 1) or lowest (-1) of the last ``length`` values; of equals, the newest."""
    n = w.shape[1]
    size, at = 1, 0
    source = w[x]
    for t in range(n):
        w[0, t] = sign * source[t]
        w[2, t] = t
    out = w[to]
    while True:
        last = 2 * size > length
        shift = length - size if last else size
        older, newer, whole = w[at, : max(n - shift, 0)], w[at, shift:], w[1 - at, shift:]
        older_at, newer_at, whole_at = w[2 + at, : max(n - shift, 0)], w[2 + at, shift:], w[3 - at, shift:]
        # All four are read before one of two is chosen, so that the compiler needs no branch: which minute is the higher no
        # processor foresees.
        for t in range(newer.shape[0]):
            new, old, new_at, old_at = newer[t], older[t], newer_at[t], older_at[t]
            whole[t] = new if new >= old else old
            whole_at[t] = new_at if new >= old else old_at
        at = 1 - at
        if last:
            for t in range(n):
                out[t] = t - w[2 + at, t] if t >= length - 1 else math.nan
            return
        size *= 2


@inner
def _merge(w: FloatArray, older: int, newer: int, to: int, shift: int, share: float, weight: float) -> None:
    """Means and co-moment (three rows each) of two neighbouring windows as of one: ``share`` is the older one's share
    of all values, ``weight`` the product of both counts over their sum."""
    n = w.shape[1]
    m = max(n - shift, 0)
    for k in range(3):
        for t in range(min(shift, n)):
            w[to + k, t] = math.nan
    old_x, old_y, old_c = w[older, :m], w[older + 1, :m], w[older + 2, :m]
    new_x, new_y, new_c = w[newer, shift:], w[newer + 1, shift:], w[newer + 2, shift:]
    to_x, to_y, to_c = w[to, shift:], w[to + 1, shift:], w[to + 2, shift:]
    for t in range(m):
        gap_x = old_x[t] - new_x[t]
        gap_y = old_y[t] - new_y[t]
        to_x[t] = new_x[t] + gap_x * share
        to_y[t] = new_y[t] + gap_y * share
        to_c[t] = new_c[t] + old_c[t] + gap_x * gap_y * weight


@lean
def window_comoment(w: FloatArray, x: int, y: int, length: int, to: int) -> None:
    """Sum of (x - mean x)(y - mean y) over the last ``length`` values; over ``length``, their covariance."""
    n = w.shape[1]
    none = 0 * n  # no literal (core.lean)
    size, done, at, held = none + 1, none, none, none + 6
    for t in range(n):
        w[0, t] = w[x, t]
        w[1, t] = w[y, t]
        w[2, t] = 0.0
    while True:
        if length & size:
            if done == 0:
                for k in range(3):
                    for t in range(n):
                        w[held + k, t] = w[at + k, t]
            else:
                total = done + size
                _merge(w, at, held, 15 - held, done, size / total, done * size / total)
                held = 15 - held
            done += size
        if done == length:
            break
        _merge(w, at, at, 3 - at, size, 0.5, size * 0.5)
        at = 3 - at
        size *= 2
    for t in range(n):
        w[to, t] = w[held + 2, t]
