"""Resident memory of this process and everything below it, measured all the time; over the limit, the largest trial ends.

The reason is written down before the signal, so that whoever waits for the trial's answer knows why none comes.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tune.auto.budget import size

EVERY_S = 0.25
WORKER = "tune.auto.child"
"""Module of a trial's process, as it stands in its command line."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One process."""

    pid: int
    rss: int
    """Bytes."""
    trial: bool


def tree(root: psutil.Process) -> list[Seen]:
    """This process and all below it that are there now."""
    found = []
    for process in (root, *_below(root)):
        try:
            with process.oneshot():
                rss = process.memory_info().rss
                trial = WORKER in process.cmdline()
        except psutil.Error:
            continue  # it ended meanwhile
        found.append(Seen(process.pid, rss, trial))
    return found


def _below(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.Error:
        return []


def over(seen: Iterable[Seen], limit: int) -> tuple[int, Seen | None]:
    """Bytes of all, and the trial to end: the largest, where all together are above the limit."""
    seen = list(seen)
    total = sum(one.rss for one in seen)
    trials = [one for one in seen if one.trial]
    return total, max(trials, key=lambda one: one.rss) if total > limit and trials else None


def note_path(folder: Path, pid: int) -> Path:
    """Where the reason of an ended process stands."""
    return folder / "ended" / f"{pid}.txt"


def end(folder: Path, pid: int, why: str) -> None:
    """Write the reason, then kill; kill also where nothing can be written."""
    path = note_path(folder, pid)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(why, encoding="utf-8")
    try:
        psutil.Process(pid).kill()
    except psutil.Error:
        path.unlink(missing_ok=True)


@dataclass(slots=True)
class Watch:
    """Looks every quarter of a second while it is entered."""

    folder: Path
    limit: int
    """Bytes of all processes together."""
    each: Callable[[int], object] = lambda total: None
    """Told the sum after every look."""
    peak: int = 0
    now: int = 0
    ended: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def look(self) -> None:
        """Once."""
        self.now, too_much = over(tree(psutil.Process()), self.limit)
        self.peak = max(self.peak, self.now)
        if too_much is not None:
            self.ended += 1
            words = f"all processes together took {size(self.now)} of {size(self.limit)}, and this trial most: {size(too_much.rss)}"
            end(self.folder, too_much.pid, words)
        # A full disk, on which the time spent cannot be noted, must not end the watch.
        with suppress(OSError):
            self.each(self.now)

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._run, name="memory-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            self.look()
