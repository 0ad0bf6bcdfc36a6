"""What an ensemble member is, what it learns from, and how far its word is believed.

A member forecasts the log return over the horizon, in basis points, for every instrument at once, from
features alone. It knows no symbol names, no clock and no position, so one row's answer does not depend on
which other rows were asked about.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from core.features import SEQUENCE
from core.messages import FloatArray
from core.units import MINUTE_MS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingSet:
    """Feature tables of S instruments over T minutes, and the samples that may be learned from.

    A sample is a (instrument, minute) pair whose L feature rows and target are all finite.
    """

    features: FloatArray
    """(S, T, F) float64; NaN where not defined."""
    target_bps: FloatArray
    """(S, T) log return from the close of minute t to the close of t + horizon, basis points; NaN where unknown."""
    rows: np.ndarray
    """(N, 2) int64: instrument row and minute index of each sample, ordered by minute."""
    first_minute: int
    """Open time of minute index 0, epoch ms."""
    horizon: int
    """Minutes."""

    @property
    def size(self) -> int:
        return len(self.rows)

    @property
    def first(self) -> int:
        """Minute index of the first sample: what came before it went into look-backs."""
        return int(self.rows[:, 1].min())

    @property
    def y(self) -> FloatArray:
        """(N,) targets, basis points."""
        return self.targets(np.arange(self.size))

    def targets(self, chosen: np.ndarray) -> FloatArray:
        """(n,) targets of the samples with these indices, basis points."""
        return self.target_bps[self.rows[chosen, 0], self.rows[chosen, 1]]

    @property
    def last(self) -> FloatArray:
        """(N, F) newest feature row of each sample."""
        return self.features[self.rows[:, 0], self.rows[:, 1]]

    @property
    def effective_size(self) -> float:
        """How many independent samples these count as.

        Targets overlap for ``horizon`` minutes and instruments move together, so every ``horizon`` distinct
        minutes count once, however many instruments there are. Cautious on purpose.
        """
        return len(np.unique(self.rows[:, 1])) / self.horizon

    def windows(self, chosen: np.ndarray, length: int = SEQUENCE) -> FloatArray:
        """(n, length, F) newest feature rows, at most L of them, of the samples with these indices."""
        symbol, minute = self.rows[chosen, 0], self.rows[chosen, 1]
        steps = np.arange(-length + 1, 1)
        return self.features[symbol[:, None], minute[:, None] + steps]

    def reading(self, columns: np.ndarray) -> Self:
        """With these features (indices) alone."""
        return replace(self, features=self.features[..., columns])

    def where(self, keep: np.ndarray) -> "TrainingSet":
        """Only the samples selected by a mask or by indices."""
        return replace(self, rows=self.rows[keep])

    def between(self, first: int, end: int) -> "TrainingSet":
        """Only the samples with minute index in [first, end)."""
        return self.where((self.rows[:, 1] >= first) & (self.rows[:, 1] < end))

    def minute_of(self, index: int) -> int:
        """Open time of a minute index, epoch ms."""
        return self.first_minute + index * MINUTE_MS


class Member(Protocol):
    """One ensemble member."""

    family: str
    depth: int
    """How many of the newest feature rows a forecast reads; at most L. Whoever forecasts whole histories need not copy
    more than that."""

    def fit(self, data: TrainingSet, seed: int) -> dict[str, float]:
        """Learn; return numbers worth keeping. Deterministic for equal data and seed on one machine."""
        ...

    def forecast(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(S, L, F) float64 → mean and standard deviation, each (S,) in basis points; NaN rows for NaN features."""
        ...

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> Self: ...


def shrinkage(forecast: FloatArray, target: FloatArray, effective_size: float) -> float:
    """Factor in [0, 1] by which an out-of-sample forecast is multiplied before it is believed.

    It is the slope of target on forecast (through the origin), less one standard error of that slope with the
    effective sample size. A forecast that holds no information has a slope around zero, so it is silenced
    rather than traded. Slope calibration: Mincer and Zarnowitz (1969), "The evaluation of economic forecasts".
    """
    power = float(np.mean(forecast * forecast)) if len(forecast) else 0.0
    if power <= 0.0 or effective_size <= 1.0:
        return 0.0
    slope = float(np.mean(forecast * target)) / power
    residual = target - slope * forecast
    error = np.sqrt(float(np.mean(residual * residual)) / power / effective_size)
    return float(np.clip(slope - error, 0.0, 1.0))


def standardiser(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and scale per column of (N, F); a constant column gets scale 1 and so becomes zero."""
    mean = x.mean(axis=0)
    scale = x.std(axis=0)
    return mean, np.where(scale > 1e-12, scale, 1.0)


CLIP = 6.0
"""Standardised features are cut here: one wild minute must not make a wild forecast."""


def standardise(x: FloatArray, mean: FloatArray, scale: FloatArray) -> FloatArray:
    """(..., F) → centred, scaled and cut at ±CLIP; NaN stays NaN."""
    return np.clip((x - mean) / scale, -CLIP, CLIP)
