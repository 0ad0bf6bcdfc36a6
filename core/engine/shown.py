"""What every minute of a market shows to whoever holds it: the middle of the touch, prepared once for all of them."""

import math

import numpy as np

from core.engine.market import middle, traded_lately
from core.engine.tables import TICK, TICK_DEN, TICK_NUM, IntArray
from core.lean import lean
from core.liquidity import HOUR_MS
from core.messages import CLOSE, VOLUME, FloatArray
from core.units import MINUTE_MS


def shown_table(
    bars: FloatArray,
    recorded: FloatArray,
    half_bps: FloatArray,
    start_minute: int,
    grid_floats: FloatArray,
    grid_ints: IntArray,
) -> FloatArray:
    """(S, T) middle of the touch at the close of each minute, quote units; NaN in a minute without a bar or a book.

    ``bars``, ``recorded`` (a ``Tape``'s bars and seen), ``half_bps`` and the grids as there. What an order of ours took
    of the book is not in it (``core.engine.market.shown_mid``).
    """
    out = np.empty((recorded.shape[0], recorded.shape[1]))
    fill_shown(bars, recorded, half_bps, start_minute, grid_floats, grid_ints, out)
    return out


@lean
def fill_shown(
    bars: FloatArray,
    recorded: FloatArray,
    half_bps: FloatArray,
    start_minute: int,
    grid_floats: FloatArray,
    grid_ints: IntArray,
    out: FloatArray,
) -> None:
    """Write ``shown_table`` to ``out``, which may be mapped from a file."""
    rows, minutes = recorded.shape[0], recorded.shape[1]
    for row in range(rows):
        tick, num, den = grid_floats[row, TICK], grid_ints[row, TICK_NUM], grid_floats[row, TICK_DEN]
        first, column = 0, 0
        while first < minutes:
            # The minutes that close within one hour are priced with its spread (core.liquidity.hour_column).
            next_hour = (start_minute // HOUR_MS + column + 1) * HOUR_MS
            end = min(minutes, -((start_minute - next_hour) // MINUTE_MS) - 1)
            bps = half_bps[row, column]
            prices, volumes, written = (
                recorded[row, first:end, CLOSE],
                recorded[row, first:end, VOLUME],
                out[row, first:end],
            )
            still = 0
            for k in range(written.shape[0]):
                traded = volumes[k] > 0.0
                mid = middle(prices[k] if traded else 1.0, bps, tick, num, den)
                written[k] = mid if traded else math.nan
                still += volumes[k] == 0.0
            if still > 0:
                for k in range(written.shape[0]):
                    if volumes[k] == 0.0 and traded_lately(bars[row], first + k + 1):
                        written[k] = middle(prices[k], bps, tick, num, den)
            first, column = max(first, end), column + 1
