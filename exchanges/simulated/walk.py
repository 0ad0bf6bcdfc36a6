"""A tiny made-up market, so that the simulator can be tried without any data."""

import numpy as np

from core.units import MINUTE_MS, Instrument
from exchanges.simulated.rules import default_rules
from exchanges.simulated.tape import Tape

START_PRICES = {"BTC/USDT": 60_000.0, "ETH/USDT": 3_000.0, "SOL/USDT": 150.0, "BNB/USDT": 600.0, "XRP/USDT": 2.0}
OTHER_PRICE = 10.0
DECIMALS = {"XRP/USDT": 4}
MONEY_A_MINUTE = 300_000.0
"""Usual quote volume."""
STEP = 5e-4
"""Standard deviation of a minute's log return."""


def lot_digits(venue: str, symbol: str, price: float) -> int:
    """Decimals of the volumes: whole lots of the market, and no more of them than three."""
    step = default_rules(Instrument(venue, symbol), price).step
    return max(0, min(3, -int(step.normalize().as_tuple().exponent)))


def random_walk_tape(
    symbols: tuple[str, ...], start_minute: int, minutes: int, seed: int = 7, venue: str = "binance"
) -> Tape:
    """A seeded geometric random walk without drift, labelled synthetic. Prices on the usual grids."""
    rng = np.random.default_rng(seed)
    bars = np.empty((len(symbols), minutes, 5))
    for row, symbol in enumerate(symbols):
        price, digits = START_PRICES.get(symbol, OTHER_PRICE), DECIMALS.get(symbol, 2)
        close = np.round(price * np.exp(np.cumsum(rng.normal(0.0, STEP, minutes))), digits)
        opened = np.concatenate(([price], close[:-1]))
        reach = np.abs(rng.normal(0.0, STEP / 2, (2, minutes)))
        high = np.round(np.maximum(opened, close) * (1 + reach[0]), digits)
        low = np.round(np.minimum(opened, close) * (1 - reach[1]), digits)
        volume = np.round(rng.lognormal(0.0, 0.6, minutes) * MONEY_A_MINUTE / close, lot_digits(venue, symbol, price))
        bars[row] = np.stack([opened, high, low, close, volume], axis=1)
    sentiment = ((start_minute - start_minute % (24 * 60 * MINUTE_MS), 50.0),)
    return Tape(tuple(Instrument(venue, s) for s in symbols), start_minute, bars, synthetic=True, sentiment=sentiment)
