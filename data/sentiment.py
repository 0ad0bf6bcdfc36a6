"""Fear and greed: a mood index of the market, stored with the moment each value could first be known.

The publisher (alternative.me) stamps a value with 00:00 UTC of its day and puts it out at about that time: its JSON
counts ``time_until_update`` down to the next midnight. So the rule for a daily history is: a value stamped with a
day is knowable one hour after that day began (``PUBLICATION_DELAY_MS``, room for a late publication), never before.
The client (``data.sources.fear_greed``) keeps to the same rule, so that live minutes know what the history of those minutes will say they knew. A value
stamped with another time (the simulator's, which says when its record could be known) is knowable from that on; one
stamped in the future is refused.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from core.errors import DataError
from core.messages import Sentiment
from core.units import DAY_MS
from data.checks import FAULT, NOTE, WARNING, Finding, iso
from data.columns import SENTIMENT_NAMES, TIME_NAMES, normal
from data.reading import Table, read_table
from data.schema import (
    META_SYNTHETIC,
    META_VERSION,
    READ_FAULTS,
    SCHEMA_VERSION,
    Synthetic,
    read_metadata,
    write_parquet,
)
from data.times import to_epoch_ms

PUBLICATION_DELAY_MS = 3_600_000


@dataclass(frozen=True, slots=True, eq=False)
class SentimentSeries:
    """Readings in the order in which they became known."""

    knowable_ms: np.ndarray
    """(N,) int64, strictly rising."""
    value: np.ndarray
    """(N,) float64, 0 (fear) to 100 (greed)."""
    synthetic: Synthetic | None = None

    def __len__(self) -> int:
        return len(self.knowable_ms)


EMPTY = SentimentSeries(np.empty(0, np.int64), np.empty(0))


def as_of(series: SentimentSeries, now_ms: int) -> Sentiment | None:
    """The newest reading that was knowable at ``now_ms``; None before the first."""
    at = int(np.searchsorted(series.knowable_ms, now_ms, side="right")) - 1
    if at < 0:
        return None
    return Sentiment(value=float(series.value[at]), knowable_ms=int(series.knowable_ms[at]))


def series_path(lake_root: Path) -> Path:
    return Path(lake_root) / "sentiment" / "fear_greed.parquet"


def load_series(lake_root: Path) -> SentimentSeries:
    """The stored series, empty when there is none; DataError when the file is broken or newer than this program."""
    path = series_path(lake_root)
    if not path.exists():
        return EMPTY
    label = read_metadata(path).get(META_SYNTHETIC)
    try:
        frame = pl.read_parquet(path, columns=["knowable_ms", "value"]).sort("knowable_ms")
    except READ_FAULTS as error:
        raise DataError(f"{path}: can not be read; delete it and import again") from error
    synthetic = Synthetic.from_json(label) if label else None
    return SentimentSeries(frame["knowable_ms"].to_numpy(), frame["value"].to_numpy(), synthetic)


def store_series(lake_root: Path, series: SentimentSeries) -> None:
    """Replace the stored series as a whole."""
    metadata = {META_VERSION: str(SCHEMA_VERSION)}
    if series.synthetic is not None:
        metadata[META_SYNTHETIC] = series.synthetic.to_json()
    frame = pl.DataFrame({"knowable_ms": series.knowable_ms, "value": series.value})
    write_parquet(series_path(lake_root), frame, metadata)


def daily_series(stamp_ms: np.ndarray, value: np.ndarray) -> SentimentSeries:
    """A daily history by the rule above; ``stamp_ms`` (N,) rising."""
    return SentimentSeries(stamp_ms.astype(np.int64) + PUBLICATION_DELAY_MS, value.astype(np.float64))


@dataclass(frozen=True, slots=True)
class SentimentImport:
    series: SentimentSeries
    rows: int
    findings: tuple[Finding, ...]


def read_history(path: Path, table: Table | None = None) -> SentimentImport:
    """A daily history from a file with a day and a value a row; rows that are neither are named and left out."""
    table = read_table(path) if table is None else table
    by_name = {normal(name): name for name in reversed(table.frame.columns)}
    time = next((by_name[name] for name in TIME_NAMES if name in by_name), None)
    value = next((by_name[name] for name in SENTIMENT_NAMES if name in by_name), None)
    if time is None or value is None:
        raise DataError(f"{path}: has no day and value columns; a mood history has e.g. ts and value")
    findings = list(table.findings)
    stamps, notes = to_epoch_ms(table.frame[time], None)
    findings += notes
    values = table.frame[value].cast(pl.Float64, strict=False)
    kept: dict[int, float] = {}
    for row, stamp, reading in zip(table.rows.tolist(), stamps.to_list(), values.to_list(), strict=True):
        fault = None
        if stamp is None:
            fault = "its day can not be read"
        elif reading is None or not math.isfinite(reading) or not 0 <= reading <= 100:
            fault = f"value {reading!r} is not between 0 and 100"
        elif kept.get(stamp, reading) != reading:
            fault = f"{iso(stamp)} comes twice, as {kept[stamp]} and as {reading}; the first stands"
        if fault:
            findings.append(Finding(FAULT, "bad_sentiment", fault, row, None, stamp, table.unit))
        else:
            kept.setdefault(stamp, reading)
    days = np.array(sorted(kept), dtype=np.int64)
    holes = np.flatnonzero(np.diff(days) > DAY_MS)
    for at in holes:
        missing = int((days[at + 1] - days[at]) // DAY_MS) - 1
        findings.append(
            Finding(WARNING, "missing_days", f"{missing} days missing after {iso(int(days[at]))}", ts=int(days[at]))
        )
    rule = f"a value is used from {PUBLICATION_DELAY_MS // 60_000} minutes after its stamp on, when it was published"
    findings.append(Finding(NOTE, "knowable", rule))
    series = daily_series(days, np.array([kept[int(day)] for day in days], dtype=np.float64))
    return SentimentImport(series, len(table.rows), tuple(findings))
