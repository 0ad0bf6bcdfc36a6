"""A market that is watched rather than played: paper trading against the real exchange's quotes.

Whoever listens to the real streams tells it of every bar, top of book, displayed level and trade. Orders match against
what is displayed, with its quantity, and no further: where only tops are told, nothing behind the best price is there.
What we took is missing, and comes back with a half-life (``exchanges.simulated.recovery``).

A resting order queues behind what was displayed at its price, and trades fill it (``exchanges.simulated.queue``). Where
no trade of its market was ever told, it fills when the observed top reaches its price, and from the volume of observed
bars while it stands at the top.
"""

from collections.abc import Mapping, Sequence

from core.book import ANY, DEEP, LEVELS
from core.messages import Bar, Sentiment, Top
from core.news import NO_NEWS, News
from core.units import MINUTE_MS, Instrument, MarketRules, Side
from exchanges.simulated.ladder import EMPTY, Ladder, Levels
from exchanges.simulated.market import SECOND_MS, Passage
from exchanges.simulated.orders import SimOrder
from exchanges.simulated.queue import Place, pass_trade
from exchanges.simulated.recovery import Recovery
from exchanges.trade import Trade

FOREVER_MS = 253_402_300_799_000
"""The end of year 9999: a watched market has no end of its own."""
STALE_MS = 10_000
"""When nothing at all was heard for this long, no book shown before is one to trade against."""
REMEMBERED_MINUTES = 1_440
REMEMBERED_TRADES = 1_000
"""Of a market; after an interruption the venue may tell one again."""
LATE_SHARE = 10
"""A trade may come so much later than the book that shows it: the silence that is too long, divided by this."""

Quotes = Sequence[tuple[float, float]]
"""Displayed levels, (price, quantity), best first."""


class FollowedMarket:
    """``MarketSource`` over what was observed. What is told of a market must come in order of time.

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
        half_life_ms: float = 0.0,
    ) -> None:
        """``half_life_ms``: of what our orders took from the book; 0 = it is back when the book is shown anew."""
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
        """How many books came (tops, where there are no levels)."""
        self._books: list[Ladder | None] = [None] * len(instruments)
        """Displayed levels, where they are told."""
        self._recovery = [{side: Recovery(half_life_ms) for side in Side} for _ in instruments]
        """By market and side of our orders."""
        self._places: list[list[Place]] = [[] for _ in instruments]
        self._trades: list[dict[int, None]] = [{} for _ in instruments]
        """Numbers of the newest trades; empty as long as none was told."""
        self._late_ms = stale_ms // LATE_SHARE
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
        anew = self._books[row] is None
        self._seen[row] += anew
        self._heard_ms = max(self._heard_ms, top.at_ms)
        self._show(row, anew)

    def observe_book(self, instrument: Instrument, bids: Quotes, asks: Quotes, at_ms: int) -> None:
        """Everything displayed, or the best of it; of each side the best ``LEVELS`` are used."""
        row = self._rows[instrument]
        self._books[row] = Ladder(self._levels(row, bids), self._levels(row, asks))
        self._seen[row] += 1
        self._heard_ms = max(self._heard_ms, at_ms)
        self._show(row, True)

    def lose_book(self, instrument: Instrument) -> None:
        """Its levels are not known any more; its top may be."""
        row = self._rows[instrument]
        if self._books[row] is not None:
            self._books[row] = None
            self._seen[row] += 1
            self._show(row, True)

    def observe_trade(self, instrument: Instrument, trade: Trade) -> None:
        """An execution at the venue; one that was told before is not counted again."""
        row = self._rows[instrument]
        known = self._trades[row]
        if trade.id in known:
            return
        if not known:
            for place in self._places[row]:
                place.exact = True
        known[trade.id] = None
        if len(known) > REMEMBERED_TRADES:
            del known[next(iter(known))]
        if self._places[row]:
            ticks, steps = self._ticks_of(row, trade.price), self._steps_of(row, trade.quantity)
            pass_trade(self._places[row], ticks, steps, trade.sold, trade.at_ms, self._heard_ms, self._late_ms)

    def forget(self, instrument: Instrument | None = None) -> None:
        """That market (or every one) shows no book any more: an empty side, or a stream that was cut."""
        for row in [self._rows[instrument]] if instrument is not None else range(len(self._tops)):
            self._tops[row] = None
            self.lose_book(self.instruments[row])

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
        book = self._books[row]
        bids, asks = ((self._ticks_of(row, p), self._steps_of(row, q)) for p, q in _both(top))
        if book is not None:
            sides = (_not_better(book.bids, bids, Side.BUY), _not_better(book.asks, asks, Side.SELL))
        else:
            sides = tuple((best,) if best[1] > 0 else () for best in (bids, asks))
        missing = self._recovery[row]
        return Ladder(missing[Side.SELL].lessen(sides[0], ms), missing[Side.BUY].lessen(sides[1], ms))

    def took(self, row: int, side: Side, steps: int, ms: int) -> None:
        self._recovery[row][side].took(steps, ms)

    def join(self, order: SimOrder) -> Place | None:
        """Behind what is displayed at its price."""
        row = order.row
        place = Place(order, self._displayed(row, order.side, order.ticks), exact=bool(self._trades[row]))
        self._places[row] = [p for p in self._places[row] if p.order.working] + [place]
        return place

    def _show(self, row: int, anew: bool) -> None:
        """Tell the places of our orders what is displayed at their prices now; ``anew``: in another book."""
        if anew:
            for recovery in self._recovery[row].values():
                recovery.anew()
        if not self._places[row]:
            return
        self._places[row] = [p for p in self._places[row] if p.order.working]
        for place in self._places[row]:
            size = self._displayed(row, place.order.side, place.order.ticks)
            if size is not None:
                place.show(size, self._heard_ms)

    def _displayed(self, row: int, side: Side, ticks: int) -> int | None:
        """Steps that others show at a price; None where it lies beyond what is told."""
        top, book = self._tops[row], self._books[row]
        if top is None:
            return None
        price, size = _both(top)[side is Side.SELL]
        best = self._ticks_of(row, price)
        if ticks == best:
            return self._steps_of(row, size)
        if ticks > best if side is Side.BUY else ticks < best:
            return 0
        levels = () if book is None else book.bids if side is Side.BUY else book.asks
        if not levels or (ticks < levels[-1][0] if side is Side.BUY else ticks > levels[-1][0]):
            return None
        return dict(levels).get(ticks, 0)

    def _levels(self, row: int, quotes: Quotes) -> Levels:
        return tuple((self._ticks_of(row, price), self._steps_of(row, size)) for price, size in quotes[:LEVELS])

    def _ticks_of(self, row: int, price: float) -> int:
        return round(price / self._ticks[row])

    def _steps_of(self, row: int, quantity: float) -> int:
        return min(int(quantity / self._steps[row] + 1e-9), DEEP)

    def price(self, row: int, ms: int) -> float | None:
        """The middle of the observed top."""
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

    def news_at(self, ms: int) -> News:
        return NO_NEWS

    def sentiment_at(self, ms: int) -> Sentiment | None:
        return self._sentiment if self._sentiment is not None and self._sentiment.knowable_ms <= ms else None


def _both(top: Top) -> tuple[tuple[float, float], tuple[float, float]]:
    """(price, quantity) of the best bid and of the best ask."""
    return (top.bid, top.bid_qty), (top.ask, top.ask_qty)


def _not_better(levels: Levels, best: tuple[int, int], side: Side) -> Levels:
    """Levels of a book as far as a newer top leaves them: what was better is gone, at the top there is no more than it
    shows. Emptied ones keep their place, by which own takes are remembered."""

    def left(ticks: int, size: int) -> int:
        if ticks == best[0]:
            return min(size, best[1])
        return 0 if (ticks > best[0] if side is Side.BUY else ticks < best[0]) else size

    return tuple((ticks, left(ticks, size)) for ticks, size in levels)
