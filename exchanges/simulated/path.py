"""The way a price went inside one minute, told from its bar alone.

A bar gives four prices and no order between high and low. The path taken here starts at the open, visits one
extreme at a third of the minute and the other at two thirds, and ends at the close; the low comes first when
the minute rose (the usual convention of bar-based testers). It is a guess, and a slightly kind one to buyers in
rising minutes: whoever works an order inside the minute meets the dip first. Volume is spread evenly over time.
"""

from core.units import MINUTE_MS

KNOT_1 = MINUTE_MS // 3
KNOT_2 = 2 * MINUTE_MS // 3

OHLC = tuple[float, float, float, float]


def price_at(bar: OHLC, elapsed_ms: int) -> float:
    """Price ``elapsed_ms`` (0..60,000) into the minute; at 60,000 it is the close exactly."""
    o, h, low, c = bar
    first, second = (low, h) if c >= o else (h, low)
    if elapsed_ms >= MINUTE_MS:
        return c
    if elapsed_ms < KNOT_1:
        return o + (first - o) * (elapsed_ms / KNOT_1)
    if elapsed_ms < KNOT_2:
        return first + (second - first) * ((elapsed_ms - KNOT_1) / (KNOT_2 - KNOT_1))
    return second + (c - second) * ((elapsed_ms - KNOT_2) / (MINUTE_MS - KNOT_2))


def extremes_at(bar: OHLC, elapsed_ms: int) -> tuple[float, float]:
    """(high, low) seen so far, ``elapsed_ms`` into the minute."""
    o, h, low, c = bar
    now = price_at(bar, elapsed_ms)
    seen = [o, now]
    first, second = (low, h) if c >= o else (h, low)
    if elapsed_ms >= KNOT_1:
        seen.append(first)
    if elapsed_ms >= KNOT_2:
        seen.append(second)
    return max(seen), min(seen)


def share_below(start: float, end: float, level: float) -> float:
    """Share of time that a price going straight from ``start`` to ``end`` spends at or below ``level``."""
    low, high = (start, end) if start <= end else (end, start)
    if high <= level:
        return 1.0
    if low > level:
        return 0.0
    return (level - low) / (high - low)
