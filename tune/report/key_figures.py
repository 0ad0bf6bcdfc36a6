"""The figures at the head of a report: what a run brought, what it risked, how often it traded."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from core.messages import FloatArray
from core.metrics import MINUTES_A_YEAR, measure
from tune.buy_and_hold import benchmarks
from tune.report.series import carried, closed_returns, drawdown, whole_equity
from tune.report.style import DASH, money, number, percent, span
from tune.report.waterfall import traded_of
from tune.result import Result

SHORTEST_FOR_RATIOS = 7 * 1_440
"""Minutes. A ratio a year from less than a week says nothing, and looks as if it did."""
TOO_SHORT = "too short to say"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFigure:
    """One line: its value as text and as a number, and where known the band it may lie in."""

    key: str
    label: str
    text: str
    value: float
    hint: str = ""
    band: str = ""
    better: int = 0
    """1 when more is better, -1 when less is, 0 when neither."""
    scale: float = 1.0
    """What differences are multiplied with to be told, 100 for per cent."""
    unit: str = ""


def key_figures(result: Result, trades: pl.DataFrame) -> list[KeyFigure]:
    """All figures, each defined also for a run that did nothing or lasted one minute."""
    if not result.minutes:
        return []
    equity = whole_equity(result)
    known = measure(equity, np.nan_to_num(carried(result.invested, 0.0)))
    long_enough = result.minutes >= SHORTEST_FOR_RATIOS
    years = result.minutes / MINUTES_A_YEAR
    growth = known.total_return
    yearly = (1.0 + growth) ** (1.0 / years) - 1.0 if long_enough and growth > -1.0 else float("nan")
    returns = closed_returns(trades)
    won, lost = returns[returns > 0.0], returns[returns <= 0.0]
    closed = trades.filter(~pl.col("open"))
    profits = closed["net_usdt"].to_numpy()
    losses = -float(profits[profits < 0.0].sum())
    gains = float(profits[profits > 0.0].sum())
    factor = gains / losses if losses > 0.0 else float("inf") if gains > 0.0 else float("nan")
    longest = longest_fall(equity)
    held = closed["minutes"].to_numpy()
    missed = int((~np.isfinite(result.equity)).sum())
    basis = benchmarks(result)

    def ratio(value: float) -> str:
        return number(value) if long_enough else TOO_SHORT

    return [
        KeyFigure(
            key="return",
            label="return",
            text=percent(growth, sign=True),
            value=growth,
            better=1,
            scale=100,
            unit="%",
            hint="last equity over first, after every cost",
        ),
        *(
            KeyFigure(
                key=f"hold{row}",
                label=one.name,
                text=percent(one.total_return, sign=True),
                value=one.total_return,
                scale=100,
                unit="%",
                hint="the same cash, bought at the start and held, free of cost",
            )
            for row, one in enumerate(basis)
        ),
        KeyFigure(
            key="cagr",
            label="return a year",
            text=percent(yearly, 1, sign=True) if long_enough else TOO_SHORT,
            value=yearly,
            better=1,
            scale=100,
            unit="%",
            hint="the return compounded to a year",
        ),
        KeyFigure(
            key="drawdown",
            label="largest fall",
            text=percent(known.max_drawdown),
            value=known.max_drawdown,
            better=-1,
            scale=100,
            unit="%",
            hint="from an earlier high",
        ),
        KeyFigure(
            key="fall_minutes",
            label="longest below a high",
            text=span(longest),
            value=float(longest),
            better=-1,
            unit="min",
            hint="time until the old high was seen again, or the end",
        ),
        KeyFigure(
            key="sharpe",
            label="Sharpe (year)",
            text=ratio(known.sharpe),
            value=known.sharpe if long_enough else float("nan"),
            better=1,
            hint="mean over deviation of minute returns, to a year",
        ),
        KeyFigure(
            key="sortino",
            label="Sortino (year)",
            text=ratio(known.sortino),
            value=known.sortino if long_enough else float("nan"),
            better=1,
            hint="the same with falls only as risk",
        ),
        KeyFigure(
            key="calmar",
            label="Calmar",
            text=ratio(yearly / known.max_drawdown) if known.max_drawdown > 0.0 else DASH,
            value=yearly / known.max_drawdown if known.max_drawdown > 0.0 else float("nan"),
            better=1,
            hint="return a year over the largest fall",
        ),
        KeyFigure(
            key="volatility",
            label="volatility (year)",
            text=percent(known.volatility, 1),
            value=known.volatility,
            better=-1,
            scale=100,
            unit="%",
        ),
        KeyFigure(
            key="trades",
            label="round trips",
            text=f"{len(returns):,}",
            value=float(len(returns)),
            hint="closed; open ones are in the list below",
        ),
        KeyFigure(
            key="hit",
            label="hit rate",
            text=percent(len(won) / len(returns), 0) if len(returns) else DASH,
            value=len(won) / len(returns) if len(returns) else float("nan"),
            better=1,
            scale=100,
            unit="%",
            hint="closed round trips with a profit after costs",
        ),
        KeyFigure(
            key="factor",
            label="profit factor",
            text=number(factor),
            value=factor,
            better=1,
            hint="what the winners won over what the losers lost",
        ),
        KeyFigure(
            key="payoff",
            label="mean win / mean loss",
            text=_bps(won) + " / " + _bps(lost),
            value=float(won.mean() / -lost.mean()) if len(won) and len(lost) and lost.mean() < 0 else float("nan"),
            better=1,
            hint="bps of what was paid",
        ),
        KeyFigure(
            key="held",
            label="held, median",
            text=span(float(np.median(held))) if len(held) else DASH,
            value=float(np.median(held)) if len(held) else float("nan"),
            unit="min",
        ),
        KeyFigure(
            key="exposure",
            label="mean exposure",
            text=percent(known.exposure, 1),
            value=known.exposure,
            scale=100,
            unit="%",
            hint="share of equity in coins",
        ),
        KeyFigure(
            key="turnover",
            label="turnover",
            text=number(traded_of(result) / float(equity.mean())) + "×",
            value=traded_of(result) / float(equity.mean()),
            better=-1,
            hint="notional traded over mean equity",
        ),
        KeyFigure(
            key="costs",
            label="costs",
            text=money(result.costs.gross - result.costs.net) + " USDT",
            value=(result.costs.gross - result.costs.net) / result.cash,
            better=-1,
            scale=100,
            unit="%",
            hint="fees, half spread, impact and delay",
        ),
        KeyFigure(
            key="minutes",
            label="minutes",
            text=f"{result.minutes:,}" + (f", {missed:,} missed" if missed else ""),
            value=float(result.minutes),
        ),
    ]


def longest_fall(equity: FloatArray) -> int:
    """Minutes of the longest stay below an earlier high."""
    below = drawdown(equity) < 0.0
    if not below.any():
        return 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], below, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max())


def _bps(returns: FloatArray) -> str:
    return number(1e4 * float(returns.mean()), 1, sign=True) if len(returns) else DASH
