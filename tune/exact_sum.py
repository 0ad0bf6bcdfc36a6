"""Sums without rounding: what ``math.fsum`` gives, to the last digit, most often at the speed of a compiled loop."""

import math

from core.lean import lean
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
    return total + lost, total + (lost - doubt) == total + (lost + doubt)
