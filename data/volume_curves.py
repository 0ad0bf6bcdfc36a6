"""The intraday volume curves of a run: learnt from the lake's bars before it, and kept in its folder.

So a replay's executor, and the backtest that the replay is later held against, cut the same slices.
"""

from collections.abc import Sequence
from dataclasses import replace

from core.execution.schedules.volume_curve import learn_curves
from core.messages import FloatArray
from core.params import ExecutionSettings
from core.units import MINUTE_MS, Instrument
from data.lake import Lake
from data.market import MarketCut, MarketSource

DAYS = 28


def learn_from(lake: Lake, instruments: Sequence[Instrument], before: int) -> FloatArray:
    """(S, 1440) curves of the ``DAYS`` days before the minute ``before``; even where the lake has no bars of them."""
    minutes = DAYS * 1_440
    start = before - minutes * MINUTE_MS
    return learn_curves(lake.window(instruments, start, minutes), start)


def with_curves(source: MarketSource, market: MarketCut, execution: ExecutionSettings) -> MarketCut:
    """The cut with its curves, where the schedule reads them."""
    if execution.algorithm != "vwap":
        return market
    return replace(market, curves=learn_from(source.lake, market.instruments, market.first_minute))
