"""What an ensemble member is, what it learns from, and how far its word is believed.

A member forecasts the log return over the horizon, in basis points, for every instrument at once, from
features alone. It knows no symbol names, no clock and no position, so one row's answer does not depend on
which other rows were asked about.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from core.features import FEATURE_NAMES, SEQUENCE
from core.messages import FloatArray
from core.units import BPS, MINUTE_MS

LEAST_SPANS = 20


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
    """Minutes. The horizon of the vote."""
    also: Mapping[int, FloatArray] = field(default_factory=dict)
    """Further horizons in minutes, and what followed over them, as ``target_bps``."""
    until: int | None = None
    """No return may be known that ends after the close of this minute index, less one; None: as far as bars go."""

    @property
    def size(self) -> int:
        return len(self.rows)

    @property
    def horizons(self) -> tuple[int, ...]:
        """All of them, ascending."""
        return tuple(sorted({self.horizon, *self.also}))

    @property
    def flat(self) -> FloatArray:
        """(R, F) all feature rows one below the other."""
        return self.features.reshape(-1, self.features.shape[-1])

    def newest(self, chosen: np.ndarray) -> np.ndarray:
        """(n,) rows of ``flat`` that are the newest of these samples; the L - 1 before each are its window."""
        return self.rows[chosen, 0] * self.features.shape[1] + self.rows[chosen, 1]

    def ahead(self, chosen: np.ndarray) -> FloatArray:
        """(n, H) what followed over each of ``horizons``, basis points; NaN where it is not known (yet)."""
        columns = [self.targets(chosen) if h == self.horizon else self._also(h, chosen) for h in self.horizons]
        found = np.stack(columns, axis=1)
        if self.until is not None:
            found[self.rows[chosen, 1][:, None] + np.array(self.horizons) >= self.until] = np.nan
        return found

    def learnable(self) -> Self:
        """Without the further horizons that fit into the time less than ``LEAST_SPANS`` times: nothing could be proved of
        a forecast over them."""
        minutes = self.rows[:, 1]
        span = int(minutes.max()) - int(minutes.min()) + 1
        return replace(self, also={h: ahead for h, ahead in self.also.items() if LEAST_SPANS * h <= span})

    def at(self, horizon: int) -> "TrainingSet":
        """For one of ``horizons`` alone, with the samples whose return over it is known."""
        if horizon == self.horizon:
            return replace(self, also={})
        known = np.isfinite(self.ahead(np.arange(self.size))[:, self.horizons.index(horizon)])
        return replace(self.where(known), horizon=horizon, also={}, target_bps=self.also[horizon])

    def _also(self, horizon: int, chosen: np.ndarray) -> FloatArray:
        return self.also[horizon][self.rows[chosen, 0], self.rows[chosen, 1]]

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
        """``effective(horizon)`` of the vote's horizon."""
        return self.effective(self.horizon)

    def effective(self, horizon: int) -> float:
        """How many independent samples these count as.

        Targets overlap for ``horizon`` minutes and instruments move together, so every ``horizon`` distinct
        minutes count once, however many instruments there are. Cautious on purpose.
        """
        return len(np.unique(self.rows[:, 1])) / horizon

    def windows(self, chosen: np.ndarray, length: int = SEQUENCE) -> FloatArray:
        """(n, length, F) newest feature rows, at most L of them, of the samples with these indices."""
        symbol, minute = self.rows[chosen, 0], self.rows[chosen, 1]
        steps = np.arange(-length + 1, 1)
        return self.features[symbol[:, None], minute[:, None] + steps]

    def where(self, keep: np.ndarray) -> "TrainingSet":
        """Only the samples selected by a mask or by indices."""
        return replace(self, rows=self.rows[keep])

    def between(self, first: int, end: int) -> "TrainingSet":
        """Only the samples with minute index in [first, end); of longer horizons, only what is known when the last
        of them has its target: who learns on this part learns of no later minute."""
        known = end + self.horizon if self.until is None else min(self.until, end + self.horizon)
        kept = self.where((self.rows[:, 1] >= first) & (self.rows[:, 1] < end))
        return replace(kept, until=known)

    def minute_of(self, index: int) -> int:
        """Open time of a minute index, epoch ms."""
        return self.first_minute + index * MINUTE_MS


class Member(Protocol):
    """One ensemble member."""

    family: str
    settings: Any
    """Its hyper-parameters: a frozen dataclass, one field each, all with defaults; kept with what was learned."""
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


TAIL_SHARE = 0.2
"""The newest part of time, on which learning is stopped, shrunk and calibrated."""
PROBE = 2_000
"""Samples of it that are looked at, spread evenly."""


def purged_tail(data: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
    """(what to learn from, what to judge it by): the older part of time and the newest, the longest horizon apart.

    Raises ValueError where one of them would be empty.
    """
    minutes = data.rows[:, 1]
    first, end = int(minutes.min()), int(minutes.max()) + 1
    split = int(end - TAIL_SHARE * (end - first))
    train, tail = data.between(first, split - max(data.horizons)), data.between(split, end)
    if not train.size or not tail.size:
        raise ValueError(f"{data.size} samples over {end - first} minutes are too few to learn and to judge by")
    return train, tail.where(np.linspace(0, tail.size - 1, min(tail.size, PROBE)).astype(np.int64))


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


_RV_60 = FEATURE_NAMES.index("rv_60")


def usual_move_bps(last: FloatArray, horizon: int) -> FloatArray:
    """(N, F) newest features → (N,) standard deviation of the return over the horizon by the last hour."""
    return last[:, _RV_60] * np.sqrt(horizon) * BPS


LEAST_MOVE = 0.1


def least_move_bps(last: FloatArray) -> float:
    """Basis points a minute below which no usual move is taken: a tenth of the median of (N, F) training rows, as a
    standstill is no unit; 1 where nothing ever moved."""
    return LEAST_MOVE * max(float(np.median(usual_move_bps(last, 1))), 0.0) or 1.0


def moves_bps(last: FloatArray, horizons: tuple[int, ...], least_bps: float) -> FloatArray:
    """(N, F) newest features → (N, H) usual moves over each horizon, none below that of ``least_bps`` a minute."""
    one = np.maximum(usual_move_bps(last, 1), least_bps)
    return one[:, None] * np.sqrt(np.array(horizons, dtype=np.float64))


def only_whole(rows: FloatArray, mean: FloatArray, stdev: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A member's answer (S,) or (S, H) for the feature rows (S, D, F) that it read: NaN, mean and stdev, for each
    instrument of which one is NaN or infinite. An infinite feature is a broken one, not an extreme one."""
    whole = np.isfinite(rows).all(axis=(1, 2))
    if whole.all():
        return mean, stdev
    whole = whole.reshape(-1, *(1,) * (mean.ndim - 1))
    return np.where(whole, mean, np.nan), np.where(whole, stdev, np.nan)


def calibrated(
    mean: FloatArray, stdev: FloatArray, target: FloatArray, moves: FloatArray, data: TrainingSet
) -> tuple[FloatArray, FloatArray]:
    """(shrinkage of the mean, factor on the stdev), (H,) each, from forecasts (N, H) of the samples of ``data`` that were
    not learned from, what followed (NaN where it is not known), and the usual moves.

    Both are judged in usual moves: in basis points a few wild hours would decide. A horizon of which nothing is known
    is silenced.
    """
    shrink, widen = np.zeros(len(data.horizons)), np.ones(len(data.horizons))
    for h, horizon in enumerate(data.horizons):
        known = np.isfinite(target[:, h])
        if known.any():
            m, y = mean[known, h] / moves[known, h], target[known, h] / moves[known, h]
            shrink[h] = shrinkage(m, y, data.effective(horizon))
            widen[h] = float(np.sqrt(np.mean(((y - shrink[h] * m) * moves[known, h] / stdev[known, h]) ** 2)))
    return shrink, widen


def standardiser(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and scale per column of (N, F); a constant column gets scale 1 and so becomes zero."""
    mean = x.mean(axis=0)
    scale = x.std(axis=0)
    return mean, np.where(scale > 1e-12, scale, 1.0)


CLIP = 6.0
"""Standardised features are cut here: one wild minute must not make a wild forecast."""


def standardise(x: FloatArray, mean: FloatArray, scale: FloatArray) -> FloatArray:
    """(..., F) → centred, scaled and cut at ±CLIP; NaN stays NaN."""
    z = np.asarray(x - mean)
    z /= scale
    return np.clip(z, -CLIP, CLIP, out=z)


def standardise32(x: np.ndarray, mean: FloatArray, scale: FloatArray) -> np.ndarray:
    """The same of float32 rows, in float32: what a network reads. A feature is known to seven digits then, and the window
    of a minute is half as large."""
    return standardise(x, mean.astype(np.float32), scale.astype(np.float32))
