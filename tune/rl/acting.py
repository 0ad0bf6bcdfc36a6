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
from core.sizing import LOTS, MOST, RATE, TICKS, risen_above
from core.units import MINUTE_MS
from tune.rl.accounts import (
    ACCOUNT,
    CLOSING,
    END,
    EQUITY,
    INDEX,
    STATE,
    TOUCHED,
    WANTS,
    Fleet,
    Seen,
    Turns,
    World,
    account_of,
    mark_of,
)

NEAR, FAR = 2, 8
"""By how many accounts what one reads of the market is fetched before its turn: everybody's minute lies elsewhere. Far where
a turn is short."""


@inner
def act(world: World, fleet: Fleet, turns: Turns, scratch: Scratch, logs: Logs, wanted: FloatArray, seen: Seen) -> int:
    """Trade the minute of every account that is not quiet in it; the others are left as they are.

    Writes ``seen.fills``. Gives how many balances grew beyond what is counted exactly: those episodes end. First who acts,
    then what is allowed them all, then their orders: each loop's code is small enough to stay near the processor.
    """
    acting = _choose(world, fleet, turns, scratch, wanted, seen)
    sells, buys = _size(world, fleet, turns, scratch, wanted, acting)
    return _work(world, fleet, turns, scratch, logs, seen, sells, buys)


@inner
def _choose(world: World, fleet: Fleet, turns: Turns, scratch: Scratch, wanted: FloatArray, seen: Seen) -> int:
    """Write to ``turns.who`` who is not quiet, and whether a limit or an exit may touch what it holds; gives how many."""
    tape, rules, ints = world.tape, world.rules, world.grids.ints
    exits, losses, caps = rules.exits, rules.losses, rules.caps
    rate, most = scratch.floats[RATE], scratch.floats[MOST]
    protecting, last = is_on(exits), tape.bars.shape[1] - 1
    count, acting = ints.shape[0], 0
    accounts = fleet.units.shape[0]
    for e in range(accounts):
        if protecting:
            ahead = min(fleet.at[min(e + FAR, accounts - 1), INDEX] + 1, last)
            for i in range(count):
                prefetch(tape.bars, i, ahead, HIGH)
        k, marks = fleet.at[e, INDEX], fleet.marks[e]
        units, amount, entry = fleet.units[e], fleet.amount[e], fleet.entry[e]
        wants, touched = is_closing(marks[STATE], marks[CLOSING] != 0), False
        for i in range(count):
            held, target = amount[ints[i, BASE]], wanted[e, i, 0]
            # Less than a lot, as fees in the coin leave it, is not for sale.
            sellable = (held > 0.0) & (units[ints[i, BASE]] >= ints[i, STEP_UNITS])
            wants |= (target > 0.0) | ((target <= 0.0) & sellable)
            if target != target and held > 0.0:
                shown = fleet.mid[e, i]
                if shown == shown:
                    own = managed(fleet.worth[e, EQUITY], losses.capital, losses.capital_usdt)
                    wants |= risen_above(held * shown * rate[i], most[i], own, caps) > 0.0
            if protecting and entry[i, ENTRY] > 0.0:
                touched = touched or exits.trail > 0.0 or k >= last or fleet.exits[e, i, DUE] != NOT_DUE
                if exits.time_ms > 0:
                    ends = fleet.exits[e, i, SINCE] + exits.time_ms
                    touched = touched or ends < tape.start_minute + (k + 2) * MINUTE_MS
                if not touched:
                    low, high = fleet.calm[e, i, 0], fleet.calm[e, i, 1]
                    touched = tape.bars[i, k + 1, LOW] <= low or tape.bars[i, k + 1, HIGH] >= high
        seen.fills[e] = 0
        # Written for everybody, and counted on for those who act: no branch that nobody can foresee.
        turns.who[acting, ACCOUNT], turns.who[acting, WANTS], turns.who[acting, TOUCHED] = e, wants, touched
        acting += wants | touched
    return acting


@inner
def _size(
    world: World, fleet: Fleet, turns: Turns, scratch: Scratch, wanted: FloatArray, acting: int
) -> tuple[int, int]:
    """What the limits leave the first ``acting`` of ``turns.who`` of what they want, to ``turns.sized``; gives how many then
    stand in each of ``turns.working``: those whose first order is a sale, or who are looked after, and those who buy."""
    tape, rules, ints = world.tape, world.rules, world.grids.ints
    asked, position, mid = scratch.floats[WANTED], scratch.floats[POSITION], scratch.floats[SEEN_MID]
    fresh, sized, count = scratch.flags[FRESH], scratch.sizing, ints.shape[0]
    sells, buys = acting - acting, acting - acting  # no literal (core.lean)
    for n in range(acting):
        near = turns.who[min(n + NEAR, acting - 1), ACCOUNT]
        ahead = fleet.at[near, INDEX]
        for i in range(count):
            prefetch(tape.seen, i, ahead, CLOSE)
            prefetch_flat(tape.volatility, i, ahead)
        e = turns.who[n, ACCOUNT]
        for i in range(count):
            sized[LOTS, i] = 0.0
        if turns.who[n, WANTS] != 0:
            account, state = account_of(world, fleet, e), mark_of(fleet.marks[e], fleet.levels[e])
            for i in range(count):
                asked[i], position[i] = wanted[e, i, 0], account.amount[ints[i, BASE]]
                mid[i] = fleet.mid[e, i]
                fresh[i] = mid[i] == mid[i]
            size_wanted(tape, ints, rules, account, scratch, state, fleet.worth[e, EQUITY], fleet.at[e, INDEX], False)
        first = 0.0
        for i in range(count):
            turns.sized[e, i, 0], turns.sized[e, i, 1] = sized[LOTS, i], sized[TICKS, i]
            first = sized[LOTS, i] if first == 0.0 else first
        # Written for everybody, too. All sales come before all purchases: a processor foresees what it has just done.
        buying = first > 0.0
        turns.working[1 if buying else 0, buys if buying else sells] = e
        sells += (first < 0.0) | ((first == 0.0) & (turns.who[n, TOUCHED] != 0))
        buys += buying
    return sells, buys


@inner
def _work(
    world: World, fleet: Fleet, turns: Turns, scratch: Scratch, logs: Logs, seen: Seen, sells: int, buys: int
) -> int:
    """Carry out what ``_size`` wrote; gives how many balances grew beyond what is counted exactly."""
    tape, grids, rules = world.tape, world.grids, world.rules
    terms, exits, ints, sized, mid = rules.terms, rules.exits, grids.ints, scratch.sizing, scratch.floats[SEEN_MID]
    protecting, tabled = is_on(exits), tape.quotes.shape[1] > 0
    count, lost = ints.shape[0], 0
    none = 0 * count  # no literal (core.lean)
    for n in range(sells + buys):
        side, at = (0, n) if n < sells else (1, n - sells)
        near = turns.working[side, min(at + NEAR, (buys if side else sells) - 1)]
        ahead = fleet.at[near, INDEX] + 1
        for i in range(count):
            # Where the market is not tabled for orders, they read it minute by minute.
            for j in range(ahead if tabled else ahead - AVERAGE_MINUTES, ahead + 1):
                prefetch(tape.bars, i, j, CLOSE)
            for j in range(0, tape.quotes.shape[2], QUOTED):
                prefetch(tape.quotes, i, ahead - 1, j)
            prefetch(tape.liquidity, i, ahead, 0)
            for j in range(2):
                prefetch(fleet.taken[near], i, j, 0)
                prefetch(fleet.taken[near], i, j, TAKEN_MINUTE)
            prefetch(fleet.guard_floats, near, i, 0)
            prefetch(fleet.guard_ints, near, i, 0)
        e = turns.working[side, at]
        k, equity, entry = fleet.at[e, INDEX], fleet.worth[e, EQUITY], fleet.entry[e]
        for i in range(count):
            sized[LOTS, i], sized[TICKS, i] = turns.sized[e, i, 0], turns.sized[e, i, 1]
            mid[i] = fleet.mid[e, i]
        orders, fills = none, none
        parents = log_orders(scratch, logs, orders, none, k, none, equity, none > 0)
        orders += parents
        account = account_of(world, fleet, e)
        account.today[1] += parents
        # Whoever stands here has an order, or is looked after: positions are guarded wherever anything protects them.
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
            protecting,
            equity,
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
