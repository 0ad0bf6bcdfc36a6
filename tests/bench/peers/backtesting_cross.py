"""backtesting.py: one Python call a bar, market orders filled at the next open.

In the time: ``Backtest(...).run()`` with its statistics. Not modelled by it: halts, lots and ticks, minimum notional,
participation, impact, latency; one symbol.
"""

import backtesting
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import crossover
from protocol import FAST, FEE, SLOW, arguments, report, timed


def mean(values: pd.Series, length: int) -> pd.Series:
    return pd.Series(values).rolling(length).mean()


class Cross(Strategy):
    def init(self) -> None:
        self.fast = self.I(mean, self.data.Close, FAST)
        self.slow = self.I(mean, self.data.Close, SLOW)

    def next(self) -> None:
        if crossover(self.fast, self.slow):
            self.buy(size=0.99)
        elif crossover(self.slow, self.fast) and self.position:
            self.position.close()


def run(frame: pd.DataFrame) -> int:
    test = Backtest(frame, Cross, cash=1e13, commission=FEE, finalize_trades=True)
    return int(test.run()["# Trades"])


if __name__ == "__main__":
    args = arguments()
    bars = pd.read_parquet(args.bars)
    frame = pd.DataFrame(
        {name.capitalize(): bars[name].to_numpy() for name in ("open", "high", "low", "close", "volume")},
        index=pd.to_datetime(bars["ts"], unit="ms"),
    )
    run(frame.iloc[:3000])
    seconds, trades = timed(lambda: run(frame), args.repeat)
    report(peer="backtesting", version=backtesting.__version__, bars=len(frame), seconds=seconds, crossings=trades)
