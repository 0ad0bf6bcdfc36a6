"""Sums without rounding: what ``math.fsum`` gives, to the last digit, most often at the speed of a compiled loop."""

import math

from core.lean import lean, pasted
from core.messages import FloatArray

_EPSILON = 2.0**-53


def exact_sum(values: FloatArray) -> float:
    """The correctly rounded sum of finite ``values`` (N,)."""
    total, certain = _compensated(values)
    return float(total) if certain else math.fsum(values)


@lean
def _compensated(values: FloatArray) -> tuple[float, bool]:
    """(sum, whether it is the correctly rounded one).

    Summed with what each addition loses kept beside it (Ogita, Rump & Oishi 2005, "Accurate sum and dot product",
    algorithm 4.4), which is enough unless its own error, bounded here, could change the last digit.
    """
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    lost_a, lost_b, lost_c, lost_d = 0.0, 0.0, 0.0, 0.0
    size_a, size_b, size_c, size_d = 0.0, 0.0, 0.0, 0.0
    # Four sums beside each other: the processor waits for each addition before it can do the next of the same sum.
    quarter = values.shape[0] // 4
    first, second, third, fourth = (
        values[:quarter],
        values[quarter : 2 * quarter],
        values[2 * quarter : 3 * quarter],
        values[3 * quarter : 4 * quarter],
    )
    for k in range(quarter):
        a, low = two_sum(a, first[k])
        lost_a += low
        size_a += abs(low)
        b, low = two_sum(b, second[k])
        lost_b += low
        size_b += abs(low)
        c, low = two_sum(c, third[k])
        lost_c += low
        size_c += abs(low)
        d, low = two_sum(d, fourth[k])
        lost_d += low
        size_d += abs(low)
    total, lost, size = a, ((lost_a + lost_b) + lost_c) + lost_d, ((size_a + size_b) + size_c) + size_d
    for x in (b, c, d):
        total, low = two_sum(total, x)
        lost += low
        size += abs(low)
    for k in range(4 * quarter, values.shape[0]):
        total, low = two_sum(total, values[k])
        lost += low
        size += abs(low)
    return total + lost, correctly_rounded(total, lost, size, values.shape[0])


@pasted
def correctly_rounded(total: float, lost: float, size: float, count: int) -> bool:
    """Whether ``total + lost`` is the correctly rounded sum of ``count`` numbers of which ``total`` is the sum as rounded,
    ``lost`` what rounding lost, and ``size`` how much by size."""
    doubt = 4.0 * (count + 8) * _EPSILON * size
    return total + (lost - doubt) == total + (lost + doubt)


@pasted
def two_sum(total: float, x: float) -> tuple[float, float]:
    """(the rounded sum, what rounding lost)."""
    high = total + x
    part = high - total
    return high, (total - (high - part)) + (x - part)
