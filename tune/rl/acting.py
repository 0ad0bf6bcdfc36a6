"""The minute of those accounts that want something, or that a limit or an exit may touch: the engine's own."""

from core.engine.exits import bounds_of
from core.engine.loop import carry_out, log_orders, size_wanted
from core.engine.orders import exact
from core.engine.prefetch import prefetch, prefetch_flat
from core.engine.tables import (
    AVERAGE_MINUTES,
    BASE,
    DUE,
    ENTRY,
    FRESH,
    POSITION,
    QUOTED,
    SEEN_MID,
    SINCE,
    STEP_UNITS,
    TAKEN_MINUTE,
    WANTED,
    Logs,
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
    END,
    EQUITY,
    INDEX,
    STATE,
    Fleet,
    Seen,
    World,
    account_of,
    mark_of,
)


@inner
def act(world: World, fleet: Fleet, scratch: Scratch, logs: Logs, wanted: FloatArray, seen: Seen) -> int:
    """Trade the minute of every account that is not quiet in it; the others are left as they are.

    Writes ``seen.fills``. Gives how many balances grew beyond what is counted exactly: those episodes end.
    """
    tape, grids, rules = world.tape, world.grids, world.rules
    terms, exits, losses, caps = rules.terms, rules.exits, rules.losses, rules.caps
    ints, rate, most = grids.ints, scratch.floats[RATE], scratch.floats[MOST]
    protecting, last = is_on(exits), tape.bars.shape[1] - 1
    count, lost, accounts = ints.shape[0], 0, fleet.units.shape[0]
    asked, position, mid = scratch.floats[WANTED], scratch.floats[POSITION], scratch.floats[SEEN_MID]
    fresh, none = scratch.flags[FRESH], 0 * count  # no literal (core.lean)
    tabled = tape.quotes.shape[1] > 0
    for e in range(accounts):
        # Everybody's minute lies elsewhere: what an order of the next but one will read is fetched ahead.
        near = min(e + 2, accounts - 1)
        for i in range(count):
            if wanted[near, i, 0] == wanted[near, i, 0]:
                ahead = fleet.at[near, INDEX] + 1
                # Where the market is not tabled for orders, they read it minute by minute.
                for j in range(ahead if tabled else ahead - AVERAGE_MINUTES, ahead + 1):
                    prefetch(tape.bars, i, j, CLOSE)
                for j in range(0, tape.quotes.shape[2], QUOTED):
                    prefetch(tape.quotes, i, ahead - 1, j)
                prefetch(tape.liquidity, i, ahead, 0)
                prefetch_flat(tape.volatility, i, ahead - 1)
                prefetch_flat(tape.shown, i, ahead - 1)
                for side in range(2):
                    prefetch(fleet.taken[near], i, side, 0)
                    prefetch(fleet.taken[near], i, side, TAKEN_MINUTE)
                prefetch(fleet.guard_floats, near, i, 0)
                prefetch(fleet.guard_ints, near, i, 0)
        k, marks, levels = fleet.at[e, INDEX], fleet.marks[e], fleet.levels[e]
        units, amount, entry = fleet.units[e], fleet.amount[e], fleet.entry[e]
        wants, touched = is_closing(marks[STATE], marks[CLOSING] != 0), False
        for i in range(count):
            held, target = amount[ints[i, BASE]], wanted[e, i, 0]
            # Less than a lot, as fees in the coin leave it, is not for sale.
            if target > 0.0 or (held > 0.0 and target <= 0.0 and units[ints[i, BASE]] >= ints[i, STEP_UNITS]):
                wants = True
            elif held > 0.0:
                shown = fleet.mid[e, i]
                if shown == shown:
                    own = managed(fleet.worth[e, EQUITY], losses.capital, losses.capital_usdt)
                    wants = wants or risen_above(held * shown * rate[i], most[i], own, caps) > 0.0
            if protecting and entry[i, ENTRY] > 0.0:
                touched = touched or exits.trail > 0.0 or k >= last or fleet.exits[e, i, DUE] != NOT_DUE
                if exits.time_ms > 0:
                    ends = fleet.exits[e, i, SINCE] + exits.time_ms
                    touched = touched or ends < tape.start_minute + (k + 2) * MINUTE_MS
                if not touched:
                    low, high = fleet.calm[e, i, 0], fleet.calm[e, i, 1]
                    touched = tape.bars[i, k + 1, LOW] <= low or tape.bars[i, k + 1, HIGH] >= high
        seen.fills[e] = 0
        if not wants and not touched:
            continue
        account, state = account_of(world, fleet, e), mark_of(marks, levels)
        parents, orders, fills = none, none, none
        if wants:
            for i in range(count):
                asked[i], position[i] = wanted[e, i, 0], amount[ints[i, BASE]]
                mid[i] = fleet.mid[e, i]
                fresh[i] = mid[i] == mid[i]
            size_wanted(tape, ints, rules, account, scratch, state, fleet.worth[e, EQUITY], k, False)
            parents = log_orders(scratch, logs, orders, none, k, none, fleet.worth[e, EQUITY], none > 0)
            orders += parents
            account.today[1] += parents
        guarded = protecting and (parents > 0 or touched)
        if parents > 0 or guarded:
            orders, fills = carry_out(
                tape,
                grids,
                rules,
                account,
                scratch,
                logs,
                orders,
                none,
                fills,
                k,
                parents,
                guarded,
                fleet.worth[e, EQUITY],
            )
            if not exact(account.units):
                lost += 1
                fleet.at[e, END] = k + 1
        seen.fills[e] = fills
        if protecting:
            for i in range(count):
                if entry[i, ENTRY] > 0.0:
                    low, high = bounds_of(grids, terms, exits, account, i)
                    fleet.calm[e, i, 0], fleet.calm[e, i, 1] = low, high
    return lost
