"""Which run is going on in this project, so that ``status`` and ``stop`` find it from another terminal."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from actors.plan import RunPlan
from core.errors import BotError, NotRunning

FILE = "current.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A run that is alive."""

    run_id: str
    mode: str
    pid: int
    redis_url: str
    """Empty while the run is still coming up."""
    dashboard_url: str


def note_start(runs_dir: Path, run_id: str, mode: str) -> None:
    """Leave word that this process brings a run up; ``note_run`` completes it."""
    _note(runs_dir, {"run_id": run_id, "mode": mode, "redis_url": "", "dashboard_url": ""})


@contextmanager
def noted(runs_dir: Path, run_id: str, mode: str) -> Iterator[None]:
    """While it lasts, ``status`` and ``stop`` find the run, from its start on."""
    runs_dir.mkdir(parents=True, exist_ok=True)
    note_start(runs_dir, run_id, mode)
    try:
        yield
    finally:
        forget_run(runs_dir)


def note_run(runs_dir: Path, plan: RunPlan, dashboard_url: str) -> None:
    """Leave word of the run that this process drives."""
    _note(
        runs_dir,
        {"run_id": plan.run_id, "mode": plan.mode, "redis_url": plan.redis_url, "dashboard_url": dashboard_url},
    )


def _note(runs_dir: Path, told: dict[str, str]) -> None:
    draft = runs_dir / f"{FILE}.tmp"
    draft.touch(mode=0o600)
    process = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    draft.write_text(json.dumps(told | process), encoding="utf-8")
    draft.replace(runs_dir / FILE)


def forget_run(runs_dir: Path) -> None:
    """The run of this process is over."""
    (runs_dir / FILE).unlink(missing_ok=True)


def find_run(runs_dir: Path) -> Running:
    """The run going on. Raises NotRunning when there is none, or when it was killed without a word."""
    try:
        noted = json.loads((runs_dir / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        raise NotRunning("no bot is running here; start one: python3 run.py") from None
    try:
        # A pid alone may be somebody else's by now; with its birth time it cannot.
        alive = abs(psutil.Process(noted["pid"]).create_time() - noted["started"]) < 1
    except psutil.NoSuchProcess:
        alive = False
    if not alive:
        raise NotRunning(
            f"run {noted['run_id']} is not running any more: it ended without tidying up; start again: python3 run.py"
        )
    return Running(**{name: noted[name] for name in ("run_id", "mode", "pid", "redis_url", "dashboard_url")})


def refuse_second(runs_dir: Path) -> None:
    """Raise BotError when a run goes on here already: two would share accounts, ports and attention."""
    try:
        running = find_run(runs_dir)
    except NotRunning:
        return
    raise BotError(
        f"a {running.mode} run goes on here already ({running.run_id}, pid {running.pid}); "
        "look at it: python3 run.py status, or end it: python3 run.py stop"
    )
