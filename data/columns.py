"""Which column of a foreign table is which, by the names exchanges and tools give them."""

import re
from dataclasses import dataclass

import polars as pl

from data.checks import NAMES

TIME_NAMES = (
    *("ts", "timestamp", "open_time", "opentime", "time_open", "start_time", "start", "unix", "time", "t"),
    *("candle_date_time_utc", "datetime", "date", "timestamp_utc", "date_time", "index_level_0", "index"),
)
"""In order of trust: what is surely an open time in UTC first."""
VALUE_NAMES = {
    "open": ("open", "o", "open_price", "opening_price", "price_open"),
    "high": ("high", "h", "high_price", "price_high", "max"),
    "low": ("low", "l", "low_price", "price_low", "min"),
    "close": ("close", "c", "close_price", "closing_price", "price_close", "trade_price", "last"),
    "volume": ("volume", "v", "vol", "base_volume", "volume_base", "candle_acc_trade_volume", "amount"),
}
SYMBOL_NAMES = ("symbol", "market", "pair", "ticker", "instrument", "tic", "code")
SENTIMENT_NAMES = ("value", "fng", "fear_greed", "fear_and_greed", "fng_value")


@dataclass(frozen=True, slots=True)
class Columns:
    """Found columns by role; what is not there is named in ``missing``."""

    time: str | None
    other_time: str | None
    """A second column of open times, to hold the first against."""
    values: dict[str, str]
    missing: tuple[str, ...]


def normal(name: str) -> str:
    return re.sub(r"[^\w]+", "_", name.strip()).strip("_").lower()


def find_columns(names: list[str], base: str | None) -> Columns:
    """The roles of ``names``; ``base`` tells ``Volume BTC`` from ``Volume USDT``."""
    times = _matches(names, TIME_NAMES)
    values = {}
    for role, known in VALUE_NAMES.items():
        found = _matches(names, known)
        if not found and role == "volume" and base:
            found = _matches(names, (f"volume_{base.lower()}", f"vol_{base.lower()}"))
        if found:
            values[role] = found[0]
    missing = tuple(([] if times else ["time"]) + [role for role in NAMES if role not in values])
    return Columns(times[0] if times else None, times[1] if len(times) > 1 else None, values, missing)


def unusable(frame: pl.DataFrame, columns: Columns) -> list[str]:
    """Columns whose kind of cell (lists, truth values, ...) can not be a time or a number, each in words."""
    text = (pl.String, pl.Categorical, pl.Enum)
    kinds: dict[str | None, tuple[type, ...]] = {columns.time: (*text, pl.Datetime, pl.Date)}
    kinds.update((name, text) for name in columns.values.values())
    return [
        f"column {name!r} holds {frame.schema[name]}"
        for name, good in kinds.items()
        if name is not None
        and not (
            frame.schema[name].is_numeric() or frame.schema[name] == pl.Null or isinstance(frame.schema[name], good)
        )
    ]


def find_symbol_column(names: list[str]) -> str | None:
    found = _matches(names, SYMBOL_NAMES)
    return found[0] if found else None


def is_sentiment(names: list[str]) -> bool:
    """A series of an index value by day, and no bars."""
    low = {normal(name) for name in names}
    return (
        bool(low & set(SENTIMENT_NAMES)) and not low & {"open", "o", "high", "h"} and bool(_matches(names, TIME_NAMES))
    )


def _matches(names: list[str], known: tuple[str, ...]) -> list[str]:
    # Where a table has both `t` (open) and `T` (close time), the exact spelling wins.
    exact = [name for want in known for name in names if name == want]
    loose = [name for want in known for name in names if normal(name) == want and name not in exact]
    return list(dict.fromkeys(exact + loose))
