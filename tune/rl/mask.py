"""Which actions the limits would refuse: what the sizing surely says, and where that is not sure, what it says when asked."""

import math

from core.ceilings import is_calm, of_volatility
from core.engine.loop import caps_now, size_wanted
from core.engine.prefetch import prefetch, prefetch_flat
from core.engine.tables import BASE, FRESH, POSITION, QUOTE, SEEN_MID, TRADABLE, WANTED, Scratch
from core.events import is_stale
from core.lean import inlined, inner
from core.loss_limits import blocks_of, is_closing
from core.messages import VOLUME
from core.sizing import (
    COIN,
    FEE,
    LOTS,
    MAX_QTY,
    MIN_NOTIONAL,
    MIN_QTY,
    MOST,
    RATE,
    STEP,
    TICK,
    TO_BUY,
    Limit,
    change_of,
    priced,
    risen_above,
    worth_of,
)
from core.sizing_bounds import REFUSED, UNSURE, enough, room_of, surely, too_little
from core.units import MINUTE_MS
from tune.rl.accounts import CLOSING, EQUITY, INDEX, STATE, Fleet, Seen, World, account_of, mark_of

_PASSED = int(Limit.PASSED)
KEPT = math.nan
AHEAD = 4
"""By how many accounts what one reads of the market is fetched before its turn."""


@inner
def write_masks(world: World, fleet: Fleet, scratch: Scratch, seen: Seen, everybody: bool) -> None:
    """Write to the last columns of ``seen.obs`` which levels the limits would not refuse, one row at a time with all others
    kept. To ask for what is there already is never refused. Not ``everybody``: of those whose episode ended.

    A loop of its own: what it works with has no room in the one that looks at the market (``tune.rl.fleet``).
    """
    accounts, count = fleet.units.shape[0], world.grids.ints.shape[0]
    volatility, coin = world.tape.volatility, scratch.ints[COIN]
    # Whether bounds are asked at all: volatilities are tabled, and every row has a coin of its own, so that what is held
    # of all is the sum of theirs.
    bounded = volatility.shape[1] > 0
    for i in range(count):
        for j in range(i):
            bounded = bounded and coin[i] != coin[j]
    for e in range(accounts):
        if not everybody and not seen.ended[e]:
            continue
        ahead = fleet.at[min(e + AHEAD, accounts - 1), INDEX]
        for i in range(count):
            prefetch(world.tape.seen, i, ahead, VOLUME)
            if bounded:
                prefetch_flat(volatility, i, ahead)
        _write(world, fleet, scratch, seen, e, bounded)


@inlined
def _write(world: World, fleet: Fleet, scratch: Scratch, seen: Seen, e: int, bounded: bool) -> None:
    """The mask of account ``e``."""
    tape, rules, ints, rows, mid = world.tape, world.rules, world.grids.ints, scratch.floats, fleet.mid[e]
    amount, close, count, levels = fleet.amount[e], fleet.close[e], ints.shape[0], world.level.shape[0]
    k, first = fleet.at[e, INDEX], seen.obs.shape[2] - levels
    minute = tape.start_minute + k * MINUTE_MS
    caps = caps_now(rules, fleet.today[e], fleet.worth[e, EQUITY], minute)
    state, closing = fleet.marks[e, STATE], is_closing(fleet.marks[e, STATE], fleet.marks[e, CLOSING] != 0)
    # Whether nothing is traded of what is kept: a loss limit closes it, or it is trimmed at its cap.
    still = bounded and caps.equity > 0.0 and caps.equity < math.inf
    gross, moving = 0.0, 0.0
    for i in range(count):
        held, rate = amount[ints[i, BASE]], rows[RATE, i]
        if still and held > 0.0:
            worth = worth_of(held, mid[i] if priced(0.0, mid[i], rate) else close[i], rate)
            still = not closing and not risen_above(worth, rows[MOST, i], caps.equity, caps) > 0.0
            gross += worth
            moving += worth * tape.volatility[i, k]
    for i in range(count):
        held, price, rate = amount[ints[i, BASE]], mid[i], rows[RATE, i]
        refused, unsure = 0, 0
        known = priced(1.0, price, rate)
        worth = worth_of(held, price, rate)
        room, little, much, volatility = 0.0, 0.0, math.inf, 0.0
        if still and known:
            tradable = scratch.flags[TRADABLE, i]
            buy, sell = blocks_of(tradable, known, known, True, state, fleet.guard_ints[e], i, minute + MINUTE_MS)
            volatility, notional = tape.volatility[i, k], rows[MIN_NOTIONAL, i]
            if buy == 0 and not is_stale(tape.seen[i], k + 1, rules.stale_minutes):
                cash, ceiling = amount[ints[i, QUOTE]], of_volatility(rules.ceilings, volatility)
                room = room_of(caps, rows[MOST, i], ceiling, worth, gross, cash, rate, rows[FEE, i])
            if sell == 0:
                little = too_little(notional, rate, caps)
                much = enough(
                    price, rate, rows[STEP, i], rows[TICK, i], rows[MIN_QTY, i], rows[MAX_QTY, i], notional, caps
                )
        for j in range(levels):
            level = world.level[j]
            if level > 0.0 or (level <= 0.0 and held > 0.0):
                answer = UNSURE
                if still:
                    asked, wanted = change_of(level, held, worth, rows[MOST, i], priced(level, price, rate), True, caps)
                    answer = surely(asked, wanted, level, room, little, much)
                    if wanted == TO_BUY and room > 0.0 and rules.ceilings.portfolio < math.inf:
                        # All positions together may bound what is bought: that is for ``core.ceilings`` to say.
                        answer = answer if is_calm(rules.ceilings, caps, moving + asked * volatility) else UNSURE
                refused |= (answer == REFUSED) << j
                unsure |= (answer == UNSURE) << j
        if unsure != 0:
            for j in range(levels):
                if (unsure >> j) & 1 and _is_refused(world, fleet, scratch, e, i, world.level[j]):
                    refused |= 1 << j
        # Written at the end: what is written in between might be, to a compiler, anything that is read there.
        for j in range(levels):
            seen.obs[e, i, first + j] = 1 - ((refused >> j) & 1)


@inner
def _is_refused(world: World, fleet: Fleet, scratch: Scratch, e: int, row: int, level: float) -> bool:
    """What the sizing of all rows says where ``level`` is asked for of ``row``, and all others are kept."""
    account, state, ints = account_of(world, fleet, e), mark_of(fleet.marks[e], fleet.levels[e]), world.grids.ints
    target, fresh, mid = scratch.floats[WANTED], scratch.flags[FRESH], scratch.floats[SEEN_MID]
    for i in range(target.shape[0]):
        target[i] = level if i == row else KEPT
        mid[i] = fleet.mid[e, i]
        fresh[i] = mid[i] == mid[i]
        scratch.floats[POSITION, i] = account.amount[ints[i, BASE]]
    equity, k = fleet.worth[e, EQUITY], fleet.at[e, INDEX]
    size_wanted(world.tape, ints, world.rules, account, scratch, state, equity, k, False)
    return scratch.sizing[LOTS, row] == 0.0 and scratch.limits[row] > _PASSED
