"""What is ours to measure, each in a process of its own: ``python -m tests.bench.support.ours WHAT ...``.

Every job makes its data, calls once (compiling, or loading what is compiled), and then times calls that are warm.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from core.bars import fill_gaps
from core.features import FEATURES, HISTORY
from core.messages import Market, Votes
from core.units import MINUTE_MS
from tests.bench.peers.protocol import arguments, peak_mb, report, timed
from tests.bench.support.made_market import (
    CASH,
    MEMBERS,
    START,
    bars_of,
    forecasts_of,
    market_of,
    names,
    settings_for,
)
from tune.backtest import make_backtest
from tune.dataset import tables


def features(symbols: int, minutes: int, repeat: int) -> dict[str, Any]:
    """All features of all minutes."""
    bars, filler = fill_gaps(bars_of(symbols, minutes))
    tables(bars[:, : HISTORY * 2], filler[:, : HISTORY * 2], START)
    before = peak_mb()
    seconds, _ = timed(lambda: tables(bars, filler, START), repeat)
    return {"seconds": seconds, "done": symbols * minutes, "features": len(FEATURES), "before_mb": before}


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


def desk(symbols: int, minutes: int, repeat: int) -> dict[str, Any]:
    """The live parts on a LocalDesk, minute by minute, over the in-process simulated exchange."""
    instruments = names(symbols)
    settings = settings_for(instruments)
    market = market_of(instruments, bars_of(symbols, minutes + HISTORY + 1), HISTORY + 1)
    mean, stdev = forecasts_of(len(MEMBERS), symbols, minutes)
    script = Script(mean, stdev, market.first_minute)

    def run() -> int:
        test = make_backtest(settings, market, script, cash=Decimal(CASH))
        return sum(len(record.fills) for record in test.run())

    run()
    seconds, fills = timed(run, repeat)
    return {"seconds": seconds, "done": symbols * minutes, "fills": fills}


if __name__ == "__main__":
    args = arguments("what", "symbols", "minutes")
    jobs = {"features": features, "desk": desk}
    report(**jobs[args.what](int(args.symbols), int(args.minutes), args.repeat))
