"""From equity a minute to the returns that statistics are made of: one a day, or one an hour in a short run.

The account of a one-minute bot stands still in most minutes, and what it holds moves together for hours. A ratio of
minute returns therefore looks far surer than it is: nearly all of its observations are zeros or repeat each other.
"""

from dataclasses import dataclass

import numpy as np

from core.messages import FloatArray
from core.units import DAY_MS, MINUTE_MS

HOUR_MS = 60 * MINUTE_MS
DAYS_FOR_DAILY = 30
"""Below that many days there are too few daily returns to speak of a spread: hourly ones are taken."""
PERIODS = {"day": (DAY_MS, 365.0), "hour": (HOUR_MS, 8_760.0)}
"""Length in ms and how many a year has: a crypto market is open 365 days of 24 hours (525,600 minutes)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """Equity at the ends of n periods that are counted from the run's first minute."""

    period: str
    """``day`` or ``hour``."""
    per_year: float
    """Periods a year, by which figures are annualised."""
    at: np.ndarray
    """(n + 1,) int64 epoch ms; the first is the start."""
    equity: FloatArray
    """(n + 1,) USDT, positive except that the last may be 0 (all is lost)."""

    @property
    def returns(self) -> FloatArray:
        """(n,) simple returns."""
        return self.equity[1:] / self.equity[:-1] - 1.0

    @property
    def years(self) -> float:
        """The observed periods in years; what was not observed does not count."""
        return (len(self.equity) - 1) / self.per_year


def observed(minute: np.ndarray, equity: FloatArray) -> tuple[np.ndarray, FloatArray]:
    """(minutes, equity) without missed minutes, and cut where the account was ruined (equity 0 from there)."""
    seen = np.isfinite(equity)
    minute, equity = np.asarray(minute)[seen], np.asarray(equity, dtype=np.float64)[seen]
    ruined = np.flatnonzero(equity <= 0.0)
    if len(ruined):
        cut = int(ruined[0]) + 1
        minute, equity = minute[:cut], np.maximum(equity[:cut], 0.0)
    return minute, equity


def days_of(minute: np.ndarray) -> float:
    """Days that observed (T,) minutes stand for: outages and the gaps between folds are not counted."""
    if not len(minute):
        return 0.0
    step = float(np.median(np.diff(minute))) if len(minute) > 1 else 0.0
    return ((len(minute) - 1) * step + MINUTE_MS) / DAY_MS


def sampled(minute: np.ndarray, equity: FloatArray, period: str | None = None) -> Sampled:
    """Sample (T,) equity at ``minute`` (T,) epoch ms; ``period`` forces ``day`` or ``hour``.

    Periods start at the run's first minute, not at midnight, so that there is no stub before the first one; what is
    left at the end joins the last period when it is shorter than half of one. A period without any observed minute
    (an outage, the gap between two folds) is no observation: the return across it belongs to the next one.
    """
    minute, equity = observed(minute, equity)
    if period is None:
        span = int(minute[-1]) - int(minute[0]) + MINUTE_MS if len(minute) else 0
        period = "day" if span >= DAYS_FOR_DAILY * DAY_MS else "hour"
    length, per_year = PERIODS[period]
    if not len(minute) or equity[0] <= 0.0:
        return Sampled(period=period, per_year=per_year, at=np.zeros(0, np.int64), equity=np.zeros(0))
    start = int(minute[0])
    count = max(1, round((int(minute[-1]) - start) / length))
    number = np.minimum((minute - start - 1) // length, count - 1)
    # The last observed minute of each period closes it; the first minute of all opens the first.
    last = np.flatnonzero(np.append(number[1:] != number[:-1], True))
    keep = np.unique(np.append(0, last))
    return Sampled(period=period, per_year=per_year, at=minute[keep].astype(np.int64), equity=equity[keep])
