"""What features know beyond an instrument's bars: the market's mood, the news, and the same coin's price at another venue."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from core.counterparts import counterparts
from core.indicators import news as told
from core.lean import compiled
from core.messages import CLOSE, BoolArray, FloatArray
from core.news import NO_NEWS, News
from core.units import MINUTE_MS, Instrument

MOOD_DELAY_MS = 10 * MINUTE_MS
"""A reading is used so long after it could first be known: by then the live feed, which asks every few minutes, has
heard of it too, so that history and live agree on every minute."""
MOOD_LASTS_MS = 2 * 24 * 60 * MINUTE_MS
"""A daily index that was not renewed for two days is not known any more."""

Readings = Sequence[tuple[int, float]]
"""(knowable_ms, fear-and-greed value 0..100), in the order in which they became known."""


@dataclass(frozen=True, slots=True, eq=False)
class Extras:
    """Beside bars (S, T, 5); NaN where it is not known."""

    mood: FloatArray
    """(T,) the fear-and-greed index in force when each minute is decided, 0..100."""
    premium: FloatArray
    """(S, T) log of the own price over the other venue's, in one currency."""
    news: FloatArray | None = None
    """(S, T, 7) the features of ``core.indicators.news``; None where nothing was ever heard, which is all zero."""

    @classmethod
    def unknown(cls, rows: int, minutes: int) -> Self:
        return cls(np.full(minutes, np.nan), np.full((rows, minutes), np.nan))

    @classmethod
    def of(
        cls,
        instruments: Sequence[Instrument],
        bars: FloatArray,
        filler: BoolArray,
        first_minute: int,
        readings: Readings = (),
        news: News = NO_NEWS,
    ) -> Self:
        """From gap-filled bars (S, T, 5) whose first column is ``first_minute`` (epoch ms), the mood's readings, and news."""
        minutes = bars.shape[1]
        return cls(
            mood_at(readings, first_minute, minutes),
            premium_of(instruments, bars, filler),
            told.columns(news, instruments, first_minute, minutes) if news else None,
        )


def mood_at(readings: Readings, first_minute: int, minutes: int) -> FloatArray:
    """(T,) the newest reading in force at the close of each minute; NaN before the first and when it is too old."""
    mood = np.full(minutes, np.nan)
    if not len(readings) or not minutes:
        return mood
    knowable = np.array([ms for ms, _ in readings], dtype=np.int64)
    value = np.array([value for _, value in readings], dtype=np.float64)
    closes = first_minute + MINUTE_MS * np.arange(1, minutes + 1, dtype=np.int64)
    newest = np.searchsorted(knowable, closes - MOOD_DELAY_MS, side="right") - 1
    known = (newest >= 0) & (closes - knowable[newest] <= MOOD_LASTS_MS)
    mood[known] = value[newest[known]]
    return mood


def premium_of(instruments: Sequence[Instrument], bars: FloatArray, filler: BoolArray) -> FloatArray:
    """(S, T) log(own close · rate^power / other close); NaN where one of the prices did not trade this minute."""
    premium = np.full(bars.shape[:2], np.nan)
    for row, (other, rate, power) in enumerate(counterparts(instruments)):
        if other >= 0:
            _log_ratio(bars, filler, row, other, rate, power, premium)
    return premium


@compiled
def _log_ratio(
    bars: FloatArray, filler: BoolArray, row: int, other: int, rate: int, power: float, out: FloatArray
) -> None:
    for t in range(bars.shape[1]):
        own, there = bars[row, t, CLOSE], bars[other, t, CLOSE]
        if filler[row, t] or filler[other, t] or not (own > 0.0 and there > 0.0):
            continue
        change = 0.0
        if rate >= 0:
            if not bars[rate, t, CLOSE] > 0.0:
                continue
            change = power * math.log(bars[rate, t, CLOSE])
        out[row, t] = math.log(own) - math.log(there) + change
