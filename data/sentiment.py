"""Fear and greed: a mood index of the market, stored with the moment each value could first be known.

The publisher (alternative.me) stamps a value with 00:00 UTC of its day and puts it out at about that time: its JSON
counts ``time_until_update`` down to the next midnight. So the rule for a daily history is: a value stamped with a
day is knowable one hour after that day began (``PUBLICATION_DELAY_MS``, room for a late publication), never before.
The client keeps to the same rule, so that live minutes know what the history of those minutes will say they knew. A value
stamped with another time (the simulator's, which says when its record could be known) is knowable from that on; one
stamped in the future is refused.
"""

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import aiohttp
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
from data.sources.fetching import SourceFault, fetch
from data.times import to_epoch_ms

log = logging.getLogger(__name__)

PUBLICATION_DELAY_MS = 3_600_000
PUBLIC_URL = "https://api.alternative.me"
MOST_BYTES = 64 * 1_024
"""Of an answer: a reading takes some 150."""
MOST_VALUES = 2


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


class FearGreedClient:
    """Asks ``<base_url>/fng/?limit=2``: the day's value, and the one before for the hour in which that still holds.
    A source that is away, slow or talks nonsense yields None and a reason; a warning says when it is lost, and a line when
    it answers again."""

    def __init__(self, base_url: str = PUBLIC_URL, timeout_s: float = 5.0) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout_s = timeout_s
        self.last_fault = ""
        """Why the last ``fetch`` yielded None; empty after a success."""
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, now_ms: int) -> Sentiment | None:
        """The newest published value, or None; answers within ``timeout_s`` and raises nothing but cancellation."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession()
        try:
            answer = await fetch(
                self._session, f"{self.base_url}/fng/?limit=2", timeout_s=self.timeout_s, most_bytes=MOST_BYTES
            )
            reading = parse_reading(_json_of(answer.body or b""), now_ms)
        except (SourceFault, DataError) as error:
            fault = f"{self.base_url}: {error}"
            if fault != self.last_fault:
                log.warning("source fear and greed is lost: %s", fault)
            self.last_fault = fault
            return None
        if self.last_fault:
            log.info("source fear and greed answers again")
        self.last_fault = ""
        return reading

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _json_of(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError(f"answer is not JSON ({type(error).__name__}: {str(error)[:80]})") from None


def parse_reading(body: object, now_ms: int) -> Sentiment | None:
    """The newest value of the publisher's JSON that could be known at ``now_ms``, None before the first; DataError says what
    is wrong with it. Values come newest first:

    ``{"data": [{"value": "40", "timestamp": "1551157200", ...}, …], "metadata": {"error": null}}``
    """
    try:
        items = [(float(item["value"]), int(item["timestamp"]) * 1000) for item in body["data"][:MOST_VALUES]]  # type: ignore[index]
        if not items:
            raise IndexError
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"answer has no data[0].value and .timestamp ({type(error).__name__})") from error
    for value, stamp in items:
        if not 0 <= value <= 100:
            raise DataError(f"value {value} is not between 0 and 100")
        if stamp > now_ms:
            raise DataError(f"value is stamped {iso(stamp)[:40]}, later than now ({iso(now_ms)})")
        if stamp <= 0:
            raise DataError(f"value is stamped {str(stamp)[:20]} ms, which is no time of a market")
        knowable = stamp + (PUBLICATION_DELAY_MS if stamp % DAY_MS == 0 else 0)
        if knowable <= now_ms:
            return Sentiment(value=value, knowable_ms=knowable)
    return None
