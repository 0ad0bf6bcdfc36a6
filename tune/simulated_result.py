"""The engine's logs as a ``Result``: fills and orders with their costs and their why, and who earned what."""

import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import polars as pl
from numba import njit

from config.settings import Settings
from core.bars import fill_gaps
from core.costs import UNITS, split_cost
from core.engine.tables import CLOSES, EDGE, EQUITY, INVESTED, STATE, WORTH, Columns, Tape, fraction_of
from core.impact import impact_of
from core.messages import CLOSE, FloatArray
from core.sizing import Caps, Rows, Sized, arithmetic
from core.units import MINUTE_MS, Instrument, MarketRules
from data.market import MarketCut
from tune.result import FILLS, ORDERS, REGIMES, Costs, Result, grid_of

IMPACT_MINUTES = 60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What a run of the engine left behind; arrays as in ``core.engine.tables.Logs``."""

    name: str
    settings: Settings
    market: MarketCut
    tape: Tape
    rules: dict[Instrument, MarketRules]
    rows: Rows
    caps: Caps
    members: tuple[str, ...]
    cash: object
    minutes: int
    columns: Columns
    regime: np.ndarray
    orders: np.ndarray
    order_floats: FloatArray
    shares: FloatArray
    fills: np.ndarray
    fee_in_quote: np.ndarray
    notes: tuple[str, ...]


def make_result(found: Found) -> Result:
    """Everything that a report needs of the run."""
    market, columns, done = found.market, found.columns, found.minutes
    minute = market.first_minute + np.arange(done, dtype=np.int64) * MINUTE_MS
    equity = columns.minutes[EQUITY, :done].copy()
    whole = grid_of(market.minutes)
    kept = int(np.searchsorted(whole, done))
    grid = columns.grid[:kept]
    fills = fills_of(found)
    orders = orders_of(found, fills)
    last = int(minute[-1])
    costs = costs_of(equity, fills, last)
    close = last_prices(columns, found, done)
    contribution = contributions(found.orders, found.order_floats[:, 0], found.shares, fills, last, close)
    return Result(
        name=found.name,
        market=f"{', '.join(i.symbol for i in market.instruments)}, {done:,} minutes from {_utc(minute[0])} UTC",
        synthetic=market.synthetic,
        instruments=market.instruments,
        members=found.members,
        cash=float(found.cash),  # type: ignore[arg-type]
        minute=minute,
        equity=equity,
        invested=columns.minutes[INVESTED, :done].copy(),
        regime=found.regime.copy(),
        state=columns.minutes[STATE, :done].astype(np.int8),
        grid=whole[:kept],
        close=grid[:, CLOSES].copy(),
        worth=grid[:, WORTH].copy(),
        edge_bps=grid[:, EDGE].copy(),
        weights=columns.weights[:kept].copy(),
        contribution=spread_rest(contribution, costs.gross),
        fills=fills,
        orders=orders,
        costs=costs,
        settings=settings_of(found.settings),
        notes=found.notes,
    )


def settings_of(settings: Settings) -> dict[str, object]:
    """The rules a run stands under, as JSON."""
    return {
        "trade": settings.config.trade.model_dump(mode="json"),
        "rules": settings.rules.model_dump(mode="json"),
    }


def fills_of(found: Found) -> pl.DataFrame:
    """``FILLS`` of the engine's log."""
    log, market = found.fills, found.market
    order, index, at_ms, row, side, steps, ticks, fee, bid, ask = log.T
    known = [found.rules[i] for i in market.instruments]
    quantity = _counted(steps, row, [r.step for r in known])
    price = _counted(ticks, row, [r.tick for r in known])
    tick = np.array([float(r.tick) for r in known])
    money = quantity * price
    paid = fee / float(UNITS)
    in_base = (side == 1) & ~found.fee_in_quote[row]
    delay, spread, impact = _split(
        side == 1, quantity, ticks, bid, ask, tick[row], np.ascontiguousarray(found.order_floats[order, 0])
    )
    symbols = np.array([i.symbol for i in market.instruments], dtype=object)
    return pl.DataFrame(
        {
            "order": order,
            "minute": market.start_minute + index * MINUTE_MS,
            "at_ms": at_ms,
            "symbol": symbols[row],
            "side": np.where(side == 1, "buy", "sell").astype(object),
            "quantity": quantity,
            "price": price,
            "notional_usdt": money,
            "fee_usdt": np.where(in_base, paid * price, paid),
            "spread_usdt": spread,
            "impact_usdt": impact,
            "delay_usdt": delay,
            "maker": np.zeros(len(log), dtype=np.bool_),
        },
        schema=FILLS,
    )


def _counted(counts: np.ndarray, row: np.ndarray, units: list) -> FloatArray:
    """So many units of each row's grid, as the float64 of their Decimals."""
    fractions = [fraction_of(unit) for unit in units]
    num = np.array([n for n, _ in fractions], dtype=np.int64)
    den = np.array([d for _, d in fractions])
    return counts * num[row] / den[row]


@njit(cache=True)
def _split(
    buying: np.ndarray,
    quantity: FloatArray,
    ticks: np.ndarray,
    bid: np.ndarray,
    ask: np.ndarray,
    tick: FloatArray,
    mid: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """``split_cost`` of every fill."""
    delay, spread, impact = np.empty_like(quantity), np.empty_like(quantity), np.empty_like(quantity)
    for k in range(quantity.shape[0]):
        delay[k], spread[k], impact[k] = split_cost(buying[k], quantity[k], ticks[k], bid[k], ask[k], tick[k], mid[k])
    return delay, spread, impact


def orders_of(found: Found, fills: pl.DataFrame) -> pl.DataFrame:
    """``ORDERS`` of the engine's log, each with its arithmetic."""
    market = found.market
    index, row, lots, ticks, _, regime = found.orders.T
    mid, edge, target, equity = found.order_floats[:, :4].T
    known = [found.rules[i] for i in market.instruments]
    executed = np.zeros(len(found.orders))
    np.add.at(executed, fills["order"].to_numpy(), fills["quantity"].to_numpy())
    symbols = np.array([i.symbol for i in market.instruments], dtype=object)
    names = np.array([*(r.value for r in REGIMES), ""], dtype=object)
    return pl.DataFrame(
        {
            "order": np.arange(len(found.orders)),
            "minute": market.start_minute + index * MINUTE_MS,
            "symbol": symbols[row],
            "side": np.where(lots > 0, "buy", "sell").astype(object),
            "quantity": _counted(np.abs(lots), row, [r.step for r in known]),
            "limit_price": _counted(ticks, row, [r.tick for r in known]),
            "mid": mid,
            "edge_bps": edge,
            "target": target,
            "equity": equity,
            "regime": names[regime],
            "executed": executed,
            "why": why_of(found),
        },
        schema=ORDERS,
    )


def why_of(found: Found) -> pl.Series:
    """How each order's size came about, in the words of ``core.sizing.arithmetic``; lists of lines."""
    row, lots, limit = found.orders[:, 1], found.orders[:, 2], found.orders[:, 4]
    _, _, target, equity, held, price, asked, allowed = found.order_floats.T
    count = len(found.orders)
    # As if all orders were rows of one minute: what is told of each is its own row and equity alone.
    columns = {name: np.zeros(count) for name in Rows._fields}
    columns |= {name: getattr(found.rows, name)[row] for name in ("rate", "step", "tick")}
    columns |= {"target": target, "held": held, "mid": found.order_floats[:, 0], "price": price}
    rows = Rows(**columns)
    sized = Sized(lots.astype(np.float64), found.orders[:, 3].astype(np.float64), asked, allowed, limit)
    rules = [found.rules[i] for i in found.market.instruments]
    quantity = _counted(np.abs(lots), row, [r.step for r in rules])
    impact = _impacts(found.tape.seen, row, found.orders[:, 0], quantity)
    texts = []
    for k in range(count):
        lines = arithmetic(rows, found.caps._replace(equity=float(equity[k])), sized, k, rules[row[k]])
        if math.isfinite(impact[k]):
            lines += (f"expected impact {impact[k]:.2f} bps",)
        texts.append("\n".join(lines))
    return pl.Series("why", texts, dtype=pl.String).str.split("\n")


def _impacts(bars: FloatArray, row: np.ndarray, index: np.ndarray, quantity: FloatArray) -> FloatArray:
    """``impact_of`` every order at its decision, in bps."""
    found = np.full(len(row), np.nan)
    for k in range(len(row)):
        first = max(0, index[k] - IMPACT_MINUTES)
        window = bars[row[k], first : index[k] + 1]
        if np.isnan(window[:, CLOSE]).any():
            known = np.flatnonzero(np.isfinite(bars[row[k], : first + 1, CLOSE]))
            window = fill_gaps(bars[row[k], known[-1] if len(known) else first : index[k] + 1])[0]
        found[k] = impact_of(SimpleNamespace(bars=window[None]), 0, float(quantity[k]))
    return found


def costs_of(equity: FloatArray, fills: pl.DataFrame, last: int) -> Costs:
    """Where the money went between the first and the last known equity.

    Fills of orders of the ``last`` minute happened after that equity was taken: they are left out. A fee that was paid
    in the coin counts at the fill's price.
    """
    known = equity[np.isfinite(equity)]
    net = float(known[-1] - known[0]) if len(known) else 0.0
    booked = fills.filter(pl.col("minute") < last)
    fees, spread, impact, delay = (
        math.fsum(booked[name]) for name in ("fee_usdt", "spread_usdt", "impact_usdt", "delay_usdt")
    )
    return Costs(
        gross=net + fees + spread + impact + delay, fees=fees, spread=spread, impact=impact, delay=delay, net=net
    )


def contributions(
    orders: np.ndarray, mid: FloatArray, shares: FloatArray, fills: pl.DataFrame, last: int, close: FloatArray
) -> FloatArray:
    """(M,) USDT that each member's part of the entries earned, at the mids of the decisions, before costs.

    A buy is shared out by what each member's weighted forecast had in its edge; a sell realises everybody's part of the
    position in proportion; what is left is worth ``close`` (S,).
    """
    booked = fills.filter(pl.col("minute") < last)
    return _attribute(
        booked["order"].to_numpy().astype(np.int64),
        np.ascontiguousarray(orders[:, 1]),
        (booked["side"] == "buy").to_numpy().astype(np.bool_),
        booked["quantity"].to_numpy().astype(np.float64),
        np.ascontiguousarray(mid),
        np.ascontiguousarray(shares),
        close,
    )


@njit(cache=True)
def _attribute(
    order: np.ndarray,
    row_of: np.ndarray,
    buying: np.ndarray,
    quantity: FloatArray,
    mid: FloatArray,
    shares: FloatArray,
    close: FloatArray,
) -> FloatArray:
    rows, members = close.shape[0], shares.shape[1]
    held, parts, paid = np.zeros(rows), np.zeros((rows, members)), np.zeros((rows, members))
    earned = np.zeros(members)
    for k in range(order.shape[0]):
        o = order[k]
        row, amount = row_of[o], quantity[k]
        if buying[k]:
            held[row] += amount
            for m in range(members):
                parts[row, m] += amount * shares[o, m]
                paid[row, m] += amount * shares[o, m] * mid[o]
        elif held[row] > 0.0:
            share = min(1.0, amount / held[row])
            held[row] -= share * held[row]
            for m in range(members):
                earned[m] += share * (parts[row, m] * mid[o] - paid[row, m])
                parts[row, m] -= share * parts[row, m]
                paid[row, m] -= share * paid[row, m]
    for row in range(rows):
        if held[row] > 0.0:
            for m in range(members):
                earned[m] += parts[row, m] * close[row] - paid[row, m]
    return earned


def spread_rest(contribution: FloatArray, gross: float) -> FloatArray:
    """The contributions made to add up to ``gross``: what coins kept back as fees did afterwards is nobody's choice."""
    weight = np.abs(contribution)
    if not weight.sum() > 0.0:
        return contribution
    return contribution + (gross - contribution.sum()) * weight / weight.sum()


def last_prices(columns: Columns, found: Found, done: int) -> FloatArray:
    """(S,) closes known at the last minute done."""
    index = columns.first + done - 1
    closes = np.full(len(found.market.instruments), np.nan)
    for row in range(len(closes)):
        known = np.flatnonzero(np.isfinite(found.tape.seen[row, : index + 1, CLOSE]))
        if len(known):
            closes[row] = found.tape.seen[row, known[-1], CLOSE]
    return closes


def _utc(ms: int) -> str:
    return str(np.datetime64(int(ms), "ms").astype("datetime64[m]"))
