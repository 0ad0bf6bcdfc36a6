"""The market under check, as training, the walk-forward and the feature table read it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core.bars import fill_gaps
from core.messages import FloatArray
from core.units import MINUTE_MS, Instrument
from data.market import MarketCut
from serve.models.base import TrainingSet
from tune.checks.changes import minutes_of
from tune.dataset import tables, training_set


def table_of(market: MarketCut) -> FloatArray:
    """(S, T, F) features of every minute, gaps filled as live does."""
    bars, filler = fill_gaps(market.bars)
    return tables(market.instruments, bars, filler, market.start_minute, market.sentiment, market.news)


def samples_of(market: MarketCut, horizon: int) -> TrainingSet:
    """All that could be learned from."""
    return training_set(CutLake(market), market.instruments, market.start_minute, minutes_of(market), horizon)


class CutLake:
    """A market cut as the source of bars that training reads."""

    root = Path("checked market")

    def __init__(self, market: MarketCut) -> None:
        self._market = market

    def window(self, instruments: tuple[Instrument, ...], first_minute: int, minutes: int) -> FloatArray:
        start = (first_minute - self._market.start_minute) // MINUTE_MS
        return np.array(self._market.bars[:, start : start + minutes])

    def chunks(
        self,
        instruments: tuple[Instrument, ...],
        first_minute: int,
        end_minute: int,
        minutes_per_chunk: int = 1_440,
        history: int = 0,
    ) -> Iterator[tuple[int, FloatArray]]:
        """As ``data.lake.Lake.chunks``."""
        bars = self._market.bars
        for start in range(first_minute, end_minute, minutes_per_chunk * MINUTE_MS):
            first = (start - self._market.start_minute) // MINUTE_MS - history
            end = first + history + min(minutes_per_chunk, (end_minute - start) // MINUTE_MS)
            piece = np.full((len(bars), end - first, 5), np.nan)
            piece[:, max(0, -first) : max(0, bars.shape[1] - first)] = bars[:, max(0, first) : max(0, end)]
            yield self._market.start_minute + first * MINUTE_MS, piece
