"""What sources answer, read with suspicion: RSS or Atom, and funding rates in JSON.

A stamp is believed when it is a time that is not later than now; one without a zone is taken as UTC.
"""

import calendar
import hashlib
import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from io import BytesIO
from typing import Any

import feedparser

from core.news import FundingRate
from data.sources.fetching import SourceFault

MOST_ITEMS = 300
LONGEST_TITLE = 500
MOST_FUNDING_BPS = 1_000.0
KNOWABLE = "mh_knowable"
"""What a recorded feed says beside the publication: when the item could be known, epoch ms."""
_QUOTES = ("USDT", "USD", "USDC")
_TAG = re.compile(r"<[^>]{0,200}>")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawHeadline:
    """An entry of a feed, before it is stamped and scored."""

    key: str
    title: str
    published_ms: int | None
    """None where the feed does not say, or says what can not be."""
    knowable_ms: int | None = None
    """Of a recorded feed."""


def parse_feed(body: bytes, source: str, now_ms: int, *, recorded: bool = False) -> tuple[RawHeadline, ...]:
    """The entries of an RSS or Atom document, each id once, at most ``MOST_ITEMS``. Raises SourceFault.

    A ``recorded`` feed's ids are taken as they are, and its entries say when they could be known.
    """
    head = body[:2_048].lstrip().lower()
    if not head:
        raise SourceFault("empty answer")
    if head.startswith((b"<!doctype html", b"<html")):
        raise SourceFault("a web page, not a feed")
    if b"<!ENTITY" in body or "<!ENTITY".encode("utf-16-le") in body or "<!ENTITY".encode("utf-16-be") in body:
        raise SourceFault("declares entities of its own, which no feed needs; not read")
    try:
        # A file object: given bytes or text, the library might take them for an address and go there.
        found: Any = feedparser.parse(BytesIO(body))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise SourceFault(f"can not be read as a feed ({type(error).__name__})") from None
    if not found.entries and (found.bozo or not found.version):
        raise SourceFault("can not be read as a feed")
    items: dict[str, RawHeadline] = {}
    for entry in found.entries[:MOST_ITEMS]:
        title = clean(entry.get("title", ""))
        if not title:
            continue
        name = str(entry.get("id") or entry.get("link") or title)
        key = name[:64] if recorded else hashlib.sha256(f"{source}\n{name}".encode()).hexdigest()[:16]
        knowable = _whole(entry.get(KNOWABLE)) if recorded else None
        if recorded and knowable is None:
            raise SourceFault("a recorded feed must say when each item could be known")
        items.setdefault(
            key, RawHeadline(key=key, title=title, published_ms=_published(entry, now_ms), knowable_ms=knowable)
        )
    return tuple(items.values())


def clean(title: object) -> str:
    """One line of plain text, of bounded length."""
    text = _TAG.sub(" ", title[: 4 * LONGEST_TITLE]) if isinstance(title, str) else ""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:LONGEST_TITLE]


def _published(entry: Any, now_ms: int) -> int | None:
    for field in ("published_parsed", "updated_parsed"):
        parts = entry.get(field)
        if parts is None:
            continue
        try:
            stamp = calendar.timegm(parts) * 1_000
        except (ValueError, OverflowError, TypeError):
            return None
        return stamp if 0 < stamp <= now_ms else None
    return None


def _whole(text: object) -> int | None:
    try:
        return int(str(text))
    except ValueError:
        return None


def parse_funding(body: bytes, now_ms: int, *, recorded: bool = False) -> tuple[FundingRate, ...]:
    """Rates from ``[{"symbol": "BTCUSDT", "lastFundingRate": "0.0001", "time": ms}, …]``; raises SourceFault.

    Known from ``now_ms`` on, or, ``recorded``, from their ``time`` on. An entry that is no rate of a coin in dollars, or
    beyond 10 %, is left out.
    """
    try:
        rows = json.loads(body)
    except (ValueError, RecursionError):
        raise SourceFault("not JSON") from None
    if not isinstance(rows, list):
        raise SourceFault("not a list of funding rates")
    found: dict[tuple[str, int], FundingRate] = {}
    for row in rows:
        try:
            symbol, rate = str(row["symbol"]), float(Decimal(str(row["lastFundingRate"])) * 10_000)
            knowable = int(row["time"]) if recorded else now_ms
        except (KeyError, TypeError, ValueError, OverflowError, InvalidOperation):
            continue
        quote = next((q for q in _QUOTES if symbol.endswith(q) and len(symbol) > len(q)), None)
        if quote is None or not math.isfinite(rate) or abs(rate) > MOST_FUNDING_BPS or knowable > now_ms:
            continue
        base = symbol.removesuffix(quote)
        found.setdefault((base, knowable), FundingRate(knowable_ms=knowable, base=base, rate_bps=rate))
    if rows and not found:
        raise SourceFault("holds no funding rate")
    return tuple(found.values())
