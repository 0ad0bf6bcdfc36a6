"""From wanted exposure to an order's size: whole lots within every limit, or nothing and the limit that held it.

``size_rows`` is the rule, compiled, over arrays with one row an instrument: it counts in lots and ticks, so what
it returns is on the venue's grid by construction, and a compiled backtest may loop it as it is. ``arithmetic`` tells
a person how one size came about.

Choices that are the rule:
- Sells are sized before buys, so an exit is never crowded out; several buys share a purse in row order, and the
  proceeds of this minute's sells are not spent yet.
- A buy is valued at its limit price (the worst it may pay) for the order limit and the cash, at the mid for exposure.
- An order that closes a position may be smaller than ``min_order``, never smaller than the venue's minimum. A sell
  never leaves a rest below the minimum: then everything is sold.
- The order limit cuts a sell too, but not below twice the minimum, so a large position leaves in sellable pieces.
- A loss of precision falls on the small side: limits are shaved by 1e-12 of themselves before lots are counted.
"""

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from core.lean import compiled, inlined, lean
from core.messages import BoolArray, FloatArray
from core.units import BPS, MarketRules

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
}

_KEEP, _NOTHING, _DUST, _BAND, _PASSED = (int(v) for v in list(Limit)[:5])
_NO_BOOK, _NO_EQUITY = int(Limit.NO_BOOK), int(Limit.NO_EQUITY)
_MAX_ORDER, _MAX_POSITION, _MAX_GROSS, _INVEST, _CASH, _MAX_QTY, _MAX_ORDERS, _MIN_ORDER, _SAME_COIN = (
    int(v) for v in list(Limit)[12:21]
)


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
    purse: np.ndarray
    """int64: rows with the same number pay from the same balance."""
    coin: np.ndarray
    """int64: rows with the same number hold the same balance."""
    buy_block: np.ndarray
    """int64: the Limit that forbids buying, 0 = none."""
    sell_block: np.ndarray
    """int64: the Limit that forbids selling, 0 = none."""


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
    """Orders left in this minute."""


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


@compiled
def size_rows(rows: Rows, caps: Caps) -> Sized:
    """Size every row: first all sells, then all buys in row order."""
    groups = group_count(rows.coin, rows.purse)
    count = rows.target.shape[0]
    found, limit = np.empty((5, groups)), np.empty(count, dtype=np.int64)
    size_into(rows, caps, found, np.empty((3, groups), dtype=np.bool_), limit)
    return Sized(found[0][:count], found[1][:count], found[2][:count], found[3][:count], limit)


@lean
def group_count(coin: np.ndarray, purse: np.ndarray) -> int:
    """Room that ``size_into`` needs: a place a row, a coin and a purse."""
    groups = coin.shape[0]
    for i in range(coin.shape[0]):
        groups = max(groups, coin[i] + 1, purse[i] + 1)
    return groups


@inlined
def _floor(value: float) -> float:
    """As a float, which has room for infinity."""
    return np.floor(value)


@inlined
def _ceil(value: float) -> float:
    return np.ceil(value)


@inlined
def size_into(rows: Rows, caps: Caps, floats: FloatArray, flags: BoolArray, limit: np.ndarray) -> None:
    """``size_rows`` in room that is given: writes lots, ticks, asked and allowed to ``floats`` (5, G), and ``limit`` (S,).

    G is ``group_count``; ``flags`` is (3, G).
    """
    count = rows.target.shape[0]
    lots, ticks, asked, allowed = floats[0][:count], floats[1][:count], floats[2][:count], floats[3][:count]
    spent = floats[4]  # by purse number, quote units
    sold, buys, counted = flags[0], flags[1], flags[2]  # the first and the last by coin number
    for g in range(spent.shape[0]):
        spent[g] = 0.0
        sold[g] = buys[g] = counted[g] = False
    for i in range(count):
        lots[i] = 0.0
        ticks[i] = asked[i] = allowed[i] = math.nan
        limit[i] = _KEEP
    # Named once: looking a column up where it is used costs a good part of the compilation.
    wanted_share, holds, price, rate, mid = rows.target, rows.held, rows.price, rows.rate, rows.mid
    step, tick, min_qty, max_qty, min_notional = rows.step, rows.tick, rows.min_qty, rows.max_qty, rows.min_notional
    fee, money, free_lots, coin, purse = rows.fee, rows.cash, rows.sellable, rows.coin, rows.purse
    solvent = caps.equity > 0.0 and caps.equity < math.inf
    orders_left = caps.max_orders

    for i in range(count):
        target = wanted_share[i]
        if math.isnan(target):
            continue
        worth = holds[i] * price[i] * rate[i] if holds[i] > 0.0 else 0.0
        if target <= 0.0:
            asked[i] = -worth
            if holds[i] <= 0.0:
                limit[i] = _NOTHING
                continue
        elif not solvent:
            limit[i] = _NO_EQUITY
            continue
        else:
            asked[i] = min(target, 1.0) * caps.invest * caps.equity - worth
            over = worth - caps.max_position * caps.equity
            if over > 0.0:
                asked[i] = min(asked[i], -over)
        if not (mid[i] > 0.0 and mid[i] < math.inf and rate[i] > 0.0):
            limit[i] = _NO_BOOK
            continue
        if target > 0.0 and abs(asked[i]) <= caps.band * caps.equity:
            limit[i] = _BAND
            continue
        if asked[i] > 0.0:
            buys[i] = True
            continue
        # --- a sell
        if rows.sell_block[i] != 0:
            limit[i] = rows.sell_block[i]
            continue
        limit_ticks = max(1.0, _ceil(mid[i] * (1.0 - caps.collar) / tick[i] / _SHAVE))
        ticks[i] = limit_ticks
        lot = step[i] * mid[i] * rate[i]
        lowest = min(mid[i], limit_ticks * tick[i])
        venue_least = min_notional[i] * rate[i] * (mid[i] / lowest) / _SHAVE
        least = max(caps.min_order / _SHAVE, venue_least, min_qty[i] * mid[i] * rate[i] / _SHAVE)
        all_lots = free_lots[i]
        cut = _PASSED
        wanted = all_lots if target <= 0.0 else min(all_lots, _floor(-asked[i] / lot))
        if (all_lots - wanted) * lot < least:
            wanted = all_lots
        most = _floor(max_qty[i] / step[i])
        bound = _MAX_QTY
        if solvent:
            by_order = _floor(max(caps.max_order * caps.equity * _SHAVE, 2.0 * (least + lot)) / lot)
            if by_order < most:
                most = by_order
                bound = _MAX_ORDER
        if wanted > most:
            wanted = most
            if (all_lots - wanted) * lot < least:
                wanted = all_lots - _ceil(least / lot)
            cut = bound
            allowed[i] = wanted * lot
        quantity = wanted * step[i]
        closes = wanted == all_lots
        if quantity <= 0.0 or wanted * lot < venue_least or quantity < min_qty[i]:
            limit[i] = _DUST if closes else _MIN_ORDER
            allowed[i] = least
        elif not closes and wanted * lot < caps.min_order:
            limit[i] = _MIN_ORDER
            allowed[i] = caps.min_order
        elif sold[coin[i]]:
            limit[i] = _SAME_COIN
        elif orders_left < 1.0:
            limit[i] = _MAX_ORDERS
        else:
            lots[i] = -wanted
            limit[i] = cut
            orders_left -= 1.0
            sold[coin[i]] = True

    gross = _gross(rows, counted)
    for i in range(count):
        if not buys[i]:
            continue
        if rows.buy_block[i] != 0:
            limit[i] = rows.buy_block[i]
            continue
        if not gross < math.inf:
            limit[i] = _NO_EQUITY
            continue
        limit_ticks = _floor(mid[i] * (1.0 + caps.collar) / tick[i] * _SHAVE)
        if limit_ticks < 1.0:
            limit[i] = _NO_BOOK
            continue
        ticks[i] = limit_ticks
        limit_price = limit_ticks * tick[i]
        lot = step[i] * mid[i] * rate[i]
        worst_lot = step[i] * max(mid[i], limit_price) * rate[i]
        venue_least = min_notional[i] * rate[i] * (mid[i] / min(mid[i], limit_price))
        least = max(caps.min_order, venue_least) / _SHAVE
        worth = holds[i] * price[i] * rate[i] if holds[i] > 0.0 else 0.0
        cash = (money[i] - spent[purse[i]]) * rate[i] / (1.0 + fee[i])

        room = asked[i]
        most = _floor(asked[i] / lot)
        cut = _PASSED
        for bound in (_MAX_ORDER, _MAX_POSITION, _MAX_GROSS, _INVEST, _CASH, _MAX_QTY):
            unit = lot
            if bound == _MAX_ORDER:
                left = caps.max_order * caps.equity
                unit = worst_lot
            elif bound == _MAX_POSITION:
                left = caps.max_position * caps.equity - worth
            elif bound == _MAX_GROSS:
                left = caps.max_gross * caps.equity - gross
            elif bound == _INVEST:
                left = caps.invest * caps.equity - gross
            elif bound == _CASH:
                left = cash
                unit = worst_lot
            else:
                left = max_qty[i] / step[i] * lot
            within = _floor(max(left, 0.0) * _SHAVE / unit) if left == left else 0.0
            if bound == _MAX_QTY:
                within = _floor(max_qty[i] / step[i])
            if within < most:
                most = within
                room = left
                cut = bound
        if most < 1.0 or most * lot < least or most * step[i] < min_qty[i]:
            limit[i] = _MIN_ORDER if cut == _PASSED else cut
            allowed[i] = least if cut == _PASSED else room
        elif orders_left < 1.0:
            limit[i] = _MAX_ORDERS
        else:
            lots[i] = most
            limit[i] = cut
            if cut != _PASSED:
                allowed[i] = room
            orders_left -= 1.0
            gross += most * lot
            spent[purse[i]] += most * worst_lot / rate[i] * (1.0 + fee[i])


@inlined
def _gross(rows: Rows, counted: BoolArray) -> float:
    """USDT value of everything held, each coin once; NaN when a held one has no price. ``counted``: by coin, False."""
    total = 0.0
    for i in range(rows.held.shape[0]):
        if rows.held[i] > 0.0 and not counted[rows.coin[i]]:
            counted[rows.coin[i]] = True
            total += rows.held[i] * rows.price[i] * rows.rate[i]
    return total


def arithmetic(rows: Rows, caps: Caps, sized: Sized, row: int, rules: MarketRules) -> tuple[str, ...]:
    """How the size of ``row`` came about, in short lines; amounts in USDT unless a unit is named."""
    base = rules.instrument.base
    lot = rows.step[row] * rows.mid[row] * rows.rate[row]
    worth = rows.held[row] * rows.price[row] * rows.rate[row]
    wanted = "0" if rows.target[row] <= 0 else f"{worth + sized.asked[row]:.2f}"
    lines = [
        f"target {rows.target[row]:.4f} of {caps.invest * 100:g}% of {caps.equity:.2f} = {wanted}",
        f"held {rows.held[row]:.10g} {base} = {worth:.2f}, change {sized.asked[row]:+.2f}",
    ]
    limit = Limit(int(sized.limit[row]))
    if limit in LIMIT_NAMES:
        room = sized.allowed[row]
        lines.append(
            f"{LIMIT_NAMES[limit]} allows {room:.2f}" if math.isfinite(room) else f"held by {LIMIT_NAMES[limit]}"
        )
    lots = sized.lots[row]
    if lots:
        side, sign = ("buy", "+") if lots > 0 else ("sell", "-")
        lines.append(
            f"{side} {abs(lots):.0f} lots of {rules.step.normalize():f} {base} = {abs(lots) * lot:.2f}, "
            f"limit mid {sign}{caps.collar * BPS:g} bps"
        )
    return tuple(lines)
