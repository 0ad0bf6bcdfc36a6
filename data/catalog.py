"""What a lake holds, counted from its files one at a time; a file that can not be read is named, the rest counted."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.units import MINUTE_MS, Instrument
from data.schema import Synthetic


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """What the lake holds of one instrument. Times are bar opens, epoch ms."""

    instrument: Instrument
    rows: int
    first: int
    last: int
    gaps: int
    """Holes between first and last."""
    missing: int
    """Minutes in those holes."""
    filler: int
    synthetic: Synthetic | None


@dataclass(frozen=True, slots=True)
class Catalog:
    """One row an instrument, of the files that can be read; and what is wrong with the others."""

    rows: tuple[CatalogRow, ...]
    faults: tuple[str, ...] = ()
    """A sentence a file, its name first."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What is counted of one file."""

    ts: np.ndarray
    """(T,) epoch ms, increasing."""
    filler: np.ndarray
    """(T,) bool."""
    synthetic: Synthetic | None


def tally(instrument: Instrument, parts: Iterable[Part]) -> CatalogRow | None:
    """The row of parts in time order; None when they hold nothing. Memory is that of one part."""
    rows = gaps = missing = filler = 0
    first = last = -1
    synthetic = None
    for part in parts:
        if not len(part.ts):
            continue
        before = part.ts[:1] if last < 0 else np.array([last])
        holes = np.diff(np.concatenate([before, part.ts])) // MINUTE_MS - 1
        first = int(part.ts[0]) if last < 0 else first
        last = int(part.ts[-1])
        rows += len(part.ts)
        gaps += int((holes > 0).sum())
        missing += int(holes[holes > 0].sum())
        filler += int(part.filler.sum())
        synthetic = synthetic or part.synthetic
    return CatalogRow(instrument, rows, first, last, gaps, missing, filler, synthetic) if rows else None


def how_to_import(root: Path) -> str:
    """The command that brings a person's own bars into the lake at ``root``, as it can be typed."""
    return f"python3 run.py data import PATH --lake {shlex.quote(str(root))}"


def how_to_bring(root: Path, *instruments: Instrument) -> str:
    """What to do about bars that the lake at ``root`` has not got; ``instruments``: one or more, of one exchange."""
    symbols = ",".join(one.symbol for one in instruments)
    return (
        f"Bring some: python3 run.py data download --exchange {instruments[0].venue} --symbols {symbols} "
        f"--since 2026-01-01 --lake {shlex.quote(str(root))}, or bars of yours: {how_to_import(root)}"
    )
