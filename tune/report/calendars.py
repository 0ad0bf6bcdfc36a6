"""When it earned: returns by month, by day, and by hour of the week (all UTC)."""

from dataclasses import dataclass

import numpy as np

from core.messages import FloatArray
from core.units import DAY_MS, MINUTE_MS
from tune.report.series import minute_returns, whole_equity
from tune.result import Result

DAYS_BY_DAY = 70
"""Runs up to this many days are shown day by day, longer ones month by month."""
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """Numbers by row and column; NaN where the run was not."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: FloatArray
    """(rows, columns)."""
    totals: FloatArray | None = None
    """(rows,) of each row."""


def calendar_of(result: Result) -> Grid:
    """Returns by weeks and days of a short run, by years and months of a long one."""
    if not result.minutes:
        return Grid(title="Returns by day", rows=(), columns=WEEKDAYS, values=np.zeros((0, 7)), totals=np.zeros(0))
    days = int(result.minute[-1] // DAY_MS - result.minute[0] // DAY_MS) + 1
    return by_day(result) if days <= DAYS_BY_DAY else by_month(result)


def by_month(result: Result) -> Grid:
    """Compound return of each calendar month; a row a year, its total the return of the year."""
    growth = np.log1p(minute_returns(whole_equity(result)))
    months = result.minute.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    first = int(months[0]) // 12
    values = np.full((int(months[-1]) // 12 - first + 1, 12), np.nan)
    cells, where = np.unique(months, return_inverse=True)
    values[cells // 12 - first, cells % 12] = np.bincount(where, growth)
    years = tuple(str(1970 + first + row) for row in range(len(values)))
    totals = np.expm1(np.nansum(values, axis=1))
    return Grid(title="Returns by month", rows=years, columns=MONTHS, values=np.expm1(values), totals=totals)


def by_day(result: Result) -> Grid:
    """Compound return of each day; a row a week, named by its Monday, its total the return of the week."""
    growth = np.log1p(minute_returns(whole_equity(result)))
    days = result.minute // DAY_MS
    mondays = (days + 3) // 7  # 1970-01-01 was a Thursday
    first = int(mondays[0])
    values = np.full((int(mondays[-1]) - first + 1, 7), np.nan)
    cells, where = np.unique(days, return_inverse=True)
    values[(cells + 3) // 7 - first, (cells + 3) % 7] = np.bincount(where, growth)
    weeks = tuple(_day(np.datetime64((first + row) * 7 - 3, "D")) for row in range(len(values)))
    totals = np.expm1(np.nansum(values, axis=1))
    return Grid(title="Returns by day", rows=weeks, columns=WEEKDAYS, values=np.expm1(values), totals=totals)


def by_hour_of_week(result: Result) -> Grid:
    """(7, 24) mean return of an hour of the week in bps: the sum over the run by how many such hours it had."""
    returns = minute_returns(whole_equity(result))
    hour = result.minute // (60 * MINUTE_MS)
    cell = ((hour // 24 + 3) % 7) * 24 + hour % 24
    total = np.bincount(cell, returns, minlength=168)
    _, first = np.unique(hour, return_index=True)
    times = np.bincount(cell[first], minlength=168)
    values = np.full(168, np.nan)
    np.divide(total * 1e4, times, out=values, where=times > 0)
    return Grid(
        title="Mean return by hour of the week, bps",
        rows=WEEKDAYS,
        columns=tuple(f"{hour:02d}" for hour in range(24)),
        values=values.reshape(7, 24),
    )


def _day(date: np.datetime64) -> str:
    _, month, day = str(date).split("-")
    return f"{int(day)} {MONTHS[int(month) - 1]}"
