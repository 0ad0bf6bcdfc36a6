"""Reading the lake at scale: polars, pyarrow and Dask on the same jobs, rows a second and memory beside one another.

A made-up lake (``--symbols`` x ``--days``, kept under var/bench) is read by

* ``lake``: the project's own ``Lake.window`` and ``Lake.chunks`` (pyarrow, only the row groups of the window);
* ``polars``: lazy scans, collected together;
* ``pyarrow``: datasets with a filter;
* ``dask``: Dask data frames with a filter, on threads, in an environment of its own.

Jobs: ``day`` is one day of all symbols as an array; ``walk`` everything in pieces of two weeks; ``hours`` everything to
hourly bars and statistics of each symbol's hourly returns. Every answer must be the same. Each job runs in a process
of its own; the first call counts as one of the repetitions (its file system cache is warm, its imports are done). Not
measured: cold disks, more than one machine (where Dask would be at home), writing.

Memory is the most the process ever held, less what it held after its imports. ``walk`` is also done over a quarter
of the days, to show that its memory does not follow the length.
"""

import argparse
import math
from pathlib import Path
from typing import Any

from config.argument_types import whole
from core.units import DAY_MS
from tests.bench.support.big_lake import START, big_lake
from tests.bench.support.environments import NotInstallable, python_of
from tests.bench.support.processes import ROOT, Failed, Timing, measure, own_command, peer_command
from tests.support.table import table

NAME = "lake"
TOOLS = ("lake", "polars", "pyarrow", "dask")
JOBS = ("day", "walk", "hours")
HEADINGS = ("job", "tool", "days", "rows", "median s", "cpu s", "rows/s", "MB over imports")
TIMEOUT = 1800.0


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py bench lake", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--symbols", type=whole(1), default=10)
    parser.add_argument("--days", type=whole(1), default=56)
    parser.add_argument("--repeat", type=whole(1), default=3)
    parser.add_argument("--tools", default=",".join(TOOLS), help=f"of {', '.join(TOOLS)}")
    parser.add_argument("--quick", action="store_true", help="2 symbols, 28 days, one repetition")
    parser.add_argument("--root", type=Path, default=ROOT / "var" / "bench", help="where lakes and environments lie")
    args = parser.parse_args(argv)
    symbols, days, repeat = (2, 28, 1) if args.quick else (args.symbols, args.days, args.repeat)

    root = args.root / f"lake-{symbols}x{days}"
    big_lake(root, symbols, days, _say)
    size = sum(path.stat().st_size for path in root.rglob("*.parquet"))
    print(f"{symbols} symbols x {days} days = {symbols * days * 1440:,} minutes, {size / 2**20:,.0f} MB of Parquet")

    rows, left = [], []
    answers: dict[tuple[str, int], tuple[str, Any]] = {}
    for tool in args.tools.split(","):
        try:
            python = python_of(args.root / "peers", tool, _say) if tool == "dask" else None
        except NotInstallable as error:
            left.append(f"{tool}: not installable here: {error}")
            continue
        for job, length in ((job, days) for job in JOBS):
            for length in (max(14, days // 4), days) if job == "walk" else (days,):
                span = (START, START + length * DAY_MS)
                words = (job, root, symbols, *span, "--repeat", repeat)
                command = (
                    peer_command(python, "dask_lake", *words) if python else own_command("lake_jobs", tool, *words)
                )
                try:
                    told = measure(command, TIMEOUT)
                except Failed as error:
                    left.append(f"{tool} {job}: {error}")
                    continue
                first_tool, first_answer = answers.setdefault((job, length), (tool, told["answer"]))
                if not same(first_answer, told["answer"]):
                    left.append(f"{tool} {job} over {length} days: ANOTHER ANSWER than {first_tool}")
                rows.append(row_of(job, tool, length, symbols, told))
    rows.sort(key=lambda row: (JOBS.index(str(row[0])), int(row[2])))
    print(table(HEADINGS, rows))
    for line in left:
        print(line)
    return 1 if any("ANOTHER ANSWER" in line for line in left) else 0


def row_of(job: str, tool: str, days: int, symbols: int, told: dict[str, Any]) -> tuple[object, ...]:
    """A line of the table from what a process reported."""
    minutes = symbols * (1440 if job == "day" else days * 1440)
    timing = Timing.of(told["seconds"], minutes)
    over = told["peak_mb"] - told["before_mb"]
    return (job, tool, days, minutes, timing.wall, timing.used, timing.rate, round(over))


def same(one: Any, other: Any) -> bool:
    """Whether two answers are the same numbers, to what the order of adding up leaves."""
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


def _say(text: str) -> None:
    print(text, flush=True)
