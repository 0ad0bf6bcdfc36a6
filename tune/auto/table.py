"""Features of a search's whole time, computed once and kept in files, from which each trial reads what it needs.

``features.npy`` (S, T, F) is float32: half the disk and half the reading; a feature is known to seven digits then, which
is more than any model here tells apart. The files are read in pieces, never held: memory is that of what was drawn.
``tune.stored_set`` keeps float64 mapped for as long as it is used, which a trial may not: mapped pages count as the
process's, and it is ended above its share. How samples are drawn and gathered is one rule for both (``tune.samples``).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.lib.format import open_memmap

from core.errors import DataError
from core.features import N_FEATURES, SEQUENCE, schema_hash
from core.messages import BoolArray, FloatArray
from core.units import MINUTE_MS
from data.lake import Lake
from tune.auto.task import LOOK_BACK, Task
from tune.dataset import also_of, sample_rows
from tune.folds import Fold
from tune.samples import DrawnSet, block_offsets, in_drawn_blocks, rows_read, walk

MARK = "table.json"
FEATURES, TARGET, VALID, WHOLE = "features.npy", "target.npy", "valid.npy", "whole.npy"
CHUNK = 4_320
"""Minutes computed at a time."""


def further(horizon: int) -> str:
    """File of what followed over a horizon beside the vote's."""
    return f"ahead-{horizon}.npy"


def is_there(folder: Path) -> bool:
    """Whether the table was written to its end, on these features."""
    try:
        return json.loads((folder / MARK).read_text(encoding="utf-8"))["schema"] == schema_hash()
    except (OSError, ValueError, KeyError):
        return False


def prepare(task: Task, folder: Path, done: Callable[[float], None] = lambda share: None) -> None:
    """Compute and write the table; a chunk at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, minutes, also = len(task.rows), task.minutes, also_of(task.horizon)
    for name, dtype, tail, empty in (
        *((further(h), np.float64, (), np.nan) for h in also),
        (FEATURES, np.float32, (N_FEATURES,), np.nan),
        (TARGET, np.float64, (), np.nan),
        (VALID, np.bool_, (), False),
        (WHOLE, np.bool_, (), False),
    ):
        made = open_memmap(folder / name, mode="w+", dtype=dtype, shape=(rows, minutes, *tail))
        made[:, :LOOK_BACK] = empty
        del made
    before = SEQUENCE - 1
    chunks = walk(
        Lake(Path(task.lake)),
        task.rows,
        task.origin,
        LOOK_BACK,
        minutes,
        horizon=task.horizon,
        also=also,
        minutes=CHUNK,
    )
    for chunk in chunks:
        at = slice(chunk.first, chunk.end)
        # Opened anew for each chunk: what was written leaves our memory.
        features = open_memmap(folder / FEATURES, mode="r+")
        if chunk.first == LOOK_BACK:
            features[:, LOOK_BACK - before : LOOK_BACK] = chunk.features[:, :before]
        features[:, at] = chunk.features[:, before:]
        target, valid, whole = (open_memmap(folder / name, mode="r+") for name in (TARGET, VALID, WHOLE))
        target[:, at] = chunk.target_bps
        for h, ahead in chunk.also.items():
            open_memmap(folder / further(h), mode="r+")[:, at] = ahead
        found = sample_rows(
            chunk.features,
            np.pad(chunk.target_bps, ((0, 0), (before, 0)), constant_values=np.nan),
            np.pad(chunk.filler, ((0, 0), (before, 0)), constant_values=True),
        )
        mask = np.zeros(chunk.target_bps.shape, dtype=np.bool_)
        mask[found[:, 0], found[:, 1] - before] = True
        valid[:, at] = mask
        whole[:, at] = _whole(chunk.features)
        del features, target, valid, whole
        done((chunk.end - LOOK_BACK) / (minutes - LOOK_BACK))
    (folder / MARK).write_text(json.dumps({"schema": schema_hash(), "task": task.seed}), encoding="utf-8")


def drop(task: Task, folder: Path) -> None:
    """Remove the table of a search that has ended: it is most of its folder, and nobody reads it again."""
    for name in (MARK, FEATURES, TARGET, VALID, WHOLE, *(further(h) for h in also_of(task.horizon))):
        (folder / name).unlink(missing_ok=True)


def _whole(features: FloatArray) -> BoolArray:
    """(S, L - 1 + n, F) → (S, n): all L rows that end there are finite."""
    unknown = np.cumsum(~np.isfinite(features).all(axis=2), axis=1)
    before = np.pad(unknown[:, :-SEQUENCE], ((0, 0), (1, 0)))
    return unknown[:, SEQUENCE - 1 :] == before


@dataclass(frozen=True, slots=True)
class Table:
    """The prepared table of a search."""

    folder: Path
    task: Task

    @classmethod
    def of(cls, folder: Path, task: Task) -> Self:
        if not is_there(folder):
            raise DataError(f"{folder}: the features of this search are not there or not whole; begin the search again")
        return cls(folder, task)

    def learn(self, fold: Fold, most: int, seed: int) -> DrawnSet:
        """Up to about ``most`` samples of what a fold learns from, evenly over time, in blocks as ``tune.samples.draw``
        takes them."""
        valid = self._valid(fold.train_first, fold.train_end)
        valid &= fold.learns(np.arange(fold.train_first, fold.train_end))
        share = min(1.0, most / max(int(valid.sum()), 1))
        minute = self.task.ms(fold.train_first) // MINUTE_MS + np.arange(valid.shape[1])
        valid &= in_drawn_blocks(minute, share, block_offsets(len(valid), seed)[:, None])
        # What a longer horizon would tell of the test part is not known yet.
        return replace(self._gathered(valid, fold.train_first), until=fold.train_end + self.task.horizon)

    def test(self, fold: Fold, most: int) -> DrawnSet:
        """About ``most`` samples of a fold's test part at most: every so-many-th minute."""
        valid = self._valid(fold.test_first, fold.test_end)
        every = max(1, -(-int(valid.sum()) // most))
        minute = np.arange(fold.test_first, fold.test_end)
        return self._gathered(valid & (minute % every == 0), fold.test_first)

    def history(self, row: int, first: int, end: int) -> tuple[FloatArray, BoolArray]:
        """(L - 1 + end - first, F) float64 features of one instrument for the minutes [first, end), and (end - first,)
        where all L rows are known."""
        features = np.load(self.folder / FEATURES, mmap_mode="r")[row, first - (SEQUENCE - 1) : end]
        whole = np.load(self.folder / WHOLE, mmap_mode="r")[row, first:end]
        return np.array(features, dtype=np.float64), np.array(whole)

    def _valid(self, first: int, end: int) -> BoolArray:
        return np.array(np.load(self.folder / VALID, mmap_mode="r")[:, first:end])

    def _gathered(self, chosen: BoolArray, first: int) -> DrawnSet:
        """The (S, n) chosen minutes from index ``first`` on, with the feature rows they read and no others."""
        if not chosen.any():
            names = ", ".join(self.task.instruments)
            raise DataError(f"no minute of {names} in a part of the search has complete features and a known return")
        features = np.load(self.folder / FEATURES, mmap_mode="r")
        files = {self.task.horizon: TARGET} | {h: further(h) for h in also_of(self.task.horizon)}
        ahead = {h: np.load(self.folder / name, mmap_mode="r") for h, name in files.items()}
        targets: dict[int, list[FloatArray]] = {h: [] for h in files}
        before = SEQUENCE - 1
        rows, places, kept, held = [], [], [], 0
        for row, mine in enumerate(chosen):
            at = np.flatnonzero(mine)
            needed, place = rows_read(at + before, len(mine) + before)
            minutes = needed + first - before
            kept.append(np.asarray(features[row, minutes], dtype=np.float64))
            for h, one in ahead.items():
                targets[h].append(np.asarray(one[row, minutes]))
            places.append(held + place)
            rows.append(np.stack([np.full(len(at), row), at + first], axis=1))
            held += len(minutes)
        everything, place = np.concatenate(rows), np.concatenate(places)
        order = np.lexsort((everything[:, 0], everything[:, 1]))
        followed = {h: np.concatenate(parts) for h, parts in targets.items()}
        return DrawnSet(
            features=np.concatenate(kept),
            target_bps=followed.pop(self.task.horizon),
            also=followed,
            rows=everything[order].astype(np.int64),
            place=place[order],
            first_minute=self.task.origin,
            horizon=self.task.horizon,
        )
