"""One-minute bars built by us from trades, for a venue whose candles carry no word of being closed.

When is a minute final? Never by the clock alone. A minute the stream was heard throughout (*whole*) is final when a
trade of a later minute was heard, or when REST, asked after its end, knows of no trade we did not hear. A minute with a
hole in it (the connection began or broke within it) is final only as REST's candle. A final minute without a trade is
a filler: the last close, volume 0, flagged. What REST and a whole minute disagree about, REST decides.

Within a minute the first and last price are those of the earliest and latest trade by (time, number), whatever order
they came in; a number heard before is dropped. Minutes come out in order; one that REST cannot settle is left out after
``GIVE_UP_MS``, which is less than a minute, so that it never holds up the next.

Pure: times come in by argument, IO is the stream's.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.bars import is_sound
from core.costs import UNITS
from core.messages import Bar
from core.units import MINUTE_MS, Instrument
from exchanges.trade import Trade

HOLD_MS = 100
"""A minute stays open this long after its end for trades that come in another order than they happened."""
GRACE_MS = 1_000
"""After its end, a minute that no later trade closed is asked about."""
GIVE_UP_MS = 30_000
KEPT_MINUTES = 10
"""After a longer interruption older minutes are not made up for: whoever needs them reads history."""
AHEAD_MS = 60_000
"""A trade further in the future than this is a fault of the frame."""

Key = tuple[int, int]
"""(time, number) of a trade: their order."""


@dataclass(slots=True)
class _Candle:
    """What was heard of one minute."""

    opened: Key
    open: float
    closed: Key
    close: float
    high: float
    low: float
    units: int = 0
    """Volume in 1e-8 of a coin, the smallest amount venues count, so that the sum is the venue's to the last digit."""
    ids: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, trade: Trade) -> "_Candle":
        key = (trade.at_ms, trade.id)
        return cls(opened=key, open=trade.price, closed=key, close=trade.price, high=trade.price, low=trade.price)

    def add(self, trade: Trade) -> None:
        key = (trade.at_ms, trade.id)
        if key < self.opened:
            self.opened, self.open = key, trade.price
        if key > self.closed:
            self.closed, self.close = key, trade.price
        self.high, self.low = max(self.high, trade.price), min(self.low, trade.price)
        self.units += round(trade.quantity * UNITS)
        self.ids.add(trade.id)

    @property
    def volume(self) -> float:
        return self.units / UNITS

    def bar(self, minute: int) -> Bar:
        return Bar(minute=minute, open=self.open, high=self.high, low=self.low, close=self.close, volume=self.volume)


@dataclass(slots=True)
class _Tape:
    """One instrument."""

    next: int
    """The minute to come out next."""
    candles: dict[int, _Candle] = field(default_factory=dict)
    newest: Key = (-1, -1)
    prior: Key = (-1, -1)
    close: float = math.nan
    """Price of the newest trade before ``next``, which is ``prior``; NaN when none is known."""
    last_ids: set[int] = field(default_factory=set)
    """Numbers of the trades of the minute that came out last."""


class TradeBars:
    """Bars of several instruments. Each method that may finish minutes returns their bars, oldest first."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self.faults: Counter[str] = Counter()
        """``repeated`` trades, ``late`` ones (their minute was out already), ``future`` ones, minutes ``mended`` by REST
        against what was heard, and ``unsettled`` minutes, which were left out."""
        self._instruments = tuple(instruments)
        self._tapes: dict[Instrument, _Tape] = {}
        self._whole_from = math.inf

    def begin(self, at_ms: int) -> None:
        """From ``at_ms`` on everything is heard. What was not heard before is asked for, as far as it is recent."""
        self._whole_from = at_ms
        minute = _minute(at_ms)
        for instrument in self._instruments:
            tape = self._tapes.setdefault(instrument, _Tape(minute))
            self._leave_out(tape, minute - KEPT_MINUTES * MINUTE_MS)

    def cut(self) -> None:
        """The stream broke; nothing is whole until it begins again."""
        self._whole_from = math.inf

    def take(self, instrument: Instrument, trade: Trade, now_ms: int) -> list[Bar]:
        """A trade was heard (or told as the last one, when the stream began)."""
        tape = self._tapes.get(instrument)
        if tape is None:
            return []
        if trade.at_ms > now_ms + AHEAD_MS:
            self.faults["future"] += 1
            return []
        key, minute = (trade.at_ms, trade.id), _minute(trade.at_ms)
        if minute < tape.next:
            self._take_old(tape, key, trade)
            return []
        candle = tape.candles.get(minute)
        if candle is None:
            candle = tape.candles[minute] = _Candle.of(trade)
        elif trade.id in candle.ids:
            self.faults["repeated"] += 1
            return []
        candle.add(trade)
        tape.newest = max(tape.newest, key)
        return self._closed_by_trades(tape, now_ms)

    def ripe(self, now_ms: int) -> list[tuple[Instrument, Bar]]:
        """Minutes that a later trade had closed already, now that their time for stragglers is over."""
        return [(i, bar) for i, tape in self._tapes.items() for bar in self._closed_by_trades(tape, now_ms)]

    def due(self, now_ms: int) -> dict[Instrument, tuple[int, int]]:
        """Minutes that REST must be asked about: instrument → (first, end), ``end`` excluded."""
        wanted = {}
        for instrument, tape in self._tapes.items():
            self._leave_out(tape, _minute(now_ms - GIVE_UP_MS))
            end = _minute(now_ms - GRACE_MS)
            if tape.next < end:
                wanted[instrument] = (tape.next, end)
        return wanted

    def quiet(self, instrument: Instrument, newest_ms: int, price: float, asked_ms: int) -> list[Bar]:
        """REST, asked at ``asked_ms``, said that the newest trade was at ``newest_ms`` for ``price``.

        When that is neither more nor less than was heard, whole minutes over by then are final.
        """
        tape = self._tapes[instrument]
        if newest_ms < tape.next and tape.prior < (newest_ms, -1) and math.isfinite(price) and price > 0:
            tape.prior, tape.close = (newest_ms, -1), price
        bars: list[Bar] = []
        if newest_ms == tape.newest[0] or max(newest_ms, tape.newest[0]) < tape.next:
            while self._whole(tape.next) and tape.next + MINUTE_MS + GRACE_MS <= asked_ms:
                self._come_out(tape, bars)
        return bars

    def settle(self, instrument: Instrument, first: int, end: int, known: Sequence[Bar]) -> list[Bar]:
        """REST's candles of the minutes ``first`` to ``end`` (excluded), asked for after they were over.

        Where REST knows less of a minute than was heard, it lags: that minute and those after it stay due.
        """
        tape, told = self._tapes[instrument], {bar.minute: bar for bar in known if is_sound(bar)}
        bars: list[Bar] = []
        while first <= tape.next < end:
            candle, rest = tape.candles.get(tape.next), told.get(tape.next)
            heard = candle.volume if candle is not None else 0.0
            if (rest.volume if rest is not None else 0.0) < heard * (1 - 1e-9):
                break
            if rest is None or (self._whole(tape.next) and candle is not None and _same(candle.bar(tape.next), rest)):
                self._come_out(tape, bars)
            else:
                if self._whole(tape.next):
                    self.faults["mended"] += 1
                self._come_out(tape, bars, rest)
        return bars

    def _take_old(self, tape: _Tape, key: Key, trade: Trade) -> None:
        """A trade of a minute that is out (or that began before us): of use only as the last price known."""
        if trade.id in tape.last_ids or key == tape.prior:
            self.faults["repeated"] += 1
        elif key > tape.prior:
            # Told as the last trade when the stream began, mostly; after that it is one that came too late.
            if tape.last_ids:
                self.faults["late"] += 1
            tape.prior, tape.close, tape.newest = key, trade.price, max(tape.newest, key)
        else:
            self.faults["late"] += 1

    def _closed_by_trades(self, tape: _Tape, now_ms: int) -> list[Bar]:
        bars: list[Bar] = []
        while (
            self._whole(tape.next) and _minute(tape.newest[0]) > tape.next and now_ms >= tape.next + MINUTE_MS + HOLD_MS
        ):
            self._come_out(tape, bars)
        return bars

    def _come_out(self, tape: _Tape, bars: list[Bar], told: Bar | None = None) -> None:
        """The next minute is final: as told by REST, as heard, or empty (left out when no price is known yet)."""
        minute = tape.next
        candle = tape.candles.pop(minute, None)
        bar = told if told is not None else candle.bar(minute) if candle is not None else _filler(minute, tape.close)
        tape.next, tape.last_ids = minute + MINUTE_MS, candle.ids if candle is not None else set()
        if bar is None:
            return
        if not bar.filler:
            tape.close = bar.close
            tape.prior = max(tape.prior, candle.closed if candle is not None else (minute, -1))
        bars.append(bar)

    def _leave_out(self, tape: _Tape, before: int) -> None:
        """Minutes before this one are not waited for any more. How the last of them closed is not known then."""
        while tape.next < before:
            self.faults["unsettled"] += 1
            tape.candles.pop(tape.next, None)
            tape.prior, tape.close, tape.last_ids = (-1, -1), math.nan, set()
            tape.next += MINUTE_MS

    def _whole(self, minute: int) -> bool:
        return minute >= self._whole_from


def _minute(at_ms: int) -> int:
    return at_ms - at_ms % MINUTE_MS


def _filler(minute: int, close: float) -> Bar | None:
    if math.isnan(close):
        return None
    return Bar(minute=minute, open=close, high=close, low=close, close=close, volume=0.0, filler=True, source="filler")


def _same(one: Bar, other: Bar) -> bool:
    return (one.open, one.high, one.low, one.close) == (
        other.open,
        other.high,
        other.low,
        other.close,
    ) and math.isclose(one.volume, other.volume, rel_tol=1e-9)
