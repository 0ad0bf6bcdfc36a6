"""A walk-forward over a made-up lake: ``python -m tests.bench.support.walkforward_job ROOT MEMBERS FOLDS CANDIDATES OUT``."""

import os
import sys
import time
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

from data.lake import Lake
from data.market import MarketSource
from tests.bench.peers.protocol import arguments, report
from tests.bench.support.anonymous import Watched, anonymous_mb
from tests.bench.support.made_market import CASH, settings_for
from tune.fold_work import READING, TRADING
from tune.walkforward import Plan, Progress, run_walk_forward

if __name__ == "__main__":
    args = arguments("root", "members", "folds", "candidates", "out")
    root = Path(args.root)
    lake = Lake(root)
    instruments = lake.instruments()
    settings = settings_for(instruments, members=tuple(args.members.split(",")))
    source = MarketSource(name="bench", root=Path(args.out), lake=lake, synthetic=True)
    pid = os.getpid()
    before, began = anonymous_mb(pid), time.perf_counter()
    stages: list[list[object]] = []
    watched, seen = ExitStack(), list[Watched]()
    walked = 0

    def ended() -> None:
        """Note down what the stage before needed."""
        watched.close()
        if stages:
            stages[-1][2] = seen[-1].peak_mb
            print(f"{seen[-1].peak_mb:7.0f} MB  {stages[-1][0]}", file=sys.stderr, flush=True)

    def say(text: str) -> None:
        ended()
        stages.append([text, time.perf_counter() - began, float("nan")])
        seen.append(watched.enter_context(Watched(pid)))

    def count(kind: str, units: int) -> None:
        global walked
        walked += units if kind in (READING, TRADING) else 0

    found = run_walk_forward(
        source,
        settings,
        Plan(folds=int(args.folds), candidates=int(args.candidates)),
        Path(args.out),
        cash=Decimal(CASH),
        progress=Progress(say=say, did=count),
    )
    took = time.perf_counter() - began
    ended()
    report(
        seconds=took,
        walked=walked,
        before_mb=before,
        stages=stages,
        word=str(found.verdict.word),
        fills=len(found.result.fills),
        minutes=found.result.minutes,
    )
