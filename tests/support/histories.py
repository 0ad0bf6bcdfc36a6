"""A made-up past of votes and returns for the search of weights."""

import numpy as np

from core.events import REGIMES
from tune.history import History

MEMBERS = ("good", "bad")


def history(minutes: int = 600, seed: int = 1) -> History:
    """``good`` knows the next minutes' drift; ``bad`` says the opposite."""
    rng = np.random.default_rng(seed)
    drift = np.repeat(rng.choice([-2.0, 0.0, 2.0], size=(2, minutes // 30)), 30, axis=1)
    following = drift + rng.normal(scale=0.5, size=drift.shape)
    mean = np.stack([40.0 * drift, -40.0 * drift])
    return History(
        members=MEMBERS,
        mean_bps=mean,
        next_bps=following,
        fresh=rng.random(drift.shape) > 0.05,
        shock=rng.random(drift.shape) > 0.95,
        regime=np.repeat(rng.integers(0, len(REGIMES), minutes // 30), 30),
        fold=np.repeat(np.arange(3), minutes // 3),
    )
