"""What the closed minutes say of how a market can be traded next: its volume, its volatility, its spread.

Everything is summed term by term over a window of fixed length, never as a running sum, so a market cut elsewhere
gives the same digits as soon as the window is full.
"""

import math

import numpy as np

from core.lean import lean, pasted
from core.messages import CLOSE, VOLUME, FloatArray
from core.spread import MOMENTS, add_pairs, edge_of
from core.units import BPS, MINUTE_MS

VOLUME_MINUTES = 15
SIGMA_MINUTES = 60
HOUR_MS = 3_600_000
HOUR_MINUTES = HOUR_MS // MINUTE_MS
SPREAD_HOURS = 24
LEAST_BARS = 120
"""Pairs of bars below which a spread is not estimated."""


@lean
def usual_volume(bars: FloatArray, e: int) -> float:
    """Mean volume (base units) of the known bars among the ``VOLUME_MINUTES`` before minute ``e``; 0 without any.

    ``bars`` (T, 5) of one instrument, NaN where there is none; nothing at or after ``e`` is read.
    """
    total, known = 0.0, 0
    for k in range(max(0, e - VOLUME_MINUTES), e):
        volume = bars[k, VOLUME]
        if not math.isnan(volume):
            total += volume
            known += 1
    return total / known if known else 0.0


@lean
def liquidity_at(bars: FloatArray, e: int, floor: float) -> tuple[float, float]:
    """(volume, sigma) a minute, from the closed minutes before minute ``e`` of one instrument's ``bars`` (T, 5).

    ``volume`` is ``usual_volume``. ``sigma`` is the root mean square of the log return from close to close over the
    last ``SIGMA_MINUTES``, of neighbours that are both known, at least ``floor`` (which also stands in for none).
    """
    total, known = 0.0, 0
    for k in range(max(1, e - SIGMA_MINUTES), e):
        before, now = bars[k - 1, CLOSE], bars[k, CLOSE]
        if not (math.isnan(before) or math.isnan(now)):
            change = math.log(now / before)
            total += change * change
            known += 1
    sigma = math.sqrt(total / known) if known else 0.0
    return usual_volume(bars, e), max(sigma, floor)


@pasted
def hour_column(start_minute: int, ms: int) -> int:
    """Column of ``half_spreads`` in force at ``ms``: that of its UTC hour. ``start_minute`` in epoch ms."""
    return max(0, ms // HOUR_MS - start_minute // HOUR_MS)


def half_spreads(
    bars: FloatArray, start_minute: int, default_bps: float, max_bps: float, least_bars: int = LEAST_BARS
) -> FloatArray:
    """(S, H) half spreads in bps, one column for each UTC hour from that of ``start_minute`` on (``hour_column``).

    ``bars`` (S, T, 5), NaN where there is none; H covers the instant the last bar closes. A column is the EDGE
    estimate (``core.spread``) of the ``SPREAD_HOURS`` whole hours before it, so nothing in it is later than the
    hour's first instant; ``default_bps`` where fewer than ``least_bars`` pairs of bars or no estimate are there; never
    above ``max_bps``. The tick's own width is ``core.book.best_ticks``'s.
    """
    first = start_minute // HOUR_MS
    hours = (start_minute + bars.shape[1] * MINUTE_MS) // HOUR_MS - first + 1
    # Minutes of the first hour that lie before the start.
    lead = (start_minute - first * HOUR_MS) // MINUTE_MS
    found = np.empty((bars.shape[0], hours))
    _half_spreads(bars, lead, default_bps, max_bps, least_bars, np.empty((hours + 1, MOMENTS)), found)
    return found


@lean
def _half_spreads(
    bars: FloatArray,
    lead: int,
    default_bps: float,
    max_bps: float,
    least_bars: int,
    blocks: FloatArray,
    found: FloatArray,
) -> None:
    """Write ``half_spreads`` to ``found`` (S, H) in the room of ``blocks`` (H + 1, MOMENTS)."""
    minutes, hours = bars.shape[1], found.shape[1]
    window = blocks[hours]
    for row in range(bars.shape[0]):
        for hour in range(hours):
            for m in range(MOMENTS):
                blocks[hour, m] = 0.0
            begin = max(0, hour * HOUR_MINUTES - lead)
            add_pairs(bars[row], begin, min(minutes, (hour + 1) * HOUR_MINUTES - lead), blocks[hour])
        for hour in range(hours):
            for m in range(MOMENTS):
                window[m] = 0.0
            for block in range(max(0, hour - SPREAD_HOURS), hour):
                for m in range(MOMENTS):
                    window[m] += blocks[block, m]
            spread = edge_of(window) if window[0] >= least_bars else math.nan
            half = default_bps if math.isnan(spread) else 0.5 * BPS * spread
            found[row, hour] = min(half, max_bps)
