"""How like what a model has learned from the market is now, and how far the model is to be believed for it.

The distance is the root mean square of the newest feature row, standardised by the training rows and each feature cut at
±6 as members cut theirs. Up to the edge a member is believed whole, beyond it by ``(edge / distance)^4``: at one and a
half times the edge a fifth, at twice a sixteenth. The edge is the 99 % quantile of distances over the training rows,
each measured by the other three quarters of the time, so that the drift from one week to the next is no alarm.

Only what comes from prices and volumes counts. Time goes on by nature, a daily index has said little in a few days, and
a feature that never moved in training taught nothing that could be wrong now.
"""

from dataclasses import dataclass

import numpy as np

from core.indicators import blocks, context
from core.messages import FloatArray

MARKET_FEATURES = blocks.COUNT - len(context.SPECS)
"""The first so many features are of prices and volumes."""
CUT = 6.0
QUANTILE = 0.99
POWER = 4
PARTS = 4
MOST_ROWS = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Familiarity:
    """What a model has seen, in F numbers each."""

    mean: FloatArray
    scale: FloatArray
    """0 where the feature never moved: it is not read."""
    edge: float

    def distance(self, rows: FloatArray) -> FloatArray:
        """(N, F) newest feature rows → (N,); NaN where a feature that is read is not known."""
        return _distance(rows, self.mean, self.scale)

    def trust(self, rows: FloatArray) -> FloatArray:
        """(N, F) → (N,) in [0, 1], how far a member is believed; 0 where the distance is not known."""
        distance = self.distance(rows)
        with np.errstate(invalid="ignore"):
            beyond = distance > self.edge
        trust = np.ones(len(distance))
        trust[beyond] = (self.edge / distance[beyond]) ** POWER
        trust[~np.isfinite(distance)] = 0.0
        return trust


def learn(rows: FloatArray, minute: np.ndarray) -> Familiarity:
    """From training rows (N, F) and the minute (N,) of each; of very many, evenly spread ones are taken."""
    if len(rows) > MOST_ROWS:
        chosen = np.linspace(0, len(rows) - 1, MOST_ROWS).astype(np.int64)
        rows, minute = rows[chosen], minute[chosen]
    mean, scale = _moments(rows)
    part = np.searchsorted(np.quantile(minute, np.arange(1, PARTS) / PARTS), minute, side="right")
    found = [_distance(rows, mean, scale)]
    for k in range(PARTS):
        inside = part == k
        if inside.any() and not inside.all():
            found.append(_distance(rows[inside], *_moments(rows[~inside])))
    # The quantile of the parts' own is taken with the whole's, so that what was learned from is not strange.
    edge = max(float(np.quantile(f, QUANTILE)) for f in (np.concatenate(found[1:] or found), found[0]))
    return Familiarity(mean, scale, max(edge, 1e-9))


def _moments(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[scale <= 1e-12 * np.maximum(1.0, np.abs(mean))] = 0.0
    scale[MARKET_FEATURES:] = 0.0
    return mean, scale


def _distance(rows: FloatArray, mean: FloatArray, scale: FloatArray) -> FloatArray:
    read = np.flatnonzero(scale > 0.0)
    if not len(read):
        return np.zeros(len(rows))
    # Row by row in memory: a row's distance must not depend on how many rows there are.
    z = np.ascontiguousarray(np.clip((rows[:, read] - mean[read]) / scale[read], -CUT, CUT))
    return np.sqrt((z * z).sum(axis=1) / len(read))
