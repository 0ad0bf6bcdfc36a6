"""The raw limit: averages, crossings and marking to market in one compiled loop, with a fee and nothing else.

No order, no lot, no halt, no spread, no limit. It is there to show how far from the metal a backtest is.
"""

import numpy as np
import polars as pl
from numba import njit

from tests.bench.peers.protocol import FAST, FEE, SLOW, arguments, report, timed


@njit(cache=True)
def bare_loop(close: np.ndarray, fast: int, slow: int, fee: float, equity: np.ndarray) -> int:
    """Fill ``equity`` (T,) and give the number of entries; all in at a crossing's close, as vectorbt does."""
    cash, held, entries = 1.0, 0.0, 0
    sum_fast = sum_slow = 0.0
    above = was_known = False
    for t in range(len(close)):
        sum_fast += close[t]
        sum_slow += close[t]
        if t >= fast:
            sum_fast -= close[t - fast]
        if t >= slow:
            sum_slow -= close[t - slow]
        if t >= slow - 1:
            now = sum_fast / fast > sum_slow / slow
            if was_known and now and not above:
                held = cash * (1.0 - fee) / close[t]
                cash = 0.0
                entries += 1
            elif was_known and above and not now:
                cash += held * close[t] * (1.0 - fee)
                held = 0.0
            above, was_known = now, True
        equity[t] = cash + held * close[t]
    return entries


if __name__ == "__main__":
    args = arguments()
    close = np.ascontiguousarray(pl.read_parquet(args.bars)["close"].to_numpy())
    equity = np.empty(len(close))
    bare_loop(close, FAST, SLOW, FEE, equity)
    seconds, entries = timed(lambda: bare_loop(close, FAST, SLOW, FEE, equity), args.repeat)
    report(seconds=seconds, bars=len(close), crossings=entries)
