"""Trades as a stimulus of protective exits: which of them are worth a look, and when a trade's own price counts.

The rule. The middle of the touch is the price of an exit (``core.protection``), as long as the book is at least as new
as the newest trade: a book moves with what it stands for, a single trade may be anything. Order matters, not the clocks:
what was heard later is newer. A trade at or beyond the level of an exit, of which the book has said nothing within
``SETTLE_S``, is a sign that the book's stream stands still or lags. Then

1. the venue is asked for the touch, and its middle is the price, as ever. An odd print leads to no more than this;
2. only where that is not answered within ``LOOK_S`` either, and the book has been silent for ``OLD_S``, the trades' own
   price counts: the milder one of two in a row beyond the level. One odd print is never enough, and the peak that a
   trailing stop hangs from is moved by no print that lies between the levels.

So a price that trades through a level while the book's stream is silent is acted upon within ``SETTLE_S``, the pause
between two messages of the feed, and the venue's answer, at most ``LOOK_S``: 1.5 s; where the venue does not answer,
within 3.5 s of the silence's beginning. The timer (``protection.look_seconds``) stands behind it in any case.

Why so late and so seldom: near a stop trades happen at the bid beyond the level while the middle is not, many a second.
With a live book each of them is answered by the book within milliseconds, and costs two comparisons here and nothing
elsewhere. Whoever asks is told of an instrument at most once in ``AGAIN_S``, and ``MOST_LOOKS`` times for one print.

Pure: times come in by argument, seconds of any clock that only runs forward.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from core.protection import Bounds
from core.units import Instrument

SETTLE_S = 0.25
"""So long the book has to tell of what a trade told."""
LOOK_S = 1.0
"""So long the venue has to answer what its touch is."""
OLD_S = 2.0
"""A book that has been silent for so long is no price while trades tell others."""
AGAIN_S = 1.0
"""Between two looks at one instrument."""
MOST_LOOKS = 5
"""For one print: a venue that keeps saying otherwise is believed; the timer goes on looking."""
LEVELS_S = 2.0
"""After so long without news of what is held, a trade is a reason to ask."""
LATE_MS = 10_000
"""An older trade tells no price of now: what a stream tells when it begins, or one that lags as a whole."""
CONFIRMED = 2
"""Prints in a row that it takes for their price to count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Trades at or beyond the level of an exit, of which the book has said nothing."""

    price: float
    """The milder one of the newest two in a row, quote units; of a single one its own."""
    count: int
    """In a row; with a single one the price counts for nothing."""
    silent_s: float
    """How long the book has said nothing; infinite when it never said anything."""

    def counts(self, silent_s: float) -> bool:
        """Whether the price stands in for a book that has been silent for so long and cannot be asked for."""
        return self.count >= CONFIRMED and silent_s >= OLD_S


@dataclass(slots=True)
class _Run:
    """Prints in a row on one side."""

    below: bool
    price: float
    milder: float
    count: int
    since_s: float
    next_s: float
    looks: int = 0


class Prints:
    """What the newest trades of held instruments say beside their books. One owner; a trade costs a look-up and two
    comparisons unless it crosses a level."""

    def __init__(self) -> None:
        self._bounds: Mapping[Instrument, Bounds] = {}
        self._learned_s = -math.inf
        self._books: dict[Instrument, float] = {}
        self._runs: dict[Instrument, _Run] = {}

    def learn(self, bounds: Mapping[Instrument, Bounds], now_s: float) -> None:
        """These are held now, and those their levels."""
        self._bounds, self._learned_s = bounds, now_s
        for instrument in self._runs.keys() - bounds.keys():
            del self._runs[instrument]

    def book(self, instrument: Instrument, now_s: float) -> None:
        """A touch was heard: it is newer than every trade so far."""
        self._books[instrument] = now_s
        if self._runs:
            self._runs.pop(instrument, None)

    def trade(self, instrument: Instrument, price: float, now_s: float) -> float:
        """A trade was heard. In how many seconds to ask what is ``due``; infinite: it is no reason to."""
        bounds = self._bounds.get(instrument)
        if bounds is None:
            return self._unknown(now_s)
        if bounds.low < price < bounds.high:
            if self._runs:
                self._runs.pop(instrument, None)
            return self._unknown(now_s)
        if not 0.0 < price < math.inf:
            return math.inf
        below, run = price <= bounds.low, self._runs.get(instrument)
        if run is None or run.below is not below:
            self._runs[instrument] = _Run(below, price, price, 1, now_s, now_s + SETTLE_S)
            return SETTLE_S
        run.milder = max(run.price, price) if below else min(run.price, price)
        run.price, run.looks = price, 0
        run.count += 1
        return max(run.next_s - now_s, 0.0)

    def due(self, now_s: float) -> dict[Instrument, Crossing]:
        """What to look at now."""
        found = {}
        for instrument, run in self._runs.items():
            if now_s < run.next_s or run.looks >= MOST_LOOKS:
                continue
            run.next_s, run.looks = now_s + AGAIN_S, run.looks + 1
            silent = now_s - self._books.get(instrument, -math.inf)
            found[instrument] = Crossing(price=run.milder, count=run.count, silent_s=silent)
        return found

    def wait_s(self, now_s: float) -> float:
        """In how many seconds something will be ``due`` if nothing is heard until then; infinite: nothing will."""
        waiting = (run.next_s for run in self._runs.values() if run.looks < MOST_LOOKS)
        return max(min(waiting, default=math.inf) - now_s, 0.0)

    def outdated(self, now_s: float) -> bool:
        """Something may have been bought since the levels were told."""
        return now_s - self._learned_s >= LEVELS_S

    def _unknown(self, now_s: float) -> float:
        """The same, as what a trade is a reason for."""
        return 0.0 if self.outdated(now_s) else math.inf
