"""A book around a price: how wide, and how much stands at each level.

Prices are counted in ticks and quantities in steps (ints), so matching is exact. What a real book held is not
in a bar; this one is a stated assumption: half the spread shrinks with the square root of the money traded
lately (the square-root scaling of trading cost with volume, e.g. Grinold & Kahn, "Active Portfolio Management",
ch. 16), and each level shows a share of the volume of one recent minute, varied by a fixed hash.
"""

import math
from dataclasses import dataclass

MASK = (1 << 64) - 1
ON_GRID = 1e-6
"""Ticks by which a float may miss the grid and still be meant to lie on it."""
Levels = tuple[tuple[int, int], ...]
"""(ticks, steps), best first."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """Both sides of a book, before anybody of ours took from it."""

    bids: Levels = ()
    asks: Levels = ()


EMPTY = Ladder()


@dataclass(frozen=True, slots=True)
class BookShape:
    """The assumptions about a book that bars do not tell."""

    levels: int = 20
    look_back: int = 15
    """Minutes whose mean volume the depth follows."""
    top_share: float = 0.01
    """Share of a recent minute's volume that stands at the best price, each side."""
    growth: float = 0.5
    """Each level further out holds this much of ``top_share`` more."""
    gap_bps: float = 0.5
    """Distance between levels (at least a tick)."""
    half_spread_bps: float = 0.2
    """At ``reference_notional`` traded in a minute."""
    reference_notional: float = 1_000_000.0
    """Quote units a minute."""
    min_half_spread_bps: float = 0.05
    max_half_spread_bps: float = 5.0


def noise(symbol: int, minute: int, side: int, level: int) -> float:
    """A fixed number in [0.5, 1.5) for one place in one book (the splitmix64 mixer, Steele et al. 2014)."""
    z = (symbol * 0x9E3779B97F4A7C15 + minute * 0xD1B54A32D192ED03 + side * 0x8CB92BA72F3D8DD7 + level + 1) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return 0.5 + ((z ^ (z >> 31)) >> 11) * 2.0**-53


def half_spread_bps(shape: BookShape, notional: float) -> float:
    """Half the spread when ``notional`` quote units traded in a usual minute."""
    if notional <= 0.0:
        return shape.max_half_spread_bps
    raw = shape.half_spread_bps * math.sqrt(shape.reference_notional / notional)
    return min(max(raw, shape.min_half_spread_bps), shape.max_half_spread_bps)


def sizes(
    shape: BookShape, volume: float, step: float, symbol: int, minute: int, side: int, levels: int
) -> tuple[int, ...]:
    """Steps shown at each of the first ``levels`` levels of one side, for a mean volume a minute; () for none."""
    if volume <= 0.0:
        return ()
    return tuple(
        max(1, int(volume * shape.top_share * (1.0 + shape.growth * k) * noise(symbol, minute, side, k) / step))
        for k in range(levels)
    )


def best_ticks(price: float, half_spread: float, tick: float) -> tuple[int, int]:
    """(best bid, best ask) in ticks around ``price``; the spread is at least one tick."""
    bid = max(1, math.floor((price - half_spread) / tick + ON_GRID))
    return bid, max(bid + 1, math.ceil((price + half_spread) / tick - ON_GRID))


def ladder(
    shape: BookShape, price: float, half_spread: float, tick: float, bids: tuple[int, ...], asks: tuple[int, ...]
) -> Ladder:
    """Levels on the tick grid with the given sizes; bids stop above zero."""
    if not bids:
        return EMPTY
    bid, ask = best_ticks(price, half_spread, tick)
    gap = max(1, round(price * shape.gap_bps / 10_000.0 / tick))
    return Ladder(
        tuple((bid - k * gap, size) for k, size in enumerate(bids) if bid - k * gap > 0),
        tuple((ask + k * gap, size) for k, size in enumerate(asks)),
    )
