"""Memory against the length of history: ``python -m tests.bench.support.memory_job WHAT ROOT DAYS``.

``features`` goes through the lake in pieces and computes every feature of every minute; ``account`` trades so many days
with one account as a walk-forward does at its end: bars, what is prepared from them and forecasts mapped from files that
are written in pieces, here anew. What is told is anonymous memory: pages of mapped files, which the system takes back when
it needs room, are not in it.
"""

import os
import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np

from core.features import HISTORY
from core.units import DAY_MS, MINUTE_MS, Instrument
from data.lake import Lake
from data.market import MarketSource
from tests.bench.peers.protocol import arguments, report, timed
from tests.bench.support.anonymous import Watched, anonymous_mb
from tests.bench.support.big_lake import START
from tests.bench.support.engine_job import WIDE
from tests.bench.support.made_market import MEMBERS, forecasts_of, settings_for
from tune.array_store import ArrayStore
from tune.prepared import mapped_cut, prepare
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
    settings = settings_for(instruments, *WIDE)
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
        store = ArrayStore(Path(folder) / "prepared")
        traded = days * 1440 - HISTORY
        market = mapped_cut(source, instruments, START + HISTORY * MINUTE_MS, traded, HISTORY, store)
        prepared = prepare(settings, market, store)
        found = simulate(settings, market, forecasts, cash=CASH, prepared=prepared)
    return found.counts.fills


if __name__ == "__main__":
    args = arguments("what", "root", "days")
    lake, days = Lake(Path(args.root)), int(args.days)
    instruments = lake.instruments()
    with Watched(os.getpid()) as seen:
        before = anonymous_mb(os.getpid())
        # No call before the timed one: memory is that of one run, with what compilation or loading needs.
        work = {"features": features, "account": account}[args.what]
        seconds, count = timed(lambda: work(lake, instruments, days), 1)
    held = {"before_mb": before, "anonymous_mb": seen.peak_mb}
    report(seconds=seconds, count=count, end_ms=START + days * DAY_MS, **held)
