"""A tape as Upbit trades it: the price step follows the price, for the book as for every order.

The engine counts prices in one tick a market. Here that is the finest step of any price an order may have, and the book
stands on the step of the price of the moment, so a market that crosses a row of the table changes its grid as the real
one does. Table: ``core.grid.upbit_tick``.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import numpy as np

from core.book import LEVELS, side_levels
from core.costs import UNIT
from core.errors import Defect
from core.grid import upbit_tick
from core.messages import HIGH, LOW
from core.params import CostSettings
from core.units import Instrument, MarketRules, floor_to_step
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.filters import Limits
from exchanges.simulated.ladder import Levels
from exchanges.simulated.market import MarketSource, Passage, TapeMarket
from exchanges.simulated.rules import DEFAULT_COSTS
from exchanges.simulated.tape import Tape

SMALLEST_UNIT = {"KRW": Decimal("1e-9"), "BTC": Decimal("1e-16"), "USDT": Decimal("1e-12")}
"""Least money that price times lot may come to, so that the largest order stays countable in 64 bits."""
LIMITS = Limits(max_orders=1_000, market_lot_share=Decimal(1))


class PricedGridMarket(TapeMarket):
    """A played tape whose book stands on the price step of the moment. ``rules`` hold the finest step there may be."""

    def __init__(self, tape: Tape, rules: dict[Instrument, MarketRules], costs: CostSettings = DEFAULT_COSTS) -> None:
        super().__init__(tape, rules, costs)
        self._fine = [rules[i].tick for i in self.instruments]

    def tick_at(self, row: int, price: float) -> Decimal:
        """The price step in force at ``price``."""
        return upbit_tick(self.instruments[row].symbol, price)

    def _grid(self, row: int, price: float) -> tuple[float, int]:
        """(step in force, how many of the engine's ticks that is)."""
        tick = max(self.tick_at(row, price), self._fine[row])
        return float(tick), int(tick / self._fine[row])

    def _side(self, row: int, buying: bool, price: float, half: float, volume: float, sigma: float) -> Levels:
        ticks, steps = np.empty(LEVELS, np.int64), np.empty(LEVELS, np.int64)
        tick, grid = self._grid(row, price)
        step = self._steps[row]
        count = side_levels(buying, price, half, tick, step, volume, sigma, self._terms.depth, ticks, steps)
        return tuple(zip((ticks[:count] * grid).tolist(), steps[:count].tolist(), strict=True))

    def passage(self, row: int, second_ms: int) -> Passage | None:
        found = super().passage(row, second_ms)
        if found is None:
            return None
        tick, grid = self._grid(row, found.end)
        return replace(found, tick=tick, grid=grid)


def fine_rule(rule: MarketRules, low: float, high: float) -> MarketRules:
    """A market's rule with the finest tick that any order within the engine's price bounds may need while the market is
    between ``low`` and ``high``.

    The lot is 1e-8 of a coin as at the venue, but for coins so cheap that amounts would outgrow 64 bits.
    """
    bounds = (low * float(LIMITS.multiplier_down), high * float(LIMITS.multiplier_up))
    # Steps grow with the price but for the stablecoins, whose row is finer than the ones below it.
    tick = min(upbit_tick(rule.instrument.symbol, p) for p in (*bounds, *np.geomspace(*bounds, 64).tolist()))
    step = max(UNIT, SMALLEST_UNIT[rule.instrument.quote] / tick)
    return replace(rule, tick=tick, step=step, min_qty=step, max_qty=floor_to_step(rule.max_qty, step))


def priced_rules(tape: Tape, costs: CostSettings = DEFAULT_COSTS) -> dict[Instrument, MarketRules]:
    """The default rules of a tape, each on the finest grid that its prices may need."""
    found = {}
    for row, rule in enumerate(tape.default_rules(costs).values()):
        known = tape.bars[row][np.isfinite(tape.bars[row, :, LOW])]
        low, high = (float(known[:, LOW].min()), float(known[:, HIGH].max())) if known.size else (1.0, 1.0)
        found[rule.instrument] = fine_rule(rule, low, high)
    return found


class UpbitExchange(SimulatedExchange):
    """A simulated exchange whose prices lie on a grid that follows them.

    ``market``: a tape to play, or one that is watched; the latter brings its ``rules`` (``fine_rule``).
    """

    def __init__(
        self,
        market: Tape | MarketSource,
        balances: Mapping[str, Decimal],
        start_ms: int | None = None,
        costs: CostSettings = DEFAULT_COSTS,
        rules: Mapping[Instrument, MarketRules] | None = None,
    ) -> None:
        if isinstance(market, Tape):
            held = priced_rules(market, costs)
            market = PricedGridMarket(market, held, costs)
        elif rules is None:
            raise Defect("simulated upbit: a market that is no tape brings its rules")
        else:
            held = dict(rules)
        # A ``best`` buy for the least money comes to a lot less: the wire asks for the minimum, of what was asked.
        free = {instrument: replace(rule, min_notional=Decimal(0)) for instrument, rule in held.items()}
        super().__init__(market, free, balances, start_ms, LIMITS, costs, whole_units=False)
        self.min_total = [held[i].min_notional for i in self.instruments]
        """Smallest order, quote units."""


def upbit_exchange(
    tape: Tape,
    balances: Mapping[str, Decimal],
    start_ms: int | None = None,
    costs: CostSettings = DEFAULT_COSTS,
) -> SimulatedExchange:
    """A simulated Upbit that plays ``tape``. With ``costs.rounding`` off, prices and lots are as fine as anywhere."""
    if not costs.rounding:
        return SimulatedExchange(tape, tape.default_rules(costs), balances, start_ms, LIMITS, costs)
    return UpbitExchange(tape, balances, start_ms, costs)


def min_total(exchange: SimulatedExchange, row: int) -> Decimal:
    """Smallest order of a market, quote units."""
    if isinstance(exchange, UpbitExchange):
        return exchange.min_total[row]
    return exchange.rules[row].min_notional


def tick_of(exchange: SimulatedExchange, row: int, price: Decimal | float) -> Decimal:
    """The price step an order at ``price`` must lie on."""
    if isinstance(exchange, UpbitExchange):
        return upbit_tick(exchange.instruments[row].symbol, float(price))
    return exchange.rules[row].tick
