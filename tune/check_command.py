"""``run.py check``: does anything here know its own future, and how many bars until a feature is exact?"""

import argparse
import difflib
import json
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from config import load
from config.argument_types import whole
from core.errors import EXIT_FAILURE, EXIT_OK, ConfigError
from core.units import plural
from data.market import MarketCut, MarketSource, cut_out
from data.market_arguments import add_market, add_span, cut_of, fitted, source_of
from data.progress import stage, tell_notes
from tune.checks.changes import history_of
from tune.checks.lookahead import Looked, look
from tune.checks.subjects import our_subjects
from tune.checks.warmup import Warmth, measure, our_features

HELP = "find out whether a feature, model or rule knows its own future, or answers before it has seen enough"
EXAMPLE = "python3 run.py check lookahead --exchange binance --cuts 5\npython3 run.py check warmup"
MINUTES = 720


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="check_verb", required=True, metavar="lookahead|warmup")
    raw = argparse.RawDescriptionHelpFormatter
    one = verbs.add_parser(
        "lookahead",
        help="change the future; nothing before it may change",
        description="Ask every feature, event, label, model and decision about a market, then about the same market\n"
        "with its future cut off, shocked, halted and lengthened. Whatever was answered before must stay the same\n"
        "to the last bit. Exit code 1 when something changed.",
        epilog="example: python3 run.py check lookahead --only features --cuts 20",
        formatter_class=raw,
    )
    _common(one)
    one.add_argument(
        "--cuts", type=whole(1, 10_000), default=3, help="places at which the future is changed (default 3)"
    )
    one.add_argument("--thorough", action="store_true", help="every change and cut for the slow ones too (minutes)")
    one = verbs.add_parser(
        "warmup",
        help="how many bars until each feature is exact",
        description="Start the history later and later, and find from which bar on each feature is what the whole\n"
        "history gives; then change the bars before, and find how many it depends on. Both are held against the\n"
        "look-back that the feature declares. Exit code 1 when they differ.",
        epilog="example: python3 run.py check warmup --only rsi_14 --json",
        formatter_class=raw,
    )
    _common(one)
    one.add_argument(
        "--starts", type=whole(1, 10_000), default=30, help="later starts of the history to try (default 30)"
    )


def _common(parser: argparse.ArgumentParser) -> None:
    add_market(parser)
    add_span(parser, MINUTES)
    parser.add_argument("--seed", type=whole(0), default=1, help="same seed, same cuts and futures (default 1)")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this one (may be repeated)")
    parser.add_argument("--json", action="store_true", help="print one JSON line, nothing else")
    load.arguments(parser)


def main(args: argparse.Namespace) -> int:
    settings = load.from_arguments(args)
    source = source_of(args, load.resolve_var(settings))
    settings, _ = fitted(args, settings, source)
    load.check_symbols(settings, source.symbols())
    market = cut_of(args, source, settings.config.trade.rows, MINUTES)
    console = Console(stderr=args.json)
    tell_notes(console, source.notes)
    if args.check_verb == "warmup":
        return _warmup(args, _wide(source, market), console)
    subjects = our_subjects(settings, market, args.seed, thorough=args.thorough, wide=_wide(source, market))
    names = _chosen(args.only, [subject.name for subject in subjects])
    found = []
    for subject in subjects:
        if subject.name not in names:
            continue
        with stage(console, subject.name) as tell:
            one = look(
                subject,
                market,
                cuts=args.cuts,
                seed=args.seed,
                progress=lambda text, share, tell=tell: tell(f"{text} ({share:.0%})"),
            )
        found.append(one)
        verdict = f"{len(one.leaks)} LEAKS" if one.leaks else "ok"
        console.print(f"{one.subject}: {verdict} ({one.futures} futures, {one.seconds:.1f} s)", highlight=False)
        for leak in one.leaks:
            console.print(f"  {leak}", highlight=False, soft_wrap=True)
    leaks = [leak for one in found for leak in one.leaks]
    if args.json:
        print(json.dumps({"leaks": [str(leak) for leak in leaks], "subjects": [_looked(one) for one in found]}))
    else:
        console.print(_looked_table(found, source.name, market))
        console.print(
            f"{len(leaks)} answers know their future; see above" if leaks else "no answer changed with its future",
            highlight=False,
        )
    return EXIT_FAILURE if leaks else EXIT_OK


def _warmup(args: argparse.Namespace, market: MarketCut, console: Console) -> int:
    features = our_features()
    names = _chosen(args.only, [feature.name for feature in features])
    began = time.perf_counter()
    with stage(console, "features") as tell:
        found = measure(
            [feature for feature in features if feature.name in names],
            market,
            starts=args.starts,
            seed=args.seed,
            progress=lambda text, share, tell=tell: tell(f"{text} ({share:.0%})"),
        )
    took = time.perf_counter() - began
    wrong = [one for one in found if one.fault]
    if args.json:
        print(
            json.dumps({"faults": [f"{one.name}: {one.fault}" for one in wrong], "features": [_warm(w) for w in found]})
        )
    else:
        console.print(_warm_table(found, market))
        for one in wrong:
            console.print(f"{one.name}: {one.fault}", highlight=False, soft_wrap=True)
        console.print(
            f"{len(found)} features, {len(wrong)} of them otherwise than declared ({took:.1f} s)", highlight=False
        )
    return EXIT_FAILURE if wrong else EXIT_OK


def _wide(source: MarketSource, market: MarketCut) -> MarketCut:
    """The same minutes, with the coins' markets at other venues and the rates between them, where the market has them."""
    venues = {i.venue for i in market.instruments}
    coins = {i.base for i in market.instruments} | {i.quote for i in market.instruments}
    others = tuple(i for i in source.lake.instruments() if i.venue not in venues and i.base in coins)
    if not others:
        return market
    return cut_out(source, (*market.instruments, *others), market.first_minute, market.minutes, history_of(market))


def _chosen(only: Sequence[str] | None, names: list[str]) -> set[str]:
    """The names asked for; a part of a name takes all that hold it. ConfigError for one that fits nothing."""
    chosen = set()
    for asked in only or [""]:
        fits = {asked} if asked in names else {name for name in names if asked in name}
        if not fits:
            near = difflib.get_close_matches(asked, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
            raise ConfigError(f"--only {asked!r} is nothing that is checked; {hint}")
        chosen |= fits
    return chosen


def _looked(one: Looked) -> dict:
    return {
        "name": one.subject,
        "columns": one.columns,
        "compared": one.compared,
        "futures": one.futures,
        "leaks": len(one.leaks),
        "seconds": round(one.seconds, 2),
    }


def _looked_table(found: list[Looked], source: str, market: MarketCut) -> Table:
    table = Table(
        title=f"lookahead on {source}: {market.bars.shape[1]:,} minutes × {plural(len(market.instruments), 'instrument')}"
    )
    for name in ("subject", "what"):
        table.add_column(name)
    for name in ("futures", "values compared", "seconds", "result"):
        table.add_column(name, justify="right")
    for one in found:
        farthest = max((leak.farthest for leak in one.leaks), default=0)
        result = f"{plural(len(one.leaks), 'leak')}, {plural(farthest, 'bar')} ahead" if one.leaks else "ok"
        table.add_row(one.subject, one.about, str(one.futures), f"{one.compared:,}", f"{one.seconds:.1f}", result)
    return table


def _warm(one: Warmth) -> dict:
    return {"name": one.name, "declared": one.declared, "exact": one.exact, "near": one.near, "depends": one.depends}


def _warm_table(found: list[Warmth], market: MarketCut) -> Table:
    table = Table(
        title=f"bars until exact, over {market.bars.shape[1]:,} minutes × {plural(len(market.instruments), 'instrument')}"
    )
    # Whole, however narrow the terminal: a name cut short is another feature's.
    table.add_column("feature", no_wrap=True, min_width=max((len(one.name) for one in found), default=0))
    for name in ("declared", "exact after", "within 1e-9 after", "depends on", "result"):
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(
            one.name,
            str(one.declared),
            *("never" if bars is None else str(bars) for bars in (one.exact, one.near, one.depends)),
            "WRONG" if one.fault else "constant here" if one.constant else "ok",
        )
    return table
