"""What a market lacks, in words for the reader of a report: minutes without a bar, and newer ones that were left out."""

import numpy as np

from core.messages import CLOSE
from core.units import MINUTE_MS
from data.market import MarketCut, MarketSource
from tune.report.style import clock

ENDED_MS = 60 * MINUTE_MS
"""Bars that end so much earlier than another's have ended; some minutes are how a download was cut."""


def gaps_of(market: MarketCut) -> tuple[str, ...]:
    """Minutes without a bar, by instrument: filled for the look-backs, never traded."""
    missing = [int(np.isnan(row[:, CLOSE]).sum()) for row in market.bars]
    told = [f"{i.symbol} {count:,}" for i, count in zip(market.instruments, missing, strict=True) if count]
    whole = market.bars.shape[1]
    return (
        (f"Minutes without a bar, of {whole:,} with the history: {', '.join(told)}. Nothing trades in them.",)
        if told
        else ()
    )


def left_out_of(source: MarketSource, market: MarketCut) -> tuple[str, ...]:
    """That the newest minutes are left out, where one instrument has no bars of them any more."""
    last = [source.lake.common_span((instrument,))[1] for instrument in market.instruments]
    newest, end = max(last), min(last)
    if newest - end < ENDED_MS:
        return ()
    gone = ", ".join(i.symbol for i, one in zip(market.instruments, last, strict=True) if one == end)
    return (
        f"The run ends at {clock(end + MINUTE_MS)} UTC with the last bar of {gone}; others have bars until "
        f"{clock(newest + MINUTE_MS)}. To test those, leave it out of trade.instruments, or use --walk-forward.",
    )
