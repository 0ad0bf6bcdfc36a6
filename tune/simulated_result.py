"""The engine's logs as a ``Result``: where the money went and who earned what at once, the tables when looked at."""

import json
import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import polars as pl

from config.settings import Settings
from core.bars import first_known, last_known
from core.engine.tables import EDGE, EQUITY, INVESTED, WORTH
from core.lean import lean
from core.messages import CLOSE, FloatArray
from core.units import Instrument, plural
from tune.found import LOTS, ORDER, ROW, Found
from tune.result import Costs, Counts, Result, Tables, grid_of
from tune.run_rules import once
from tune.simulated_tables import fills_of, orders_of


def make_result(found: Found) -> Result:
    """Everything that a report needs of the run."""
    market, columns, done = found.market, found.columns, found.minutes
    minute = found.minute[:done]
    equity = np.ascontiguousarray(columns.minutes[EQUITY, :done])
    whole = grid_of(market.minutes)
    kept = bisect_left(whole, done)
    invested = np.ascontiguousarray(columns.minutes[INVESTED, :done])
    if found.worth is not None:
        worth, edge, weights = found.worth[:kept], _unknown(kept), np.zeros((kept, 0))
        worth[-1, 0] = invested[whole[kept - 1]]
    else:
        grid = columns.grid[:kept]
        worth, edge, weights = grid[:, WORTH].copy(), grid[:, EDGE].copy(), columns.weights[:kept].copy()
    # Fills of the last minute's orders happened after its equity was taken.
    booked = found.filled_before(columns.first + done - 1)
    first, newest = first_known(equity), last_known(equity, done)
    costs = _costs(0.0 if math.isnan(first) else newest - first, *found.lost(booked))
    buys = int(np.count_nonzero(found.orders[:, LOTS] > 0))
    return Result(
        name=found.name,
        market=f"{', '.join(i.symbol for i in market.instruments)}, {plural(done, 'minute')} from {_utc(minute[0])} UTC",
        synthetic=market.synthetic,
        instruments=market.instruments,
        members=found.members,
        cash=float(found.cash),  # type: ignore[arg-type]
        minute=minute,
        equity=equity,
        invested=invested,
        regime=found.regime,
        state=columns.state[:done],
        grid=whole[:kept],
        close=found.close[:kept],
        worth=worth,
        edge_bps=edge,
        weights=weights,
        contribution=contribution_of(found, booked, costs.gross),
        tables=Tables(
            lambda: fills_of(found), lambda: orders_of(found), Counts(len(found.orders), buys, len(found.fills))
        ),
        costs=costs,
        settings=settings_of(found.settings),
        notes=found.notes,
    )


def worth_is_invested(instruments: Sequence[Instrument], members: Sequence[str]) -> bool:
    """Where one instrument is traded and nobody votes, the engine need not write down at every row of the grid what it
    is worth: all that is invested, which is known of every minute."""
    return len(instruments) == 1 and not members


@lru_cache(maxsize=8)
def _unknown(count: int) -> FloatArray:
    """(N, 1), one NaN seen as many; read-only."""
    return np.broadcast_to(math.nan, (count, 1))


@once
def settings_of(settings: Settings) -> dict[str, object]:
    """The rules a run stands under, as JSON: one for all runs under these settings, so nobody changes it."""
    trade, rules = (part.model_dump(mode="json") for part in (settings.config.trade, settings.rules))
    return json.loads(json.dumps({"trade": trade, "rules": rules}))  # type: ignore[no-any-return]


def contribution_of(found: Found, booked: int, gross: float) -> FloatArray:
    """(M,) USDT that each member earned of ``gross``, by the first ``booked`` fills."""
    if not found.members:
        return np.zeros(0)
    seen, usdt = found.tape.seen, found.rows.rate[0]
    last = found.columns.first + found.minutes
    earned = _attribute(
        found.fills[:booked, ORDER].copy(),
        found.orders[:, ROW].copy(),
        found.orders[found.fills[:booked, ORDER], LOTS] > 0,
        found.priced.quantity[:booked],
        found.order_floats[:, 0] * usdt,
        np.ascontiguousarray(found.shares),
        usdt * np.array([last_known(seen[row, :, CLOSE], last) for row in range(len(seen))]),
    )
    return spread_rest(earned, gross)


def costs_of(equity: FloatArray, fills: pl.DataFrame, last: int) -> Costs:
    """Where the money went between the first and the last known equity.

    Fills of orders of the ``last`` minute happened after that equity was taken: they are left out. A fee that was paid
    in the coin counts at the fill's price.
    """
    known = equity[np.isfinite(equity)]
    net = float(known[-1] - known[0]) if len(known) else 0.0
    booked = fills.filter(pl.col("minute") < last)
    lost = (math.fsum(booked[name]) for name in ("fee_usdt", "spread_usdt", "impact_usdt", "delay_usdt"))
    return _costs(net, *lost)


def _costs(net: float, fees: float, spread: float, impact: float, delay: float) -> Costs:
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


def _attribute(
    order: np.ndarray,
    row_of: np.ndarray,
    buying: np.ndarray,
    quantity: FloatArray,
    mid: FloatArray,
    shares: FloatArray,
    close: FloatArray,
) -> FloatArray:
    """``contributions``, of arrays."""
    rows, members = close.shape[0], shares.shape[1]
    earned = np.zeros(members)
    _earn(order, row_of, buying, quantity, mid, shares, close, np.zeros(rows), np.zeros((2, rows, members)), earned)
    return earned


@lean
def _earn(
    order: np.ndarray,
    row_of: np.ndarray,
    buying: np.ndarray,
    quantity: FloatArray,
    mid: FloatArray,
    shares: FloatArray,
    close: FloatArray,
    held: FloatArray,
    entries: FloatArray,
    earned: FloatArray,
) -> None:
    """``_attribute`` added to ``earned``; ``held`` (S,) and ``entries`` (2, S, M), quantity and money, are zero."""
    rows, members = close.shape[0], shares.shape[1]
    parts, paid = entries[0], entries[1]
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


def spread_rest(contribution: FloatArray, gross: float) -> FloatArray:
    """The contributions made to add up to ``gross``: what coins kept back as fees did afterwards is nobody's choice."""
    weight = np.abs(contribution)
    if not weight.sum() > 0.0:
        return contribution
    return contribution + (gross - contribution.sum()) * weight / weight.sum()


def _utc(ms: int) -> str:
    return str(np.datetime64(int(ms), "ms").astype("datetime64[m]"))
