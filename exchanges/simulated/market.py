"""Where the simulated exchange gets its market from: a protocol, and the one that plays a tape."""

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from core.messages import CLOSE, VOLUME, Bar, Sentiment
from core.units import BPS, MINUTE_MS, Instrument, MarketRules
from exchanges.simulated.book import EMPTY, BookShape, Ladder, half_spread_bps, ladder, sizes
from exchanges.simulated.path import extremes_at, price_at
from exchanges.simulated.tape import Tape

SECOND_MS = 1_000


@dataclass(frozen=True, slots=True)
class Passage:
    """One second of trading as a resting order sees it: the price went straight from ``start`` to ``end``."""

    start: float
    end: float
    half_spread: float
    """Quote units."""
    volume: float
    """Base units traded in that second, both directions."""


class MarketSource(Protocol):
    """A market the exchange can quote from. ``row`` counts ``instruments``; nothing after ``ms`` may show."""

    instruments: tuple[Instrument, ...]
    synthetic: bool
    start_ms: int
    end_ms: int

    def trading(self, row: int, ms: int) -> bool: ...

    def ladder(self, row: int, ms: int, levels: int | None = None) -> Ladder:
        """The book at ``ms``; only its first ``levels`` levels where that is enough."""
        ...

    def epoch(self, row: int, ms: int) -> int:
        """Own takes stay missing from the book until this number changes."""
        ...

    def passage(self, row: int, second_ms: int) -> Passage | None:
        """The second that ended at ``second_ms`` (a whole second), or None when nothing traded."""
        ...

    def bar(self, row: int, minute: int, now_ms: int) -> Bar | None:
        """The bar of ``minute`` as far as it is known at ``now_ms``."""
        ...

    def average_price(self, row: int, ms: int, minutes: int) -> float | None: ...

    def sentiment_at(self, ms: int) -> Sentiment | None: ...


class TapeMarket:
    """Plays a tape: the price walks the bar's path, the book follows the volume of the minutes already closed."""

    def __init__(self, tape: Tape, rules: dict[Instrument, MarketRules], shape: BookShape | None = None) -> None:
        self.tape = tape
        self.instruments = tape.instruments
        self.synthetic = tape.synthetic
        self.start_ms = tape.start_minute
        self.end_ms = tape.end_ms
        self._shape = shape or BookShape()
        self._ticks = [float(rules[i].tick) for i in self.instruments]
        self._steps = [float(rules[i].step) for i in self.instruments]
        self._salts = [zlib.crc32(str(i).encode()) for i in self.instruments]
        self._volume, self._half_bps = self._liquidity()
        self._sizes = lru_cache(maxsize=8 * len(self.instruments))(self._make_sizes)

    def _liquidity(self) -> tuple[np.ndarray, np.ndarray]:
        """(S, T + 1) mean volume and half spread in bps, column e from the minutes before minute e only.

        Summed term by term rather than as a running sum, so a tape cut elsewhere gives the same digits.
        """
        bars = self.tape.bars
        known = np.isfinite(bars[..., VOLUME])
        volume = np.where(known, bars[..., VOLUME], 0.0)
        money = np.where(known, bars[..., VOLUME] * bars[..., CLOSE], 0.0)
        rows, minutes = volume.shape
        total, worth, count = (
            np.zeros((rows, minutes + 1)),
            np.zeros((rows, minutes + 1)),
            np.zeros((rows, minutes + 1)),
        )
        for lag in range(1, min(self._shape.look_back, minutes) + 1):
            total[:, lag:] += volume[:, : minutes + 1 - lag]
            worth[:, lag:] += money[:, : minutes + 1 - lag]
            count[:, lag:] += known[:, : minutes + 1 - lag]
        count = np.maximum(count, 1.0)
        half = np.vectorize(lambda notional: half_spread_bps(self._shape, notional), otypes=[np.float64])
        return total / count, half(worth / count)

    def _place(self, ms: int) -> tuple[int, int]:
        """(index, elapsed ms) of the minute whose path shows the price at ``ms``: a boundary belongs to its past."""
        if ms <= self.start_ms:
            return 0, 0
        index = min((ms - self.start_ms - 1) // MINUTE_MS, self.tape.minutes - 1)
        return index, ms - self.start_ms - index * MINUTE_MS

    def _prices(self, row: int, index: int) -> tuple[float, float, float, float] | None:
        o, h, low, c, v = self.tape.bars[row, index].tolist()
        return None if v != v else (o, h, low, c)

    def trading(self, row: int, ms: int) -> bool:
        return self._prices(row, self._place(ms)[0]) is not None

    def epoch(self, row: int, ms: int) -> int:
        return ms // MINUTE_MS

    def _make_sizes(self, row: int, epoch: int, levels: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        volume = float(self._volume[row, epoch])
        minute = self.start_ms // MINUTE_MS + epoch
        step, salt = self._steps[row], self._salts[row]
        return tuple(sizes(self._shape, volume, step, salt, minute, side, levels) for side in (0, 1))  # type: ignore[return-value]

    def _half_spread(self, row: int, epoch: int, price: float) -> float:
        return price * float(self._half_bps[row, epoch]) / BPS

    def _epoch_index(self, ms: int) -> int:
        return min(max(0, (ms - self.start_ms) // MINUTE_MS), self.tape.minutes)

    def ladder(self, row: int, ms: int, levels: int | None = None) -> Ladder:
        index, elapsed = self._place(ms)
        prices = self._prices(row, index)
        if prices is None:
            return EMPTY
        epoch = self._epoch_index(ms)
        price = price_at(prices, elapsed)
        bids, asks = self._sizes(row, epoch, levels or self._shape.levels)
        return ladder(self._shape, price, self._half_spread(row, epoch, price), self._ticks[row], bids, asks)

    def passage(self, row: int, second_ms: int) -> Passage | None:
        index, elapsed = self._place(second_ms)
        prices = self._prices(row, index)
        if prices is None or elapsed < SECOND_MS:
            return None
        start, end = price_at(prices, elapsed - SECOND_MS), price_at(prices, elapsed)
        half = self._half_spread(row, self._epoch_index(second_ms - SECOND_MS), end)
        volume = float(self.tape.bars[row, index, VOLUME]) * SECOND_MS / MINUTE_MS
        return Passage(start, end, half, volume) if volume > 0.0 else None

    def bar(self, row: int, minute: int, now_ms: int) -> Bar | None:
        if minute + MINUTE_MS <= now_ms:
            return self.tape.bar(row, minute)
        elapsed = now_ms - minute
        if elapsed <= 0 or (whole := self.tape.bar(row, minute)) is None:
            return None
        prices = (whole.open, whole.high, whole.low, whole.close)
        high, low = extremes_at(prices, elapsed)
        return Bar(
            minute=minute,
            open=whole.open,
            high=high,
            low=low,
            close=price_at(prices, elapsed),
            volume=whole.volume * elapsed / MINUTE_MS,
            filler=whole.filler,
        )

    def average_price(self, row: int, ms: int, minutes: int) -> float | None:
        """Mean close of the last closed minutes; the price now while there is none."""
        index = self._epoch_index(ms)
        closes = self.tape.bars[row, max(0, index - minutes) : index, CLOSE]
        known = closes[np.isfinite(closes)]
        if known.size:
            return float(known.mean())
        place, elapsed = self._place(ms)
        prices = self._prices(row, place)
        return None if prices is None else price_at(prices, elapsed)

    def sentiment_at(self, ms: int) -> Sentiment | None:
        return self.tape.sentiment_at(ms)
