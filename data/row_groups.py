"""Reading a part of one lake file: only the row groups whose minutes can be in it, only the columns asked for.

A month's file is cut into row groups of a week (``data.schema.ROW_GROUP``); its footer holds the first and last
minute of each, so that a window opens one or two of them and passes over the bytes of the others.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import DataError

ARROW_FAULTS = (pa.ArrowException, OSError, ValueError, KeyError)
"""What pyarrow raises on a broken file."""


def span_of(path: Path) -> tuple[int, int] | None:
    """First and last minute of a file, from its footer alone; None when it has no rows."""
    with _opened(path) as file:
        bounds = _bounds(file)
    return None if bounds is None else (int(bounds[:, 0].min()), int(bounds[:, 1].max()))


def read_columns(
    path: Path, columns: Sequence[str], start_ms: int | None = None, end_ms: int | None = None
) -> list[np.ndarray]:
    """Columns of the rows with ``start_ms <= ts < end_ms``, by time, each a numpy array; ``ts`` must be the first."""
    with _opened(path) as file:
        bounds = _bounds(file)
        if bounds is None:
            return [np.empty(0, dtype=np.int64 if name == "ts" else np.float64) for name in columns]
        low = bounds[:, 0].min() if start_ms is None else start_ms
        high = bounds[:, 1].max() + 1 if end_ms is None else end_ms
        wanted = np.flatnonzero((bounds[:, 1] >= low) & (bounds[:, 0] < high)).tolist()
        # One thread: the caller reads many small pieces, and beside live trading a core is not ours to take.
        table = file.read_row_groups(wanted, columns=list(columns), use_threads=False)
        found = [table.column(name).to_numpy() for name in columns]
    first, last = np.searchsorted(found[0], (low, high))
    return [values[first:last] for values in found]


def groups_read(path: Path, start_ms: int, end_ms: int) -> list[int]:
    """Numbers of the row groups that a window opens."""
    with _opened(path) as file:
        bounds = _bounds(file)
    if bounds is None:
        return []
    return np.flatnonzero((bounds[:, 1] >= start_ms) & (bounds[:, 0] < end_ms)).tolist()


def let_go() -> None:
    """Give back what reading keeps at hand for the next read."""
    pa.default_memory_pool().release_unused()


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """The file, open; faults of reading it become DataError with its name."""
    try:
        with pq.ParquetFile(path, memory_map=False) as file:
            yield file
    except ARROW_FAULTS as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise DataError(f"{path}: its pages can not be read ({said}); delete it and import again") from error


def _bounds(file: pq.ParquetFile) -> np.ndarray | None:
    """(G, 2) first and last minute of each row group; read from the column where a writer left no statistics."""
    footer = file.metadata
    column = file.schema_arrow.get_field_index("ts")
    if column < 0:
        raise ValueError("column 'ts' is missing")
    if footer.num_rows == 0:
        return None
    bounds = np.empty((footer.num_row_groups, 2), dtype=np.int64)
    for number in range(footer.num_row_groups):
        told = footer.row_group(number).column(column).statistics
        if told is not None and told.has_min_max:
            bounds[number] = told.min, told.max
        else:
            ts = file.read_row_group(number, columns=["ts"]).column("ts").to_numpy()
            bounds[number] = ts[0], ts[-1]
    return bounds
