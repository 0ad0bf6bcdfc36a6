"""Small files of bars, whole or with one fault, as users would have them."""

from pathlib import Path

import numpy as np
import polars as pl

from core.units import MINUTE_MS
from data.schema import VALUES

MARCH = 1_709_251_200_000
"""2024-03-01T00:00Z."""


def walk(minutes: int = 300, start_ms: int = MARCH, seed: int = 5, price: float = 100.0) -> pl.DataFrame:
    """Good bars of a wandering price: ts and the five values, on a grid of 0.01."""
    rng = np.random.default_rng(seed)
    close = np.round(price * np.exp(np.cumsum(0.002 * rng.standard_normal(minutes))), 2)
    opened = np.concatenate([[price], close[:-1]])
    high = np.round(np.maximum(opened, close) + 0.01 * rng.integers(0, 8, minutes), 2)
    low = np.round(np.minimum(opened, close) - 0.01 * rng.integers(0, 8, minutes), 2)
    volume = np.round(rng.lognormal(2.0, 0.5, minutes), 5)
    ts = start_ms + np.arange(minutes, dtype=np.int64) * MINUTE_MS
    return pl.DataFrame({"ts": ts, "open": opened, "high": high, "low": low, "close": close, "volume": volume})


def changed(frame: pl.DataFrame, row: int, **values: float | None) -> pl.DataFrame:
    """The frame with cells of one row (counted from 1) replaced."""
    at = pl.int_range(1, pl.len() + 1) == row
    return frame.with_columns(**{name: pl.when(at).then(value).otherwise(name) for name, value in values.items()})


def save(frame: pl.DataFrame, folder: Path, name: str = "BTCUSDT.parquet", venue: str = "binance") -> Path:
    """Write under ``folder/venue/name`` in the format of the name; CSV writes NaN as ``NaN``, as pandas does not."""
    path = folder / venue / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".csv"):
        frame.write_csv(path)
    elif name.endswith(".feather"):
        frame.write_ipc(path, compression="lz4")
    else:
        frame.write_parquet(path)
    return path


def rows_of(start: int, bars: np.ndarray) -> pl.DataFrame:
    """The bars that are there."""
    at = np.flatnonzero(np.isfinite(bars[:, 3]))
    return pl.DataFrame({"ts": start + MINUTE_MS * at, **{name: bars[at, k] for k, name in enumerate(VALUES)}})
