"""``run.py train``: fit the ensemble's members on a market, judge them out of fold, keep them as artifacts."""

import argparse
import json
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from config import load
from config.argument_types import DAY_MINUTES, LONGEST_MINUTES, amount, days, whole
from config.settings import Settings
from core.errors import EXIT_OK, ConfigError, DataError
from core.params import MemberSettings
from core.units import DAY_MS, MINUTE_MS
from data.artifacts import Artifact, ArtifactStore
from data.folder_source import folder_source
from data.market import MarketSource, demo_source, real_source, synthetic_source
from data.market_arguments import add_worth, fitted
from data.progress import share_bar, tell_notes
from tune.array_store import ArrayStore
from tune.auto import command
from tune.train import Span, ensure_members, lower_priority, train_members
from tune.trials import TrialLog

HELP = (
    "train the ensemble's models on the lake (--auto: search within a budget, --rl: the reinforcement-learning agent)"
)
EXAMPLE = "python3 run.py train --days 14 --families ridge,tcn\npython3 run.py train --auto --minutes 20 --memory 8GB"
DEFAULT_DAYS = 30
SHOWN = ("ic", "mse_vs_zero", "coverage_80", "shrink", "holdout_bps", "holdout_fills")


def arguments(parser: argparse.ArgumentParser) -> None:
    add_trained_market(parser)
    parser.add_argument(
        "--days", type=days, help=f"newest days to learn from (default {DEFAULT_DAYS}; with --auto all that there are)"
    )
    parser.add_argument("--families", metavar="A,B", help="only members of these families, e.g. ridge,rules")
    parser.add_argument(
        "--before-ms", type=whole(0), metavar="MS", help="learn only from bars that closed by then (epoch ms)"
    )
    parser.add_argument("--ensure", action="store_true", help="train only the members that have no usable artifact")
    parser.add_argument("--rl", action="store_true", help="train the reinforcement-learning agent instead")
    parser.add_argument(
        "--iterations", type=whole(1), default=60, help="PPO iterations a seed with --rl (default %(default)s)"
    )
    parser.add_argument(
        "--cash",
        type=amount,
        default="10000",
        help="USDT that the agent learns and is judged with, with --rl (default %(default)s, as of backtest)",
    )
    parser.add_argument(
        "--seeds", type=whole(1, 100), default=5, help="agents that learn, with --rl (default %(default)s)"
    )
    parser.add_argument(
        "--seed", type=whole(0), default=0, help="everything drawn is drawn from it (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line: members, versions, metrics")
    command.arguments(parser)
    load.arguments(parser)


def main(args: argparse.Namespace) -> int:
    command.check(args)
    settings = load.from_arguments(args)
    lower_priority(settings.config.resources.trainer_niceness)
    settings, source = picked(args, settings)
    console = Console(stderr=True)
    tell_notes(console, source.notes)
    instruments = settings.config.trade.rows
    everything = LONGEST_MINUTES / DAY_MINUTES
    asked = args.days or (everything if args.auto else DEFAULT_DAYS)
    # The agent's accounts hold every coin from their first minute on; members learn from whoever has bars.
    span = newest_span(source, settings, asked, args.before_ms, shared=args.rl)
    if args.auto:
        return command.main(args, settings, source, span)
    store = ArtifactStore(source.root / "artifacts")
    made: dict[str, Artifact]
    with share_bar(console, "training") as progress:
        common = {"seed": args.seed, "source": source.name, "progress": progress, "cache": cache_of(source)}
        if args.rl:
            # RLlib takes four seconds to import: only who asked for it waits for it.
            training = import_module("tune.rl.train")
            agent = training.train_agent(
                source,
                settings,
                span,
                store,
                plan=training.Plan(iterations=args.iterations),
                seeds=args.seeds,
                seed=args.seed,
                cash=args.cash,
                progress=progress,
            )
            made = {agent.artifact.name: agent.artifact}
        elif args.ensure:
            made = ensure_members(
                source.lake, instruments, span, settings.rules.models, store, before=args.before_ms, **common
            )
        else:
            members = chosen(settings, args.families)
            horizon = settings.rules.models.horizon_minutes
            log = TrialLog(source.root)
            trained = train_members(source.lake, instruments, span, members, store, horizon=horizon, log=log, **common)
            made = {artifact.name: artifact for artifact in trained}
    if args.rl:
        page = load.resolve_var(settings) / "reports" / f"agent-{agent.artifact.version}.html"
        import_module("tune.rl.page").write_page(page, agent)
        show_agent(console, agent.judgement, page)
    if args.ensure and args.json:
        # Somebody else's start asked: it wants to know who speaks, not how they were judged.
        console.print(f"members: {', '.join(f'{n} {a.version}' for n, a in made.items()) or 'none'}", highlight=False)
    else:
        show(console, made, source)
    if args.json:
        versions = {name: a.version for name, a in made.items()}
        metrics = {name: a.metrics for name, a in made.items()}
        print(json.dumps({"members": versions, "metrics": metrics, "store": str(store.root)}))
    return EXIT_OK


def cache_of(source: MarketSource) -> ArrayStore:
    """Where features that members learn from are kept, beside the market's bars."""
    return ArrayStore(source.root / "cache" / "samples")


def add_trained_market(parser: argparse.ArgumentParser) -> None:
    """Which market to learn from: the lake, unless another is named."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--market", metavar="NAME", help="a synthetic market ('demo' is made when it is not there)")
    group.add_argument(
        "--data", type=Path, metavar="PATH", help="a folder of bar files, or of a lake, instead of var/lake"
    )
    add_worth(parser)


def picked(args: argparse.Namespace, settings: Settings) -> tuple[Settings, MarketSource]:
    """The market the arguments name, and the settings with the instruments that it has."""
    worth = tuple(args.per_usdt)
    if not args.data:
        return settings, replace(pick_source(args.market, settings), per_usdt=worth)
    source = replace(folder_source(load.resolve_var(settings), args.data), per_usdt=worth)
    return fitted(args, settings, source)[0], source


def pick_source(market: str | None, settings: Settings) -> MarketSource:
    """The lake, or the synthetic market that is named."""
    var = load.resolve_var(settings)
    if market is None:
        return real_source(var)
    return demo_source(var) if market == "demo" else synthetic_source(var, market)


def newest_span(
    source: MarketSource, settings: Settings, days: float, before_ms: int | None, *, shared: bool = False
) -> Span:
    """The newest ``days`` of which some instrument has bars, or, ``shared``, all have, and that closed by ``before_ms``; as
    many as there are. A coin that was listed a moment ago does not make what is learned from the others as short."""
    rows = settings.config.trade.rows
    first, last = source.lake.common_span(rows) if shared else source.lake.whole_span(rows)
    if before_ms is not None:
        last = min(last, before_ms // MINUTE_MS * MINUTE_MS - MINUTE_MS)
    minutes = min(int(days * 1440), (last - first) // MINUTE_MS + 1)
    if minutes < 1:
        raise DataError(
            f"{source.root}: the first bar is of {_utc(first)} UTC, none closed by {_utc(before_ms)}; import earlier days, "
            "or for a synthetic market make one of then: python3 run.py data synth NAME --start DATE"
        )
    return Span(first_minute=last - (minutes - 1) * MINUTE_MS, minutes=minutes)


def _utc(ms: int | None) -> str:
    return "now" if ms is None else f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}"


def chosen(settings: Settings, families: str | None) -> tuple[MemberSettings, ...]:
    """Configured members of the asked families (all enabled ones, rl aside, when none is asked)."""
    members = settings.rules.models.members
    if families is None:
        return tuple(m for m in members if m.enabled and m.family != "rl")
    wanted = {text.strip() for text in families.split(",") if text.strip()}
    known = {m.family for m in members} - {"rl"}
    if not wanted <= known:
        raise ConfigError(
            f"--families {families}: {', '.join(sorted(wanted - known))} is not among the configured families "
            f"{', '.join(sorted(known))} (the agent is trained with --rl)"
        )
    return tuple(m for m in members if m.family in wanted)


def show_agent(console: Console, judged: Any, page: Path) -> None:
    """How the agent did where it had not learned, beside the others, in one unit; with the verdict of a backtest."""
    minute = judged.result.minute
    long = max(1, int(minute[-1]) - int(minute[0])) / DAY_MS
    low, middle, high = (judged.metrics[f"seeds_{what}_bps_a_day"] for what in ("lowest", "median", "highest"))
    lines = [(f"the agent ({len(judged.seeds)} seeds together)", f"{judged.metrics['holdout_bps'] / long:+.1f}")]
    lines.append(("each seed alone", f"{low:+.1f} to {high:+.1f}, median {middle:+.1f}"))
    lines += [(name, f"{growth / long:+.1f}") for name, growth in judged.rivals.items()]
    width = max(len(name) for name, _ in lines)
    # A pipe has 80 columns: a sentence that is cut there is read by nobody.
    console.print(f"held out for {long * 24:.0f} hours, bps a day after all costs:", highlight=False, soft_wrap=True)
    for name, figure in lines:
        console.print(f"  {name:<{width}}  {figure}", highlight=False, soft_wrap=True)
    console.print(f"verdict: {judged.verdict.word}", highlight=False, soft_wrap=True)
    for reason in judged.verdict.reasons:
        console.print(f"  {reason}", highlight=False, soft_wrap=True)
    console.print(f"learning curve: {page}", highlight=False, soft_wrap=True)


def show(console: Console, made: dict[str, Artifact], source: MarketSource) -> None:
    """The final table; figures are out of fold."""
    label = "SYNTHETIC market" if source.synthetic else "lake"
    table = Table(title=f"Members, judged out of fold on {label} {source.name}")
    shown = [key for key in SHOWN if any(key in a.metrics for a in made.values())]
    for column in ("member", "version", *shown):
        words = column in ("member", "version")
        table.add_column(column, justify="left" if words else "right", no_wrap=words)
    for name, artifact in made.items():
        figures = [f"{artifact.metrics[key]:.4g}" if key in artifact.metrics else "" for key in shown]
        table.add_row(name, artifact.version, *figures)
    console.print(table)
