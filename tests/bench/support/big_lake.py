"""A large made-up lake, quickly: wandering prices, each symbol listed at its own time and with minutes missing.

The market model of ``data synth`` is not needed to measure reading; this makes a year of a symbol in about a second.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from core.units import MINUTE_MS, Instrument
from data.lake import Lake
from data.schema import Synthetic

START = 1_735_689_600_000
"""2025-01-01T00:00Z."""
MISSING = 0.001
"""Share of minutes without a bar."""
LABEL = Synthetic("bench", 11, "none")
DONE = "bench.json"


def big_lake(root: Path, symbols: int, days: int, say: Callable[[str], None]) -> tuple[Lake, tuple[Instrument, ...]]:
    """The lake of so many symbols and days under ``root``, made now or taken up where an earlier run stopped."""
    lake = Lake(root)
    instruments = tuple(Instrument("binance", f"C{number:03d}/USDT") for number in range(symbols))
    if (root / DONE).exists():
        return lake, instruments
    there = set(lake.instruments())
    for number, instrument in enumerate(instruments):
        if instrument not in there:
            lake.write(instrument, bars(number, days * 1440), "synthetic", LABEL)
        if number % 10 == 9:
            say(f"  made {number + 1} of {symbols} symbols")
    (root / DONE).write_text(json.dumps({"symbols": symbols, "days": days}), encoding="utf-8")
    return lake, instruments


def bars(number: int, minutes: int) -> pl.DataFrame:
    """Bars of one symbol: a random walk on a grid of 0.01, some minutes missing, every eighth symbol listed late."""
    rng = np.random.default_rng((LABEL.seed, number))
    close = np.round(1000.0 * np.exp(np.cumsum(rng.standard_normal(minutes) * 5e-4)), 2)
    opened = np.concatenate([close[:1], close[:-1]])
    high = np.round(np.maximum(opened, close) * (1.0 + np.abs(rng.standard_normal(minutes)) * 2e-4), 2)
    low = np.round(np.minimum(opened, close) * (1.0 - np.abs(rng.standard_normal(minutes)) * 2e-4), 2)
    frame = pl.DataFrame(
        {
            "ts": START + MINUTE_MS * np.arange(minutes),
            **{"open": opened, "high": high, "low": low, "close": close},
            "volume": np.round(rng.gamma(2.0, 5.0, minutes), 5),
        }
    )
    there = rng.random(minutes) >= MISSING
    if number % 8 == 7:
        there[: minutes // 10] = False
    return frame.filter(pl.Series(there))
