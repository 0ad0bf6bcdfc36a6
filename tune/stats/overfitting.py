"""Probability of backtest overfitting: would the best trial of one half of the time have been good in the other?

Bailey, Borwein, López de Prado & Zhu 2017, "The Probability of Backtest Overfitting", Journal of Computational
Finance 20(4) (SSRN 2326253): combinatorially symmetric cross-validation (CSCV). Time is cut into S blocks; each of the
C(S, S/2) halves of the blocks is once in sample, its complement out of sample.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from core.messages import FloatArray

CHUNK = 4_000_000
"""Numbers held at a time while the halves are gone through."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overfitting:
    """What CSCV found over all C(S, S/2) halves."""

    trials: int
    observations: int
    blocks: int
    pbo: float
    """Share of the halves whose best trial is below the median of the other half; exactly the median counts half."""
    logits: FloatArray
    """(C,) ln(w / (1 - w)), w the rank of the in-sample best among the out-of-sample results over N + 1."""
    in_sample: FloatArray
    """(C,) Sharpe ratio of one period of the best trial where it was chosen."""
    out_of_sample: FloatArray
    """(C,) Sharpe ratio of the same trial in the other half."""
    slope: float | None
    """Of out-of-sample on in-sample results (performance degradation); None when the latter do not vary."""
    intercept: float | None
    r_squared: float | None
    loss: float
    """Share of the halves whose best trial lost in the other half."""


def overfitting(returns: FloatArray, blocks: int = 16) -> Overfitting | None:
    """CSCV over (T, N) returns of N trials in the same T periods, by the Sharpe ratio; S = ``blocks``, even.

    Rows with a missing return are left out. With less than two observations a block, the number of blocks is lowered
    to what the rows allow; None with fewer than two trials, or rows for less than two blocks. Raises ValueError for
    an odd or not positive number of blocks.
    """
    if blocks < 2 or blocks % 2:
        raise ValueError(f"blocks is {blocks}: CSCV needs an even number, 2 or more")
    returns = np.asarray(returns, dtype=np.float64)
    if returns.ndim != 2:
        raise ValueError(f"returns must be (T, N), got {returns.shape}")
    returns = returns[np.isfinite(returns).all(axis=1)]
    rows, trials = returns.shape
    blocks = min(blocks, rows // 2 // 2 * 2)
    if trials < 2 or blocks < 2:
        return None
    edges = np.linspace(0, rows, blocks + 1).astype(np.int64)
    # Sums of a block are enough for the Sharpe ratio of any union of blocks; taken around the mean, for accuracy.
    centre = returns.mean(axis=0)
    moved = returns - centre
    sums = np.add.reduceat(moved, edges[:-1], axis=0)
    squares = np.add.reduceat(moved**2, edges[:-1], axis=0)
    sizes = np.diff(edges).astype(np.float64)
    halves = np.zeros((math.comb(blocks, blocks // 2), blocks))
    for row, chosen in enumerate(combinations(range(blocks), blocks // 2)):
        halves[row, chosen] = 1.0
    inside, outside, ranks = (np.empty(len(halves)) for _ in range(3))
    step = max(1, CHUNK // trials)
    for first in range(0, len(halves), step):
        some = slice(first, first + step)
        chosen = halves[some]
        here = _sharpe(chosen, sums, squares, sizes, centre)
        there = _sharpe(1.0 - chosen, sums, squares, sizes, centre)
        best = here.argmax(axis=1)
        row = np.arange(len(best))
        inside[some], outside[some] = here[row, best], there[row, best]
        value = outside[some][:, None]
        ranks[some] = (there < value).sum(axis=1) + ((there == value).sum(axis=1) + 1) / 2.0
    logits = np.log(ranks / (trials + 1.0 - ranks))
    middle = np.abs(logits) < 1e-12
    slope, intercept, r_squared = _line(inside, outside)
    return Overfitting(
        trials=trials,
        observations=rows,
        blocks=blocks,
        pbo=float(np.mean((logits < 0.0) & ~middle) + 0.5 * np.mean(middle)),
        logits=logits,
        in_sample=inside,
        out_of_sample=outside,
        slope=slope,
        intercept=intercept,
        r_squared=r_squared,
        loss=float(np.mean(outside < 0.0)),
    )


def _sharpe(
    chosen: FloatArray, sums: FloatArray, squares: FloatArray, sizes: FloatArray, centre: FloatArray
) -> FloatArray:
    """(C, N) Sharpe ratios over the chosen (C, S) blocks; 0 for a trial that does not vary there."""
    size = (chosen @ sizes)[:, None]
    moved = chosen @ sums / size
    variance = chosen @ squares / size - moved**2
    mean = moved + centre
    varies = variance > 1e-18 + (1e-9 * mean) ** 2
    return np.where(varies, mean / np.sqrt(np.where(varies, variance, 1.0)), 0.0)


def _line(x: FloatArray, y: FloatArray) -> tuple[float | None, float | None, float | None]:
    """Slope, intercept and R² of y on x by least squares."""
    dx, dy = x - x.mean(), y - y.mean()
    size, height = float(dx @ dx), float(dy @ dy)
    if size <= 1e-24 * max(1, len(x)):
        return None, None, None
    slope = float(dx @ dy) / size
    r_squared = float(dx @ dy) ** 2 / (size * height) if height > 0.0 else None
    return slope, float(y.mean() - slope * x.mean()), r_squared
