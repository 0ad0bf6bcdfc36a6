"""Which ensemble weights a fold trades with: the best of a few fixed candidates on the folds before it.

The candidates do not depend on any data, every one of them is judged on every fold by the account that will use them,
and each counts as a trial. So what is chosen in the past, and the returns by which the probability of overfitting is
told, are of the same variants.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.messages import FloatArray, Regime
from core.selection import WeightTable
from core.units import DAY_MS, MINUTE_MS
from tune.stats.sampling import sampled
from tune.stats.sharpe import Moments

DIGITS = 4
LEAST_RETURNS = 10
LEAST_GROWTH = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """What every candidate's own account did in one fold, starting flat."""

    minute: np.ndarray
    """(T,) epoch ms."""
    growth: FloatArray
    """(K, T) equity over the cash it started with."""


def candidates(members: Sequence[str], configured: WeightTable, count: int, seed: int) -> tuple[WeightTable, ...]:
    """Up to ``count`` different tables: the configured one, each member alone, then draws that differ by regime.

    Draws are uniform over all proportions (Dirichlet with all parameters 1). One member leaves nothing to choose.
    """
    made = [configured]
    if len(members) > 1:
        for name in members:
            alone = {m: float(m == name) for m in members}
            made.append(WeightTable(f"only-{name}", {r.value: dict(alone) for r in Regime}))
        rng = np.random.default_rng([seed, len(members)])
        while len(made) < count:
            drawn = rng.dirichlet(np.ones(len(members)), len(Regime)).round(DIGITS)
            by_regime = {
                r.value: dict(zip(members, map(float, row), strict=True)) for r, row in zip(Regime, drawn, strict=True)
            }
            digest = hashlib.sha256(json.dumps(by_regime, sort_keys=True).encode()).hexdigest()[:8]
            made.append(WeightTable(f"drawn-{digest}", by_regime))
    return tuple(made[: max(1, count)])


def stitched(tracks: Sequence[Track]) -> tuple[np.ndarray, FloatArray]:
    """(T,) minutes and (K, T) growth over the folds, each going on from where the last one ended."""
    minute = np.concatenate([t.minute for t in tracks])
    level = np.ones((tracks[0].growth.shape[0], 1))
    parts = []
    for track in tracks:
        parts.append(level * track.growth)
        level = parts[-1][:, -1:]
    return minute, np.concatenate(parts, axis=1)


def annual_sharpe(minute: np.ndarray, growth: FloatArray) -> float | None:
    """Of (T,) growth; None where the account never changed or was observed too briefly."""
    sample = sampled(minute, growth)
    moments = Moments.of(sample.returns) if len(sample.returns) >= LEAST_RETURNS else None
    return None if moments is None else moments.sharpe * float(np.sqrt(sample.per_year))


def returns(minute: np.ndarray, growth: FloatArray) -> FloatArray:
    """(n, K) returns of the same periods, for ``tune.stats.overfitting``."""
    # An account that lost everything is not cut short: all have to have the same periods.
    return np.stack([sampled(minute, np.maximum(row, LEAST_GROWTH)).returns for row in growth], axis=1)


def choose(tables: Sequence[WeightTable], past: Sequence[Track]) -> tuple[WeightTable, str]:
    """The table that had the best Sharpe ratio on the folds before, and why in words.

    Without a past, or when none earned more than the first (the configured one), that one stays.
    """
    if not past or len(tables) < 2:
        return tables[0], f"weights {tables[0].version} (no earlier fold to choose on)"
    minute, growth = stitched(past)
    found = [annual_sharpe(minute, row) for row in growth]
    scores = np.array([-np.inf if s is None else s for s in found])
    # An account that never traded has no ratio; not losing is then worth a ratio of zero.
    scores = np.where(np.isneginf(scores) & (growth[:, -1] == 1.0), 0.0, scores)
    best = int(np.argmax(scores))
    if scores[best] <= scores[0]:
        best = 0
    days = len(minute) * MINUTE_MS / DAY_MS
    earned = "never traded" if found[best] is None else f"Sharpe {scores[best]:.2f}"
    return tables[best], f"weights {tables[best].version} ({earned} on the {days:.1f} days before)"
