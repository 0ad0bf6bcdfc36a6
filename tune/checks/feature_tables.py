"""The features of a whole market, as the checks ask for them."""

from core.bars import fill_gaps
from core.messages import FloatArray
from data.market import MarketCut
from tune.dataset import tables


def table_of(market: MarketCut) -> FloatArray:
    """(S, T, F) features of every minute, gaps filled as live does."""
    bars, filler = fill_gaps(market.bars)
    return tables(market.instruments, bars, filler, market.start_minute, market.sentiment)
