"""A raw recording of Binance's streams: its lines in order of time, and what is known of the markets up to each.

Format: a line is the recorder's clock in nanoseconds, a space, and either a combined stream message exactly as it was
received (``{"stream":…,"data":…}``) or the answer of GET /depth, which begins with ``lastUpdateId`` and belongs to the
market of its file. Files may be gzipped.
"""

import gzip
import heapq
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO

import orjson

from core.errors import DataError
from core.units import MINUTE_MS, Instrument

HEAD = '{"stream":"'
DATA = '","data":'
SNAPSHOT = '{"lastUpdateId"'
EARLY = 1_000
"""Changes remembered until there is a book they belong to."""
QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY")
"""Quote coins, those tried first that end in another one's name."""


@dataclass(frozen=True, slots=True)
class Line:
    """One recorded message."""

    at_ns: int
    """The recorder's clock."""
    symbol: str
    """As in stream names: ``btcusdt``."""
    stream: str
    """Empty for an order book snapshot."""
    payload: str
    """What stood in ``data``, or the snapshot: byte for byte."""


def read_lines(path: Path) -> Iterator[Line]:
    """Lines of one file, in its order; DataError names the file and the line that is none."""
    symbol = ""
    try:
        with _opened(path) as file:
            for number, text in enumerate(file, start=1):
                try:
                    line = _line(text.rstrip("\n"), symbol)
                except ValueError:
                    # Without the line itself: the file may be anything, and its content is nobody's business.
                    raise DataError(
                        f"{path}:{number}: not a recorded message; a line is a time in nanoseconds and one message "
                        "of Binance's streams"
                    ) from None
                symbol = line.symbol
                if symbol:
                    yield line
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a recording: it is no text") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "no whole gzip file"
        raise DataError(f"{path}: cannot be read: {reason}") from None


def _opened(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _line(text: str, symbol: str) -> Line:
    stamp, _, message = text.partition(" ")
    if message.startswith(SNAPSHOT) and message.endswith("}"):
        return Line(int(stamp), symbol, "", message)
    stream, found, payload = message.removeprefix(HEAD).partition(DATA)
    if not message.startswith(HEAD) or not found or not payload.endswith("}}"):
        raise ValueError
    return Line(int(stamp), stream.partition("@")[0], stream, payload[:-1])


def merged(paths: Sequence[Path]) -> Iterator[Line]:
    """Lines of several files in order of time."""
    return heapq.merge(*map(read_lines, paths), key=lambda line: line.at_ns)


@dataclass(slots=True)
class Kline:
    """One minute built from trades. Base and quote units; ``taker`` is what buyers took."""

    minute: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = Decimal(0)
    money: Decimal = Decimal(0)
    taker_volume: Decimal = Decimal(0)
    taker_money: Decimal = Decimal(0)
    trades: int = 0

    def row(self) -> list:
        """As GET /klines shows it."""
        prices = [f"{p:.8f}" for p in (self.open, self.high, self.low, self.close)]
        money, taker = f"{self.money:.8f}", [f"{self.taker_volume:.8f}", f"{self.taker_money:.8f}"]
        close_ms = self.minute + MINUTE_MS - 1
        return [self.minute, *prices, f"{self.volume:.8f}", close_ms, money, self.trades, *taker, "0"]


@dataclass(slots=True)
class RecordedMarket:
    """One market as far as the recording was played."""

    instrument: Instrument
    snapshot: str = ""
    """The newest recorded snapshot, as long as nothing that was received after it changed the book; else empty."""
    levels: int = 0
    """Of the snapshot, on its longer side."""
    last_id: int = 0
    """Id of the last message in the book; 0 before there is one."""
    bids: dict[str, str] = field(default_factory=dict)
    asks: dict[str, str] = field(default_factory=dict)
    early: deque[dict] = field(default_factory=lambda: deque(maxlen=EARLY))
    """Changes received while there was no book."""
    ticker: dict = field(default_factory=dict)
    """The newest bookTicker."""
    klines: dict[int, Kline] = field(default_factory=dict)
    event_ms: int = 0
    """The exchange's own clock, as last stated."""

    def take(self, line: Line) -> None:
        message = orjson.loads(line.payload)
        if not line.stream:
            self._begin(line.payload, message)
            return
        self.event_ms = max(self.event_ms, message.get("E", 0))
        kind = line.stream.partition("@")[2]
        if kind.startswith("depth"):
            self._change(message)
        elif kind == "trade":
            self._trade(message)
        elif kind == "bookTicker":
            self.ticker = message

    def depth(self, limit: int) -> str:
        """GET /depth: the recorded bytes while they are the newest, else the book built from them."""
        if self.snapshot and limit >= self.levels:
            return self.snapshot

        def best(side: dict[str, str], reverse: bool) -> list[list[str]]:
            return [list(row) for row in sorted(side.items(), key=lambda r: float(r[0]), reverse=reverse)[:limit]]

        book = {"lastUpdateId": self.last_id, "bids": best(self.bids, True), "asks": best(self.asks, False)}
        return orjson.dumps(book).decode()

    def _begin(self, text: str, message: dict) -> None:
        if message["lastUpdateId"] < self.last_id:
            return
        self.snapshot, self.last_id = text, message["lastUpdateId"]
        self.bids, self.asks = dict(message["bids"]), dict(message["asks"])
        # A snapshot takes its time: changes that are newer than it were received before it.
        early, self.early = list(self.early), deque(maxlen=EARLY)
        for change in early:
            self._change(change)
        self.snapshot, self.levels = text, max(len(message["bids"]), len(message["asks"]))

    def _change(self, message: dict) -> None:
        if not self.last_id:
            self.early.append(message)
            return
        if message["u"] <= self.last_id:
            return
        if message["U"] > self.last_id + 1:
            # The recording has a hole: there is no book until its next snapshot.
            self.last_id, self.snapshot = 0, ""
            self.early.append(message)
            return
        self.last_id, self.snapshot = message["u"], ""
        for side, changes in ((self.bids, message["b"]), (self.asks, message["a"])):
            for price, quantity in changes:
                if float(quantity):
                    side[price] = quantity
                else:
                    side.pop(price, None)

    def _trade(self, message: dict) -> None:
        price, quantity = Decimal(message["p"]), Decimal(message["q"])
        minute = message["T"] // MINUTE_MS * MINUTE_MS
        bar = self.klines.get(minute)
        if bar is None:
            bar = self.klines[minute] = Kline(minute, price, price, price, price)
        bar.high, bar.low, bar.close = max(bar.high, price), min(bar.low, price), price
        bar.volume += quantity
        bar.money += price * quantity
        bar.trades += 1
        if not message["m"]:
            bar.taker_volume += quantity
            bar.taker_money += price * quantity


def instrument_of(symbol: str) -> Instrument:
    """``btcusdt`` as an instrument; DataError when its quote coin is not known."""
    name = symbol.upper()
    quote = next((q for q in QUOTES if name.endswith(q) and name != q), None)
    if quote is None:
        raise DataError(f"recording: {symbol!r} ends in no quote coin that is known ({', '.join(QUOTES)})")
    return Instrument("binance", f"{name.removesuffix(quote)}/{quote}")
