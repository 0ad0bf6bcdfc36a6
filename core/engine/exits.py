"""Positions as the engine keeps them, and the exits that protect them: ``core.execution.positions`` and ``exits`` over rows."""

import math

from core.book import LEVELS, depth_bound
from core.costs import UNITS, Terms
from core.engine.market import BUY, SELL, as_price
from core.engine.tables import (
    ATTEMPTS,
    DUE,
    ENTRY,
    FEE_IN_QUOTE,
    HELD,
    MAX_LOTS,
    MIN_LOTS,
    MIN_NOTIONAL,
    NEXT,
    PEAK,
    SINCE,
    STEP_UNITS,
    TAKEN_MINUTE,
    TICK,
    TICK_DEN,
    TICK_NUM,
    UNIT,
    Account,
    Grids,
    Logs,
    Tape,
)
from core.execution.schedules.twap import is_sendable
from core.lean import inlined, pasted
from core.messages import HIGH, LOW
from core.protection import NOT_DUE, ExitRules, collar_at, due_at, entry_after, exit_ticks


@pasted
def close_position(account: Account, row: int) -> None:
    """Nothing that can be sold is left of the position."""
    account.entry[row, ENTRY] = account.entry[row, PEAK] = 0.0
    for k in (SINCE, DUE, ATTEMPTS, NEXT):
        account.exits[row, k] = 0


@pasted
def hold(grids: Grids, account: Account, row: int, buying: bool, ticks: int, steps: int, fee: int, at_ms: int) -> None:
    """Book a part of a fill to the position (``core.execution.positions``)."""
    grid, entry, held = grids.ints[row], account.entry[row, ENTRY], account.exits[row, HELD]
    quantity, price = steps * grid[STEP_UNITS], as_price(ticks, grid[TICK_NUM], grids.floats[row, TICK_DEN])
    if buying:
        if entry > 0.0:
            account.entry[row, ENTRY] = entry_after(entry, held / float(UNITS), quantity / float(UNITS), price)
        else:
            account.entry[row, ENTRY] = account.entry[row, PEAK] = price
            account.exits[row, SINCE] = at_ms
        account.exits[row, HELD] = held + quantity - (0 if grid[FEE_IN_QUOTE] else fee)
    else:
        account.exits[row, HELD] = held = max(held - quantity, 0)
        # Where not even one step is left, which is most often, no division tells.
        if entry > 0.0 and (
            held < grid[STEP_UNITS]
            or not is_sendable(held // grid[STEP_UNITS], grid[MIN_LOTS], grid[MIN_NOTIONAL], ticks * grid[UNIT])
        ):
            close_position(account, row)


@inlined
def exit_order(grids: Grids, exits: ExitRules, account: Account, row: int, mid: float, now_ms: int) -> tuple[int, int]:
    """Look after one open position; gives (limit in ticks, steps) of what its exit sends now, 0 steps for nothing."""
    grid, entry, state = grids.ints[row], account.entry[row], account.exits[row]
    if exits.trail > 0.0 and mid > entry[PEAK]:
        entry[PEAK] = mid
    if state[DUE] == NOT_DUE:
        state[DUE] = due_at(entry[ENTRY], entry[PEAK], state[SINCE], mid, now_ms, exits)
    if state[DUE] == NOT_DUE or now_ms < state[NEXT]:
        return 0, 0
    ticks = int(exit_ticks(mid, grids.floats[row, TICK], collar_at(state[ATTEMPTS], exits)))
    steps = state[HELD] // grid[STEP_UNITS]
    if not is_sendable(steps, grid[MIN_LOTS], grid[MIN_NOTIONAL], ticks * grid[UNIT]):
        close_position(account, row)
        return 0, 0
    return ticks, min(steps, grid[MAX_LOTS])


@inlined
def is_calm(
    tape: Tape, grids: Grids, terms: Terms, exits: ExitRules, account: Account, row: int, e: int, now_ms: int
) -> bool:
    """Whether looking after an open position at ``now_ms``, in minute ``e``, can change nothing, by that minute's bar.

    What we took of the book ourselves moves the middle as well, by no more than half the book is deep.
    """
    bars, taken = tape.bars, account.taken[row]
    if e >= bars.shape[1] or exits.trail > 0.0 or account.exits[row, DUE] != NOT_DUE:
        return False
    if exits.time_ms > 0 and now_ms - account.exits[row, SINCE] >= exits.time_ms:
        return False
    low, high = bounds_of(grids, terms, exits, account, row)
    lowest, highest = bars[row, e, LOW], bars[row, e, HIGH]
    if taken[SELL, TAKEN_MINUTE] == e or taken[BUY, TAKEN_MINUTE] == e:
        # Twice as much as its last level lies away: beyond any doubt of rounding.
        far = 2.0 * depth_bound(terms.depth, tape.liquidity[row, e, 1])
        ticks = 2.0 * LEVELS * grids.floats[row, TICK]
        lowest, highest = lowest * (1.0 - far) - ticks, highest * (1.0 + far) + ticks
    return lowest > low and highest < high


@inlined
def log_exit(
    account: Account,
    logs: Logs,
    at: int,
    index: int,
    row: int,
    steps: int,
    ticks: int,
    mid: float,
    equity: float,
    now_ms: int,
) -> None:
    """Write an order of an exit to the log."""
    line, more, state, entry = logs.orders[at], logs.floats[at], account.exits[row], account.entry[row]
    line[0], line[1], line[2], line[3], line[4], line[5] = index, row, -steps, ticks, 0, -1
    line[6], line[7], line[8], line[9] = state[DUE], state[ATTEMPTS], now_ms, state[SINCE]
    more[0], more[1], more[2], more[3] = mid, math.nan, 0.0, equity
    more[4], more[5], more[6], more[7] = state[HELD] / float(UNITS), entry[ENTRY], entry[PEAK], math.nan
    more[8] = more[9] = more[10] = more[11] = math.nan
    for m in range(logs.shares.shape[1]):
        logs.shares[at, m] = 0.0


@inlined
def bounds_of(grids: Grids, terms: Terms, exits: ExitRules, account: Account, row: int) -> tuple[float, float]:
    """Between which prices of a bar an open position needs no looking after: no middle of the touch is near its stop or
    its profit there, however wide the spread. Without a trailing stop, which moves."""
    entry, tick = account.entry[row, ENTRY], grids.floats[row, TICK]
    low, high = 0.0, math.inf
    if exits.stop > 0.0:
        low = (entry * (1.0 - exits.stop) + 2.0 * tick) * terms.over
    if exits.profit > 0.0:
        high = (entry * (1.0 + exits.profit) - 2.0 * tick) * terms.under
    return low, high
