"""A market with something to learn in it: moves that go on for a while."""

import numpy as np


def trending(minutes: int, seed: int, *, price: float = 100.0, gaps: float = 0.0) -> np.ndarray:
    """(T, 5) bars whose returns carry on by 80 % from one minute to the next; a share of ``gaps`` is missing (NaN)."""
    rng = np.random.default_rng(seed)
    move = np.zeros(minutes)
    for t in range(1, minutes):
        move[t] = 0.8 * move[t - 1] + rng.normal(0.0, 1e-3)
    close = price * np.exp(np.cumsum(move))
    opened = np.concatenate([[price], close[:-1]])
    high, low = np.maximum(opened, close) * 1.0002, np.minimum(opened, close) * 0.9998
    bars = np.stack([opened, high, low, close, rng.exponential(500.0, minutes)], axis=1)
    bars[rng.random(minutes) < gaps] = np.nan
    return bars
