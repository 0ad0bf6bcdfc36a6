"""Minutehand's rows of the peers' table: the crossings through the compiled engine, all costs and limits on.

``first``: a market never seen: checking its bars, estimating its spreads from them (EDGE), the table of its liquidity;
then all of ``hand``. ``hand``: over a market at hand, as from the second run of a search on: averages, crossings, the
account minute by minute, and a ``Result`` with its equity curve, numbers of orders and trades, costs line by line; the
number of trades and the total return are read from it, as they are from vectorbt. What has to be looked at in each run
is in it: whether the market is the one that was prepared, and under these settings. ``tables``: the same, and the tables
of orders and fills, every order with the words of its why. ``loop``: of ``hand``, the account's loop alone.

A tenth of the equity is put in at a crossing, as losing 0.2 % and more a round trip with everything would end below the
smallest order; the loss limits are looked at each minute but set so wide that they do not end the run. Orders are sent
at once (``immediate``), as the peers do, or as the project's rules have it (``twap``, three slices).
"""

import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numba import njit

from core.messages import CLOSE
from core.units import MINUTE_MS, Instrument
from data.market import MarketCut
from data.schema import VALUES
from tests.bench.peers.protocol import FAST, SLOW, arguments, report, timed
from tests.bench.support.made_market import settings_for
from tune import simulate as engine
from tune.prepared import Prepared, prepare
from tune.result import Result
from tune.targets import Targets

SHARE = 0.1
BLOCK = 512
"""Minutes whose sums stay near the processor."""
assert FAST % 4 == 0 and SLOW % FAST == 0, "the sums of crossings are made of each other"
INSTRUMENTS = (Instrument("binance", "BTC/USDT"),)
CASH = Decimal(10_000)
WIDE = (
    *("risk.max_drawdown_pct=100", "risk.daily_loss_pct=100", "trade.invest_pct=100"),
    *("risk.max_position_volatility_pct=null", "risk.target_volatility_pct=null", "risk.kelly_fraction=null"),
    *("risk.max_consecutive_losses=0", "risk.low_profit_trips=0", "risk.cooldown_minutes=0"),
    "risk.max_orders_per_day=1000000",
)


@njit(cache=True)
def crossings(close: np.ndarray, share: float, index: np.ndarray, target: np.ndarray) -> int:
    """Write to ``index`` (T + 1,) the minutes in which the averages cross, and to ``target`` (T + 1,) what is wanted from
    each on: ``share`` where the fast one comes above, else 0; gives how many.

    ``close`` (T,). The averages are compared by their sums: no division is needed. A sum is made of shorter ones, those of
    four minutes, then of ``FAST``, then of ``SLOW``: it waits for no sum before it, so that the processor does several
    minutes in one step, and nothing that was lost in rounding is carried on.
    """
    four, fast, lead = np.empty(BLOCK + SLOW), np.empty(BLOCK + SLOW), np.zeros(BLOCK + 1)
    crossed, some = np.zeros(BLOCK, dtype=np.uint8), np.zeros(BLOCK // 8 + 1, dtype=np.int64)
    eight, found = crossed.view(np.uint64), 0
    for first in range(SLOW - 1, close.shape[0], BLOCK):
        seen = close[first - SLOW + 1 : first + BLOCK]
        size = seen.shape[0] - SLOW + 1
        for i in range(seen.shape[0] - 3):
            four[i] = (seen[i] + seen[i + 1]) + (seen[i + 2] + seen[i + 3])
        for i in range(seen.shape[0] - FAST + 1):
            total = four[i]
            for j in range(4, FAST, 4):
                total += four[i + j]
            fast[i] = total
        now, before = lead[1 : size + 1], lead[:size]
        for i in range(size):
            slow = fast[i]
            for j in range(FAST, SLOW, FAST):
                slow += fast[i + j]
            now[i] = (SLOW // FAST) * fast[i + SLOW - FAST] - slow
        if first == SLOW - 1:
            before[0] = now[0]
        crossed[size:] = 0
        for i in range(size):
            crossed[i] = (now[i] > 0.0) != (before[i] > 0.0)
        # Which eight minutes hold a crossing, then which of them: all are written, what is one is counted on, and no
        # branch is taken that the processor cannot foresee.
        count = 0
        for j in range(eight.shape[0]):
            some[count] = 8 * j
            count += eight[j] != 0
        for j in some[:count]:
            for i in range(j, j + 8):
                index[found], target[found] = first + i, share if now[i] > 0.0 else 0.0
                found += crossed[i]
        lead[0] = now[size - 1]
    return found


def market_of(path: str) -> MarketCut:
    """The file's bars; the first decision is that of the second bar, as one must come before."""
    frame = pl.read_parquet(path)
    bars = np.ascontiguousarray(frame.select(VALUES).to_numpy())[None]
    start = int(frame["ts"][0])
    return MarketCut(
        instruments=INSTRUMENTS,
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
    settings = settings_for(INSTRUMENTS, *WIDE, f"execution.algorithm={args.algorithm}")
    loop = Watch(engine.advance)
    engine.advance = loop

    def run(prepared: Prepared) -> tuple[Result, int, float]:
        count = crossings(close, SHARE, index, target)
        wanted = (Targets(index[:count], target[:count]),)
        found = engine.simulate_targets(settings, prepared.market, wanted, cash=CASH, regimes=False, prepared=prepared)
        return found, found.counts.buys, float(found.equity[-1] / found.cash - 1.0)

    def first(market: MarketCut) -> tuple[Result, int, float]:
        return run(prepare(settings, market))

    def tables(prepared: Prepared) -> int:
        found, _, _ = run(prepared)
        return found.orders.height + found.fills.height

    market = market_of(args.bars)
    # As vectorbt is given it: a column of its own.
    close = np.ascontiguousarray(market.bars[0, :, CLOSE])
    index, target = np.empty(len(close) + 1, dtype=np.int64), np.empty(len(close) + 1)
    at_hand = prepare(settings, market)
    run(at_hand), tables(at_hand)
    rows: dict[str, list[list[float]]] = {"loop": []}

    def hand() -> tuple[Result, int, float]:
        loop.read()
        answer = run(at_hand)
        rows["loop"].append(loop.read())
        return answer

    # One after the other, as the peers' calls are: the bars that ``first`` reads push everything else out of the caches.
    rows["hand"], (found, entries, _) = timed(hand, args.repeat)
    rows["tables"] = timed(lambda: tables(at_hand), args.repeat)[0]
    rows["first"] = [timed(partial(first, market_of(args.bars)), 1)[0][0] for _ in range(args.repeat)]
    report(rows=rows, bars=market.bars.shape[1], crossings=entries, fills=found.counts.fills)
