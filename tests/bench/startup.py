"""How long the command itself takes: wall time of verbs that only read."""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from config.argument_types import whole
from tests.support.table import table

NAME = "startup"
ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (["--help"], ["config", "show"], ["config", "check"])


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py bench startup")
    parser.add_argument("--runs", type=whole(1), default=5)
    runs = parser.parse_args(argv).runs
    rows = []
    for command in COMMANDS:
        took = [_time(command) for _ in range(runs)]
        rows.append((f"run.py {' '.join(command)}", runs, statistics.median(took), max(took)))
    print(table(("command", "runs", "median ms", "worst ms"), rows))
    return 0


def _time(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, str(ROOT / "run.py"), *command], check=True, capture_output=True)
    return (time.perf_counter() - began) * 1e3
