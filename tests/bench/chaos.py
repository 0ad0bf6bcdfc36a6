"""Random orders under a seed of faults, on both venues: do all books agree at the end, and at what cost."""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

from config.argument_types import whole
from config.numba_cache import prepare_numba
from tests.support.chaos_run import Outcome, play
from tests.support.chaos_venues import VENUES
from tests.support.table import table

NAME = "chaos"
ROOT = Path(__file__).resolve().parents[2]
SHOWN = 5


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py bench chaos")
    parser.add_argument("--seeds", type=whole(1), default=3, help="how many, from --first on")
    parser.add_argument("--first", type=whole(0), default=1)
    parser.add_argument("--orders", type=whole(1), default=2_000)
    parser.add_argument("--rate", type=float, default=0.08, help="share of requests and frames that go wrong")
    parser.add_argument("--venue", choices=tuple(VENUES), action="append", help="default: both")
    args = parser.parse_args(argv)
    prepare_numba(ROOT)
    # What goes wrong is the point, and is counted; said aloud it would be thousands of lines.
    logging.disable(logging.CRITICAL)
    rows, wrong = [], 0
    for venue in args.venue or VENUES:
        for seed in range(args.first, args.first + args.seeds):
            outcome, cpu_s = _one(venue, seed, args.orders, args.rate)
            wrong += bool(outcome.differences)
            rows.append(_row(venue, outcome, cpu_s))
            # Fifty seeds take half an hour, and somebody may want to leave earlier.
            said = f"{len(outcome.differences)} differences, {outcome.fills} fills, {cpu_s:.0f} s of CPU"
            print(f"{venue} seed {seed}: {said}", file=sys.stderr, flush=True)
            for text in outcome.differences[:SHOWN]:
                print(f"{venue} seed {seed}: {text}", flush=True)
    head = ("venue", "seed", "orders", "accepted", "fills", "faults", "cuts", "deaths", "CPU s", "differences")
    print(table(head, rows))
    return 1 if wrong else 0


def _one(venue: str, seed: int, orders: int, rate: float) -> tuple[Outcome, float]:
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        outcome = asyncio.run(play(VENUES[venue], seed, orders, Path(folder), rate))
        return outcome, time.process_time() - began


def _row(venue: str, o: Outcome, cpu_s: float) -> tuple:
    done = sum(count for kind, count in o.done.items() if kind not in ("halt", "quiet"))
    return venue, o.seed, o.orders, o.accepted, o.fills, done, o.reconnects, o.deaths, cpu_s, len(o.differences)
