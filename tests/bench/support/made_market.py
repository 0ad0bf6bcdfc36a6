"""Made-up markets and forecasts of any size, as arrays, with the settings that trade them."""

import numpy as np

from config.load import ROOT, load_settings
from config.settings import Settings
from core.features import HISTORY
from core.units import MINUTE_MS, Instrument
from data.market import MarketCut
from tests.bench.support.big_lake import START

MEMBERS = ("ridge", "tcn", "rules", "rl")
WOBBLE = 0.99
"""Share of a forecast that is still there a minute later: opinions that last about an hour and a half."""
SPREAD_BPS = 60.0
CASH = 1_000_000


def names(symbols: int) -> tuple[Instrument, ...]:
    return tuple(Instrument("binance", f"C{number:03d}/USDT") for number in range(symbols))


def settings_for(instruments: tuple[Instrument, ...], *more: str, members: tuple[str, ...] = MEMBERS) -> Settings:
    """The project's own rules, with these members, over these instruments; the environment has no say."""
    told = ",".join(f'{{"name": "{name}", "family": "{name}", "deadline_ms": 5000}}' for name in members)
    rows = ",".join(f'"{one}"' for one in instruments)
    changes = (f"trade.instruments=[{rows}]", f"models.members=[{told}]", *more)
    return load_settings(ROOT / "config", environ={}, overrides=changes)


def bars_of(symbols: int, minutes: int, seed: int = 7) -> np.ndarray:
    """(S, T, 5) bars of random walks with one factor in common, on a grid of 0.01."""
    bars = np.empty((symbols, minutes, 5))
    common = np.random.default_rng((seed, 0)).standard_normal(minutes)
    for row in range(symbols):
        rng = np.random.default_rng((seed, 1, row))
        steps = 5e-4 * (0.6 * common + 0.8 * rng.standard_normal(minutes))
        close = np.round(1000.0 * np.exp(np.cumsum(steps)), 2)
        opened = np.concatenate([close[:1], close[:-1]])
        reach = np.abs(rng.standard_normal((2, minutes))) * 2e-4
        bars[row, :, 0], bars[row, :, 3] = opened, close
        bars[row, :, 1] = np.round(np.maximum(opened, close) * (1.0 + reach[0]), 2)
        bars[row, :, 2] = np.round(np.minimum(opened, close) * (1.0 - reach[1]), 2)
        bars[row, :, 4] = np.round(rng.gamma(2.0, 500.0, minutes), 5)
    return bars


def market_of(instruments: tuple[Instrument, ...], bars: np.ndarray, history: int = HISTORY) -> MarketCut:
    """The bars as a market whose first ``history`` minutes come before the first decision."""
    return MarketCut(
        instruments=instruments,
        start_minute=START,
        first_minute=START + history * MINUTE_MS,
        minutes=bars.shape[1] - history,
        bars=bars,
        synthetic=True,
        sentiment=(),
    )


def forecasts_of(members: int, symbols: int, minutes: int, seed: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations (M, S, T) in bps: opinions that come and go, now and then above what a trade costs."""
    rng = np.random.default_rng(seed)
    mean = rng.standard_normal((members, symbols, minutes)) * (SPREAD_BPS * np.sqrt(1.0 - WOBBLE**2))
    for t in range(1, minutes):
        mean[:, :, t] += WOBBLE * mean[:, :, t - 1]
    return mean, np.full(mean.shape, SPREAD_BPS)
