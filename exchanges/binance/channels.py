"""What comes on each kind of Binance's market streams, and what is kept of it: one channel a symbol and kind.

A channel's ``take`` gets the whole frame of the combined stream and decodes it once, typed, its numbers checked in the
decoder's C. It raises ``DataError`` for a frame that is none, and returns False for one to be looked at: it tells nothing
new (after a reconnect, and while two connections overlap, the same event comes twice), or it is too old.
"""

from collections.abc import Callable

from core.errors import DataError
from core.messages import Bar, Top
from core.units import MINUTE_MS, Instrument
from exchanges.binance.wire import (
    UNREADABLE,
    VENUE,
    BookTicker,
    DepthFrame,
    KlineFrame,
    TopFrame,
    TradeFrame,
    kline_bar,
    reader,
    top_of,
)
from exchanges.book import APPLIED, KeptBook, OrderBook, Snapshot, Step
from exchanges.trade import Trade

REMEMBERED = 10
"""Final bars of a symbol that are known again when they come twice."""
BELIEVE_AFTER = 200
"""So many frames in a row that look old are new ones: the number they are compared with was the wrong one."""

OnBar = Callable[[Instrument, Bar], None]
OnTop = Callable[[Instrument, Top | None], None]
OnTrade = Callable[[Instrument, Trade], None]
OnBook = Callable[[Instrument, OrderBook | None], None]

_decode_top = reader(TopFrame, numbers=True).decode
_decode_trade = reader(TradeFrame, numbers=True).decode
_decode_depth = reader(DepthFrame, numbers=True).decode
_decode_kline = reader(KlineFrame).decode


class Doubt:
    """Counts frames in a row that look old. They are dropped, but not for ever: a number far too high, once believed,
    would silence its stream."""

    __slots__ = ("_last", "_times")

    def __init__(self) -> None:
        self._last, self._times = -1, 0

    def drops(self, last: int) -> bool:
        """One more frame is not above ``last``: whether to drop it."""
        if last != self._last:
            self._last, self._times = last, 0
        self._times += 1
        return self._times < BELIEVE_AFTER


class TopChannel:
    """``@bookTicker``: the best bid and ask, made into a ``Top`` only when somebody asks."""

    kind = "bookTicker"

    def __init__(self, instrument: Instrument, symbol: str, now_ms: Callable[[], int], on_top: OnTop | None) -> None:
        self.instrument = instrument
        self._symbol, self._now_ms, self._on_top = symbol, now_ms, on_top
        self._doubt, self._last = Doubt(), -1
        self._ticker: BookTicker | None = None
        self._at_ms = 0

    @property
    def top(self) -> Top | None:
        return None if self._ticker is None else top_of(self._ticker, self._at_ms)

    def take(self, frame: bytes) -> bool:
        try:
            t = _decode_top(frame).data
        except UNREADABLE as error:
            raise unreadable(self, error) from None
        if t.s != self._symbol:
            raise another(self, t.s)
        if t.u <= self._last and self._doubt.drops(self._last):
            return False
        self._last = t.u
        if 0.0 < t.b <= t.a:
            self._ticker, self._at_ms = t, self._now_ms()
        else:
            top_of(t, 0)
            self._ticker = None
        if self._on_top is not None:
            self._on_top(self.instrument, self.top)
        return True

    def reset(self) -> None:
        """No connection is left: what was seen may be of any age."""
        self._ticker, self._last = None, -1


class TradeChannel:
    """``@trade``: every execution once; missing numbers are counted."""

    kind = "trade"

    def __init__(self, instrument: Instrument, symbol: str, on_trade: OnTrade | None) -> None:
        self.instrument = instrument
        self._symbol, self._on_trade = symbol, on_trade
        self._doubt, self._last = Doubt(), -1
        self.latest: Trade | None = None
        self.count = 0
        self.missed = 0
        """Executions whose number was skipped while connected."""

    def take(self, frame: bytes) -> bool:
        try:
            trade = _decode_trade(frame).data
        except UNREADABLE as error:
            raise unreadable(self, error) from None
        number, last = trade.id, self._last
        if trade.s != self._symbol:
            raise another(self, trade.s)
        if number != last + 1 and last >= 0:
            if number > last:
                self.missed += number - last - 1
            elif self._doubt.drops(last):
                return False
        self._last = number
        self.latest = trade
        self.count += 1
        if self._on_trade is not None:
            self._on_trade(self.instrument, trade)
        return True

    def reset(self) -> None:
        self._last = -1


class BookChannel:
    """``@depth@100ms``: the order book by the sequence rule. ``on_wanting`` is told when a snapshot is needed."""

    kind = "depth@100ms"

    def __init__(
        self,
        instrument: Instrument,
        symbol: str,
        on_book: OnBook | None,
        on_wanting: Callable[["BookChannel"], None],
        count: Callable[[str, str], None],
    ) -> None:
        self.instrument = instrument
        self.kept = KeptBook()
        self._symbol, self._on_book, self._on_wanting, self._count = symbol, on_book, on_wanting, count
        self._diff = self.kept.diff

    def take(self, frame: bytes) -> bool:
        try:
            d = _decode_depth(frame).data
        except UNREADABLE as error:
            raise unreadable(self, error) from None
        if d.s != self._symbol:
            raise another(self, d.s)
        first, last = d.U, d.u
        if not 0 <= first <= last:
            raise DataError(f"{VENUE} depth {d.s}: updates {first} to {last} are no range")
        return self._follow(self._diff(first, last, d.b, d.a))

    def join(self, whole: Snapshot) -> Step:
        """A snapshot came."""
        step = self.kept.snapshot(whole)
        self._follow(step)
        return step

    def _follow(self, step: Step) -> bool:
        if step is APPLIED:
            if self._on_book is not None:
                self._on_book(self.instrument, self.kept.book)
            return True
        if step is Step.OLD:
            return False
        if step in (Step.GAP, Step.CROSSED):
            self._count(step.name.lower(), f"order book of {self._symbol}: lost, to be fetched anew")
            if self._on_book is not None:
                self._on_book(self.instrument, None)
        self._on_wanting(self)
        return True

    def reset(self) -> None:
        had = self.kept.live
        self.kept.forget()
        if had and self._on_book is not None:
            self._on_book(self.instrument, None)


class KlineChannel:
    """``@kline_1m``: final bars, each once; a late one may come after its successor.

    When the next minute begins and the final frame of the last one has not come, what was last seen of it is handed on
    with the source ``unconfirmed``: REST must say what it became. A final frame that contradicts an earlier one of its
    minute is handed on the same way.
    """

    kind = "kline_1m"

    def __init__(
        self,
        instrument: Instrument,
        symbol: str,
        on_bar: OnBar,
        count: Callable[[str, str], None],
        on_event: Callable[[int], bool],
    ) -> None:
        self.instrument = instrument
        self._symbol, self._on_bar, self._count, self._on_event = symbol, on_bar, count, on_event
        self._finals: dict[int, Bar] = {}
        self._open: Bar | None = None
        """What was last seen of the minute that is under way."""

    def take(self, frame: bytes) -> bool:
        try:
            event = _decode_kline(frame).data
        except UNREADABLE as error:
            raise unreadable(self, error) from None
        if event.s != self._symbol:
            raise another(self, event.s)
        bar = kline_bar(event)
        too_old = self._on_event(event.E)
        if event.k.x:
            return self._closed(bar) and not too_old
        self._running(bar)
        return not too_old

    def _closed(self, bar: Bar) -> bool:
        known = self._finals.get(bar.minute)
        if known is not None:
            if bar == known:
                return False
            self._count("contradicted", f"bar {bar.minute} of {self._symbol}: {bar} after {known}")
            self._on_bar(self.instrument, unconfirmed(bar))
            return True
        self._succeeded(bar.minute)
        self._finals[bar.minute] = bar
        if len(self._finals) > REMEMBERED:
            del self._finals[next(iter(self._finals))]
        self._on_bar(self.instrument, bar)
        return True

    def _running(self, bar: Bar) -> None:
        self._succeeded(bar.minute)
        self._open = bar

    def _succeeded(self, minute: int) -> None:
        """Something of ``minute`` came: the one before it is over, whether its final frame came or not."""
        last = self._open
        if last is None or last.minute >= minute:
            return
        self._open = None
        if last.minute not in self._finals and last.minute == minute - MINUTE_MS:
            self._count("unfinished", f"bar {last.minute} of {self._symbol}: no final frame before its successor")
            self._on_bar(self.instrument, unconfirmed(last))

    def reset(self) -> None:
        self._open = None


def unconfirmed(bar: Bar) -> Bar:
    """The same numbers, not final."""
    return Bar(
        minute=bar.minute,
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=bar.volume,
        filler=bar.filler,
        source="unconfirmed",
    )


Channel = TopChannel | TradeChannel | BookChannel | KlineChannel


def unreadable(channel: Channel, error: Exception) -> DataError:
    return DataError(f"{VENUE} {channel.kind} {channel.instrument.symbol}: {str(error)[:120]}")


def another(channel: Channel, symbol: str) -> DataError:
    return DataError(f"{VENUE} {channel.kind} {channel.instrument.symbol}: the frame is about {symbol[:20]!r}")
