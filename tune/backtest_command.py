"""``run.py backtest``: the rules of the live bot over stored minutes, compiled, in one process, with a report."""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path

from rich.console import Console

from config import load
from config.argument_types import amount
from config.identity import rules_hash
from config.settings import Settings
from core.errors import EXIT_OK, BotError, ConfigError, DataError
from core.impact import ImpactLaw
from core.messages import MinuteRecord
from core.selection import WeightTable
from core.units import Instrument, plural
from data.artifacts import Artifact, ArtifactStore
from data.impact_law import newest_law, read_law
from data.market import MarketCut, MarketSource
from data.market_arguments import add_market, add_span, add_worth, cut_of, fitted, source_of
from data.progress import minutes_bar, rate, share_bar, stage
from data.quote_worth import known_worth
from data.records import RecordStore
from data.volume_curves import with_curves
from data.weights import newest_weights, read_weights
from serve.models.registry import load_member
from serve.panel import LocalPanel
from tune import walkforward_command
from tune.backtest import make_backtest, make_tape
from tune.forecasts import forecasts_of
from tune.gaps import gaps_of, left_out_of
from tune.prepared import mapped_cut, prepare, store_of
from tune.recorded_result import Touches, result_of_records
from tune.report.findings import Findings, findings_of
from tune.report.frame import Judged
from tune.report.page import write_page
from tune.report.stored import RECORDS, read_stored
from tune.report.terminal import as_json, print_findings
from tune.report_command import PAGE, names_of
from tune.result import Result
from tune.result_folder import make_room, replace_earlier
from tune.simulate import compile_engine, simulate
from tune.simulated_result import settings_of
from tune.train import ensure_members
from tune.train_command import cache_of, newest_span

HELP = "run the rules over stored minutes, quickly and in one process, and write a report"
EXAMPLE = (
    "python3 run.py backtest --exchange binance --days 7\n"
    "python3 run.py backtest --data ../bars --walk-forward\n"
    "python3 run.py backtest --days 2 --against var/backtests/before"
)
DEFAULT_MINUTES = 1_440
TRAINING_DAYS = 30.0
FLUSH_EVERY = 10_000
LEAST_S = 0.05
"""Of trading, for its speed to be told: what a process does once, and another that is in the way, weigh too much below."""
EXIT_INTERRUPTED = 130


def arguments(parser: argparse.ArgumentParser) -> None:
    add_market(parser)
    add_worth(parser)
    add_span(parser, DEFAULT_MINUTES)
    parser.add_argument("--cash", type=amount, default="10000", help="USDT in the account at the start (default 10000)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where result and report go (default var/backtests/<market and time>)",
    )
    parser.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="an earlier run to compare with on the page; may be given again",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="forecast and decide minute by minute with the parts of the live bot, instead of the compiled engine with "
        "forecasts in batches that agree within 0.001 bps",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON line, nothing else")
    walkforward_command.arguments(parser)
    load.arguments(parser)


class MisplacedOption(BotError):
    """An option of another kind of backtest."""

    exit_code = 2


def main(args: argparse.Namespace) -> int:
    settings = load.from_arguments(args)
    var = load.resolve_var(settings)
    if not args.walk_forward and (strange := walkforward_command.given(args)):
        raise MisplacedOption(f"{', '.join(strange)}: only for a walk-forward; add --walk-forward")
    console = Console(stderr=args.json)
    against = [
        (name, findings_of(read_stored(f))) for name, f in zip(names_of(args.against), args.against, strict=True)
    ]
    with stage(console, "the market …") as tell:
        source = source_of(args, var, lambda text, share: tell(f"{text} ({share:.0%})"))
    settings, absent = fitted(args, settings, source)
    load.check_symbols(settings, source.symbols())
    if args.walk_forward:
        if args.exact:
            raise ConfigError("--walk-forward runs on the compiled engine: leave --exact away")
        out = args.out or walkforward_command.folder_of(var, source)
        make_room(out)
        result, verdict = walkforward_command.run(args, settings, source, out, console)
        result = replace(result, name=f"Walk-forward: {source.name}", notes=(*result.notes, *source.notes))
        return _tell(args, console, out, result, against, absent, Judged(verdict.word, verdict.reasons))
    noted: list[str] = []
    mapped = partial(mapped_cut, store=store_of(source), noted=noted)
    market = cut_of(args, source, settings.config.trade.rows, DEFAULT_MINUTES, None if args.exact else mapped)
    market = with_curves(source, market, settings.rules.execution)
    # Other rules or other money make another run: it must not take the place of the one to compare it with.
    ran = hashlib.sha256(f"{rules_hash(settings)} {args.cash}".encode()).hexdigest()[:6]
    out = args.out or var / "backtests" / f"{source.name}-{market.first_minute // 1000}-{market.minutes}-{ran}"
    make_room(out)
    result, records = (_exact if args.exact else _fast)(args, source, settings, market, args.cash, console)
    ended = () if args.start else left_out_of(source, market)
    result = replace(result, notes=(*result.notes, *source.notes, *noted, *ended, *gaps_of(market)))
    replace_earlier(out, console)
    code = _tell(args, console, out, result, against, absent, None, records)
    return EXIT_INTERRUPTED if result.minutes < market.minutes else code


def _fast(
    args: argparse.Namespace,
    source: MarketSource,
    settings: Settings,
    market: MarketCut,
    cash: Decimal,
    console: Console,
) -> tuple[Result, list[MinuteRecord]]:
    """The compiled engine over forecasts that were made in batches; it makes no records."""
    found, weights = _members(source, settings, market, console)
    rows = len(market.instruments)
    with stage(console, "the engine …") as tell:
        compile_engine(lambda text: tell(f"{text} …"))
        tell("spreads and liquidity …")
        prepared = prepare(settings, market, store_of(source))
    began = time.perf_counter()
    with minutes_bar(console, "forecasts", market.minutes, rows) as done:
        forecasts = forecasts_of(
            source, settings, market, found, lambda minutes: done(minutes, market.minutes), prepared.folder
        )
    forecast = time.perf_counter()
    speed = _Speed(rows)
    with minutes_bar(console, "trading", market.minutes, rows) as done:

        def traded(minutes: int, total: int) -> None:
            speed.reached(minutes)
            done(minutes, total)

        result = simulate(
            settings,
            market,
            forecasts,
            cash=cash,
            weights=weights,
            name=_name(source),
            progress=traded,
            prepared=prepared,
            law=_law(source, market),
        )
    took = time.perf_counter() - forecast
    _say_speed(console, result, took, speed, f"forecasts {forecast - began:.1f} s, ")
    return replace(result, name=_name(source), market=_words(source, market)), []


def _exact(
    args: argparse.Namespace,
    source: MarketSource,
    settings: Settings,
    market: MarketCut,
    cash: Decimal,
    console: Console,
) -> tuple[Result, list[MinuteRecord]]:
    """The live bot's parts minute by minute, and their records."""
    found, weights = _members(source, settings, market, console)
    models = settings.rules.models
    members = {name: (load_member(a.family, a.path), a.version) for name, a in found.items()}
    panel = LocalPanel(members, models.horizon_minutes, names=tuple(m.name for m in models.enabled))
    law = _law(source, market)
    test = make_backtest(settings, market, panel, cash=cash, weights=weights, law=law)
    began = time.perf_counter()
    speed, records = _Speed(len(market.instruments)), list[MinuteRecord]()
    for record in _shown(test.run(), market, console):
        records.append(record)
        speed.reached(len(records))  # from the first minute's end: what it compiles and reads is no trading
    took = time.perf_counter() - began
    costs = settings.rules.costs
    done = sum(record.status != "closed" for record in records)
    result = result_of_records(
        records,
        name=_name(source),
        market=_words(source, market),
        synthetic=source.synthetic,
        cash=float(cash),
        settings=settings_of(settings),
        touches=Touches(market, costs, make_tape(market).default_rules(costs)),
        notes=[
            *([f"interrupted: {done} of {market.minutes} minutes were run"] if done < market.minutes else []),
            *filter(None, [known_worth(market.worth, market.instruments).note()]),
        ],
    )
    _say_speed(console, result, took, speed, "forecasts with it, ")
    return result, records


def _law(source: MarketSource, market: MarketCut) -> ImpactLaw:
    """What our own fills had taught of impact before the first minute."""
    store = ArtifactStore(source.root / "artifacts")
    return read_law(store, newest_law(store, market.first_minute, real_only=False))


class _Speed:
    """Of the trading alone: from the first moment that was told to the last."""

    def __init__(self, instruments: int) -> None:
        self._instruments = instruments
        self._told: list[tuple[float, int]] = []

    def reached(self, minutes: int) -> None:
        self._told[1:] = [(time.perf_counter(), minutes)]

    def words(self) -> str:
        """Empty where the trading was too short to tell."""
        if not self._told:
            return ""
        (began, first), (ended, last) = self._told[0], self._told[-1]
        if ended - began < LEAST_S:
            return ""
        return f" ({rate((last - first) * self._instruments / (ended - began))} bars/s)"


def _say_speed(console: Console, result: Result, took: float, speed: _Speed, before: str) -> None:
    console.print(
        f"{plural(result.minutes, 'minute')} × {plural(len(result.instruments), 'instrument')}: {before}trading {took:.2f} s{speed.words()}",
        highlight=False,
        soft_wrap=True,
    )


def _members(
    source: MarketSource, settings: Settings, market: MarketCut, console: Console
) -> tuple[dict[str, Artifact], WeightTable | None]:
    """The members and their weights, none of which has seen a bar of the tested minutes."""
    store = ArtifactStore(source.root / "artifacts")
    span = newest_span(source, settings, TRAINING_DAYS, market.first_minute)
    with share_bar(console, "members") as progress:
        found = ensure_members(
            source.lake,
            market.instruments,
            span,
            settings.rules.models,
            store,
            source=source.name,
            before=market.first_minute,
            progress=progress,
            cache=cache_of(source),
        )
    reference = newest_weights(store, market.first_minute)
    return found, None if reference is None else read_weights(store, reference)


def _shown(records: Iterator[MinuteRecord], market: MarketCut, console: Console) -> Iterator[MinuteRecord]:
    """The records as they come, with a bar; Ctrl-C ends the test and keeps what is done."""
    with minutes_bar(console, "trading", market.minutes, len(market.instruments)) as done:
        try:
            for number, record in enumerate(records, start=1):
                yield record
                done(number, market.minutes)
        except KeyboardInterrupt:
            console.print("interrupted: the report covers the minutes done so far")


def _keep(folder: Path, records: Sequence[MinuteRecord]) -> None:
    store = RecordStore(folder, every=FLUSH_EVERY)
    for record in records:
        store.append(record)
    store.close()


def _tell(
    args: argparse.Namespace,
    console: Console,
    out: Path,
    result: Result,
    against: Sequence[tuple[str, Findings]],
    absent: Sequence[Instrument],
    verdict: Judged | None,
    records: Sequence[MinuteRecord] = (),
) -> int:
    """Keep the result, and its records where it has some, write the page, print the figures."""
    if absent:
        left_out = ", ".join(i.symbol for i in absent)
        result = replace(result, notes=(*result.notes, f"Configured, but not in this market, so left out: {left_out}."))
    found = findings_of(result)
    try:
        result.save(out)
        if records:
            # After the result: records alone would pass for those of a run that was no backtest.
            _keep(out / RECORDS, records)
        page = write_page(out / PAGE, found, verdict=verdict, against=against)
    except OSError as error:
        raise DataError(f"{out}: the result cannot be kept there ({error.strerror}); name a folder by --out") from error
    if args.json:
        print(json.dumps({"report": str(page)} | as_json(found, verdict), allow_nan=False))
        return EXIT_OK
    print_findings(console, found)
    if verdict is not None:
        console.print(f"verdict: {verdict.word}; its reasons stand above and on the page", highlight=False)
    console.print(f"report: {page}", highlight=False, soft_wrap=True)
    return EXIT_OK


def _name(source: MarketSource) -> str:
    return f"Backtest: {source.name}"


def _words(source: MarketSource, market: MarketCut) -> str:
    return f"{'synthetic' if source.synthetic else 'recorded'} market, {plural(len(market.instruments), 'instrument')}"
