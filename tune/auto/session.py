"""One ``train --auto`` from start to leaderboard, or from where an earlier start was left.

Everything lies in one folder beside the market, named by what the search depends on: the features, the records of every
step, Ray Tune's state, the finalists, the leaderboard, and how much time was spent. A start that finds such a folder goes
on in it: whatever ended the last one, at most the steps that were running are lost.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from config.load import resolve_var
from config.settings import Settings
from core.errors import ConfigError, DataError, TimedOut
from core.units import plural
from data.artifacts import ArtifactStore
from data.market import MarketSource
from tune.auto import finals, leftovers, table
from tune.auto.budget import ACTOR_BYTES, LEAST_SEARCH_S, OBJECT_STORE_BYTES, Budget, Clock
from tune.auto.leaderboard import FILE as BOARD
from tune.auto.leaderboard import NATS, Leaderboard, finalists_of, ranked, series_of
from tune.auto.records import read
from tune.auto.space import Space
from tune.auto.task import NINTHS, Task, cut, key_of
from tune.auto.watch import Watch
from tune.auto.worker import Worker
from tune.cluster import own_ray
from tune.train import CODE, Span, lower_priority

STATE = "state.json"
FOLDER = "auto"
FINALISTS = 3
NOTED_EVERY_S = 2.0
TRADING_S = 30.0
"""Kept of the end's time for the accounts: the engine starts, and goes through the held-out part once a finalist."""


@dataclass(frozen=True, slots=True)
class Now:
    """Where the search stands, for whoever shows it."""

    doing: str
    share: float
    """Of all the time."""
    left_s: float
    memory: int
    """Bytes of all processes together."""


Told = Callable[[Now], object]


@dataclass(slots=True)
class State:
    """What outlives a start."""

    path: Path
    spent_s: float = 0.0
    peak: int = 0
    ended: int = 0
    """Trials that were ended because all processes together took too much."""
    starts: int = 0
    finished: bool = False

    @classmethod
    def load(cls, folder: Path) -> "State":
        path = folder / STATE
        if not path.exists():
            return cls(path)
        try:
            return cls(path, **json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{path}: not the state of a search ({error}); move the folder away to begin anew"
            ) from None

    def save(self) -> None:
        names = ("spent_s", "peak", "ended", "starts", "finished")
        draft = self.path.with_suffix(".tmp")
        draft.write_text(json.dumps({name: getattr(self, name) for name in names}), encoding="utf-8")
        draft.replace(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a start ended."""

    board: Leaderboard
    path: Path
    """Of the leaderboard's file."""
    before: bool
    """The search had ended in an earlier start; nothing was done now."""
    interrupted: bool
    """By Ctrl-C: the same command goes on."""


def keep_to(cores: int) -> None:
    """This process and all that it starts stay on so many cores (where the system can; else they are only asked to)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def task_of(source: MarketSource, settings: Settings, span: Span, seed: int) -> Task:
    """What the search is about."""
    horizon = settings.rules.models.horizon_minutes
    return cut(
        source.lake.root,
        settings.config.trade.rows,
        span.first_minute,
        span.minutes,
        horizon=horizon,
        purge=horizon,
        seed=seed,
    )


def run(
    source: MarketSource,
    settings: Settings,
    span: Span,
    space_of: Callable[[float], Space],
    budget_of: Callable[[Space], Budget],
    *,
    seed: int = 0,
    resume: bool = False,
    most_trials: int | None = None,
    told: Told = lambda now: None,
    ray: Callable = own_ray,
) -> Ended:
    """Search within the budget, judge the finalists, keep all of it.

    ``space_of`` is given the days that the shortest fold learns from. ``resume``: there has to be a search to go on with.
    Raises ConfigError or DataError for what cannot be searched, TimedOut where the time is too short for one trial.
    """
    task = task_of(source, settings, span, seed)
    space = space_of(task.shortest_past_days)
    budget = budget_of(space)
    folder = source.root / FOLDER / key_of(task, space, CODE)
    if resume and not (folder / STATE).exists():
        raise ConfigError(
            f"--resume: no search of this market, span, families and seed was begun in {folder.parent}; leave --resume "
            "away to begin one"
        )
    if budget.seconds - budget.end_seconds < LEAST_SEARCH_S:
        raise ConfigError(
            f"--minutes {budget.seconds / 60:g} leaves {budget.seconds - budget.end_seconds:.0f} s for trials, and one takes "
            f"{LEAST_SEARCH_S:.0f} s at least; give more minutes"
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0.0):
            return _Session(source, settings, task, space, budget, folder, most_trials, told, ray).run()
    except Timeout:
        raise ConfigError(
            f"{folder}: this very search is running in another process; wait for it, or stop it"
        ) from None


@dataclass(slots=True)
class _Session:
    source: MarketSource
    settings: Settings
    task: Task
    space: Space
    budget: Budget
    folder: Path
    most_trials: int | None
    told: Told
    ray: Callable

    def run(self) -> Ended:
        state = State.load(self.folder)
        path = self.folder / BOARD
        if state.finished:
            return Ended(board=Leaderboard.load(path), path=path, before=True, interrupted=False)
        # This search alone wrote there, and holds its lock: who is on the note was left by a start that was killed.
        leftovers.end(self.folder)
        state.starts += 1
        self.task.save(self.folder)
        lower_priority(self._niceness)
        clock = Clock(time.monotonic, time.monotonic(), state.spent_s, self.budget)
        doing = _Doing(self.told, clock)
        with self._watched(state, clock, doing) as watch:
            self._prepare(clock, doing)
            whole = self._search(clock, doing)
            board = self._ranked(state, watch, clock)
            board.save(path)
            if not whole:
                return Ended(board=board, path=path, before=False, interrupted=True)
            board = self._finals(board, clock, doing)
        board = replace(board, about=self._about(state, watch, clock))
        board.save(path)
        state.finished = True
        state.save()
        table.drop(self.task, self.folder)
        return Ended(board=board, path=path, before=False, interrupted=False)

    @property
    def _niceness(self) -> int:
        return self.settings.config.resources.trainer_niceness

    @contextmanager
    def _watched(self, state: State, clock: Clock, doing: "_Doing") -> Iterator[Watch]:
        """Memory is watched, and time spent is written down, while inside."""
        noted = [clock.spent]

        def each(total: int) -> None:
            doing.memory = total
            doing.tell()
            if clock.spent - noted[0] >= NOTED_EVERY_S:
                noted[0] = clock.spent
                self._note(state, watch, clock)

        watch = Watch(self.folder, self.budget.memory, each)
        watch.peak, watch.ended = state.peak, state.ended
        self._note(state, watch, clock)
        try:
            with watch:
                yield watch
        finally:
            self._note(state, watch, clock)

    @staticmethod
    def _note(state: State, watch: Watch, clock: Clock) -> None:
        state.spent_s, state.peak, state.ended = clock.spent, watch.peak, watch.ended
        state.save()

    def _prepare(self, clock: Clock, doing: "_Doing") -> None:
        """The features, in a process of their own, so that their memory is given back."""
        if table.is_there(self.folder):
            return
        doing.what = "reading bars, computing features"
        worker = self._worker()
        try:
            told = worker.ask({"do": "prepare"}, deadline=clock.search_ends, seconds=clock.budget.seconds)
        finally:
            worker.close()
        if told["status"] == "time" or (told["status"] == "ok" and clock.search_left < LEAST_SEARCH_S):
            raise TimedOut(
                f"--minutes {self.budget.seconds / 60:g} is too short for one trial: reading the market and its features "
                f"took {told['seconds']:.0f} s of it; give --minutes {self._enough(told['seconds']):g} (what is done is kept)"
            )
        if told["status"] != "ok":
            raise DataError(f"the features of the search could not be computed: {told['reason']}")

    def _enough(self, seconds: float) -> float:
        return max(2.0, round(self.budget.seconds / 60 + seconds / 30 + 2.0))

    def _search(self, clock: Clock, doing: "_Doing") -> bool:
        """Whether it came to its end."""
        if clock.search_left <= 0.0:
            return True
        doing.what = "Ray starts"
        # Optuna and Tune take their seconds to import: who asks for an old leaderboard does not wait for them.
        searching = import_module("tune.auto.search")

        def standing(now: Any) -> None:
            best = "none yet" if now.best is None else f"{now.best * NATS:+.2f} ({now.ninths}/{NINTHS[-1]} learned)"
            doing.what = f"{plural(now.done, 'trial')} done, {now.running} running, best gain {best}"

        workers = self.budget.at_once * (self.budget.trial_bytes + ACTOR_BYTES)
        with self.ray(resolve_var(self.settings), self.budget.cores, memory=workers, object_store=OBJECT_STORE_BYTES):
            leftovers.note(self.folder)
            return bool(
                searching.search(
                    self.folder,
                    self.space,
                    self.budget,
                    deadline=clock.search_ends,
                    seed=self.task.seed,
                    niceness=self._niceness,
                    most_trials=self.most_trials,
                    told=standing,
                )
            )

    def _ranked(self, state: State, watch: Watch, clock: Clock) -> Leaderboard:
        steps = read(self.folder)
        board = ranked(steps, series_of(self.folder, steps.values()))
        return replace(board, about=self._about(state, watch, clock))

    def _finals(self, board: Leaderboard, clock: Clock, doing: "_Doing") -> Leaderboard:
        rows = finalists_of(board, FINALISTS)
        if not rows:
            lost = "; ".join(dict.fromkeys(f"{row.family}: {row.reason}" for row in board.rows)) or "none had begun"
            raise TimedOut(
                f"no trial came to an end within --minutes {self.budget.seconds / 60:g} ({lost}); what is done is kept: the "
                f"same command with --minutes {self._enough(self.budget.seconds):g} goes on"
            )
        # A finalist learns about what one fold of its trial learned; the accounts need their time, too.
        wanted, room = list(rows), max(0.0, clock.left - TRADING_S)
        while len(wanted) > 1 and sum(row.seconds / 2 for row in wanted) > room:
            wanted.pop()

        def say(text: str, share: float) -> None:
            doing.what = f"finals: {text}"

        worker = self._worker()
        try:
            learned = finals.learn(
                wanted,
                self.folder,
                worker,
                self.task,
                self.settings,
                ArtifactStore(self.source.root / "artifacts"),
                board,
                source=self.source.name,
                deadline=time.monotonic() + max(clock.left, self.budget.end_seconds),
                seconds=self.budget.seconds,
                say=say,
            )
        finally:
            worker.close()
        return finals.trade(learned, self.source, self.settings, self.task, board, say)

    def _worker(self) -> Worker:
        """A process with the share of one trial, outside of Ray."""
        return Worker(self.folder, self.budget.trial_bytes, self.budget.threads, self._niceness)

    def _about(self, state: State, watch: Watch, clock: Clock) -> dict[str, Any]:
        budget = self.budget
        return {
            "search": self.folder.name,
            "market": self.source.name,
            "synthetic": self.source.synthetic,
            "instruments": list(self.task.instruments),
            "span": [self.task.origin, self.task.ms(self.task.minutes + self.task.horizon)],
            "held_out": [self.task.ms(self.task.searched), self.task.ms(self.task.minutes)],
            "families": list(self.space.families),
            "seed": self.task.seed,
            "budget": {"minutes": budget.seconds / 60, "cores": budget.cores, "memory": budget.memory},
            "at_once": budget.at_once,
            "trial_bytes": budget.trial_bytes,
            "spent_s": clock.spent,
            "peak_bytes": watch.peak,
            "ended_for_memory": watch.ended,
            "starts": state.starts,
        }


class _Doing:
    """What is being done, told with every look at the memory."""

    def __init__(self, told: Told, clock: Clock) -> None:
        self._told, self._clock = told, clock
        self.what, self.memory = "starting", 0

    def tell(self) -> None:
        clock = self._clock
        share = min(1.0, clock.spent / clock.budget.seconds)
        self._told(Now(self.what, share, clock.left, self.memory))
