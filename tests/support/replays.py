"""Replays as a user runs them: ``run.py replay`` in a process of its own, in a var folder of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
EAGER = (
    "rules.selection.entry_edge_bps=2",
    "rules.selection.exit_edge_bps=0",
    "rules.selection.full_edge_bps=10",
    "rules.execution.cost_gate=off",
)
"""Thresholds low enough that an hour brings many orders: the tests are about orders, not about profit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A replay that came to its end."""

    code: int
    summary: dict
    stderr: str

    @property
    def run_dir(self) -> Path:
        return Path(self.summary["run_dir"])


def command(var: Path, *arguments: str, settings: tuple[str, ...] = EAGER) -> list[str]:
    """The command line of a replay under ``var``, with free ports."""
    sets = (f"var_dir={var}", "dashboard.port=0", "ray.dashboard=false", *settings)
    return [sys.executable, str(ROOT / "run.py"), "replay", "--json", *arguments, *(f"--set={s}" for s in sets)]


def run_replay(var: Path, *arguments: str, settings: tuple[str, ...] = EAGER, timeout_s: float = 560) -> Finished:
    """Run one to its end. Its whole process group is ended when it takes longer."""
    process = start_replay(var, *arguments, settings=settings)
    try:
        out, err = process.communicate(timeout=timeout_s)
    finally:
        end_group(process)
    lines = out.strip().splitlines()
    return Finished(code=process.returncode, summary=json.loads(lines[-1]) if lines else {}, stderr=err)


def start_replay(var: Path, *arguments: str, settings: tuple[str, ...] = EAGER) -> subprocess.Popen:
    """Start one in a session of its own."""
    return subprocess.Popen(
        command(var, *arguments, settings=settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )


def end_group(process: subprocess.Popen) -> None:
    """End a replay and everything it started, if it did not end by itself."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def left_behind(marker: str) -> list[str]:
    """Command lines of living processes that mention ``marker`` or work in a folder that does."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        words = " ".join(process.info["cmdline"] or ())
        if marker in words and process.info["status"] != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
            found.append(words)
    return found


def noted(var: Path) -> dict:
    """What ``current.json`` says of the run under ``var``; empty while there is none, or while it is coming up."""
    try:
        told = json.loads((var / "runs" / "current.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return told if told["redis_url"] else {}


def wait_until(what: str, true: Callable[[], bool], timeout_s: float, every_s: float = 0.2) -> None:
    """Poll until ``true()``; AssertionError naming ``what`` when it does not become so in time."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if true():
            return
        time.sleep(every_s)
    raise AssertionError(f"not within {timeout_s:g} s: {what}")
