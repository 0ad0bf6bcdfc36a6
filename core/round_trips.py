"""Round trips: what was paid for what is held, and what its sale brought; one rule for live fills and the engine's.

Counted by average cost. A trip begins with the first buy and is closed when less is left than the venue takes in one
order; that rest goes into the next trip at its cost. Fees count where they are paid in the coin or in the quote currency; one paid in a
third coin is left out. Coins that were not bought by us have no cost, and their sale closes no trip.
"""

from collections import deque

import numpy as np

from core.costs import UNITS
from core.execution.schedules.twap import smallest_order
from core.lean import shared
from core.messages import ClosedTrip, Fill, FloatArray
from core.units import Instrument, MarketRules, Side

HELD, COST, SPENT, EARNED = range(4)
"""Of one trip: coins held, money paid for them, paid for all of the trip, and realised so far; each in units of 1e-8, as the
engine counts them: most are whole numbers, and none is divided to be counted."""
TRIP = 4
KEPT = 200
"""Closed trips that are shown again and again, so that none is missed by whoever was away."""


@shared
def count_fill(trip: FloatArray, buying: bool, coins: float, money: float, least: float) -> tuple[bool, float]:
    """Count one fill into ``trip`` (4,); gives whether that closed it, and then its result, per cent of what was spent.

    In units of 1e-8: ``coins`` gained (net of a fee in the coin) or sold; ``money`` paid or received (with a fee in the
    quote currency); ``least`` the smallest order at the fill's price, coins.
    """
    if buying:
        trip[HELD] += coins
        trip[COST] += money
        trip[SPENT] += money
        return False, 0.0
    if not trip[HELD] > 0.0:
        return False, 0.0
    # One division at most, and none where all is sold: that is what most of the counting takes.
    share, ours = 1.0, 1.0
    if coins < trip[HELD]:
        share = coins / trip[HELD]
    elif coins > trip[HELD]:
        ours = trip[HELD] / coins
    cost = trip[COST] * share
    trip[EARNED] += money * ours - cost
    trip[COST] -= cost
    trip[HELD] = max(0.0, trip[HELD] - coins)
    if trip[HELD] > 0.0 and trip[HELD] >= least:
        return False, 0.0
    result = trip[EARNED] / trip[SPENT] * 100.0 if trip[SPENT] > 0.0 else 0.0
    trip[COST] = trip[COST] if trip[HELD] > 0.0 else 0.0
    trip[SPENT] = trip[COST]
    trip[EARNED] = 0.0
    return True, result


class RoundTrips:
    """The trips of an account, by instrument, from its fills in the order in which they were counted."""

    def __init__(self) -> None:
        self.rules: dict[Instrument, MarketRules] = {}
        """Those in force; without them a trip is open until nothing is left of it."""
        self.closed: deque[ClosedTrip] = deque(maxlen=KEPT)
        self.count = 0
        """Trips ever closed."""
        self._trips: dict[Instrument, FloatArray] = {}

    def take(self, fill: Fill, stopped: bool) -> None:
        """Count a fill; ``stopped``: a stop sold it, which counts as a stop-out where the trip ends at a loss."""
        buying = fill.side is Side.BUY
        money, coins = fill.quantity * fill.price, fill.quantity
        if fill.fee_asset == fill.instrument.quote:
            money += fill.fee if buying else -fill.fee
        elif fill.fee_asset == fill.instrument.base and buying:
            coins -= fill.fee
        trip = self._trips.setdefault(fill.instrument, np.zeros(TRIP))
        rules = self.rules.get(fill.instrument)
        least = float(smallest_order(rules, fill.price) * UNITS) if rules is not None else 0.0
        closed, result = count_fill(trip, buying, float(coins * UNITS), float(money * UNITS), least)
        if closed:
            self.count += 1
            self.closed.append(
                ClosedTrip(
                    number=self.count,
                    instrument=fill.instrument,
                    at_ms=fill.at_ms,
                    result_pct=float(result),
                    stopped=stopped and result < 0.0,
                )
            )

    def average_cost(self, instrument: Instrument) -> float | None:
        """Quote units paid for one base unit of what is held; None where nothing was bought."""
        trip = self._trips.get(instrument)
        return float(trip[COST] / trip[HELD]) if trip is not None and trip[HELD] > 0.0 else None
