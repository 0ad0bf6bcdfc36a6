"""Series of a result made ready to be drawn: holes filled, falls measured, and thinned without losing an extreme."""

import numpy as np
import polars as pl

from core.messages import FloatArray
from tune.result import Result

MOST_POINTS = 2_400
"""Points a drawn line has at most."""
MOST_COLUMNS = 480
"""Columns of a strip or points of a stacked area."""


def whole_equity(result: Result) -> FloatArray:
    """(T,) equity with missed minutes carrying the value before them; the cash at the start before the first."""
    return carried(result.equity, result.cash)


def carried(values: FloatArray, before: float) -> FloatArray:
    """The values with every NaN replaced by the last number before it, and by ``before`` where there is none."""
    values = np.asarray(values, dtype=np.float64)
    known = np.isfinite(values)
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1)) if len(values) else np.zeros(0, int)
    return np.where(last >= 0, values[last], before)


def drawdown(equity: FloatArray) -> FloatArray:
    """(T,) how far below its highest value so far, 0 to -1."""
    return equity / np.maximum.accumulate(equity) - 1.0 if len(equity) else equity


def minute_returns(equity: FloatArray) -> FloatArray:
    """(T,) simple return of each minute over the one before; 0 for the first."""
    returns = np.zeros(len(equity))
    if len(equity) > 1:
        returns[1:] = equity[1:] / equity[:-1] - 1.0
    return returns


def closed_returns(trades: pl.DataFrame) -> FloatArray:
    """(N,) net return of the round trips that are closed."""
    return trades.filter(~pl.col("open"))["net_return"].drop_nulls().to_numpy().astype(np.float64)


def thinned(values: FloatArray, most: int = MOST_POINTS) -> np.ndarray:
    """Indices, at most ``most`` of them, that keep first, last, and the lowest and highest value of every bucket.

    A bucket is a run of equally many points; whoever looks at the thinned line sees every peak and trough.
    """
    count = len(values)
    if count <= most:
        return np.arange(count)
    buckets = max(1, (most - 2) // 2)
    edges = np.linspace(0, count, buckets + 1).astype(np.int64)
    width = int(np.diff(edges).max())
    at = np.minimum(edges[:-1, None] + np.arange(width), edges[1:, None] - 1)
    block = np.asarray(values, dtype=np.float64)[at]
    rows = np.arange(buckets)
    low = at[rows, np.argmin(np.where(np.isfinite(block), block, np.inf), axis=1)]
    high = at[rows, np.argmax(np.where(np.isfinite(block), block, -np.inf), axis=1)]
    return np.unique(np.concatenate([[0], low, high, [count - 1]]))


def bucket_means(values: FloatArray, most: int = MOST_COLUMNS) -> tuple[np.ndarray, FloatArray]:
    """(first index of each bucket, (buckets, ...) means of the finite values), for areas that must add up."""
    edges = bucket_edges(len(values), most)
    if not len(values):
        return edges, np.asarray(values, dtype=np.float64)
    known = np.isfinite(values)
    sums = np.add.reduceat(np.where(known, values, 0.0), edges, axis=0)
    counts = np.add.reduceat(known.astype(np.float64), edges, axis=0)
    return edges, np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def bucket_edges(count: int, most: int = MOST_COLUMNS) -> np.ndarray:
    """First index of each of at most ``most`` buckets of ``count`` points."""
    return np.linspace(0, count, min(count, most) + 1).astype(np.int64)[:-1]


def bucket_shares(kinds: np.ndarray, number: int, most: int = MOST_COLUMNS) -> tuple[np.ndarray, FloatArray]:
    """(first index of each bucket, (buckets, number + 1) shares of it that are of kind -1..number-1, 0 to 1)."""
    edges = bucket_edges(len(kinds), most)
    if not len(kinds):
        return edges, np.zeros((0, number + 1))
    hits = np.stack([np.add.reduceat((kinds == kind).astype(np.float64), edges) for kind in range(-1, number)], axis=1)
    return edges, hits / hits.sum(axis=1, keepdims=True)
