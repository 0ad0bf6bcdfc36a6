"""Read the lake again, every file and every row, and name what is wrong. Changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from core.errors import DataError
from core.messages import VOLUME
from data.checks import FAULT, NOTE, WARNING, Finding, grouped, iso, price_typos, row_faults
from data.downloads import FOLDER as DOWNLOADS
from data.headlines import headlines_path, heard_folder, read_stored
from data.lake import Lake
from data.schema import (
    META_CONTENT,
    META_SYNTHETIC,
    SCHEMA_VERSION,
    VALUES,
    Synthetic,
    content_hash,
    newer,
    read_bars,
    read_metadata,
)
from data.sentiment import load_series, series_path
from data.sources.log import read_file

MARKET_FILE = "market.json"
"""Stands in the root of a synthetic market; not the lake's, but expected."""


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What was found in one file of the lake."""

    path: Path
    rows: int
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifyReport:
    lake: Path
    files: tuple[FileCheck, ...]

    @property
    def faults(self) -> int:
        return sum(f.severity == FAULT for check in self.files for f in check.findings)


def verify(lake: Lake) -> VerifyReport:
    """Check every file under the lake's root; an absent lake is a report of no files."""
    checks = []
    labels: dict[Path, Synthetic | None] = {}
    for path in sorted(p for p in lake.root.rglob("*") if p.is_file() and p.name != ".lock"):
        place = path.relative_to(lake.root).parts
        if path == series_path(lake.root):
            checks.append(_check_sentiment(lake, path))
        elif path == headlines_path(lake.root):
            checks.append(_check_headlines(lake, path))
        elif path.parent == heard_folder(lake.root) and path.suffix == ".jsonl":
            checks.append(_check_heard(path))
        elif path.name.startswith(".") and path.name.endswith(".tmp"):
            text = "left by a write that was cut off; nothing reads it, it may be deleted"
            checks.append(FileCheck(path, 0, (Finding(WARNING, "leftover", text),)))
        elif place[0] != "bars":
            found = (
                ()
                if place == (MARKET_FILE,) or place[0] == DOWNLOADS
                else (Finding(NOTE, "foreign", "not a file of the lake; nothing reads it"),)
            )
            checks.append(FileCheck(path, 0, found))
        elif (version := _version_of(place)) > SCHEMA_VERSION:
            text = str(newer(path, version)).removeprefix(f"{path}: ")
            checks.append(FileCheck(path, 0, (Finding(FAULT, "newer_schema", text),)))
        elif len(place) != 5 or path.suffix != ".parquet" or "-" not in place[3]:
            text = "does not stand where bars stand (bars/v1/<venue>/<BASE-QUOTE>/<YYYY-MM>.parquet); nothing reads it"
            checks.append(FileCheck(path, 0, (Finding(FAULT, "misplaced", text),)))
        else:
            checks.append(_check_bars(path, labels))
    return VerifyReport(lake.root, tuple(checks))


def _version_of(place: tuple[str, ...]) -> int:
    folder = place[1] if len(place) > 1 else ""
    return int(folder[1:]) if folder[:1] == "v" and folder[1:].isdigit() else 0


def _check_bars(path: Path, labels: dict[Path, Synthetic | None]) -> FileCheck:
    try:
        metadata = read_metadata(path)
        frame = read_bars(path)
    except DataError as error:
        return FileCheck(path, 0, (Finding(FAULT, "unreadable", str(error).removeprefix(f"{path}: ")),))
    findings = _empty_cells(frame)
    if findings:
        return FileCheck(path, len(frame), tuple(findings))
    if metadata.get(META_CONTENT) != content_hash(frame):
        text = "its bars are not those that were written (content hash differs): a damaged disk, or an edit by hand"
        findings.append(Finding(FAULT, "content", text))
    label = Synthetic.from_json(metadata[META_SYNTHETIC]) if META_SYNTHETIC in metadata else None
    if labels.setdefault(path.parent, label) != label:
        text = f"is {label or 'real'}, other months of the folder are {labels[path.parent] or 'real'}"
        findings.append(Finding(FAULT, "mixed", text))
    findings += _row_findings(path, frame)
    return FileCheck(path, len(frame), tuple(grouped(findings)))


def _empty_cells(frame: pl.DataFrame) -> list[Finding]:
    if frame.is_empty():
        return [Finding(FAULT, "no_rows", "holds no bar")]
    return grouped(
        [
            Finding(FAULT, f"missing_{name}", f"{name} is missing", int(index) + 1)
            for name in frame.columns
            for index in np.flatnonzero(frame[name].is_null().to_numpy())
        ]
    )


def _row_findings(path: Path, frame: pl.DataFrame) -> list[Finding]:
    """Order, place and sense of each bar; row 1 is the file's first."""
    ts, values, rows = frame["ts"].to_numpy(), frame.select(VALUES).to_numpy(), np.arange(1, len(frame) + 1)
    findings: list[Finding] = []

    def fault(code: str, mask: np.ndarray, say: Callable[[int], str]) -> None:
        findings.extend(Finding(FAULT, code, say(int(i)), int(i) + 1, None, int(ts[i])) for i in np.flatnonzero(mask))

    step = np.diff(ts, prepend=ts[0] - 1)
    fault("twice", step == 0, lambda i: f"{iso(int(ts[i]))} comes twice")
    fault("order", step < 0, lambda i: f"{iso(int(ts[i]))} stands after {iso(int(ts[i - 1]))}")
    months = ts.astype("datetime64[ms]").astype("datetime64[M]").astype(str)
    fault("wrong_month", months != path.stem, lambda i: f"{iso(int(ts[i]))} is not of {path.stem}")
    bad, found = row_faults(ts, values, rows)
    findings += found
    disagree = ~bad & (frame["filler"].to_numpy() != (values[:, VOLUME] == 0))
    fault("filler", disagree, lambda i: f"filler mark and volume {values[i, VOLUME]} disagree")
    if not findings:
        findings += price_typos(ts, values, rows)
        if len(ts) == 1:
            findings.append(Finding(WARNING, "one_bar", "holds one bar only", 1, None, int(ts[0])))
        open_bars = np.flatnonzero(~frame["final"].to_numpy())
        if len(open_bars):
            first = int(open_bars[0])
            findings.append(
                Finding(NOTE, "not_final", f"{len(open_bars)} bars are not final yet", first + 1, None, int(ts[first]))
            )
    return findings


def _check_headlines(lake: Lake, path: Path) -> FileCheck:
    try:
        stored = read_stored(lake.root)
    except DataError as error:
        text = str(error).removeprefix(f"{path}: ")
        return FileCheck(path, 0, (Finding(FAULT, "unreadable", text),))
    bad = [
        Finding(FAULT, "bad_headline", f"score {one.score} is not between -1 and 1", number)
        for number, one in enumerate(stored, 1)
        if not -1.0 <= one.score <= 1.0
    ]
    return FileCheck(path, len(stored), tuple(bad))


def _check_heard(path: Path) -> FileCheck:
    news, bad = read_file(path)
    torn = (Finding(WARNING, "torn", f"{bad} lines are no items and are left out"),) if bad else ()
    return FileCheck(path, len(news.headlines) + len(news.funding), torn)


def _check_sentiment(lake: Lake, path: Path) -> FileCheck:
    try:
        series = load_series(lake.root)
    except DataError as error:
        return FileCheck(path, 0, (Finding(FAULT, "unreadable", str(error).removeprefix(f"{path}: ")),))
    bad = np.flatnonzero(~((series.value >= 0) & (series.value <= 100)))
    found = [
        Finding(FAULT, "bad_sentiment", f"value {series.value[i]} is not between 0 and 100", int(i) + 1) for i in bad
    ]
    found += [
        Finding(FAULT, "twice", f"{iso(int(series.knowable_ms[i]))} comes twice", int(i) + 1)
        for i in np.flatnonzero(np.diff(series.knowable_ms, prepend=-1) == 0)
    ]
    return FileCheck(path, len(series), tuple(found))
