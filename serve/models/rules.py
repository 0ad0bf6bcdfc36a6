"""Chart rules with a price: EMA cross, RSI, breakout and volume-confirmed move, each worth what it was worth on the
training data.

Signals are in [-1, 1]; a coefficient says which fraction of the horizon's usual move (realised volatility of the
last hour, scaled to the horizon by the square root of time) one unit of a signal is worth.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from core.features import FEATURE_NAMES
from core.messages import FloatArray
from serve.models.base import TrainingSet, only_whole, shrinkage, usual_move_bps
from serve.models.horizons import OneByOne
from serve.models.hyper import made

SIGNALS = ("ema_cross", "rsi", "breakout", "confirmed")
DEFAULTS = (0.05, 0.05, 0.05, 0.05)
"""Coefficients before any training: follow the cross, fade the extreme, follow the break and the confirmed
move, each cautiously."""
RSI_EDGE = 0.4
"""The classic 30 and 70 lines, on RSI/50 - 1."""
BREAK_EDGE = 0.1
"""A break is a close within this share of the hour's range from its high or low."""
SURGE = (2.0, 4.0)
"""A move counts as confirmed from the first of these volume z-scores on, fully from the second."""
MEMORY = 15
"""Minutes over which a confirmed move fades."""
STDEV_FLOOR_BPS = 0.1

EMA_GAP, RSI, RANGE, RV, RETURN, VOLUME_Z = (
    FEATURE_NAMES.index(n) for n in ("ema_gap", "rsi_14", "range_pos_60", "rv_60", "ret_1", "volume_z_60")
)


def confirmed_move(rows: FloatArray) -> FloatArray:
    """(..., F) feature rows → (...) in [-1, 1]: the minute's move against the usual one, where volume confirms it.

    That volume goes with moves that mean something is surveyed by Karpoff (1987), "The relation between price
    changes and trading volume".
    """
    size = np.tanh(_over(rows[..., RETURN], 2.0 * rows[..., RV]))
    return size * np.clip((rows[..., VOLUME_Z] - SURGE[0]) / (SURGE[1] - SURGE[0]), 0.0, 1.0)


def signals(recent: FloatArray) -> FloatArray:
    """(N, H, F) feature rows of the last H minutes → (N, 4) signals of ``SIGNALS`` in [-1, 1].

    EMA cross: the gap of two averages against the move expected in the slow one's span. RSI (Wilder 1978): how far
    beyond 30 or 70, faded. Breakout (Donchian): how near the close is to the hour's high or low, followed.
    Confirmed: the confirmed moves of the last H minutes, fading evenly to nothing.
    """
    last = recent[:, -1, :]
    cross = np.tanh(_over(last[:, EMA_GAP], last[:, RV] * np.sqrt(26.0)))
    rsi, place = last[:, RSI], last[:, RANGE]
    faded = (np.maximum(-RSI_EDGE - rsi, 0.0) - np.maximum(rsi - RSI_EDGE, 0.0)) / (1.0 - RSI_EDGE)
    followed = (np.maximum(place - (1.0 - BREAK_EDGE), 0.0) - np.maximum(BREAK_EDGE - place, 0.0)) / BREAK_EDGE
    fading = np.arange(1, recent.shape[1] + 1) / recent.shape[1]
    confirmed = np.clip((confirmed_move(recent) * fading).sum(axis=1), -1.0, 1.0)
    return np.stack([cross, faded, followed, confirmed], axis=1)


def _over(value: FloatArray, unit: FloatArray) -> FloatArray:
    """value / unit, 0 where the unit is 0."""
    return np.divide(value, unit, out=np.zeros_like(value), where=unit != 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    penalty: float = 1e-2
    """Per sample on the coefficients."""
    outlier: float = 5.0
    """Returns are cut at this many usual moves while fitting."""
    fixed: float = 0.0
    """Above 0 nothing is learnt: every coefficient is this. A member that speaks up without having proved anything, to
    see what limits and costs do with it."""


class ChartRules(OneByOne):
    """mean = usual move · (signals · coefficients); stdev = usual move · width."""

    family = "rules"
    Settings: ClassVar[type[Settings]] = Settings
    FILE = "rules.json"
    depth = MEMORY

    def __init__(self, horizon: int = 15, **hyper: Any) -> None:
        super().__init__()
        self.settings = made(Settings, self.family, hyper)
        self.horizon = horizon
        self.coefficients = np.array(DEFAULTS)
        self.width = 1.0

    def fit_one(self, data: TrainingSet) -> dict[str, float]:
        """Least squares of the return over the usual move on the signals, shrunk by how well coefficients from one
        half of the time (less one horizon) hold in the other."""
        self.horizon = data.horizon
        if self.settings.fixed:
            self.coefficients = np.full(len(SIGNALS), self.settings.fixed)
            return {"fixed": self.settings.fixed}
        unit = usual_move_bps(data.last, data.horizon)
        live = unit > STDEV_FLOOR_BPS
        if live.sum() < 10:
            # Nothing moved: nothing is known of what a signal is worth.
            self.coefficients = np.zeros(len(SIGNALS))
            return {"shrink": 0.0, "samples": float(live.sum())}
        x, minute = self._signals_of(data)[live], data.rows[live, 1]
        cut, penalty = self.settings.outlier, self.settings.penalty
        y = np.clip(data.y[live] / unit[live], -cut, cut)
        middle = (minute.min() + minute.max()) // 2
        early, late = minute < middle - data.horizon, minute >= middle
        guess = np.zeros(len(y))
        guess[late] = x[late] @ _solve(x[early], y[early], penalty)
        guess[early] = x[early] @ _solve(x[late], y[late], penalty)
        shrink = shrinkage(guess[early | late], y[early | late], data.effective_size)
        self.coefficients = shrink * _solve(x, y, penalty)
        self.width = float(np.std(data.y[live] / unit[live] - x @ self.coefficients)) or 1.0
        named = {name: float(value) for name, value in zip(SIGNALS, self.coefficients, strict=True)}
        return {"shrink": shrink, "width": self.width} | named

    def _signals_of(self, data: TrainingSet, batch: int = 4_096) -> FloatArray:
        """(N, 4), a few windows in memory at a time."""
        starts = range(0, data.size, batch)
        return np.concatenate([signals(data.windows(np.arange(k, min(k + batch, data.size)), MEMORY)) for k in starts])

    def forecast(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        last = features[:, -1, :]
        unit = usual_move_bps(last, self.horizon)
        mean = unit * (signals(features[:, -MEMORY:]) * self.coefficients).sum(axis=1)
        stdev = np.maximum(unit * self.width, STDEV_FLOOR_BPS)
        return only_whole(features[:, -MEMORY:], mean, stdev)

    def write(self, path: Path) -> None:
        stored = {"horizon": self.horizon, "coefficients": self.coefficients.tolist(), "width": self.width}
        stored["settings"] = asdict(self.settings)
        path.write_text(json.dumps(stored), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        stored = json.loads(path.read_text(encoding="utf-8"))
        member = cls(stored["horizon"], **stored["settings"])
        member.coefficients = np.array(stored["coefficients"])
        member.width = stored["width"]
        return member


def _solve(x: FloatArray, y: FloatArray, penalty: float) -> FloatArray:
    return np.linalg.solve(x.T @ x + penalty * max(len(y), 1) * np.eye(x.shape[1]), x.T @ y)
