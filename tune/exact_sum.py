"""Sums without rounding, compiled: what ``math.fsum`` gives, to the last digit."""

import numpy as np
from numba import njit

from core.messages import FloatArray

_MOST = 64
"""Parts of a sum that do not overlap: float64 exponents reach over 2,100 bits, at 53 a part fewer than 40."""
_EPSILON = 2.0**-53


@njit(cache=True)
def exact_sum(values: FloatArray) -> float:
    """The correctly rounded sum of finite ``values`` (N,).

    Summed with what each addition loses kept beside it (Ogita, Rump & Oishi 2005, "Accurate sum and dot product",
    algorithm 4.4), which is enough unless its own error, bounded here, could change the last digit.
    """
    total, lost, size = 0.0, 0.0, 0.0
    for k in range(values.shape[0]):
        x = values[k]
        high = total + x
        part = high - total
        low = (total - (high - part)) + (x - part)
        total = high
        lost += low
        size += abs(low)
    doubt = 4.0 * values.shape[0] * _EPSILON * size
    if total + (lost - doubt) == total + (lost + doubt):
        return total + lost
    return _slow(values)


@njit(cache=True)
def _slow(values: FloatArray) -> float:
    """The same, whatever is summed.

    Shewchuk 1997, "Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric Predicates", the growing
    expansion; the last step rounds half to even over all parts, as Python's ``math.fsum`` does.
    """
    parts = np.empty(_MOST)
    count = 0
    for k in range(values.shape[0]):
        x, kept = values[k], 0
        for j in range(count):
            y = parts[j]
            if abs(x) < abs(y):
                x, y = y, x
            high = x + y
            low = y - (high - x)
            if low != 0.0:
                parts[kept] = low
                kept += 1
            x = high
        parts[kept] = x
        count = kept + 1
    if count == 0:
        return 0.0
    count -= 1
    high, low = parts[count], 0.0
    while count > 0:
        x = high
        count -= 1
        y = parts[count]
        high = x + y
        low = y - (high - x)
        if low != 0.0:
            break
    # Exactly half way between two floats: what is left decides.
    if count > 0 and (low < 0.0) == (parts[count - 1] < 0.0) and parts[count - 1] != 0.0:
        y = low * 2.0
        x = high + y
        if y == x - high:
            high = x
    return high
