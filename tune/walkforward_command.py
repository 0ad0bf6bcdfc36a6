"""``run.py backtest --walk-forward``: its options, its progress, and what it leaves for live trading to ask."""

import argparse
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from config import load
from config.argument_types import amount, days, minute, number, whole
from config.identity import rules_hash
from config.settings import Settings
from core.errors import ConfigError
from core.features import schema_hash
from core.units import DAY_MS, MINUTE_MS, Instrument, plural
from data.artifacts import ArtifactStore
from data.market import MarketSource
from data.progress import Done, bars_bar
from data.verdicts import keep_verdict
from tune.fold_work import READING, TRADING, Plan
from tune.fold_work import Progress as Told
from tune.result import Result
from tune.result_folder import replace_earlier
from tune.time_left import TimeLeft
from tune.train import CODE, lower_priority
from tune.verdict import Verdict
from tune.walkforward import FOLDS_FILE, Walked, run_walk_forward, whole_span

VERDICT_FILE = "verdict.json"
COLOURS = {"edge": "bold green", "unproven": "bold yellow", "none": "bold red"}
DEFAULTS = Plan()
DAY_MINUTES = DAY_MS // MINUTE_MS
MOST = 366 * DAY_MINUTES
"""Minutes of a purge or an embargo."""


def arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "walk-forward",
        "Learn on the past, trade what follows, go on. Without --days everything the market has is used.",
    )
    group.add_argument(
        "--walk-forward", action="store_true", help="judge the rules on minutes nothing was learned from"
    )
    cut = group.add_mutually_exclusive_group()
    cut.add_argument("--folds", type=whole(1, 1_000), help=f"number of test parts (default {DEFAULTS.folds})")
    cut.add_argument("--test-days", type=days, help="length of a test part, instead of --folds")
    group.add_argument(
        "--rolling-days", type=days, help="learn on that many days before each test part (default: all before it)"
    )
    group.add_argument(
        "--first-share",
        type=number(0.05, 0.95),
        default=DEFAULTS.first_share,
        help="share of the time that the first fold learns on (default %(default)g)",
    )
    group.add_argument(
        "--purge", type=whole(0, MOST), help="minutes not learned from before a test part (default: the horizon)"
    )
    group.add_argument(
        "--embargo",
        type=whole(0, MOST),
        help="minutes that later folds leave out after a test part (default: the horizon)",
    )
    group.add_argument(
        "--samples",
        type=whole(1_000, 100_000_000),
        default=DEFAULTS.samples,
        help="samples a fold learns from at most, drawn evenly over its time (default %(default)s)",
    )
    group.add_argument(
        "--candidates",
        type=whole(1, 1_000),
        default=DEFAULTS.candidates,
        help="tables of ensemble weights to choose from in each fold's past; each is a trial; 1: the configured weights "
        "(default %(default)s)",
    )
    group.add_argument(
        "--seed", type=whole(0, 2**31 - 1), default=0, help="everything drawn is drawn from it (default %(default)s)"
    )


def given(args: argparse.Namespace) -> list[str]:
    """Options of a walk-forward that were given another value than the one they have by themselves."""
    own = {
        "folds": None,
        "test_days": None,
        "rolling_days": None,
        "first_share": DEFAULTS.first_share,
        "purge": None,
        "embargo": None,
        "samples": DEFAULTS.samples,
        "candidates": DEFAULTS.candidates,
        "seed": 0,
    }
    return [f"--{name.replace('_', '-')}" for name, value in own.items() if getattr(args, name) != value]


def plan_of(args: argparse.Namespace) -> Plan:
    """The plan the options ask for."""
    return Plan(
        folds=args.folds or DEFAULTS.folds,
        test=None if args.test_days is None else round(args.test_days * DAY_MINUTES),
        window=None if args.rolling_days is None else round(args.rolling_days * DAY_MINUTES),
        purge=args.purge,
        embargo=args.embargo,
        first_share=args.first_share,
        samples=args.samples,
        candidates=args.candidates,
        seed=args.seed,
    )


def span_of(
    args: argparse.Namespace, source: MarketSource, instruments: tuple[Instrument, ...]
) -> tuple[int, int] | None:
    """(open of the first minute, close of the last) that --start, --days and --minutes ask for; None: all there is."""
    count = args.minutes if args.days is None else round(args.days * DAY_MINUTES)
    if count is None and args.start is None:
        return None
    first, end = whole_span(source, instruments)
    if args.start is None:
        return max(first, end - count * MINUTE_MS), end
    start = minute(args.start)
    last = end if count is None else start + count * MINUTE_MS
    if start < first or last > end or last <= start:
        raise ConfigError(f"--start {args.start}: the market has bars from {_utc(first)} to {_utc(end)} UTC")
    return start, last


def folder_of(var: Path, source: MarketSource) -> Path:
    """Where a walk-forward of this market is kept, the same in every run: an interrupted one is found again."""
    return var / "backtests" / f"walk-forward-{source.name}"


def run(
    args: argparse.Namespace, settings: Settings, source: MarketSource, out: Path, console: Console
) -> tuple[Result, Verdict]:
    """Walk forward; keep result and verdict under ``out``, and the verdict where live trading looks for it.

    Raises BotError; Ctrl-C passes through after saying that what is done is kept.
    """
    plan, cash = plan_of(args), amount(str(args.cash))
    span = span_of(args, source, settings.config.trade.rows)
    resources = settings.config.resources
    lower_priority(resources.trainer_niceness)
    # Torch reads it when it is first imported, which is not before a fold needs it.
    os.environ.setdefault("OMP_NUM_THREADS", str(resources.torch_threads))
    time_left = TimeLeft()
    with bars_bar(console, "walk-forward", time_left.left) as (say, walk):
        try:
            walked = run_walk_forward(
                source, settings, plan, out, cash=cash, span=span, progress=_told(say, walk, time_left)
            )
        except KeyboardInterrupt:
            console.print("interrupted: the folds that are done are kept; the same command goes on", soft_wrap=True)
            raise
    replace_earlier(out, console, but=(FOLDS_FILE,))
    _keep(walked, source, plan, out, load.resolve_var(settings))
    show(console, walked)
    return walked.result, walked.verdict


def _told(say: Callable[[str], None], walk: Done, time_left: TimeLeft) -> Told:
    """The bar goes by the bars that were gone through, and the time left by everything."""
    done = total = 0

    def plan(units: Mapping[str, int]) -> None:
        nonlocal total
        total = units[READING] + units[TRADING]
        time_left.plan(units)
        walk(done, total)

    def count(kind: str, units: int) -> None:
        nonlocal done
        if kind in (READING, TRADING):
            done += units
        walk(done, total)

    def did(kind: str, units: int) -> None:
        time_left.did(kind, units)
        count(kind, units)

    def spare(kind: str, units: int) -> None:
        time_left.spare(kind, units)
        count(kind, units)

    return Told(say=say, plan=plan, begin=time_left.begin, did=did, spare=spare)


def _keep(walked: Walked, source: MarketSource, plan: Plan, out: Path, var: Path) -> None:
    walked.result.save(out)
    text = walked.verdict.to_json()
    (out / VERDICT_FILE).write_text(text, encoding="utf-8")
    trade = walked.settings.config.trade
    names = [m.name for m in walked.settings.rules.models.enabled]
    keep_verdict(
        ArtifactStore(var / "artifacts"),
        rules_hash(walked.settings),
        text,
        schema=schema_hash(),
        span=walked.span,
        instruments=trade.instruments,
        seed=plan.seed,
        code=CODE,
        source=source.name,
        synthetic=source.synthetic,
        members={name: ", ".join(fold[row] for fold in walked.versions) for row, name in enumerate(names)},
    )


def show(console: Console, walked: Walked) -> None:
    """The folds, and the word with its reasons."""
    result = walked.result
    console.print(
        f"{result.market}; {plural(walked.trials, 'trial')} in the log ({walked.new_trials} new)", highlight=False
    )
    table = Table(title="folds")
    for name in ("fold", "learned from", "until", "tested until", "days"):
        table.add_column(name, justify="right" if name in ("fold", "days") else "left")
    origin = walked.span[0]
    for row, fold in enumerate(walked.folds, 1):
        times = (fold.train_first, fold.train_end, fold.test_end)
        long = (fold.test_end - fold.test_first) / DAY_MINUTES
        table.add_row(str(row), *(_utc(origin + t * MINUTE_MS) for t in times), f"{long:.1f}")
    console.print(table)
    verdict = walked.verdict
    console.print(Text.assemble("verdict: ", (verdict.word, COLOURS[verdict.word])))
    for reason in verdict.reasons:
        console.print(f"  - {reason}", highlight=False, markup=False)


def _utc(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}"
