"""Markets of which the truth is known: how wide each move is spread, and what of it could be known before."""

from dataclasses import dataclass

import numpy as np

from core.features import FEATURE_NAMES, N_FEATURES, SEQUENCE
from core.messages import FloatArray
from core.units import BPS
from serve.models.base import Member, TrainingSet

HORIZONS = (5, 15, 60)
VOTED = 15
_RV, _RET, _NEWS, _SCORE, _RANGE = (
    FEATURE_NAMES.index(name) for name in ("rv_60", "ret_1", "news_known", "news_score", "range_pos_60")
)


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Samples, and what stands behind them."""

    data: TrainingSet
    planted_bps: FloatArray
    """(S, T) what of the return over the vote's horizon could be known at each minute."""
    stdev_bps: FloatArray
    """(S, T, H) of the rest of it, over each of ``HORIZONS``."""

    def part(self, first: float, end: float) -> TrainingSet:
        """The samples of a share of the time."""
        minutes = self.data.features.shape[1]
        return self.data.between(int(first * minutes), int(end * minutes))


def known(seed: int, *, edge: float, minutes: int = 2_400, symbols: int = 3) -> Known:
    """White features, of which three tell the same: the last return, the score of news, the place in the hour's range.

    Volatility wanders over a factor of ten, and a return is ``edge`` × what is told × its usual move, plus noise of the
    usual move. Moves overlap as real ones do: that of an hour begins with that of its first minutes.
    """
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(symbols, minutes, N_FEATURES))
    wandering = np.zeros((symbols, minutes))
    for t in range(1, minutes):
        wandering[:, t] = 0.99 * wandering[:, t - 1] + 0.1 * rng.normal(size=symbols)
    features[:, :, _RV] = 5e-4 * np.exp(wandering)
    told = np.clip(features[:, :, _RET], -2.0, 2.0)
    # The place in the range tells at its ends alone, as chart rules read it; what it tells then is half of it.
    features[:, :, _RANGE] = np.clip(0.5 + 0.25 * told, 0.0, 1.0)
    features[:, :, _SCORE] = told
    features[:, :, _NEWS] = 1.0
    ahead, stdev = {}, []
    for horizon in HORIZONS:
        move = features[:, :, _RV] * np.sqrt(horizon) * BPS
        ahead[horizon] = move * (edge * told + rng.normal(size=(symbols, minutes)))
        stdev.append(move)
    planted = edge * told * stdev[HORIZONS.index(VOTED)]
    minute, symbol = np.meshgrid(np.arange(SEQUENCE - 1, minutes), np.arange(symbols), indexing="ij")
    data = TrainingSet(
        features=features,
        target_bps=ahead.pop(VOTED),
        rows=np.stack([symbol.ravel(), minute.ravel()], axis=1),
        first_minute=0,
        horizon=VOTED,
        also=ahead,
    )
    return Known(data=data, planted_bps=planted, stdev_bps=np.stack(stdev, axis=2))


def share_found(member: Member, data: TrainingSet, planted_bps: FloatArray) -> float:
    """Of what is planted at these samples, the share that the member forecasts: the slope of forecast on truth."""
    said = member.forecast(data.windows(np.arange(data.size)))[0]
    truth = planted_bps[data.rows[:, 0], data.rows[:, 1]]
    return float(said @ truth / (truth @ truth))


def loudness(member: Member, data: TrainingSet) -> float:
    """Root mean square of the forecasts over that of the returns."""
    said = member.forecast(data.windows(np.arange(data.size)))[0]
    return float(np.sqrt(np.mean(said**2) / np.mean(data.y**2)))


def coverage(mean: FloatArray, stdev: FloatArray, target: FloatArray, width: float) -> float:
    """Share of targets within ``width`` standard deviations."""
    return float(np.mean(np.abs(target - mean) <= width * stdev))
