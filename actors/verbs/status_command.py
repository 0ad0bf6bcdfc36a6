"""``run.py status``: what the running bot is doing."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from actors.limits import Standing, folders_of, standings
from actors.runs.running import find_run
from config import load
from core.errors import EXIT_OK, NotRunning
from core.messages import settings_words
from core.notices import clock
from data.hot import Hot

HELP = "what the running bot is doing"
EXAMPLE = "python3 run.py status --json"


def arguments(parser: argparse.ArgumentParser) -> None:
    load.arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def main(args: argparse.Namespace) -> int:
    var = load.var_of(args)
    try:
        running = find_run(var / "runs")
    except NotRunning:
        # A download spends of the same limits, with no bot beside it.
        if not args.json:
            _show_limits(Console(), standings(folders_of(var)))
        raise
    limits = standings(folders_of(var, running.run_id))
    if not running.redis_url:
        if args.json:
            print(json.dumps({"run_id": running.run_id, "mode": running.mode, "pid": running.pid, "starting": True}))
        else:
            print(f"{running.mode} {running.run_id} (pid {running.pid}) is starting")
        return EXIT_OK
    hot = Hot(running.redis_url, running.run_id)
    try:
        snapshot = hot.snapshot()
    finally:
        hot.close()
    minute, equity = snapshot.equity[-1] if snapshot.equity else (None, None)
    answer = {
        "run_id": running.run_id,
        "mode": running.mode,
        "pid": running.pid,
        "dashboard": running.dashboard_url,
        "minute": minute,
        "equity": equity,
        "state": snapshot.state,
        "settings": snapshot.health.get("risk", {}).get("settings"),
        "trading": snapshot.health.get("risk", {}).get("trading", []),
        "starting_cap": snapshot.health.get("risk", {}).get("starting_cap"),
        "actors": snapshot.health,
        "limits": [asdict(standing) for standing in limits],
    }
    if args.json:
        print(json.dumps(answer))
        return EXIT_OK
    console = Console()
    done, missed = snapshot.state.get("done", 0), snapshot.state.get("missed", 0)
    console.print(f"{running.mode} {running.run_id} (pid {running.pid}), page {running.dashboard_url}", highlight=False)
    console.print(
        f"minutes done {done}, missed {missed}; equity {equity:,.2f}" if equity else "no minute recorded yet",
        highlight=False,
    )
    changed = answer["settings"] or {"minute": 0, "lines": []}
    for line in changed["lines"]:
        console.print(
            f"{clock(changed['minute'])} UTC: {settings_words(line)}", highlight=False, markup=False, soft_wrap=True
        )
    for line in answer["trading"]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if answer["starting_cap"]:
        console.print(answer["starting_cap"], highlight=False, markup=False, soft_wrap=True)
    table = Table("actor", "state", "restarts", "ping ms", "memory MB")
    for name, health in snapshot.health.items():
        table.add_row(name, *(str(health.get(key, "")) for key in ("state", "restarts", "ping_ms", "rss_mb")))
    console.print(table)
    _show_limits(console, limits)
    return EXIT_OK


def _show_limits(console: Console, limits: Sequence[Standing]) -> None:
    for line in (line for standing in limits for line in standing.words()):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
