"""The displayed book of one market as a client builds it: a snapshot with an id, then diffs that join on.

Rule (binance-spot-api-docs, web-socket-streams.md, "How to manage a local order book correctly"): each diff's U is the
last diff's u plus one; a snapshot's lastUpdateId is the u of the last diff it holds; quantity 0 removes a level.
"""

from exchanges.simulated.ladder import Levels

Side = dict[int, int]
Change = tuple[int, int, list[tuple[int, int]], list[tuple[int, int]]]
"""(U, u, changed bids, changed asks)."""


class DepthView:
    """What was last shown of one book (ticks to steps), and under which update id."""

    def __init__(self) -> None:
        self.update_id = 1
        """Newest id given to anything of this market (diffs and book tickers count alike)."""
        self.shown_id = 1
        """Id of the state in ``bids`` and ``asks``."""
        self.bids: Side = {}
        self.asks: Side = {}
        self._slow = (self.shown_id, self.bids, self.asks)
        """(id, bids, asks) as the stream that is told once a second knows them."""
        self._slow_second = -1

    def next_id(self) -> int:
        self.update_id += 1
        return self.update_id

    def refresh(self, bids: Levels, asks: Levels) -> Change | None:
        """Take over a new state; (U, u, changed bids, changed asks), or None when nothing changed."""
        new_bids, new_asks = dict(bids), dict(asks)
        changed = (_difference(self.bids, new_bids), _difference(self.asks, new_asks))
        if not any(changed):
            return None
        first, self.shown_id = self.shown_id + 1, self.next_id()
        self.bids, self.asks = new_bids, new_asks
        return first, self.shown_id, *changed

    def of_the_second(self, now_ms: int) -> Change | None:
        """What changed since this last told something, at most once a second."""
        known, bids, asks = self._slow
        if now_ms // 1_000 == self._slow_second or known == self.shown_id:
            return None
        self._slow, self._slow_second = (self.shown_id, self.bids, self.asks), now_ms // 1_000
        return known + 1, self.shown_id, _difference(bids, self.bids), _difference(asks, self.asks)


def _difference(old: Side, new: Side) -> list[tuple[int, int]]:
    gone = [(price, 0) for price in old if price not in new]
    return gone + [(price, size) for price, size in new.items() if old.get(price) != size]
