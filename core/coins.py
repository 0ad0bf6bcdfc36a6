"""A coin at several venues is one position: which rows belong together, and what is forecast of them.

What is wanted of such a coin is decided once (``core.selection``), by one forecast and by what all its rows hold together;
where its order goes is decided afterwards (``core.coin_split``). Judged row by row, one market's forecast would open what
another's closes, and a position bought at one venue for the forecast at the other would be asked for again every minute.
"""

import math
from collections.abc import Sequence

import numpy as np

from core.execution.split import MOST_VENUES
from core.messages import BoolArray, FloatArray
from core.units import Instrument


def coins_at_venues(instruments: Sequence[Instrument]) -> list[list[int]]:
    """Rows of each coin that trades at more than one venue, at most ``MOST_VENUES``; a venue's first market of it counts."""
    found: dict[str, dict[str, int]] = {}
    for row, one in enumerate(instruments):
        found.setdefault(one.base, {}).setdefault(one.venue, row)
    return [list(by.values())[:MOST_VENUES] for by in found.values() if len(by) > 1]


def coin_forecast(edge: FloatArray, fresh: BoolArray, members: Sequence[int]) -> float:
    """Mean of the forecasts ``edge`` (S,), bps, of the rows ``members`` that are ``fresh`` (S,); NaN where there is none.

    A plain mean: the markets are of one coin, so what their forecasts differ by is mostly error, and what is left of it
    is the premium, which whoever buys at the cheaper venue does not earn.
    """
    known = [float(edge[row]) for row in members if fresh[row] and math.isfinite(edge[row])]
    return float(np.mean(known)) if known else math.nan
