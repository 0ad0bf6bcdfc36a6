"""Confidence bands by the stationary bootstrap: resampled runs made of blocks of random length of the real one.

Politis & Romano 1994, "The Stationary Bootstrap", JASA 89(428): blocks begin anywhere with equal chance and have a
geometric length, the series is taken as a circle. So what follows what within hours or days is kept.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from core.messages import FloatArray
from tune.stats.sampling import Sampled

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
FAN_POINTS = 200
"""Points in time at which the fan of equity is kept."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bands:
    """Quantiles by ``QUANTILES`` over the resampled runs."""

    resamples: int
    block: float
    """Mean block length, periods."""
    means: FloatArray
    """(resamples,) mean net return of one period, sorted."""
    mean: dict[float, float]
    """Its quantiles."""
    sharpe: dict[float, float]
    """Annual; a resampled run that does not vary counts as 0."""
    drawdown: dict[float, float]
    """Largest fall, 0..1."""
    total: dict[float, float]
    """Return of the whole run."""
    fan_at: np.ndarray
    """(P,) int64 epoch ms."""
    fan: FloatArray
    """(Q, P) equity, USDT."""


def block_length(returns: FloatArray, circular: bool = False, bandwidth: int | None = None) -> float:
    """Mean block length that estimates the spread of the mean of (n,) returns best; at least 1.

    Politis & White 2004, "Automatic Block-Length Selection for the Dependent Bootstrap", Econometric Reviews 23(1),
    with the correction of Patton, Politis & White 2009, Econometric Reviews 28(4): b = (2·G²/D·n)^(1/3), D = 2·g(0)²
    for the stationary bootstrap and 4/3·g(0)² for the circular one, sums over lags weighted by the flat-top window of
    Politis & Romano 1995. The length is at most min(3·sqrt(n), n/3).

    ``bandwidth`` is twice the smallest m >= 1 after which K = max(5, log10 n) autocorrelations in a row are
    insignificant (their footnote c). The Python package arch takes the first insignificant lag for m, one more.
    """
    x = np.asarray(returns, dtype=np.float64)
    n = len(x)
    if n < 8:
        return 1.0
    x = x - x.mean()
    if not float(x @ x) > 0.0:
        return 1.0
    run = max(5, int(math.log10(n)))
    longest = min(math.ceil(math.sqrt(n)) + run, n - 2)
    covariance = np.array([float(x[k:] @ x[: n - k]) for k in range(longest + 1)]) / n
    if bandwidth is None:
        bandwidth = _bandwidth(x, run, longest)
    lags = np.arange(1, bandwidth + 1)
    window = np.minimum(1.0, 2.0 * (1.0 - lags / bandwidth))
    slope = 2.0 * float(np.sum(window * lags * covariance[1 : bandwidth + 1]))
    density = float(covariance[0] + 2.0 * np.sum(window * covariance[1 : bandwidth + 1]))
    spread = (4.0 / 3.0 if circular else 2.0) * density**2
    if spread <= 0.0:
        return 1.0
    length = (2.0 * slope**2 / spread * n) ** (1.0 / 3.0)
    return float(min(max(1.0, length), math.ceil(min(3.0 * math.sqrt(n), n / 3.0))))


def _bandwidth(x: FloatArray, run: int, longest: int) -> int:
    band = 2.0 * math.sqrt(math.log10(len(x)) / len(x))
    quiet = np.array([abs(_correlation(x, lag)) < band for lag in range(1, longest + 1)])
    for m in range(len(quiet) - run + 1):
        if quiet[m : m + run].all():
            return min(2 * max(m, 1), longest)
    return longest


def _correlation(x: FloatArray, lag: int) -> float:
    """Between the series and itself ``lag`` later, each part by its own size."""
    ahead, behind = x[lag:], x[: len(x) - lag]
    size = math.sqrt(float(ahead @ ahead) * float(behind @ behind))
    return float(ahead @ behind) / size if size > 0.0 else 0.0


@njit(cache=True)
def _resample(returns, rng, resamples, leave, sums, squares, falls, totals, points, fan):  # pragma: no cover
    """Walk ``resamples`` runs; a block is left with chance ``leave`` after each period."""
    n = len(returns)
    for b in range(resamples):
        at = 0
        total = square = fall = 0.0
        equity = peak = 1.0
        kept = 0
        for i in range(n):
            if i == 0 or rng.random() < leave:
                at = int(rng.random() * n)
            else:
                at += 1
                if at == n:
                    at = 0
            value = returns[at]
            total += value
            square += value * value
            equity *= 1.0 + value
            if equity > peak:
                peak = equity
            elif 1.0 - equity / peak > fall:
                fall = 1.0 - equity / peak
            if kept < len(points) and points[kept] == i:
                fan[b, kept] = equity
                kept += 1
        sums[b], squares[b], falls[b], totals[b] = total, square, fall, equity


def bootstrap(
    sample: Sampled,
    rng: np.random.Generator,
    resamples: int = 2_000,
    block: float | None = None,
    fan: bool = True,
) -> Bands | None:
    """Bands of mean, Sharpe ratio, drawdown and equity of a run; None below two returns.

    ``block`` is the mean block length in periods, ``block_length`` of the returns when not given; without ``fan``
    only its start and end are kept.
    """
    returns = np.ascontiguousarray(sample.returns)
    n = len(returns)
    if n < 2:
        return None
    block = block_length(returns) if block is None else max(1.0, float(block))
    points = np.unique(np.linspace(0, n - 1, min(n, FAN_POINTS)).astype(np.int64)) if fan else np.array([n - 1])
    sums, squares, falls, totals = (np.empty(resamples) for _ in range(4))
    paths = np.empty((resamples, len(points)))
    _resample(returns, rng, resamples, 1.0 / block, sums, squares, falls, totals, points, paths)
    mean = sums / n
    variance = np.maximum(squares / n - mean**2, 0.0)
    varies = variance > (1e-7 * np.maximum(np.abs(mean), 1e-12)) ** 2
    sharpe = np.where(varies, mean / np.sqrt(np.where(varies, variance, 1.0)), 0.0) * math.sqrt(sample.per_year)
    return Bands(
        resamples=resamples,
        block=block,
        means=np.sort(mean),
        mean=_quantiles(mean),
        sharpe=_quantiles(sharpe),
        drawdown=_quantiles(falls),
        total=_quantiles(totals - 1.0),
        fan_at=np.append(sample.at[0], sample.at[points + 1]),
        fan=sample.equity[0] * np.hstack([np.ones((len(QUANTILES), 1)), np.quantile(paths, QUANTILES, axis=0)]),
    )


def _quantiles(values: FloatArray) -> dict[float, float]:
    return dict(zip(QUANTILES, (float(v) for v in np.quantile(values, QUANTILES)), strict=True))
