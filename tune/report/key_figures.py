"""The figures at the head of a report, in words: what a run brought, what it risked, how often it traded.

The numbers are those of ``tune.stats``; here they get a name, a unit, a hint, and the band that a resampled run lies in.
"""

import math
from dataclasses import dataclass

import numpy as np

from tune.buy_and_hold import benchmarks
from tune.report.series import whole_equity
from tune.report.style import DASH, money, number, percent, span
from tune.result import Result
from tune.stats.bootstrap import Bands
from tune.stats.ratios import Ratios

TOO_SHORT = "too short to say"
SHORTEST_DAYS = 7.0
"""Below that no ratio a year is told: from some hours it says nothing, and looks as if it did."""
LEAST_HELD = 0.001
"""Share of equity below which what is held is dust: less than the venue lets one sell."""
BAND = (0.05, 0.95)
"""Quantiles of the resampled runs that a band goes between: nine in ten lie in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFigure:
    """One line: its value as text and as a number, and where known the band it may lie in."""

    key: str
    label: str
    text: str
    value: float
    """NaN where it has no meaning."""
    hint: str = ""
    band: str = ""
    better: int = 0
    """1 when more is better, -1 when less is, 0 when neither."""
    scale: float = 1.0
    """What differences are multiplied with to be told, 100 for per cent."""
    unit: str = ""
    digits: int = 2


def key_figures(result: Result, known: Ratios, bands: Bands | None = None) -> list[KeyFigure]:
    """All figures, each defined also for a run that did nothing or lasted one minute."""
    long_enough = known.days >= SHORTEST_DAYS
    # What is missing from a long run has no meaning there (nothing fell, nothing moved); more days would not help.
    varied = known.volatility is not None
    none = DASH if known.volatility == 0.0 or (long_enough and varied) else TOO_SHORT
    money_lost = result.costs.gross - result.costs.net
    held = [
        _share(
            f"hold{row}", one.name, one.total_return, hint="the same cash, bought at the start, free of cost", sign=True
        )
        for row, one in enumerate(benchmarks(result))
    ]
    return [
        _share(
            "return",
            "return",
            known.total_return,
            hint="last equity over first, after every cost",
            sign=True,
            better=1,
            band=_share_band(bands.total) if bands else "",
        ),
        *held,
        _share("cagr", "return a year", known.cagr, hint="compounded; from 30 days on", sign=True, better=1, none=TOO_SHORT),
        _share(
            "drawdown",
            "largest fall",
            known.max_drawdown,
            hint="from an earlier high",
            better=-1,
        ),
        _time("under", "longest below a high", known.longest_under_water, hint="until it was seen again, or the end"),
        _ratio(
            "sharpe",
            "Sharpe (year)",
            known.sharpe if long_enough else None,
            none=none,
            hint=f"of {_adverb(known.period)} returns",
            band=f"{number(bands.sharpe[BAND[0]])} to {number(bands.sharpe[BAND[1]])}" if bands and long_enough and known.sharpe is not None
            else "",
        ),
        _ratio("sortino", "Sortino (year)", known.sortino if long_enough else None, none=none, hint="the same with falls only as risk"),
        _ratio("calmar", "Calmar", known.calmar, none=TOO_SHORT if known.cagr is None else DASH, hint="return a year over the largest fall"),
        _share("volatility", "volatility (year)", known.volatility, digits=1, better=-1, none=TOO_SHORT),
        _ratio("tail", "tail ratio", known.tail_ratio if long_enough else None, none=none, hint=f"best over worst twentieth of {_adverb(known.period)} returns"),
        _count("trades", "round trips", known.trades, f"{known.open_trades:,} more still open" if known.open_trades else ""),
        _share("hit", "hit rate", known.hit_rate, digits=0, better=1, hint="round trips with a profit after costs"),
        _ratio("factor", "profit factor", known.profit_factor, hint="what winners won over what losers lost", none=DASH),
        KeyFigure(
            key="expectancy",
            label="mean of a round trip",
            text=_usdt(known.expectancy),
            value=_nan(known.expectancy),
            hint=f"USDT; won {_usdt(known.mean_win)}, lost {_usdt(known.mean_loss)}" if known.trades else "USDT",
            better=1,
        ),
        _time("held", "mean time held", known.mean_minutes),
        _share("exposure", "mean exposure", known.exposure, digits=1, hint=f"in the market {percent(_time_held(result), 0)} of the time"),
        KeyFigure(
            key="turnover",
            label="turnover",
            text=number(_nan(known.turnover), 1) + "×",
            value=_nan(known.turnover),
            hint=f"of mean equity; {number(_nan(known.turnover_a_day), 1)}× a day",
            better=-1,
        ),
        KeyFigure(
            key="costs",
            label="costs, USDT",
            text=money(money_lost),
            value=money_lost,
            hint="fees, half spread, impact and delay",
            better=-1,
            unit="USDT",
        ),
        _count("minutes", "minutes", known.minutes, f"{known.missed:,} missed" if known.missed else ""),
    ]  # fmt: skip


def _share(
    key: str,
    label: str,
    value: float | None,
    *,
    hint: str = "",
    band: str = "",
    better: int = 0,
    digits: int = 2,
    sign: bool = False,
    none: str = DASH,
) -> KeyFigure:
    text = none if value is None else percent(value, digits, sign=sign)
    return KeyFigure(
        key=key, label=label, text=text, value=_nan(value), hint=hint, band=band, better=better, scale=100, unit="%",
        digits=digits,
    )  # fmt: skip


def _ratio(
    key: str, label: str, value: float | None, *, hint: str = "", band: str = "", none: str = TOO_SHORT
) -> KeyFigure:
    text = none if value is None else number(value)
    return KeyFigure(key=key, label=label, text=text, value=_nan(value), hint=hint, band=band, better=1)


def _time(key: str, label: str, minutes: float | None, hint: str = "") -> KeyFigure:
    better = -1 if key == "under" else 0
    text = DASH if minutes is None else span(minutes)
    return KeyFigure(
        key=key, label=label, text=text, value=_nan(minutes), hint=hint, better=better, unit="min", digits=0
    )


def _count(key: str, label: str, value: int, hint: str) -> KeyFigure:
    return KeyFigure(key=key, label=label, text=f"{value:,}", value=float(value), hint=hint, digits=0)


def _time_held(result: Result) -> float:
    """Share of the minutes with more than dust in coins."""
    equity = whole_equity(result)
    held = np.nan_to_num(result.invested) > LEAST_HELD * equity
    return float(held.mean()) if len(held) else math.nan


def _share_band(quantiles: dict[float, float]) -> str:
    low, high = (number(100 * quantiles[q], sign=True) for q in BAND)
    return f"{low} to {high} %"


def _adverb(period: str) -> str:
    return "daily" if period == "day" else "hourly"


def _usdt(value: float | None) -> str:
    return DASH if value is None else money(value, sign=True)


def _nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
