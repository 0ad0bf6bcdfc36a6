"""How good forecasts were on minutes that nothing was learned from, in one number and in the figures beside it.

The number is the gain of the mean in log likelihood over always saying zero, both under one yardstick of uncertainty: the
usual move of the last hour (``usual_move_bps``), scaled on what was learned from. For a return y, a forecast m and that
deviation s it is m·(2y − m) / 2s², in nats (a logarithmic score, Gneiting & Raftery 2007, "Strictly Proper Scoring
Rules", JASA 102): above 0 the forecast knew something, 0 is silence, below 0 it would have been better silent. Returns
are cut at six of these deviations, so that one minute does not decide.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.messages import FloatArray
from serve.models.base import TrainingSet
from serve.models.rules import STDEV_FLOOR_BPS, usual_move_bps
from tune.stats.sharpe import Moments, Trials, deflated_sharpe
from tune.train import score

CUT = 6.0
TIE_BREAK = 1e-3
"""What the stdev's part counts beside the mean's: enough to tell apart two that are silent, never more."""
WORST = -10.0
"""Nats a forecast may lose by its stdev: one absurd row is enough of a verdict."""
BLOCK_MINUTES = 60
"""The series by which luck is told from skill: the mean gain of each hour."""
HOURS_A_YEAR = 365.0 * 24.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """One test part."""

    gain: float
    """Mean over the judged minutes, nats a forecast."""
    stdev_gain: float
    """What its own stdev adds to the log likelihood over the yardstick's, nats a forecast."""
    figures: dict[str, float]
    """``ic``, ``mse_vs_zero``, ``coverage_80``, ``n``, ``spoke``: share of the minutes with a forecast."""
    hour: np.ndarray
    """(H,) absolute hours, ascending."""
    series: FloatArray
    """(H,) mean gain of each."""


def yardstick(data: TrainingSet) -> float:
    """What the usual move is multiplied by to be the standard deviation of what was learned from."""
    return float(np.sqrt(np.mean((data.y / _move(data)) ** 2))) or 1.0


def _move(data: TrainingSet) -> FloatArray:
    return np.maximum(usual_move_bps(data.last, data.horizon), STDEV_FLOOR_BPS)


def judge(mean: FloatArray, stdev: FloatArray, data: TrainingSet, width: float) -> Judged:
    """Judge the forecasts (N,) of the samples of ``data``; where there is none (NaN) it was silent."""
    scale = width * _move(data)
    y = np.clip(data.y, -CUT * scale, CUT * scale)
    spoke = np.isfinite(mean) & np.isfinite(stdev) & (np.nan_to_num(stdev) > 0.0)
    said, own = np.where(spoke, mean, 0.0), np.where(spoke, stdev, scale)
    gain = said * (2.0 * y - said) / (2.0 * scale**2)
    # log N(y; m, own) - log N(y; m, scale)
    error = (y - said) ** 2
    by_stdev = np.log(scale / own) - error / 2.0 * (1.0 / own**2 - 1.0 / scale**2)
    hours = (data.first_minute // 60_000 + data.rows[:, 1]) // BLOCK_MINUTES
    hour, place = np.unique(hours, return_inverse=True)
    series = np.bincount(place, weights=gain) / np.bincount(place)
    plain = score(said[spoke], own[spoke], data.y[spoke])
    return Judged(
        gain=float(gain.mean()),
        stdev_gain=float(np.maximum(by_stdev, WORST).mean()),
        figures=plain | {"n": float(len(gain)), "spoke": float(spoke.mean())},
        hour=hour,
        series=series,
    )


def together(parts: Sequence[Judged]) -> Judged:
    """Several test parts as one; every judged minute counts the same."""
    weight = np.array([p.figures["n"] for p in parts])
    weight = weight / weight.sum()

    def mean_of(values: Sequence[float]) -> float:
        return float(np.dot(weight, values))

    names = parts[0].figures.keys() - {"n"}
    return Judged(
        gain=mean_of([p.gain for p in parts]),
        stdev_gain=mean_of([p.stdev_gain for p in parts]),
        figures={name: mean_of([p.figures[name] for p in parts]) for name in sorted(names)}
        | {"n": float(sum(p.figures["n"] for p in parts))},
        hour=np.concatenate([p.hour for p in parts]),
        series=np.concatenate([p.series for p in parts]),
    )


def objective(gain: float, stdev_gain: float) -> float:
    """What the search makes large."""
    return gain + TIE_BREAK * stdev_gain


def ratio(series: FloatArray) -> float | None:
    """Mean over standard deviation of the hours' gains, a year; None where they do not vary."""
    moments = Moments.of(series)
    return None if moments is None else moments.sharpe * math.sqrt(HOURS_A_YEAR)


def deflated(series: FloatArray, ratios: Sequence[float | None], trials: int) -> float | None:
    """Probability that the true ratio of a trial is above what luck shows as the best of ``trials``, whose own ratios
    lay as far apart as ``ratios`` (Bailey & López de Prado 2014, on hourly gains instead of returns). None for one that
    was silent."""
    moments = Moments.of(series)
    if moments is None:
        return None
    spread = Trials.of(list(ratios))
    variance = Trials(count=max(1, trials), variance=spread.variance).period_variance(
        moments.observations, HOURS_A_YEAR
    )
    return deflated_sharpe(moments, max(1, trials), variance)
