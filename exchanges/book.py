"""An order book kept from diffs, for any venue: levels by price, the best of each side always known, faults told.

Prices and quantities are binary64. The nearest double of a decimal of up to 15 digits gives back that decimal
(IEEE 754-2019, 5.12), which covers what venues write as prices and, for all but the largest quantities, as sizes.
Levels must be positive and finite when they come in (the wire's decoders see to that); what this module watches is
what only the whole book can show: a gap in the sequence, and two sides that cross.

Speed decides the shape (44 levels a diff on the recorded stream, most of them new or deleted): two dicts a side, the few
levels near the touch and the many behind them, and a bound that the best price never lies beyond. The best is looked
for anew, among the near ones, only when its level is gone and somebody asks; as long as the bounds of the two sides do
not meet, the book does not cross.
"""

from collections import deque
from collections.abc import Iterable
from enum import Enum, auto
from heapq import nlargest, nsmallest
from typing import NamedTuple

from core.messages import LEVELS_SHOWN, ShownBook

MAX_PRICE, MAX_VOLUME = 1e15, 1e18
"""Those of ``core.bars``, which loads numba: two seconds that a process with a gateway alone need not spend."""

Level = tuple[float, float]
"""Price and quantity; quantity 0 in a diff deletes the level."""


class Snapshot(NamedTuple):
    """A whole book, and the id of the last change it holds."""

    last_id: int
    bids: list[Level]
    asks: list[Level]


def is_touch(bid: float, bid_qty: float, ask: float, ask_qty: float) -> bool:
    """Whether these can be the best of a book's two sides: positive, not crossed, no number beyond a market's."""
    return 0.0 < bid <= ask < MAX_PRICE and 0.0 <= bid_qty < MAX_VOLUME and 0.0 <= ask_qty < MAX_VOLUME


def shown_book(bids: Iterable[Level], asks: Iterable[Level], at_ms: int) -> ShownBook | None:
    """The levels that hold something, of at most ``LEVELS_SHOWN`` a side; None where they are no book: a side is empty, or the
    two cross."""
    below, above = (
        tuple((p, q) for p, q in side if 0.0 < p < MAX_PRICE and 0.0 < q < MAX_VOLUME)[:LEVELS_SHOWN]
        for side in (bids, asks)
    )
    if not below or not above or not is_touch(*below[0], *above[0]):
        return None
    return ShownBook(bids=below, asks=above, at_ms=at_ms)


NO_BID, NO_ASK = 0.0, float("inf")
"""Best prices of a side without levels."""

MOST_OLD = 100
"""So many known diffs in a row are new ones under a wrong count: the book would stand still for ever."""

MAX_WAITING = 2_000
"""Diffs kept while the snapshot is on its way (200 s of Binance's 100 ms diffs); beyond it they start anew."""


NEAR = 64
"""Levels near the touch that are kept apart; sorted out anew when there are none left, or ``NEAR_AT_MOST``."""
NEAR_AT_MOST = 4 * NEAR


class OrderBook:
    """Two sides of levels, price to quantity."""

    __slots__ = ("_ask", "_ask_limit", "_bid", "_bid_limit", "_far_asks", "_far_bids", "_near_asks", "_near_bids")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._near_bids: dict[float, float] = {}
        self._near_asks: dict[float, float] = {}
        self._far_bids: dict[float, float] = {}
        self._far_asks: dict[float, float] = {}
        self._bid, self._ask = NO_BID, NO_ASK
        """No bid is above, no ask below."""
        self._bid_limit, self._ask_limit = NO_BID, NO_ASK
        """Bids from here up, and asks from here down, are near."""

    @property
    def bids(self) -> dict[float, float]:
        return self._near_bids | self._far_bids

    @property
    def asks(self) -> dict[float, float]:
        return self._near_asks | self._far_asks

    @property
    def best_bid(self) -> float:
        """``NO_BID`` when nobody bids."""
        near = self._near_bids
        if self._bid not in near:
            if not near:
                self._sort_bids()
            self._bid = max(self._near_bids, default=NO_BID)
        return self._bid

    @property
    def best_ask(self) -> float:
        """``NO_ASK`` when nobody asks."""
        near = self._near_asks
        if self._ask not in near:
            if not near:
                self._sort_asks()
            self._ask = min(self._near_asks, default=NO_ASK)
        return self._ask

    def load(self, bids: Iterable[Level], asks: Iterable[Level]) -> bool:
        """Take over a whole book; False when it crosses (and is no book)."""
        self.clear()
        self._far_bids = {price: quantity for price, quantity in bids if quantity}
        self._far_asks = {price: quantity for price, quantity in asks if quantity}
        self._sort_bids()
        self._sort_asks()
        return self.best_bid < self.best_ask

    def change(self, bids: list[Level], asks: list[Level]) -> bool:
        """Apply a diff; False when the book crosses after it (and is wrong)."""
        near, far, limit, bid = self._near_bids, self._far_bids, self._bid_limit, self._bid
        for price, quantity in bids:
            levels = near if price >= limit else far
            if quantity:
                levels[price] = quantity
                if price > bid:
                    bid = price
            elif price in levels:
                del levels[price]
        self._bid = bid
        if len(near) > NEAR_AT_MOST:
            self._sort_bids()
        near, far, limit, ask = self._near_asks, self._far_asks, self._ask_limit, self._ask
        for price, quantity in asks:
            levels = near if price <= limit else far
            if quantity:
                levels[price] = quantity
                if price < ask:
                    ask = price
            elif price in levels:
                del levels[price]
        self._ask = ask
        if len(near) > NEAR_AT_MOST:
            self._sort_asks()
        return bid < ask or self.best_bid < self.best_ask

    def top(self) -> tuple[float, float, float, float] | None:
        """Bid, its quantity, ask, its quantity; None when a side is empty."""
        bid, ask = self.best_bid, self.best_ask
        if bid == NO_BID or ask == NO_ASK:
            return None
        return bid, self._near_bids[bid], ask, self._near_asks[ask]

    def levels(self, count: int) -> tuple[list[Level], list[Level]]:
        """The ``count`` best bids and asks, best first."""
        bids = self._near_bids if len(self._near_bids) >= count else self.bids
        asks = self._near_asks if len(self._near_asks) >= count else self.asks
        return nlargest(count, bids.items()), nsmallest(count, asks.items())

    def _sort_bids(self) -> None:
        """Choose anew which bids are near."""
        levels = self.bids
        best = nlargest(NEAR, levels)
        self._near_bids = {price: levels.pop(price) for price in best}
        self._far_bids = levels
        self._bid_limit = best[-1] if levels else NO_BID

    def _sort_asks(self) -> None:
        levels = self.asks
        best = nsmallest(NEAR, levels)
        self._near_asks = {price: levels.pop(price) for price in best}
        self._far_asks = levels
        self._ask_limit = best[-1] if levels else NO_ASK


class Step(Enum):
    """What became of a diff or a snapshot."""

    WAITS = auto()
    """Kept until the snapshot comes."""
    APPLIED = auto()
    OLD = auto()
    """Known already (a snapshot or another connection brought it)."""
    GAP = auto()
    """Something between is missing: the book is gone until a new snapshot."""
    CROSSED = auto()
    """The book crossed: it is wrong, and gone until a new snapshot."""
    TOO_OLD = auto()
    """The snapshot ends before the first kept diff: fetch another."""


APPLIED = Step.APPLIED
"""By itself: a member is slow to look up, and this one is needed with each diff."""


class KeptBook:
    """A book under Binance's sequence rule (web-socket-streams.md, "How to manage a local order book correctly").

    Diffs wait until a snapshot is there; those it holds (last id <= its id) are dropped; each next one must begin at
    most one after the last id. ``live`` tells whether there is a book; a gap or a crossing takes it away, and
    ``resyncs`` counts that. Who owns it fetches a snapshot whenever ``wanting``.
    """

    __slots__ = ("_old", "_waiting", "book", "crossings", "gaps", "last_id", "live")

    def __init__(self) -> None:
        self.book = OrderBook()
        self.live = False
        self.last_id = -1
        """Id of the last change in the book."""
        self.gaps = 0
        self.crossings = 0
        self._old = 0
        """Diffs in a row that told nothing new."""
        self._waiting: deque[tuple[int, int, list[Level], list[Level]]] = deque(maxlen=MAX_WAITING)

    @property
    def resyncs(self) -> int:
        """How often a book that stood was lost to a fault."""
        return self.gaps + self.crossings

    @property
    def wanting(self) -> bool:
        """A snapshot would help now: there is no book, and diffs to join it to have come."""
        return not self.live and bool(self._waiting)

    def diff(self, first: int, last: int, bids: list[Level], asks: list[Level]) -> Step:
        """Changes ``first`` to ``last``."""
        if not self.live:
            waiting = self._waiting
            newest = waiting[-1][1] if waiting else first - 1
            if first > newest + 1:
                # What waited can no longer be joined to this one.
                waiting.clear()
            if last > newest:
                waiting.append((first, last, bids, asks))
            return Step.WAITS
        known = self.last_id
        if last <= known:
            self._old += 1
            if self._old < MOST_OLD:
                return Step.OLD
        if first > known + 1 or last <= known:
            self.gaps += 1
            self._lose()
            self._waiting.append((first, last, bids, asks))
            return Step.GAP
        if not self.book.change(bids, asks):
            self.crossings += 1
            self._lose()
            return Step.CROSSED
        self.last_id, self._old = last, 0
        return APPLIED

    def snapshot(self, whole: Snapshot) -> Step:
        """The whole book, then the diffs that waited."""
        last_id, bids, asks = whole
        waiting = self._waiting
        if self.live:
            return Step.OLD
        if not waiting:
            # The connection may be gone: a book that nothing joins on to would stand still unseen.
            return Step.WAITS
        if last_id + 1 < waiting[0][0]:
            return Step.TOO_OLD
        if not self.book.load(bids, asks):
            self.crossings += 1
            self._lose()
            return Step.CROSSED
        self.live, self.last_id = True, last_id
        kept, self._waiting = waiting, deque(maxlen=MAX_WAITING)
        while kept:
            step = self.diff(*kept.popleft())
            if step in (Step.GAP, Step.CROSSED):
                self._waiting.extend(kept)
                return step
        return Step.APPLIED

    def forget(self) -> None:
        """The connection is gone: nothing joins on to what was."""
        self._lose()
        self._waiting.clear()

    def _lose(self) -> None:
        self.live, self.last_id, self._old = False, -1, 0
        self.book.clear()
