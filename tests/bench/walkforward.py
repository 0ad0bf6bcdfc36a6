"""A walk-forward over a year and 50 symbols (or fewer): time, and how much memory each stage reached.

Members are trained on each fold's past, forecast its future, and one account trades all of what was never learned
from, over a made-up lake kept under var/bench (``--symbols`` x ``--days``; the claim is 50 x 365, the default smaller).
The work runs in a process of its own; memory is the most that it held in each stage, without the pages of mapped files,
which the system takes back when it needs room (with them it is printed at the end). The statement is that memory
follows the pieces and the samples, not the history or the lake: the lake's bars as an array are printed beside it.

Not measured: members on a graphics card, a lake on a cold disk, several processes.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from config.argument_types import whole
from core.features import N_FEATURES
from tests.bench.support.big_lake import big_lake
from tests.bench.support.processes import ONE_THREAD, ROOT, Failed, answer_of, environment, own_command
from tests.support.table import table

NAME = "walkforward"
HEADINGS = ("stage", "begins at s", "MB at most")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py bench walkforward", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--symbols", type=whole(1), default=10)
    parser.add_argument("--days", type=whole(1), default=56)
    parser.add_argument("--folds", type=whole(1), default=5)
    parser.add_argument("--members", default="ridge,rules", help="families to train (default ridge,rules)")
    parser.add_argument("--candidates", type=whole(1), default=1, help="tables of weights to choose from (default 1)")
    parser.add_argument("--timeout", type=float, default=7200.0, help="seconds before it is given up")
    parser.add_argument("--quick", action="store_true", help="2 symbols, 14 days, 2 folds")
    parser.add_argument("--root", type=Path, default=ROOT / "var" / "bench", help="where lakes lie")
    args = parser.parse_args(argv)
    symbols, days, folds = (2, 14, 2) if args.quick else (args.symbols, args.days, args.folds)

    root = args.root / f"lake-{symbols}x{days}"
    big_lake(root, symbols, days, _say)
    out = args.root / "walkforward"
    shutil.rmtree(out, ignore_errors=True)
    command = own_command("walkforward_job", root, args.members, folds, args.candidates, out)
    try:
        # Its progress goes to the terminal as it comes: a year of 50 symbols takes a while.
        done = subprocess.run(
            command, cwd=ROOT, env=environment(ONE_THREAD), stdout=subprocess.PIPE, text=True, timeout=args.timeout
        )
        told = answer_of(done.stdout, "", done.returncode)
    except (subprocess.TimeoutExpired, Failed) as error:
        print(f"the walk-forward did not end: {error}", file=sys.stderr)
        return 1
    print(table(HEADINGS, [*(tuple(stage) for stage in told["stages"]), ("done", told["seconds"], "")]))
    bars = symbols * days * 1440
    print(
        f"{symbols} symbols x {days} days, {folds} folds, {args.members}: {told['seconds']:,.0f} s, "
        f"{told['walked'] / told['seconds']:,.0f} symbol-minutes/s of learning, forecasting and trading; "
        f"{told['fills']:,} fills; verdict {told['word']}"
    )
    print(
        f"memory: {max(stage[2] for stage in told['stages']):,.0f} MB at most, of which {told['before_mb']:,.0f} MB were "
        f"there after the imports, and {told['peak_mb']:,.0f} MB with the pages of mapped files; the lake's bars alone would be {bars * 40 / 2**20:,.0f} MB, their features {bars * N_FEATURES * 8 / 2**20:,.0f} MB"
    )
    return 0


def _say(text: str) -> None:
    print(text, flush=True)
