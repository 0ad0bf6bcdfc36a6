"""How volatile an instrument was lately: the root mean square of its last minutes' returns, scaled to a year of minutes.

Where too little is known of an instrument, it counts as very volatile.
"""

import math

from core.bars import last_known
from core.lean import inlined, lean
from core.messages import CLOSE, FloatArray

MINUTES = 180
"""Returns that are looked back on."""
ROOM = MINUTES + 3
"""Columns of the room to work in: returns, and what is kept of a row's volatility (``at_most``). At first all zero."""
_VARIANCE, _SINCE, _UPTO = range(MINUTES, ROOM)
_KEPT = MINUTES // 3
"""Minutes for which a volatility is carried on before it is worked out anew."""
LEAST_KNOWN = 30
"""Fewer returns than these say nothing."""
UNKNOWN_YEAR = 2.0
"""Volatility a year of an instrument of which too little is known: more than most coins have."""
YEAR_MINUTES = 525_600.0


@lean
def volatility_table(bars: FloatArray, out: FloatArray, returns: FloatArray) -> None:
    """Write the (S, T) volatility a year that each minute of ``bars`` (S, T, 5) shows. ``returns`` (S, MINUTES) is room to
    work in."""
    for i in range(out.shape[0]):
        for k in range(out.shape[1]):
            out[i, k] = volatility_of(bars, i, k, returns)


@inlined
def volatility_of(bars: FloatArray, i: int, index: int, returns: FloatArray) -> float:
    """Volatility a year of a row, whose newest returns are written to ``returns``."""
    first = max(0, index - MINUTES)
    before = bars[i, first, CLOSE]
    if before != before:
        before = last_known(bars[i, :, CLOSE], first)
    total, known = 0.0, 0
    for k in range(MINUTES):
        returns[i, k] = 0.0
    for k in range(first + 1, index + 1):
        now = bars[i, k, CLOSE]
        if before == before:
            known += 1
        if now == now:
            if before == before:
                moved = now / before - 1.0
                returns[i, k - first - 1] = moved
                total += moved * moved
            before = now
    return math.sqrt(total / known * YEAR_MINUTES) if known >= LEAST_KNOWN else UNKNOWN_YEAR


@inlined
def noted(bars: FloatArray, i: int, index: int, returns: FloatArray) -> float:
    """``volatility_of``, of which ``at_most`` is told."""
    found = volatility_of(bars, i, index, returns)
    returns[i, _VARIANCE], returns[i, _UPTO] = found * found, index
    # Only where all returns are known: then no later minute has fewer of them.
    whole = index >= MINUTES and bars[i, index - MINUTES, CLOSE] == bars[i, index - MINUTES, CLOSE]
    returns[i, _SINCE] = index if whole else 0.0
    return found


@inlined
def at_most(bars: FloatArray, i: int, index: int, returns: FloatArray) -> float:
    """At least the volatility of a row and not much more: one of a few minutes before, with the returns since then added
    and none taken away. So a held row costs what its minutes are, however often it is asked for."""
    since, upto = int(returns[i, _SINCE]), int(returns[i, _UPTO])
    before = bars[i, upto, CLOSE]
    if not (since > 0 and upto <= index <= since + _KEPT and before == before):
        return noted(bars, i, index, returns)
    variance = returns[i, _VARIANCE]
    for k in range(upto + 1, index + 1):
        now = bars[i, k, CLOSE]
        if now == now:
            moved = now / before - 1.0
            variance += moved * moved * (YEAR_MINUTES / MINUTES)
            before = now
    returns[i, _VARIANCE], returns[i, _UPTO] = variance, index
    return math.sqrt(variance)
