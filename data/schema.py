"""What a lake file is: its columns, its metadata, and how it is written and read without half-made files.

One Parquet file holds one instrument's bars of one month. Its metadata carries the schema version, a hash of
the bars (Parquet itself would not notice a flipped bit in a price) and, for a synthetic market, its label.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from core.errors import DataError

SCHEMA_VERSION = 1
"""Raised when the meaning of a column changes. A lake of a newer version is refused, never guessed at."""

VALUES = ("open", "high", "low", "close", "volume")
BAR_SCHEMA = pl.Schema(
    {
        "ts": pl.Int64,
        "open": pl.Float64,
        "high": pl.Float64,
        "low": pl.Float64,
        "close": pl.Float64,
        "volume": pl.Float64,
        "final": pl.Boolean,
        "filler": pl.Boolean,
        "source": pl.String,
    }
)
"""``ts`` is the bar's open, epoch ms; ``volume`` base units; ``final``: the venue will not change it any more;
``filler``: nothing traded; ``source``: how it came (``import:<file>``, ``stream``, ``rest``, ``synthetic``)."""

ROW_GROUP = 7 * 1440
"""Rows a group of a file: a week, so that a window passes over most of its month by the footer's statistics."""

META_VERSION = "minutehand.schema_version"
META_SYNTHETIC = "minutehand.synthetic"
META_CONTENT = "minutehand.content"

READ_FAULTS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What polars raises on a broken file. The reader of damaged pages panics, which is not an ``Exception``."""


@dataclass(frozen=True, slots=True)
class Synthetic:
    """The label of a made-up market; a file that carries one can not be taken for real bars."""

    name: str
    seed: int
    edge: str
    """``planted``, ``none``, or ``unknown`` where bars came from a simulator that does not tell."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Synthetic":
        return cls(**json.loads(text))


def content_hash(frame: pl.DataFrame) -> str:
    """Hash of everything a bar says (times, values, flags), independent of compression and file layout."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(np.ascontiguousarray(frame["ts"].to_numpy(), dtype="<i8").tobytes())
    for name in VALUES:
        digest.update(np.ascontiguousarray(frame[name].to_numpy(), dtype="<f8").tobytes())
    for name in ("final", "filler"):
        digest.update(frame[name].cast(pl.UInt8).to_numpy().tobytes())
    return digest.hexdigest()


def write_parquet(path: Path, frame: pl.DataFrame, metadata: Mapping[str, str]) -> None:
    """Replace ``path`` as a whole: a crash leaves the old file or the new one, never a half of either."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        frame.write_parquet(half, compression="zstd", row_group_size=ROW_GROUP, metadata=dict(metadata))
        with half.open("rb+") as handle:
            os.fsync(handle.fileno())
        half.replace(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: could not be written ({error}); is the disk full or the folder read-only?") from error
    finally:
        half.unlink(missing_ok=True)


def read_metadata(path: Path) -> dict[str, str]:
    """The file's own metadata; DataError when it can not be read or was written by a newer schema."""
    try:
        metadata = pl.read_parquet_metadata(path)
    except READ_FAULTS as error:
        raise DataError(
            f"{path}: not a readable Parquet file ({_first_line(error)}); delete it and import again"
        ) from error
    check_version(path, metadata)
    return metadata


def check_version(path: Path, metadata: Mapping[str, str]) -> None:
    """DataError when ``path`` says it was written by a schema this program does not know."""
    text = metadata.get(META_VERSION, "")
    if not text.isdigit():
        raise DataError(
            f"{path}: has no {META_VERSION} in its metadata; it is not a file of this lake. Use `data import`"
        )
    if int(text) > SCHEMA_VERSION:
        raise newer(path, int(text))


def newer(path: Path, version: int) -> DataError:
    return DataError(
        f"{path}: written by lake schema {version}, this program knows up to {SCHEMA_VERSION}; update the program, "
        "or give another lake with --lake"
    )


def read_bars(path: Path) -> pl.DataFrame:
    """One lake file, whole, with exactly the columns of ``BAR_SCHEMA``; DataError names the file and the fault."""
    read_metadata(path)
    try:
        frame = pl.read_parquet(path, hive_partitioning=False)
    except READ_FAULTS as error:
        raise DataError(
            f"{path}: its pages can not be read ({_first_line(error)}); delete it and import again"
        ) from error
    for name, kind in BAR_SCHEMA.items():
        if name not in frame.columns:
            raise DataError(f"{path}: column {name!r} is missing")
        if frame.schema[name] != kind:
            raise DataError(f"{path}: column {name!r} is {frame.schema[name]}, should be {kind}")
    return frame.select(BAR_SCHEMA.names())


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
