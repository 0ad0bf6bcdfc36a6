"""The cache: joins what the feed saw, what the account holds and what is remembered into one ``Market`` a minute.

It remembers, per instrument, the bars and features that one minute's decision may look at. Arrays given out are
read-only copies; a later minute never changes them. A minute without a sound bar gets a filler stand-in and is not
fresh, which blocks new exposure in that instrument.
"""

import math

import numpy as np

from core.bars import fill_gaps, is_sound
from core.currency import Rates, premium_bps, rate_column
from core.errors import Defect, StaleData
from core.extras import Extras, Readings, mood_at, premium_of
from core.features import HISTORY, LOOKBACK, N_FEATURES, NEWS, SEQUENCE, WINDOW, feature_rows, feature_table
from core.indicators.news import columns as news_columns
from core.messages import (
    CLOSE,
    VOLUME,
    AccountState,
    Bar,
    BarRevised,
    BoolArray,
    FloatArray,
    Market,
    MarketSlice,
    MinuteTick,
    QuoteRate,
    Top,
)
from core.news import NO_NEWS, News
from core.params import MAX_BOOK_AGE_MS
from core.units import MINUTE_MS, Instrument

_READINGS = 8
"""Readings of the mood that are kept: those of a week; older ones are not in force any more."""
_NOT_FINAL = frozenset({"filler", "unconfirmed"})
"""Sources of bars that stand in for a final one."""
_SLACK = 1_024
"""Minutes the buffers grow before the newest HISTORY are moved back to their front."""


class Cache:
    """Rolling bars and features of ``instruments`` (S rows). Not thread-safe; one owner.

    An older top of book than ``max_book_age_ms`` counts as none.
    """

    def __init__(self, instruments: tuple[Instrument, ...], max_book_age_ms: int = MAX_BOOK_AGE_MS) -> None:
        if not instruments:
            raise ValueError("a cache needs at least one instrument")
        self._instruments = instruments
        self._max_book_age_ms = max_book_age_ms
        rows = len(instruments)
        self._bars = np.full((rows, HISTORY + _SLACK, 5), np.nan)
        self._filler = np.ones((rows, HISTORY + _SLACK), dtype=np.bool_)
        self._features = np.full((rows, HISTORY + _SLACK, N_FEATURES), np.nan)
        self._mood = np.full(HISTORY + _SLACK, np.nan)
        self._premium = np.full((rows, HISTORY + _SLACK), np.nan)
        self._readings: list[tuple[int, float]] = []
        self._news = NO_NEWS
        self._end = HISTORY  # the first HISTORY columns stand for "before anything was known"
        self._seen = 0
        self._last_minute: int | None = None
        self._gap: tuple[int, int] | None = None
        self._rates = Rates(instruments)
        self._two_venues = len({i.venue for i in instruments}) > 1

    @property
    def last_minute(self) -> int | None:
        """The newest minute held, or None before the first."""
        return self._last_minute

    @property
    def gap(self) -> tuple[int, int] | None:
        """(first, last) minute that was never seen and is filled by stand-ins; ``restore`` closes it."""
        return self._gap

    def restore(
        self,
        bars: FloatArray,
        filler: BoolArray,
        last_minute: int,
        readings: Readings = (),
        news: News | None = None,
    ) -> None:
        """Start from history: ``bars`` (S, N, 5) and ``filler`` (S, N), the last column being ``last_minute``.

        HISTORY columns make the first minute's features whole; missing minutes may be NaN. ``readings`` of the mood,
        where some are known, are added to those heard so far; ``news`` takes the place of what was heard. Raises ValueError when the rows are not this cache's.
        """
        rows = len(self._instruments)
        if bars.ndim != 3 or bars.shape[0] != rows or bars.shape[2] != 5 or filler.shape != bars.shape[:2]:
            raise ValueError(f"want bars ({rows}, N, 5) and filler ({rows}, N), got {bars.shape} and {filler.shape}")
        filled, quiet = fill_gaps(bars)
        quiet |= filler
        size = bars.shape[1]
        keep = min(size, HISTORY)
        filled, quiet = filled[:, size - keep :], quiet[:, size - keep :]
        first_minute = last_minute - (keep - 1) * MINUTE_MS
        self._hear([(ms, value) for ms, value in readings if ms <= last_minute + MINUTE_MS])
        self._bars[:] = np.nan
        self._filler[:] = True
        self._features[:] = np.nan
        self._mood[:] = np.nan
        self._premium[:] = np.nan
        self._end = HISTORY
        held = slice(HISTORY - keep, HISTORY)
        self._news = self._news if news is None else news
        extras = Extras.of(self._instruments, filled, quiet, first_minute, self._readings, self._news)
        self._bars[:, held] = filled
        self._filler[:, held] = quiet
        self._mood[held] = extras.mood
        self._premium[:, held] = extras.premium
        self._features[:, held] = feature_table(filled, quiet, first_minute, extras)
        self._seen = keep
        self._last_minute = last_minute
        self._gap = None

    def observe(
        self,
        tick: MinuteTick,
        slice: MarketSlice,
        account: AccountState,
    ) -> Market:
        """Take in the minute ``tick.minute`` and give the market to decide upon.

        Minutes missing before this one are filled by stand-ins, and nothing is fresh until ``restore`` brings the
        true bars or they have left the window. The newest minute may be taken in again. Raises StaleData when the
        slice is of another minute or of one before the newest, Defect when the rows are not this cache's.
        """
        if slice.instruments != self._instruments:
            raise Defect(f"the slice has rows {slice.instruments}, the cache {self._instruments}")
        if slice.minute != tick.minute:
            raise StaleData(f"the slice is of minute {slice.minute}, minute {tick.minute} is to be decided")
        self._close_distance(tick.minute)
        if slice.sentiment is not None:
            self._hear([(slice.sentiment.knowable_ms, slice.sentiment.value)])
        if slice.news is not None and slice.news != self._news:
            self._read(slice.news)
        self._revise(slice.revised)
        real = np.array([_is_final(bar, tick.minute) for bar in slice.bars], dtype=np.bool_)
        self._append(tick.minute, tuple(bar if ok else None for bar, ok in zip(slice.bars, real, strict=True)))

        bid, ask = _books(slice.tops, tick.now_ms - self._max_book_age_ms)
        # Without a bar of this minute the venue is not trading; what its book last showed is nobody's price now.
        bid[~real], ask[~real] = math.nan, math.nan
        self._rates.hear(slice.rates)
        known = self._rates.at(tick.now_ms, (bid + ask) / 2.0)
        rates = rate_column(self._instruments, known)
        fresh = real & np.isfinite(bid) & np.isfinite(rates) & (self._gap is None)
        price = np.where(np.isfinite(bid), (bid + ask) / 2.0, self._bars[:, self._end - 1, CLOSE])
        position, cash = self._holdings(account)
        return Market(
            minute=tick.minute,
            now_ms=tick.now_ms,
            trace=tick.trace,
            instruments=self._instruments,
            bars=_frozen(self._bars[:, self._end - WINDOW : self._end]),
            filler=_frozen(self._filler[:, self._end - WINDOW : self._end]),
            features=_frozen(self._features[:, self._end - SEQUENCE : self._end]),
            bid=_frozen(bid),
            ask=_frozen(ask),
            fresh=_frozen(fresh),
            account=account,
            equity=self._equity(account, price, rates),
            cash=_frozen(cash),
            position=_frozen(position),
            quote_rate=_frozen(rates),
            rates=known,
            premium_bps=self._premium_now((bid + ask) / 2.0, known),
            shown=_frozen(_shown(slice.tops, bid)) if self._two_venues else None,
            sentiment=slice.sentiment,
        )

    def _close_distance(self, minute: int) -> None:
        """Stand-ins for the minutes between the last one and ``minute``; forget a gap that left the window."""
        last = self._last_minute
        if last is None:
            return
        if minute < last:
            raise StaleData(f"minute {minute} was already taken in; the newest is {last}")
        if minute == last:
            # Asked again (restored history held it, or the conductor was started again): take it in afresh.
            self._end -= 1
            self._seen -= 1
            self._last_minute = minute - MINUTE_MS
            return
        missing = (minute - last) // MINUTE_MS - 1
        if missing > 0:
            first = self._gap[0] if self._gap else last + MINUTE_MS
            nothing: tuple[Bar | None, ...] = (None,) * len(self._instruments)
            # Beyond HISTORY nothing older is looked at; a week offline must not cost ten thousand appends.
            for index in range(max(0, missing - HISTORY), missing):
                self._append(last + (index + 1) * MINUTE_MS, nothing)
            self._gap = (first, minute - MINUTE_MS)
        if self._gap and minute - self._gap[1] >= HISTORY * MINUTE_MS:
            self._gap = None

    def _revise(self, revised: tuple[BarRevised, ...]) -> None:
        """Put right what the venue's history now has otherwise, and every feature that looked at it."""
        changed = False
        size = min(self._seen, HISTORY)
        for one in revised:
            bar, last = one.bar, self._last_minute
            if last is None or bar.minute > last or not is_sound(bar) or bar.source in _NOT_FINAL:
                continue
            at = self._end - 1 - (last - bar.minute) // MINUTE_MS
            if at < self._end - size:
                continue
            row = self._instruments.index(one.instrument)
            was = float(self._bars[row, at, CLOSE])
            self._bars[row, at] = (bar.open, bar.high, bar.low, bar.close, bar.volume)
            self._filler[row, at] = bar.filler or bar.volume == 0.0
            # Stand-ins after it had repeated the close that was wrong.
            after = at + 1
            while after < self._end and self._filler[row, after] and np.all(self._bars[row, after, :VOLUME] == was):
                self._bars[row, after, :VOLUME] = bar.close
                after += 1
            changed = True
        if changed and self._last_minute is not None:
            held = np.s_[self._end - size : self._end]
            first_minute = self._last_minute - (size - 1) * MINUTE_MS
            bars, filler = self._bars[:, held], self._filler[:, held]
            self._premium[:, held] = premium_of(self._instruments, bars, filler)
            extras = Extras(self._mood[held], self._premium[:, held], self._features[:, held, NEWS])
            self._features[:, held] = feature_table(bars, filler, first_minute, extras)

    def _append(self, minute: int, bars: tuple[Bar | None, ...]) -> None:
        """Add one column: each instrument's bar, or a stand-in that repeats its last close."""
        if self._end == self._bars.shape[1]:
            for buffer in (self._bars, self._filler, self._features, self._premium):
                buffer[:, :HISTORY] = buffer[:, self._end - HISTORY : self._end].copy()
            self._mood[:HISTORY] = self._mood[self._end - HISTORY : self._end].copy()
            self._end = HISTORY
        at = self._end
        self._end += 1
        self._seen += 1
        self._last_minute = minute
        for row, bar in enumerate(bars):
            if bar is None:
                close = self._bars[row, at - 1, CLOSE]
                self._bars[row, at] = (close, close, close, close, 0.0 if math.isfinite(close) else math.nan)
                self._filler[row, at] = True
            else:
                self._bars[row, at] = (bar.open, bar.high, bar.low, bar.close, bar.volume)
                self._filler[row, at] = bar.filler or bar.volume == 0.0
        newest = np.s_[at : at + 1]
        self._mood[newest] = mood_at(self._readings, minute, 1)
        self._premium[:, newest] = premium_of(self._instruments, self._bars[:, newest], self._filler[:, newest])
        known = slice(at + 1 - min(self._seen, LOOKBACK), at + 1)
        extras = Extras(self._mood[known], self._premium[:, known])
        self._features[:, at] = feature_rows(self._bars[:, known], self._filler[:, known], minute, extras)
        self._features[:, newest, NEWS] = news_columns(self._news, self._instruments, minute, 1)

    def _hear(self, readings: Readings) -> None:
        """Take in what is known of the mood; what was decided before it was heard is put right where models look back."""
        new = [(int(ms), float(value)) for ms, value in readings if (int(ms), float(value)) not in self._readings]
        if not new:
            return
        self._readings = sorted(dict([*self._readings, *new]).items())[-_READINGS:]
        if self._last_minute is None or not self._seen:
            return
        size = min(self._seen, HISTORY)
        held = np.s_[self._end - size : self._end]
        first_minute = self._last_minute - (size - 1) * MINUTE_MS
        mood = mood_at(self._readings, first_minute, size)
        if np.array_equal(mood, self._mood[held], equal_nan=True):
            return
        self._mood[held] = mood
        extras = Extras(mood, self._premium[:, held], self._features[:, held, NEWS])
        self._features[:, held] = feature_table(self._bars[:, held], self._filler[:, held], first_minute, extras)

    def _read(self, news: News) -> None:
        """Take in the news; minutes decided before an item was heard are put right, as far as models look back."""
        self._news = news
        if self._last_minute is None or not self._seen:
            return
        size = min(self._seen, SEQUENCE)
        held = np.s_[self._end - size : self._end]
        first_minute = self._last_minute - (size - 1) * MINUTE_MS
        self._features[:, held, NEWS] = news_columns(news, self._instruments, first_minute, size)

    def _premium_now(self, mid: FloatArray, rates: tuple[QuoteRate, ...]) -> FloatArray | None:
        """(S,) bps against the other venue, None where no coin trades at two."""
        if not self._two_venues:
            return None
        return _frozen(premium_bps(self._instruments, mid, rates))

    def _holdings(self, account: AccountState) -> tuple[FloatArray, FloatArray]:
        """(S,) base units held and (S,) free quote units, at each instrument's venue."""
        held = [float(account.total(i.venue, i.base)) for i in self._instruments]
        free = [float(account.free(i.venue, i.quote)) for i in self._instruments]
        return np.array(held), np.array(free)

    def _equity(self, account: AccountState, price: FloatArray, rates: FloatArray) -> float:
        """USDT value of every traded base and quote asset, each counted once; NaN when a held one has no price."""
        worth: dict[tuple[str, str], float] = {}
        for row, instrument in enumerate(self._instruments):
            quote_key = (instrument.venue, instrument.quote)
            if not math.isfinite(worth.get(quote_key, math.nan)):
                worth[quote_key] = _value(float(account.total(*quote_key)), float(rates[row]))
        for row, instrument in enumerate(self._instruments):
            base_key = (instrument.venue, instrument.base)
            if not math.isfinite(worth.get(base_key, math.nan)):
                worth[base_key] = _value(float(account.total(*base_key)), float(price[row] * rates[row]))
        total = 0.0
        for value in worth.values():
            total += value
        return total


def _value(amount: float, price: float) -> float:
    """Nothing held is worth nothing, whatever its price."""
    return 0.0 if amount == 0.0 else amount * price


def _is_final(bar: Bar | None, minute: int) -> bool:
    """A sound, final bar of this very minute, not something that stands in for it."""
    return bar is not None and bar.minute == minute and bar.source not in _NOT_FINAL and is_sound(bar)


def _books(tops: tuple[Top | None, ...], since_ms: int) -> tuple[FloatArray, FloatArray]:
    """(S,) bid and (S,) ask; both NaN where there is no book, one from before ``since_ms``, a crossed or an impossible one."""
    bid = np.full(len(tops), math.nan)
    ask = np.full(len(tops), math.nan)
    for row, top in enumerate(tops):
        if top is None or top.at_ms < since_ms:
            continue
        if math.isfinite(top.ask) and 0.0 < top.bid <= top.ask:
            bid[row], ask[row] = top.bid, top.ask
    return bid, ask


def _shown(tops: tuple[Top | None, ...], bid: FloatArray) -> FloatArray:
    """(2, S) base units at the best bid and at the best ask, 0 where there is no book that counts."""
    shown = np.zeros((2, len(tops)))
    for row, top in enumerate(tops):
        if top is not None and math.isfinite(bid[row]):
            for side, quantity in enumerate((top.bid_qty, top.ask_qty)):
                shown[side, row] = quantity if 0.0 < quantity < math.inf else 0.0
    return shown


def _frozen(array: np.ndarray) -> np.ndarray:
    """A contiguous copy nobody can write to."""
    copy = np.array(array, order="C", copy=True)
    copy.flags.writeable = False
    return copy
