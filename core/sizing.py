"""From wanted exposure to an order's size: whole lots within every limit, or nothing and the limit that held it.

``size_into`` is the rule, compiled, over tables with one row an instrument: it counts in lots and ticks, so what it finds
is on the venue's grid by construction, and a compiled backtest loops it as it is. ``size_rows`` is the same for columns
with names, and ``arithmetic`` tells a person how one size came about.

Choices that are the rule:
- Sells are sized before buys, so an exit is never crowded out; several buys share a purse in row order, and the
  proceeds of this minute's sells are not spent yet.
- The number of orders bounds what is bought: sales count, and are never held back by it.
- A buy is valued at its limit price (the worst it may pay) for the order limit and the cash, at the mid for exposure.
- An order that closes a position may be smaller than ``min_order``, never smaller than the venue's minimum. A sell
  never leaves a rest below the minimum: then everything is sold.
- A position that prices alone lifted above its cap is trimmed even where the ensemble has no opinion: back to the cap,
  once it is above it by more than the rebalancing band and an order, so that it must rise as far again before the next.
- The order limit cuts a sell too, but not below twice the minimum, so a large position leaves in sellable pieces.
- A loss of precision falls on the small side: limits are shaved by 1e-12 of themselves before lots are counted.

Above 400 lines because the rule, the limits it names and its arithmetic in words must agree row by row.
"""

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from core.lean import inlined, pasted, shared
from core.messages import BoolArray, FloatArray
from core.units import BPS, MarketRules, plainly

IntArray = np.ndarray

_SHAVE = 1.0 - 1e-12


class Limit(IntEnum):
    """What decided a row. Up to BAND nothing was asked for; PASSED is an order; the rest are refusals or cuts."""

    KEEP = 0
    NOTHING = 1
    DUST = 2
    BAND = 3
    PASSED = 4
    HALTED = 5
    REDUCING = 6
    UNRECONCILED = 7
    NOT_FRESH = 8
    NO_BOOK = 9
    NO_EQUITY = 10
    NOT_TRADING = 11
    MAX_ORDER = 12
    MAX_POSITION = 13
    MAX_GROSS = 14
    INVEST = 15
    CASH = 16
    MAX_QTY = 17
    MAX_ORDERS = 18
    MIN_ORDER = 19
    SAME_COIN = 20
    PREMIUM = 21
    LATE = 22
    CLOCK = 23
    MAX_CANCELS = 24
    CONSECUTIVE_LOSSES = 25
    STOP_GUARD = 26
    LOW_PROFIT = 27
    COOLDOWN = 28
    COST = 30
    POSITION_VOLATILITY = 31
    KELLY = 32
    PORTFOLIO_VOLATILITY = 33
    SHOCK = 34
    STALE = 35


LIMIT_NAMES: dict[Limit, str] = {
    Limit.HALTED: "halted",
    Limit.REDUCING: "reducing",
    Limit.UNRECONCILED: "unreconciled_account",
    Limit.NOT_FRESH: "not_fresh",
    Limit.NO_BOOK: "no_book",
    Limit.NO_EQUITY: "equity",
    Limit.NOT_TRADING: "venue_rules",
    Limit.MAX_ORDER: "max_order_pct",
    Limit.MAX_POSITION: "max_position_pct",
    Limit.MAX_GROSS: "max_gross_pct",
    Limit.INVEST: "invest_pct",
    Limit.CASH: "free_cash",
    Limit.MAX_QTY: "venue_max_qty",
    Limit.MAX_ORDERS: "max_orders_per_minute",
    Limit.MIN_ORDER: "min_order",
    Limit.SAME_COIN: "one_sale_a_coin",
    Limit.PREMIUM: "max_premium_bps",
    Limit.LATE: "max_decision_delay_ms",
    Limit.CLOCK: "max_clock_offset_ms",
    Limit.MAX_CANCELS: "max_cancels_per_minute",
    Limit.CONSECUTIVE_LOSSES: "max_consecutive_losses",
    Limit.STOP_GUARD: "max_stop_outs",
    Limit.LOW_PROFIT: "low_profit_pct",
    Limit.COOLDOWN: "cooldown_minutes",
    Limit.COST: "cost_gate",
    Limit.POSITION_VOLATILITY: "max_position_volatility_pct",
    Limit.KELLY: "kelly_fraction",
    Limit.PORTFOLIO_VOLATILITY: "target_volatility_pct",
    Limit.SHOCK: "shock_scale",
    Limit.STALE: "stale_minutes",
}

_KEEP, _NOTHING, _DUST, _BAND, _PASSED = (int(v) for v in list(Limit)[:5])
_NO_BOOK, _NO_EQUITY = int(Limit.NO_BOOK), int(Limit.NO_EQUITY)
_MAX_ORDER, _MAX_POSITION, _MAX_GROSS, _INVEST, _CASH, _MAX_QTY, _MAX_ORDERS, _MIN_ORDER, _SAME_COIN = (
    int(v) for v in list(Limit)[12:21]
)
TO_SELL, TO_BUY = -1, -2
"""What stands in a row's limit until its order is sized."""


class Rows(NamedTuple):
    """One row an instrument, all (S,)."""

    target: FloatArray
    """Wanted fraction of the investable equity, 0..1; NaN keeps what is held."""
    held: FloatArray
    """Base units, free and locked."""
    sellable: FloatArray
    """Whole lots that are free to sell."""
    mid: FloatArray
    """Quote units; NaN without a book."""
    price: FloatArray
    """What a base unit is valued at, quote units: the mid, else the last close."""
    rate: FloatArray
    """USDT of a quote unit."""
    step: FloatArray
    tick: FloatArray
    min_qty: FloatArray
    max_qty: FloatArray
    min_notional: FloatArray
    """Quote units."""
    fee: FloatArray
    """Taker fee, fraction of notional."""
    cash: FloatArray
    """Free quote units of the row's purse."""
    most: FloatArray
    """Fraction of equity that the position may be at most: ``max_position``, or less where the row has a cap of its own."""
    ceiling: FloatArray
    """Fraction of equity beyond which nothing is bought (``core.ceilings``); infinite: none."""
    purse: np.ndarray
    """int64: rows with the same number pay from the same balance."""
    coin: np.ndarray
    """int64: rows with the same number hold the same balance."""
    buy_block: np.ndarray
    """int64: the Limit that forbids buying, 0 = none."""
    sell_block: np.ndarray
    """int64: the Limit that forbids selling, 0 = none."""
    ceiling_limit: np.ndarray
    """int64: the Limit that ``ceiling`` stands for."""


ROW_FLOATS, ROW_INTS = Rows._fields[:15], Rows._fields[15:]
"""The columns of ``Rows`` that are float64 and int64: the kernels take a table of each, one row a column."""
TARGET, HELD, SELLABLE, MID, PRICE, RATE, STEP, TICK, MIN_QTY, MAX_QTY, MIN_NOTIONAL, FEE, CASH, MOST, CEILING = range(
    15
)
PURSE, COIN, BUY_BLOCK, SELL_BLOCK, CEILING_LIMIT = range(5)
LOTS, TICKS, ASKED, ALLOWED, SPENT = range(5)
SOLD, COUNTED = range(2)


class Caps(NamedTuple):
    """The limits of the whole account. Fractions are of equity."""

    equity: float
    """USDT; not above 0 or NaN: nothing is bought."""
    invest: float
    min_order: float
    """USDT."""
    max_order: float
    max_position: float
    max_gross: float
    band: float
    """Changes smaller than this are not traded (exits are)."""
    collar: float
    """Distance of the limit price from the mid, fraction."""
    max_orders: float
    """Orders left in this minute; sales count, and pass in any case."""
    max_order_usdt: float = math.inf
    """Beside ``max_order``, USDT."""


class Sized(NamedTuple):
    """What ``size_rows`` found, all (S,)."""

    lots: FloatArray
    """Whole lots, negative = sell; 0 = no order."""
    ticks: FloatArray
    """Limit price in ticks; NaN where no order was thought of."""
    asked: FloatArray
    """Wanted change of the position, USDT; NaN where none was asked."""
    allowed: FloatArray
    """USDT that the deciding limit left; NaN where it is not an amount."""
    limit: np.ndarray
    """int64 ``Limit``: PASSED (uncut), the limit that cut an order, or the one that refused it."""


def empty_rows(count: int) -> tuple[Rows, FloatArray, IntArray]:
    """(rows, floats, ints), all zero: ``rows`` looks into the two tables that the kernels take."""
    floats, ints = np.zeros((len(ROW_FLOATS), count)), np.zeros((len(ROW_INTS), count), dtype=np.int64)
    floats[MOST], floats[CEILING] = 1.0, math.inf
    return Rows(*floats, *ints), floats, ints


def size_rows(rows: Rows, caps: Caps) -> Sized:
    """Size every row: first all sells, then all buys in row order."""
    floats, ints = np.array(rows[: len(ROW_FLOATS)]), np.array(rows[len(ROW_FLOATS) :])
    found, flags, limit = sizing_room(rows.coin, rows.purse)
    size_into(floats, ints, caps, found, flags, limit)
    found = found[:, : len(limit)]
    return Sized(found[LOTS], found[TICKS], found[ASKED], found[ALLOWED], limit)


def sizing_room(coin: IntArray, purse: IntArray) -> tuple[FloatArray, BoolArray, IntArray]:
    """(found, flags, limit) for ``size_into``."""
    groups = max(len(coin), int(coin.max(initial=0)) + 1, int(purse.max(initial=0)) + 1)
    return np.zeros((5, groups)), np.zeros((2, groups), dtype=np.bool_), np.zeros(len(coin), dtype=np.int64)


@shared
def size_into(
    rows: FloatArray, marks: IntArray, caps: Caps, found: FloatArray, flags: BoolArray, limit: IntArray
) -> None:
    """``size_rows`` over tables, in room that is given.

    ``rows`` has the columns ``ROW_FLOATS`` of ``Rows`` as its first rows, ``marks`` has ``ROW_INTS``. Lots, ticks, asked
    and allowed are written to the first S places of ``found``'s rows, and ``limit`` (S,). The last row of ``found``
    (5, G) is what each purse has spent, ``flags`` (2, G) what is sold and what is counted of each coin: G has a place
    for every row, coin and purse (``sizing_room``).
    """
    solvent = caps.equity > 0.0 and caps.equity < math.inf
    for g in range(found.shape[1]):
        found[SPENT, g] = 0.0
        flags[SOLD, g] = flags[COUNTED, g] = False
    # Each step is a loop of its own, over all rows: what one of them decides, a later one reads in ``found`` and ``limit``.
    for i in range(limit.shape[0]):
        _ask(rows, caps, found, limit, solvent, i)
    orders_left = caps.max_orders
    for i in range(limit.shape[0]):
        if limit[i] == TO_SELL and _sell(rows, marks, caps, found, flags, limit, solvent, i):
            orders_left -= 1.0
    gross = _gross(rows, marks, flags)
    for i in range(limit.shape[0]):
        if limit[i] == TO_BUY and _buy(rows, marks, caps, found, limit, gross, orders_left, i):
            orders_left -= 1.0
            gross += found[LOTS, i] * (rows[STEP, i] * rows[MID, i] * rows[RATE, i])


@pasted
def worth_of(held: float, price: float, rate: float) -> float:
    """USDT value of one position."""
    return held * price * rate if held > 0.0 else 0.0


@pasted
def _gross(rows: FloatArray, marks: IntArray, flags: BoolArray) -> float:
    """USDT value of everything held, each coin once; NaN when a held one has no price."""
    gross = 0.0
    for i in range(rows.shape[1]):
        if rows[HELD, i] > 0.0 and not flags[COUNTED, marks[COIN, i]]:
            flags[COUNTED, marks[COIN, i]] = True
            gross += worth_of(rows[HELD, i], rows[PRICE, i], rows[RATE, i])
    return gross


@pasted
def largest_order(caps: Caps) -> float:
    """USDT."""
    return min(caps.max_order * caps.equity, caps.max_order_usdt)


@pasted
def risen_above(worth: float, most: float, equity: float, caps: Caps) -> float:
    """USDT by which a position without a target is to be trimmed; 0 while it is within its cap and the tolerance.

    ``worth`` USDT, ``most`` the row's own cap as a fraction of ``equity`` (that of ``caps`` is not read).
    """
    over = worth - min(most, caps.max_position) * equity
    return over if over > max(caps.band * equity, caps.min_order) else 0.0


@pasted
def _ask(rows: FloatArray, caps: Caps, found: FloatArray, limit: IntArray, solvent: bool, i: int) -> None:
    """What change row ``i`` wants."""
    found[LOTS, i] = 0.0
    found[TICKS, i] = found[ALLOWED, i] = math.nan
    held, mid, rate = rows[HELD, i], rows[MID, i], rows[RATE, i]
    worth = worth_of(held, rows[PRICE, i], rate)
    known = priced(rows[TARGET, i], mid, rate)
    found[ASKED, i], limit[i] = change_of(rows[TARGET, i], held, worth, rows[MOST, i], known, solvent, caps)


@pasted
def priced(target: float, mid: float, rate: float) -> bool:
    """Whether enough is known to trade: what a quote unit is worth need not be, to sell all that is held."""
    return mid > 0.0 and mid < math.inf and (rate > 0.0 or target <= 0.0)


@inlined
def change_of(
    target: float, held: float, worth: float, most: float, known: bool, solvent: bool, caps: Caps
) -> tuple[float, int]:
    """(wanted change of one position in USDT or NaN, SELL or BUY or the Limit that holds it)."""
    asked = math.nan
    if math.isnan(target):
        over = risen_above(worth, most, caps.equity, caps) if known and solvent else 0.0
        return (-over, TO_SELL) if over > 0.0 else (asked, _KEEP)
    if target <= 0.0:
        asked = -worth
        if held <= 0.0:
            return asked, _NOTHING
    elif not solvent:
        return asked, _NO_EQUITY
    else:
        asked = min(target, 1.0) * caps.invest * caps.equity - worth
        over = worth - min(most, caps.max_position) * caps.equity
        if over > 0.0:
            asked = min(asked, -over)
    if not known:
        return asked, _NO_BOOK
    if target > 0.0 and abs(asked) <= caps.band * caps.equity:
        return asked, _BAND
    return asked, TO_BUY if asked > 0.0 else TO_SELL


@inlined
def _sell(
    rows: FloatArray,
    marks: IntArray,
    caps: Caps,
    found: FloatArray,
    flags: BoolArray,
    limit: IntArray,
    solvent: bool,
    i: int,
) -> bool:
    """Size what row ``i`` is to sell; whether that is an order. ``flags[SOLD]`` is by coin number."""
    if marks[SELL_BLOCK, i] != 0:
        limit[i] = marks[SELL_BLOCK, i]
        return False
    mid, rate, step, tick, min_qty = rows[MID, i], rows[RATE, i], rows[STEP, i], rows[TICK, i], rows[MIN_QTY, i]
    if not rate > 0.0:
        # Then in quote units: the venue's own minimum is in those, and without a rate there is no equity to cut by.
        rate = 1.0
    ticks = max(1.0, np.ceil(mid * (1.0 - caps.collar) / tick / _SHAVE))
    found[TICKS, i] = ticks
    lot = step * mid * rate
    lowest = min(mid, ticks * tick)
    venue_least = rows[MIN_NOTIONAL, i] * rate * (mid / lowest) / _SHAVE
    least = max(max(caps.min_order / _SHAVE, venue_least), min_qty * mid * rate / _SHAVE)
    all_lots = rows[SELLABLE, i]
    wanted = all_lots if rows[TARGET, i] <= 0.0 else min(all_lots, np.floor(-found[ASKED, i] / lot))
    if (all_lots - wanted) * lot < least:
        wanted = all_lots
    cut, bound, most = _PASSED, _MAX_QTY, np.floor(rows[MAX_QTY, i] / step)
    if solvent:
        by_order = np.floor(max(largest_order(caps) * _SHAVE, 2.0 * (least + lot)) / lot)
        if by_order < most:
            most = by_order
            bound = _MAX_ORDER
    if wanted > most:
        wanted = most
        if (all_lots - wanted) * lot < least:
            wanted = all_lots - np.ceil(least / lot)
        cut = bound
        found[ALLOWED, i] = wanted * lot
    quantity = wanted * step
    closes = wanted == all_lots
    coin = marks[COIN, i]
    if quantity <= 0.0 or wanted * lot < venue_least or quantity < min_qty:
        limit[i] = _DUST if closes else _MIN_ORDER
        found[ALLOWED, i] = least
        return False
    if not closes and wanted * lot < caps.min_order:
        limit[i] = _MIN_ORDER
        found[ALLOWED, i] = caps.min_order
        return False
    if flags[SOLD, coin]:
        limit[i] = _SAME_COIN
        return False
    found[LOTS, i] = -wanted
    limit[i] = cut
    flags[SOLD, coin] = True
    return True


@inlined
def _buy(
    rows: FloatArray,
    marks: IntArray,
    caps: Caps,
    found: FloatArray,
    limit: IntArray,
    gross: float,
    orders_left: float,
    i: int,
) -> bool:
    """Size what row ``i`` is to buy; whether that is an order. ``gross`` USDT is held or bought already, NaN unknown."""
    if marks[BUY_BLOCK, i] != 0:
        limit[i] = marks[BUY_BLOCK, i]
        return False
    if not gross < math.inf:
        limit[i] = _NO_EQUITY
        return False
    mid, rate, step, tick = rows[MID, i], rows[RATE, i], rows[STEP, i], rows[TICK, i]
    ticks = np.floor(mid * (1.0 + caps.collar) / tick * _SHAVE)
    if ticks < 1.0:
        limit[i] = _NO_BOOK
        return False
    found[TICKS, i] = ticks
    limit_price = ticks * tick
    lot, worst_lot = step * mid * rate, step * max(mid, limit_price) * rate
    venue_least = rows[MIN_NOTIONAL, i] * rate * (mid / min(mid, limit_price))
    least = max(caps.min_order, venue_least) / _SHAVE
    held, fees, purse = rows[HELD, i], 1.0 + rows[FEE, i], marks[PURSE, i]
    worth = worth_of(held, rows[PRICE, i], rate)
    asked = found[ASKED, i]

    room, most, cut = asked, np.floor(asked / lot), _PASSED
    for bound in range(_MAX_ORDER, _MAX_QTY + 1):
        unit = lot
        if bound == _MAX_QTY:
            left = rows[MAX_QTY, i] / step * lot
            within = np.floor(rows[MAX_QTY, i] / step)
        else:
            if bound in (_MAX_ORDER, _CASH):
                unit = worst_lot
            left = left_of(bound, caps, rows[MOST, i], worth, gross, rows[CASH, i] - found[SPENT, purse], rate, fees)
            within = np.floor(max(left, 0.0) * _SHAVE / unit) if left == left else 0.0
        if within < most:
            room, most, cut = left, within, bound
    if rows[CEILING, i] < math.inf:
        left = rows[CEILING, i] * caps.equity - worth
        within = np.floor(max(left, 0.0) * _SHAVE / lot)
        if within < most:
            room, most, cut = left, within, marks[CEILING_LIMIT, i]
    if most < 1.0 or most * lot < least or most * step < rows[MIN_QTY, i]:
        limit[i] = _MIN_ORDER if cut == _PASSED else cut
        found[ALLOWED, i] = least if cut == _PASSED else room
        return False
    if orders_left < 1.0:
        limit[i] = _MAX_ORDERS
        return False
    found[LOTS, i] = most
    limit[i] = cut
    if cut != _PASSED:
        found[ALLOWED, i] = room
    found[SPENT, purse] += most * worst_lot / rate * fees
    return True


@pasted
def left_of(
    bound: int, caps: Caps, most: float, worth: float, gross: float, cash: float, rate: float, fees: float
) -> float:
    """USDT that one of the limits from ``MAX_ORDER`` to ``CASH`` leaves to buy of a row with these numbers."""
    left = largest_order(caps)
    if bound == _MAX_POSITION:
        left = min(most, caps.max_position) * caps.equity - worth
    elif bound == _MAX_GROSS:
        left = caps.max_gross * caps.equity - gross
    elif bound == _INVEST:
        left = caps.invest * caps.equity - gross
    elif bound == _CASH:
        left = cash * rate / fees
    return left


def limit_name(limit: Limit, caps: Caps, most: float) -> str:
    """The key of the setting that held a row; ``most`` is the row's."""
    if limit is Limit.MAX_ORDER and caps.max_order_usdt < caps.max_order * caps.equity:
        return "max_order_usdt"
    if limit is Limit.MAX_POSITION and most < caps.max_position:
        return "max_pct"
    return LIMIT_NAMES[limit]


def arithmetic(rows: Rows, caps: Caps, sized: Sized, row: int, rules: MarketRules) -> tuple[str, ...]:
    """How the size of ``row`` came about, in short lines; amounts in USDT unless a unit is named."""
    base = rules.instrument.base
    lot = rows.step[row] * rows.mid[row] * rows.rate[row]
    worth = rows.held[row] * rows.price[row] * rows.rate[row]
    wanted = "0" if rows.target[row] <= 0 else f"{worth + sized.asked[row]:.2f}"
    cap = min(rows.most[row], caps.max_position)
    lines = [
        f"target {rows.target[row]:.4f} of {caps.invest * 100:g}% of {caps.equity:.2f} = {wanted}"
        if not math.isnan(rows.target[row])
        else f"no target; cap {cap * 100:g}% of {caps.equity:.2f} = {cap * caps.equity:.2f}",
        f"held {plainly(rows.held[row], 10)} {base} = {_usdt(worth)}, change {_usdt(sized.asked[row], '+')}",
    ]
    limit = Limit(int(sized.limit[row]))
    if limit in LIMIT_NAMES:
        room, name = sized.allowed[row], limit_name(limit, caps, rows.most[row])
        if limit is Limit.MIN_ORDER:
            lines.append(f"{name}: the least order is {room:.2f}")
        else:
            lines.append(f"{name} allows {room:.2f}" if math.isfinite(room) else f"held by {name}")
    lots = sized.lots[row]
    if lots:
        side, sign = ("buy", "+") if lots > 0 else ("sell", "-")
        lines.append(
            f"{side} {abs(lots):.0f} lots of {rules.step.normalize():f} {base} = {_usdt(abs(lots) * lot)}, "
            f"limit mid {sign}{caps.collar * BPS:g} bps"
        )
    return tuple(lines)


def _usdt(amount: float, sign: str = "") -> str:
    """An amount, which is not known where the quote currency has no rate."""
    return f"{amount:{sign}.2f}" if math.isfinite(amount) else "unknown"
