"""From stored bars to samples: the live feature rule over history, and the return that followed."""

from pathlib import Path
from typing import Protocol

import numpy as np

from core.bars import fill_gaps
from core.errors import DataError
from core.extras import Extras, Readings
from core.features import HISTORY, SEQUENCE, feature_table
from core.messages import CLOSE, BoolArray, FloatArray
from core.news import NO_NEWS, News
from core.units import BPS, Instrument
from data.headlines import load_news
from data.sentiment import load_series
from serve.models.base import TrainingSet


class BarSource(Protocol):
    """What training needs of the lake."""

    root: Path

    def window(self, instruments: tuple[Instrument, ...], first_minute: int, minutes: int) -> FloatArray:
        """(S, T, 5) bars, NaN where missing."""
        ...


def forward_return_bps(close: FloatArray, horizon: int) -> FloatArray:
    """(S, T) closes → (S, T) log return over the next ``horizon`` minutes in basis points; NaN at the end."""
    ahead = np.full_like(close, np.nan)
    ahead[:, :-horizon] = np.log(close[:, horizon:] / close[:, :-horizon]) * BPS
    return ahead


def sample_rows(features: FloatArray, target_bps: FloatArray, filler: BoolArray) -> np.ndarray:
    """(N, 2) of (instrument, minute) where L feature rows and the target are finite and the bar was traded."""
    finite = np.isfinite(features).all(axis=2)
    run = np.cumsum(finite, axis=1)
    whole = np.zeros_like(finite)
    whole[:, SEQUENCE - 1 :] = run[:, SEQUENCE - 1 :] == SEQUENCE + np.concatenate(
        [np.zeros((len(run), 1), dtype=run.dtype), run[:, :-SEQUENCE]], axis=1
    )
    minute, symbol = np.nonzero((whole & np.isfinite(target_bps) & ~filler).T)
    return np.stack([symbol, minute], axis=1).astype(np.int64)


def readings_of(root: Path) -> Readings:
    """The mood's history that lies beside a lake's bars; empty when there is none."""
    series = load_series(root)
    return tuple((int(ms), float(value)) for ms, value in zip(series.knowable_ms, series.value, strict=True))


def tables(
    instruments: tuple[Instrument, ...],
    bars: FloatArray,
    filler: BoolArray,
    first_minute: int,
    readings: Readings = (),
    news: News = NO_NEWS,
) -> FloatArray:
    """(S, T, 5) filled bars → (S, T, F) features of every minute, as live computes them; NaN until a look-back is whole."""
    extras = Extras.of(instruments, bars, filler, first_minute, readings, news)
    return feature_table(bars, filler, first_minute, extras)


def training_set(
    lake: BarSource, instruments: tuple[Instrument, ...], first_minute: int, minutes: int, horizon: int
) -> TrainingSet:
    """Read, fill, compute features as live does, and pair them with what followed."""
    if minutes < HISTORY + 1 + horizon:
        raise DataError(
            f"{minutes} minutes are too few to learn from: features need {HISTORY + 1}, "
            f"the forecast horizon {horizon} more; import more days or ask for a longer span"
        )
    bars, filler = fill_gaps(lake.window(instruments, first_minute, minutes))
    features = tables(instruments, bars, filler, first_minute, readings_of(lake.root), load_news(lake.root))
    target = forward_return_bps(bars[:, :, CLOSE], horizon)
    data = TrainingSet(
        features=features,
        target_bps=target,
        rows=sample_rows(features, target, filler),
        first_minute=first_minute,
        horizon=horizon,
    )
    if not data.size:
        names = ", ".join(map(str, instruments))
        raise DataError(f"{lake.root}: no minute of {names} in the asked span has complete features and a known return")
    return data
