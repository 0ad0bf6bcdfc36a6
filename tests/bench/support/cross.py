"""Minutehand's rows of the peers' table: the crossings through the compiled engine, all costs and limits on.

``whole``: the averages, the crossings, checking the bars, the spread's estimate from them (EDGE), the account minute by
minute, and the ``Result`` with every order, its why, every fill and their costs. ``no report``: without the ``Result``.
``loop``: the account's loop alone, as over a market whose rules and spreads are at hand.

A tenth of the equity is put in at a crossing, as losing 0.2 % and more a round trip with everything would end below the
smallest order; the loss limits are looked at each minute but set so wide that they do not end the run. Orders are sent
at once (``immediate``), as the peers do, or as the project's rules have it (``twap``, three slices).
"""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
from numba import njit

from core.units import MINUTE_MS, Instrument
from data.market import MarketCut
from data.schema import VALUES
from tests.bench.peers.protocol import FAST, SLOW, arguments, report, timed
from tests.bench.support.made_market import settings_for
from tune import simulate as engine

SHARE = 0.1
CASH = Decimal(10_000)
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


class Watch:
    """Stands before a function and keeps the time spent in it."""

    def __init__(self, inner: Callable[..., Any]) -> None:
        self.inner, self.spent = inner, [0.0, 0.0]

    def __call__(self, *args: Any) -> Any:
        began, used = time.perf_counter(), time.process_time()
        answer = self.inner(*args)
        self.spent[0] += time.perf_counter() - began
        self.spent[1] += time.process_time() - used
        return answer

    def read(self) -> list[float]:
        """[wall, processor] seconds since the last reading."""
        spent, self.spent = self.spent, [0.0, 0.0]
        return spent


if __name__ == "__main__":
    args = arguments("bars", "algorithm")
    market = market_of(args.bars)
    settings = settings_for(market.instruments, *WIDE, f"execution.algorithm={args.algorithm}")
    target = np.empty((market.bars.shape[1], 1))
    loop, result = Watch(engine.advance), Watch(engine.make_result)
    engine.advance, engine.make_result = loop, result

    def run() -> Any:
        close = np.ascontiguousarray(market.bars[0, :, 3])
        cross_targets(close, FAST, SLOW, SHARE, target)
        return engine.simulate_targets(settings, market, target, cash=CASH, regimes=False)

    run()
    rows: dict[str, list[list[float]]] = {"whole": [], "no report": [], "loop": []}
    for _ in range(args.repeat):
        loop.read(), result.read()
        ((whole,), found) = timed(run, 1)
        report_took = result.read()
        rows["whole"].append(whole)
        rows["no report"].append([a - b for a, b in zip(whole, report_took, strict=True)])
        rows["loop"].append(loop.read())
    entries = found.orders.filter(pl.col("side") == "buy").height
    report(rows=rows, bars=market.bars.shape[1], crossings=entries, fills=found.fills.height)
