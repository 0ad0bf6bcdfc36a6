"""Minutehand's row of the peers' table: the crossings through the compiled engine, all costs and limits on.

In the time: the averages, the crossings, the spread's estimate from the bars (EDGE), the whole account minute by minute,
and the ``Result`` with every order and fill and its costs. A tenth of the equity is put in at a crossing, as losing
0.2 % and more a round trip with everything would end below the smallest order; the loss limits are looked at each
minute but set so wide that they do not end the run.
"""

from decimal import Decimal

import numpy as np
import polars as pl
from numba import njit

from core.units import MINUTE_MS, Instrument
from data.market import MarketCut
from data.schema import VALUES
from tests.bench.peers.protocol import FAST, SLOW, arguments, report, timed
from tests.bench.support.made_market import settings_for
from tune.result import Result
from tune.simulate import simulate_targets

SHARE = 0.1
CASH = Decimal(100_000)
WIDE = ("risk.max_drawdown_pct=100", "risk.daily_loss_pct=100", "trade.invest_pct=100")


@njit(cache=True)
def cross_targets(close: np.ndarray, fast: int, slow: int, share: float, target: np.ndarray) -> int:
    """Fill ``target`` (T, 1): ``share`` from a crossing up, 0 from one down, NaN between; gives the crossings up."""
    entries = 0
    sum_fast = sum_slow = 0.0
    above = was_known = False
    for t in range(len(close)):
        target[t, 0] = np.nan
        sum_fast += close[t]
        sum_slow += close[t]
        if t >= fast:
            sum_fast -= close[t - fast]
        if t >= slow:
            sum_slow -= close[t - slow]
        if t >= slow - 1:
            now = sum_fast / fast > sum_slow / slow
            if was_known and now != above:
                target[t, 0] = share if now else 0.0
                entries += now
            above, was_known = now, True
    return entries


def market_of(path: str) -> MarketCut:
    """The file's bars; the first decision is that of the second bar, as one must come before."""
    frame = pl.read_parquet(path)
    bars = np.ascontiguousarray(frame.select(VALUES).to_numpy())[None]
    start = int(frame["ts"][0])
    return MarketCut(
        instruments=(Instrument("binance", "BTC/USDT"),),
        start_minute=start,
        first_minute=start + MINUTE_MS,
        minutes=len(frame) - 1,
        bars=bars,
        synthetic=True,
        sentiment=(),
    )


if __name__ == "__main__":
    args = arguments()
    market = market_of(args.bars)
    settings = settings_for(market.instruments, *WIDE)
    target = np.empty((market.bars.shape[1], 1))

    def run() -> Result:
        close = np.ascontiguousarray(market.bars[0, :, 3])
        cross_targets(close, FAST, SLOW, SHARE, target)
        return simulate_targets(settings, market, target, cash=CASH, regimes=False)

    run()
    seconds, found = timed(run, args.repeat)
    entries = found.orders.filter(pl.col("side") == "buy").height
    report(seconds=seconds, bars=market.bars.shape[1], crossings=entries, fills=found.fills.height)
