"""``run.py paper``: the real market, simulated orders. Nothing real is ever bought or sold."""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from rich.console import Console

from actors.clock import wall_ms
from actors.limits import rooms
from actors.plan import RunPlan
from actors.runs.audit import audit_run
from actors.runs.edge import judge_edge
from actors.runs.ending import end_run
from actors.runs.launch import Launch
from actors.runs.news_sources import sources_of
from actors.runs.paper_account import DEFAULT_CASH, PaperAccount, open_account
from actors.runs.reach import Reached, ReachedAll, let_run, reach_all, won_a_usdt
from actors.runs.running import note_run, noted, refuse_second
from actors.runs.simulators import Simulators, venue_of, write_keys
from actors.verbs.replay_command import Training, follow
from config import load
from config.argument_types import amount, minutes, won
from config.changes import keep_settings
from config.secrets import API_KEYS_PATH
from config.settings import Settings
from config.watch import ConfigSource
from core.errors import ConfigError, ExchangeUnavailable
from core.messages import MinuteRecord
from core.units import MINUTE_MS, Instrument
from data.artifacts import ArtifactStore
from data.impact_law import newest_law
from data.kept_curves import keep
from data.logs import configure_logs
from data.market import MarketSource, real_source, synthetic_source
from data.market_arguments import market_words
from data.records import read_records
from data.volume_curves import learn_from
from data.weights import newest_weights
from exchanges.simulated.process import Simulator, start_server

HELP = "trade the real market with simulated orders (no keys, no money)"
EXAMPLE = "python3 run.py paper --cash 5000 --minutes 240"
Accounts = Mapping[str, PaperAccount]
"""By venue."""
INSTANCE = "paper"
VENUE_START_S = 60.0


def arguments(parser: argparse.ArgumentParser) -> None:
    load.arguments(parser)
    parser.add_argument("--minutes", type=minutes, help="how many minutes to decide; default: until stopped")
    account = parser.add_argument_group("paper accounts (var/paper, one a venue, kept from run to run)")
    account.add_argument(
        "--cash", type=amount, help="USDT that EACH exchange's new account begins with (default 10000)"
    )
    account.add_argument(
        "--krw", type=won, help="KRW a new account at Upbit begins with (default: what --cash is worth)"
    )
    account.add_argument("--reset", action="store_true", help="begin the accounts anew")
    parser.add_argument(
        "--market",
        metavar="NAME",
        help="serve the models of var/synth/NAME (only with a simulator at the exchange's place)",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON line, nothing else")


def main(args: argparse.Namespace) -> int:
    settings = load.from_arguments(args)
    var = load.resolve_var(settings)
    console = Console(stderr=args.json)
    runs_dir = var / "runs"
    refuse_second(runs_dir)
    run_id = f"{datetime.fromtimestamp(wall_ms() / 1000, UTC):%Y%m%d-%H%M%S}-{os.getpid()}"
    with noted(runs_dir, run_id, "paper"):
        return _main(args, settings, var, runs_dir / run_id, console)


def _main(args: argparse.Namespace, settings: Settings, var: Path, run_dir: Path, console: Console) -> int:
    tell_rooms(console, settings.config.trade.rows, paper=True)
    tell_asking(console, settings)
    reached = reach_all(settings.config, var)
    if faults := reached.clock_faults(settings.config):
        raise ConfigError("; ".join(faults))
    accounts = open_accounts(args, settings, var, reached)
    source = models_of(args.market, var, reached)
    # Said now rather than after Ray has come up: without bars there is nothing to learn from.
    source.lake.common_span(settings.config.trade.rows)
    run_dir.mkdir()
    keep_settings(run_dir, settings, "paper", run_dir.name, wall_ms())
    configure_logs(settings.config.logs, var / "logs", "run")
    tell_start(console, "PAPER: simulated orders, real quotes", reached)
    _, verdict = judge_edge(var, settings, stand_in=reached.stand_in, sentence=None)
    console.print(f"verdict on these settings: {verdict}", highlight=False, markup=False)
    for account in accounts.values():
        if account.fresh:
            account.save(account.balances)
    with closing(Training(source, reached.server_ms, args)) as members:
        records = _run(args, settings, source, members.versions, run_dir, accounts, reached, console)
    agreed = audit_run(
        run_dir,
        [fill for r in records for fill in r.fills],
        {(v, asset): held for v, account in accounts.items() for asset, held in account.balances.items()},
    )
    return end_run(
        console, "paper", run_dir.name, run_dir, settings, source, reached, records, agreed, as_json=args.json
    )


def open_accounts(
    args: argparse.Namespace, settings: Settings, var: Path, reached: ReachedAll
) -> dict[str, PaperAccount]:
    """The paper account at each venue. Upbit's begins with ``--krw``, or with what ``--cash`` is worth there now."""
    # What was won from a simulator is no account to go on with at the real exchange.
    kind = "stand-in" if reached.stand_in else "account"
    found: dict[str, PaperAccount] = {}
    if args.krw is not None and "upbit" not in reached.parts:
        raise ConfigError(f"--krw {args.krw}: nothing is traded at Upbit (trade.instruments)")
    for venue in reached.parts:
        path = var / "paper" / (f"{kind}.json" if venue == "binance" else f"{kind}-{venue}.json")
        begins, asset, option = args.cash, "USDT", "--cash"
        if venue == "upbit":
            begins, asset, option = args.krw, "KRW", "--krw"
            if begins is None and (args.reset or not path.exists()):
                begins = worth_in_won(args.cash or DEFAULT_CASH, settings, var)
            elif begins is None and args.cash is not None and len(reached.parts) == 1:
                begins, option = args.cash, "--cash"
        found[venue] = open_account(path, begins, args.reset, asset, option)
    return found


def worth_in_won(cash: Decimal, settings: Settings, var: Path) -> Decimal:
    """USDT in KRW by Upbit's own market of them, in whole thousands; ConfigError when that has no price."""
    try:
        price = won_a_usdt(settings.config.exchanges["upbit"], var)
    except ExchangeUnavailable as error:
        raise ConfigError(f"what {cash} USDT are in KRW is not known: {error}; say it with --krw") from None
    return Decimal(int(float(cash) * price / 1_000)) * 1_000


def models_of(market: str | None, var: Path, reached: ReachedAll) -> MarketSource:
    """Where the models come from: the lake, or a synthetic market when the exchange is a stand-in as well."""
    if market is None:
        return real_source(var)
    if not reached.stand_in:
        raise ConfigError(f"--market {market}: models of a synthetic market know nothing of the real one")
    return synthetic_source(var, market)


def tell_rooms(console: Console, instruments: Sequence[Instrument], *, paper: bool = False) -> None:
    """How many symbols the venues' limits allow; ConfigError when these are too many."""
    for room in rooms(instruments, paper=paper):
        console.print(f"limits: {room.words()}", highlight=False, markup=False, soft_wrap=True)


def tell_asking(console: Console, settings: Settings) -> None:
    """Whose answer is waited for now."""
    venues = dict.fromkeys(row.venue for row in settings.config.trade.rows)
    console.print(f"asking {' and '.join(venues)} for the time …", highlight=False, markup=False)


def tell_start(console: Console, what: str, reached: ReachedAll) -> None:
    """What is about to run, and against whom."""
    where = "; ".join(_told(part) for part in reached.parts.values())
    console.print(f"{what} ({where})", highlight=False, markup=False, soft_wrap=True)


def _told(part: Reached) -> str:
    kind = f", a simulator at {part.speed:g} times real speed in the exchange's place" if part.stand_in else ""
    offset = "" if part.offset is None else f", its clock is {part.offset.offset_ms:+.0f} ms from ours"
    return f"{part.url}{kind}{offset}"


def _run(
    args: argparse.Namespace,
    settings: Settings,
    source: MarketSource,
    versions: Callable[[], dict[str, str]],
    run_dir: Path,
    accounts: Accounts,
    reached: ReachedAll,
    console: Console,
) -> list[MinuteRecord]:
    for venue in accounts:
        console.print(f"waiting for the paper venue of {venue}: rules, last bars and books …", highlight=False)
    let_run(reached)
    venues = start_venues(args, run_dir, accounts, reached)
    try:
        write_keys(run_dir / "keys.json", venues.parts)
        if settings.rules.execution.algorithm == "vwap":
            rows = settings.config.trade.rows
            keep(run_dir, rows, learn_from(source.lake, rows, reached.server_ms // MINUTE_MS * MINUTE_MS))
        plan = RunPlan(
            run_id=run_dir.name,
            mode="paper",
            settings=settings,
            config_source=ConfigSource.from_arguments(args),
            root=load.ROOT,
            run_dir=run_dir,
            log_dir=run_dir.parent.parent / "logs",
            artifacts_dir=source.root / "artifacts",
            redis_url=settings.config.redis_url,
            keys_path=run_dir / "keys.json",
            notices_path=API_KEYS_PATH,
            instance=INSTANCE,
            clock=reached.clock,
            orders_at={v: venue_of(part, reached.speed) for v, part in venues.parts.items()},
            speed=reached.speed,
            sim_urls=reached.sim_urls,
            **sources_of(settings, reached.sim_url),
            minutes=args.minutes,
            synthetic=reached.synthetic,
            weights_version=newest_weights(ArtifactStore(source.root / "artifacts"), reached.server_ms),
            impact_version=newest_law(ArtifactStore(source.root / "artifacts"), reached.server_ms, real_only=True),
        )
        about = {"mode": "paper", "clock": plan.clock, "synthetic": plan.synthetic, "market": reached.name}
        about |= {"run_id": plan.run_id, "minutes": args.minutes}
        with Launch(plan, lambda text: console.print(text, highlight=False, soft_wrap=True)) as launch:
            launch.start(versions, about)
            launch.train_beside(source, market_words(source), args, downloads=not reached.stand_in)
            note_run(run_dir.parent, launch.plan, launch.dashboard_url)
            title = f"PAPER {reached.name}"
            follow(launch, console, title, args.minutes, plan.synthetic, lambda: venues.check(run_dir))
            launch.wind_down()
    finally:
        venues.close()
    return list(read_records(run_dir / "records"))


def start_venues(args: argparse.Namespace, run_dir: Path, accounts: Accounts, reached: ReachedAll) -> Simulators:
    """One paper venue for each; ends those that came up when one does not."""
    parts: dict[str, Simulator] = {}
    try:
        for venue, part in reached.parts.items():
            parts[venue] = start_venue(args, run_dir, accounts[venue].path, part)
    except BaseException:
        Simulators(parts).close()
        raise
    return Simulators(parts)


def start_venue(args: argparse.Namespace, run_dir: Path, account: Path, reached: Reached) -> Simulator:
    """The paper venue in a process of its own, ended with us."""
    end = "" if reached.venue == "binance" else f"-{reached.venue}"
    program = [
        "-m",
        "actors.runs.paper_venue",
        "--venue",
        reached.venue,
        "--account",
        str(account),
        "--statement",
        str(run_dir / f"statement{end}.json"),
    ]
    program += ["--speed", str(reached.speed)]
    program += ["--sim-url", reached.url] if reached.stand_in else []
    program += [f"--set={change}" for change in args.overrides]
    program += ["--config-dir", str(args.config_dir)] if args.config_dir else []
    return start_server(load.ROOT, program, log_file=run_dir / f"paper{end}.log", timeout_s=VENUE_START_S)
