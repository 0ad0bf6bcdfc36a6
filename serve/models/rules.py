"""Chart rules with a price: EMA cross, RSI and breakout, each worth what it was worth on the training data.

Signals are in [-1, 1]; a coefficient says which fraction of the horizon's usual move (realised volatility of the
last hour, scaled to the horizon by the square root of time) one unit of a signal is worth.
"""

import json
from pathlib import Path
from typing import Self

import numpy as np

from core.features import FEATURE_NAMES
from core.messages import FloatArray
from core.units import BPS
from serve.models.base import TrainingSet, shrinkage

FILE = "rules.json"
SIGNALS = ("ema_cross", "rsi", "breakout")
DEFAULTS = (0.05, 0.05, 0.05)
"""Coefficients before any training: follow the cross, fade the extreme, follow the break, each cautiously."""
RSI_EDGE = 0.4
"""The classic 30 and 70 lines, on RSI/50 - 1."""
BREAK_EDGE = 0.1
"""A break is a close within this share of the hour's range from its high or low."""
PENALTY = 1e-2
STDEV_FLOOR_BPS = 0.1

EMA_GAP, RSI, RANGE, RV = (FEATURE_NAMES.index(n) for n in ("ema_gap", "rsi_14", "range_pos_60", "rv_60"))


def usual_move_bps(last: FloatArray, horizon: int) -> FloatArray:
    """(N, F) newest features → (N,) standard deviation of the return over the horizon by the last hour."""
    return last[:, RV] * np.sqrt(horizon) * BPS


def signals(last: FloatArray) -> FloatArray:
    """(N, F) newest features → (N, 3) signals of ``SIGNALS`` in [-1, 1].

    EMA cross: the gap of two averages against the move expected in the slow one's span. RSI (Wilder 1978): how far
    beyond 30 or 70, faded. Breakout (Donchian): how near the close is to the hour's high or low, followed.
    """
    expected = last[:, RV] * np.sqrt(26.0)
    cross = np.tanh(np.divide(last[:, EMA_GAP], expected, out=np.zeros(len(last)), where=expected != 0.0))
    rsi, place = last[:, RSI], last[:, RANGE]
    faded = (np.maximum(-RSI_EDGE - rsi, 0.0) - np.maximum(rsi - RSI_EDGE, 0.0)) / (1.0 - RSI_EDGE)
    followed = (np.maximum(place - (1.0 - BREAK_EDGE), 0.0) - np.maximum(BREAK_EDGE - place, 0.0)) / BREAK_EDGE
    return np.stack([cross, faded, followed], axis=1)


class ChartRules:
    """mean = usual move · (signals · coefficients); stdev = usual move · width."""

    family = "rules"

    def __init__(self, horizon: int = 15) -> None:
        self.horizon = horizon
        self.coefficients = np.array(DEFAULTS)
        self.width = 1.0

    def fit(self, data: TrainingSet, seed: int = 0) -> dict[str, float]:
        """Least squares of the return over the usual move on the signals, shrunk by how well coefficients from one
        half of the time (less one horizon) hold in the other. ``seed`` is not needed: nothing is drawn."""
        self.horizon = data.horizon
        unit = usual_move_bps(data.last, data.horizon)
        live = unit > STDEV_FLOOR_BPS
        if live.sum() < 10:
            return {"shrink": 1.0, "samples": float(live.sum())}
        x, minute = signals(data.last)[live], data.rows[live, 1]
        y = np.clip(data.y[live] / unit[live], -5.0, 5.0)
        middle = (minute.min() + minute.max()) // 2
        early, late = minute < middle - data.horizon, minute >= middle
        guess = np.zeros(len(y))
        guess[late] = x[late] @ _solve(x[early], y[early])
        guess[early] = x[early] @ _solve(x[late], y[late])
        shrink = shrinkage(guess[early | late], y[early | late], data.effective_size)
        self.coefficients = shrink * _solve(x, y)
        self.width = float(np.std(data.y[live] / unit[live] - x @ self.coefficients)) or 1.0
        named = {name: float(value) for name, value in zip(SIGNALS, self.coefficients, strict=True)}
        return {"shrink": shrink, "width": self.width} | named

    def forecast(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        last = features[:, -1, :]
        unit = usual_move_bps(last, self.horizon)
        mean = unit * (signals(last) * self.coefficients).sum(axis=1)
        stdev = np.maximum(unit * self.width, STDEV_FLOOR_BPS)
        whole = np.isfinite(last).all(axis=1)
        return np.where(whole, mean, np.nan), np.where(whole, stdev, np.nan)

    def save(self, folder: Path) -> None:
        stored = {"horizon": self.horizon, "coefficients": self.coefficients.tolist(), "width": self.width}
        (folder / FILE).write_text(json.dumps(stored), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        stored = json.loads((folder / FILE).read_text(encoding="utf-8"))
        member = cls(stored["horizon"])
        member.coefficients = np.array(stored["coefficients"])
        member.width = stored["width"]
        return member


def _solve(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.linalg.solve(x.T @ x + PENALTY * max(len(y), 1) * np.eye(x.shape[1]), x.T @ y)
