"""Which bars are final, what must be asked, and what was revised: the rules of a feed's bars, for any venue.

A bar is final when the venue's stream marked it so or it was built from a tape heard whole (``stream``), or when REST
gives it (``rest``); a stream that knows that nothing traded says so with a ``filler``. One whose source is
``unconfirmed`` is a reason to ask REST, nothing more. REST is right where two differ: venues revise what they sent. Whatever was given out and turns out otherwise, or was missing
and is found, becomes a ``BarRevised``: the cache is told as data.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from core.messages import Bar, BarRevised
from core.units import MINUTE_MS, Instrument

KEPT_MINUTES = 90
"""How long a bar can still be revised."""
RECHECK_EVERY = 15
"""Minutes between two looks back."""
RECHECK_MINUTES = 30
"""How far one looks back: every bar is looked at twice."""
UNCONFIRMED = "unconfirmed"
"""The source that makes no final bar."""


@dataclass(frozen=True, slots=True)
class Ask:
    """REST is to be asked for ``count`` minutes from ``first`` on."""

    instrument: Instrument
    first: int
    count: int


class BarBook:
    """Bars of the last ``KEPT_MINUTES`` of some instruments."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = tuple(instruments)
        self._known = frozenset(instruments)
        self._bars: dict[int, dict[Instrument, Bar]] = {}
        self._doubts: dict[int, set[Instrument]] = {}
        self._closed: list[int] = []
        """Minutes given out, ascending."""
        self._revised: list[BarRevised] = []
        self._gap_from: int | None = None
        """First minute that may have been missed in an interruption, or was asked for in vain."""
        self._checked: int | None = None
        """The minute of the last look back."""
        self.revisions = 0
        """Bars that had been given out and became others."""
        self.found = 0
        """Bars that were missing when their minute was given out, and came later."""

    def hear(self, instrument: Instrument, bar: Bar) -> None:
        """The stream told a bar."""
        if instrument not in self._known:
            return
        if bar.source == UNCONFIRMED:
            self._doubts.setdefault(bar.minute, set()).add(instrument)
            return
        held = self._bars.setdefault(bar.minute, {}).get(instrument)
        if held is None or held.source == "filler":
            self._put(instrument, bar)
        elif held.source == "rest":
            return
        elif not same(held, bar):
            self._doubts.setdefault(bar.minute, set()).add(instrument)

    def learn(self, ask: Ask, bars: Sequence[Bar]) -> None:
        """REST answered. A bar it does not have is left as it stands: a query can lag."""
        for bar in bars:
            held = self._bars.setdefault(bar.minute, {}).get(ask.instrument)
            if held is None or held.source != bar.source or not same(held, bar):
                self._put(ask.instrument, bar)
            self._doubts.get(bar.minute, set()).discard(ask.instrument)

    def unanswered(self, ask: Ask) -> None:
        """REST could not say: what is open there is asked again with the next minute."""
        self._gap_from = ask.first if self._gap_from is None else min(self._gap_from, ask.first)

    def complete(self, minute: int) -> bool:
        """Every instrument has its final bar and none is in doubt."""
        return len(self._bars.get(minute, ())) == len(self._instruments) and not self._doubts.get(minute)

    def doubtful(self, minute: int) -> bool:
        """Waiting longer will not help some instrument: what is final must be asked."""
        return bool(self._doubts.get(minute))

    def gap(self) -> None:
        """The stream was interrupted: from the last minute given out on, anything may be missing."""
        if self._gap_from is None and self._closed:
            self._gap_from = self._closed[-1]

    def asks(self, minute: int) -> list[Ask]:
        """What REST must say before ``minute`` is given out: bars that are missing or in doubt; after an interruption
        or a question without an answer every hole since."""
        first = minute if self._gap_from is None else max(self._gap_from, minute - (KEPT_MINUTES - 1) * MINUTE_MS)
        self._gap_from = None
        wanted = []
        for instrument in self._instruments:
            holes = [m for m in range(first, minute + 1, MINUTE_MS) if self._open(instrument, m)]
            if holes:
                wanted.append(Ask(instrument, holes[0], (holes[-1] - holes[0]) // MINUTE_MS + 1))
        return wanted

    def look_back(self, minute: int) -> list[Ask]:
        """The recent bars of everything, when it is time to look at them again; empty when it is not."""
        if self._checked is None:
            self._checked = minute
        if minute - self._checked < RECHECK_EVERY * MINUTE_MS:
            return []
        self._checked = minute
        first = max(self._closed[0] if self._closed else minute, minute - (RECHECK_MINUTES - 1) * MINUTE_MS)
        return [Ask(i, first, (minute - first) // MINUTE_MS + 1) for i in self._instruments]

    def close(self, minute: int) -> tuple[Bar | None, ...]:
        """The final bars of the minute, in the order of the instruments; it counts as given out from now on."""
        held = self._bars.setdefault(minute, {})
        if not self._closed or minute > self._closed[-1]:
            self._closed.append(minute)
        oldest, newest = minute - KEPT_MINUTES * MINUTE_MS, minute + KEPT_MINUTES * MINUTE_MS
        for rows in (self._bars, self._doubts):
            for old in [m for m in rows if not oldest < m < newest]:
                del rows[old]
        self._closed = [m for m in self._closed if m > oldest]
        return tuple(held.get(i) for i in self._instruments)

    def take_revisions(self, minute: int) -> tuple[BarRevised, ...]:
        """What changed of minutes given out before ``minute``, oldest first; each once."""
        due = [r for r in self._revised if r.bar.minute < minute]
        self._revised = [r for r in self._revised if r.bar.minute >= minute]
        return tuple(sorted(due, key=lambda r: r.bar.minute))

    def _put(self, instrument: Instrument, bar: Bar) -> None:
        held = self._bars[bar.minute].get(instrument)
        self._bars[bar.minute][instrument] = bar
        if bar.minute not in self._closed or (held is not None and same(held, bar)):
            return
        if held is None:
            self.found += 1
        else:
            self.revisions += 1
        self._revised.append(BarRevised(instrument=instrument, bar=bar, before=held))

    def _open(self, instrument: Instrument, minute: int) -> bool:
        return instrument not in self._bars.get(minute, ()) or instrument in self._doubts.get(minute, ())


def same(one: Bar, other: Bar) -> bool:
    """The same numbers, whoever told them."""
    return (one.open, one.high, one.low, one.close, one.volume) == (
        other.open,
        other.high,
        other.low,
        other.close,
        other.volume,
    )
