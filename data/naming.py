"""Which market a file holds, told from its name, its folder or its columns, the way exchanges and tools name files."""

import re
from pathlib import Path

from core.units import Instrument

VENUES = ("binance", "upbit")
QUOTES = (
    *("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "DAI", "USD", "KRW", "EUR", "TRY", "BRL", "GBP", "JPY", "AUD"),
    *("BTC", "ETH", "BNB"),
)
"""Longest match first where names are joined; the order settles ``BTCUSDT`` against ``USDT``-like bases."""
_TAIL = re.compile(
    r"([-_ ]?(1m|1min|m1|60s|1minute|minute[-_]?1|candles?|klines?|ohlcv|spot))*"
    r"([-_ ]\d{4}([-_]?\d{2}){0,2})*([-_ ](1m|spot|ohlcv))*$",
    re.IGNORECASE,
)


def symbol_from_text(text: str, venue: str) -> str | None:
    """``BASE/QUOTE`` of ``BTCUSDT``, ``BTC_USDT-1m``, ``KRW-BTC``, ``BTCUSDT-1m-2025-01``; None if it is no market.

    With a dash Upbit writes the quote first (``KRW-BTC``); KRW is a quote wherever it stands; else the base is first.
    """
    name = _TAIL.sub("", text.strip()).upper()
    parts = re.split(r"[-_/]", name)
    if len(parts) == 2 and all(re.fullmatch(r"[\w.]+", part) for part in parts):
        first, second = parts
        quote_first = first == "KRW" or (second != "KRW" and venue == "upbit" and "-" in name)
        if quote_first:
            first, second = second, first
        return f"{first}/{second}" if first != second and second in QUOTES else None
    if len(parts) == 1 and re.fullmatch(r"[\w.]+", name):
        for quote in sorted(QUOTES, key=len, reverse=True):
            if name.endswith(quote) and len(name) > len(quote):
                return f"{name[: -len(quote)]}/{quote}"
    return None


def venue_from_path(path: Path) -> str | None:
    """The nearest folder above the file named after a venue (``binance``, ``upbit-2025``); None if there is none."""
    for folder in path.resolve().parents:
        for venue in VENUES:
            if re.fullmatch(rf"{venue}([-_ .].*)?", folder.name.lower()):
                return venue
    return None


def symbol_from_path(path: Path, venue: str) -> str | None:
    """From the file's name; where that is only a date (``2025-01.parquet``), from its folder's."""
    name = path.name
    for _ in range(2):
        stem = re.sub(r"\.(parquet|pq|csv|gz|txt|feather|arrow|ipc)$", "", name, flags=re.IGNORECASE)
        name = stem
    if re.fullmatch(r"[\d\-_]+", name):
        name = path.resolve().parent.name
        # Our own lake and most tools name a folder base first, with a dash, for every venue.
        return symbol_from_text(name.replace("-", "_"), venue)
    return symbol_from_text(name, venue)


def parse_symbol(text: str, venue: str) -> str | None:
    """What a user or a column calls the market: ``BTC/USDT``, or anything ``symbol_from_text`` knows."""
    if "/" in text:
        base, _, quote = text.upper().partition("/")
        ok = re.fullmatch(r"[\w.]+", base) and re.fullmatch(r"[\w.]+", quote) and base != quote
        return f"{base}/{quote}" if ok else None
    return symbol_from_text(text, venue)


def instrument(venue: str, symbol: str) -> Instrument:
    return Instrument(venue.lower(), symbol)
