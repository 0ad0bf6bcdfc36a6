"""Files to tables: Parquet, Feather and CSV as they come, every line that is no row named, none dropped in silence.

A table keeps the number a person would find each bar under: the bar's count in Parquet and Feather (from 1), the
line of the text in CSV (from 1, its header included).
"""

import csv
import gzip
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from core.errors import DataError
from data.checks import FAULT, NOTE, Finding, grouped
from data.columns import TIME_NAMES, normal
from data.schema import META_SYNTHETIC, META_VERSION, READ_FAULTS, check_version

PARQUET = (".parquet", ".pq")
FEATHER = (".feather", ".arrow", ".ipc")
TEXT = (".csv", ".csv.gz", ".tsv")
KLINE = ("ts", "open", "high", "low", "close", "volume")
"""Order of the columns where there is no header (Binance's archive, ccxt and freqtrade agree on it)."""
PREAMBLE = 5
"""Lines above the header that are passed over, and said to be."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file's rows as they stand."""

    frame: pl.DataFrame
    rows: np.ndarray
    unit: str
    findings: tuple[Finding, ...] = ()
    synthetic: str | None = None
    """The label, when the file says that it is a made-up market."""


def kind_of(path: Path) -> str | None:
    """``parquet``, ``feather`` or ``text`` by the name; None for what is none of them."""
    name = path.name.lower()
    for kind, endings in (("parquet", PARQUET), ("feather", FEATHER), ("text", TEXT)):
        if name.endswith(endings):
            return kind
    return None


def read_table(path: Path) -> Table:
    """The rows of one file; DataError names the file and what is wrong with it as a whole."""
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: is an empty file (0 bytes)")
        kind = kind_of(path)
        if kind == "parquet":
            metadata = pl.read_parquet_metadata(path)
            if META_VERSION in metadata:
                check_version(path, metadata)
            frame = pl.read_parquet(path, hive_partitioning=False, glob=False)
            return Table(frame, np.arange(1, len(frame) + 1), "row", (), metadata.get(META_SYNTHETIC))
        if kind == "feather":
            frame = pl.read_ipc(path)
            return Table(frame, np.arange(1, len(frame) + 1), "row")
    except READ_FAULTS as error:
        text = str(error).strip().splitlines()
        raise DataError(
            f"{path}: can not be read ({text[0][:160] if text else type(error).__name__}); corrupt or cut off?"
        ) from error
    return _read_text(path)


def _read_text(path: Path) -> Table:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.name.lower().endswith(".gz") else path.read_bytes()
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"{path}: line {line}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: can not be read ({error}); corrupt or cut off?") from error
    lines = text.splitlines()
    full = [number for number, line in enumerate(lines, start=1) if line.strip()]
    if not full:
        raise DataError(f"{path}: holds no line of text")
    separator = max(",;\t|", key=lambda mark: max(lines[number - 1].count(mark) for number in full[: PREAMBLE + 1]))
    head = _header(lines, full, separator)
    findings = [
        Finding(NOTE, "preamble", f"passed over, no bar: {lines[number - 1][:60]!r}", number, unit="line")
        for number in full[:head]
    ]
    first = _fields(lines[full[head] - 1], separator)
    if all(_is_number(field) for field in first if field.strip()):
        names = [*KLINE, *(f"extra_{i}" for i in range(len(first) - len(KLINE)))][: len(first)]
        findings.append(Finding(NOTE, "no_header", f"no header: columns taken as {', '.join(KLINE)}"))
        body = full[head:]
    else:
        names, body = first, full[head + 1 :]
    good, rows = [], []
    for number in body:
        count = len(_fields(lines[number - 1], separator))
        if count == len(names):
            good.append(lines[number - 1])
            rows.append(number)
        else:
            say = f"has {count} fields, the header has {len(names)}"
            findings.append(Finding(FAULT, "ragged", say, number, unit="line"))
    if not good:
        frame = pl.DataFrame({name: [] for name in dict.fromkeys(names)}, schema=dict.fromkeys(names, pl.String))
        return Table(frame, np.array([], dtype=np.int64), "line", tuple(grouped(findings)))
    try:
        frame = pl.read_csv(
            io.StringIO("\n".join(good)),
            has_header=False,
            separator=separator,
            infer_schema=False,
            new_columns=_unique(names),
        )
    except READ_FAULTS as error:
        raise DataError(f"{path}: is no table of text ({str(error).splitlines()[0][:160]})") from error
    return Table(frame, np.array(rows), "line", tuple(grouped(findings)))


def _header(lines: list[str], full: list[int], separator: str) -> int:
    """Index into ``full`` of the header, or of the first bar where there is none."""
    for index, number in enumerate(full[: PREAMBLE + 1]):
        fields = _fields(lines[number - 1], separator)
        named = {normal(field) for field in fields}
        if len(fields) >= len(KLINE) - 1 or named & set(TIME_NAMES):
            return index
    return 0


def _fields(line: str, separator: str) -> list[str]:
    if '"' in line:
        return next(csv.reader([line], delimiter=separator))
    return line.split(separator)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return out
