"""``run.py backtest``: the rules of the live bot over stored minutes, quickly, in one process, with a report."""

import argparse
import json
import time
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from config import load
from config.settings import Settings
from core.bars import fill_gaps
from core.errors import EXIT_OK, ConfigError
from core.features import feature_table
from core.messages import MinuteRecord
from data.artifacts import Artifact, ArtifactStore
from data.market import MarketCut, MarketSource
from data.market_arguments import add_market, add_span, cut_of, source_of
from data.records import RecordStore
from data.weights import newest_weights, read_weights
from serve.models.registry import load_member
from serve.panel import LocalPanel
from tune.backtest import make_backtest
from tune.report.records_page import ReportHead, performance_of, rows_of, write_report
from tune.train import ensure_members
from tune.train_command import newest_span

HELP = "run the rules over stored minutes, quickly and in one process, and write a report"
EXAMPLE = "python3 run.py backtest --exchange binance --days 7"
DEFAULT_MINUTES = 1_440
TRAINING_DAYS = 30.0
FLUSH_EVERY = 10_000


def arguments(parser: argparse.ArgumentParser) -> None:
    add_market(parser)
    add_span(parser, DEFAULT_MINUTES)
    parser.add_argument("--cash", default="10000", help="USDT in the account at the start (default 10000)")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where records and report go (default var/backtests/<time>)"
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="forecast minute by minute exactly as live, instead of in batches that agree within 0.001 bps",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON line, nothing else")
    load.arguments(parser)


def main(args: argparse.Namespace) -> int:
    settings = load.from_arguments(args)
    var = load.resolve_var(settings)
    console = Console(stderr=args.json)
    try:
        cash = Decimal(args.cash)
    except InvalidOperation:
        raise ConfigError(f"--cash {args.cash!r} is not a number of USDT") from None
    source = source_of(args, var)
    load.check_symbols(settings, source.symbols())
    market = cut_of(args, source, settings.config.trade.rows, DEFAULT_MINUTES)
    out = args.out or var / "backtests" / f"{source.name}-{market.first_minute // 1000}-{market.minutes}"
    store = ArtifactStore(source.root / "artifacts")
    found = _members(source, settings, market, store, console)
    panel = _panel(settings, market, found, exact=args.exact)
    reference = newest_weights(store, market.first_minute)
    weights = None if reference is None else read_weights(store, reference)
    test = make_backtest(settings, market, panel, cash=cash, weights=weights)
    began = time.perf_counter()
    records = list(_shown(test.run(), market.minutes, console))
    took = time.perf_counter() - began
    _keep(out / "records", records)
    report = write_report(out / "report.html", _head(source, market, settings), records)
    performance = performance_of(records)
    if args.json:
        figures = dict(rows_of(performance))
        print(json.dumps({"report": str(report), "minutes": market.minutes, "seconds": round(took, 2), **figures}))
        return EXIT_OK
    table = Table(title=f"backtest of {'SYNTHETIC market ' if source.synthetic else ''}{source.name}")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for row in rows_of(performance):
        table.add_row(*row)
    console.print(table)
    console.print(
        f"{market.minutes:,} minutes × {len(market.instruments)} instruments in {took:.1f} s", highlight=False
    )
    console.print(f"report: {report}", highlight=False, soft_wrap=True)
    return EXIT_OK


def _members(
    source: MarketSource, settings: Settings, market: MarketCut, store: ArtifactStore, console: Console
) -> dict[str, Artifact]:
    """The members, none of which has seen a bar of the tested minutes."""
    span = newest_span(source, settings, TRAINING_DAYS, market.first_minute)
    with console.status("members trained on the minutes before …") as status:
        return ensure_members(
            source.lake,
            market.instruments,
            span,
            settings.rules.models,
            store,
            source=source.name,
            before=market.first_minute,
            progress=lambda text, share: status.update(f"{text} ({share:.0%})"),
        )


def _panel(settings: Settings, market: MarketCut, found: dict[str, Artifact], *, exact: bool) -> LocalPanel:
    models = settings.rules.models
    members = {name: (load_member(a.family, a.path), a.version) for name, a in found.items()}
    panel = LocalPanel(members, models.horizon_minutes, names=tuple(m.name for m in models.enabled))
    if not exact:
        bars, filler = fill_gaps(market.bars)
        panel.precompute(
            {
                instrument: (market.start_minute, feature_table(bars[row], filler[row], market.start_minute))
                for row, instrument in enumerate(market.instruments)
            }
        )
    return panel


def _shown(records: Iterator[MinuteRecord], total: int, console: Console) -> Iterator[MinuteRecord]:
    """The records as they come, with a bar; Ctrl-C ends the test and keeps what is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("minutes", total=total)
        try:
            for record in records:
                yield record
                progress.advance(task)
        except KeyboardInterrupt:
            console.print("interrupted: the report covers the minutes done so far")


def _keep(folder: Path, records: list[MinuteRecord]) -> None:
    if folder.exists():
        for part in folder.iterdir():
            part.unlink()
    store = RecordStore(folder, every=FLUSH_EVERY)
    for record in records:
        store.append(record)
    store.close()


def _head(source: MarketSource, market: MarketCut, settings: Settings) -> ReportHead:
    symbols = ", ".join(i.symbol for i in market.instruments)
    return ReportHead(
        title=f"Backtest: {source.name}",
        market=f"{market.minutes:,} minutes of {symbols}",
        synthetic=source.synthetic,
        costs="Costs: taker fee 0.1 %, the simulated book's spread and depth, lot and tick rounding, minimum order "
        f"{settings.config.trade.min_order_usdt} USDT. Latency, market impact beyond the book and fee tiers are not modelled.",
    )
