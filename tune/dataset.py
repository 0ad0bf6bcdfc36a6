"""From stored bars to samples: the live feature rule over history, and the return that followed.

What followed is the log return from close to close less half a spread (``net_return_bps``), over the horizon of the vote
and over ``HORIZONS`` beside it. Members scale it by the usual move of the moment while they learn.
"""

from pathlib import Path
from typing import Protocol

import numpy as np

from core.bars import fill_gaps
from core.errors import DataError
from core.extras import Extras, Readings
from core.features import HISTORY, SEQUENCE, feature_table
from core.liquidity import HOUR_MINUTES, HOUR_MS, SPREAD_HOURS, half_spreads
from core.messages import CLOSE, BoolArray, FloatArray
from core.news import NO_NEWS, News
from core.params import CostSettings
from core.units import BPS, MINUTE_MS, Instrument
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


HORIZONS = (5, 15, 60)
"""Minutes ahead that members learn, beside the vote's own."""
SPREAD_BARS = (SPREAD_HOURS + 1) * HOUR_MINUTES
"""Bars up to a minute that its half spread depends on."""
_COSTS = CostSettings()


def also_of(horizon: int) -> tuple[int, ...]:
    """The further horizons that are learned beside the vote's."""
    return tuple(h for h in HORIZONS if h != horizon)


def half_spread_bps(bars: FloatArray, filler: BoolArray, first_minute: int) -> FloatArray:
    """(S, T, 5) filled bars → (S, T) half spread known at each minute's close, as the costs of a backtest estimate it."""
    traded = np.where(filler[:, :, None], np.nan, bars)
    hours = half_spreads(traded, first_minute, _COSTS.half_spread_default_bps, _COSTS.half_spread_max_bps)
    closes = first_minute + MINUTE_MS * np.arange(1, bars.shape[1] + 1)
    return hours[:, closes // HOUR_MS - first_minute // HOUR_MS]


def net_return_bps(ahead_bps: FloatArray, half_bps: FloatArray) -> FloatArray:
    """What of a move is left after half a spread, of the move's sign; 0 for one within it, which nobody could have had:
    closes are trades at bid or ask, and jump between them while nothing moves."""
    return np.sign(ahead_bps) * np.maximum(np.abs(ahead_bps) - half_bps, 0.0)


def sample_rows(features: FloatArray, target_bps: FloatArray, filler: BoolArray) -> np.ndarray:
    """(N, 2) of (instrument, minute) where L feature rows and the target are finite and the bar was traded."""
    # One instrument at a time: the mask of all features at once would be an eighth of them.
    finite = np.stack([np.isfinite(rows).all(axis=1) for rows in features])
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
    lake: BarSource,
    instruments: tuple[Instrument, ...],
    first_minute: int,
    minutes: int,
    horizon: int,
    also: tuple[int, ...] = (),
) -> TrainingSet:
    """Read, fill, compute features as live does, and pair them with what followed. All of it in memory."""
    check_length(minutes, horizon)
    bars, filler = fill_gaps(lake.window(instruments, first_minute, minutes))
    features = tables(instruments, bars, filler, first_minute, readings_of(lake.root), load_news(lake.root))
    half = half_spread_bps(bars, filler, first_minute)
    ahead = {h: net_return_bps(forward_return_bps(bars[:, :, CLOSE], h), half) for h in (horizon, *also)}
    target = ahead.pop(horizon)
    data = TrainingSet(
        features=features,
        target_bps=target,
        rows=sample_rows(features, target, filler),
        first_minute=first_minute,
        horizon=horizon,
        also=ahead,
    )
    check_size(data, instruments, lake.root)
    return data


def check_length(minutes: int, horizon: int) -> None:
    """DataError for a span in which no sample can be."""
    if minutes < HISTORY + 1 + horizon:
        raise DataError(
            f"{minutes} minutes are too few to learn from: features need {HISTORY + 1}, "
            f"the forecast horizon {horizon} more; import more days or ask for a longer span"
        )


def check_size(data: TrainingSet, instruments: tuple[Instrument, ...], root: Path) -> None:
    """DataError for a set without a sample."""
    if not data.size:
        raise nothing_to_learn(instruments, f"{root}: in the asked span")


def nothing_to_learn(instruments: tuple[Instrument, ...], where: str) -> DataError:
    """The error for bars of which no minute is a sample; ``where`` they were looked for."""
    names = ", ".join(map(str, instruments))
    return DataError(
        f"{where} no minute of {names} can be learned from: that takes a bar with volume, {HISTORY:,} minutes of bars "
        "before it and the forecast horizon after it. Is the volume missing, or are the bars too few?"
    )
