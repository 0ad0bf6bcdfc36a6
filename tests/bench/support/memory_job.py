"""Memory against the length of history: ``python -m tests.bench.support.memory_job WHAT ROOT DAYS``.

``features`` goes through the lake in pieces and computes every feature of every minute; ``account`` trades so many days
with one account, forecasts mapped from a file that is written in pieces, the bars of the traded days in memory.
"""

import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np

from core.features import HISTORY
from core.units import DAY_MS, MINUTE_MS, Instrument
from data.lake import Lake
from data.market import MarketSource, cut_out
from tests.bench.peers.protocol import arguments, peak_mb, report, timed
from tests.bench.support.big_lake import START
from tests.bench.support.engine_job import WIDE
from tests.bench.support.made_market import MEMBERS, forecasts_of, settings_for
from tune.samples import walk
from tune.simulate import Forecasts, simulate

PIECE = 10_080
CASH = Decimal(20_000)
"""Small beside what the made-up lake trades a minute, so that orders are filled and not tried again each minute."""


def features(lake: Lake, instruments: tuple[Instrument, ...], days: int) -> int:
    """Finite features of the whole span, counted."""
    pieces = walk(lake, instruments, START, HISTORY, days * 1440)
    return sum(int(np.isfinite(piece.features).sum()) for piece in pieces)


def account(lake: Lake, instruments: tuple[Instrument, ...], days: int) -> int:
    """Fills of an account that trades the span."""
    source = MarketSource(name="bench", root=lake.root, lake=lake, synthetic=True)
    market = cut_out(source, instruments, START + HISTORY * MINUTE_MS, days * 1440 - HISTORY, HISTORY)
    with tempfile.TemporaryDirectory() as folder:
        said = []
        shape = (len(MEMBERS), len(instruments), days * 1440)
        for name in ("mean", "stdev"):
            said.append(np.lib.format.open_memmap(Path(folder) / f"{name}.npy", "w+", np.float32, shape))
        for first in range(0, shape[2], PIECE):
            size = min(PIECE, shape[2] - first)
            said[0][:, :, first : first + size], said[1][:, :, first : first + size] = forecasts_of(
                *shape[:2], size, seed=first
            )
        del said
        mean, stdev = (np.load(Path(folder) / f"{name}.npy", mmap_mode="r") for name in ("mean", "stdev"))
        forecasts = Forecasts(members=MEMBERS, versions=("bench",) * len(MEMBERS), mean_bps=mean, stdev_bps=stdev)
        found = simulate(settings_for(instruments, *WIDE), market, forecasts, cash=CASH)
    return found.fills.height


if __name__ == "__main__":
    args = arguments("what", "root", "days")
    lake, days = Lake(Path(args.root)), int(args.days)
    instruments = lake.instruments()
    before = peak_mb()
    # No call before the timed one: memory is that of one run, with what compilation or loading needs.
    seconds, count = timed(lambda: {"features": features, "account": account}[args.what](lake, instruments, days), 1)
    report(seconds=seconds, before_mb=before, count=count, end_ms=START + days * DAY_MS)
