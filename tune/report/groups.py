"""The same run by symbol and by regime: where the money came from."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from core.messages import FloatArray
from core.metrics import sharpe
from tune.report.series import carried, minute_returns, whole_equity
from tune.result import REGIMES, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolRow:
    """One symbol. Money in USDT."""

    symbol: str
    trips: int
    """Closed round trips."""
    won: float
    """Share of them with a profit; NaN without any."""
    traded: float
    gross: float
    """Before costs: at the mids of the decisions."""
    fees: float
    spread: float
    impact: float
    delay: float
    net: float
    exposure: float
    """Mean share of equity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeRow:
    """One regime of the market."""

    regime: str
    share: float
    """Of the minutes."""
    growth: float
    """Compound return of its minutes."""
    sharpe: float
    """A year, from its minutes alone."""
    exposure: float
    entries: int
    """Round trips begun in it."""
    profit: float
    """Theirs, USDT, after fees."""


def by_symbol(result: Result, trades: pl.DataFrame) -> list[SymbolRow]:
    """A row a symbol; ``net`` values what is left at the end at its last close. They add up to the run's net but for
    fees that were taken in coins, whose price moved after the fill."""
    sums = {
        row["symbol"]: row
        for row in result.fills.group_by("symbol")
        .agg(
            pl.col("notional_usdt").sum().alias("traded"),
            pl.col("notional_usdt").filter(pl.col("side") == "buy").sum().alias("bought"),
            pl.col("notional_usdt").filter(pl.col("side") == "sell").sum().alias("sold"),
            pl.col("fee_usdt", "spread_usdt", "impact_usdt", "delay_usdt").sum(),
            pl.col("quantity").filter(pl.col("side") == "buy").sum().alias("units_in"),
            pl.col("quantity").filter(pl.col("side") == "sell").sum().alias("units_out"),
            (pl.col("notional_usdt").sum() / (pl.col("quantity") * pl.col("price")).sum()).alias("rate"),
        )
        .iter_rows(named=True)
    }
    share = _exposure_by_symbol(result)
    rows = []
    for column, instrument in enumerate(result.instruments):
        found = sums.get(instrument.symbol)
        closed = trades.filter((pl.col("symbol") == instrument.symbol) & ~pl.col("open"))["net_usdt"]
        won = float((closed > 0.0).mean()) if len(closed) else float("nan")
        net, costs = 0.0, (0.0, 0.0, 0.0, 0.0)
        if found is not None:
            closes = result.close[:, column]
            last = float(carried(closes, 0.0)[-1]) if len(closes) else 0.0
            rest = (found["units_in"] - found["units_out"]) * last * found["rate"]
            costs = tuple(found[name] for name in ("fee_usdt", "spread_usdt", "impact_usdt", "delay_usdt"))
            net = found["sold"] + rest - found["bought"] - costs[0]
        rows.append(
            SymbolRow(
                symbol=instrument.symbol,
                trips=len(closed),
                won=won,
                traded=found["traded"] if found else 0.0,
                gross=net + sum(costs),
                fees=costs[0],
                spread=costs[1],
                impact=costs[2],
                delay=costs[3],
                net=net,
                exposure=float(share[column]),
            )
        )
    return rows


def by_regime(result: Result, trades: pl.DataFrame) -> list[RegimeRow]:
    """A row a regime that occurred; minutes before the first reading are ``unknown``.

    A minute's return belongs to the regime that was known when it began, i.e. of the minute decided before it.
    """
    equity = whole_equity(result)
    returns = minute_returns(equity)
    known_before = np.concatenate([result.regime[:1], result.regime[:-1]]) if result.minutes else result.regime
    invested = np.divide(carried(result.invested, 0.0), equity, out=np.zeros_like(equity), where=equity > 0.0)
    rows = []
    for kind in (*range(len(REGIMES)), -1):
        inside = known_before == kind
        if not inside.any():
            continue
        name = REGIMES[kind].value if kind >= 0 else "unknown"
        begun = trades.filter(pl.col("regime").fill_null("unknown") == name)["net_usdt"]
        rows.append(
            RegimeRow(
                regime=name,
                share=float(inside.mean()),
                growth=float(np.prod(1.0 + returns[inside]) - 1.0),
                sharpe=sharpe(returns[inside]),
                exposure=float(invested[inside].mean()),
                entries=len(begun),
                profit=float(begun.sum()),
            )
        )
    return rows


def _exposure_by_symbol(result: Result) -> FloatArray:
    """(S,) mean share of equity over the grid."""
    if not len(result.grid):
        return np.zeros(len(result.instruments))
    equity = whole_equity(result)[result.grid]
    return np.nan_to_num(np.where(np.isfinite(result.worth), result.worth, 0.0) / equity[:, None]).mean(axis=0)
