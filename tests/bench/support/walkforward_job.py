"""A walk-forward over a made-up lake: ``python -m tests.bench.support.walkforward_job ROOT MEMBERS FOLDS CANDIDATES OUT``."""

import sys
import time
from decimal import Decimal
from pathlib import Path

from data.lake import Lake
from data.market import MarketSource
from tests.bench.peers.protocol import arguments, peak_mb, report
from tests.bench.support.made_market import CASH, settings_for
from tune.walkforward import Plan, Progress, run_walk_forward

if __name__ == "__main__":
    args = arguments("root", "members", "folds", "candidates", "out")
    root = Path(args.root)
    lake = Lake(root)
    instruments = lake.instruments()
    settings = settings_for(instruments, members=tuple(args.members.split(",")))
    source = MarketSource(name="bench", root=Path(args.out), lake=lake, synthetic=True)
    before, began = peak_mb(), time.perf_counter()
    stages: list[tuple[str, float, float]] = []
    walked = 0

    def say(text: str) -> None:
        took = time.perf_counter() - began
        stages.append((text, took, peak_mb()))
        print(f"{took:8.1f} s {peak_mb():7.0f} MB  {text}", file=sys.stderr, flush=True)

    def count(bars: int) -> None:
        global walked
        walked += bars

    found = run_walk_forward(
        source,
        settings,
        Plan(folds=int(args.folds), candidates=int(args.candidates)),
        Path(args.out),
        cash=Decimal(CASH),
        progress=Progress(say=say, walked=count),
    )
    took = time.perf_counter() - began
    report(
        seconds=took,
        walked=walked,
        before_mb=before,
        stages=stages,
        word=str(found.verdict.word),
        fills=len(found.result.fills),
        minutes=found.result.minutes,
    )
