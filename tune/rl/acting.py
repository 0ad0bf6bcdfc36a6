"""The minute of those accounts that want something, or that a limit or an exit may touch: the engine's own."""

import math

from core.engine.exits import bounds_of
from core.engine.loop import DONE, run_minutes
from core.engine.prefetch import prefetch, prefetch_flat
from core.engine.tables import (
    AVERAGE_MINUTES,
    BASE,
    DUE,
    ENTRY,
    SINCE,
    TAKEN_MINUTE,
    Columns,
    Logs,
    Said,
    Scratch,
)
from core.lean import inner
from core.loss_limits import is_closing, managed
from core.messages import CLOSE, HIGH, LOW, FloatArray
from core.protection import NOT_DUE, is_on
from core.sizing import MOST, RATE, risen_above
from core.units import MINUTE_MS
from tune.rl.accounts import (
    CLOSING,
    DAY,
    END,
    EQUITY,
    INDEX,
    QUIET_HIGH,
    QUIET_LOW,
    STATE,
    Fleet,
    Seen,
    World,
    account_of,
    keep,
    mark_of,
)


@inner
def act(
    world: World, fleet: Fleet, scratch: Scratch, columns: Columns, logs: Logs, wanted: FloatArray, seen: Seen
) -> int:
    """Trade the minute of every account that is not quiet in it; the others are left as they are.

    Writes ``seen.fills``. Gives how many balances grew beyond what is counted exactly: those episodes end.
    """
    tape, grids, rules = world.tape, world.grids, world.rules
    terms, exits, losses, caps = rules.terms, rules.exits, rules.losses, rules.caps
    ints, rate, most = grids.ints, scratch.floats[RATE], scratch.floats[MOST]
    protecting, last = is_on(exits), tape.bars.shape[1] - 1
    count, lost, accounts = ints.shape[0], 0, fleet.units.shape[0]
    for e in range(accounts):
        # Everybody's minute lies elsewhere: what an order of the next but one will read is fetched ahead.
        near = min(e + 2, accounts - 1)
        for i in range(count):
            if wanted[near, i, 0] == wanted[near, i, 0]:
                ahead = fleet.at[near, INDEX] + 1
                for j in range(ahead - AVERAGE_MINUTES, ahead + 1):
                    prefetch(tape.bars, i, j, CLOSE)
                prefetch(tape.liquidity, i, ahead, 0)
                prefetch_flat(tape.volatility, i, ahead - 1)
                prefetch_flat(tape.shown, i, ahead - 1)
                for side in range(2):
                    prefetch(fleet.taken[near], i, side, 0)
                    prefetch(fleet.taken[near], i, side, TAKEN_MINUTE)
                prefetch(fleet.guard_floats, near, i, 0)
                prefetch(fleet.guard_ints, near, i, 0)
        k, marks, levels = fleet.at[e, INDEX], fleet.marks[e], fleet.levels[e]
        amount, entry = fleet.amount[e], fleet.entry[e]
        quiet = not is_closing(marks[STATE], marks[CLOSING] != 0)
        for i in range(count):
            held, target = amount[ints[i, BASE]], wanted[e, i, 0]
            if target > 0.0 or (held > 0.0 and target <= 0.0):
                quiet = False
            elif held > 0.0:
                shown = fleet.mid[e, i]
                if shown == shown:
                    own = managed(fleet.worth[e, EQUITY], losses.capital, losses.capital_usdt)
                    quiet = quiet and not risen_above(held * shown * rate[i], most[i], own, caps) > 0.0
            if protecting and entry[i, ENTRY] > 0.0:
                touched = exits.trail > 0.0 or k >= last or fleet.exits[e, i, DUE] != NOT_DUE
                if exits.time_ms > 0:
                    ends = fleet.exits[e, i, SINCE] + exits.time_ms
                    touched = touched or ends < tape.start_minute + (k + 2) * MINUTE_MS
                if not touched:
                    low, high = fleet.calm[e, i, 0], fleet.calm[e, i, 1]
                    touched = tape.bars[i, k + 1, LOW] <= low or tape.bars[i, k + 1, HIGH] >= high
                quiet = quiet and not touched
        seen.fills[e] = 0
        if quiet:
            continue
        account = account_of(world, fleet, e)
        columns.state[0] = 0
        said = world.said
        why, _, after, _, fills = run_minutes(
            tape,
            grids,
            rules,
            account,
            mark_of(marks, levels),
            marks[DAY],
            levels[QUIET_LOW],
            levels[QUIET_HIGH],
            Said(k, False, said.votes, said.flags, said.which, said.weights, wanted[e]),
            scratch,
            Columns(k, 1, columns.minutes, columns.state, columns.grid, columns.weights),
            logs,
            k,
            k + 1,
            0 * k,  # no literal (core.lean)
            False,
        )
        if not levels[QUIET_LOW] < fleet.worth[e, EQUITY] <= levels[QUIET_HIGH]:
            # It was marked to market once more.
            keep(after, marks, levels)
            levels[QUIET_LOW], levels[QUIET_HIGH] = math.inf, -math.inf
        seen.fills[e] = fills
        if protecting:
            for i in range(count):
                if entry[i, ENTRY] > 0.0:
                    low, high = bounds_of(grids, terms, exits, account, i)
                    fleet.calm[e, i, 0], fleet.calm[e, i, 1] = low, high
        if why != DONE:
            lost += 1
            fleet.at[e, END] = k + 1
    return lost
