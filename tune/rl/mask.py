"""Which actions the limits would refuse, asked of the sizing itself."""

import math

from core.ceilings import moving_of, set_ceiling_alone
from core.engine.loop import fill_rows, size_wanted
from core.engine.tables import BASE, FRESH, POSITION, SEEN_MID, WANTED, Account, Scratch
from core.lean import inlined, inner
from core.loss_limits import Mark, is_closing
from core.messages import FloatArray
from core.sizing import LOTS, MOST, PRICE, RATE, TARGET, Limit, held_gross, risen_above, size_alone
from tune.rl.accounts import Fleet, World, account_of, mark_of

_PASSED = int(Limit.PASSED)
KEPT = math.nan


@inlined
def write_mask(
    world: World, fleet: Fleet, scratch: Scratch, e: int, k: int, equity: float, obs: FloatArray, first: int
) -> None:
    """Write to ``obs`` (S, ...) from column ``first`` on which levels the limits would not refuse, one row at a time
    with all others kept. To ask for what is there already is never refused.

    Where nothing but the row that is asked for changes, it is sized alone; else all of them are.
    """
    account, state = account_of(world, fleet, e), mark_of(fleet.marks[e], fleet.levels[e])
    tape, ints, target, fresh = world.tape, world.grids.ints, scratch.floats[WANTED], scratch.flags[FRESH]
    mid, position, rows = scratch.floats[SEEN_MID], scratch.floats[POSITION], scratch.floats
    count = target.shape[0]
    for i in range(count):
        target[i] = KEPT
        fresh[i] = mid[i] == mid[i]
        position[i] = account.amount[ints[i, BASE]]
    caps = fill_rows(tape, ints, world.rules, account, scratch, state, equity, k)
    alone = tape.volatility.shape[1] > 0 and not is_closing(state.state, state.closing)
    for i in range(count):
        if position[i] > 0.0:
            worth = position[i] * rows[PRICE, i] * rows[RATE, i]
            # What is to be trimmed is sold whatever is asked for.
            alone = alone and not risen_above(worth, rows[MOST, i], caps.equity, caps) > 0.0
    gross = held_gross(rows, scratch.ints, scratch.sizing_flags)
    moving = moving_of(rows, tape.volatility, k)
    for i in range(count):
        for j in range(world.level.shape[0]):
            allowed, level = 1.0, world.level[j]
            if level > 0.0 or (level <= 0.0 and position[i] > 0.0):
                rows[TARGET, i] = level
                if alone and set_ceiling_alone(
                    rows,
                    scratch.ints,
                    caps,
                    world.rules.ceilings,
                    tape.seen,
                    tape.volatility,
                    k,
                    scratch.returns,
                    scratch.told,
                    moving,
                    i,
                ):
                    size_alone(rows, scratch.ints, caps, scratch.sizing, scratch.sizing_flags, scratch.limits, gross, i)
                else:
                    target[i] = level
                    size_all(world, account, scratch, state, equity, k)
                    target[i] = KEPT
                if scratch.sizing[LOTS, i] == 0.0 and scratch.limits[i] > _PASSED:
                    allowed = 0.0
            obs[i, first + j] = allowed
        rows[TARGET, i] = KEPT


@inner
def size_all(world: World, account: Account, scratch: Scratch, state: Mark, equity: float, k: int) -> None:
    """What the limits leave of what is wanted of all rows."""
    size_wanted(world.tape, world.grids.ints, world.rules, account, scratch, state, equity, k, False)
