"""Which limit orders a venue turns away, over ints: prices in ticks, quantities in steps, money in units of 1e-8.

The kernels behind ``exchanges.simulated.filters``, which words the refusals; the engine asks the same ones. Source:
binance-spot-api-docs, filters.md.
"""

from core.lean import pasted


@pasted
def lot_ok(steps: int, least: int, most: int) -> bool:
    """LOT_SIZE."""
    return least <= steps <= most


@pasted
def notional_ok(steps: int, ticks: int, unit: int, least: int, most: int) -> bool:
    """NOTIONAL. ``unit``: units of 1e-8 quote in one tick x step; ``least`` and ``most`` in units too."""
    return least <= steps * ticks * unit <= most


@pasted
def percent_price_ok(ticks: int, tick: float, average: float, down: float, up: float) -> bool:
    """PERCENT_PRICE_BY_SIDE: the price stays within ``down`` and ``up`` times the recent average (NaN = not known)."""
    price = ticks * tick
    return not (price < average * down or price > average * up)


@pasted
def money_of(steps: int, ticks: int, unit: int) -> int:
    """Units of 1e-8 quote that ``steps`` cost at ``ticks``: what a buy sets aside at its limit (less fees)."""
    return steps * ticks * unit
