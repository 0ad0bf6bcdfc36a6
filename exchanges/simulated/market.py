"""Where the simulated exchange gets its market from: a protocol, and the one that plays a tape."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from core.bars import fill_gaps
from core.book import LEVELS, half_spread_of, room_of, side_levels
from core.costs import UNITS, terms_of
from core.liquidity import half_spreads, hour_column, liquidity_at
from core.messages import CLOSE, VOLUME, Bar, Sentiment
from core.news import News
from core.params import CostSettings
from core.path import extremes_at, place_of, price_at
from core.units import MINUTE_MS, Instrument, MarketRules, Side
from exchanges.simulated.ladder import EMPTY, Ladder, Levels
from exchanges.simulated.orders import SimOrder
from exchanges.simulated.queue import Place
from exchanges.simulated.rules import DEFAULT_COSTS
from exchanges.simulated.tape import Tape

SECOND_MS = 1_000
A_MINUTE = 12
"""Public trades that stand for a minute (``prints``)."""
LEAST_TRADED = A_MINUTE / UNITS
"""Base units; less than one unit a trade is no trading."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One second of trading as a resting order sees it: the price went straight from ``start`` to ``end``."""

    start: float
    end: float
    half_spread: float
    """Quote units."""
    volume: float
    """Base units traded in that second, both directions."""
    tick: float = 0.0
    """What prices of the book were whole numbers of in that second; 0 = the tick of the market's rules."""
    grid: int = 1
    """Ticks of the rules in one ``tick``."""


class MarketSource(Protocol):
    """A market the exchange can quote from. ``row`` counts ``instruments``; nothing after ``ms`` may show."""

    instruments: tuple[Instrument, ...]
    synthetic: bool
    start_ms: int
    end_ms: int

    def trading(self, row: int, ms: int) -> bool: ...

    def arrival_ms(self, now_ms: int) -> int:
        """When an order sent at ``now_ms`` reaches the book: it is matched against the book of that instant."""
        ...

    def ladder(self, row: int, ms: int) -> Ladder:
        """The book at ``ms``."""
        ...

    def room(self, row: int, ms: int) -> int:
        """Steps that our fills on one side may come to in the epoch of ``ms``."""
        ...

    def epoch(self, row: int, ms: int) -> int:
        """Own takes stay missing from the book until this number changes."""
        ...

    def price(self, row: int, ms: int) -> float | None:
        """The last price at ``ms``, quote units; None while nothing trades."""
        ...

    def passage(self, row: int, second_ms: int) -> Passage | None:
        """The second that ended at ``second_ms`` (a whole second), or None when nothing traded."""
        ...

    def bar(self, row: int, minute: int, now_ms: int) -> Bar | None:
        """The bar of ``minute`` as far as it is known at ``now_ms``."""
        ...

    def minutes_traded(self, row: int, minute: int) -> int:
        """How many minutes before ``minute`` had trades, since the market's start."""
        ...

    def average_price(self, row: int, ms: int, minutes: int) -> float | None: ...

    def sentiment_at(self, ms: int) -> Sentiment | None: ...

    def news_at(self, ms: int) -> News:
        """Headlines and funding rates in force at ``ms``."""
        ...

    def join(self, order: SimOrder) -> Place | None:
        """An order comes to rest: the place that this market will move; None where seconds pass over it instead."""
        ...

    def took(self, row: int, side: Side, steps: int, ms: int) -> None:
        """An order of ours on ``side`` took so much. Whoever matches counts that until ``epoch`` changes; what is missing
        longer, the market takes off its ``ladder``."""
        ...


class TapeMarket:
    """Plays a tape under ``costs``: the price walks the bar's path, the book follows from the minutes already closed.

    The rules are kernels of core (path, liquidity, book); here they are asked about one instant.
    """

    def __init__(self, tape: Tape, rules: dict[Instrument, MarketRules], costs: CostSettings = DEFAULT_COSTS) -> None:
        self.tape = tape
        self.instruments = tape.instruments
        self.synthetic = tape.synthetic
        self.start_ms = tape.start_minute
        self.end_ms = tape.end_ms
        self._terms = terms = terms_of(costs)
        # Without halts a minute that has no bar trades as a filler does: at the last close.
        self._bars = tape.bars if terms.halts else fill_gaps(tape.bars)[0]
        self._ticks = [float(rules[i].tick) for i in self.instruments]
        self._steps = [float(rules[i].step) for i in self.instruments]
        self._traded: np.ndarray | None = None
        """(S, T) int32: minutes with trades, up to and with each; made on first use."""
        self._half_bps = half_spreads(
            self._bars, self.start_ms, terms.half_spread_default_bps, terms.half_spread_max_bps
        )

    def _prices(self, row: int, ms: int) -> tuple[int, tuple[float, float, float, float] | None]:
        """Elapsed ms and open, high, low, close of the minute whose path shows the price at ``ms``."""
        index, elapsed = place_of(self.start_ms, ms, self.tape.minutes)
        o, h, low, c, v = self._bars[row, index].tolist()
        return elapsed, None if v != v else (o, h, low, c)

    def _epoch_index(self, ms: int) -> int:
        return min(max(0, (ms - self.start_ms) // MINUTE_MS), self.tape.minutes)

    def _half_spread(self, row: int, ms: int, price: float) -> float:
        column = min(hour_column(self.start_ms, ms), self._half_bps.shape[1] - 1)
        return half_spread_of(price, float(self._half_bps[row, column]))

    def trading(self, row: int, ms: int) -> bool:
        return self._prices(row, ms)[1] is not None

    def arrival_ms(self, now_ms: int) -> int:
        return now_ms + self._terms.latency_ms

    def epoch(self, row: int, ms: int) -> int:
        return ms // MINUTE_MS

    def ladder(self, row: int, ms: int) -> Ladder:
        elapsed, prices = self._prices(row, ms)
        if prices is None:
            return EMPTY
        price = price_at(*prices, elapsed)
        half = self._half_spread(row, ms, price)
        volume, sigma = liquidity_at(self._bars[row], self._epoch_index(ms), self._terms.min_volatility)
        return Ladder(*(self._side(row, buying, price, half, volume, sigma) for buying in (False, True)))

    def _side(self, row: int, buying: bool, price: float, half: float, volume: float, sigma: float) -> Levels:
        """The levels that an incoming buy (asks) or sell (bids) walks."""
        ticks, steps = np.empty(LEVELS, np.int64), np.empty(LEVELS, np.int64)
        tick, step = self._ticks[row], self._steps[row]
        count = side_levels(buying, price, half, tick, step, volume, sigma, self._terms.depth, ticks, steps)
        return tuple(zip(ticks[:count].tolist(), steps[:count].tolist(), strict=True))

    def room(self, row: int, ms: int) -> int:
        index = (ms - self.start_ms) // MINUTE_MS
        if not 0 <= index < self.tape.minutes:
            return 0
        terms = self._terms
        return int(room_of(float(self._bars[row, index, VOLUME]), terms.share, self._steps[row], terms.halts))

    def price(self, row: int, ms: int) -> float | None:
        elapsed, prices = self._prices(row, ms)
        return None if prices is None else price_at(*prices, elapsed)

    def passage(self, row: int, second_ms: int) -> Passage | None:
        elapsed, prices = self._prices(row, second_ms)
        if prices is None or elapsed < SECOND_MS:
            return None
        start, end = price_at(*prices, elapsed - SECOND_MS), price_at(*prices, elapsed)
        half = self._half_spread(row, second_ms - SECOND_MS, end)
        index, _ = place_of(self.start_ms, second_ms, self.tape.minutes)
        volume = float(self._bars[row, index, VOLUME]) * SECOND_MS / MINUTE_MS
        return Passage(start, end, half, volume) if volume > 0.0 else None

    def bar(self, row: int, minute: int, now_ms: int) -> Bar | None:
        if minute + MINUTE_MS <= now_ms:
            return self.tape.bar(row, minute)
        elapsed = now_ms - minute
        if elapsed <= 0 or (whole := self.tape.bar(row, minute)) is None:
            return None
        prices = (whole.open, whole.high, whole.low, whole.close)
        high, low = extremes_at(*prices, elapsed)
        return Bar(
            minute=minute,
            open=whole.open,
            high=high,
            low=low,
            close=price_at(*prices, elapsed),
            volume=whole.volume * elapsed / MINUTE_MS,
            filler=whole.filler,
        )

    def minutes_traded(self, row: int, minute: int) -> int:
        if self._traded is None:
            # Made when somebody asks for trades, which most never do.
            with np.errstate(invalid="ignore"):
                self._traded = np.cumsum(self._bars[:, :, VOLUME] >= LEAST_TRADED, axis=1, dtype=np.int32)
        index = min((minute - self.start_ms) // MINUTE_MS, self.tape.minutes)
        return int(self._traded[row, index - 1]) if index > 0 else 0

    def average_price(self, row: int, ms: int, minutes: int) -> float | None:
        """Mean close of the last closed minutes; the price now while there is none."""
        index = self._epoch_index(ms)
        closes = self.tape.bars[row, max(0, index - minutes) : index, CLOSE]
        known = closes[np.isfinite(closes)]
        if known.size:
            return float(known.mean())
        return self.price(row, ms)

    def sentiment_at(self, ms: int) -> Sentiment | None:
        return self.tape.sentiment_at(ms)

    def news_at(self, ms: int) -> News:
        return self.tape.news.known_at(ms)

    def join(self, order: SimOrder) -> Place | None:
        return None

    def took(self, row: int, side: Side, steps: int, ms: int) -> None:
        """Nothing more: with the next minute's volume its book is made anew, as the engine's is."""
