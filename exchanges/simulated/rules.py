"""Plausible market rules where no venue is asked: tick and step by price level, as on Binance or Upbit spot."""

from decimal import Decimal

from core.costs import fees_of
from core.grid import fine_grid, step_for, upbit_tick
from core.params import CostSettings
from core.units import Instrument, MarketRules, floor_to_step, to_decimal

D = Decimal

# Grids of the best known USDT pairs, as Binance's exchangeInfo listed them in 2026.
KNOWN: dict[str, tuple[Decimal, Decimal]] = {
    "BTC/USDT": (D("0.01"), D("0.00001")),
    "ETH/USDT": (D("0.01"), D("0.0001")),
    "BNB/USDT": (D("0.01"), D("0.001")),
    "SOL/USDT": (D("0.01"), D("0.001")),
    "XRP/USDT": (D("0.0001"), D("0.1")),
    "ADA/USDT": (D("0.0001"), D("0.1")),
    "DOGE/USDT": (D("0.00001"), D("1")),
}

# (price from, tick, step), highest first; tick x step never has more than 8 decimals, as at the venue.
LEVELS: tuple[tuple[float, Decimal, Decimal], ...] = (
    (1_000_000.0, D("1000"), D("0.00000001")),
    (10_000.0, D("0.01"), D("0.00001")),
    (1_000.0, D("0.01"), D("0.0001")),
    (100.0, D("0.01"), D("0.001")),
    (10.0, D("0.01"), D("0.01")),
    (1.0, D("0.001"), D("0.1")),
    (0.1, D("0.0001"), D("0.1")),
    (0.01, D("0.00001"), D("1")),
    (0.001, D("0.000001"), D("1")),
    (0.0001, D("0.0000001"), D("1")),
    (0.0, D("0.00000001"), D("1")),
)

MIN_NOTIONAL: dict[str, Decimal] = {"BTC": D("0.0001"), "ETH": D("0.001"), "BNB": D("0.01"), "KRW": D("5000")}
"""Quote coins whose minimum is not 5."""
UPBIT_MIN_NOTIONAL: dict[str, Decimal] = {"KRW": D("5000"), "BTC": D("0.00005"), "USDT": D("0.5")}

STEPS_IN_MAX_QTY = 900_000_000
LARGEST_WORTH = D(1_000_000_000)
"""Most quote units of one order where lots are too fine to be counted: Upbit's own bound, in KRW."""
DEFAULT_COSTS = CostSettings()


def default_rules(instrument: Instrument, price: float, costs: CostSettings = DEFAULT_COSTS) -> MarketRules:
    """Rules for an instrument that trades around ``price``; the same input gives the same rules.

    An Upbit tick depends on the price: here it is that of ``price`` and stays, however far the market goes from it.
    """
    fees = fees_of(instrument, costs)
    upbit = instrument.venue == "upbit"
    tick, step = _grid(instrument, price) if costs.rounding else fine_grid(price)
    minima = UPBIT_MIN_NOTIONAL if upbit else MIN_NOTIONAL
    counted = costs.rounding and not upbit
    return MarketRules(
        instrument=instrument,
        tick=tick,
        step=step,
        min_qty=step,
        max_qty=step * STEPS_IN_MAX_QTY if counted else floor_to_step(LARGEST_WORTH / to_decimal(price), step),
        min_notional=minima.get(instrument.quote, D(5)) if costs.min_notional else D(0),
        maker_fee=fees.maker,
        taker_fee=fees.taker,
    )


def _grid(instrument: Instrument, price: float) -> tuple[Decimal, Decimal]:
    if instrument.venue == "upbit":
        tick = upbit_tick(instrument.symbol, price)
        return tick, step_for(tick)
    known = KNOWN.get(instrument.symbol)
    return known or next((tick, step) for level, tick, step in LEVELS if price >= level)
