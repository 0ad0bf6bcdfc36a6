"""The minute of ``core.minute``, compiled, looped over years: the same kernels in the same order.

What a LocalDesk does for one minute with objects stands here as one pass over rows: what is seen, what it is worth,
what the members say, what is wanted, what is allowed, and the minute's orders. Equal to it to the last digit, which
``tests/unit/test_engine.py`` holds.

Above 400 lines because one minute is read here from top to bottom; what it sees of the market, and how orders are
worked, stand beside it.
"""

import math

from core.ceilings import JOINT, KELLY, VOLATILITY, set_ceilings
from core.cost_gate import HALF_SPREAD, SIGMA, TRADED, gate_into
from core.engine.coast import coast, next_asked
from core.engine.exits import bounds_of
from core.engine.market import shown_mid, shown_touch
from core.engine.orders import exact, work
from core.engine.prefetch import prefetch_flat
from core.engine.tables import (
    ASKED,
    BASE,
    BUY_SCALE,
    BUYS,
    CALM_HIGH,
    CALM_LOW,
    DUE,
    EDGE,
    ENTRY,
    EQUITY,
    FEE_IN_QUOTE,
    FREE_LOTS,
    FRESH,
    INVESTED,
    IS_ASKED,
    LIMIT,
    MEAN,
    MIN_LOTS,
    MIN_NOTIONAL,
    NEXT_ASKED,
    ORDER,
    PAID_FROM,
    POSITION,
    QUANTITY,
    QUOTE,
    REGIME,
    ROW,
    SEEN_EDGE,
    SEEN_MID,
    SEEN_SPREAD,
    SHOCK,
    SINCE,
    STDEV,
    STEP_UNITS,
    TABLE,
    TRADABLE,
    UNIT,
    UNSENT,
    WANTED,
    WORTH,
    Account,
    Columns,
    Grids,
    IntArray,
    Logs,
    Rules,
    Said,
    Scratch,
    Tape,
    looks_of,
)
from core.execution.estimate import half_spread_of_touch
from core.execution.schedules.twap import least_lots
from core.guards import GuardRules, close_trip
from core.impact import IMPACT_MINUTES, flow_at
from core.lean import inlined, inner, lean, pasted
from core.loss_limits import ACTIVE, LossLimits, Mark, block_stale, fill_into, is_closing, managed, mark
from core.messages import CLOSE, HIGH, LOW, VOLUME, FloatArray
from core.protection import NOT_DUE, STOP_LOSS, TRAILING_STOP, is_on
from core.round_trips import HELD as BOUGHT
from core.round_trips import TRIP, count_fill
from core.selection import SelectionRules, choose_targets, combine, disagree, share_out
from core.sizing import ALLOWED, HELD, LOTS, MID, MOST, PRICE, RATE, TARGET, Caps, risen_above, size_into
from core.sizing import ASKED as ASKED_CHANGE
from core.sizing import TICKS as SIZED_TICKS
from core.units import DAY_MS, MINUTE_MS
from core.votes import SPOKE, fault_of

DONE, FULL, TOO_LARGE = range(3)
"""Why ``advance`` returned: the end, the logs, or a balance that is not counted exactly any more."""


@lean
def advance(
    tape: Tape,
    grids: Grids,
    rules: Rules,
    account: Account,
    state: Mark,
    said: Said,
    scratch: Scratch,
    columns: Columns,
    logs: Logs,
    first: int,
    end: int,
    orders_before: int,
) -> tuple[int, int, Mark, int, int]:
    """Run the minutes with tape indices [first, end); gives (why it stopped, next index, state, orders, fills logged).

    ``orders_before`` orders were logged in earlier calls. Called again with what it gave, and emptied logs, it goes on
    as if it had never stopped.

    Half the spread at a decision is logged only where the account's own orders may have moved it, or forecasts are held
    against it: whoever asks finds the others' in the tape (``tune.simulated_tables``).
    """
    # Named once: reaching into a tuple of arrays minute by minute costs more than the minute.
    recorded, shown, start_minute = tape.seen, tape.shown, tape.start_minute
    units, amount, close = account.units, account.amount, account.close
    grid_ints, level = grids.ints, scratch.level
    fresh, position, mid = scratch.flags[FRESH], scratch.floats[POSITION], scratch.floats[SEEN_MID]
    target, rate, worth = scratch.floats[WANTED], scratch.floats[RATE], scratch.worth
    most = scratch.floats[MOST]
    minutes, states, stride = columns.minutes, columns.state, columns.stride
    ensemble, losses, terms = said.ensemble, rules.losses, rules.terms
    asked_at, asked, parent = said.asked_at, said.target, scratch.parent
    count = grid_ints.shape[0]
    schedule = rules.schedule
    exits, protecting = rules.exits, is_on(rules.exits)
    looks = looks_of(rules)
    most_orders, most_fills = count * (1 + looks), count * (schedule.slices + looks) * level.shape[1]
    calm_low, calm_high = scratch.floats[CALM_LOW], scratch.floats[CALM_HIGH]
    bars, last = tape.bars, tape.bars.shape[1] - 1
    # Whether an order's latency may carry it into the next minute, whose touch then shows what it took.
    newest = (schedule.slices - 1) * schedule.slice_ms + schedule.jitter_s * 1_000
    if protecting:
        newest = max(newest, MINUTE_MS - exits.look_ms)
    late = newest + terms.latency_ms >= MINUTE_MS
    # The usual account: every instrument is paid from one balance and has a coin of its own.
    one_purse = True
    for i in range(count):
        one_purse = one_purse and grid_ints[i, QUOTE] == 0 and grid_ints[i, BASE] == i + 1
    # One minute alone is not worth a look ahead.
    coasting = one_purse and not ensemble and not late and end > first + 1
    for i in range(count):
        parent[i, NEXT_ASKED] = said.asked_from[i]
    # Typed from the start: a literal would have the callees compiled twice.
    orders, fills, noted = first - first, first - first, orders_before >= 0
    # The day that was marked to market last (none yet), and between which equities that need not be done again.
    marked_day, quiet_low, quiet_high = first - first - 1, math.inf, -math.inf
    index = first
    next_row = first - columns.first
    grid_row = (next_row + stride - 1) // stride
    next_row = grid_row * stride
    equity, invested, moved = math.nan, 0.0, True
    while index < end:
        if coasting and not is_closing(state.state, state.closing):
            stop = min(end, columns.first + minutes.shape[1] - 1)
            stop = min(stop, ((marked_day + 1) * DAY_MS - start_minute) // MINUTE_MS)
            for i in range(count):
                calm_low[i], calm_high[i] = 0.0, math.inf
                if protecting and account.entry[i, ENTRY] > 0.0:
                    calm_low[i], calm_high[i] = bounds_of(grids, terms, exits, account, i)
                    if account.exits[i, DUE] != NOT_DUE or exits.trail > 0.0:
                        stop = index
                    if exits.time_ms > 0:
                        ends = account.exits[i, SINCE] + exits.time_ms
                        stop = min(stop, (ends - start_minute) // MINUTE_MS - 1)
                    stop = min(stop, last)
            if index < stop:
                purse = 0.0 if amount[0] == 0.0 else amount[0] * rate[0]
                for i in range(count):
                    position[i] = amount[grid_ints[i, BASE]]
                index, grid_row = coast(
                    shown,
                    recorded,
                    bars,
                    tape.extremes,
                    protecting,
                    calm_low,
                    calm_high,
                    tape.liquidity,
                    asked_at,
                    asked,
                    parent,
                    rate,
                    most,
                    rules.caps,
                    losses,
                    position,
                    close,
                    minutes,
                    states,
                    columns.grid,
                    columns.first,
                    stride,
                    purse,
                    state.state,
                    not moved,
                    quiet_low,
                    quiet_high,
                    grid_row,
                    index,
                    stop,
                )
                next_row = grid_row * stride
                if index == end:
                    break
        if orders + most_orders > logs.orders.shape[0] or fills + most_fills > logs.fills.shape[0]:
            return FULL, index, state, orders, fills
        minute = start_minute + index * MINUTE_MS
        k = index - said.first
        # --- what is seen: a bar of this minute and a book make a row fresh
        for i in range(count):
            if recorded[i, index, VOLUME] == recorded[i, index, VOLUME]:
                close[i] = recorded[i, index, CLOSE]
            position[i] = amount[grid_ints[i, BASE]]
            mid[i] = shown[i, index]
            if late and mid[i] == mid[i]:
                mid[i] = shown_mid(tape, grids, terms, account.taken[i], level, i, index)
            fresh[i] = mid[i] == mid[i]
            moved = moved or position[i] > 0.0
        # --- what it is worth; nothing to do while nothing is held and nothing changed
        day = minute // DAY_MS
        if moved or day != marked_day:
            if one_purse:
                equity, invested = 0.0 if amount[0] == 0.0 else amount[0] * rate[0], 0.0
                for i in range(count):
                    if position[i] > 0.0:
                        price = mid[i] if mid[i] == mid[i] else close[i]
                        equity += position[i] * (price * rate[i])
                        invested += position[i] * (price * rate[i])
            else:
                equity, invested = add_up(amount, grid_ints, mid, close, rate, worth)
            if not (day == marked_day and quiet_low < equity <= quiet_high):
                state, _, _ = mark(state, equity, day, True, losses)
                quiet_low, quiet_high = quiet_between(state, losses)
            marked_day, moved = day, False
        # --- what is wanted
        if ensemble:
            _listen(said, scratch, close, rules.selection, equity, k)
        else:
            for i in range(count):
                n = next_asked(asked_at, parent[i, NEXT_ASKED], index)
                parent[i, NEXT_ASKED] = n
                target[i] = asked[n] if asked_at[n] == index else math.nan
        # --- what is allowed
        wanted = False
        closing = is_closing(state.state, state.closing)
        for i in range(count):
            if target[i] > 0.0 or (position[i] > 0.0 and (target[i] <= 0.0 or closing)):
                wanted = True
            elif position[i] > 0.0 and mid[i] == mid[i]:
                own = managed(equity, losses.capital, losses.capital_usdt)
                wanted = wanted or risen_above(position[i] * mid[i] * rate[i], most[i], own, rules.caps) > 0.0
        parents = 0
        if wanted:
            size_wanted(tape, grid_ints, rules, account, scratch, state, equity, index, ensemble)
            if ensemble or late:
                _gate(tape, grids, rules, account, level, scratch, index)
            regime = said.which[REGIME, k] if ensemble else -1
            parents = log_orders(scratch, logs, orders, orders_before, index, regime, equity, noted)
            orders += parents
            account.today[1] += parents
        # --- written down
        c = index - columns.first
        minutes[EQUITY, c] = equity
        minutes[INVESTED, c] = invested
        if state.state != ACTIVE:
            states[c] = state.state
        if c == next_row or c + 1 == minutes.shape[1]:
            _write(close, scratch, columns, grid_row)
            next_row += stride
            grid_row += 1
        # --- the orders, and what protects the positions until the next decision
        guarded = protecting and parents > 0
        if protecting and not guarded:
            for i in range(count):
                if account.entry[i, ENTRY] > 0.0:
                    low, high = bounds_of(grids, terms, exits, account, i)
                    ahead = min(index + 1, last)
                    guarded = guarded or index == last or exits.trail > 0.0 or account.exits[i, DUE] != NOT_DUE
                    guarded = guarded or bars[i, ahead, LOW] <= low or bars[i, ahead, HIGH] >= high
                    ends = account.exits[i, SINCE] + exits.time_ms
                    guarded = guarded or (exits.time_ms > 0 and ends < minute + 2 * MINUTE_MS)
        if parents > 0 or guarded:
            orders, fills = carry_out(
                tape,
                grids,
                rules,
                account,
                scratch,
                logs,
                orders,
                orders_before,
                fills,
                index,
                parents,
                guarded,
                equity,
            )
            # The next order and its fills will be written there.
            for j in range(0, 12, 8):
                prefetch_flat(logs.orders, orders, j)
                prefetch_flat(logs.floats, orders, j)
            for j in range(4):
                prefetch_flat(logs.fills, fills + j, 0)
            moved = True
            if not exact(units):
                return TOO_LARGE, index + 1, state, orders, fills
        index += 1
    return DONE, index, state, orders, fills


@inner
def quiet_between(state: Mark, losses: LossLimits) -> tuple[float, float]:
    """Between which equities (above the first, up to the second) marking to market on the same day changes nothing.

    The lower one stands a little above where a limit is breached, beyond any doubt of rounding: there ``mark`` decides.
    """
    if math.isnan(state.peak) or math.isnan(state.day_equity):
        return math.inf, -math.inf
    day, peak = state.day_equity, state.peak
    low = max(
        day - managed(day, losses.capital, losses.capital_usdt) * losses.daily_loss_pct / 100.0,
        state.day_money - losses.daily_loss_usdt,
        peak - managed(peak, losses.capital, losses.capital_usdt) * losses.max_drawdown_pct / 100.0,
    )
    return max(low, 0.0) + 1e-9 * state.peak, state.peak


@inner
def add_up(
    amount: FloatArray, grid: IntArray, mid: FloatArray, close: FloatArray, rate: FloatArray, worth: FloatArray
) -> tuple[float, float]:
    """(equity, invested) in USDT: every asset once, in the order of ``core.cache``; NaN when a held one has no price.

    ``amount`` (A,) of each asset, ``mid`` (S,) NaN where the close counts; ``worth`` (A,) is written.
    """
    for a in range(worth.shape[0]):
        worth[a] = math.nan
    quotes = 0
    for i in range(mid.shape[0]):
        asset = grid[i, QUOTE]
        quotes = max(quotes, asset + 1)
        if not math.isfinite(worth[asset]):
            worth[asset] = 0.0 if amount[asset] == 0.0 else amount[asset] * rate[i]
    for i in range(mid.shape[0]):
        asset = grid[i, BASE]
        if not math.isfinite(worth[asset]):
            price = close[i] if math.isnan(mid[i]) else mid[i]
            worth[asset] = 0.0 if amount[asset] == 0.0 else amount[asset] * (price * rate[i])
    equity, invested = 0.0, 0.0
    for a in range(worth.shape[0]):
        equity += worth[a]
        if a >= quotes:
            invested += worth[a]
    return equity, invested


@inner
def _listen(said: Said, scratch: Scratch, close: FloatArray, selection: SelectionRules, equity: float, k: int) -> None:
    """Weigh the votes of minute ``k`` of ``said`` into targets."""
    asked, scale = scratch.flags[IS_ASKED], scratch.floats[BUY_SCALE]
    mean, stdev = scratch.votes[MEAN], scratch.votes[STDEV]
    for i in range(asked.shape[0]):
        asked[i] = said.flags[ASKED, i, k]
        scale[i] = selection.shock_scale if said.flags[SHOCK, i, k] else 1.0
    for m in range(scratch.weights.shape[0]):
        for i in range(asked.shape[0]):
            mean[m, i] = said.votes[MEAN, m, i, k] if asked[i] else math.nan
            stdev[m, i] = said.votes[STDEV, m, i, k] if asked[i] else math.nan
        scratch.spoke[m] = fault_of(mean[m], stdev[m], asked)[0] == SPOKE
    share_out(said.weights[said.which[TABLE, k], said.which[REGIME, k]], scratch.spoke, scratch.weights)
    edge, position, fresh = scratch.floats[SEEN_EDGE], scratch.floats[POSITION], scratch.flags[FRESH]
    combine(scratch.weights, mean, edge)
    rate, target = scratch.floats[RATE], scratch.floats[WANTED]
    choose_targets(edge, position, close, rate, equity, fresh, selection, target)


@inlined
def fill_rows(
    tape: Tape,
    grid: IntArray,
    rules: Rules,
    account: Account,
    scratch: Scratch,
    state: Mark,
    equity: float,
    index: int,
) -> Caps:
    """Write what this minute shows to the sizing's tables; gives the limits as they are now."""
    minute = tape.start_minute + index * MINUTE_MS
    now = caps_now(rules, account.today, equity, minute)
    position, cash, sellable = scratch.floats[POSITION], scratch.floats[PAID_FROM], scratch.floats[FREE_LOTS]
    for i in range(position.shape[0]):
        cash[i] = account.amount[grid[i, QUOTE]]
        sellable[i] = float(account.units[grid[i, BASE]] // grid[i, STEP_UNITS])
    fill_into(
        scratch.floats,
        scratch.ints,
        scratch.floats[WANTED],
        position,
        sellable,
        scratch.floats[SEEN_MID],
        account.close,
        cash,
        scratch.flags[FRESH],
        scratch.flags[TRADABLE],
        True,
        state.state,
        state.closing,
        account.guards.ints,
        minute + MINUTE_MS,
    )
    block_stale(scratch.ints, tape.seen, index + 1, rules.stale_minutes)
    return now


@inlined
def caps_now(rules: Rules, today: IntArray, equity: float, minute: int) -> Caps:
    """The limits in the minute that opens at ``minute``, epoch ms; begins to count ``today``'s orders with the day."""
    caps, losses = rules.caps, rules.losses
    if today[0] != minute // DAY_MS:
        today[0], today[1] = minute // DAY_MS, 0
    return Caps(
        managed(equity, losses.capital, losses.capital_usdt),
        caps.invest,
        caps.min_order,
        caps.max_order,
        caps.max_position,
        caps.max_gross,
        caps.band,
        caps.collar,
        max(0.0, min(caps.max_orders, rules.max_orders_per_day - today[1])),
        caps.max_order_usdt,
    )


@inlined
def size_wanted(
    tape: Tape,
    grid: IntArray,
    rules: Rules,
    account: Account,
    scratch: Scratch,
    state: Mark,
    equity: float,
    index: int,
    ensemble: bool,
) -> None:
    """What the limits leave of what is wanted."""
    now = fill_rows(tape, grid, rules, account, scratch, state, equity, index)
    edge, spread = scratch.floats[SEEN_EDGE], scratch.floats[SEEN_SPREAD]
    if ensemble:
        disagree(scratch.weights, scratch.votes[MEAN], scratch.votes[STDEV], edge, spread)
    set_ceilings(
        scratch.floats,
        scratch.ints,
        now,
        rules.ceilings,
        edge,
        spread,
        scratch.floats[BUY_SCALE],
        tape.seen,
        tape.volatility,
        index,
        scratch.returns,
        scratch.told,
    )
    size_into(scratch.floats, scratch.ints, now, scratch.sizing, scratch.sizing_flags, scratch.limits)


@inlined
def carry_out(
    tape: Tape,
    grids: Grids,
    rules: Rules,
    account: Account,
    scratch: Scratch,
    logs: Logs,
    orders: int,
    orders_before: int,
    fills: int,
    index: int,
    parents: int,
    guarded: bool,
    equity: float,
) -> tuple[int, int]:
    """Work the orders of minute ``index`` and count what they fill; gives (orders, fills) so far."""
    before = fills
    orders, fills = work(
        tape,
        grids,
        rules.terms,
        rules.schedule,
        rules.exits,
        guarded,
        account,
        scratch.floats[SEEN_MID],
        scratch.floats[RATE],
        scratch.level,
        scratch.quote,
        scratch.parent,
        logs,
        orders,
        orders_before,
        fills,
        index,
        parents,
        equity,
    )
    _count_fills(grids, account, logs, before, fills, orders_before, rules.guards)
    return orders, fills


@inlined
def _count_fills(
    grids: Grids, account: Account, logs: Logs, first: int, end: int, orders_before: int, rules: GuardRules
) -> None:
    """Count the fills [first, end) of the log into round trips; those that it closes may pause what comes."""
    guards = account.guards
    for k in range(first, end):
        line = logs.fills[k]
        order, at_ms, steps, price, fee = logs.orders[line[0] - orders_before], line[1], line[2], line[3], line[4]
        row, buying = order[1], order[2] > 0
        grid = grids.ints[row]
        coins, money = steps * grid[STEP_UNITS], steps * price * grid[UNIT]
        if buying and not grid[FEE_IN_QUOTE]:
            coins -= fee
        else:
            money += fee if buying else -fee
        trip = guards.floats[row, :TRIP]
        least = 0 * coins
        # Where all is sold, nobody asks how much may be left.
        if not buying and trip[BOUGHT] > float(coins):
            least = least_lots(grid[MIN_LOTS], grid[MIN_NOTIONAL], price * grid[UNIT]) * grid[STEP_UNITS]
        closed, result = count_fill(trip, buying, float(coins), float(money), float(least))
        if closed:
            stopped = result < 0.0 and order[6] in (STOP_LOSS, TRAILING_STOP)
            close_trip(guards, row, at_ms, result, stopped, rules)


@inlined
def _gate(
    tape: Tape, grids: Grids, rules: Rules, account: Account, level: IntArray, scratch: Scratch, index: int
) -> None:
    """What the forecasts pay for of what was sized."""
    edge, costs = scratch.floats[SEEN_EDGE], scratch.costs
    for i in range(edge.shape[0]):
        if scratch.sizing[LOTS, i] != 0.0:
            bid, ask = shown_touch(tape, grids, rules.terms, account.taken[i], level, i, index)
            costs[HALF_SPREAD, i] = half_spread_of_touch(bid, ask)
            if scratch.sizing[LOTS, i] > 0.0 and edge[i] == edge[i]:
                costs[TRADED, i], costs[SIGMA, i] = flow_at(tape.seen[i], index, IMPACT_MINUTES)
    gate_into(scratch.floats, rules.caps, rules.gate, edge, costs, scratch.sizing, scratch.limits)


@inlined
def log_orders(
    scratch: Scratch,
    logs: Logs,
    orders: int,
    orders_before: int,
    index: int,
    regime: int,
    equity: float,
    noted: bool,
) -> int:
    """Write the sized orders to the log, in row order, and to ``scratch.parent``, sells first; gives how many. ``noted``:
    somebody reads the log; else it holds no more than the minute itself needs."""
    edge, weights, mean = scratch.floats[SEEN_EDGE], scratch.weights, scratch.votes[MEAN]
    parent, limits, rows, sized, told = scratch.parent, scratch.limits, scratch.floats, scratch.sizing, scratch.told
    sells, count = 0, 0
    for i in range(edge.shape[0]):
        sells += 1 if sized[LOTS, i] < 0.0 else 0
    next_sell, next_buy = 0, sells
    for i in range(edge.shape[0]):
        if sized[LOTS, i] == 0.0:
            continue
        lots, ticks = int(sized[LOTS, i]), int(sized[SIZED_TICKS, i])
        k = next_buy if lots > 0 else next_sell
        next_buy += 1 if lots > 0 else 0
        next_sell += 1 if lots < 0 else 0
        at = orders + count
        parent[k, ROW], parent[k, ORDER], parent[k, LIMIT] = i, orders_before + at, ticks
        parent[k, UNSENT] = parent[k, QUANTITY] = abs(lots)
        parent[k, BUYS] = 1 if lots > 0 else 0
        line, more = logs.orders[at], logs.floats[at]
        count += 1
        line[1], line[2], line[6] = i, lots, NOT_DUE
        if not noted:
            continue
        line[0], line[3], line[4], line[5] = index, ticks, limits[i], regime
        line[7], line[8], line[9] = 0, 0, 0
        more[0], more[1], more[2], more[3] = rows[MID, i], edge[i], rows[TARGET, i], equity
        more[4], more[5], more[6], more[7] = rows[HELD, i], rows[PRICE, i], sized[ASKED_CHANGE, i], sized[ALLOWED, i]
        more[8] = scratch.costs[HALF_SPREAD, i]
        more[9], more[10], more[11] = told[VOLATILITY, i], told[KELLY, i], told[JOINT, i]
        for m in range(weights.shape[0]):
            part = weights[m] * mean[m, i] if weights[m] > 0.0 else 0.0
            logs.shares[at, m] = part / edge[i] if edge[i] != 0.0 else 1.0 / weights.shape[0]
    return count


@pasted
def _write(close: FloatArray, scratch: Scratch, columns: Columns, g: int) -> None:
    """Write the minute down in full, as grid row ``g``."""
    position, mid, rate = scratch.floats[POSITION], scratch.floats[SEEN_MID], scratch.floats[RATE]
    for i in range(close.shape[0]):
        price = close[i] if math.isnan(mid[i]) else mid[i]
        columns.grid[g, WORTH, i] = position[i] * (price * rate[i]) if position[i] > 0.0 else 0.0
        columns.grid[g, EDGE, i] = scratch.floats[SEEN_EDGE, i]
    for m in range(scratch.weights.shape[0]):
        columns.weights[g, m] = scratch.weights[m]
