"""Memory of the whole running system: every process of a replay, counted by its proportional share (PSS)."""

import tempfile
from pathlib import Path

import psutil

from data.hot import Hot
from tests.support.replays import end_group, noted, start_replay, wait_until
from tests.support.table import table

NAME = "memory"
MINUTES_IN = 60
"""Measured when so many minutes are done, with every window full."""


def main(argv: list[str]) -> int:
    """Run a demo replay in lockstep and measure it on the way. PSS counts a page shared by n processes as 1/n each."""
    with tempfile.TemporaryDirectory() as folder:
        var = Path(folder)
        replay = start_replay(
            var, "--lockstep", "--minutes=2000", settings=("ray.dashboard=true", "ray.dashboard_port=8277")
        )
        try:
            wait_until("the run is up", lambda: bool(noted(var)), 300)
            told = noted(var)
            hot = Hot(told["redis_url"], told["run_id"])
            wait_until(f"{MINUTES_IN} minutes are done", lambda: int(hot.state().get("done") or 0) >= MINUTES_IN, 120)
            rows = measured(replay.pid)
            hot.send_command("stop")
            replay.communicate(timeout=90)
        finally:
            end_group(replay)
    total = sum(mb for _, _, mb in rows)
    print(table(("process", "count", "PSS MB"), [*rows, ("all", sum(n for _, n, _ in rows), round(total))]))
    return 0


def measured(pid: int) -> list[tuple[str, int, float]]:
    """(name, how many, PSS in MB) of a process and all below it, largest first; Ray's workers by the actor they run."""
    root = psutil.Process(pid)
    shares: dict[str, list[float]] = {}
    for process in [root, *root.children(recursive=True)]:
        try:
            memory = process.memory_full_info()
            words = process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        share = getattr(memory, "pss", memory.uss)
        shares.setdefault(_name(words), []).append(share / 2**20)
    return sorted(((n, len(v), round(sum(v), 1)) for n, v in shares.items()), key=lambda row: -row[2])


def _name(words: list[str]) -> str:
    first = Path(words[0]).name if words else "?"
    if first.startswith("ray::"):
        return words[0].split("(")[0].strip()
    if first.startswith("python") and len(words) > 1:
        return " ".join([Path(words[1]).name, *words[2:3]]) if words[1].endswith("run.py") else Path(words[1]).name
    return first
