"""Fetch a history piece by piece into the lake: archive files where there are any, pages of the venue else.

Every piece goes through the importer of foreign files, with all its checks; a bar that differs from the stored one is
told and stays out unless ``replace``. After each piece its span is noted, so that a download killed at any moment goes
on where it was. The network may go away for ``patience_s``: it is waited for, with growing pauses, and said.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import polars as pl

from core.errors import DataError, ExchangeUnavailable
from core.messages import Bar
from core.units import MINUTE_MS, Instrument
from data.checks import FAULT, iso
from data.downloads import DownloadState
from data.import_report import FileReport, ImportOptions
from data.importing import import_path
from data.lake import Lake
from data.pieces import Piece, Span, finer, gaps, plan
from data.schema import Synthetic
from exchanges.binance.archive import Archive, ArchiveFault

T = TypeVar("T")
Say = Callable[[str], None]
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
MOST_TEXTS = 20
"""Faults that are kept in words; the others are counted."""


class History(Protocol):
    """What is needed of a gateway."""

    async def history(self, instrument: Instrument, first_minute: int, count: int) -> list[Bar]: ...


@dataclass(slots=True)
class Downloaded:
    """What became of one instrument."""

    instrument: Instrument
    first: int
    end: int
    """Span that was asked for, from the venue's first bar on."""
    pieces: int = 0
    resumed_minutes: int = 0
    """Were there from before."""
    new: int = 0
    unchanged: int = 0
    revised: int = 0
    kept: int = 0
    """Differ from the lake's bars, which stayed."""
    faults: int = 0
    texts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Archive files that were absent or damaged, and what was done instead."""
    gaps: list[Span] = field(default_factory=list)

    @property
    def missing(self) -> int:
        return sum(end - first for first, end in self.gaps) // MINUTE_MS

    def take(self, report: FileReport) -> None:
        self.new += report.new
        self.unchanged += report.unchanged
        self.revised += report.revised
        self.kept += report.kept
        found = [finding for finding in report.findings if finding.severity == FAULT]
        self.faults += len(found)
        self.texts += [f"{report.path.name}: {f.text}" for f in found][: MOST_TEXTS - len(self.texts)]


class Downloader:
    """Fetches into one lake. ``archive`` None: pages only. ``again``: finished spans too. ``say`` is told of every piece and of every wait."""

    def __init__(
        self,
        lake: Lake,
        gateway: History,
        archive: Archive | None,
        say: Say,
        *,
        replace: bool = False,
        again: bool = False,
        patience_s: float = 600.0,
        synthetic: Synthetic | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._lake, self._gateway, self._archive, self._say = lake, gateway, archive, say
        self._replace, self._again, self._patience_s, self._sleep = replace, again, patience_s, sleep
        self._synthetic = synthetic

    async def fetch(
        self, instrument: Instrument, first: int, end: int, now_ms: int, told: Callable[[int], None]
    ) -> Downloaded:
        """Everything of ``[first, end)`` that is not there yet. ``told``: minutes finished, after each piece."""
        state = DownloadState(self._lake, instrument)
        missing = [(first, end)] if self._again else state.missing(first, end)
        done = Downloaded(instrument, first, end)
        done.resumed_minutes = (end - first) // MINUTE_MS - sum(b - a for a, b in missing) // MINUTE_MS
        told(done.resumed_minutes)
        todo = plan(missing, now_ms, archive=self._archive is not None)[::-1]
        while todo:
            piece = todo.pop()
            try:
                file, checksum = await self._piece(instrument, piece, done)
            except ArchiveFault as fault:
                # Said once a month, not again for each of its days that is not there either.
                if piece.kind == "month" or "has not got it" not in str(fault):
                    done.notes.append(f"{fault}; asked in smaller pieces instead")
                    self._say(f"{instrument}: {done.notes[-1]}")
                todo += finer(piece)[::-1]
                continue
            state.note((piece.first, piece.end), file, checksum)
            done.pieces += 1
            told((piece.end - piece.first) // MINUTE_MS)
        stored = self._lake.read(instrument, first, end, ("ts",))["ts"].to_numpy()
        done.gaps = gaps(stored, first, end)
        return done

    async def _piece(self, instrument: Instrument, piece: Piece, done: Downloaded) -> tuple[str, str]:
        """Fetch and store one piece; gives the archive file's name and checksum, where it was one."""
        try:
            with tempfile.TemporaryDirectory(prefix="minutehand-") as folder:
                return await self._fetched(instrument, piece, done, Path(folder))
        except OSError as error:
            raise DataError(f"{tempfile.gettempdir()}: can not be written to ({error.strerror or error})") from error

    async def _fetched(self, instrument: Instrument, piece: Piece, done: Downloaded, folder: Path) -> tuple[str, str]:
        if piece.kind != "pages" and self._archive is not None:
            archive = self._archive
            file = await self._patiently(instrument, lambda: archive.fetch(instrument, piece.name))
            path = folder / file.name.replace(".zip", ".csv")
            path.write_bytes(file.csv)
            self._store(instrument, path, done, f"archive:{file.name}", must_hold_bars=True)
            return file.name, file.checksum
        count = (piece.end - piece.first) // MINUTE_MS
        bars = await self._patiently(instrument, lambda: self._gateway.history(instrument, piece.first, count))
        if bars:
            path = folder / f"{instrument.venue}-{piece.name}.parquet"
            _frame(bars).write_parquet(path)
            self._store(instrument, path, done, f"rest:{instrument.venue}")
        return "", ""

    def _store(
        self, instrument: Instrument, path: Path, done: Downloaded, source: str, *, must_hold_bars: bool = False
    ) -> None:
        options = ImportOptions(
            venue=instrument.venue,
            symbol=instrument.symbol,
            replace=self._replace,
            source=source,
            synthetic=self._synthetic,
        )
        for report in import_path(self._lake, path, options).files:
            if must_hold_bars and report.first is None:
                text = next((f.text for f in report.findings if f.severity == FAULT), "no bar in it")
                raise ArchiveFault(f"{path.name}: {text}")
            done.take(report)

    async def _patiently(self, instrument: Instrument, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer; ExchangeUnavailable when the network, or the venue, stays away for ``patience_s``."""
        began, pause = time.monotonic(), FIRST_PAUSE_S
        while True:
            try:
                return await ask()
            except ExchangeUnavailable as error:
                wait = max(pause, error.retry_after_s or 0.0)
                away = time.monotonic() - began
                if away + wait > self._patience_s:
                    raise ExchangeUnavailable(
                        f"{instrument}: given up after {away:.0f} s: {error}. What is finished is kept; "
                        "run the same command again to go on",
                        error.retry_after_s,
                    ) from None
                self._say(f"{instrument}: {error}; trying again in {wait:.0f} s")
            await self._sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE_S)


def _frame(bars: list[Bar]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts": [bar.minute for bar in bars],
            **{name: [getattr(bar, name) for bar in bars] for name in ("open", "high", "low", "close", "volume")},
        }
    )


def span_words(span: Span) -> str:
    """``2024-01-02T03:04 to 03:20 (17 min)``."""
    first, last = span[0], span[1] - MINUTE_MS
    return f"{iso(first)} to {iso(last)} ({(span[1] - span[0]) // MINUTE_MS:,} min)"


async def first_of(gateway: History, instrument: Instrument) -> int | None:
    """The first minute the venue has, where it can be asked for."""
    ask = getattr(gateway, "first_minute", None)
    return None if ask is None else await ask(instrument)
