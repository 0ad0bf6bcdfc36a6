"""Working an order: a minute's slices, each a limit order that fills at once, as far as it goes, or not at all."""

import math

from core.book import best_ticks, room_of, take_levels
from core.checks import money_of
from core.costs import UNITS, Terms, commission, fee_of_fill
from core.engine.market import BUY, SELL, book_at, forget_taken, half_now, minute_of, price_now, turned_away
from core.engine.tables import (
    BASE,
    BUYS,
    EXACT,
    FEE_IN_QUOTE,
    LIMIT,
    MAX_LOTS,
    MIN_LOTS,
    MIN_NOTIONAL,
    ORDER,
    PART_LEVEL,
    PART_STEPS,
    QUOTE,
    RATE,
    ROW,
    STEP,
    STEP_UNITS,
    STEPS,
    TAKEN_MINUTE,
    TAKEN_SUM,
    TICK,
    TICKS,
    UNIT,
    UNSENT,
    Account,
    Grids,
    IntArray,
    Tape,
)
from core.execution.twap import least_lots, next_slice
from core.lean import inlined, pasted
from core.messages import VOLUME
from core.units import MINUTE_MS

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
    money, quantity = money_of(steps, ticks, grid[UNIT]), steps * grid[STEP_UNITS]
    fee, in_base = fee_of_fill(buying, grid[FEE_IN_QUOTE] != 0, grid[RATE], quantity, money)
    sign = 1 if buying else -1
    _move(account, grid[BASE], sign * quantity - (fee if in_base else 0))
    _move(account, grid[QUOTE], -sign * money - (0 if in_base else fee))
    return fee


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
    account: Account,
    level: IntArray,
    parent: IntArray,
    log: IntArray,
    fills: int,
    index: int,
    parents: int,
) -> int:
    """Work the first ``parents`` rows of ``parent`` through the schedule of minute ``index``; gives fills so far.

    Each slot sends one slice of every parent, sells first. A refusal ends a parent; what an order does not fill goes
    into the later slices; the next minute decides anew about what is left.
    """
    start = tape.start_minute + (index + 1) * MINUTE_MS
    working = parents
    slot = 0
    while slot < slices and working > 0:
        sent = start + slot * slice_ms
        for k in range(parents):
            unsent = parent[k, UNSENT]
            if unsent == 0:
                continue
            row, order, ticks, buying = parent[k, ROW], parent[k, ORDER], parent[k, LIMIT], parent[k, BUYS] > 0
            grid = grids.ints[row]
            least = least_lots(grid[MIN_LOTS], grid[MIN_NOTIONAL], ticks * grid[UNIT])
            steps = next_slice(unsent, slices - slot, least, grid[MAX_LOTS])
            done = REFUSED
            if steps > 0:
                done, fills = send(
                    tape, grids, terms, account, level, log, fills, order, index, row, buying, ticks, steps, sent
                )
            parent[k, UNSENT] = 0 if done == REFUSED else unsent - done
            if parent[k, UNSENT] == 0:
                working -= 1
        slot += 1
    return fills
