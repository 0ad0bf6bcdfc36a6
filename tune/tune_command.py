"""``run.py tune``: search the ensemble's weights by regime on walk-forward folds."""

import argparse
import json

from rich.console import Console
from rich.table import Table

from config import load
from config.argument_types import days, number, whole
from core.errors import EXIT_OK
from core.units import plural
from data.artifacts import ArtifactStore
from data.progress import share_bar, tell_notes
from tune.train import lower_priority
from tune.train_command import DEFAULT_DAYS, add_trained_market, newest_span, picked
from tune.weights import Found, tune_weights

HELP = "search the ensemble's weights on walk-forward folds"
EXAMPLE = "python3 run.py tune --trials 60 --minutes 5"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_trained_market(parser)
    parser.add_argument("--days", type=days, default=DEFAULT_DAYS, help="newest days to judge on (default %(default)g)")
    parser.add_argument("--before-ms", type=whole(0), metavar="MS", help="use only bars that closed by then (epoch ms)")
    parser.add_argument(
        "--trials", type=whole(1), default=40, help="trials of 32 candidates each (default %(default)s)"
    )
    parser.add_argument(
        "--minutes",
        type=number(0, 1e6, above=True),
        default=10.0,
        help="stop searching after this (default %(default)g)",
    )
    parser.add_argument(
        "--seed", type=whole(0), default=0, help="everything drawn is drawn from it (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line: version, weights, scores")
    load.arguments(parser)


def main(args: argparse.Namespace) -> int:
    settings = load.from_arguments(args)
    lower_priority(settings.config.resources.trainer_niceness)
    settings, source = picked(args, settings)
    console = Console(stderr=True)
    tell_notes(console, source.notes)
    span = newest_span(source, settings, args.days, args.before_ms, shared=True)
    store = ArtifactStore(source.root / "artifacts")
    with share_bar(console, "weights") as progress:
        found = tune_weights(
            source,
            settings,
            span,
            store,
            trials=args.trials,
            minutes=args.minutes,
            seed=args.seed,
            progress=progress,
        )
    show(console, found)
    if args.json:
        answer = {"version": found.artifact.version, "reference": found.artifact.reference, "trials": found.trials}
        print(json.dumps(answer | {"interrupted": found.interrupted, "metrics": found.metrics} | found.table.to_json()))
    return EXIT_OK


def show(console: Console, found: Found) -> None:
    """Weights by regime, and what they are worth beside equal ones."""
    members = list(next(iter(found.table.by_regime.values())))
    table = Table(title=f"Weights {found.table.version} ({plural(found.trials, 'trial')})")
    table.add_column("regime")
    for member in members:
        table.add_column(member, justify="right")
    for regime, weights in found.table.by_regime.items():
        table.add_row(regime, *(f"{weights[m]:.3f}" for m in members))
    console.print(table)
    m = found.metrics
    console.print(
        f"net bps a day of the invested part: searched {m['score']:.2f} (equal weights {m['equal_score']:.2f}), "
        f"held out {m['holdout_score']:.2f} (equal weights {m['holdout_equal_score']:.2f})"
    )
    if not m["beats_equal"]:
        console.print("what was found does not beat equal weights on both: equal ones were kept")
    if found.interrupted:
        console.print("cut short; the same command goes on where it stopped")
