"""Good rows of one symbol put in order, each minute once, and described; what that took is said in the report."""

import numpy as np

from core.messages import VOLUME
from core.units import MINUTE_MS
from data.checks import FAULT, NOTE, WARNING, Finding, grouped, iso, price_typos
from data.import_report import FileReport


def wrong_spacing(ts: np.ndarray) -> Finding | None:
    steps = np.diff(ts)
    steps = steps[steps > 0]
    if len(steps) < 5:
        return None
    apart = int(np.gcd.reduce(steps))
    if apart <= MINUTE_MS:
        return None
    text = f"bars are {apart // MINUTE_MS} minutes apart, not one. Nothing was imported of this file"
    return Finding(FAULT, "not_one_minute", text)


def note_disorder(ts: np.ndarray, rows: np.ndarray, unit: str, report: FileReport) -> None:
    back = np.flatnonzero(np.diff(ts) < 0) + 1
    report.disordered = len(back)
    if len(ts) > 2 and len(back) == len(ts) - 1:
        report.findings.append(Finding(NOTE, "newest_first", "rows stand newest first; stored oldest first"))
        return
    report.findings += grouped(
        [
            Finding(
                WARNING,
                "disorder",
                f"{iso(int(ts[i]))} stands after {iso(int(ts[i - 1]))}",
                int(rows[i]),
                None,
                int(ts[i]),
                unit,
            )
            for i in back
        ]
    )


def each_minute_once(
    ts: np.ndarray, values: np.ndarray, rows: np.ndarray, unit: str, report: FileReport
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of identical rows of a minute the first; of differing ones none."""
    if not len(ts):
        return ts, values, rows
    first = np.concatenate([[True], np.diff(ts) != 0])
    group = np.cumsum(first) - 1
    leader = np.flatnonzero(first)[group]
    unlike = (values != values[leader]).any(axis=1)
    torn = np.zeros(group[-1] + 1, dtype=bool)
    torn[group[unlike]] = True
    conflict = torn[group]
    copies = ~first & ~conflict
    found = [
        Finding(
            FAULT,
            "conflict",
            f"{iso(int(ts[i]))} comes more than once with different values; none was imported",
            int(rows[i]),
            None,
            int(ts[i]),
            unit,
        )
        for i in np.flatnonzero(conflict)
    ]
    found += [
        Finding(
            WARNING, "duplicate", f"repeats {unit} {int(rows[leader[i]])} exactly", int(rows[i]), None, int(ts[i]), unit
        )
        for i in np.flatnonzero(copies)
    ]
    report.findings += grouped(sorted(found, key=lambda f: (f.code, f.row or 0)))
    report.conflicting, report.duplicates = int(conflict.sum()), int(copies.sum())
    keep = first & ~conflict
    return ts[keep], values[keep], rows[keep]


def describe(ts: np.ndarray, values: np.ndarray, rows: np.ndarray, unit: str, report: FileReport) -> None:
    """Gaps, silence and what looks odd in the bars that will be stored."""
    if not len(ts):
        report.findings.append(Finding(FAULT, "no_rows", "no good bar is left"))
        return
    report.first, report.last = int(ts[0]), int(ts[-1])
    holes = np.diff(ts) // MINUTE_MS - 1
    report.gaps, report.missing = int((holes > 0).sum()), int(holes.sum())
    silent = values[:, VOLUME] == 0
    report.zero_volume = int(silent.sum())
    moved = silent & (values[:, :VOLUME].max(axis=1) != values[:, :VOLUME].min(axis=1))
    report.findings += grouped(
        [
            Finding(WARNING, "moved_without_volume", "price moves, volume is 0", int(rows[i]), None, int(ts[i]), unit)
            for i in np.flatnonzero(moved)
        ]
    )
    if len(ts) == 1:
        report.findings.append(Finding(WARNING, "one_bar", "holds one bar only", int(rows[0]), None, int(ts[0]), unit))
    report.findings += price_typos(ts, values, rows, unit)
    written_ms = int(report.path.stat().st_mtime * 1000)
    if report.last + MINUTE_MS > written_ms:
        text = f"last bar {iso(report.last)} not closed when the file was written: a time zone slip or unfinished"
        report.findings.append(Finding(WARNING, "after_the_file", text, ts=report.last))
