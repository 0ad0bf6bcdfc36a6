"""A market that is watched rather than played: paper trading against the real exchange's quotes.

Whoever listens to the real streams tells it of every bar and top of book; orders then match against the observed
top with its displayed quantity, and no further: what stands behind the best price is not known here. A resting
order fills when the observed top reaches its price, and from the volume of observed bars while it stands at the top.
"""

from collections.abc import Mapping

from core.book import ANY
from core.messages import Bar, Sentiment, Top
from core.units import MINUTE_MS, Instrument, MarketRules
from exchanges.simulated.ladder import EMPTY, Ladder
from exchanges.simulated.market import SECOND_MS, Passage

FOREVER_MS = 253_402_300_799_000
"""The end of year 9999: a watched market has no end of its own."""
STALE_MS = 10_000
"""When nothing at all was heard for this long, no book shown before is one to trade against."""
REMEMBERED_MINUTES = 1_440


class FollowedMarket:
    """``MarketSource`` over what was observed. ``observe_top`` and ``observe_bar`` must come in order of time.

    A top stands until the next one of its market, as long as the stream is heard at all: a quiet market is not a
    closed one. ``stale_ms``: how long the whole stream may be silent, in market time.
    """

    synthetic = False

    def __init__(
        self,
        instruments: tuple[Instrument, ...],
        rules: Mapping[Instrument, MarketRules],
        start_ms: int,
        stale_ms: int = STALE_MS,
    ) -> None:
        self.instruments = instruments
        self.start_ms = start_ms
        self.end_ms = FOREVER_MS
        self._stale_ms = stale_ms
        self._heard_ms = 0
        self._rows = {instrument: row for row, instrument in enumerate(instruments)}
        self._ticks = [float(rules[i].tick) for i in instruments]
        self._steps = [float(rules[i].step) for i in instruments]
        self._tops: list[Top | None] = [None] * len(instruments)
        self._seen = [0] * len(instruments)
        """How many tops came: own takes are forgotten with each, for it shows the book anew."""
        self._reached: list[tuple[int, float, float]] = [(-1, 0.0, 0.0)] * len(instruments)
        """(second, lowest ask, highest bid) of the newest second in which a top came."""
        self._bars: list[dict[int, Bar]] = [{} for _ in instruments]
        self._sentiment: Sentiment | None = None

    def observe_top(self, instrument: Instrument, top: Top) -> None:
        row = self._rows[instrument]
        second, low, high = self._reached[row]
        if second != top.at_ms // SECOND_MS:
            second, low, high = top.at_ms // SECOND_MS, top.ask, top.bid
        self._reached[row] = (second, min(low, top.ask), max(high, top.bid))
        self._tops[row] = top
        self._seen[row] += 1
        self._heard_ms = max(self._heard_ms, top.at_ms)

    def forget(self, instrument: Instrument | None = None) -> None:
        """That market (or every one) shows no book any more: an empty side, or a stream that was cut."""
        for row in [self._rows[instrument]] if instrument is not None else range(len(self._tops)):
            self._tops[row] = None

    @property
    def shown(self) -> int:
        """How many markets show a book."""
        return sum(top is not None for top in self._tops)

    def observe_bar(self, instrument: Instrument, bar: Bar) -> None:
        bars = self._bars[self._rows[instrument]]
        bars[bar.minute] = bar
        bars.pop(bar.minute - REMEMBERED_MINUTES * MINUTE_MS, None)

    def observe_sentiment(self, sentiment: Sentiment) -> None:
        self._sentiment = sentiment

    def _fresh(self, row: int, ms: int) -> Top | None:
        top = self._tops[row]
        return top if top is not None and ms - self._heard_ms <= self._stale_ms and 0 < top.bid < top.ask else None

    def trading(self, row: int, ms: int) -> bool:
        return self._fresh(row, ms) is not None

    def epoch(self, row: int, ms: int) -> int:
        return self._seen[row]

    def arrival_ms(self, now_ms: int) -> int:
        """Now: a market that is watched cannot be looked ahead at, and the way of an order to here took its time."""
        return now_ms

    def room(self, row: int, ms: int) -> int:
        """No bound beside the quantity displayed."""
        return ANY

    def ladder(self, row: int, ms: int) -> Ladder:
        top = self._fresh(row, ms)
        if top is None:
            return EMPTY
        tick, step = self._ticks[row], self._steps[row]
        sides = ((top.bid, top.bid_qty), (top.ask, top.ask_qty))
        bids, asks = (((round(price / tick), int(size / step + 1e-9)),) for price, size in sides)
        return Ladder(*(side if side[0][1] > 0 else () for side in (bids, asks)))

    def price(self, row: int, ms: int) -> float | None:
        """The middle of the observed top: trades are not observed."""
        top = self._fresh(row, ms)
        return None if top is None else (top.bid + top.ask) / 2.0

    def passage(self, row: int, second_ms: int) -> Passage | None:
        """The last second as one straight line between the extremes observed in it."""
        top = self._fresh(row, second_ms)
        if top is None:
            return None
        second, low_ask, high_bid = self._reached[row]
        if second != (second_ms - 1) // SECOND_MS:
            low_ask, high_bid = top.ask, top.bid
        half = (top.ask - top.bid) / 2.0
        bar = self._bars[row].get((second_ms - SECOND_MS) // MINUTE_MS * MINUTE_MS - MINUTE_MS)
        volume = bar.volume * SECOND_MS / MINUTE_MS if bar is not None else 0.0
        return Passage(low_ask - half, high_bid + half, half, volume)

    def bar(self, row: int, minute: int, now_ms: int) -> Bar | None:
        return self._bars[row].get(minute) if minute + MINUTE_MS <= now_ms else None

    def minutes_traded(self, row: int, minute: int) -> int:
        """All of them: bars are not remembered for ever."""
        return max(0, (minute - self.start_ms) // MINUTE_MS)

    def average_price(self, row: int, ms: int, minutes: int) -> float | None:
        newest = ms // MINUTE_MS * MINUTE_MS
        span = range(newest - minutes * MINUTE_MS, newest, MINUTE_MS)
        closes = [self._bars[row][m].close for m in span if m in self._bars[row]]
        if closes:
            return sum(closes) / len(closes)
        return self.price(row, ms)

    def sentiment_at(self, ms: int) -> Sentiment | None:
        return self._sentiment if self._sentiment is not None and self._sentiment.knowable_ms <= ms else None
