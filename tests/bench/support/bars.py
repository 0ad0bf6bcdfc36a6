"""The bars that everyone in the peers' table runs over: one symbol, one Parquet file."""

import argparse
from pathlib import Path

import numpy as np
import polars as pl

from config.load import load_settings, resolve_var
from core.bars import fill_gaps
from core.units import MINUTE_MS
from data.market_arguments import source_of
from data.schema import VALUES
from tests.bench.support.big_lake import START

YEAR = 525_600
PRICE, STEP = 70_000.0, 5e-4


def made_bars(minutes: int, seed: int = 7) -> pl.DataFrame:
    """A random walk on a grid of 0.01 with a crossing of its averages about every 50 minutes."""
    rng = np.random.default_rng(seed)
    close = np.round(PRICE * np.exp(np.cumsum(rng.standard_normal(minutes) * STEP)), 2)
    opened = np.concatenate([close[:1], close[:-1]])
    high = np.round(np.maximum(opened, close) * (1.0 + np.abs(rng.standard_normal(minutes)) * 2e-4), 2)
    low = np.round(np.minimum(opened, close) * (1.0 - np.abs(rng.standard_normal(minutes)) * 2e-4), 2)
    return frame_of(START, np.stack([opened, high, low, close, np.round(rng.gamma(2.0, 5.0, minutes), 5)], axis=1))


def frame_of(start: int, bars: np.ndarray) -> pl.DataFrame:
    """(T, 5) as a frame of ts and the five values."""
    ts = start + MINUTE_MS * np.arange(len(bars))
    return pl.DataFrame({"ts": ts, **{name: bars[:, column] for column, name in enumerate(VALUES)}})


def write_bars(path: Path, minutes: int, args: argparse.Namespace) -> str:
    """Write the file and say whose bars they are: the first instrument of the market named, else made-up ones.

    A market shorter than ``minutes`` gives what it has; its missing minutes are filled as everywhere here.
    """
    if not (args.exchange or args.data or args.market):
        made_bars(minutes).write_parquet(path)
        return f"{minutes:,} made-up minutes"
    settings = load_settings()
    source = source_of(args, resolve_var(settings))
    instrument = next((i for i in settings.config.trade.rows if i in source.lake.instruments()), None)
    instrument = instrument or source.lake.instruments()[0]
    first, last = source.lake.common_span((instrument,))
    first = max(first, last - (minutes - 1) * MINUTE_MS)
    bars, _ = fill_gaps(source.lake.window((instrument,), first, (last - first) // MINUTE_MS + 1)[0])
    frame_of(first, bars).write_parquet(path)
    return f"{len(bars):,} minutes of {instrument} ({source.name})"
