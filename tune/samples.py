"""History in pieces: features of a long span a chunk at a time, and samples drawn from it without holding it.

Memory is that of one chunk and of the samples drawn, however long the history is.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from core.bars import fill_gaps
from core.features import HISTORY, LOOKBACK, N_FEATURES, SEQUENCE
from core.messages import CLOSE, VOLUME, BoolArray, FloatArray
from core.units import MINUTE_MS, Instrument
from data.headlines import load_news
from serve.models.base import Member, TrainingSet
from serve.panel import forecast_history
from tune.dataset import (
    SPREAD_BARS,
    forward_return_bps,
    half_spread_bps,
    net_return_bps,
    nothing_to_learn,
    readings_of,
    sample_rows,
    tables,
)
from tune.folds import Fold
from tune.spool import room_for

CHUNK_FLOATS = 16_000_000
"""Feature values of a chunk: 128 MB."""
LEAST_CHUNK = 240
BLOCK = 64
"""Minutes that are drawn together: a sample reads the L rows before it, and neighbours share them."""
LOOK_BACK = HISTORY - 1
"""Bars before a minute that its L feature rows depend on."""


class ChunkSource(Protocol):
    """What a walk through history needs of the lake."""

    root: Path

    def chunks(
        self,
        instruments: tuple[Instrument, ...],
        first_minute: int,
        end_minute: int,
        minutes_per_chunk: int = ...,
        history: int = ...,
    ) -> Iterator[tuple[int, np.ndarray]]:
        """(start_minute, bars (S, history + n, 5)) of consecutive pieces."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunk:
    """Minutes [first, end) (indices from the walk's origin) with the L - 1 rows before the first."""

    first: int
    end: int
    features: FloatArray
    """(S, SEQUENCE - 1 + end - first, F)."""
    filler: BoolArray
    """(S, end - first)."""
    target_bps: FloatArray
    """(S, end - first) what followed; NaN where unknown."""
    also: Mapping[int, FloatArray]
    """The same over further horizons."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnSet(TrainingSet):
    """Samples of which only the feature rows that they read are kept: ``features`` is (R, F), ``target_bps`` (R,)."""

    place: np.ndarray
    """(N,) row of ``features`` that is each sample's newest; the L - 1 before it are its window."""

    def targets(self, chosen: np.ndarray) -> FloatArray:
        return self.target_bps[self.place[chosen]]

    @property
    def last(self) -> FloatArray:
        return self.features[self.place]

    @property
    def flat(self) -> FloatArray:
        return self.features

    def newest(self, chosen: np.ndarray) -> np.ndarray:
        return self.place[chosen]

    def _also(self, horizon: int, chosen: np.ndarray) -> FloatArray:
        return self.also[horizon][self.place[chosen]]

    def effective(self, horizon: int) -> float:
        """Spans of one horizon that any sample lies in: all of them when every minute was drawn."""
        return float(len(np.unique(self.rows[:, 1] // horizon)))

    def windows(self, chosen: np.ndarray, length: int = SEQUENCE) -> FloatArray:
        return self.features[self.place[chosen][:, None] + np.arange(-length + 1, 1)]

    def where(self, keep: np.ndarray) -> "DrawnSet":
        return replace(self, rows=self.rows[keep], place=self.place[keep])


def walk(
    lake: ChunkSource,
    instruments: tuple[Instrument, ...],
    origin: int,
    first: int,
    end: int,
    *,
    horizon: int = 0,
    also: tuple[int, ...] = (),
    minutes: int | None = None,
) -> Iterator[Chunk]:
    """Chunks of the minute indices [first, end) counted from ``origin`` (epoch ms), features as live computes them.

    With a ``horizon`` targets come along, and bars are read up to ``horizon`` minutes after ``end``; without one no bar
    from ``end`` on is read. Bars before ``first`` are read as far as features look back, with a horizon as far as
    spreads do. ``also``: further horizons. As they must not reach further either, the longer ones are not known in the
    last minutes, as many as the longest is longer.
    """
    longest = max(horizon, *also) if also else horizon
    short = max(first, end - (longest - horizon))
    known = np.full(len(instruments), np.nan)
    for begin, stop, reach in ((first, short, longest), (short, end, horizon)):
        if begin < stop:
            told = (horizon, *also) if horizon else ()
            yield from _span(lake, instruments, origin, begin, stop, told, reach, minutes, known)


def _span(
    lake: ChunkSource,
    instruments: tuple[Instrument, ...],
    origin: int,
    first: int,
    end: int,
    horizons: tuple[int, ...],
    reach: int,
    minutes: int | None,
    known: FloatArray,
) -> Iterator[Chunk]:
    """``walk`` with bars read up to ``reach`` minutes after ``end``. ``known`` (S,) is the last close before the next
    piece, and kept up to date."""
    most = max(LEAST_CHUNK, CHUNK_FLOATS // (len(instruments) * N_FEATURES))
    back = max(LOOK_BACK, SPREAD_BARS) if horizons else LOOK_BACK
    history = back + reach
    start = origin + (first + reach) * MINUTE_MS
    pieces = lake.chunks(instruments, start, origin + (end + reach) * MINUTE_MS, min(most, minutes or most), history)
    readings, news = readings_of(lake.root), load_news(lake.root)
    for start_minute, raw in pieces:
        _carry(raw, known)
        bars, filler = fill_gaps(raw)
        # What the next piece starts with lies before its first row.
        count = bars.shape[1] - history
        known[:] = bars[:, count - 1, CLOSE]
        seen, judged = slice(back - LOOK_BACK, back + count), slice(back, back + count)
        begins = start_minute + seen.start * MINUTE_MS
        table = tables(instruments, bars[:, seen], filler[:, seen], begins, readings, news)
        ahead = {h: np.full((len(instruments), count), np.nan) for h in horizons}
        if horizons:
            half = half_spread_bps(bars[:, : back + count], filler[:, : back + count], start_minute)[:, judged]
            for h in (h for h in horizons if h <= reach):
                ahead[h] = net_return_bps(forward_return_bps(bars[:, :, CLOSE], h)[:, judged], half)
        at = (start_minute - origin) // MINUTE_MS + back
        yield Chunk(
            first=at,
            end=at + count,
            features=table[:, LOOKBACK - 1 :],
            filler=filler[:, judged],
            target_bps=ahead.pop(horizons[0]) if horizons else np.full((len(instruments), count), np.nan),
            also=ahead,
        )


def _carry(raw: FloatArray, known: FloatArray) -> None:
    """A hole that is older than the piece: its first minute repeats the last close before it, as a filler does."""
    empty = np.isnan(raw[:, 0, CLOSE]) & np.isfinite(known)
    raw[empty, 0, :] = known[empty, None]
    raw[empty, 0, VOLUME] = 0.0


def block_offsets(instruments: int, seed: int) -> FloatArray:
    """(S,) in [0, 1): where in its blocks each instrument begins to draw, so that not all draw the same ones."""
    return np.random.default_rng(seed).uniform(0.0, 1.0, instruments)


def in_drawn_blocks(minute: np.ndarray, share: float, offset: FloatArray | float) -> BoolArray:
    """Which minutes (counted from the epoch) lie in a block of ``BLOCK`` that is drawn: ``share`` of all blocks, evenly over
    time. It depends on absolute time and the offset alone, however the history is cut; ``minute`` and ``offset`` broadcast.
    """
    block = minute // BLOCK
    step = np.floor(block * share + offset) - np.floor((block - 1) * share + offset)
    return np.broadcast_to(share >= 1.0, step.shape) | (step > 0)


def rows_read(at: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Of ``length`` feature rows, those that windows ending at the rows ``at`` (n,) read, ascending; and where among them
    each window's newest stands (n,)."""
    # A row is read when any of the L minutes from it on is a sample.
    reach = np.zeros(length + 1, dtype=np.int64)
    np.add.at(reach, at - (SEQUENCE - 1), 1)
    np.add.at(reach, at + 1, -1)
    needed = np.cumsum(reach[:-1]) > 0
    return np.flatnonzero(needed), (np.cumsum(needed) - 1)[at]


def draw(
    lake: ChunkSource,
    instruments: tuple[Instrument, ...],
    origin: int,
    fold: Fold,
    *,
    horizon: int,
    also: tuple[int, ...] = (),
    most: int,
    seed: int = 0,
    minutes: int | None = None,
    walked: Callable[[int], None] = lambda bars: None,
) -> DrawnSet:
    """Up to about ``most`` samples of the minutes that a fold learns from, evenly over time and instruments.

    Where there are fewer, all of them. Blocks of ``BLOCK`` minutes are taken or left whole; which, depends on the seed
    and on absolute time alone. No bar at or after ``fold.train_end + horizon`` is read. ``walked`` is told of the bars
    gone through, piece by piece. DataError when nothing is left.
    """
    total = len(instruments) * int(fold.learns(np.arange(fold.train_first, fold.train_end)).sum())
    share = min(1.0, most / max(total, 1))
    offset = block_offsets(len(instruments), seed)
    rows, places, features, targets, held = [], [], [], [], 0
    further: dict[int, list[FloatArray]] = {h: [] for h in also}
    part = fold.train_first, fold.train_end
    for chunk in walk(lake, instruments, origin, *part, horizon=horizon, also=also, minutes=minutes):
        walked(chunk.filler.size)
        before = ((0, 0), (SEQUENCE - 1, 0))
        table = np.pad(chunk.target_bps, before, constant_values=np.nan)
        tables_also = {h: np.pad(one, before, constant_values=np.nan) for h, one in chunk.also.items()}
        empty = np.pad(chunk.filler, before, constant_values=True)
        found = sample_rows(chunk.features, table, empty)
        minute = found[:, 1] - (SEQUENCE - 1) + chunk.first
        kept = fold.learns(minute) & in_drawn_blocks(origin // MINUTE_MS + minute, share, offset[found[:, 0]])
        found, minute = found[kept], minute[kept]
        for row in np.unique(found[:, 0]):
            mine = found[:, 0] == row
            at = found[mine, 1]
            needed, place = rows_read(at, table.shape[1])
            features.append(chunk.features[row, needed])
            targets.append(table[row, needed])
            for h, one in tables_also.items():
                further[h].append(one[row, needed])
            places.append(held + place)
            rows.append(np.stack([np.full(len(at), row), minute[mine]], axis=1))
            held += len(needed)
    if not rows:
        raise nothing_to_learn(instruments, "in the part to learn from")
    everything, place = np.concatenate(rows), np.concatenate(places)
    order = np.lexsort((everything[:, 0], everything[:, 1]))
    return DrawnSet(
        features=np.concatenate(features),
        target_bps=np.concatenate(targets),
        rows=everything[order].astype(np.int64),
        place=place[order],
        first_minute=origin,
        horizon=horizon,
        also={h: np.concatenate(parts) for h, parts in further.items()},
    )


def forecast(
    lake: ChunkSource,
    instruments: tuple[Instrument, ...],
    origin: int,
    first: int,
    end: int,
    members: Mapping[str, Member],
    *,
    minutes: int | None = None,
    walked: Callable[[int], None] = lambda bars: None,
    folder: Path | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(M, S, end - first) float32 mean and stdev, basis points, of the minute indices [first, end) from ``origin``; in
    files of their own where there is a ``folder``.

    NaN where a feature of the last L minutes is not known: nobody is asked there, live as here. No bar from ``end``
    on is read.
    """
    shape = (len(members), len(instruments), end - first)
    mean, stdev = (room_for(shape, folder, np.float32) for _ in range(2))
    mean[:] = stdev[:] = np.nan
    for chunk in walk(lake, instruments, origin, first, end, minutes=minutes):
        unknown = np.cumsum(~np.isfinite(chunk.features).all(axis=2), axis=1)
        before = np.pad(unknown[:, :-SEQUENCE], ((0, 0), (1, 0)))
        asked = unknown[:, SEQUENCE - 1 :] == before
        at = slice(chunk.first - first, chunk.end - first)
        for number, member in enumerate(members.values()):
            for row in range(len(instruments)):
                if asked[row].any():
                    said = forecast_history(member, chunk.features[row], SEQUENCE - 1, chunk.features.shape[1])
                    mean[number, row, at] = np.where(asked[row], said[0], np.nan)
                    stdev[number, row, at] = np.where(asked[row], said[1], np.nan)
        walked(chunk.filler.size)
    return mean, stdev
