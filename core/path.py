"""The way a price went inside one minute, told from its bar alone. The one such assumption of the whole program.

A bar gives four prices and no order between high and low. The path taken here starts at the open, visits one
extreme at a third of the minute and the other at two thirds, and ends at the close; the low comes first when
the minute rose (the usual convention of bar-based testers). It is a guess, and a slightly kind one to buyers in
rising minutes: whoever works an order inside the minute meets the dip first. Volume is spread evenly over time.

A boundary belongs to its past: at the very instant a minute ends the price is its close, which was seen.
"""

from core.lean import lean, pasted
from core.units import MINUTE_MS

KNOT_1 = MINUTE_MS // 3
KNOT_2 = 2 * MINUTE_MS // 3


@lean
def price_at(o: float, h: float, low: float, c: float, elapsed_ms: int) -> float:
    """Price ``elapsed_ms`` (0..60,000) into the minute; at 60,000 it is the close exactly."""
    first, second = h, low
    if c >= o:
        first, second = low, h
    if elapsed_ms >= MINUTE_MS:
        return c
    # One division for all three ways, which are equally long: in a loop, a compiler makes each of them beforehand.
    start, end, gone = o, first, elapsed_ms
    if elapsed_ms >= KNOT_2:
        start, end, gone = second, c, elapsed_ms - KNOT_2
    elif elapsed_ms >= KNOT_1:
        start, end, gone = first, second, elapsed_ms - KNOT_1
    return start + (end - start) * (gone / KNOT_1)


@lean
def extremes_at(o: float, h: float, low: float, c: float, elapsed_ms: int) -> tuple[float, float]:
    """(high, low) seen so far, ``elapsed_ms`` into the minute."""
    now = price_at(o, h, low, c, elapsed_ms)
    highest, lowest = max(o, now), min(o, now)
    if elapsed_ms >= KNOT_1:
        first = low if c >= o else h
        highest, lowest = max(highest, first), min(lowest, first)
    if elapsed_ms >= KNOT_2:
        highest, lowest = max(highest, h), min(lowest, low)
    return highest, lowest


@lean
def share_below(start: float, end: float, level: float) -> float:
    """Share of time that a price going straight from ``start`` to ``end`` spends at or below ``level``."""
    low, high = min(start, end), max(start, end)
    if high <= level:
        return 1.0
    if low > level:
        return 0.0
    return (level - low) / (high - low)


@pasted
def place_of(start_ms: int, ms: int, minutes: int) -> tuple[int, int]:
    """(index, elapsed ms) of the minute whose path shows the price at ``ms``: a boundary belongs to its past.

    ``start_ms`` is the open of minute 0; after the last of ``minutes`` it stays there, whole.
    """
    if ms <= start_ms:
        return 0, 0
    index = min((ms - start_ms - 1) // MINUTE_MS, minutes - 1)
    return index, min(ms - start_ms - index * MINUTE_MS, MINUTE_MS)
