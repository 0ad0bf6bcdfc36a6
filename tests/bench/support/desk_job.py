"""The live parts on a LocalDesk, minute by minute, timed: ``python -m tests.bench.support.desk_job 20x300``.

Forecasts are known beforehand, as in the engine's rows; the in-process simulated exchange fills the orders.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from core.features import HISTORY
from core.messages import Market, Votes
from core.units import MINUTE_MS
from tests.bench.support.made_market import CASH, MEMBERS, bars_of, forecasts_of, market_of, names, settings_for
from tests.bench.support.points import run
from tune.backtest import make_backtest


@dataclass(frozen=True, slots=True)
class Script:
    """Forecasts known beforehand, as the votes of each minute."""

    mean: np.ndarray
    stdev: np.ndarray
    first_minute: int

    def forecast(self, market: Market) -> Votes:
        t = (market.minute - self.first_minute) // MINUTE_MS
        return Votes(
            minute=market.minute,
            trace=market.trace,
            members=MEMBERS,
            versions=("bench",) * len(MEMBERS),
            mean_bps=self.mean[:, :, t],
            stdev_bps=self.stdev[:, :, t],
            spoke=np.ones(len(MEMBERS), dtype=np.bool_),
            silence=("",) * len(MEMBERS),
            horizon=15,
        )


def call_of(symbols: int, minutes: int) -> Callable[[], str]:
    """A call that runs a fresh desk over so many minutes and tells the number of fills."""
    instruments = names(symbols)
    settings = settings_for(instruments)
    market = market_of(instruments, bars_of(symbols, minutes + HISTORY + 1), HISTORY + 1)
    mean, stdev = forecasts_of(len(MEMBERS), symbols, minutes)
    script = Script(mean, stdev, market.first_minute)

    def desk() -> str:
        test = make_backtest(settings, market, script, cash=Decimal(CASH))
        return f"{sum(len(record.fills) for record in test.run()):,} fills"

    return desk


if __name__ == "__main__":
    run(call_of)
