"""The minute played once before any market is watched: a program that compiles every rule a minute calls.

Compiled rules are kept on disk under the hash of core's sources (``config.numba_cache``). On a fresh machine, or after
an update, ``Rehearsal`` plays a few made-up minutes in a process of its own while Ray comes up. The actors then find
the rules on disk, instead of each compiling what the others compile too, while the first minutes go by.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import numpy as np

from config.numba_cache import VARIABLE, sources_hash
from core.cache import Cache
from core.desk import LocalDesk
from core.events import Detector
from core.execution.local import LocalExecutor
from core.execution.machine import ExecutionMachine
from core.features import HISTORY
from core.messages import Market, MinuteRecord, Votes
from core.params import EventSettings, ExecutionSettings, RiskSettings, SelectionSettings, TradeSettings
from core.risk import Risk
from core.selection import Selector, WeightTable
from core.session import run_session
from core.units import MINUTE_MS
from core.votes import Answer, assemble_votes
from data import with_parent
from exchanges.simulated.local import SimulatedVenue
from exchanges.simulated.walk import random_walk_tape
from exchanges.simulated.warmup import load_matching

log = logging.getLogger("rehearsal")

MEMBERS = ("sure",)
SYMBOLS = ("BTC/USDT", "ETH/USDT")
MINUTES = 2
NICENESS = 5
SURE_BPS = 100.0
"""Forecast of the one member: enough to buy."""


class _Sure:
    """Sees every price rise."""

    def forecast(self, market: Market) -> Votes:
        rows = len(market.instruments)
        said = Answer(mean_bps=np.full(rows, SURE_BPS), stdev_bps=np.ones(rows), version="rehearsal")
        return assemble_votes(market, {MEMBERS[0]: said}, MEMBERS, 1)


def rehearse() -> list[MinuteRecord]:
    """A few minutes of a made-up market, with orders that are matched; what was decided."""
    tape = random_walk_tape(SYMBOLS, 0, HISTORY + MINUTES + 1)
    first_minute = HISTORY * MINUTE_MS
    past = tape.bars[:, :HISTORY]
    cache = Cache(tape.instruments)
    cache.restore(past, np.zeros(past.shape[:2], dtype=np.bool_), first_minute - MINUTE_MS)
    # After the features, the largest part: a simulator that starts beside us has compiled its own rules by then.
    venue = SimulatedVenue.of_tape(tape, {"USDT": Decimal(10_000)}, start_ms=first_minute)
    trade = TradeSettings(instruments=tuple(map(str, tape.instruments)))
    execution = ExecutionSettings()
    desk = LocalDesk(
        cache=cache,
        market=venue,
        detector=Detector(EventSettings()),
        models=_Sure(),
        selector=Selector(SelectionSettings(), WeightTable.equal(MEMBERS), MEMBERS),
        risk=Risk(trade, RiskSettings(), venue.rules()),
        executor=LocalExecutor(ExecutionMachine(execution, venue.rules(), "try"), venue),
    )
    records = list(run_session(desk, first_minute, MINUTES, execution))
    load_matching()
    return records


class Rehearsal:
    """Rehearses in a child process, unless that was done for these very sources before. ``close`` ends it."""

    def __init__(self, root: Path, environ: Mapping[str, str] = os.environ) -> None:
        self._done = None if VARIABLE not in environ else Path(environ[VARIABLE]) / f"rehearsed-{sources_hash(root)}"
        self._process: subprocess.Popen | None = None
        if self._done is None or not self._done.exists():
            program = [sys.executable, "-m", "actors.runs.rehearsal"]
            guarded = [sys.executable, with_parent.__file__, str(os.getpid()), *program]
            self._process = subprocess.Popen(guarded, cwd=root, env=dict(environ), stdout=subprocess.DEVNULL)  # noqa: S603

    @property
    def needed(self) -> bool:
        """Something is being compiled."""
        return self._process is not None and self._process.poll() is None

    def wait(self, timeout_s: float) -> None:
        """Until all is compiled. A rehearsal that fails is told in the log: the actors then compile for themselves."""
        if self._process is None:
            return
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            log.warning("rules are still being compiled after %g s; the actors compile for themselves", timeout_s)
            return
        if code:
            log.warning("the rehearsal failed with exit code %d; the actors compile for themselves", code)
        elif self._done is not None:
            self._done.touch()

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(5)


if __name__ == "__main__":
    # Where processors are few, Ray's start comes first: it gives up when it is kept waiting.
    os.nice(NICENESS)
    rehearse()
