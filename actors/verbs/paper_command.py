"""``run.py paper``: the real market, simulated orders. Nothing real is ever bought or sold."""

import argparse
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from actors.clock import wall_ms
from actors.limits import rooms
from actors.plan import RunPlan
from actors.runs.audit import audit_run
from actors.runs.edge import judge_edge
from actors.runs.ending import end_run
from actors.runs.launch import Launch
from actors.runs.paper_account import PaperAccount, open_account
from actors.runs.reach import Reached, reach
from actors.runs.running import forget_run, note_run, refuse_second
from actors.runs.simulators import Simulators, venue_of, write_keys
from actors.verbs.replay_command import Training, follow
from config import load
from config.argument_types import amount, minutes
from config.secrets import API_KEYS_PATH
from config.settings import Settings
from core.errors import ConfigError
from core.messages import MinuteRecord
from core.units import Instrument
from data.artifacts import ArtifactStore
from data.logs import configure_logs
from data.market import MarketSource, real_source, synthetic_source
from data.records import read_records
from data.sentiment import PUBLIC_URL
from data.weights import newest_weights
from exchanges.simulated.process import Simulator, start_server

HELP = "trade the real market with simulated orders (no keys, no money)"
EXAMPLE = "python3 run.py paper --cash 5000 --minutes 240"
INSTANCE = "paper"
VENUE_START_S = 60.0


def arguments(parser: argparse.ArgumentParser) -> None:
    load.arguments(parser)
    parser.add_argument("--minutes", type=minutes, help="how many minutes to decide; default: until stopped")
    account = parser.add_argument_group("paper account (var/paper/account.json, kept from run to run)")
    account.add_argument("--cash", type=amount, help="USDT a new account begins with (default 10000)")
    account.add_argument("--reset", action="store_true", help="begin the account anew")
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
    refuse_second(var / "runs")
    exchange = settings.config.exchanges["binance"]
    tell_rooms(console, settings.config.trade.rows)
    reached = reach(exchange, settings.config.trade.rows, var)
    if fault := reached.clock_fault(exchange.max_clock_offset_ms):
        raise ConfigError(fault)
    # What was won from a simulator is no account to go on with at the real exchange.
    name = "stand-in.json" if reached.stand_in else "account.json"
    account = open_account(var / "paper" / name, args.cash, args.reset)
    source = models_of(args.market, var, reached)
    # Said now rather than after Ray has come up: without bars there is nothing to learn from.
    source.lake.common_span(settings.config.trade.rows)
    run_id = f"{datetime.fromtimestamp(wall_ms() / 1000, UTC):%Y%m%d-%H%M%S}-{os.getpid()}"
    run_dir = var / "runs" / run_id
    run_dir.mkdir(parents=True)
    configure_logs(settings.config.logs, var / "logs", "run")
    tell_start(console, "PAPER: simulated orders, real quotes", reached)
    _, verdict = judge_edge(var, settings, stand_in=reached.stand_in, sentence=None)
    console.print(f"verdict on these settings: {verdict}", highlight=False, markup=False)
    if account.fresh:
        account.save(account.balances)
    with closing(Training(source, reached.server_ms, args)) as members:
        records = _run(args, settings, source, members.versions, run_dir, account, reached, console)
    agreed = audit_run(
        run_dir,
        [fill for r in records for fill in r.fills],
        {("binance", asset): held for asset, held in account.balances.items()},
    )
    return end_run(console, "paper", run_id, run_dir, settings, source, reached, records, agreed, as_json=args.json)


def models_of(market: str | None, var: Path, reached: Reached) -> MarketSource:
    """Where the models come from: the lake, or a synthetic market when the exchange is a stand-in as well."""
    if market is None:
        return real_source(var)
    if not reached.stand_in:
        raise ConfigError(f"--market {market}: models of a synthetic market know nothing of the real one")
    return synthetic_source(var, market)


def tell_rooms(console: Console, instruments: Sequence[Instrument]) -> None:
    """How many symbols the venues' limits allow; ConfigError when these are too many."""
    for room in rooms(instruments):
        console.print(f"limits: {room.words()}", highlight=False, markup=False)


def tell_start(console: Console, what: str, reached: Reached) -> None:
    """What is about to run, and against whom."""
    kind = f", a simulator at {reached.speed:g} times real speed in the exchange's place" if reached.stand_in else ""
    offset = "" if reached.offset is None else f"; its clock is {reached.offset.offset_ms:+.0f} ms from ours"
    console.print(f"{what} ({reached.url}{kind}{offset})", highlight=False, markup=False, soft_wrap=True)


def _run(
    args: argparse.Namespace,
    settings: Settings,
    source: MarketSource,
    versions: Callable[[], dict[str, str]],
    run_dir: Path,
    account: PaperAccount,
    reached: Reached,
    console: Console,
) -> list[MinuteRecord]:
    venue = start_venue(args, run_dir, account.path, reached)
    try:
        write_keys(run_dir / "keys.json", {"binance": venue})
        plan = RunPlan(
            run_id=run_dir.name,
            mode="paper",
            settings=settings,
            root=load.ROOT,
            run_dir=run_dir,
            log_dir=run_dir.parent.parent / "logs",
            artifacts_dir=source.root / "artifacts",
            redis_url=settings.config.redis_url,
            keys_path=run_dir / "keys.json",
            notices_path=API_KEYS_PATH,
            instance=INSTANCE,
            clock=reached.clock,
            orders_at={"binance": venue_of(venue, reached.speed)},
            speed=reached.speed,
            sim_urls=reached.sim_urls,
            sentiment_url=reached.sim_url or PUBLIC_URL,
            minutes=args.minutes,
            synthetic=reached.synthetic,
            weights_version=newest_weights(ArtifactStore(source.root / "artifacts"), reached.server_ms),
        )
        about = {"mode": "paper", "clock": plan.clock, "synthetic": plan.synthetic, "market": "binance"}
        about |= {"run_id": plan.run_id, "minutes": args.minutes}
        with Launch(plan, lambda text: console.print(text, highlight=False)) as launch:
            launch.start(versions, about)
            note_run(run_dir.parent, launch.plan, launch.dashboard_url)
            try:
                watch = Simulators({"binance": venue})
                follow(launch, console, "PAPER binance", args.minutes, plan.synthetic, lambda: watch.check(run_dir))
                launch.wind_down()
            finally:
                forget_run(run_dir.parent)
    finally:
        venue.close()
    return list(read_records(run_dir / "records"))


def start_venue(args: argparse.Namespace, run_dir: Path, account: Path, reached: Reached) -> Simulator:
    """The paper venue in a process of its own, ended with us."""
    program = [
        "-m",
        "actors.runs.paper_venue",
        "--account",
        str(account),
        "--statement",
        str(run_dir / "statement.json"),
    ]
    program += ["--speed", str(reached.speed)]
    program += ["--sim-url", reached.url] if reached.stand_in else []
    program += [f"--set={change}" for change in args.overrides]
    program += ["--config-dir", str(args.config_dir)] if args.config_dir else []
    return start_server(load.ROOT, program, log_file=run_dir / "paper.log", timeout_s=VENUE_START_S)
