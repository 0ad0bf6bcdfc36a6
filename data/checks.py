"""What is wrong with a series of bars, said row by row. Pure: arrays in, findings out; import and verify share it.

``values`` is (T, 5) float64 open, high, low, close, volume; ``ts`` (T,) int64 epoch ms; ``rows`` (T,) the row numbers
a person would count in the file (1 is the first bar).
"""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import polars as pl

from core.messages import CLOSE, HIGH, LOW, OPEN, VOLUME
from core.units import MINUTE_MS

FAULT, WARNING, NOTE = "fault", "warning", "note"
NAMES = ("open", "high", "low", "close", "volume")
HALF_HOUR_MS = 30 * MINUTE_MS
TYPO_RATIO = 5.0
"""A price this many times its neighbours' (or this small a part of them) is pointed at."""
TYPO_NEIGHBOURS = 15
"""Bars on each side that a price is compared with."""
SWAP_SAMPLE = 5_000
SWAP_MIN_ROWS = 30


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to say about a file: a fault (not imported), a warning (imported, look at it) or a note."""

    severity: str
    code: str
    text: str
    row: int | None = None
    last_row: int | None = None
    """End of a run of rows with the same finding."""
    ts: int | None = None
    unit: str = "row"
    """``row`` counts bars from 1; ``line`` counts lines of a text file from 1, its header included."""

    def __str__(self) -> str:
        if self.row is None:
            return self.text
        if self.last_row is None or self.last_row == self.row:
            return f"{self.unit} {self.row}: {self.text}"
        return f"{self.unit}s {self.row}-{self.last_row}: {self.text}, and so on"


def grouped(findings: list[Finding]) -> list[Finding]:
    """Neighbouring rows with the same finding become one that names the first and the last row."""
    out: list[Finding] = []
    for one in findings:
        prior = out[-1] if out else None
        if prior and prior.row is not None and one.row is not None and prior.code == one.code:
            end = prior.last_row or prior.row
            if one.row == end + 1:
                out[-1] = Finding(prior.severity, prior.code, prior.text, prior.row, one.row, prior.ts, prior.unit)
                continue
        out.append(one)
    return out


def row_faults(
    ts: np.ndarray, values: np.ndarray, rows: np.ndarray, unit: str = "row"
) -> tuple[np.ndarray, list[Finding]]:
    """Rows that are no bars: (T,) bool, True where bad, and the first fault of each."""
    prices = values[:, :VOLUME]
    with np.errstate(invalid="ignore"):
        tests = [
            ("not_on_minute", (ts % MINUTE_MS) != 0),
            ("not_a_number", ~np.isfinite(values).all(axis=1)),
            ("not_positive", (prices <= 0).any(axis=1)),
            ("negative_volume", values[:, VOLUME] < 0),
            ("high_below_low", values[:, HIGH] < values[:, LOW]),
            (
                "outside_range",
                (np.maximum(values[:, OPEN], values[:, CLOSE]) > values[:, HIGH])
                | (np.minimum(values[:, OPEN], values[:, CLOSE]) < values[:, LOW]),
            ),
        ]
    bad = np.logical_or.reduce([mask for _, mask in tests])
    findings = []
    for index in np.flatnonzero(bad):
        code = next(name for name, mask in tests if mask[index])
        text = _say(code, int(ts[index]), values[index])
        findings.append(Finding(FAULT, code, text, int(rows[index]), None, int(ts[index]), unit))
    return bad, grouped(findings)


def _say(code: str, ts: int, bar: np.ndarray) -> str:
    number = {name: repr(float(value)) for name, value in zip(NAMES, bar, strict=True)}
    if code == "not_on_minute":
        return f"time {iso(ts)} is not the start of a minute"
    if code == "not_a_number":
        name = next(n for n, v in zip(NAMES, bar, strict=True) if not np.isfinite(v))
        return f"{name} is {number[name]}"
    if code == "not_positive":
        name = next(n for n, v in zip(NAMES, bar[:VOLUME], strict=False) if v <= 0)
        return f"{name} is {number[name]}; prices are positive"
    if code == "negative_volume":
        return f"volume is {number['volume']}; it can not be negative"
    if code == "high_below_low":
        return f"high {number['high']} is below low {number['low']}"
    name = next(n for n in ("open", "close") if not bar[LOW] <= bar[NAMES.index(n)] <= bar[HIGH])
    return f"{name} {number[name]} lies outside low {number['low']} to high {number['high']}"


def price_typos(ts: np.ndarray, values: np.ndarray, rows: np.ndarray, unit: str = "row") -> list[Finding]:
    """Prices many times (or a small part of) their neighbours', in sorted bars: a warning, as a crash can be real."""
    if len(ts) < 3:
        return []
    usual = _median_of_neighbours(values[:, CLOSE])
    ratio = values[:, :VOLUME] / usual[:, None]
    odd = (ratio >= TYPO_RATIO) | (ratio <= 1.0 / TYPO_RATIO)
    findings = []
    for index in np.flatnonzero(odd.any(axis=1)):
        column = int(np.flatnonzero(odd[index])[0])
        text = (
            f"{NAMES[column]} {float(values[index, column])!r} is {_times(float(ratio[index, column]))} the price "
            f"around it ({float(usual[index])!r}): a typing error, or another instrument?"
        )
        findings.append(Finding(WARNING, "price_jump", text, int(rows[index]), None, int(ts[index]), unit))
    return grouped(findings)


def _median_of_neighbours(close: np.ndarray) -> np.ndarray:
    """(T,) median of the closes up to ``TYPO_NEIGHBOURS`` bars away on each side."""
    rolled = pl.Series(close).rolling_median(2 * TYPO_NEIGHBOURS + 1, min_samples=1, center=True)
    return rolled.to_numpy()


def _times(ratio: float) -> str:
    power = round(float(np.log10(ratio)))
    if power == 0 or abs(ratio / 10.0**power - 1) > 0.1:
        return f"{ratio:.3g} times"
    return f"{10**power:,} times" if power > 0 else f"1/{10**-power:,} of"


def swapped_columns(values: np.ndarray) -> Finding | None:
    """Tell columns that stand under each other's name. Needs bars by time, (T, 5), bad ones included.

    A naming of the five columns is possible when lows and highs contain opens and closes and a minute's range is
    small. The right one among the possible has each open next to the close before it.
    """
    finite = values[np.isfinite(values).all(axis=1)][:SWAP_SAMPLE]
    if len(finite) < SWAP_MIN_ROWS:
        return None
    scored = {order: _seams(finite[:, order]) for order in permutations(range(5))}
    as_named = scored[(0, 1, 2, 3, 4)]
    possible = {order: seam for order, seam in scored.items() if seam is not None}
    if not possible:
        return None
    best = min(possible, key=lambda order: (possible[order], order))
    if best == (0, 1, 2, 3, 4) or (as_named is not None and not possible[best] * 3.0 < as_named):
        return None
    said = ", ".join(f"{NAMES[name]} is under {NAMES[column]!r}" for name, column in enumerate(best) if name != column)
    return Finding(
        FAULT, "swapped_columns", f"columns look swapped: {said}; rename them. Nothing was imported of this file"
    )


def _seams(values: np.ndarray) -> float | None:
    """Mean gap between a close and the next open; None where these five can not be bars."""
    o, h, low, c = (values[:, i] for i in (OPEN, HIGH, LOW, CLOSE))
    fits = (low > 0) & (h >= np.maximum(o, c)) & (low <= np.minimum(o, c)) & (values[:, VOLUME] >= 0)
    if fits.mean() < 0.9 or np.median(h[fits] / low[fits]) > 1.2:
        return None
    return float(np.abs(o[1:] - c[:-1]).mean())


def iso(ts: int | None) -> str:
    """Epoch ms as readable UTC; the number itself where a calendar can not hold it."""
    if ts is None:
        return "-"
    try:
        text = str(np.datetime64(int(ts), "ms"))
    except (ValueError, OverflowError):
        return str(ts)
    return text[:16] + "Z" if text.endswith(":00.000") else text + "Z"
