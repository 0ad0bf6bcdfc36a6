"""A market that stops now and then: halts, and minutes in which nobody trades, laid over any market source.

Both are facts of the market, so bars, book, matching and streams all tell the same: in a halt nothing can be traded
(Binance has flat bars of no volume for a while, then none: 2023-03-24, 2021-04-25), in a quiet minute the book stands
and nothing passes.
"""

from collections.abc import Sequence

from core.messages import Bar, Sentiment
from core.news import News
from core.units import MINUTE_MS, Side
from exchanges.simulated.ladder import EMPTY, Ladder
from exchanges.simulated.market import MarketSource, Passage
from exchanges.simulated.orders import SimOrder
from exchanges.simulated.queue import Place

FLAT_MINUTES = 2
"""A halt begins with so many flat bars before the hole."""

Window = tuple[int, int, int]
"""(row, first ms, end ms)."""


class InterruptedMarket:
    """``market`` with halts and quiet minutes. A ``MarketSource`` itself."""

    def __init__(self, market: MarketSource, halts: Sequence[Window], quiet: Sequence[Window], flat: bool) -> None:
        self._market = market
        self._halts = _by_row(halts)
        self._quiet = _by_row(quiet)
        self._flat_ms = FLAT_MINUTES * MINUTE_MS if flat else 0
        self.instruments = market.instruments
        self.synthetic = market.synthetic
        self.start_ms, self.end_ms = market.start_ms, market.end_ms

    def trading(self, row: int, ms: int) -> bool:
        return not _within(self._halts, row, ms) and self._market.trading(row, ms)

    def arrival_ms(self, now_ms: int) -> int:
        return self._market.arrival_ms(now_ms)

    def ladder(self, row: int, ms: int) -> Ladder:
        return EMPTY if _within(self._halts, row, ms) else self._market.ladder(row, ms)

    def room(self, row: int, ms: int) -> int:
        return 0 if self._still(row, ms) else self._market.room(row, ms)

    def epoch(self, row: int, ms: int) -> int:
        return self._market.epoch(row, ms)

    def price(self, row: int, ms: int) -> float | None:
        return None if _within(self._halts, row, ms) else self._market.price(row, ms)

    def minutes_traded(self, row: int, minute: int) -> int:
        """As if nothing had been interrupted: trades keep their numbers, and those of a halt are missing."""
        return self._market.minutes_traded(row, minute)

    def passage(self, row: int, second_ms: int) -> Passage | None:
        return None if self._still(row, second_ms - 1) else self._market.passage(row, second_ms)

    def bar(self, row: int, minute: int, now_ms: int) -> Bar | None:
        halt, quiet = _within(self._halts, row, minute), _within(self._quiet, row, minute)
        if halt is None and quiet is None:
            return self._market.bar(row, minute, now_ms)
        if now_ms <= minute or (halt is not None and minute >= halt[0] + self._flat_ms):
            return None
        return self._flat(row, minute)

    def average_price(self, row: int, ms: int, minutes: int) -> float | None:
        return self._market.average_price(row, ms, minutes)

    def sentiment_at(self, ms: int) -> Sentiment | None:
        return self._market.sentiment_at(ms)

    def news_at(self, ms: int) -> News:
        return self._market.news_at(ms)

    def join(self, order: SimOrder) -> Place | None:
        return self._market.join(order)

    def took(self, row: int, side: Side, steps: int, ms: int) -> None:
        self._market.took(row, side, steps, ms)

    def _still(self, row: int, ms: int) -> bool:
        return _within(self._halts, row, ms) is not None or _within(self._quiet, row, ms) is not None

    def _flat(self, row: int, minute: int) -> Bar | None:
        """The last close once more, of no volume."""
        before = minute - MINUTE_MS
        while before >= self.start_ms:
            if not self._still(row, before) and (last := self._market.bar(row, before, before + MINUTE_MS)) is not None:
                price = last.close
                return Bar(minute=minute, open=price, high=price, low=price, close=price, volume=0.0, filler=True)
            before -= MINUTE_MS
        return None


def _by_row(windows: Sequence[Window]) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for row, first, end in windows:
        found.setdefault(row, []).append((first, end))
    return found


def _within(windows: dict[int, list[tuple[int, int]]], row: int, ms: int) -> tuple[int, int] | None:
    return next(((first, end) for first, end in windows.get(row, ()) if first <= ms < end), None)
