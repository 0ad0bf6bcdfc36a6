"""Many accounts in one market, each at a minute of its own, moved on by one minute at once.

An account's minute is the engine's: whoever wants something, or may be touched by a limit or an exit, is handed to
``core.engine.loop.advance`` for that very minute, with the target as a given intent. The others are marked to market by
the same rules (``core.loss_limits``, ``core.sizing``), as ``core.engine.coast`` does for a stretch. Equal to the backtest of
the same targets to the last digit, which ``tests/unit/test_rl_fleet.py`` holds.
"""

import math
from typing import NamedTuple

from core.engine.exits import bounds_of
from core.engine.loop import DONE, add_up, advance, quiet_between, size_wanted
from core.engine.market import shown_mid
from core.engine.prefetch import prefetch
from core.engine.tables import (
    BASE,
    DUE,
    ENTRY,
    FRESH,
    POSITION,
    QUOTE,
    SEEN_MID,
    SINCE,
    WANTED,
    Account,
    Columns,
    Courses,
    Grids,
    IntArray,
    Logs,
    Rules,
    Said,
    Scratch,
    Tape,
)
from core.guards import Guards
from core.lean import inlined, inner, lean, pasted
from core.loss_limits import ACTIVE, NO_DAY, Mark, is_closing, managed, mark
from core.messages import CLOSE, HIGH, LOW, VOLUME, FloatArray
from core.protection import NOT_DUE, is_on
from core.sizing import LOTS, MOST, RATE, Limit, risen_above
from core.units import BPS, DAY_MS, MINUTE_MS

_PASSED = int(Limit.PASSED)
INDEX, END = range(2)
EQUITY, INVESTED = range(2)
STATE, BY_LIMIT, CLOSING, DAY = range(4)
PEAK_EQUITY, DAY_EQUITY, DAY_MONEY, QUIET_LOW, QUIET_HIGH = range(5)
POSITION_SHARE, CASH_SHARE = range(2)
SHARES = 2
"""Columns of an observation between the features and the mask."""


class Fleet(NamedTuple):
    """E accounts, a first axis before that of ``core.engine.tables.Account``; all change in place."""

    units: IntArray
    amount: FloatArray
    close: FloatArray
    taken: IntArray
    entry: FloatArray
    exits: IntArray
    life: IntArray
    stage: FloatArray
    guard_floats: FloatArray
    guard_ints: IntArray
    today: IntArray
    marks: IntArray
    """(E, 4) state, whether by a limit, whether closing, day (``core.loss_limits.Mark``)."""
    levels: FloatArray
    """(E, 5) peak, the day's first equity, the same for the loss in money; between which equities marking to market changes
    nothing on the same day (``core.engine.loop.quiet_between``)."""
    at: IntArray
    """(E, 2) the minute that is to be decided, and the one before which the episode ends: indices into the tape."""
    worth: FloatArray
    """(E, 2) equity and invested at that minute's decision, USDT."""
    mid: FloatArray
    """(E, S) middle of the touch then; NaN without a book."""
    calm: FloatArray
    """(E, S, 2) between which prices of a bar a position needs no looking after (``core.engine.exits.bounds_of``)."""
    start: IntArray
    """(E,) where the next episode begins."""


class World(NamedTuple):
    """What all of them share."""

    tape: Tape
    grids: Grids
    rules: Rules
    known: FloatArray
    """(S, T) last known close before each minute."""
    features: FloatArray
    """(T, S, F / 2): pairs of float32 as they lie in memory (two at a time are copied as fast as one), standardised, 0
    where not known; F may be 0."""
    said: Said
    """Its shapes; nothing is read of it."""
    fresh: Account
    """As every episode begins."""
    level: FloatArray
    """(K,) targets that are asked for; NaN keeps what is held."""
    minutes: int
    """Length of an episode."""
    risk: float
    """What a squared return costs, in returns: half the risk aversion of quadratic utility."""
    masked: bool
    """Whether what the limits would refuse is looked up."""


class Seen(NamedTuple):
    """What the accounts are shown, and what they got; all (E, ...), written."""

    obs: FloatArray
    """(E, S, F + 2 + K) float32: features, position's share of equity, cash's, 1 where a level may be asked for."""
    words: FloatArray
    """The same memory in pairs, as ``World.features``."""
    last: FloatArray
    """The same at an episode's end, before the next begins; written where it ended."""
    reward: FloatArray
    """(E,) log growth of equity less the risk penalty, bps."""
    growth: FloatArray
    """(E,) log growth of equity, bps."""
    equity: FloatArray
    """(E,) USDT at the decision of the next minute, before another episode begins."""
    ended: IntArray
    """(E,) uint8: the episode ended with this minute."""
    fills: IntArray
    """(E,) parts of fills of this minute."""


@lean
def step(
    world: World,
    fleet: Fleet,
    scratch: Scratch,
    columns: Columns,
    logs: Logs,
    wanted: FloatArray,
    seen: Seen,
    begin: bool,
) -> int:
    """Give every account one minute of ``wanted`` (E, S, 1), targets as fractions of the investable equity (NaN keeps).

    An episode that ended begins anew at ``fleet.start``. ``begin``: nobody acts, all begin anew. Gives how many balances
    grew beyond what is counted exactly: those episodes are over, too.
    """
    tape, grids, rules = world.tape, world.grids, world.rules
    terms, exits, losses, caps = rules.terms, rules.exits, rules.losses, rules.caps
    ints, rate, most = grids.ints, scratch.floats[RATE], scratch.floats[MOST]
    mid, level, worth = scratch.floats[SEEN_MID], scratch.level, scratch.worth
    protecting, last = is_on(exits), tape.bars.shape[1] - 1
    count, features, lost = ints.shape[0], 2 * world.features.shape[2], 0
    schedule = rules.schedule
    newest = (schedule.slices - 1) * schedule.slice_ms + schedule.jitter_s * 1_000
    if protecting:
        newest = max(newest, MINUTE_MS - exits.look_ms)
    late = newest + terms.latency_ms >= MINUTE_MS
    one_purse = True
    for i in range(count):
        one_purse = one_purse and ints[i, QUOTE] == 0 and ints[i, BASE] == i + 1
    accounts = fleet.units.shape[0]
    for e in range(accounts):
        # Everybody's minute lies elsewhere: what is read of the next but one's is fetched ahead.
        ahead = fleet.at[min(e + 2, accounts - 1), INDEX] + 1
        for i in range(count):
            for j in range(0, world.features.shape[2], 8):
                prefetch(world.features, ahead, i, j)
        marks, levels, close = fleet.marks[e], fleet.levels[e], fleet.close[e]
        amount, entry = fleet.amount[e], fleet.entry[e]
        acting, looking = not begin, True
        while looking:
            looking = False
            k, before = fleet.at[e, INDEX], fleet.worth[e, EQUITY]
            if acting:
                quiet = not is_closing(marks[STATE], marks[CLOSING] != 0)
                seen.fills[e] = 0
                for i in range(count):
                    held, target = amount[ints[i, BASE]], wanted[e, i, 0]
                    if target > 0.0 or (held > 0.0 and target <= 0.0):
                        quiet = False
                    elif held > 0.0:
                        shown = fleet.mid[e, i]
                        if shown == shown:
                            own = managed(before, losses.capital, losses.capital_usdt)
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
                if not quiet:
                    account = _account(world, fleet, e)
                    columns.state[0] = 0
                    why, _, after, _, fills = advance(
                        tape,
                        grids,
                        rules,
                        account,
                        _mark(marks, levels),
                        Said(
                            k,
                            False,
                            world.said.votes,
                            world.said.flags,
                            world.said.which,
                            world.said.weights,
                            wanted[e],
                        ),
                        scratch,
                        Columns(k, 1, columns.minutes, columns.state, columns.grid, columns.weights),
                        logs,
                        k,
                        k + 1,
                        0 * k,  # no literal (core.lean)
                    )
                    _keep(after, marks, levels)
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
                k += 1
            else:
                k = fleet.start[e]
                _begin(world, fleet, e)
                for i in range(count):
                    close[i] = world.known[i, k]
                fleet.at[e, END] = k + world.minutes
            fleet.at[e, INDEX] = k
            # --- what is seen of the minute that is to be decided next, and what the account is worth
            equity, invested = 0.0 if amount[0] == 0.0 else amount[0] * rate[0], 0.0
            for i in range(count):
                if tape.seen[i, k, VOLUME] == tape.seen[i, k, VOLUME]:
                    close[i] = tape.seen[i, k, CLOSE]
                now = tape.shown[i, k]
                # An order whose latency carried it into this minute left less of its book (core.engine.loop).
                if late and now == now:
                    now = shown_mid(tape, grids, terms, fleet.taken[e, i], level, i, k)
                mid[i] = fleet.mid[e, i] = now
                if one_purse:
                    held, price = amount[i + 1], now if now == now else close[i]
                    if held > 0.0:
                        equity += held * (price * rate[i])
                        invested += held * (price * rate[i])
            if not one_purse:
                equity, invested = add_up(amount, ints, mid, close, rate, worth)
            fleet.worth[e, EQUITY], fleet.worth[e, INVESTED] = equity, invested
            day = (tape.start_minute + k * MINUTE_MS) // DAY_MS
            if day != marks[DAY] or not levels[QUIET_LOW] < equity <= levels[QUIET_HIGH]:
                state, _, _ = mark(_mark(marks, levels), equity, day, True, losses)
                _keep(state, marks, levels)
                levels[QUIET_LOW], levels[QUIET_HIGH] = quiet_between(state, losses)
            # --- what is told of it
            if acting:
                change = 0.0
                if equity != before and equity > 0.0 and before > 0.0:
                    change = math.log(equity / before)
                seen.growth[e], seen.equity[e] = change * BPS, equity
                seen.reward[e] = (change - world.risk * change * change) * BPS
                seen.ended[e] = k >= fleet.at[e, END]
            for i in range(count):
                row, words, source = seen.obs[e, i], seen.words[e, i], world.features[k, i]
                for j in range(source.shape[0]):
                    words[j] = source[j]
                price = mid[i] if mid[i] == mid[i] else close[i]
                held = amount[ints[i, BASE]]
                row[features + POSITION_SHARE] = held * price * rate[i] / equity if held > 0.0 else 0.0
                row[features + CASH_SHARE] = amount[ints[i, QUOTE]] * rate[i] / equity
            if world.masked:
                _mask(world, fleet, scratch, e, k, equity, seen.obs[e], features + SHARES)
            if acting and seen.ended[e]:
                for i in range(count):
                    _copy(seen.obs[e, i], seen.last[e, i])
                acting, looking = False, True
    return lost


@inlined
def _account(world: World, fleet: Fleet, e: int) -> Account:
    """Account ``e`` as the engine takes it."""
    fresh = world.fresh
    return Account(
        fleet.units[e],
        fleet.amount[e],
        fleet.close[e],
        fleet.taken[e],
        fleet.entry[e],
        fleet.exits[e],
        Courses(fresh.courses.seed, fresh.courses.curve, fleet.life[e], fleet.stage[e]),
        Guards(fleet.guard_floats[e], fleet.guard_ints[e]),
        fleet.today[e],
    )


@pasted
def _copy(source: FloatArray, target: FloatArray) -> None:
    """Numbers of one axis; numba would allocate for a slice."""
    for j in range(source.shape[0]):
        target[j] = source[j]


@inlined
def _mark(marks: IntArray, levels: FloatArray) -> Mark:
    return Mark(
        marks[STATE],
        marks[BY_LIMIT] != 0,
        marks[CLOSING] != 0,
        levels[PEAK_EQUITY],
        marks[DAY],
        levels[DAY_EQUITY],
        levels[DAY_MONEY],
    )


@inlined
def _keep(state: Mark, marks: IntArray, levels: FloatArray) -> None:
    marks[STATE], marks[BY_LIMIT], marks[CLOSING], marks[DAY] = state.state, state.by_limit, state.closing, state.day
    levels[PEAK_EQUITY], levels[DAY_EQUITY], levels[DAY_MONEY] = state.peak, state.day_equity, state.day_money


@inlined
def _begin(world: World, fleet: Fleet, e: int) -> None:
    """Account ``e`` as it was at first."""
    fresh = world.fresh
    for a in range(fresh.units.shape[0]):
        fleet.units[e, a], fleet.amount[e, a] = fresh.units[a], fresh.amount[a]
    for i in range(fresh.entry.shape[0]):
        _copy(fresh.taken[i, 0], fleet.taken[e, i, 0])
        _copy(fresh.taken[i, 1], fleet.taken[e, i, 1])
        _copy(fresh.entry[i], fleet.entry[e, i])
        _copy(fresh.exits[i], fleet.exits[e, i])
        _copy(fresh.courses.life[i], fleet.life[e, i])
        _copy(fresh.courses.stage[i], fleet.stage[e, i])
        _copy(fresh.guards.floats[i], fleet.guard_floats[e, i])
        _copy(fresh.guards.ints[i], fleet.guard_ints[e, i])
    _copy(fresh.guards.ints[fresh.entry.shape[0]], fleet.guard_ints[e, fresh.entry.shape[0]])
    _copy(fresh.today, fleet.today[e])
    fleet.marks[e, STATE], fleet.marks[e, BY_LIMIT], fleet.marks[e, CLOSING], fleet.marks[e, DAY] = ACTIVE, 0, 0, NO_DAY
    for j in range(3):
        fleet.levels[e, j] = math.nan
    fleet.levels[e, QUIET_LOW], fleet.levels[e, QUIET_HIGH] = math.inf, -math.inf


@inner
def _mask(
    world: World, fleet: Fleet, scratch: Scratch, e: int, k: int, equity: float, obs: FloatArray, first: int
) -> None:
    """Write to ``obs`` (S, ...) from column ``first`` on which levels the limits would not refuse, one row at a time
    with all others kept. To ask for what is there already is never refused."""
    account, state = _account(world, fleet, e), _mark(fleet.marks[e], fleet.levels[e])
    ints, target, fresh = world.grids.ints, scratch.floats[WANTED], scratch.flags[FRESH]
    mid, position = scratch.floats[SEEN_MID], scratch.floats[POSITION]
    for i in range(target.shape[0]):
        target[i] = math.nan
        fresh[i] = mid[i] == mid[i]
        position[i] = account.amount[ints[i, BASE]]
    for i in range(target.shape[0]):
        for j in range(world.level.shape[0]):
            obs[i, first + j] = 1.0
            target[i] = world.level[j]
            if target[i] > 0.0 or (target[i] <= 0.0 and position[i] > 0.0):
                size_wanted(world.tape, ints, world.rules, account, scratch, state, equity, k, False)
                if scratch.sizing[LOTS, i] == 0.0 and scratch.limits[i] > _PASSED:
                    obs[i, first + j] = 0.0
        target[i] = math.nan
