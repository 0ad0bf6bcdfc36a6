"""Made-up samples to learn from: white features, with or without a planted edge."""

import numpy as np

from core.features import FEATURE_NAMES, N_FEATURES, SEQUENCE
from serve.models.base import TrainingSet

S, T, HORIZON = 3, 1_500, 15


def made_up(edge: float, seed: int = 1) -> TrainingSet:
    """The return is ``edge`` × feature 0 plus noise of 20 bps; every usual move is 5 bps a minute."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(S, T, N_FEATURES))
    features[:, :, FEATURE_NAMES.index("rv_60")] = 5e-4
    target = edge * features[:, :, 0] + rng.normal(scale=20.0, size=(S, T))
    minute, symbol = np.meshgrid(np.arange(SEQUENCE - 1, T - HORIZON), np.arange(S), indexing="ij")
    rows = np.stack([symbol.ravel(), minute.ravel()], axis=1)
    return TrainingSet(features=features, target_bps=target, rows=rows, first_minute=0, horizon=HORIZON)
