"""The figures of a run: what it made, how it swung, how often it was right; whole, by instrument and by regime.

Every figure is a number or None where it has no meaning (no trade, no loss, too short): never NaN. Annual figures
count 365 days of 1,440 minutes. Sharpe, Sortino, volatility and tail ratio are of the returns that
``tune.stats.sampling`` makes (daily from 30 days on, else hourly); drawdown is looked for in every minute.
"""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from core.messages import FloatArray
from core.units import MINUTE_MS
from tune.result import REGIMES, Result
from tune.stats.sampling import Sampled, days_of, observed, sampled
from tune.stats.trades import round_trips

DAYS_FOR_A_YEAR = 30
"""Below that, what a year would bring is not computed: a good day, every day for a year, is a fantasy."""
LEAST_RETURNS = 10
"""Sampled returns below which no ratio is computed from them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """Figures of one run. Fractions, not per cent; USDT; times epoch ms."""

    minutes: int
    missed: int
    """Minutes without a decision: in no figure."""
    days: float
    """That were observed: outages and the gaps between folds are not counted."""
    period: str
    """Of the returns: ``day`` or ``hour``."""
    observations: int
    start: float | None
    end: float | None
    net: float | None
    total_return: float | None
    cagr: float | None
    """Compound return of a year; None below 30 days."""
    volatility: float | None
    """Annual standard deviation of the sampled returns."""
    sharpe: float | None
    """Annual mean over standard deviation, no risk-free rate; Sharpe 1994, "The Sharpe Ratio", J. Portfolio Mgmt 21(1)."""
    sortino: float | None
    """Annual mean over the root mean square of the returns below 0; Sortino & Price 1994, J. of Investing 3(3)."""
    calmar: float | None
    """CAGR over the largest drawdown; Young 1991, "Calmar Ratio", Futures 20(1), here over the whole run."""
    tail_ratio: float | None
    """95th percentile of the sampled returns over the size of the 5th."""
    skewness: float | None
    kurtosis: float | None
    """Not in excess: 3 when normal."""
    max_drawdown: float
    """Largest fall from an earlier high, 0..1."""
    peak_at: int | None
    """The high before the largest fall."""
    trough_at: int | None
    recovered_at: int | None
    """When that high was reached again; None when it was not."""
    recovery_minutes: int | None
    """From the trough to the old high."""
    longest_under_water: int
    """Minutes from a high to the next higher or equal equity, the longest; up to the end if it was not reached."""
    fills: int
    trades: int
    """Closed round trips (``tune.stats.trades``)."""
    open_trades: int
    turnover: float | None
    """Traded notional over mean equity."""
    turnover_a_day: float | None
    exposure: float | None
    """Mean invested share of equity."""
    time_in_market: float | None
    """Share of the minutes with anything held."""
    hit_rate: float | None
    """Share of the trades with a net profit."""
    profit_factor: float | None
    """Net profits over net losses of the trades; None without a losing one."""
    expectancy: float | None
    """Mean net profit of a trade, USDT."""
    mean_win: float | None
    mean_loss: float | None
    """At most 0."""
    mean_minutes: float | None
    """Mean holding time."""


def ratios(result: Result, trades: pl.DataFrame | None = None) -> Ratios:
    """All figures of a run; ``trades`` are its ``round_trips`` where they are known already."""
    trades = round_trips(result) if trades is None else trades
    sample = sampled(result.minute, result.equity)
    minute, equity = observed(result.minute, result.equity)
    seen = np.isfinite(result.equity) & (result.equity > 0.0)
    invested = np.nan_to_num(result.invested[seen])
    traded = float(result.fills["notional_usdt"].sum()) if len(result.fills) else 0.0
    days = days_of(minute)
    turnover = traded / float(equity.mean()) if len(equity) and equity.mean() > 0.0 else None
    fall = drawdown(minute, equity)
    whole = float(equity[-1] / equity[0] - 1.0) if len(equity) and equity[0] > 0.0 else None
    cagr = _cagr(whole, days)
    return Ratios(
        minutes=len(result.minute),
        missed=int((~np.isfinite(result.equity)).sum()),
        days=days,
        period=sample.period,
        observations=len(sample.returns),
        start=float(equity[0]) if len(equity) else None,
        end=float(equity[-1]) if len(equity) else None,
        net=float(equity[-1] - equity[0]) if len(equity) else None,
        total_return=whole,
        cagr=cagr,
        calmar=cagr / fall.depth if cagr is not None and fall.depth > 0.0 else None,
        max_drawdown=fall.depth,
        peak_at=fall.peak_at,
        trough_at=fall.trough_at,
        recovered_at=fall.recovered_at,
        recovery_minutes=fall.recovery_minutes,
        longest_under_water=fall.longest,
        fills=len(result.fills),
        turnover=turnover,
        turnover_a_day=turnover / days if turnover is not None and days > 0.0 else None,
        exposure=float(np.mean(invested / result.equity[seen])) if seen.any() else None,
        time_in_market=float(np.mean(invested > 0.0)) if seen.any() else None,
        **_of_returns(sample),
        **trade_figures(trades),
    )


def _cagr(whole: float | None, days: float) -> float | None:
    if whole is None or days < DAYS_FOR_A_YEAR:
        return None
    return (1.0 + whole) ** (365.0 / days) - 1.0


def _of_returns(sample: Sampled) -> dict[str, float | None]:
    """The figures of sampled returns; None with fewer than ten, or where they do not vary."""
    names = ("volatility", "sharpe", "sortino", "tail_ratio", "skewness", "kurtosis")
    returns = sample.returns
    if len(returns) < LEAST_RETURNS:
        return dict.fromkeys(names)
    mean, deviation = float(returns.mean()), float(returns.std())
    found: dict[str, float | None] = dict.fromkeys(names)
    found["volatility"] = deviation * math.sqrt(sample.per_year)
    if deviation <= 1e-9 * abs(mean) or deviation == 0.0:
        return found
    scaled = (returns - mean) / deviation
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    low, high = (float(v) for v in np.quantile(returns, (0.05, 0.95)))
    found["sharpe"] = mean / deviation * math.sqrt(sample.per_year)
    found["sortino"] = mean / downside * math.sqrt(sample.per_year) if downside > 0.0 else None
    found["tail_ratio"] = high / -low if low < 0.0 else None
    found["skewness"], found["kurtosis"] = float(np.mean(scaled**3)), float(np.mean(scaled**4))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawdown:
    """The largest fall of an equity curve, and its longest time under water."""

    depth: float = 0.0
    peak_at: int | None = None
    trough_at: int | None = None
    recovered_at: int | None = None
    recovery_minutes: int | None = None
    longest: int = 0


def drawdown(minute: np.ndarray, equity: FloatArray) -> Drawdown:
    """Of (T,) observed equity at (T,) epoch ms; all zero and None when it never fell."""
    if not len(equity):
        return Drawdown()
    peak = np.maximum.accumulate(equity)
    fall = 1.0 - equity / np.where(peak > 0.0, peak, 1.0)
    trough = int(fall.argmax())
    if fall[trough] <= 0.0:
        return Drawdown()
    high = int(np.flatnonzero(equity[: trough + 1] == peak[trough])[-1])
    back = np.flatnonzero(equity[trough:] >= peak[trough])
    recovered = trough + int(back[0]) if len(back) else None
    # Indices at which equity stands at its high; under water is what lies between two of them, or after the last.
    tops = np.append(np.flatnonzero(equity >= peak), len(equity) - 1)
    gaps = np.where(np.diff(tops) > 1, minute[tops[1:]] - minute[tops[:-1]], 0)
    if equity[-1] < peak[-1]:
        gaps[-1] = minute[-1] - minute[tops[-2]]
    return Drawdown(
        depth=float(fall[trough]),
        peak_at=int(minute[high]),
        trough_at=int(minute[trough]),
        recovered_at=int(minute[recovered]) if recovered is not None else None,
        recovery_minutes=int(minute[recovered] - minute[trough]) // MINUTE_MS if recovered is not None else None,
        longest=int(gaps.max()) // MINUTE_MS,
    )


def trade_figures(trades: pl.DataFrame) -> dict[str, float | int | None]:
    """What a table of trades says; open ones are counted apart and are in no average."""
    closed = trades.filter(~pl.col("open"))
    net = closed["net_usdt"].to_numpy()
    wins, losses = net[net > 0.0], net[net <= 0.0]
    lost = -float(losses.sum())
    return {
        "trades": len(net),
        "open_trades": len(trades) - len(net),
        "hit_rate": len(wins) / len(net) if len(net) else None,
        "profit_factor": float(wins.sum()) / lost if len(net) and lost > 0.0 else None,
        "expectancy": float(net.mean()) if len(net) else None,
        "mean_win": float(wins.mean()) if len(wins) else None,
        "mean_loss": float(losses.mean()) if len(losses) else None,
        "mean_minutes": float(closed["minutes"].to_numpy().mean()) if len(net) else None,
    }


GROUP: dict[str, pl.DataType] = {
    "net_usdt": pl.Float64(),
    "exposure": pl.Float64(),
    "fills": pl.Int64(),
    "notional_usdt": pl.Float64(),
    "fees_usdt": pl.Float64(),
    "spread_usdt": pl.Float64(),
    "impact_usdt": pl.Float64(),
    "delay_usdt": pl.Float64(),
    "trades": pl.Int64(),
    "open_trades": pl.Int64(),
    "hit_rate": pl.Float64(),
    "profit_factor": pl.Float64(),
    "expectancy": pl.Float64(),
    "mean_win": pl.Float64(),
    "mean_loss": pl.Float64(),
    "mean_minutes": pl.Float64(),
}


def by_symbol(result: Result, trades: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row an instrument, best first: ``symbol`` and ``GROUP``. ``net_usdt`` is that of its trades, open ones too;
    ``exposure`` the mean worth over equity on the result's grid."""
    trades = round_trips(result) if trades is None else trades
    equity = result.equity[result.grid]
    rows = []
    for s, instrument in enumerate(result.instruments):
        mine = trades.filter(pl.col("symbol") == instrument.symbol)
        share = result.worth[:, s] / np.where(equity > 0.0, equity, np.nan) if len(result.grid) else np.zeros(0)
        share = share[np.isfinite(share)]
        fills = result.fills.filter(pl.col("symbol") == instrument.symbol)
        net = float(mine["net_usdt"].sum())
        rows.append((instrument.symbol, net, float(share.mean()) if len(share) else None, *_group(fills, mine)))
    return pl.DataFrame(rows, schema={"symbol": pl.String(), **GROUP}, orient="row").sort(
        "net_usdt", descending=True, maintain_order=True
    )


def by_regime(result: Result, trades: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row a regime the run saw: ``regime``, ``minutes``, ``share`` of them, ``total_return`` and ``GROUP``.

    A change of equity belongs to the regime of the decision before it; a trade to that of its entry. So ``net_usdt``
    adds up to the run's net, and ``total_return`` is what these minutes compound to.
    """
    trades = round_trips(result) if trades is None else trades
    seen = np.isfinite(result.equity) & (result.equity > 0.0)
    equity, regime, invested = result.equity[seen], result.regime[seen], np.nan_to_num(result.invested[seen])
    at = np.searchsorted(result.minute, result.fills["minute"].to_numpy()) if len(result.fills) else np.zeros(0, int)
    filled = result.regime[np.minimum(at, len(result.minute) - 1)] if len(at) else np.zeros(0, int)
    rows = []
    for index in range(-1, len(REGIMES)):
        here = regime == index
        if not here.any():
            continue
        name = str(REGIMES[index]) if index >= 0 else "unknown"
        after = np.flatnonzero(here[:-1])
        moved = equity[after + 1] - equity[after]
        growth = float(np.sum(np.log(equity[after + 1] / equity[after])))
        mine = trades.filter(pl.col("regime") == name if index >= 0 else pl.col("regime").is_null())
        head = (name, int(here.sum()), float(here.mean()), math.expm1(growth), float(moved.sum()))
        exposure = float(np.mean(invested[here] / equity[here]))
        rows.append((*head, exposure, *_group(result.fills.filter(pl.Series(filled == index)), mine)))
    schema = {
        "regime": pl.String(),
        "minutes": pl.Int64(),
        "share": pl.Float64(),
        "total_return": pl.Float64(),
        **GROUP,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _group(fills: pl.DataFrame, trades: pl.DataFrame) -> tuple[float | int | None, ...]:
    """``GROUP`` from ``fills`` on."""
    columns = ("notional_usdt", "fee_usdt", "spread_usdt", "impact_usdt", "delay_usdt")
    figures = trade_figures(trades)
    names = (
        "trades",
        "open_trades",
        "hit_rate",
        "profit_factor",
        "expectancy",
        "mean_win",
        "mean_loss",
        "mean_minutes",
    )
    return (len(fills), *(float(fills[c].sum()) for c in columns), *(figures[name] for name in names))
