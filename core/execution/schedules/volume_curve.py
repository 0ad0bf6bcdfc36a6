"""The intraday volume curve: how much of a usual minute's volume each minute of the UTC day brings.

Learnt from closed bars, with shrinkage: minutes lean on their hour and hours on an even day, so that few days say little.
A pure function; whoever calls it hands in only bars from before the run.
"""

import numpy as np

from core.impact import DAY_MINUTES
from core.lean import pasted
from core.messages import VOLUME, FloatArray
from core.units import DAY_MS, MINUTE_MS

LEAST_MINUTES = 720
"""Known minutes below which a day's mean volume says too little."""
HOUR_DAYS, MINUTE_DAYS = 2.0, 10.0
"""Days of data that weigh as much as what an hour, and a minute, leans on."""
MOST = 20.0
"""One minute counts at most as so many usual ones: a single burst is no habit."""


def learn_curve(bars: FloatArray, start_minute: int) -> FloatArray:
    """(1440,) volume of each minute of the UTC day, as multiples of a usual minute's; mean 1, all above 0.

    ``bars`` (T, 5) of one instrument from ``start_minute`` (epoch ms) on, NaN where there is none. Days with less than
    ``LEAST_MINUTES`` known bars, or without volume, are left out; without any day the curve is even.
    """
    volume = np.asarray(bars[:, VOLUME], dtype=np.float64)
    lead = (start_minute % DAY_MS) // MINUTE_MS
    days = -(-(lead + len(volume)) // DAY_MINUTES)
    line = np.full(days * DAY_MINUTES, np.nan)
    line[lead : lead + len(volume)] = volume
    table = line.reshape(days, DAY_MINUTES)
    known = np.isfinite(table)
    total = np.where(known, table, 0.0).sum(axis=1)
    enough = (known.sum(axis=1) >= LEAST_MINUTES) & (total > 0.0)
    if not enough.any():
        return np.ones(DAY_MINUTES)
    table, known = table[enough], known[enough]
    usual = total[enough] / known.sum(axis=1)
    shares = np.where(known, np.minimum(table / usual[:, None], MOST), 0.0)
    counts = known.sum(axis=0)
    by_hour = shares.sum(axis=0).reshape(24, 60).sum(axis=1)
    hour_days = counts.reshape(24, 60).sum(axis=1) / 60.0
    hour = (by_hour / 60.0 + HOUR_DAYS) / (hour_days + HOUR_DAYS)
    curve = (shares.sum(axis=0) + MINUTE_DAYS * np.repeat(hour, 60)) / (counts + MINUTE_DAYS)
    return curve / curve.mean()


def learn_curves(bars: FloatArray, start_minute: int) -> FloatArray:
    """(S, 1440): ``learn_curve`` of each row of ``bars`` (S, T, 5)."""
    return np.stack([learn_curve(row, start_minute) for row in bars]) if len(bars) else np.ones((0, DAY_MINUTES))


@pasted
def shares_ahead(curve: FloatArray, minute: int, minutes: int) -> tuple[float, float]:
    """(this minute's share, the sum of those after it), of ``minutes`` from minute number ``minute`` (since the epoch)."""
    now, ahead = curve[minute % 1440], 0.0
    for k in range(1, minutes):
        ahead += curve[(minute + k) % 1440]
    return now, ahead
