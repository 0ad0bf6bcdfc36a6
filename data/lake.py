"""The lake: closed bars on disk, Parquet by venue, symbol and month.

``<root>/bars/v1/<venue>/<BASE-QUOTE>/<YYYY-MM>.parquet``. A bar is stored once per minute. Which of two bars of the
same minute stands is a rule, not an accident (``data.merging``): what is final beats what is not, what traded beats
filler, and among equals the one written later, unless the writer asks to keep what is there.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
from filelock import FileLock, Timeout

from core.errors import DataError, TimedOut
from core.units import MINUTE_MS, Instrument
from data.catalog import Catalog, CatalogRow, Part, how_to_bring, tally
from data.checks import row_faults
from data.merging import Conflicts, WriteResult, wins
from data.row_groups import let_go, read_columns, span_of
from data.schema import (
    BAR_SCHEMA,
    META_CONTENT,
    META_SYNTHETIC,
    META_VERSION,
    READ_FAULTS,
    SCHEMA_VERSION,
    VALUES,
    Synthetic,
    content_hash,
    newer,
    read_bars,
    read_metadata,
    write_parquet,
)

LOCK_SECONDS = 60.0
CHUNK = 14 * 1440
"""Minutes a piece of ``Lake.chunks``: 40 MB for 50 instruments."""
_VENUE = re.compile(r"[a-z0-9_]+")
_ASSET = re.compile(r"\w([\w.]*\w)?")
_MONTH_FILE = re.compile(r"(\d{4})-(\d{2})\.parquet")


def month_of(ts: int) -> str:
    """``YYYY-MM`` (UTC) of an epoch-ms time."""
    return str(np.datetime64(ts, "ms").astype("datetime64[M]"))


class Lake:
    """Bars under one root. Reading never creates anything; writing is atomic per month and locked per lake."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._seen: dict[Path, tuple[tuple[int, int], dict[str, str]]] = {}

    # ---------------------------------------------------------------- writing

    def write(
        self,
        instrument: Instrument,
        frame: pl.DataFrame,
        source: str,
        synthetic: Synthetic | None = None,
        *,
        conflicts: Conflicts = "newer",
        dry_run: bool = False,
    ) -> WriteResult:
        """Merge bars into the lake by minute and say what changed.

        ``frame`` needs ``ts`` and the five values; ``final`` defaults to true, ``filler`` to volume 0, ``source`` to
        the argument. ``conflicts="keep"`` leaves a stored final bar that differs as it is. A bar that is no bar
        (``data.checks.row_faults``), a repeated minute, or mixing real with synthetic raises DataError and
        nothing is written.
        """
        frame = self._prepared(instrument, frame, source)
        self._refuse_newer()
        result = WriteResult()
        if frame.is_empty():
            return result
        with self._lock(dry_run):
            months = frame.with_columns(pl.from_epoch("ts", time_unit="ms").dt.strftime("%Y-%m").alias("_month"))
            parts = sorted(months.partition_by("_month", as_dict=True, include_key=False).items())
            for (month,), _ in parts:
                self._same_kind(self._path(instrument, str(month)), synthetic)
            for (month,), part in parts:
                result += self._merge(self._path(instrument, str(month)), part, synthetic, conflicts, dry_run)
        return result

    def _prepared(self, instrument: Instrument, frame: pl.DataFrame, source: str) -> pl.DataFrame:
        for name in ("ts", *VALUES):
            if name not in frame.columns:
                raise DataError(f"{instrument}: bars to be stored have no column {name!r}")
        defaults = {"final": pl.lit(True), "filler": pl.col("volume") == 0.0, "source": pl.lit(source)}
        frame = frame.with_columns(**{name: make for name, make in defaults.items() if name not in frame.columns})
        frame = frame.select(pl.col(name).cast(kind) for name, kind in BAR_SCHEMA.items()).sort(
            "ts", maintain_order=True
        )
        ts = frame["ts"].to_numpy()
        _, findings = row_faults(ts, frame.select(VALUES).to_numpy(), np.arange(1, len(ts) + 1))
        if findings:
            raise DataError(f"{instrument}: {findings[0]}; nothing was written")
        twice = np.flatnonzero(np.diff(ts) == 0)
        if len(twice):
            raise DataError(f"{instrument}: minute {ts[twice[0]]} comes twice; nothing was written")
        return frame

    def _merge(
        self, path: Path, part: pl.DataFrame, synthetic: Synthetic | None, conflicts: Conflicts, dry_run: bool
    ) -> WriteResult:
        old = read_bars(path) if path.exists() else BAR_SCHEMA.to_frame()
        both = old.join(part, on="ts", how="inner", suffix="_new", maintain_order="left")
        same = pl.all_horizontal(pl.col(c) == pl.col(f"{c}_new") for c in (*VALUES, "final", "filler"))
        both = both.select("ts", same=same, wins=wins(conflicts))
        revised = both.filter(~pl.col("same") & pl.col("wins"))["ts"]
        kept = both.filter(~pl.col("same") & ~pl.col("wins"))["ts"]
        coming = part.filter(~pl.col("ts").is_in(both["ts"].implode()) | pl.col("ts").is_in(revised.implode()))
        if len(coming) and not dry_run:
            staying = old.filter(~pl.col("ts").is_in(revised.implode()))
            merged = pl.concat([staying, coming]).sort("ts")
            metadata = {META_VERSION: str(SCHEMA_VERSION), META_CONTENT: content_hash(merged)}
            if synthetic is not None:
                metadata[META_SYNTHETIC] = synthetic.to_json()
            write_parquet(path, merged, metadata)
        return WriteResult(
            new=len(coming) - len(revised),
            unchanged=int(both["same"].sum()),
            revised=len(revised),
            kept=len(kept),
            kept_ts=tuple(kept.to_list()),
        )

    def _same_kind(self, path: Path, synthetic: Synthetic | None) -> None:
        if not path.exists():
            return
        stored = self._metadata(path).get(META_SYNTHETIC)
        if stored != (synthetic.to_json() if synthetic else None):
            words = [
                "synthetic bars " + text if text else "real bars"
                for text in (stored, synthetic and synthetic.to_json())
            ]
            raise DataError(f"{path}: holds {words[0]}, refused to mix in {words[1]}; use another lake (--lake)")

    @contextmanager
    def _lock(self, dry_run: bool) -> Iterator[None]:
        if dry_run:
            yield
            return
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / ".lock", timeout=LOCK_SECONDS):
                yield
        except Timeout as error:
            raise TimedOut(
                f"{self.root}: another process is writing to this lake since {LOCK_SECONDS:.0f} s"
            ) from error
        except OSError as error:
            raise DataError(f"{self.root}: can not be written to ({error})") from error

    # ---------------------------------------------------------------- reading

    def instruments(self) -> tuple[Instrument, ...]:
        """Everything the lake has bars of, sorted."""
        self._refuse_newer()
        found = set()
        for path in self._bars.glob("*/*/*.parquet"):
            base, dash, quote = path.parent.name.partition("-")
            if dash and _MONTH_FILE.fullmatch(path.name):
                found.add(Instrument(path.parent.parent.name, f"{base}/{quote}"))
        return tuple(sorted(found))

    def files(self, instrument: Instrument, start_ms: int | None = None, end_ms: int | None = None) -> list[Path]:
        """The month files that can hold bars of ``[start_ms, end_ms)``, oldest first, their schema checked."""
        self._refuse_newer()
        low = "" if start_ms is None else month_of(start_ms)
        high = "9999-99" if end_ms is None else month_of(end_ms - 1)
        chosen = [p for p in self._month_files(instrument) if low <= p.stem <= high]
        for path in chosen:
            self._metadata(path)
        return chosen

    def scan(
        self,
        instrument: Instrument,
        start_ms: int | None = None,
        end_ms: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.LazyFrame:
        """Bars with ``start_ms <= ts < end_ms``, by time, lazily (columns and months not asked for are not read)."""
        files = self.files(instrument, start_ms, end_ms)
        lazy = pl.scan_parquet(files, hive_partitioning=False, glob=False) if files else BAR_SCHEMA.to_frame().lazy()
        if start_ms is not None:
            lazy = lazy.filter(pl.col("ts") >= start_ms)
        if end_ms is not None:
            lazy = lazy.filter(pl.col("ts") < end_ms)
        return lazy.select(columns or BAR_SCHEMA.names())

    def read(
        self,
        instrument: Instrument,
        start_ms: int | None = None,
        end_ms: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """``scan``, collected; DataError names the file that breaks on the way."""
        try:
            return self.scan(instrument, start_ms, end_ms, columns).collect()
        except READ_FAULTS as error:
            for path in self.files(instrument, start_ms, end_ms):
                read_bars(path)
            raise DataError(f"{self._folder(instrument)}: a file can not be read; run `data verify`") from error

    def window(self, instruments: Sequence[Instrument], first_minute: int, minutes: int) -> np.ndarray:
        """(S, ``minutes``, 5) float64 from ``first_minute`` on; a minute the lake has no bar of is NaN.

        Of each file only the row groups that reach into the window are read, one instrument at a time.
        """
        bars = np.empty((len(instruments), minutes, len(VALUES)))
        self.read_into(bars, instruments, first_minute)
        return bars

    def read_into(self, bars: np.ndarray, instruments: Sequence[Instrument], first_minute: int) -> None:
        """``window`` into an array that is there, which may be mapped from a file: no more than a month is held."""
        _whole_minute(first_minute)
        for row in bars:
            row[:] = np.nan
        self._fill(bars, instruments, first_minute)
        let_go()

    def chunks(
        self,
        instruments: Sequence[Instrument],
        first_minute: int,
        end_minute: int,
        minutes_per_chunk: int = CHUNK,
        history: int = 0,
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Walk ``[first_minute, end_minute)`` in pieces: (start_minute, bars (S, ``history`` + n, 5)), n the piece.

        ``start_minute`` is the open time of ``bars[:, 0]``: the first ``history`` minutes are those before the piece
        (NaN where the lake has none) and come again from the piece before, not from the disk. n is
        ``minutes_per_chunk``, less in the last piece. Memory is that of two pieces, however long the walk is;
        each array is the caller's own.
        """
        _whole_minute(first_minute)
        if minutes_per_chunk < 1 or history < 0:
            raise ValueError(f"chunks of {minutes_per_chunk} minutes with {history} of history make no walk")
        rows, before = len(instruments), None
        for start in range(first_minute, end_minute, minutes_per_chunk * MINUTE_MS):
            fresh = min(minutes_per_chunk, -(-(end_minute - start) // MINUTE_MS))
            bars = np.full((rows, history + fresh, len(VALUES)), np.nan)
            if before is None:
                self._fill(bars, instruments, start - history * MINUTE_MS)
            else:
                bars[:, :history] = before
                self._fill(bars[:, history:], instruments, start)
            # A copy, so that the piece handed out can be freed by whoever took it.
            before = bars[:, bars.shape[1] - history :].copy()
            yield start - history * MINUTE_MS, bars
            del bars

    def _fill(self, bars: np.ndarray, instruments: Sequence[Instrument], first_minute: int) -> None:
        end = first_minute + bars.shape[1] * MINUTE_MS
        for row, instrument in enumerate(instruments):
            for path in self.files(instrument, first_minute, end):
                ts, *values = read_columns(path, ("ts", *VALUES), first_minute, end)
                at = (ts - first_minute) // MINUTE_MS
                for column, found in enumerate(values):
                    bars[row, at, column] = found

    def catalog(self) -> tuple[CatalogRow, ...]:
        """What is here, one row an instrument; DataError when a file can not be read."""
        found = self.survey()
        if found.faults:
            raise DataError(found.faults[0])
        return found.rows

    def survey(self) -> Catalog:
        """What is here, counted from the files that can be read, with the faults of those that can not."""
        rows: list[CatalogRow] = []
        faults: list[str] = []
        for instrument in self.instruments():
            row = tally(instrument, self._readable(instrument, faults))
            rows += [row] if row else []
        return Catalog(tuple(rows), tuple(faults))

    def _readable(self, instrument: Instrument, faults: list[str]) -> Iterator[Part]:
        for path in self._month_files(instrument):
            try:
                label = self._metadata(path).get(META_SYNTHETIC)
                ts, filler = read_columns(path, ("ts", "filler"))
            except DataError as error:
                faults.append(str(error))
            else:
                yield Part(ts, filler, Synthetic.from_json(label) if label else None)

    def synthetic(self, instrument: Instrument) -> Synthetic | None:
        """The label of a made-up instrument; None for real bars (or none at all)."""
        labels = [self._metadata(path).get(META_SYNTHETIC) for path in self.files(instrument)]
        return Synthetic.from_json(labels[0]) if labels and labels[0] else None

    def common_span(self, instruments: Sequence[Instrument]) -> tuple[int, int]:
        """First and last minute that all of them have data between; DataError when one is absent or they never meet."""
        spans = self._spans(instruments)
        first, last = max(s[0] for s in spans), min(s[1] for s in spans)
        if first > last:
            raise DataError(f"{self.root}: {', '.join(map(str, instruments))} have no minute in common")
        return first, last

    def whole_span(self, instruments: Sequence[Instrument]) -> tuple[int, int]:
        """First minute of the earliest of them and last of the latest: who is listed later, or delisted, has no bars for
        a while. DataError when one is absent."""
        spans = self._spans(instruments)
        return min(s[0] for s in spans), max(s[1] for s in spans)

    def _spans(self, instruments: Sequence[Instrument]) -> list[tuple[int, int]]:
        """First and last minute of each, read from the footers of its first and last file."""
        spans = []
        for instrument in instruments:
            files = self.files(instrument)
            first = next((span for path in files if (span := span_of(path))), None)
            last = next((span for path in reversed(files) if (span := span_of(path))), None)
            if first is None or last is None:
                have = ", ".join(map(str, self.instruments())) or "nothing"
                raise DataError(
                    f"{self.root}: has no bars of {instrument}; it has {have}. {how_to_bring(self.root, instrument)}"
                )
            spans.append((first[0], last[1]))
        if not spans:
            raise DataError(f"{self.root}: no instrument was asked for")
        return spans

    # ---------------------------------------------------------------- where things are

    def _month_files(self, instrument: Instrument) -> list[Path]:
        return sorted(p for p in self._folder(instrument).glob("*.parquet") if _MONTH_FILE.fullmatch(p.name))

    @property
    def _bars(self) -> Path:
        return self.root / "bars" / f"v{SCHEMA_VERSION}"

    def _folder(self, instrument: Instrument) -> Path:
        # The names become a path: whatever could climb out of the lake is refused.
        if not (
            _VENUE.fullmatch(instrument.venue)
            and _ASSET.fullmatch(instrument.base)
            and _ASSET.fullmatch(instrument.quote)
        ):
            raise DataError(
                f"{instrument} can not name a folder of the lake; use venue:BASE/QUOTE, e.g. binance:BTC/USDT"
            )
        return self._bars / instrument.venue / f"{instrument.base}-{instrument.quote}"

    def _path(self, instrument: Instrument, month: str) -> Path:
        return self._folder(instrument) / f"{month}.parquet"

    def _refuse_newer(self) -> None:
        for path in (self.root / "bars").glob("v*"):
            if path.name[1:].isdigit() and int(path.name[1:]) > SCHEMA_VERSION:
                raise newer(path, int(path.name[1:]))

    def _metadata(self, path: Path) -> dict[str, str]:
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if path not in self._seen or self._seen[path][0] != stamp:
            self._seen[path] = (stamp, read_metadata(path))
        return self._seen[path][1]


def _whole_minute(first_minute: int) -> None:
    if first_minute % MINUTE_MS:
        raise DataError(f"a window starts on a whole minute; {first_minute} does not")
