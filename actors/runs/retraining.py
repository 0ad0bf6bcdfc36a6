"""New versions trained beside trading, on a schedule: off the trading path, at a low priority, within declared means.

A training is a Ray task that claims its processors, so nothing else is planned onto them; in it, one after the other, run
the commands a person would type: get the newest bars, learn from them. They end with the run, or when they take more memory
than they may. Of what comes out nobody votes: it challenges (``actors/shadow.py``). When the next one is due is read from
the store, so it survives a restart.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ray

from config.settings import RetrainingSettings
from core.errors import DataError
from core.reasons import Reason
from core.units import MINUTE_MS, Instrument
from data import with_parent
from data.artifacts import ArtifactStore
from data.lake import Lake
from data.model_registry import KIND

if sys.platform == "linux":
    import resource

log = logging.getLogger("retraining")

HOUR_MS = 60 * MINUTE_MS
FRESH_MS = HOUR_MS
"""Newer bars than this must there be, or there is nothing to learn that is not known."""
AGAIN_MS = HOUR_MS
"""After a failure at the earliest."""
LOOK_S = 5.0
TAIL = 2_000
Command = tuple[str, ...]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a training ended."""

    code: int
    words: str
    """What it printed last."""


class Work(Protocol):
    """A training that goes on."""

    def ended(self) -> Ended | None: ...

    def stop(self) -> None: ...


def run_all(commands: Sequence[Command], threads: int, memory_mb: int, log_file: Path) -> Ended:
    """Run the commands one after the other until one fails. Called in a Ray task; the children end with its process."""
    env = os.environ | dict.fromkeys(THREADS, str(threads))
    said = ""
    with log_file.open("a", encoding="utf-8") as told:
        for command in commands:
            guarded = [sys.executable, with_parent.__file__, str(os.getpid()), *command]
            process = subprocess.Popen(guarded, stdout=subprocess.PIPE, stderr=told, text=True, env=env)  # noqa: S603
            if sys.platform == "linux":
                most = memory_mb * 2**20
                resource.prlimit(process.pid, resource.RLIMIT_DATA, (most, most))
            said, _ = process.communicate()
            told.write(said)
            if process.returncode != 0:
                told.flush()
                return Ended(process.returncode, log_file.read_text(encoding="utf-8")[-TAIL:].strip())
    return Ended(0, said.strip()[-TAIL:])


class Retraining:
    """Looks now and then whether a training is due, and what became of the one that goes on."""

    def __init__(
        self,
        settings: RetrainingSettings,
        store: ArtifactStore,
        lake: Lake,
        instruments: tuple[Instrument, ...],
        *,
        commands: Callable[[int], Sequence[Command]],
        begin: Callable[[Sequence[Command]], Work],
        tell: Callable[..., None],
        downloads: bool,
        now_ms: Callable[[], int],
    ) -> None:
        """``commands``: given the market's time, what a training consists of. ``downloads``: it gets newer bars itself.
        ``tell(severity, key, **values)``: a notice. ``now_ms``: the wall clock."""
        self._settings = settings
        self._store = store
        self._lake = lake
        self._instruments = instruments
        self._commands = commands
        self._begin = begin
        self._tell = tell
        self._downloads = downloads
        self._now_ms = now_ms
        self._work: Work | None = None
        self._before: frozenset[str] = frozenset()
        self._not_before = 0
        self._looked = -LOOK_S

    def look(self, market_ms: int) -> None:
        """Cheap; call as often as wanted. ``market_ms``: the newest minute that was decided; 0 before the first."""
        if not self._settings.every_hours or time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        if self._work is not None:
            ended = self._work.ended()
            if ended is not None:
                self._work = None
                self._over(ended)
        elif market_ms and self._is_due(market_ms):
            self._before = self._versions()
            log.info("training beside trading begins")
            self._work = self._begin(self._commands(market_ms))

    def close(self) -> None:
        if self._work is not None:
            self._work.stop()
            self._work = None

    def _is_due(self, market_ms: int) -> bool:
        now = self._now_ms()
        models = self._store.list(KIND)
        last = max((a.created_ms for a in models), default=0)
        if now < self._not_before or now - last < self._settings.every_hours * HOUR_MS:
            return False
        if self._downloads:
            return True
        try:
            _, newest = self._lake.whole_span(self._instruments)
        except DataError:
            return False
        return min(newest, market_ms) - max((a.span[1] for a in models), default=0) >= FRESH_MS

    def _over(self, ended: Ended) -> None:
        made = sorted(self._versions() - self._before)
        if ended.code == 0 and made:
            self._tell("info", "training_done", versions=", ".join(made))
            return
        self._not_before = self._now_ms() + max(AGAIN_MS, int(self._settings.every_hours * HOUR_MS))
        last = ended.words.splitlines()[-1][-300:] if ended.words else Reason("said_nothing")
        reason = Reason("exit_code", code=str(ended.code), text=last) if ended.code else Reason("no_version")
        log.error("training beside trading failed: %s", ended.words)
        self._tell("warning", "training_failed", reason=reason)

    def _versions(self) -> frozenset[str]:
        return frozenset(f"{a.name} {a.version}" for a in self._store.list(KIND))


def train_commands(
    root: Path, market: Command, overrides: Command, instruments: Sequence[Instrument], days: float, downloads: bool
) -> Callable[[int], list[Command]]:
    """What ``Retraining`` runs: ``data download`` for each exchange where ``downloads``, then ``train``.

    ``market``: how ``train`` is told the market. ``overrides``: the run's own ``--set`` and ``--config-dir``.
    """
    run = (sys.executable, str(root / "run.py"))

    def commands(market_ms: int) -> list[Command]:
        until = market_ms + MINUTE_MS
        found: list[Command] = []
        if downloads:
            since = until - int(days * 24 * HOUR_MS)
            since_text = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(since / 1000))
            for venue in dict.fromkeys(i.venue for i in instruments):
                symbols = ",".join(i.symbol for i in instruments if i.venue == venue)
                found.append(
                    (
                        *run,
                        "data",
                        "download",
                        "--exchange",
                        venue,
                        "--symbols",
                        symbols,
                        "--since",
                        since_text,
                        *overrides,
                    )
                )
        found.append((*run, "train", "--days", f"{days:g}", "--before-ms", str(until), "--json", *market, *overrides))
        return found

    return commands


class RayWork:
    """A training as a Ray task."""

    def __init__(self, reference: Any) -> None:
        self._reference = reference

    def ended(self) -> Ended | None:
        done, _ = ray.wait([self._reference], timeout=0)
        if not done:
            return None
        try:
            return ray.get(self._reference)
        except ray.exceptions.RayError as error:
            # Ray's memory guard ends a training before a part that trades.
            return Ended(1, f"its process died: {str(error).strip().splitlines()[-1]}")

    def stop(self) -> None:
        ray.cancel(self._reference, force=True)
