"""Matching, as pure functions over ints: what an incoming order takes, and how far a resting one got.

Prices in ticks, quantities in steps. ``taken`` (LEVELS,) is what we already took from each level since the book was
last replenished; levels never show it twice. The walk itself is ``core.book``'s.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from core.book import ANY, LEVELS, best_ticks, spend_levels, take_levels
from core.path import share_below
from core.units import Side
from exchanges.simulated.ladder import Levels
from exchanges.simulated.market import Passage


class Take(NamedTuple):
    """Part of one level."""

    level: int
    ticks: int
    steps: int


def crosses(side: Side, limit: int | None, ticks: int) -> bool:
    """Whether an order of ours on ``side`` with this limit (None: any price) may trade at ``ticks``."""
    return limit is None or (ticks <= limit if side is Side.BUY else ticks >= limit)


def shown(levels: Levels, taken: Sequence[int]) -> Levels:
    """Levels as they stand after our own takes; emptied ones are left out."""
    left = ((ticks, size - int(gone)) for (ticks, size), gone in zip(levels, taken, strict=False))
    return tuple((ticks, size) for ticks, size in left if size > 0)


def take(levels: Levels, taken: np.ndarray, side: Side, limit: int | None, want: int, room: int = ANY) -> list[Take]:
    """Walk the opposite side, best price first, up to ``want`` steps and never through ``limit`` (None: any price)."""
    ticks, steps, count = _arrays(levels)
    level, part = np.empty(LEVELS, np.int64), np.empty(LEVELS, np.int64)
    found = take_levels(side is Side.BUY, ticks, steps, count, taken, limit or 0, want, room, level, part)
    return _takes(levels, level, part, found)


def take_money(levels: Levels, taken: np.ndarray, units: int, smallest: int, room: int = ANY) -> list[Take]:
    """Walk the levels spending (or earning) at most ``units`` of tick x step; lots of at least ``smallest`` steps."""
    ticks, steps, count = _arrays(levels)
    level, part = np.empty(LEVELS, np.int64), np.empty(LEVELS, np.int64)
    found = spend_levels(ticks, steps, count, taken, min(units, ANY), room, level, part)
    takes = _takes(levels, level, part, found)
    return takes if sum(t.steps for t in takes) >= smallest else []


def _arrays(levels: Levels) -> tuple[np.ndarray, np.ndarray, int]:
    table = np.array(levels, np.int64).reshape(-1, 2)
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1]), len(table)


def _takes(levels: Levels, level: np.ndarray, part: np.ndarray, count: int) -> list[Take]:
    pairs = zip(level[:count].tolist(), part[:count].tolist(), strict=True)
    return [Take(k, levels[k][0], steps) for k, steps in pairs]


def queue_ahead(levels: Levels, side: Side, ticks: int) -> int:
    """Steps standing before a new order of ours at ``ticks`` on its own side of the book.

    Nothing when it improves on the best price; between two levels, what stands at the next one out; beyond the
    last level, what stands there.
    """
    if not levels or (ticks > levels[0][0] if side is Side.BUY else ticks < levels[0][0]):
        return 0
    for price, size in levels:
        if price <= ticks if side is Side.BUY else price >= ticks:
            return size
    return levels[-1][1]


def traded_through(side: Side, ticks: int, tick: float, passage: Passage) -> bool:
    """Whether the opposite best price reached ours in that second: whoever rests there has been filled."""
    tick, grid = passage.tick or tick, passage.grid
    if side is Side.BUY:
        return best_ticks(min(passage.start, passage.end), passage.half_spread, tick)[1] * grid <= ticks
    return best_ticks(max(passage.start, passage.end), passage.half_spread, tick)[0] * grid >= ticks


def passed_volume(side: Side, ticks: int, tick: float, passage: Passage) -> float:
    """Base units that traded against our side of the book at our price or worse for us in that second.

    Half of all volume is taken to come from sellers and half from buyers.
    """
    price = ticks * tick
    if side is Side.BUY:
        share = share_below(passage.start, passage.end, price + passage.half_spread)
    else:
        share = share_below(-passage.start, -passage.end, passage.half_spread - price)
    return 0.5 * passage.volume * share


def with_own(levels: Levels, own: Iterable[tuple[int, int]], side: Side) -> Levels:
    """Levels of one side with our resting orders, as (ticks, steps), added at their prices."""
    sizes = dict(levels)
    for ticks, steps in own:
        sizes[ticks] = sizes.get(ticks, 0) + steps
    return tuple(sorted(sizes.items(), reverse=side is Side.BUY))
