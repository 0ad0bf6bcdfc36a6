"""Whether a stream still tells of every market it was asked for, though its connection lives.

A venue may stop sending one market's frames and say nothing. REST makes up for it minute by minute, so no bar is wrong;
but what REST must tell again and again the stream does not hear, and a new connection is the cure. Pure.
"""

from collections import Counter
from collections.abc import Sequence

from core.messages import Bar
from core.units import MINUTE_MS, Instrument

DEAF_MINUTES = 3
"""In a row, until the stream counts as deaf to a market."""
OLD_BOOK_MS = 120_000
"""Every trade changes the touch, at least its quantity: a book this old in a minute that traded was not told."""
APART_MS = 15 * MINUTE_MS
"""Between two cures: where one does not help, more of them do not either."""


class Hearing:
    """Of one venue's stream and its ``instruments``."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = tuple(instruments)
        self._missed: Counter[Instrument] = Counter()
        self._cured_ms = -APART_MS

    def minute(
        self, minute: int, bars: Sequence[Bar | None], ages_ms: Sequence[float | None], *, broken: bool
    ) -> list[tuple[Instrument, str]]:
        """The markets that the stream has gone deaf to, and what it does not tell.

        ``bars``: final ones of this minute, None where nobody has one (a halt, or REST is away: that says nothing).
        ``ages_ms``: of each book, None without one. ``broken``: the connection was not up all the minute.
        """
        if broken:
            self._missed.clear()
            return []
        found = []
        for instrument, bar, age_ms in zip(self._instruments, bars, ages_ms, strict=True):
            what = _untold(bar, age_ms)
            if bar is not None:
                self._missed[instrument] = self._missed[instrument] + 1 if what else 0
            if what and self._missed[instrument] >= DEAF_MINUTES:
                found.append((instrument, what))
        if not found or minute - self._cured_ms < APART_MS:
            return []
        self._cured_ms = minute
        self._missed.clear()
        return found


def _untold(bar: Bar | None, age_ms: float | None) -> str:
    """What of this minute only REST could tell; empty when it was nothing."""
    if bar is None:
        return ""
    if bar.source == "rest":
        return "bars"
    return "book" if bar.volume > 0 and (age_ms is None or age_ms > OLD_BOOK_MS) else ""
