"""Minute records on disk: Parquet parts, and a small tail of JSON lines for the minutes since the last part.

A record is on disk (in the tail) when ``append`` returns, so neither a crash nor an absent Redis loses one; parts
are written whole and renamed into place. Numbers and lists are native columns, so reports read them lazily;
votes, orders and the like, whose amounts are Decimals, are exact JSON text.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import DataError
from core.messages import MinuteRecord
from data import plain

SCHEMA_VERSION = 1
_VERSION_KEY = b"minutehand.records"
_TAIL = "tail.jsonl"

_FLOATS = pa.list_(pa.float64())
_NATIVE: dict[str, pa.DataType] = {
    "minute": pa.int64(),
    "trace": pa.string(),
    "status": pa.string(),
    "reason": pa.string(),
    "input_hash": pa.string(),
    "instruments": pa.list_(pa.string()),
    "equity": pa.float64(),
    "close": _FLOATS,
    "position": _FLOATS,
    "fresh": pa.list_(pa.bool_()),
    "regime": pa.string(),
    "weights_version": pa.string(),
    "edge_bps": _FLOATS,
    "target": _FLOATS,
    "state": pa.string(),
    "state_reason": pa.string(),
    "premium_bps": _FLOATS,
    "difference": pa.string(),
}
_JSON = (
    "events",
    "votes",
    "approved",
    "refused",
    "coins",
    "orders",
    "fills",
    "exits",
    "dust",
    "rates",
    "settings",
    "models",
    "timings",
)
"""Fields kept as JSON text. A field that a record has and this table does not know goes here as well."""


class RecordStore:
    """The records of one run, in ``folder``; one writer. Reading is free to anybody, also while it writes."""

    def __init__(self, folder: Path, every: int = 60) -> None:
        """``every``: minutes a part holds. Minutes that an earlier writer left in the tail are taken over."""
        self._folder = folder
        self._every = every
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder}: cannot keep records there ({error.strerror})") from error
        self._pending = _read_tail(folder / _TAIL)
        self._stored = _statuses(folder) | {record.minute: record.status for record in self._pending}
        self._tail = (folder / _TAIL).open("a", encoding="utf-8")
        self._rewrite_tail()

    @property
    def last_minute(self) -> int | None:
        """Newest minute on disk."""
        return max(self._stored, default=None)

    def append(self, record: MinuteRecord) -> bool:
        """Keep ``record``; False when the minute is known already and this tells nothing more (a late *missed*)."""
        known = self._stored.get(record.minute)
        if known is not None and not (known == "missed" and record.status == "done"):
            return False
        self._tail.write(plain.dumps(record) + "\n")
        self._tail.flush()
        self._pending.append(record)
        self._stored[record.minute] = record.status
        if len(self._pending) >= self._every:
            self.flush()
        return True

    def recover(self, records: Iterable[MinuteRecord]) -> int:
        """Keep those of ``records`` (Redis' latest, say) that disk has not; gives how many."""
        return sum(self.append(record) for record in sorted(records, key=lambda record: record.minute))

    def read(self) -> Iterator[MinuteRecord]:
        """Everything kept so far."""
        return read_records(self._folder)

    def flush(self) -> Path | None:
        """Write what is pending as one part; gives its path, None when there was nothing."""
        if not self._pending:
            return None
        table = _table(self._pending)
        number = 1 + max((int(path.stem.rpartition("-")[2]) for path in _parts(self._folder)), default=0)
        path = self._folder / f"part-{self._pending[0].minute}-{number:06d}.parquet"
        scratch = path.with_suffix(".tmp")
        pq.write_table(table, scratch, compression="zstd")
        with scratch.open("rb") as written:
            os.fsync(written.fileno())
        scratch.replace(path)
        # Only now: a crash in between leaves these minutes twice, which readers settle, never zero times.
        self._pending = []
        self._rewrite_tail()
        return path

    def close(self) -> None:
        """Flush and let go. May be called twice."""
        if not self._tail.closed:
            self.flush()
            self._tail.close()

    def _rewrite_tail(self) -> None:
        """Make the tail hold exactly what is pending (also drops a line that a crash cut off)."""
        scratch = self._folder / (_TAIL + ".tmp")
        scratch.write_text("".join(plain.dumps(record) + "\n" for record in self._pending), encoding="utf-8")
        self._tail.close()
        scratch.replace(self._folder / _TAIL)
        self._tail = (self._folder / _TAIL).open("a", encoding="utf-8")


def read_records(folder: Path, since: int | None = None) -> Iterator[MinuteRecord]:
    """Every minute once, in order, exactly as it was recorded; a minute first missed and later done is done. Those of
    before ``since`` are left out, and parts that hold no other are not read.

    Raises DataError naming the file when one is corrupt or of a newer schema, or when the folder is not there.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no records here; name the run's folder, e.g. var/runs/<run>/records")
    # The tail first: a part that is written meanwhile then holds what has left the tail.
    tail = _read_tail(folder / _TAIL)
    best: dict[int, MinuteRecord] = {}
    for record in (*_read_parts(folder, since), *tail):
        if since is not None and record.minute < since:
            continue
        if record.minute not in best or best[record.minute].status == "missed":
            best[record.minute] = record
    yield from (best[minute] for minute in sorted(best))


def frame(records: Iterable[MinuteRecord]) -> pl.DataFrame:
    """The records as a table for reports: native columns by name, the rest as JSON text."""
    return pl.from_arrow(_table(list(records)))  # type: ignore[return-value]


def _table(records: list[MinuteRecord]) -> pa.Table:
    rows = [_row(record) for record in records]
    schema = pa.schema(
        [*_NATIVE.items(), *((name, pa.string()) for name in _JSON)],
        metadata={_VERSION_KEY: str(SCHEMA_VERSION).encode()},
    )
    return pa.Table.from_pylist(rows, schema=schema)


def _row(record: MinuteRecord) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in _NATIVE if name != "instruments"}
    row["instruments"] = [str(instrument) for instrument in record.instruments]
    encoded = plain.encode(record)
    return row | {name: json.dumps(encoded[name], separators=(",", ":"), ensure_ascii=False) for name in _JSON}


def forget_records(folder: Path) -> None:
    """Remove what a ``RecordStore`` wrote into ``folder``, and the folder where nothing else is in it. It need not exist;
    OSError where something cannot be removed."""
    if not folder.is_dir():
        return
    for pattern in ("part-*.parquet", "part-*.tmp", _TAIL, f"{_TAIL}.tmp"):
        for path in folder.glob(pattern):
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"), key=lambda path: path.stem.rpartition("-")[2])


def _open_part(path: Path, columns: list[str] | None = None) -> pa.Table:
    try:
        table = pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: not readable as Parquet ({str(error).splitlines()[0]})") from error
    version = (table.schema.metadata or {}).get(_VERSION_KEY)
    if version is None:
        raise DataError(f"{path}: not a file of minute records")
    if int(version) > SCHEMA_VERSION:
        raise DataError(f"{path}: schema {int(version)}, this version reads up to {SCHEMA_VERSION}; update the bot")
    return table


def _statuses(folder: Path) -> dict[int, str]:
    """Status by minute of everything in parts, without reading the rest."""
    return {
        row["minute"]: row["status"]
        for path in _parts(folder)
        for row in _open_part(path, ["minute", "status"]).to_pylist()
    }


def _read_parts(folder: Path, since: int | None) -> Iterator[MinuteRecord]:
    for path in _parts(folder):
        if since is not None and max(_open_part(path, ["minute"])["minute"].to_pylist(), default=since) < since:
            continue
        for number, row in enumerate(_open_part(path).to_pylist()):
            try:
                yield _record(row)
            except (DataError, ValueError) as error:
                raise DataError(f"{path}: row {number}: {error}") from error


def _record(row: dict[str, Any]) -> MinuteRecord:
    # A part of an earlier version lacks what was added since: those fields have their defaults.
    return plain.decode(MinuteRecord, row | {name: json.loads(row[name]) for name in _JSON if name in row})


def _read_tail(path: Path) -> list[MinuteRecord]:
    """Whole lines of the tail. A last line without its end was cut off by a crash and had not been acknowledged."""
    if not path.exists():
        return []
    records = []
    *whole, _cut_off = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(whole, start=1):
        try:
            records.append(plain.loads(MinuteRecord, line))
        except DataError as error:
            raise DataError(f"{path}: line {number}: {error}") from error
    return records
