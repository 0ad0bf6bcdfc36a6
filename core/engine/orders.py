"""Working orders: a minute's slices and protective exits, each a limit order that fills at once, as far as it goes."""

import math

from core.book import best_ticks, room_of, take_levels
from core.checks import money_of
from core.costs import UNITS, Terms, commission
from core.engine.market import (
    BUY,
    SELL,
    as_price,
    book_at,
    forget_taken,
    half_now,
    mid_now,
    minute_of,
    price_now,
    turned_away,
)
from core.engine.tables import (
    ATTEMPTS,
    BASE,
    BUYS,
    DUE,
    ENTRY,
    EXACT,
    FEE_IN_QUOTE,
    HELD,
    LIMIT,
    MAX_LOTS,
    MIN_LOTS,
    MIN_NOTIONAL,
    NEXT,
    ORDER,
    PART_LEVEL,
    PART_STEPS,
    PEAK,
    QUOTE,
    RATE,
    ROW,
    SINCE,
    STEP,
    STEP_UNITS,
    STEPS,
    TAKEN_MINUTE,
    TAKEN_SUM,
    TICK,
    TICK_DEN,
    TICK_NUM,
    TICKS,
    UNIT,
    UNSENT,
    Account,
    Grids,
    IntArray,
    Logs,
    Tape,
)
from core.execution.twap import least_lots, next_slice
from core.lean import inlined, pasted
from core.messages import VOLUME
from core.protection import CHASE_MS, NOT_DUE, ExitRules, collar_at, due_at, entry_after, exit_ticks
from core.units import BPS, MINUTE_MS

REFUSED = -1


@pasted
def exact(units: IntArray) -> bool:
    """Whether every balance is still small enough to be counted without loss."""
    largest = 0
    for asset in range(units.shape[0]):
        largest = max(largest, units[asset])
    return largest < EXACT


@pasted
def _move(account: Account, asset: int, change: int) -> None:
    account.units[asset] += change
    account.amount[asset] = account.units[asset] / float(UNITS)


@pasted
def _covered(grids: Grids, units: IntArray, row: int, buying: bool, ticks: int, steps: int) -> bool:
    """Whether the account holds what the venue would set aside for the order."""
    grid = grids.ints[row]
    if not buying:
        return steps * grid[STEP_UNITS] <= units[grid[BASE]]
    money = money_of(steps, ticks, grid[UNIT])
    fee = commission(money, grid[RATE]) if grid[FEE_IN_QUOTE] else 0
    return money + fee <= units[grid[QUOTE]]


@pasted
def _settle(grids: Grids, account: Account, row: int, buying: bool, ticks: int, steps: int) -> int:
    """Book one part of a fill; gives the fee, in units of what it is paid in."""
    grid = grids.ints[row]
    money, quantity = steps * ticks * grid[UNIT], steps * grid[STEP_UNITS]
    if buying and not grid[FEE_IN_QUOTE]:
        fee = commission(quantity, grid[RATE])
        _move(account, grid[QUOTE], -money)
        _move(account, grid[BASE], quantity - fee)
        return fee
    fee = commission(money, grid[RATE])
    _move(account, grid[QUOTE], -(money + fee) if buying else money - fee)
    _move(account, grid[BASE], quantity if buying else -quantity)
    return fee


@pasted
def _close(account: Account, row: int) -> None:
    """Nothing that can be sold is left of the position."""
    account.entry[row, ENTRY] = account.entry[row, PEAK] = 0.0
    for k in (SINCE, DUE, ATTEMPTS, NEXT):
        account.exits[row, k] = 0


@pasted
def _hold(grids: Grids, account: Account, row: int, buying: bool, ticks: int, steps: int, fee: int, at_ms: int) -> None:
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
        if entry > 0.0 and held // grid[STEP_UNITS] < least_lots(
            grid[MIN_LOTS], grid[MIN_NOTIONAL], ticks * grid[UNIT]
        ):
            _close(account, row)


@inlined
def send(
    tape: Tape,
    grids: Grids,
    terms: Terms,
    account: Account,
    level: IntArray,
    log: IntArray,
    fills: int,
    order: int,
    index: int,
    row: int,
    buying: bool,
    ticks: int,
    steps: int,
    sent_ms: int,
    guarded: bool,
) -> tuple[int, int]:
    """One order, sent at ``sent_ms`` and matched ``latency_ms`` later; gives (steps filled or REFUSED, fills so far)."""
    side = BUY if buying else SELL
    if turned_away(tape, grids, row, sent_ms, ticks, steps):
        return REFUSED, fills
    if not _covered(grids, account.units, row, buying, ticks, steps):
        return REFUSED, fills
    at_ms = sent_ms + terms.latency_ms
    e = minute_of(tape, at_ms)
    if e >= tape.bars.shape[1] or math.isnan(tape.bars[row, e, VOLUME]):
        return 0, fills
    price = price_now(tape, row, at_ms)
    if math.isnan(price):
        return 0, fills
    half = half_now(tape, row, at_ms, price)
    taken = account.taken[row, side]
    before = taken[TAKEN_SUM] if taken[TAKEN_MINUTE] == e else 0
    room = room_of(tape.bars[row, e, VOLUME], terms.share, grids.floats[row, STEP], terms.halts)
    room = max(0, room - before)
    # Nobody walks further than what was taken before and what is wanted now, wherever in the book the former stood.
    count = book_at(tape, grids, terms, row, buying, e, price, half, level, min(steps, room) + before)
    if count == 0:
        return 0, fills
    forget_taken(taken, e)
    parts = take_levels(
        buying, level[TICKS], level[STEPS], count, taken, ticks, steps, room, level[PART_LEVEL], level[PART_STEPS]
    )
    bid, ask = best_ticks(price, half, grids.floats[row, TICK])
    done = 0
    for part in range(parts):
        k, some = level[PART_LEVEL, part], level[PART_STEPS, part]
        taken[k] += some
        taken[TAKEN_SUM] += some
        fee = _settle(grids, account, row, buying, level[TICKS, k], some)
        if guarded:
            _hold(grids, account, row, buying, level[TICKS, k], some, fee, at_ms)
        line = log[fills]
        line[0], line[1], line[2], line[3], line[4] = order, index, at_ms, row, side
        line[5], line[6], line[7], line[8], line[9] = some, level[TICKS, k], fee, bid, ask
        fills += 1
        done += some
    return done, fills


@inlined
def work(
    tape: Tape,
    grids: Grids,
    terms: Terms,
    slices: int,
    slice_ms: int,
    exits: ExitRules,
    guarded: bool,
    account: Account,
    level: IntArray,
    parent: IntArray,
    logs: Logs,
    orders: int,
    orders_before: int,
    fills: int,
    index: int,
    parents: int,
    equity: float,
) -> tuple[int, int]:
    """Work the first ``parents`` rows of ``parent`` through the schedule of minute ``index``, and what protects the
    positions meanwhile; gives (orders, fills) so far.

    Each slot sends one slice of every parent, sells first. A refusal ends a parent; what an order does not fill goes
    into the later slices; the next minute decides anew about what is left. ``guarded``: positions are looked after at
    every slot but the first and every ``exits.look_ms``; an exit that is due ends the row's parent.
    """
    start, count = tape.start_minute + (index + 1) * MINUTE_MS, grids.ints.shape[0]
    working, slot, elapsed = 0, 0, 0
    for k in range(parents):
        if guarded and account.exits[parent[k, ROW], DUE] != NOT_DUE:
            parent[k, UNSENT] = 0
        working += parent[k, UNSENT] > 0
    while elapsed < MINUTE_MS and (guarded or working > 0):
        sent = start + elapsed
        slicing = slot < slices and elapsed == slot * slice_ms
        for j in range(0 if guarded and elapsed > 0 else count, count + (parents if slicing else 0)):
            steps, unsent, k = 0, 0, j - count
            if j < count:
                row, order, ticks, buying = j, orders_before + orders, 0, False
                if account.entry[row, ENTRY] > 0.0:
                    mid = mid_now(tape, grids, terms, account.taken[row], level, row, sent)
                    before = account.exits[row, DUE]
                    if mid == mid:
                        ticks, steps = _exit(grids, exits, account, row, mid, sent)
                    if before == NOT_DUE and account.exits[row, DUE] != NOT_DUE:
                        for other in range(parents):
                            if parent[other, ROW] == row and parent[other, UNSENT] > 0:
                                parent[other, UNSENT] = 0
                                working -= 1
                    if steps > 0:
                        _log_exit(account, logs, orders, index, row, steps, ticks, mid, equity, sent)
                        orders += 1
                        account.exits[row, ATTEMPTS] += 1
                        account.exits[row, NEXT] = sent + CHASE_MS
            else:
                row, order, ticks, buying = parent[k, ROW], parent[k, ORDER], parent[k, LIMIT], parent[k, BUYS] > 0
                unsent = parent[k, UNSENT]
                if unsent > 0:
                    grid = grids.ints[row]
                    least = least_lots(grid[MIN_LOTS], grid[MIN_NOTIONAL], ticks * grid[UNIT])
                    steps = next_slice(unsent, slices - slot, least, grid[MAX_LOTS])
            done = REFUSED
            if steps > 0:
                done, fills = send(
                    tape,
                    grids,
                    terms,
                    account,
                    level,
                    logs.fills,
                    fills,
                    order,
                    index,
                    row,
                    buying,
                    ticks,
                    steps,
                    sent,
                    guarded,
                )
            if unsent > 0:
                parent[k, UNSENT] = 0 if done == REFUSED else unsent - done
                working -= parent[k, UNSENT] == 0
            elif steps > 0 and done == REFUSED:
                account.exits[row, NEXT] = sent + exits.look_ms
        slot += slicing
        later = slot * slice_ms if slot < slices else MINUTE_MS
        elapsed = min(later, (elapsed // exits.look_ms + 1) * exits.look_ms) if guarded else later
    return orders, fills


@inlined
def _exit(grids: Grids, exits: ExitRules, account: Account, row: int, mid: float, now_ms: int) -> tuple[int, int]:
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
    if steps < least_lots(grid[MIN_LOTS], grid[MIN_NOTIONAL], ticks * grid[UNIT]):
        _close(account, row)
        return 0, 0
    return ticks, min(steps, grid[MAX_LOTS])


@inlined
def _log_exit(
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
    for m in range(logs.shares.shape[1]):
        logs.shares[at, m] = 0.0


@inlined
def bounds_of(
    tape: Tape, grids: Grids, terms: Terms, exits: ExitRules, account: Account, row: int
) -> tuple[float, float]:
    """Between which prices of a bar an open position needs no looking after: no middle of the touch is near its stop or
    its profit there, however wide the spread. Without a trailing stop, which moves."""
    entry, tick = account.entry[row, ENTRY], grids.floats[row, TICK]
    wide = max(terms.half_spread_max_bps, terms.half_spread_default_bps) / BPS
    low, high = 0.0, math.inf
    if exits.stop > 0.0:
        low = (entry * (1.0 - exits.stop) + 2.0 * tick) / (1.0 - min(wide, 0.5))
    if exits.profit > 0.0:
        high = (entry * (1.0 + exits.profit) - 2.0 * tick) / (1.0 + wide)
    return low, high
