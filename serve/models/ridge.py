"""Ridge regression on the newest feature row, in closed form, for mean and for variance.

The return is taken over its usual move (volatility of the last hour): an hour that moves ten times as much is not a
hundred times the lesson, and what is left of the variance to explain is small.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from core.messages import FloatArray
from serve.models.base import (
    TrainingSet,
    least_move_bps,
    moves_bps,
    only_whole,
    shrinkage,
    standardise,
    standardiser,
)
from serve.models.horizons import OneByOne
from serve.models.hyper import made

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Penalty per sample on standardised coefficients, tried by cross-validation."""
BLOCKS = 5
LOG_SPREAD_MOST = 8.0
"""Log variances, in usual moves, are kept within this: a feature far from all that was seen must not make a width absurd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    penalty: float = 0.0
    """Per sample on standardised coefficients; 0: the best of ``PENALTIES`` by cross-validation."""
    outlier: float = 5.0
    """Targets are cut at this many standard deviations while fitting."""


class Ridge(OneByOne):
    """mean = usual move · shrink · z·beta; stdev = usual move · exp((gamma0 + z·gamma) / 2), z the standardised features."""

    family = "ridge"
    Settings: ClassVar[type[Settings]] = Settings
    FILE = "ridge.npz"
    depth = 1

    def __init__(self, **hyper: Any) -> None:
        super().__init__()
        self.settings = made(Settings, self.family, hyper)
        self.horizon = 15
        self.mean = self.scale = self.beta = self.gamma = np.empty(0)
        self.gamma0 = 0.0
        self.shrink = 0.0
        self.floor_bps = 0.0
        """Usual move of one minute below which it counts as this."""

    def fit_one(self, data: TrainingSet) -> dict[str, float]:
        """Choose the penalty on contiguous blocks of time, then fit on everything.

        Blocks are separated by a gap of one horizon, so that no target reaches into the block it is tested on.
        Solution: Hoerl and Kennard (1970), ``(Z'Z + λ n I)⁻¹ Z'y``.
        """
        self.horizon = data.horizon
        x = data.last
        self.floor_bps = least_move_bps(x)
        raw = data.y / self._move(x)
        self.mean, self.scale = standardiser(x)
        z = standardise(x, self.mean, self.scale)
        cut = self.settings.outlier * raw.std()
        y = np.clip(raw, -cut, cut)
        # The drift of a few days says nothing about the next: no intercept on the mean.
        block = _blocks(data)
        gram = [z[block == b].T @ z[block == b] for b in range(BLOCKS)]
        moment = [z[block == b].T @ y[block == b] for b in range(BLOCKS)]
        count = np.bincount(block[block >= 0], minlength=BLOCKS)
        used = block >= 0
        best_error, penalty, best = np.inf, PENALTIES[-1], np.zeros(len(y))
        for candidate in (self.settings.penalty,) if self.settings.penalty else PENALTIES:
            guess = np.zeros(len(y))
            for b in range(BLOCKS):
                others = [k for k in range(BLOCKS) if k != b]
                weight = candidate * max(1, sum(count[k] for k in others))
                beta = _solve(sum(gram[k] for k in others), sum(moment[k] for k in others), weight)
                guess[block == b] = z[block == b] @ beta
            error = float(np.mean((y[used] - guess[used]) ** 2))
            if error < best_error:
                best_error, penalty, best = error, candidate, guess
        self.shrink = shrinkage(best[used], y[used], data.effective_size)
        self.beta = _solve(z.T @ z, z.T @ y, penalty * len(y))
        residual = raw - self.shrink * (z @ self.beta)
        self._fit_variance(z, residual)
        cv_r2 = 1.0 - best_error / (float(np.mean(y[used] ** 2)) or 1.0)
        return {"penalty": penalty, "shrink": self.shrink, "cv_r2": cv_r2}

    def _fit_variance(self, z: FloatArray, residual: FloatArray) -> None:
        """Regress log squared residuals on z (Harvey 1976, multiplicative heteroscedasticity), then scale so that
        squared standardised residuals average one."""
        square = residual**2
        log_square = np.log(square + 1e-2 * square.mean() + 1e-12)
        self.gamma = _solve(z.T @ z, z.T @ (log_square - log_square.mean()), 1e-2 * len(z))
        self.gamma0 = float(np.log(np.mean(square * np.exp(-(z @ self.gamma))) + 1e-12))

    def forecast(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        last = features[:, -1, :]
        z, move = standardise(last, self.mean, self.scale), self._move(last)
        # Row sums, not a matrix product: a row's result must not depend on how many rows there are.
        mean = move * (self.shrink * (z * self.beta).sum(axis=1))
        spread = np.clip(self.gamma0 + (z * self.gamma).sum(axis=1), -LOG_SPREAD_MOST, LOG_SPREAD_MOST)
        stdev = move * np.exp(0.5 * spread)
        return only_whole(features[:, -1:], mean, stdev)

    def _move(self, last: FloatArray) -> FloatArray:
        """(N, F) newest features → (N,) usual move over the horizon, basis points."""
        return moves_bps(last, (self.horizon,), self.floor_bps)[:, 0]

    def write(self, path: Path) -> None:
        np.savez(
            path,
            horizon=self.horizon,
            floor_bps=self.floor_bps,
            mean=self.mean,
            scale=self.scale,
            beta=self.beta,
            gamma=self.gamma,
            gamma0=self.gamma0,
            shrink=self.shrink,
            settings=json.dumps(asdict(self.settings)),
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as stored:
            member = cls(**json.loads(str(stored["settings"])))
            member.horizon, member.floor_bps = int(stored["horizon"]), float(stored["floor_bps"])
            member.mean, member.scale = stored["mean"], stored["scale"]
            member.beta, member.gamma = stored["beta"], stored["gamma"]
            member.gamma0, member.shrink = float(stored["gamma0"]), float(stored["shrink"])
        return member


def _solve(gram: FloatArray, moment: FloatArray, penalty: float) -> FloatArray:
    return np.linalg.solve(gram + penalty * np.eye(len(gram)), moment)


def _blocks(data: TrainingSet) -> np.ndarray:
    """Block number of each sample by time, -1 in the gap of one horizon at each block's end."""
    minute = data.rows[:, 1]
    first, last = int(minute.min()), int(minute.max()) + 1
    edges = np.linspace(first, last, BLOCKS + 1)
    block = np.clip(np.searchsorted(edges, minute, side="right") - 1, 0, BLOCKS - 1)
    gap = (edges[block + 1] - minute <= data.horizon) & (block < BLOCKS - 1)
    return np.where(gap, -1, block)
