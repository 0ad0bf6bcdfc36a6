"""Frames of Binance's combined stream for measuring: the recording where it is there, else made up with the same mix."""

import gzip
from dataclasses import dataclass
from pathlib import Path
from random import Random

import orjson

from exchanges.book import Level, Snapshot

FOLDER = "binance_raw_ws_2024-08-08"
MADE = 60_000
"""Frames of a made-up stream."""
SYMBOLS = {"BTCUSDT": "BTC/USDT", "ETHUSDT": "ETH/USDT"}


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """What was sent, in order, and the snapshot of each book with the place from which it is known."""

    about: str
    frames: list[bytes]
    snapshots: dict[str, tuple[int, Snapshot]]
    """Venue symbol: (index of the frame it came before, the book)."""


def find(given: Path | None, root: Path) -> Path | None:
    """The recording's folder: the given one, or the one beside the project; None when there is none."""
    place = given or root.parent / "shared" / "data" / FOLDER
    return place if place.is_dir() else None


def recorded(folder: Path) -> Frames:
    """Both symbols merged by the time they were received."""
    rows: list[tuple[int, bytes, str]] = []
    for path in sorted(folder.glob("*usdt_*.gz")):
        with gzip.open(path, "rb") as lines:
            for line in lines:
                at, _, frame = line.rstrip().partition(b" ")
                rows.append((int(at), frame, path.name.partition("_")[0].upper()))
    rows.sort(key=lambda row: row[0])
    frames: list[bytes] = []
    snapshots: dict[str, tuple[int, Snapshot]] = {}
    for _, frame, symbol in rows:
        if frame.startswith(b'{"lastUpdateId"'):
            told = orjson.loads(frame)
            snapshots[symbol] = (
                len(frames),
                Snapshot(told["lastUpdateId"], _levels(told["bids"]), _levels(told["asks"])),
            )
        else:
            frames.append(frame)
    return Frames(f"recording {folder.name}", frames, snapshots)


def _levels(rows: list[list[str]]) -> list[Level]:
    return [(float(price), float(quantity)) for price, quantity in rows]


TICKERS_PER_DIFF, TRADES_PER_DIFF, CHANGES_PER_DIFF = 10, 3, 44
"""As in the recording: 131,932 book tickers and 34,419 trades to 12,965 diffs of 44 levels."""


def made(count: int, seed: int = 7) -> Frames:
    """About ``count`` frames of two books that wander, consistent by the sequence rule."""
    frames: list[bytes] = []
    snapshots: dict[str, tuple[int, Snapshot]] = {}
    makers = {
        symbol: _Maker(symbol, mid, Random(seed + mid))
        for symbol, mid in (("BTCUSDT", 6_000_000), ("ETHUSDT", 260_000))
    }
    for symbol, maker in makers.items():
        snapshots[symbol] = (1, maker.snapshot())
    while len(frames) < count:
        for maker in makers.values():
            frames += maker.burst()
    return Frames("made-up stream of the same mix (no recording here)", frames, snapshots)


class _Maker:
    """A book in cents and hundred-thousandths around a wandering mid, and what a venue would say of it."""

    def __init__(self, symbol: str, mid: int, random: Random) -> None:
        self._symbol, self._mid, self._random = symbol, mid, random
        self._id, self._trade = 1_000_000, 5_000
        self._sides = {
            "b": {mid - 1 - i: self._size() for i in range(1_000)},
            "a": {mid + i: self._size() for i in range(1_000)},
        }

    def _size(self) -> int:
        return self._random.randint(1, 400_000)

    def snapshot(self) -> Snapshot:
        bids, asks = ([(p / 100, q / 100_000) for p, q in self._sides[name].items()] for name in "ba")
        return Snapshot(self._id, bids, asks)

    def burst(self) -> list[bytes]:
        """100 ms: book tickers and trades, then the diff that holds all of it."""
        first, random = self._id + 1, self._random
        changed: dict[str, dict[int, int]] = {"b": {}, "a": {}}
        said = []
        for number in range(TICKERS_PER_DIFF):
            for _ in range(CHANGES_PER_DIFF // TICKERS_PER_DIFF):
                self._change(changed)
            self._move(changed)
            self._id += random.randint(1, 6)
            said.append(self._frame("bookTicker", {"u": self._id, "s": self._symbol, **self._best()}))
            if number < TRADES_PER_DIFF:
                said.append(self._frame("trade", self._print()))
        diff = {"e": "depthUpdate", "E": 1, "s": self._symbol, "U": first, "u": self._id}
        diff |= {name: [[_text(p, 100), _text(q, 100_000)] for p, q in rows.items()] for name, rows in changed.items()}
        return [*said, self._frame("depth@100ms", diff)]

    def _change(self, changed: dict[str, dict[int, int]]) -> None:
        name = self._random.choice("ba")
        side = self._sides[name]
        away = 1 + int(self._random.expovariate(1 / 300))
        price = self._mid - 1 - away if name == "b" else self._mid + away
        if price in side and self._random.random() < 0.6:
            side.pop(price)
        else:
            side[price] = self._size()
        changed[name][price] = side.get(price, 0)

    def _move(self, changed: dict[str, dict[int, int]]) -> None:
        """The mid goes a step; what it runs over is gone, and the touch is there."""
        self._mid += self._random.choice((-1, 0, 0, 0, 1))
        for name, touch, wrong in (("b", self._mid - 1, self._mid), ("a", self._mid, self._mid - 1)):
            side = self._sides[name]
            if side.pop(wrong, None) is not None:
                changed[name][wrong] = 0
            if touch not in side or self._random.random() < 0.3:
                side[touch] = changed[name][touch] = self._size()

    def _best(self) -> dict[str, str]:
        bid, ask = self._mid - 1, self._mid
        b, a = self._sides["b"], self._sides["a"]
        return {"b": _text(bid, 100), "B": _text(b[bid], 100_000), "a": _text(ask, 100), "A": _text(a[ask], 100_000)}

    def _print(self) -> dict:
        self._trade += 1
        row = {"e": "trade", "E": 1, "s": self._symbol, "t": self._trade, "p": _text(self._mid, 100)}
        return row | {"q": _text(self._size(), 100_000), "T": 1, "m": bool(self._trade % 2), "M": True}

    def _frame(self, kind: str, data: dict) -> bytes:
        return b'{"stream":"%s@%s","data":%s}' % (self._symbol.lower().encode(), kind.encode(), orjson.dumps(data))


def _text(number: int, parts: int) -> str:
    return f"{number / parts:.8f}"
