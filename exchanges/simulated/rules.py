"""Plausible market rules where no venue is asked: tick and step by price level, as on Binance spot."""

from decimal import Decimal

from core.units import Instrument, MarketRules

D = Decimal

FEE = D("0.001")
"""Regular tier, maker and taker alike."""

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

STEPS_IN_MAX_QTY = 900_000_000


def default_rules(
    instrument: Instrument, price: float, maker_fee: Decimal = FEE, taker_fee: Decimal = FEE
) -> MarketRules:
    """Rules for an instrument that trades around ``price``; the same input gives the same rules."""
    grid = KNOWN.get(instrument.symbol)
    tick, step = grid or next((tick, step) for level, tick, step in LEVELS if price >= level)
    return MarketRules(
        instrument=instrument,
        tick=tick,
        step=step,
        min_qty=step,
        max_qty=step * STEPS_IN_MAX_QTY,
        min_notional=MIN_NOTIONAL.get(instrument.quote, D(5)),
        maker_fee=maker_fee,
        taker_fee=taker_fee,
    )
