"""The price-range rule: an order trades only within a band round a reference price.

Source: binance-spot-api-docs, faqs/price_range_execution_rules.md. The reference is the mean of the last prices, one a
second; the band is set when an order begins to take.
"""

import math
from dataclasses import dataclass
from decimal import Decimal

from core.units import Side
from exchanges.simulated.market import SECOND_MS, MarketSource

BUCKETS = 10
BUCKET_MS = SECOND_MS


@dataclass(frozen=True, slots=True)
class PriceRange:
    """Multiples of the reference price between which each side may trade."""

    bid_up: Decimal
    bid_down: Decimal
    ask_up: Decimal
    ask_down: Decimal

    @classmethod
    def of_percent(cls, percent: Decimal) -> "PriceRange":
        """The same distance up and down on both sides."""
        up, down = 1 + percent / 100, 1 - percent / 100
        return cls(up, down, up, down)

    def ticks(self, side: Side, reference: float, tick: float) -> tuple[int, int]:
        """(lowest, highest) tick at which an order on ``side`` may trade."""
        up, down = (self.bid_up, self.bid_down) if side is Side.BUY else (self.ask_up, self.ask_down)
        # A hair of slack, so that a bound on the grid counts as inside.
        return math.ceil(reference * float(down) / tick - 1e-6), math.floor(reference * float(up) / tick + 1e-6)


def reference_price(market: MarketSource, row: int, ms: int) -> float | None:
    """Mean of the last prices; None while nothing trades."""
    prices = [market.price(row, ms - k * BUCKET_MS) for k in range(BUCKETS)]
    known = [price for price in prices if price is not None]
    return sum(known) / len(known) if known else None
