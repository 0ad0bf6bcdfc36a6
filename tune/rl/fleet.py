"""Many accounts in one market, each at a minute of its own, moved on by one minute at once.

An account's minute is the engine's: what whoever wants something is allowed, and the orders of that and of what a limit or
an exit may touch, come from the kernels that ``core.engine.loop`` loops, with the target as a given intent
(``tune.rl.acting``). All are then marked to market by the same rules (``core.loss_limits``), as ``core.engine.coast`` does
for a stretch. Equal to the backtest of the same targets to the last digit, which ``tests/unit/test_rl_fleet.py`` holds.
"""

import math

from core.engine.loop import add_up, quiet_between
from core.engine.market import shown_mid
from core.engine.prefetch import prefetch, prefetch_flat
from core.engine.tables import BASE, QUOTE, SEEN_MID, Logs, Scratch
from core.lean import inner, lean
from core.loss_limits import mark
from core.messages import CLOSE, VOLUME, FloatArray
from core.protection import is_on
from core.sizing import RATE
from core.units import BPS, DAY_MS, MINUTE_MS
from tune.rl.accounts import (
    CASH_SHARE,
    DAY,
    END,
    EQUITY,
    INDEX,
    INVESTED,
    POSITION_SHARE,
    QUIET_HIGH,
    QUIET_LOW,
    Fleet,
    Seen,
    Turns,
    World,
    begin_anew,
    copy,
    keep,
    mark_of,
)
from tune.rl.acting import act
from tune.rl.mask import write_masks
from tune.rl.rows import copy_row


@lean
def step(
    world: World,
    fleet: Fleet,
    turns: Turns,
    scratch: Scratch,
    logs: Logs,
    wanted: FloatArray,
    seen: Seen,
    begin: bool,
) -> int:
    """Give every account one minute of ``wanted`` (E, S, 1), targets as fractions of the investable equity (NaN keeps).

    An episode that ended begins anew at ``fleet.start``. ``begin``: nobody acts, all begin anew. Gives how many balances
    grew beyond what is counted exactly: those episodes are over, too.
    """
    lost = 0
    if not begin:
        lost = act(world, fleet, turns, scratch, logs, wanted, seen)
        _look(world, fleet, scratch, seen, True, True)
    ended = begin
    for e in range(fleet.units.shape[0]):
        if not begin and seen.ended[e]:
            ended = True
            for i in range(seen.obs.shape[1]):
                copy(seen.obs[e, i], seen.last[e, i])
    if ended:
        _look(world, fleet, scratch, seen, False, begin)
    return lost


@inner
def _look(world: World, fleet: Fleet, scratch: Scratch, seen: Seen, acting: bool, everybody: bool) -> None:
    """Move every account on to its next minute (``acting``), or to the first of its next episode, mark it to market, and
    write down what it sees there. Not ``everybody``: those whose episode ended."""
    tape, grids, rules = world.tape, world.grids, world.rules
    terms, exits, losses = rules.terms, rules.exits, rules.losses
    ints, rate = grids.ints, scratch.floats[RATE]
    mid, level, worth = scratch.floats[SEEN_MID], scratch.level, scratch.worth
    count, features = ints.shape[0], 2 * world.features.shape[2]
    schedule = rules.schedule
    newest = (schedule.slices - 1) * schedule.slice_ms + schedule.jitter_s * 1_000
    if is_on(exits):
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
            prefetch(tape.seen, i, ahead, CLOSE)
            prefetch_flat(tape.shown, i, ahead)
        if not everybody and not seen.ended[e]:
            continue
        marks, levels, close = fleet.marks[e], fleet.levels[e], fleet.close[e]
        amount = fleet.amount[e]
        k, before = fleet.at[e, INDEX], fleet.worth[e, EQUITY]
        if acting:
            k += 1
        else:
            k = fleet.start[e]
            begin_anew(world, fleet, e)
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
            state, _, _ = mark(mark_of(marks, levels), equity, day, True, losses)
            keep(state, marks, levels)
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
            row = seen.obs[e, i]
            copy_row(world.features, k, i, seen.words, e, i)
            price = mid[i] if mid[i] == mid[i] else close[i]
            held = amount[ints[i, BASE]]
            row[features + POSITION_SHARE] = held * price * rate[i] / equity if held > 0.0 else 0.0
            row[features + CASH_SHARE] = amount[ints[i, QUOTE]] * rate[i] / equity
    if world.masked:
        write_masks(world, fleet, scratch, seen, everybody)
