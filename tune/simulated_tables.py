"""The tables of a simulated run, made when somebody looks: fills, orders, and each order's arithmetic in words."""

import math

import numpy as np
import polars as pl

from core.ceilings import ceiling_lines, ceiling_rules
from core.cost_gate import Seen, cost_lines
from core.engine.market import touch_around
from core.engine.tables import IntArray, fraction_of
from core.execution.estimate import half_spread_of_touch
from core.impact import IMPACT_MINUTES, flow_at
from core.lean import lean
from core.liquidity import hour_column
from core.loss_limits import loss_limits, managed
from core.messages import CLOSE, FloatArray
from core.protection import NOT_DUE, exit_arithmetic, exit_rules
from core.sizing import Rows, Sized, arithmetic
from core.units import MINUTE_MS
from tune.found import ORDER, Found, counted
from tune.result import FILLS, ORDERS, REGIMES


def fills_of(found: Found) -> pl.DataFrame:
    """``FILLS`` of the engine's log."""
    order, at_ms = found.fills.T[:2]
    index, row, lots = found.orders[order, :3].T
    priced = found.priced
    return pl.DataFrame(
        {
            "order": order,
            "minute": found.market.start_minute + index * MINUTE_MS,
            "at_ms": at_ms,
            "symbol": _named([i.symbol for i in found.market.instruments], row),
            "side": _named(["sell", "buy"], (lots > 0).astype(np.int64)),
            "quantity": priced.quantity,
            "price": priced.price,
            "notional_usdt": priced.money,
            "fee_usdt": priced.fee,
            "spread_usdt": priced.spread,
            "impact_usdt": priced.impact,
            "delay_usdt": priced.delay,
            "maker": np.zeros(len(order), dtype=np.bool_),
        },
        schema=FILLS,
    )


def orders_of(found: Found) -> pl.DataFrame:
    """``ORDERS`` of the engine's log, each with its arithmetic."""
    market = found.market
    index, row, lots, ticks, _, regime = found.orders.T[:6]
    mid, edge, target, equity = found.order_floats[:, :4].T
    known = [found.rules[i] for i in market.instruments]
    executed = np.zeros(len(found.orders))
    np.add.at(executed, found.fills[:, ORDER], found.priced.quantity)
    return pl.DataFrame(
        {
            "order": np.arange(len(found.orders)),
            "minute": market.start_minute + index * MINUTE_MS,
            "symbol": _named([i.symbol for i in market.instruments], row),
            "side": _named(["sell", "buy"], (lots > 0).astype(np.int64)),
            "quantity": counted(np.abs(lots), row, [r.step for r in known]),
            "limit_price": counted(ticks, row, [r.tick for r in known]),
            "mid": mid,
            "edge_bps": edge,
            "target": target,
            "equity": equity,
            "regime": _named([*(r.value for r in REGIMES), ""], regime % (len(REGIMES) + 1)),
            "executed": executed,
            "why": why_of(found),
        },
        schema=ORDERS,
    )


def _named(names: list[str], which: IntArray) -> pl.Series:
    return pl.Series(names, dtype=pl.String).gather(which)


def why_of(found: Found) -> pl.Series:
    """How each order's size came about, in the words of ``core.sizing.arithmetic``; lists of lines."""
    row, lots, limit = found.orders[:, 1], found.orders[:, 2], found.orders[:, 4]
    columns = found.order_floats.T
    mid, _, target, equity, held, price, asked, allowed = (column.tolist() for column in columns[:8])
    told = columns[9:12].T.tolist()
    # As if all orders were rows of one minute: what is told of each is its own row and equity alone. Lists, as a float
    # of Python's is written twice as fast as one of numpy's.
    known = {name: getattr(found.rows, name)[row].tolist() for name in ("rate", "step", "tick", "most")}
    known |= {"target": target, "held": held, "mid": mid, "price": price}
    rows = Rows(**{name: known.get(name, []) for name in Rows._fields})  # type: ignore[arg-type]
    whole = lots.astype(np.float64).tolist()
    sized = Sized(whole, found.orders[:, 3].tolist(), asked, allowed, limit.tolist())  # type: ignore[arg-type]
    rules = [found.rules[i] for i in found.market.instruments]
    quantity = counted(np.abs(lots), row, [r.step for r in rules])
    flows = np.empty((2, len(row)))
    _flows(found.tape.seen, np.ascontiguousarray(row), np.ascontiguousarray(found.orders[:, 0]), flows)
    half = columns[8].copy()
    ticks = [fraction_of(rule.tick) for rule in rules]
    tape, size = found.tape, np.array([float(rule.tick) for rule in rules])
    num, den = np.array([n for n, _ in ticks], dtype=np.int64), np.array([d for _, d in ticks])
    _halves(tape.bars, tape.half_bps, tape.start_minute, found.orders, size, num, den, half)
    seen = Seen(columns[1], half, flows[0], flows[1])
    fee = [float(rule.taker_fee) for rule in rules]
    losses = loss_limits(found.settings.config.trade, found.settings.rules.risk)
    ceilings = ceiling_rules(found.settings.rules.risk)
    texts = []
    due, attempt, at_ms, since_ms = (column.tolist() for column in found.orders[:, 6:].T)
    mid, price, asked = columns[0], columns[5], columns[6]
    exits = exit_rules(found.settings.rules.protection, found.settings.rules.risk)
    for k, which in enumerate(row.tolist()):
        if due[k] != NOT_DUE:
            minutes = (at_ms[k] - since_ms[k]) / MINUTE_MS
            texts.append("\n".join(exit_arithmetic(due[k], mid[k], price[k], asked[k], minutes, attempt[k], exits)))
            continue
        part = managed(equity[k], losses.capital, losses.capital_usdt)
        lines = arithmetic(rows, found.caps._replace(equity=part), sized, k, rules[which])
        lines = (*lines[:2], *ceiling_lines(ceilings, *told[k]), *lines[2:])
        lines += cost_lines(found.gate, seen, fee[which], k, quantity[k], mid[k] * known["rate"][k], lots[k] > 0)
        texts.append("\n".join(lines))
    return pl.Series("why", texts, dtype=pl.String).str.split("\n")


@lean
def _halves(
    bars: FloatArray,
    half_bps: FloatArray,
    start_minute: int,
    orders: IntArray,
    tick: FloatArray,
    num: IntArray,
    den: FloatArray,
    found: FloatArray,
) -> None:
    """Write half the spread at every order's decision, bps, to ``found`` (O,), where it is NaN: there nothing of ours was
    taken of the book, and it is the market's."""
    for k in range(found.shape[0]):
        if math.isnan(found[k]):
            index, row = orders[k, 0], orders[k, 1]
            bps = half_bps[row, hour_column(start_minute, start_minute + (index + 1) * MINUTE_MS)]
            bid, ask = touch_around(bars[row, index, CLOSE], bps, tick[row], num[row], den[row])
            found[k] = half_spread_of_touch(bid, ask)


@lean
def _flows(bars: FloatArray, row: IntArray, index: IntArray, found: FloatArray) -> None:
    """Write volume and sigma a minute at every order's decision to ``found`` (2, O)."""
    for k in range(len(row)):
        found[0, k], found[1, k] = flow_at(bars[row[k]], index[k], IMPACT_MINUTES)
