"""Headlines and funding rates beside a lake's bars: what was imported, and what our own feeds have heard.

Each is stamped by when it could be known: what our feeds heard, when they fetched it; what comes from a file, five minutes
after it was published, as a feed that looks every five minutes would have had it. The same headline again, or revised,
changes nothing. Scores are kept beside the text; those of an older lexicon are taken anew when read.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import polars as pl

from core.errors import DataError
from core.news import NO_NEWS, Headline, News
from data.checks import FAULT, NOTE, Finding
from data.coin_names import coins_in
from data.columns import TIME_NAMES, normal
from data.headline_scores import Scorer, current_score, lexicon
from data.reading import Table, read_table
from data.schema import META_VERSION, READ_FAULTS, SCHEMA_VERSION, write_parquet
from data.sources.log import NewsLog
from data.times import to_epoch_ms

IMPORT_DELAY_MS = 5 * 60_000
TITLE_NAMES = ("headline", "title", "news_title")
SOURCE_NAMES = ("source", "publisher", "site")
LONGEST_TITLE = 500
SCHEMA = {
    "knowable_ms": pl.Int64,
    "published_ms": pl.Int64,
    "key": pl.String,
    "source": pl.String,
    "title": pl.String,
    "score": pl.Float64,
    "scorer": pl.String,
}


def headlines_path(lake_root: Path) -> Path:
    return Path(lake_root) / "sentiment" / "headlines.parquet"


def heard_folder(lake_root: Path) -> Path:
    """Where our own feeds write what they hear."""
    return Path(lake_root) / "sentiment" / "heard"


def key_of(source: str, title: str, published_ms: int | None) -> str:
    """Names a headline that has no id of its own."""
    return hashlib.sha256(f"{source}\n{title}\n{published_ms}".encode()).hexdigest()[:16]


def on_the_second(ms: int) -> int:
    """The next whole second: feeds carry no finer time."""
    return -(-ms // 1_000) * 1_000


def load_news(lake_root: Path) -> News:
    """All that is stored, in the order in which it became known; DataError when a file is broken."""
    paths = (headlines_path(lake_root), *sorted(heard_folder(lake_root).glob("*.jsonl")))
    stamps = tuple((p, s.st_mtime_ns, s.st_size) for p in paths if p.exists() and (s := p.stat()))
    return _load(Path(lake_root), stamps) if stamps else NO_NEWS


@lru_cache(maxsize=4)
def _load(lake_root: Path, stamps: tuple[tuple[Path, int, int], ...]) -> News:
    # ``stamps`` make a changed file another question.
    heard = NewsLog(heard_folder(lake_root)).read()
    return News.of((*read_stored(lake_root), *heard.headlines), heard.funding)


def read_stored(lake_root: Path) -> tuple[Headline, ...]:
    """The imported headlines."""
    path = headlines_path(lake_root)
    if not path.exists():
        return ()
    try:
        frame = pl.read_parquet(path, columns=list(SCHEMA))
    except READ_FAULTS as error:
        raise DataError(f"{path}: can not be read; delete it and import again") from error
    return tuple(
        Headline(
            knowable_ms=row["knowable_ms"],
            published_ms=row["published_ms"],
            key=row["key"],
            source=row["source"],
            title=row["title"],
            bases=coins_in(row["title"]),
            score=current_score(row["title"], row["score"], row["scorer"]),
        )
        for row in frame.iter_rows(named=True)
    )


def store_headlines(lake_root: Path, headlines: Iterable[Headline], scorer: str) -> None:
    """Replace the imported headlines as a whole."""
    rows = [
        (h.knowable_ms, h.published_ms, h.key, h.source, h.title, h.score, scorer)
        for h in sorted(headlines, key=lambda h: (h.knowable_ms, h.key))
    ]
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    write_parquet(headlines_path(lake_root), frame, {META_VERSION: str(SCHEMA_VERSION)})


@dataclass(frozen=True, slots=True)
class HeadlineImport:
    headlines: tuple[Headline, ...]
    rows: int
    repeated: int
    findings: tuple[Finding, ...]


def is_headlines(names: list[str]) -> bool:
    """A table of headlines: a time and a title a row."""
    low = {normal(name) for name in names}
    return bool(low & set(TITLE_NAMES)) and bool(low & set(TIME_NAMES))


def read_headlines(path: Path, table: Table | None = None, scorer: Scorer | None = None) -> HeadlineImport:
    """A history from a file with a time and a title a row; rows that are neither are named and left out."""
    table = read_table(path) if table is None else table
    scorer = scorer or lexicon()
    by_name = {normal(name): name for name in reversed(table.frame.columns)}
    time, title, source = (
        next((by_name[name] for name in names if name in by_name), None)
        for names in (TIME_NAMES, TITLE_NAMES, SOURCE_NAMES)
    )
    if time is None or title is None:
        raise DataError(f"{path}: has no time and title columns; a history of headlines has e.g. ts and title")
    stamps, notes = to_epoch_ms(table.frame[time], None)
    findings = [*table.findings, *notes]
    titles = table.frame[title].cast(pl.String, strict=False).to_list()
    sources = table.frame[source].cast(pl.String, strict=False).to_list() if source else [path.stem] * len(titles)
    found: dict[str, Headline] = {}
    repeated = 0
    for row, stamp, text, said_by in zip(table.rows.tolist(), stamps.to_list(), titles, sources, strict=True):
        text = " ".join((text or "").split())[:LONGEST_TITLE]
        if stamp is None or not text:
            fault = "its time can not be read" if stamp is None else "it has no title"
            findings.append(Finding(FAULT, "bad_headline", fault, row, None, stamp, table.unit))
            continue
        key = key_of(said_by or "", text, stamp)
        repeated += key in found
        found.setdefault(
            key,
            Headline(
                knowable_ms=on_the_second(stamp + IMPORT_DELAY_MS),
                published_ms=stamp,
                key=key,
                source=said_by or path.stem,
                title=text,
                bases=coins_in(text),
                score=scorer.score(text),
            ),
        )
    rule = (
        f"a headline is used from {IMPORT_DELAY_MS // 60_000} minutes after its stamp on, as a feed would have had it"
    )
    findings.append(Finding(NOTE, "knowable", rule))
    return HeadlineImport(News.of(found.values()).headlines, len(table.rows), repeated, tuple(findings))
