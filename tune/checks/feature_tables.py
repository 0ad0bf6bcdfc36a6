"""The features of a whole market, as the checks ask for them."""

import numpy as np

from core.bars import fill_gaps
from core.features import feature_table
from core.messages import FloatArray
from data.market import MarketCut


def table_of(market: MarketCut) -> FloatArray:
    """(S, T, F) features of every minute, gaps filled as live does."""
    bars, filler = fill_gaps(market.bars)
    return np.stack([feature_table(bars[row], filler[row], market.start_minute) for row in range(len(bars))])
