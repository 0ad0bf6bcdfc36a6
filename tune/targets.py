"""What a strategy says itself that it wants to hold, as the engine takes it: when it is asked for, and how much."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from core.engine.tables import NEVER, IntArray, Said
from core.errors import DataError
from core.lean import lean
from core.messages import FloatArray, Regime
from core.units import plural


class Targets(NamedTuple):
    """What is wanted of one instrument, in those minutes alone in which something is."""

    index: IntArray
    """(N,) indices into the minutes of ``MarketCut.bars``, increasing; each is decided at that minute's close."""
    target: FloatArray
    """(N,) fractions of the investable equity: 0 and less sell all, more than 1 buys as 1 does; what is not finite, as in
    all other minutes, keeps what is held."""


Wanted = FloatArray | Sequence[Targets]
"""(T, S) targets, of every minute of every instrument; or ``Targets`` of each instrument, in the market's order."""


def checked(wanted: Wanted, minutes: int, rows: int) -> Wanted:
    """``wanted``, if it is of so many minutes and instruments, else DataError; in the form in which ``said_of`` takes it,
    which looks at the order of the minutes."""
    if isinstance(wanted, np.ma.MaskedArray):
        wanted = wanted.astype(np.float64).filled(np.nan)
    if isinstance(wanted, np.ndarray):
        if wanted.dtype.kind not in "fiub":
            raise DataError(f"target holds {wanted.dtype}; numbers are wanted, fractions of the investable equity")
        if wanted.shape != (minutes, rows):
            raise DataError(f"target is {wanted.shape}, the market wants {(minutes, rows)} (minutes, symbols)")
        return wanted
    if len(wanted) != rows:
        raise DataError(f"targets of {plural(len(wanted), 'instrument')}, the market has {rows}")
    found = []
    for row, one in enumerate(wanted):
        index, target = (np.asarray(part) for part in one)
        kinds = index.dtype.kind not in "iu" or target.dtype.kind not in "fiu"
        if index.ndim != 1 or index.shape != target.shape or (kinds and len(index)):
            raise DataError(
                f"targets of instrument {row}: {index.dtype} indices {index.shape} and {target.dtype} targets"
                f" {target.shape}; as many whole indices as numbers are wanted, in one row each"
            )
        if len(index) and (index[0] < 0 or index[-1] >= minutes):
            raise DataError(
                f"targets of instrument {row}: minutes {index[0]} to {index[-1]}, the market has 0 to {minutes - 1}"
            )
        found.append(
            Targets(np.ascontiguousarray(index, dtype=np.int64), np.ascontiguousarray(target, dtype=np.float64))
        )
    return found


def said_of(wanted: Wanted, rows: int, first: int, end: int) -> Said:
    """What the engine needs of the minutes [first, end), in which nobody votes. DataError where the minutes of an
    instrument do not increase."""
    if isinstance(wanted, np.ndarray):
        by_row = np.ascontiguousarray(wanted[first:end].T, dtype=np.float64)
        wanted = [_of_minutes(row, first) for row in by_row]
    size = rows + sum(len(targets.index) for targets in wanted)
    at, target, begins, place = np.empty(size, dtype=np.int64), np.empty(size), np.empty(rows, dtype=np.int64), 0
    for row, (index, asked) in enumerate(wanted):
        begins[row] = place
        count, wrong = _lay(index, asked, first, end, place, at, target)
        if wrong:
            raise DataError(
                f"targets of instrument {row}: minute {index[wrong]} comes after minute {index[wrong - 1]}; they must"
                " increase"
            )
        place += count
    return nothing_said(rows)._replace(first=first, asked_from=begins, asked_at=at, target=target)


@lru_cache(maxsize=8)
def nothing_said(rows: int) -> Said:
    """What members say where targets are given, and targets where members vote: nothing. Nobody writes to it."""
    return Said(
        first=0,
        ensemble=False,
        votes=np.zeros((2, 0, rows, 0)),
        flags=np.zeros((2, rows, 0), dtype=np.bool_),
        which=np.zeros((2, 0), dtype=np.int64),
        weights=np.zeros((1, len(Regime), 0)),
        asked_from=np.arange(rows),
        asked_at=np.full(rows, NEVER, dtype=np.int64),
        target=np.full(rows, np.nan),
    )


def _of_minutes(row: FloatArray, first: int) -> Targets:
    asked = np.flatnonzero(row == row)
    return Targets(first + asked, row[asked])


@lean
def _lay(
    index: IntArray, asked: FloatArray, first: int, end: int, place: int, at: IntArray, target: FloatArray
) -> tuple[int, int]:
    """Write those of [first, end), and ``NEVER`` behind them, to ``at`` and ``target`` from ``place`` on; gives how many
    places that took, and which of ``index`` is not after the one before it (0: none)."""
    count, wrong = 0, 0
    for k in range(index.shape[0]):
        if k > 0 and index[k] <= index[k - 1]:
            wrong = k
        if first <= index[k] < end:
            at[place + count], target[place + count] = index[k], asked[k]
            count += 1
    at[place + count], target[place + count] = NEVER, math.nan
    return count + 1, wrong
