"""Many accounts in one market: what is kept of each, what all of them share, and what they are shown."""

import math
from typing import NamedTuple

from core.engine.tables import Account, Courses, Grids, IntArray, Rules, Tape
from core.guards import Guards
from core.lean import inlined, pasted
from core.loss_limits import ACTIVE, NO_DAY, Mark
from core.messages import FloatArray

INDEX, END = range(2)
EQUITY, INVESTED = range(2)
STATE, BY_LIMIT, CLOSING, DAY = range(4)
PEAK_EQUITY, DAY_EQUITY, DAY_MONEY, QUIET_LOW, QUIET_HIGH = range(5)
ACCOUNT, WANTS, TOUCHED = range(3)
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


class Turns(NamedTuple):
    """Who acts in the minute at hand, and with what; nothing of it outlives that minute."""

    who: IntArray
    """(E, 3) the account, whether it wants something, and whether a limit or an exit may touch what it holds."""
    sized: FloatArray
    """(E, S, 2) of each account: lots and limit, ticks, of its orders; 0 lots: none."""
    working: IntArray
    """(2, E) who has an order or is to be looked after: those who sell first, and those who buy."""


class World(NamedTuple):
    """What all of them share."""

    tape: Tape
    grids: Grids
    rules: Rules
    known: FloatArray
    """(S, T) last known close before each minute."""
    features: FloatArray
    """(T, S, F / 2): pairs of float32 as they lie in memory, standardised, 0 where not known; F may be 0."""
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


@inlined
def account_of(world: World, fleet: Fleet, e: int) -> Account:
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
def copy(source: FloatArray, target: FloatArray) -> None:
    """Numbers of one axis; numba would allocate for a slice."""
    for j in range(source.shape[0]):
        target[j] = source[j]


@inlined
def mark_of(marks: IntArray, levels: FloatArray) -> Mark:
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
def keep(state: Mark, marks: IntArray, levels: FloatArray) -> None:
    marks[STATE], marks[BY_LIMIT], marks[CLOSING], marks[DAY] = state.state, state.by_limit, state.closing, state.day
    levels[PEAK_EQUITY], levels[DAY_EQUITY], levels[DAY_MONEY] = state.peak, state.day_equity, state.day_money


@inlined
def begin_anew(world: World, fleet: Fleet, e: int) -> None:
    """Account ``e`` as it was at first."""
    fresh = world.fresh
    for a in range(fresh.units.shape[0]):
        fleet.units[e, a], fleet.amount[e, a] = fresh.units[a], fresh.amount[a]
    for i in range(fresh.entry.shape[0]):
        copy(fresh.taken[i, 0], fleet.taken[e, i, 0])
        copy(fresh.taken[i, 1], fleet.taken[e, i, 1])
        copy(fresh.entry[i], fleet.entry[e, i])
        copy(fresh.exits[i], fleet.exits[e, i])
        copy(fresh.courses.life[i], fleet.life[e, i])
        copy(fresh.courses.stage[i], fleet.stage[e, i])
        copy(fresh.guards.floats[i], fleet.guard_floats[e, i])
        copy(fresh.guards.ints[i], fleet.guard_ints[e, i])
    copy(fresh.guards.ints[fresh.entry.shape[0]], fleet.guard_ints[e, fresh.entry.shape[0]])
    copy(fresh.today, fleet.today[e])
    fleet.marks[e, STATE], fleet.marks[e, BY_LIMIT], fleet.marks[e, CLOSING], fleet.marks[e, DAY] = ACTIVE, 0, 0, NO_DAY
    for j in range(3):
        fleet.levels[e, j] = math.nan
    fleet.levels[e, QUIET_LOW], fleet.levels[e, QUIET_HIGH] = math.inf, -math.inf
