"""A book around a price, made so that walking it costs the square-root law; and what an order takes from it.

What a real book held is not in a bar. This one is a stated assumption: the touch stands half a spread from the price,
and behind it so much at each level that buying or selling q, while the market trades V a minute with a volatility of
sigma a minute, moves the average price by Y * sigma * sqrt(q / V) (``core.impact``). The law tells what a whole order
moves the market by, not what stands in a book at one instant, so it is on the dear side of the latter: over eleven
minutes of recorded Binance books of August 2024, buying 500,000 USDT of BTC at once cost 1.0 bps beyond the touch where
the law with Y = 1 says 3.3, and 50,000 USDT 0.1 where it says 1.0. Prices are counted in ticks
and quantities in steps (int64), so matching is exact, and every function here is a kernel: the simulated exchange
calls it for one order, the engine loops it over years.
"""

import math
from typing import NamedTuple

import numpy as np

from core.impact import marginal_scale
from core.lean import lean, pasted
from core.units import BPS

IntArray = np.ndarray

ON_GRID = 1e-6
"""Ticks by which a float may miss the grid and still be meant to lie on it."""
DEEP = 2**53
"""Steps of a level that nobody empties; a float holds every smaller int."""
BOTTOMLESS = -1
"""In place of the ticks between two levels where there is one alone."""
ANY = 2**62
"""Room without a bound."""
LEVELS = 20
"""Most levels of one side; the length that ``side_levels`` and ``take_levels`` expect of their arrays."""


class Depth(NamedTuple):
    """The assumptions about depth, as the kernels read them (``core.costs.depth_of`` makes one)."""

    coefficient: float
    """Y of the square-root law; 0 = one level that nobody empties."""
    reach: float
    """Share of a usual minute's volume at which the last level lies."""


@lean
def best_ticks(price: float, half_spread: float, tick: float) -> tuple[int, int]:
    """(best bid, best ask) in ticks around ``price``.

    The spread is twice ``half_spread`` (quote units) in whole ticks, the nearest number and at least one; the bid is
    the tick nearest to where it belongs. So width is right on average, where rounding both sides outward would add
    a tick. A price on the grid with a spread of one tick is the bid.
    """
    width = max(1, math.floor(2.0 * half_spread / tick + 0.5))
    bid = max(1, math.floor(price / tick - 0.5 * width + 0.5 + ON_GRID))
    return bid, bid + width


@pasted
def side_levels(
    buying: bool,
    price: float,
    half_spread: float,
    tick: float,
    step: float,
    volume: float,
    sigma: float,
    depth: Depth,
    ticks_out: IntArray,
    steps_out: IntArray,
    enough: int = ANY,
) -> int:
    """Write the levels that an incoming buy (or sell) walks, best first; returns how many (at most ``LEVELS``).

    Those behind the first ``enough`` steps are left out.

    ``volume`` base units and ``sigma`` log return a minute, of the closed minutes before; no volume, no book. Levels
    lie an equal gap apart, at least a tick, and wide enough that the last one is where ``depth.reach`` of the volume
    would be taken. Level k holds what the law has between half a gap before it and half a gap behind it, in whole
    steps; the first one at least one step. So the average cost of a walk is the law's, less at most a third of a gap
    on the first level (``tests/unit/test_book.py``).
    """
    bid, ask = best_ticks(price, half_spread, tick)
    best = ask if buying else bid
    return levels_from(best, buying, price, tick, step, volume, sigma, depth, ticks_out, steps_out, enough)


@pasted
def levels_from(
    best: int,
    buying: bool,
    price: float,
    tick: float,
    step: float,
    volume: float,
    sigma: float,
    depth: Depth,
    ticks_out: IntArray,
    steps_out: IntArray,
    enough: int,
) -> int:
    """``side_levels`` where its first level, ``best`` ticks, is known."""
    gap, unit = spacing(price, tick, step, volume, sigma, depth, len(ticks_out))
    return lay_levels(best, buying, gap, unit, ticks_out, steps_out, enough)


@pasted
def spacing(
    price: float, tick: float, step: float, volume: float, sigma: float, depth: Depth, limit: int
) -> tuple[int, float]:
    """(ticks between two levels, steps u of which (k + 1/2)^2 lie up to half a gap behind level k) of a book of ``limit``
    levels; (0, 0) without a book, (``BOTTOMLESS``, 0) for one level that nobody empties."""
    if not volume > 0.0 or not price > 0.0:
        return 0, 0.0
    scale = marginal_scale(depth.coefficient, sigma, volume) * price / tick
    if not scale > 0.0:
        return BOTTOMLESS, 0.0
    gap = max(1, math.ceil(scale * math.sqrt(depth.reach * volume) / max(limit - 1, 1)))
    return gap, gap / scale * (gap / scale) / step


@pasted
def lay_levels(
    best: int, buying: bool, gap: int, unit: float, ticks_out: IntArray, steps_out: IntArray, enough: int
) -> int:
    """``levels_from`` where the ``spacing`` is known."""
    if gap == 0:
        return 0
    if gap == BOTTOMLESS:
        ticks_out[0], steps_out[0] = best, DEEP
        return 1
    limit = len(ticks_out)
    count, shown = 0, 0
    for level in range(limit):
        ticks = best + level * gap if buying else best - level * gap
        if ticks <= 0:
            break
        upto = int(min((level + 0.5) * (level + 0.5) * unit + ON_GRID, float(DEEP)))
        if level == 0:
            upto = max(upto, 1)
        # A level too small for a whole step stays in the list, empty, so that a level keeps its place all minute.
        ticks_out[level], steps_out[level] = ticks, upto - shown
        count, shown = level + 1, upto
        if upto >= enough:
            break
    return count


@pasted
def depth_bound(depth: Depth, sigma: float) -> float:
    """How far the last of ``side_levels`` lies from the touch at most, as a fraction of the price: beside this, a tick a
    level."""
    return 1.5 * depth.coefficient * sigma * math.sqrt(depth.reach)


@pasted
def take_levels(
    buying: bool,
    ticks: IntArray,
    steps: IntArray,
    count: int,
    taken: IntArray,
    limit_ticks: int,
    want: int,
    room: int,
    out_level: IntArray,
    out_steps: IntArray,
) -> int:
    """Walk ``count`` levels, best price first, up to ``want`` steps; returns how many parts were written.

    ``taken`` is what we already took of each level this minute: it is not there again. ``limit_ticks`` is never
    passed (0 = any price); ``room`` is what the participation cap leaves (``ANY`` = everything).
    """
    left, parts = min(want, room), 0
    for level in range(count):
        if left <= 0 or (limit_ticks > 0 and (ticks[level] > limit_ticks if buying else ticks[level] < limit_ticks)):
            break
        part = min(left, steps[level] - taken[level])
        if part > 0:
            out_level[parts], out_steps[parts] = level, part
            parts, left = parts + 1, left - part
    return parts


@lean
def spend_levels(
    ticks: IntArray,
    steps: IntArray,
    count: int,
    taken: IntArray,
    units: int,
    room: int,
    out_level: IntArray,
    out_steps: IntArray,
) -> int:
    """As ``take_levels`` for an order over money: spends (or earns) at most ``units`` of tick x step."""
    parts = 0
    for level in range(count):
        affordable = min(units // ticks[level], room)
        part = min(affordable, steps[level] - taken[level])
        if part > 0:
            out_level[parts], out_steps[parts] = level, part
            parts, units, room = parts + 1, units - part * ticks[level], room - part
        if affordable <= part:
            break
    return parts


@pasted
def room_of(volume_of_minute: float, share: float, step: float, halts: bool) -> int:
    """Steps that one side of ours may take in a minute: ``share`` of what all traded in it (inf = no cap).

    In a minute without volume nothing fills, unless ``halts`` is off: then there is nothing to take a share of.
    """
    if not volume_of_minute > 0.0:
        return 0 if halts else ANY
    if share == math.inf:
        return ANY
    return int(min(volume_of_minute * share / step + ON_GRID, float(DEEP)))


@pasted
def half_spread_of(price: float, bps: float) -> float:
    """Half the spread in quote units."""
    return price * bps / BPS
