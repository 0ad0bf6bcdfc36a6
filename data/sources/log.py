"""What our feeds have heard, on disk: lines are added and never changed, a file a month. One process writes.

A line that a crash cut short is left out when read, and the next one begins on a line of its own.
"""

import json
import logging
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.news import FundingRate, Headline, News
from data.checks import iso
from data.coin_names import coins_in
from data.headline_scores import current_score

log = logging.getLogger(__name__)


class NewsLog:
    """The lines under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def append(self, headlines: Iterable[Headline], funding: Iterable[FundingRate], scorer: str) -> None:
        """Add items to the files of the months in which they became known."""
        by_month: dict[str, list[str]] = {}
        for one in headlines:
            line: dict[str, Any] = {
                "kind": "headline",
                "knowable_ms": one.knowable_ms,
                "published_ms": one.published_ms,
                "key": one.key,
                "source": one.source,
                "title": one.title,
                "score": one.score,
                "scorer": scorer,
            }
            by_month.setdefault(_month(one.knowable_ms), []).append(json.dumps(line, ensure_ascii=False))
        for rate in funding:
            line = {"kind": "funding", "knowable_ms": rate.knowable_ms, "base": rate.base, "rate_bps": rate.rate_bps}
            by_month.setdefault(_month(rate.knowable_ms), []).append(json.dumps(line))
        for month, lines in by_month.items():
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{month}.jsonl"
            with path.open("ab") as file:
                torn = file.tell() > 0 and not _ends_a_line(path)
                file.write(("\n" * torn + "\n".join(lines) + "\n").encode())

    def read(self, since_ms: int | None = None) -> News:
        """All lines, or those that became knowable from ``since_ms`` on; what is no item is left out, and said."""
        headlines: list[Headline] = []
        funding: list[FundingRate] = []
        for path in sorted(self.folder.glob("*.jsonl")):
            if since_ms is not None and path.stem < _month(since_ms):
                continue
            found, bad = read_file(path, since_ms)
            headlines += found.headlines
            funding += found.funding
            if bad:
                log.warning("%s: %d lines are no items and are left out (a crash may have cut one short)", path, bad)
        return News.of(headlines, funding)


def read_file(path: Path, since_ms: int | None = None) -> tuple[News, int]:
    """The items of one file, and how many of its lines are none."""
    headlines: list[Headline] = []
    funding: list[FundingRate] = []
    bad = 0
    for text in path.read_bytes().decode(errors="replace").split("\n"):
        if not text:
            continue
        try:
            line = json.loads(text)
            if since_ms is not None and line["knowable_ms"] < since_ms:
                continue
            if line["kind"] == "headline":
                headlines.append(_headline(line))
            elif line["kind"] == "funding":
                funding.append(_funding(line))
            else:
                bad += 1
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            bad += 1
    return News.of(headlines, funding), bad


def _funding(line: dict[str, Any]) -> FundingRate:
    rate_bps = float(line["rate_bps"])
    if not math.isfinite(rate_bps):
        raise ValueError(f"a rate of {rate_bps}")
    return FundingRate(knowable_ms=int(line["knowable_ms"]), base=str(line["base"]), rate_bps=rate_bps)


def _headline(line: dict[str, Any]) -> Headline:
    title, score, scorer = str(line["title"]), float(line["score"]), str(line["scorer"])
    if not -1.0 <= score <= 1.0:
        # It would go into everybody's features.
        raise ValueError(f"a score of {score}")
    published = line["published_ms"]
    return Headline(
        knowable_ms=int(line["knowable_ms"]),
        published_ms=None if published is None else int(published),
        key=str(line["key"]),
        source=str(line["source"]),
        title=title,
        bases=coins_in(title),
        score=current_score(title, score, scorer),
    )


def _month(ms: int) -> str:
    return iso(ms)[:7]


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
