"""The books as displayed, and what an order finds there: the market's levels, less our takes, plus our own orders."""

from collections.abc import Sequence

from core.units import MarketRules, Side
from exchanges.simulated.footprint import Footprint, Trace
from exchanges.simulated.ladder import Ladder, Levels
from exchanges.simulated.market import MarketSource
from exchanges.simulated.matching import Take, shown, take, take_money, with_own
from exchanges.simulated.orders import SimOrder


class Floor:
    """All markets' books. ``working``: our resting orders by market, kept by whoever owns them."""

    def __init__(
        self, market: MarketSource, rules: Sequence[MarketRules], working: Sequence[dict[int, SimOrder]]
    ) -> None:
        self.market = market
        self._working = working
        self._smallest = [int(r.min_qty / r.step) for r in rules]
        self._footprints = [Footprint() for _ in rules]

    def depth(self, row: int, ms: int) -> tuple[Levels, Levels]:
        """(bids, asks) as displayed at ``ms``."""
        ladder, trace = self._book(row, ms)
        bids, asks = shown(ladder.bids, trace.taken[Side.SELL]), shown(ladder.asks, trace.taken[Side.BUY])
        if not self._working[row]:
            return bids, asks
        # An order that the market moved onto fills when the second ends; until then it is not shown across.
        own = [(o.side, o.ticks, o.remaining) for o in self._working[row].values()]
        buys = [(t, n) for side, t, n in own if side is Side.BUY and not (asks and t >= asks[0][0])]
        sells = [(t, n) for side, t, n in own if side is Side.SELL and not (bids and t <= bids[0][0])]
        return with_own(bids, buys, Side.BUY), with_own(asks, sells, Side.SELL)

    def opposite(self, row: int, side: Side, ms: int) -> Levels:
        """What an order on ``side`` could trade with, our own orders included."""
        bids, asks = self.depth(row, ms)
        return asks if side is Side.BUY else bids

    def room(self, row: int, side: Side, ms: int) -> int:
        """Steps that we may still trade on one side in the epoch of ``ms``."""
        traded = self._footprints[row].of(self.market.epoch(row, ms)).traded[side]
        return max(0, self.market.room(row, ms) - traded)

    def find(self, row: int, side: Side, limit: int | None, steps: int, ms: int) -> list[Take]:
        """The market's levels that an order for ``steps`` takes at ``ms``, none past ``limit``."""
        room = self.room(row, side, ms)
        if not room:
            return []
        levels, trace = self._levels(row, side, ms)
        return take(levels, trace.taken[side], side, limit, steps, room)

    def find_for(self, row: int, side: Side, units: int, ms: int) -> list[Take]:
        """The same for an order over money; ``units`` of tick times step."""
        room = self.room(row, side, ms)
        if not room:
            return []
        levels, trace = self._levels(row, side, ms)
        return take_money(levels, trace.taken[side], units, self._smallest[row], room)

    def took(self, row: int, side: Side, level: int, steps: int, ms: int) -> None:
        """Note that a level was taken from: it is missing there until the book is another one, and then what the market
        says."""
        self._footprints[row].of(self.market.epoch(row, ms)).taken[side][level] += steps
        self.market.took(row, side, steps, ms)

    def traded(self, row: int, side: Side, steps: int, ms: int) -> None:
        """Note a fill, for the cap on our share of the volume."""
        self._footprints[row].of(self.market.epoch(row, ms)).traded[side] += steps

    def _book(self, row: int, ms: int) -> tuple[Ladder, Trace]:
        """The market's ladder at an instant, and what we did in it."""
        return self.market.ladder(row, ms), self._footprints[row].of(self.market.epoch(row, ms))

    def _levels(self, row: int, side: Side, ms: int) -> tuple[Levels, Trace]:
        ladder, trace = self._book(row, ms)
        return (ladder.asks if side is Side.BUY else ladder.bids), trace
