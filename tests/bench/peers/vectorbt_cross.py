"""vectorbt: the whole history as arrays, signals executed at the close that made them.

In the time: both averages, crossings, the portfolio simulation, its total return. Not modelled by it: halts, lots and
ticks, minimum notional, participation, impact, latency; one symbol, no shared account.
"""

import pandas as pd
import vectorbt as vbt
from protocol import FAST, FEE, SLOW, arguments, report, timed


def run(close: pd.Series) -> tuple[int, float]:
    fast, slow = vbt.MA.run(close, FAST), vbt.MA.run(close, SLOW)
    portfolio = vbt.Portfolio.from_signals(
        close, fast.ma_crossed_above(slow), fast.ma_crossed_below(slow), fees=FEE, freq="1min"
    )
    return int(portfolio.trades.count()), float(portfolio.total_return())


if __name__ == "__main__":
    args = arguments()
    bars = pd.read_parquet(args.bars)
    close = pd.Series(bars["close"].to_numpy(), index=pd.to_datetime(bars["ts"], unit="ms"))
    run(close)
    seconds, (trades, _) = timed(lambda: run(close), args.repeat)
    report(peer="vectorbt", version=vbt.__version__, bars=len(close), seconds=seconds, crossings=trades)
