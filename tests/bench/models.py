"""Members: training against a bare torch loop, memory while learning, and what they find where the truth is known.

* ``training``: samples/s of each network's training loop (windows gathered from one table, the tail looked at every few
  steps) against a bare loop over windows that lie in memory as one tensor, with torch's own optimiser; same network, steps
  and batches, in turn, in one process a family, in seconds of the processor. The bar is 0.8 of the bare loop. ``whole fit``
  counts scaling, tables and calibration too. On a GPU the same in wall seconds; where there is none, its row says so.
* ``memory``: the most a process holds while ``train`` learns from a made-up lake, without the pages of mapped files, which
  the system takes back when it needs room, and the processor's seconds.
* ``knowing``: white features, of which three tell the same; returns of a volatility that wanders over a factor of ten.
  ``loud``: root mean square of forecasts over that of returns where nothing can be known. ``found``: share of the planted
  edge that is forecast, on later minutes. ``68 %``, ``95 %``: how many returns lie within, calm and wild thirds beside it.

Not measured: serving (``run.py bench serving``), and what any of it would earn.
"""

import argparse
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from config.argument_types import whole
from core.features import N_FEATURES
from serve.models.registry import FAMILIES, NETWORKS
from tests.bench.support.big_lake import big_lake
from tests.bench.support.processes import ONE_THREAD, ROOT, Failed, measure, own_command
from tests.support.table import table

NAME = "models"
BAR = 0.8
PARTS = ("training", "memory", "knowing")
ORDER = ("tcn", "gru", "patch")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py bench models", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", choices=PARTS, help="one part (default all)")
    parser.add_argument("--steps", type=whole(1), default=100, help="of each training that is timed (default 100)")
    parser.add_argument("--rounds", type=whole(1), default=3, help="trainings of each kind, in turn (default 3)")
    parser.add_argument(
        "--symbols", type=whole(1), default=10, help="of the lake that memory is measured on (default 10)"
    )
    parser.add_argument("--days", type=whole(1), default=30, help="of that lake (default 30)")
    parser.add_argument("--seeds", type=whole(1), default=5, help="markets of each kind (default 5)")
    parser.add_argument("--minutes", type=whole(1), default=6_000, help="of each market (default 6000)")
    parser.add_argument("--families", default=",".join(f for f in FAMILIES if f != "rl"))
    parser.add_argument("--timeout", type=float, default=3_600.0, help="seconds before a process is given up")
    args = parser.parse_args(argv)
    assert set(ORDER) == NETWORKS
    families = args.families.split(",")
    parts = (args.only,) if args.only else PARTS
    good = True
    if "training" in parts:
        good = _training(args) and good
    if "memory" in parts:
        good = _memory(args, families) and good
    if "knowing" in parts:
        good = _knowing(args, families) and good
    return 0 if good else 1


def _training(args: argparse.Namespace) -> bool:
    rows, good, where = [], True, "cpu"
    for family in ORDER:
        try:
            told = measure(own_command("models_job", "loop", family, args.steps, args.rounds), args.timeout, ONE_THREAD)
        except Failed as error:
            print(f"{family}: {error}")
            return False
        print(f"  {family}: timed", flush=True)
        ours, bare, whole = (told["samples"] / min(told[key]) for key in ("ours", "bare", "whole"))
        where = told["device"]
        good &= ours / bare >= BAR
        sizes = f"{told['table_mb']:.0f} for {told['window_mb']:.0f}"
        rows.append((where, family, f"{bare:,.0f}", f"{ours:,.0f}", f"{ours / bare:.2f}", f"{whole:,.0f}", sizes))
    if where != "cuda":
        rows.append(("cuda", "all", *("not measured here: no GPU",) * 1, "", "", "", ""))
    print(f"Training, samples/s on one thread, best of {args.rounds} (bar: {BAR} of the bare loop)\n")
    print(table(("on", "member", "bare loop", "ours", "ours/bare", "whole fit", "MB of table, for windows"), rows))
    return good


def _memory(args: argparse.Namespace, families: list[str]) -> bool:
    root = args_root(args)
    big_lake(root, args.symbols, args.days, lambda text: print(text, flush=True))
    out = ROOT / "var" / "bench" / "models"
    shutil.rmtree(out, ignore_errors=True)
    try:
        told = measure(own_command("models_job", "memory", root, ",".join(families), out), args.timeout, ONE_THREAD)
    except Failed as error:
        print(f"memory: {error}")
        return False
    whole = args.symbols * told["minutes"] * N_FEATURES * 8 / 2**20
    rows = [(f, f"{took:.1f}", f"{peak:,.0f}", f"{samples:,}") for f, took, peak, samples in told["stages"]]
    print(f"\nMemory of `train`, {args.symbols} symbols x {args.days} days\n")
    print(table(("member", "CPU s, two folds and the whole", "MB at most", "samples"), rows))
    print(
        f"{told['before_mb']:,.0f} MB were there after the imports; features alone are {whole:,.0f} MB, their windows would "
        f"be {whole * 64:,.0f} MB; {told['kept_mb']:,.0f} MB were kept on disk. The first family made them. All learn in one "
        "process, as `train` has it: who comes later stands on what those before have not given back."
    )
    return True


def args_root(args: argparse.Namespace) -> Path:
    return ROOT / "var" / "bench" / f"lake-{args.symbols}x{args.days}"


def _knowing(args: argparse.Namespace, families: list[str]) -> bool:
    """A process a family, as many at once as there are cores, those that take longest first."""
    rows: dict[str, tuple[str, ...]] = {}
    began = time.perf_counter()

    def asked(family: str) -> dict[str, Any]:
        return measure(own_command("models_job", "knowing", family, args.seeds, args.minutes), args.timeout, ONE_THREAD)

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        asking = {pool.submit(asked, family): family for family in sorted(families, key=lambda f: f not in NETWORKS)}
        for done in as_completed(asking):
            family = asking[done]
            try:
                told = done.result()
            except Failed as error:
                print(f"{family}: {error}")
                return False
            inside, calm, wild, wide = np.mean(told["widths"], axis=0)
            rows[family] = (
                family,
                f"{np.mean(told['loud']):.4f} (most {max(told['loud']):.4f})",
                f"{np.mean(told['found']):.2f} ({min(told['found']):.2f} to {max(told['found']):.2f})",
                f"{inside:.3f} ({calm:.3f}, {wild:.3f})",
                f"{wide:.3f}",
            )
            print(f"  {time.perf_counter() - began:4.0f} s  {len(rows)} of {len(families)}: {family}", flush=True)
    print(f"\nWhere the truth is known: {args.seeds} markets of each kind, 3 symbols x {args.minutes:,} minutes\n")
    heads = ("member", "loud without an edge", "share of the edge found", "68 % (calm, wild)", "95 %")
    print(table(heads, [rows[family] for family in families]))
    print("Chart rules read what is planted at the ends of the hour's range alone, where half of it is told.")
    return True
