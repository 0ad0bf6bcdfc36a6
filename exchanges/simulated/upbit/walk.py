"""A tiny made-up KRW market, so that the simulated Upbit can be tried without any data."""

import numpy as np

from core.grid import upbit_tick
from core.units import DAY_MS, Instrument
from exchanges.simulated.tape import Tape

START_PRICES = {
    "BTC/KRW": 150_000_000.0,
    "ETH/KRW": 5_000_000.0,
    "SOL/KRW": 250_000.0,
    "XRP/KRW": 3_500.0,
    "DOGE/KRW": 350.0,
    "USDT/KRW": 1_450.0,
}
OTHER_PRICE = 10_000.0
MONEY_A_MINUTE = 400_000_000.0
"""Usual quote volume, KRW."""
STEP = 5e-4
"""Standard deviation of a minute's log return."""
QUIET = 0.005
"""Share of minutes without a trade, as in the venue's thinner markets."""


def krw_walk_tape(symbols: tuple[str, ...], start_minute: int, minutes: int, seed: int = 7) -> Tape:
    """A seeded geometric random walk without drift, labelled synthetic. Prices on Upbit's grid, some minutes empty."""
    rng = np.random.default_rng(seed)
    bars = np.stack([_walk(symbol, minutes, rng) for symbol in symbols])
    sentiment = ((start_minute - start_minute % DAY_MS, 50.0),)
    return Tape(tuple(Instrument("upbit", s) for s in symbols), start_minute, bars, synthetic=True, sentiment=sentiment)


def _walk(symbol: str, minutes: int, rng: np.random.Generator) -> np.ndarray:
    """(T, 5) bars of one market; an empty minute is flat at the last close, with no volume."""
    price = START_PRICES.get(symbol, OTHER_PRICE)

    def on_grid(values: np.ndarray) -> np.ndarray:
        ticks = np.array([float(upbit_tick(symbol, value)) for value in values.tolist()])
        return np.round(np.round(values / ticks) * ticks, 8)

    quiet = rng.random(minutes) < QUIET
    close = on_grid(price * np.exp(np.cumsum(np.where(quiet, 0.0, rng.normal(0.0, STEP, minutes)))))
    opened = np.concatenate(([price], close[:-1]))
    reach = np.where(quiet, 0.0, np.abs(rng.normal(0.0, STEP / 2, (2, minutes))))
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    high, low = np.maximum(on_grid(high * (1 + reach[0])), high), np.minimum(on_grid(low * (1 - reach[1])), low)
    volume = np.round(np.where(quiet, 0.0, rng.lognormal(0.0, 0.6, minutes) * MONEY_A_MINUTE / close), 8)
    return np.stack([opened, high, low, close, volume], axis=1)
