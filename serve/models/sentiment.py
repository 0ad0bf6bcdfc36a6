"""Mood, news and funding with a price: a linear rule over what sentiment features say, each worth what it was worth.

It reads the fear-and-greed index, the scores and attention of headlines, the funding rate and the premium between venues,
against the usual move of the last hour. Where neither mood nor any headline is known it has nothing to say: its row is
NaN, and it does not vote.
"""

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from core.features import FEATURE_NAMES
from core.messages import FloatArray
from serve.models.base import TrainingSet, only_whole, shrinkage, standardise, standardiser, usual_move_bps
from serve.models.horizons import OneByOne
from serve.models.hyper import made
from serve.models.rules import STDEV_FLOOR_BPS

INPUTS = (
    "fear_greed",
    "news_score",
    "news_attention",
    "market_news_score",
    "market_news_attention",
    "funding_rate",
    "premium",
    "premium_gap_60",
)
_INPUTS = [FEATURE_NAMES.index(name) for name in INPUTS]
_MOOD_KNOWN, _NEWS_KNOWN = (FEATURE_NAMES.index(name) for name in ("fear_greed_known", "news_known"))
BLOCKS = 6
LEAST = 150


def known(last: FloatArray) -> np.ndarray:
    """(N, F) newest features → (N,) whether there is any mood or news to go by."""
    return (last[:, _MOOD_KNOWN] > 0.0) | (last[:, _NEWS_KNOWN] > 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    penalty: float = 1e-2
    """Per sample on standardised coefficients: a few days of a daily index must not make an opinion."""
    outlier: float = 5.0
    """Returns are cut at this many usual moves while fitting."""


class SentimentMember(OneByOne):
    """mean = shrink · usual move · (z · beta); stdev = usual move · width."""

    family = "sentiment"
    Settings: ClassVar[type[Settings]] = Settings
    FILE = "sentiment.npz"
    depth = 1

    def __init__(self, horizon: int = 15, **hyper: Any) -> None:
        super().__init__()
        self.settings = made(Settings, self.family, hyper)
        self.horizon = horizon
        self.mean, self.scale = np.zeros(len(_INPUTS)), np.ones(len(_INPUTS))
        self.beta = np.zeros(len(_INPUTS))
        self.width = 1.0

    def fit_one(self, data: TrainingSet) -> dict[str, float]:
        """Ridge regression of the return over the usual move, shrunk by how coefficients of the other blocks of time
        (less one horizon) hold in each. With too few minutes of known mood or news it stays without an opinion."""
        self.horizon = data.horizon
        last = data.last
        unit = usual_move_bps(last, data.horizon)
        lively = unit > STDEV_FLOOR_BPS
        told = lively & known(last)
        notes = {"known": float(told.sum()), "shrink": 0.0}
        if lively.any():
            self.width = float(np.std(data.y[lively] / unit[lively])) or 1.0
        if told.sum() < LEAST:
            return notes
        x = last[told][:, _INPUTS]
        self.mean, self.scale = standardiser(x)
        z, minute = standardise(x, self.mean, self.scale), data.rows[told, 1]
        cut, penalty = self.settings.outlier, self.settings.penalty
        y = np.clip(data.y[told] / unit[told], -cut, cut)
        edges = np.linspace(minute.min(), minute.max() + 1, BLOCKS + 1)
        guess = np.full(len(y), np.nan)
        for first, end in pairwise(edges):
            inside = (minute >= first) & (minute < end)
            away = (minute < first - data.horizon) | (minute >= end + data.horizon)
            if inside.any() and away.any():
                guess[inside] = z[inside] @ _solve(z[away], y[away], penalty)
        judged = np.isfinite(guess)
        shrink = shrinkage(guess[judged], y[judged], data.effective_size * float(told.mean()))
        self.beta = shrink * _solve(z, y, penalty)
        self.width = float(np.std(data.y[told] / unit[told] - z @ self.beta)) or 1.0
        return notes | {"shrink": shrink} | dict(zip(INPUTS, map(float, self.beta), strict=True))

    def forecast(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        last = features[:, -1, :]
        unit = usual_move_bps(last, self.horizon)
        # Row by row in memory, and summed so: a row's result must not depend on how many rows there are.
        z = np.ascontiguousarray(standardise(last[:, _INPUTS], self.mean, self.scale))
        mean = unit * (z * self.beta).sum(axis=1)
        stdev = np.maximum(unit * self.width, STDEV_FLOOR_BPS)
        told = known(last) & np.isfinite(mean)
        return only_whole(features[:, -1:], np.where(told, mean, np.nan), np.where(told, stdev, np.nan))

    def write(self, path: Path) -> None:
        np.savez(
            path,
            mean=self.mean,
            scale=self.scale,
            beta=self.beta,
            width=self.width,
            horizon=self.horizon,
            settings=json.dumps(asdict(self.settings)),
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as stored:
            member = cls(int(stored["horizon"]), **json.loads(str(stored["settings"])))
            member.mean, member.scale, member.beta = stored["mean"], stored["scale"], stored["beta"]
            member.width = float(stored["width"])
        return member


def _solve(z: FloatArray, y: FloatArray, penalty: float) -> FloatArray:
    return np.linalg.solve(z.T @ z + penalty * max(len(y), 1) * np.eye(z.shape[1]), z.T @ y)
