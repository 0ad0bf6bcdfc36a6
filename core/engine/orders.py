"""Working orders: a minute's slices and protective exits, each a limit order that fills at once, as far as it goes."""

from core.book import lay_levels, take_levels
from core.checks import money_of
from core.costs import UNITS, Terms, commission, fee_of_fill
from core.engine.exits import exit_order, hold, is_calm, log_exit
from core.engine.market import (
    BUY,
    SELL,
    forget_taken,
    mid_now,
    minute_of,
    quote_at,
    turned_away,
)
from core.engine.tables import (
    AGE,
    AHEAD,
    ASK,
    ATTEMPTS,
    AVERAGE,
    BASE,
    BEFORE,
    BID,
    BUYS,
    DUE,
    ENTRY,
    EXACT,
    FEE_IN_QUOTE,
    FILLABLE,
    GAP,
    GAP_UNIT,
    KAPPA,
    LEAST,
    LIFE_AGE,
    LIFE_DONE,
    LIFE_INDEX,
    LIFE_SIDE,
    LIMIT,
    MAX_LOTS,
    MIN_LOTS,
    MIN_NOTIONAL,
    NEXT,
    NOTHING,
    NOW,
    ORDER,
    PART_LEVEL,
    PART_STEPS,
    PASSED,
    PRICE_SENT,
    QUANTITY,
    QUOTE,
    QUOTED,
    RATE,
    ROW,
    SENT,
    SLOT,
    STEP,
    STEP_UNITS,
    STEPS,
    TAKEN_MINUTE,
    TAKEN_SUM,
    TICKS,
    UNIT,
    UNSENT,
    Account,
    Courses,
    Grids,
    IntArray,
    Logs,
    Tape,
)
from core.execution.schedules.rule import EVEN, VOLUME_CURVE, Schedule, Stage, due_lots, jitter_of, next_stage
from core.execution.schedules.twap import least_lots
from core.execution.schedules.volume_curve import shares_ahead
from core.impact import IMPACT_MINUTES, flow_at
from core.lean import inlined, pasted, shared
from core.messages import VOLUME, FloatArray
from core.protection import CHASE_MS, NOT_DUE, ExitRules
from core.units import MINUTE_MS

REFUSED = -1


@pasted
def exact(units: IntArray) -> bool:
    """Whether every balance is still small enough to be counted without loss."""
    asset = 0
    while asset < units.shape[0] and units[asset] < EXACT:
        asset += 1
    return asset == units.shape[0]


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
    """Book one part of a fill in ``units`` alone; gives the fee, in units of what it is paid in."""
    grid = grids.ints[row]
    money, quantity = money_of(steps, ticks, grid[UNIT]), steps * grid[STEP_UNITS]
    fee, in_base = fee_of_fill(buying, grid[FEE_IN_QUOTE] != 0, grid[RATE], quantity, money)
    sign = 1 if buying else -1
    account.units[grid[BASE]] += sign * quantity - (fee if in_base else 0)
    account.units[grid[QUOTE]] += -sign * money - (0 if in_base else fee)
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
    row: int,
    buying: bool,
    ticks: int,
    steps: int,
    sent_ms: int,
    guarded: bool,
    quote: FloatArray,
    place: int,
) -> tuple[int, int]:
    """One order, sent at ``sent_ms`` and matched ``latency_ms`` later; gives (steps filled or REFUSED, fills so far).

    What it meets stands in ``quote`` from ``place`` on (``quote_at``).
    """
    side = BUY if buying else SELL
    if turned_away(grids, row, quote[place + AVERAGE], quote[place + PRICE_SENT], ticks, steps):
        return REFUSED, fills
    if not _covered(grids, account.units, row, buying, ticks, steps):
        return REFUSED, fills
    if quote[place + FILLABLE] == NOTHING:
        return 0, fills
    at_ms = sent_ms + terms.latency_ms
    e = minute_of(tape, at_ms)
    taken = account.taken[row, side]
    before = taken[TAKEN_SUM] if taken[TAKEN_MINUTE] == e else 0
    room = max(0, int(quote[place + FILLABLE]) - before)
    bid, ask = int(quote[place + BID]), int(quote[place + ASK])
    # Nobody walks further than what was taken before and what is wanted now, wherever in the book the former stood.
    enough = min(steps, room) + before
    gap, unit = int(quote[place + GAP]), quote[place + GAP_UNIT]
    count = lay_levels(ask if buying else bid, buying, gap, unit, level[TICKS], level[STEPS], enough)
    if count == 0:
        return 0, fills
    forget_taken(taken, e)
    parts = take_levels(
        buying, level[TICKS], level[STEPS], count, taken, ticks, steps, room, level[PART_LEVEL], level[PART_STEPS]
    )
    done = 0
    for part in range(parts):
        k, some = level[PART_LEVEL, part], level[PART_STEPS, part]
        taken[k] += some
        taken[TAKEN_SUM] += some
        fee = _settle(grids, account, row, buying, level[TICKS, k], some)
        if guarded:
            hold(grids, account, row, buying, level[TICKS, k], some, fee, at_ms)
        line = log[fills]
        line[0], line[1], line[2], line[3] = order, at_ms, some, level[TICKS, k]
        line[4], line[5], line[6] = fee, bid, ask
        fills += 1
        done += some
    for asset in (grids.ints[row, BASE], grids.ints[row, QUOTE]):
        account.amount[asset] = account.units[asset] / float(UNITS)
    return done, fills


@shared
def begin(
    tape: Tape,
    grids: Grids,
    schedule: Schedule,
    courses: Courses,
    parent: IntArray,
    index: int,
    parents: int,
    mid: FloatArray,
    rate: FloatArray,
) -> None:
    """Where the first ``parents`` rows of ``parent`` stand in their lives in minute ``index``: on where the minute
    before worked the same way, else at the beginning."""
    for k in range(parents):
        row, quantity = parent[k, ROW], parent[k, QUANTITY]
        life, course = courses.life[row], courses.stage[row]
        step = grids.floats[row, STEP]
        continues = life[LIFE_INDEX] == index - 1 and life[LIFE_SIDE] == parent[k, BUYS]
        last = Stage(life[LIFE_AGE], 0 * quantity, course[PASSED], course[NOW], course[AHEAD], course[KAPPA])
        volume, sigma = flow_at(tape.seen[row], index, IMPACT_MINUTES)
        share, ahead = 1.0, 0.0
        if schedule.kind == VOLUME_CURVE:
            left = schedule.minutes - (last.age + 1 if continues and last.age + 1 < schedule.minutes else 0)
            share, ahead = shares_ahead(courses.curve[row], tape.start_minute // MINUTE_MS + index + 1, left)
        stage = next_stage(
            schedule,
            last,
            continues,
            life[LIFE_DONE],
            float(quantity),
            tape.seen[row, index, VOLUME] / step,
            volume / step,
            sigma,
            quantity * step * mid[row] * rate[row],
            share,
            ahead,
        )
        parent[k, BEFORE], parent[k, AGE] = stage.before, stage.age
        course[PASSED], course[NOW], course[AHEAD], course[KAPPA] = stage.passed, stage.now, stage.ahead, stage.kappa
        life[LIFE_SIDE], life[LIFE_INDEX], life[LIFE_AGE] = parent[k, BUYS], index, stage.age


@inlined
def work(
    tape: Tape,
    grids: Grids,
    terms: Terms,
    schedule: Schedule,
    exits: ExitRules,
    guarded: bool,
    account: Account,
    mid: FloatArray,
    rate: FloatArray,
    level: IntArray,
    own: FloatArray,
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

    Each slot sends one slice of every parent, sells first, each as late as its jitter says. A refusal ends a parent;
    what an order does not fill goes into the later slices; the next minute decides anew about what is left.
    ``guarded``: positions are looked after at every beat of the schedule but the first and every ``exits.look_ms``; an
    exit that is due ends the row's parent. ``own`` (QUOTED,) is room for what an order meets that is not in the tape.
    """
    tabled = tape.quotes.shape[1] > 0
    start, count = tape.start_minute + (index + 1) * MINUTE_MS, grids.ints.shape[0]
    courses, spans = account.courses, schedule.kind != EVEN
    if spans:
        begin(tape, grids, schedule, courses, parent, index, parents, mid, rate)
    working = 0
    for k in range(parents):
        if guarded and account.exits[parent[k, ROW], DUE] != NOT_DUE:
            parent[k, QUANTITY] -= parent[k, UNSENT]
            parent[k, UNSENT] = 0
        working += parent[k, UNSENT] > 0
        grid = grids.ints[parent[k, ROW]]
        # Asked at every slot; a division takes as long as much of what a slot does.
        parent[k, LEAST] = least_lots(grid[MIN_LOTS], grid[MIN_NOTIONAL], parent[k, LIMIT] * grid[UNIT])
    # Counted up, not divided: a division takes as long as all else that a beat without an order does.
    slot, late, elapsed, look = 0, 0, 0, exits.look_ms
    while elapsed < MINUTE_MS and (guarded or working > 0):
        sent = start + elapsed
        # Read back in the loop below: what follows from them is then made where it is needed, and not, as a compiler does
        # with what stays the same, before a loop of most often a single turn.
        parent[0, SENT], parent[0, SLOT] = sent, slot
        acting = slot < schedule.slices and elapsed == slot * schedule.slice_ms + late * 1_000
        looking = False
        if guarded and elapsed > 0:
            for row in range(count):
                if account.entry[row, ENTRY] > 0.0 and not looking:
                    looking = not is_calm(tape, grids, terms, exits, account, row, index + 1, sent)
        for j in range(0 if looking else count, count + (parents if acting else 0)):
            steps, unsent, k, at_ms = 0, 0, j - count, parent[0, SENT]
            done = REFUSED
            if j < count:
                row, order, ticks, buying = j, orders_before + orders, 0, False
                if account.entry[row, ENTRY] > 0.0 and not is_calm(
                    tape, grids, terms, exits, account, row, minute_of(tape, at_ms), at_ms
                ):
                    now = mid_now(tape, grids, terms, account.taken[row], level, row, at_ms)
                    before = account.exits[row, DUE]
                    if now == now:
                        ticks, steps = exit_order(grids, exits, account, row, now, at_ms)
                    if before == NOT_DUE and account.exits[row, DUE] != NOT_DUE:
                        for other in range(parents):
                            if parent[other, ROW] == row and parent[other, UNSENT] > 0:
                                parent[other, QUANTITY] -= parent[other, UNSENT]
                                parent[other, UNSENT] = 0
                                working -= 1
                    if steps > 0:
                        log_exit(account, logs, orders, index, row, steps, ticks, now, equity, at_ms)
                        orders += 1
                        account.exits[row, ATTEMPTS] += 1
                        account.exits[row, NEXT] = at_ms + CHASE_MS
            else:
                row, order, ticks, buying = parent[k, ROW], parent[k, ORDER], parent[k, LIMIT], parent[k, BUYS] > 0
                mine = 0
                if schedule.jitter_s > 0:
                    mine = jitter_of(courses.seed[row], start // MINUTE_MS, parent[0, SLOT], schedule.jitter_s)
                if late == mine:
                    unsent = parent[k, UNSENT]
                if unsent > 0:
                    grid, course = grids.ints[row], courses.stage[row]
                    least = parent[k, LEAST]
                    stage = Stage(
                        parent[k, AGE], parent[k, BEFORE], course[PASSED], course[NOW], course[AHEAD], course[KAPPA]
                    )
                    steps = due_lots(
                        schedule, stage, parent[0, SLOT], unsent, parent[k, QUANTITY], least, grid[MAX_LOTS]
                    )
                    done = 0 if unsent >= least else REFUSED
            if steps > 0:
                quote, place = own, 0 * steps  # no literal (core.lean)
                if tabled and j >= count:
                    quote, place = tape.quotes[row, index], parent[0, SLOT] * QUOTED
                else:
                    quote_at(tape, grids, terms, row, at_ms, own)
                done, fills = send(
                    tape,
                    grids,
                    terms,
                    account,
                    level,
                    logs.fills,
                    fills,
                    order,
                    row,
                    buying,
                    ticks,
                    steps,
                    at_ms,
                    guarded,
                    quote,
                    place,
                )
            if unsent > 0:
                if done == REFUSED and spans:
                    # What is given up is not done: it leaves the parent's quantity.
                    parent[k, QUANTITY] -= unsent
                parent[k, UNSENT] = 0 if done == REFUSED else unsent - done
                working -= parent[k, UNSENT] == 0
            elif steps > 0 and done == REFUSED:
                account.exits[row, NEXT] = at_ms + exits.look_ms
        late += acting
        if late > schedule.jitter_s:
            slot, late = slot + 1, 0
        later = slot * schedule.slice_ms + late * 1_000 if slot < schedule.slices else MINUTE_MS
        if guarded:
            while look <= elapsed:
                look += exits.look_ms
            later = min(later, look)
        elapsed = later
        if guarded and working == 0:
            # Nothing of ours moves the book any more: where the bar shows that no exit can become due, nobody looks.
            guarded = False
            for row in range(count):
                if account.entry[row, ENTRY] > 0.0:
                    ahead = is_calm(tape, grids, terms, exits, account, row, index + 1, start + MINUTE_MS)
                    guarded = guarded or not ahead
    if spans:
        for k in range(parents):
            courses.life[parent[k, ROW], LIFE_DONE] = parent[k, BEFORE] + parent[k, QUANTITY] - parent[k, UNSENT]
    return orders, fills
