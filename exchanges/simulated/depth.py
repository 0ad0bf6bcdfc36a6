"""The displayed book of one market as a client builds it: a snapshot with an id, then diffs that join on.

Rule (binance-spot-api-docs, web-socket-streams.md, "How to manage a local order book correctly"): each diff's U is the
last diff's u plus one; a snapshot's lastUpdateId is the u of the last diff it holds; quantity 0 removes a level.
"""

from exchanges.simulated.ladder import Levels

Side = dict[int, int]


class DepthView:
    """What was last shown of one book (ticks to steps), and under which update id."""

    def __init__(self) -> None:
        self.update_id = 1
        """Newest id given to anything of this market (diffs and book tickers count alike)."""
        self.shown_id = 1
        """Id of the state in ``bids`` and ``asks``."""
        self.bids: Side = {}
        self.asks: Side = {}

    def next_id(self) -> int:
        self.update_id += 1
        return self.update_id

    def refresh(
        self, bids: Levels, asks: Levels
    ) -> tuple[int, int, list[tuple[int, int]], list[tuple[int, int]]] | None:
        """Take over a new state; (U, u, changed bids, changed asks), or None when nothing changed."""
        new_bids, new_asks = dict(bids), dict(asks)
        changed = (_difference(self.bids, new_bids), _difference(self.asks, new_asks))
        if not any(changed):
            return None
        first, self.shown_id = self.shown_id + 1, self.next_id()
        self.bids, self.asks = new_bids, new_asks
        return first, self.shown_id, *changed


def _difference(old: Side, new: Side) -> list[tuple[int, int]]:
    gone = [(price, 0) for price in old if price not in new]
    return gone + [(price, size) for price, size in new.items() if old.get(price) != size]
