"""``run.py train --auto``: its options, its progress line, and what it prints at the end."""

import argparse
import json
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from config.argument_types import number, whole
from config.settings import Settings
from core.errors import EXIT_OK, BotError
from data.market import MarketSource
from data.market_arguments import market_words
from tune.auto.budget import DEFAULT_MEMORY, DEFAULT_MINUTES, Budget, read_size, share, size
from tune.auto.leaderboard import Finalist, in_short, show
from tune.auto.space import Space, chosen
from tune.train import Span

if TYPE_CHECKING:
    from tune.auto.session import Now

LONGEST_MINUTES = 7 * 24 * 60
SAID_EVERY_S = 15.0
"""Where there is no terminal, a line so often."""
EXIT_INTERRUPTED = 130
GOES_ON = "the same command goes on"
OPTIONS = ("minutes", "memory", "cores", "resume", "trials")


def arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "search", "Search families and hyper-parameters within a budget; the best become candidates of the registry."
    )
    group.add_argument("--auto", action="store_true", help="search instead of training the configured members")
    group.add_argument(
        "--minutes",
        type=number(0, LONGEST_MINUTES, above=True),
        help=f"time for everything, a search that is taken up again included (default {DEFAULT_MINUTES:g})",
    )
    group.add_argument(
        "--memory", type=memory, metavar="SIZE", help=f"of all processes together, e.g. 8GB (default {DEFAULT_MEMORY})"
    )
    group.add_argument("--cores", type=whole(1, 4_096), help="processor cores, held to (default: all there are)")
    group.add_argument("--trials", type=whole(1, 1_000_000), help="end after so many trials, if time does not before")
    group.add_argument(
        "--resume",
        action="store_true",
        help="refuse to begin a new search (the same market, span, families and seed go on by themselves)",
    )


def memory(text: str) -> int:
    """``--memory``: bytes."""
    try:
        return read_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class MisplacedOption(BotError):
    """An option that only a search has, or has not."""

    exit_code = 2


def check(args: argparse.Namespace) -> None:
    """Raises MisplacedOption for options that do not go together."""
    if not args.auto:
        strange = [f"--{name}" for name in OPTIONS if getattr(args, name)]
        if strange:
            raise MisplacedOption(f"{', '.join(strange)}: only for a search; add --auto")
    elif args.rl or args.ensure:
        raise MisplacedOption(f"--{'rl' if args.rl else 'ensure'} and --auto are two ways to train; leave one away")


def main(args: argparse.Namespace, settings: Settings, source: MarketSource, span: Span) -> int:
    families = chosen(args.families)
    # Ray and what trades take their seconds to import: who trains without a search does not wait for them.
    session = import_module("tune.auto.session")
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    console = Console(stderr=args.json)

    def budget_of(space: Space) -> Budget:
        made = share(
            minutes=args.minutes or DEFAULT_MINUTES,
            cores=args.cores or there,
            there=there,
            memory=args.memory or read_size(DEFAULT_MEMORY),
            physical=psutil.virtual_memory().total,
            space=space,
        )
        session.keep_to(made.cores)
        console.print(f"budget: {made.in_words()}", highlight=False, soft_wrap=True)
        return made

    with line(Console(stderr=True)) as told, kept_at_ctrl_c(console):
        ended = session.run(
            source,
            settings,
            span,
            lambda days: Space(families, days),
            budget_of,
            seed=args.seed,
            resume=args.resume,
            most_trials=args.trials,
            told=told,
        )
    if ended.before:
        console.print("this search had ended before; its leaderboard (another --seed makes another search):")
    show(console, ended.board)
    console.print(in_short(ended.board), highlight=False, soft_wrap=True)
    console.print(f"kept in {ended.path}", highlight=False, soft_wrap=True)
    for one in ended.board.finalists:
        advice = promotion(one.member, one.version, source, args.data)
        console.print(
            f"candidate: {one.member} {one.version}{warning(one)}; to use it: {advice}", highlight=False, soft_wrap=True
        )
    if ended.interrupted:
        console.print(f"interrupted: what is done is kept; {GOES_ON}", highlight=False)
    if args.json:
        print(json.dumps({"leaderboard": str(ended.path), "verdict": ended.board.verdict} | ended.board.about))
    return EXIT_INTERRUPTED if ended.interrupted else EXIT_OK


def warning(found: Finalist) -> str:
    """What speaks against a finalist, of the part that no trial saw."""
    gain = found.held_out.get("gain", 0.0)
    if gain < 0.0:
        return ", worse than silence on the part that no trial saw"
    return ", silent on the part that no trial saw" if gain == 0.0 else ""


def promotion(member: str, version: str, source: MarketSource, data: Path | None) -> str:
    """The command that makes a candidate the champion: of the market that it was found on, whose registry has it."""
    return shlex.join(["python3", "run.py", "models", "promote", member, version, *market_words(source, data)])


@contextmanager
def kept_at_ctrl_c(console: Console) -> Iterator[None]:
    """Say what became of the work when Ctrl-C comes outside of the trials; those end in order, with a leaderboard."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"interrupted: what is done is kept; {GOES_ON}", highlight=False)
        raise


@contextmanager
def line(console: Console) -> Iterator[Callable[["Now"], None]]:
    """Shows where the search stands: a line that changes on a terminal, else one now and then."""
    if not console.is_terminal:
        said = [-SAID_EVERY_S]

        def plain(now: "Now") -> None:
            if time.monotonic() - said[0] >= SAID_EVERY_S:
                said[0] = time.monotonic()
                console.print(in_words(now), highlight=False, markup=False, soft_wrap=True)

        yield plain
        return
    with Progress(TextColumn("{task.description}", markup=False), BarColumn(), console=console, transient=True) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda now: bar.update(task, description=in_words(now), completed=now.share)


def in_words(now: "Now") -> str:
    minutes, seconds = divmod(int(now.left_s), 60)
    return f"{now.doing}; {minutes}:{seconds:02} left; memory {size(now.memory)}"
