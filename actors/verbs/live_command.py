"""``run.py live``: the real market, real orders, real money. Starts only when nothing speaks against it and a person says so."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from actors.clock import wall_ms
from actors.plan import RunPlan
from actors.runs.arming import (
    Account,
    ask_account,
    bind_account,
    find_keys,
    find_models,
    judge_account,
    judge_lake,
    judge_paper,
    judge_past,
    read_past,
)
from actors.runs.edge import SENTENCE, judge_edge, note_override
from actors.runs.ending import end_run
from actors.runs.findings import Finding, NotArmed
from actors.runs.launch import Launch
from actors.runs.live_audit import audit_live, together
from actors.runs.live_days import LiveDays, Midnight
from actors.runs.live_words import tell_live
from actors.runs.news_sources import sources_of
from actors.runs.only_one import AccountLock
from actors.runs.reach import ReachedAll, reach_all, won_a_usdt
from actors.runs.running import note_run, noted, refuse_second
from actors.runs.unsettled import judge_orders
from actors.verbs.paper_command import models_of, tell_asking, tell_rooms, tell_start
from actors.verbs.replay_command import follow
from config import load
from config.argument_types import minutes
from config.changes import claim, keep_settings
from config.files import shown
from config.identity import rules_hash
from config.secrets import API_KEYS_PATH, ApiKeys
from config.settings import ExchangeSettings, Settings
from config.watch import ConfigSource
from core.errors import BotError, ConfigError
from core.messages import MinuteRecord
from core.starting_cap import StartingCap, begun, day_of
from core.units import MINUTE_MS
from data.artifacts import ArtifactStore
from data.impact_law import newest_law
from data.kept_curves import keep
from data.logs import configure_logs
from data.market import MarketSource
from data.market_arguments import market_words
from data.records import RecordStore, read_records
from data.starting_caps import CapKeeper, read_cap
from data.volume_curves import learn_from
from data.weights import newest_weights
from exchanges.venues import own

HELP = "trade the real market with REAL MONEY"
EXAMPLE = "python3 run.py live                       (asks before anything is traded)\npython3 run.py live --account 12345678     (unattended: names the account instead)"
INSTANCE = "live"
INSTANCES = re.compile(r"[a-z0-9]{1,6}")
TAKEN = ("paper", "replay")


def arguments(parser: argparse.ArgumentParser) -> None:
    load.arguments(parser)
    parser.add_argument(
        "--account",
        action="append",
        help="number of the account to trade, for starts that nobody attends; once for each exchange",
    )
    parser.add_argument("--minutes", type=minutes, help="how many minutes to decide; default: until stopped")
    parser.add_argument(
        "--instance",
        type=_instance,
        default=INSTANCE,
        help=f"name of this bot in its orders, 1 to 6 of a-z0-9 (default {INSTANCE})",
    )
    parser.add_argument(
        "--keys", type=Path, default=API_KEYS_PATH, help="private file with the keys (config/api_keys.json)"
    )
    parser.add_argument(
        "--i-accept-without-paper",
        action="store_true",
        help="start although no paper run with these settings was finished",
    )
    parser.add_argument(
        "--without-proven-edge",
        metavar="SENTENCE",
        help=f'start although no walk-forward said "edge" of these settings; the words are: "{SENTENCE}"',
    )
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
    # A file that others may read, or that is written wrongly, needs no exchange to be told of.
    keys = _keys(args.keys, settings)
    tell_rooms(console, settings.config.trade.rows)
    tell_asking(console, settings)
    reached = reach_all(settings.config, var)
    run_dir = var / "live" / (f"stand-in-{args.instance}" if reached.stand_in else args.instance)
    claim(run_dir, "live")
    found = [Finding(name="clock_off", text=fault) for fault in reached.clock_faults(settings.config)]
    source = models_of(args.market, var, reached)
    versions, missing = find_models(ArtifactStore(source.root / "artifacts"), settings, args.market)
    found += missing
    live = settings.config.live
    found += judge_lake(source, settings.config.trade.rows, reached.server_ms, live.max_lake_age_days)
    found += judge_paper(
        var / "runs",
        rules_hash(settings),
        stand_in=reached.stand_in,
        accepted=args.i_accept_without_paper,
        settings=settings,
    )
    missing, verdict = judge_edge(var, settings, stand_in=reached.stand_in, sentence=args.without_proven_edge)
    found += missing
    found += _ahead(run_dir, reached.server_ms)
    past = read_past(run_dir, settings, args.instance)
    found += judge_past(past)
    accounts, refused = _accounts(settings, keys, reached, var, args.keys)
    found += refused
    for account in accounts:
        pair, rows = keys[account.venue], own(account.venue, settings.config.trade.rows)
        against = judge_account(account, past, args.instance, run_dir, reached.server_ms)
        found += [replace(finding, text=_in_file(finding.text, args.keys)) for finding in against]
        found += judge_orders(_exchange(settings, account.venue), pair, rows, past.pending, run_dir, var, account.venue)
    days = LiveDays(settings, keys, run_dir, args.instance, var)
    cap = _cap(settings, run_dir, days if len(accounts) == len(reached.parts) else None, reached.server_ms, console)
    money = "no real money, the exchange is a simulator" if reached.stand_in else "real orders with REAL MONEY"
    tell_start(console, f"LIVE: {money}; account {_named(accounts) or 'unknown'}, instance {args.instance}", reached)
    console.print(f"verdict on these settings: {verdict}", highlight=False, markup=False, soft_wrap=True)
    if accounts:
        tell_live(console, settings, accounts, past, reached, cap, versions, run_dir)
    if len(accounts) == len(reached.parts):
        found += _wrong_account(args.account, accounts)
    lock = AccountLock()
    try:
        for account in accounts:
            part = reached.parts[account.venue]
            found += lock.take(account.venue, account.name, part.url if part.stand_in else "")
        if found:
            raise NotArmed(found)
        _consent(console, accounts, args.account)
        for account in accounts:
            bind_account(run_dir, account.name, account.venue)
        if args.without_proven_edge is not None:
            note_override(run_dir, settings, _named(accounts), verdict, wall_ms())
        with closing(CapKeeper(run_dir, live)) as keeper:
            keeper.keep(cap)
        configure_logs(settings.config.logs, var / "logs", "run")
        told = (_named(accounts), verdict)
        records, run_id = _run(args, settings, source, versions, run_dir, reached, console, told, days, cap)
        return _end(args, settings, source, keys, run_dir, run_id, reached, records, console)
    finally:
        lock.release()


def _cap(settings: Settings, run_dir: Path, days: LiveDays | None, now_ms: int, console: Console) -> StartingCap:
    """The starting cap as it stands after the days that have ended since it was last looked at. None: they cannot be
    judged now."""
    kept = read_cap(run_dir, settings.config.live)
    cap = replace(kept, state=begun(kept.state, now_ms))
    if days is None:
        return cap
    if kept.state.judged is not None and kept.state.judged < day_of(now_ms) - 1:
        console.print("asking the exchange about the orders of the days since the last judged one …", highlight=False)
    try:
        for seen in days.finished(cap, now_ms):
            cap = cap.after(seen)
    except BotError as error:
        text = f"the days since the last run could not be judged, the starting cap stays: {error}"
        console.print(text, highlight=False, markup=False, soft_wrap=True, style="yellow")
    return cap


def _keys(path: Path, settings: Settings) -> dict[str, ApiKeys]:
    """The key pair of every venue that is traded; NotArmed says why there is none."""
    keys: dict[str, ApiKeys] = {}
    found: list[Finding] = []
    for venue in dict.fromkeys(row.venue for row in settings.config.trade.rows):
        pair, missing = find_keys(path, venue=venue)
        found += [finding for finding in missing if finding not in found]
        if pair is not None:
            keys[venue] = pair
    if found:
        raise NotArmed(found)
    return keys


def _accounts(
    settings: Settings, keys: dict[str, ApiKeys], reached: ReachedAll, var: Path, path: Path = API_KEYS_PATH
) -> tuple[list[Account], list[Finding]]:
    """What every venue says of the account there, and which keys were turned down. ``path``: the file with the keys."""
    accounts: list[Account] = []
    found: list[Finding] = []
    for venue, pair in keys.items():
        exchange, instruments = _exchange(settings, venue), own(venue, settings.config.trade.rows)
        won = "KRW" in {i.quote for i in instruments}
        rates = {"KRW": 1.0 / won_a_usdt(exchange, var)} if won else {}
        try:
            account, refused = ask_account(
                exchange, pair, instruments, reached.parts[venue].server_ms, var, venue, rates
            )
        except ConfigError as error:
            raise ConfigError(_in_file(str(error), path)) from None
        found += [replace(finding, text=_in_file(finding.text, path)) for finding in refused]
        accounts += [account] if account is not None else []
    return accounts, found


def _in_file(text: str, path: Path) -> str:
    """Advice about the usual key file, as of the one that was named with ``--keys``."""
    return text.replace("config/api_keys.json", shown(path.absolute(), load.ROOT))


def _exchange(settings: Settings, venue: str) -> ExchangeSettings:
    return next(exchange for name, exchange in settings.config.exchanges.items() if name == venue)


def _named(accounts: Sequence[Account]) -> str:
    return " and ".join(account.name for account in accounts)


def _ahead(run_dir: Path, server_ms: int) -> list[Finding]:
    """Records later than the exchange's time belong to another exchange, or to a clock that was wrong."""
    if not (run_dir / "records").exists():
        return []
    last = max((record.minute for record in read_records(run_dir / "records")), default=None)
    if last is None or last <= server_ms:
        return []
    when = datetime.fromtimestamp(last / 1000, UTC)
    text = f"{run_dir} has records up to {when:%Y-%m-%d %H:%M} UTC, later than the exchange's time; move it aside"
    return [Finding(name="records_ahead", text=text)]


def _wrong_account(given: list[str] | None, accounts: Sequence[Account]) -> list[Finding]:
    if given is None or sorted(given) == sorted(account.name for account in accounts):
        return []
    keys = " and ".join(f"that of {account.venue} is of account {account.name}" for account in accounts)
    text = f"--account {' --account '.join(given)}, but of the keys {keys}"
    return [Finding(name="wrong_account", text=text)]


def _consent(console: Console, accounts: Sequence[Account], given: list[str] | None) -> None:
    """A person types which accounts are traded; ``--account`` says it for unattended starts."""
    if given is not None:
        return
    if not sys.stdin.isatty():
        wanted = " ".join(f"--account {account.name}" for account in accounts)
        raise NotArmed([Finding(name="no_consent", text=f"nobody is there to ask; for an unattended start: {wanted}")])
    phrase = f"trade {_named(accounts)}"
    console.print(
        f'Type "{phrase}" to trade {"this account" if len(accounts) == 1 else "these accounts"}, anything else to leave:',
        markup=False,
        highlight=False,
    )
    try:
        said = input("> ").strip()
    except EOFError:
        said = ""
    if said != phrase:
        raise NotArmed([Finding(name="no_consent", text=f'"{phrase}" was not typed; nothing was traded')])


def _run(
    args: argparse.Namespace,
    settings: Settings,
    source: MarketSource,
    versions: dict[str, str],
    run_dir: Path,
    reached: ReachedAll,
    console: Console,
    told: tuple[str, str],
    days: LiveDays,
    cap: StartingCap,
) -> tuple[list[MinuteRecord], str]:
    """The run itself; gives the records it made (earlier runs' stay in the folder) and its id.

    ``told``: the account and the verdict, as people are told of them."""
    account, verdict = told
    run_id = f"{args.instance}-{datetime.fromtimestamp(wall_ms() / 1000, UTC):%Y%m%d-%H%M%S}"
    before = RecordStore(run_dir / "records")
    last = before.last_minute
    before.close()
    if settings.rules.execution.algorithm == "vwap":
        rows = settings.config.trade.rows
        keep(run_dir, rows, learn_from(source.lake, rows, reached.server_ms // MINUTE_MS * MINUTE_MS))
    plan = RunPlan(
        run_id=run_id,
        mode="live",
        settings=settings,
        config_source=ConfigSource.from_arguments(args),
        root=load.ROOT,
        run_dir=run_dir,
        log_dir=run_dir.parent.parent / "logs",
        artifacts_dir=source.root / "artifacts",
        redis_url=settings.config.redis_url,
        keys_path=args.keys.absolute(),
        instance=args.instance,
        clock=reached.clock,
        speed=reached.speed,
        sim_urls=reached.sim_urls,
        **sources_of(settings, reached.sim_url),
        minutes=args.minutes,
        synthetic=reached.synthetic,
        weights_version=newest_weights(ArtifactStore(source.root / "artifacts"), reached.server_ms),
        impact_version=newest_law(ArtifactStore(source.root / "artifacts"), reached.server_ms, real_only=True),
    )
    about = {"mode": "live", "clock": plan.clock, "synthetic": plan.synthetic, "market": reached.name}
    about |= {"run_id": run_id, "minutes": args.minutes}
    keep_settings(run_dir, settings, "live", run_id, wall_ms())
    runs_dir = run_dir.parent.parent / "runs"
    with (
        noted(runs_dir, run_id, "live"),
        Launch(plan, lambda text: console.print(text, highlight=False, soft_wrap=True)) as launch,
    ):
        launch.start(lambda: versions, about)
        launch.train_beside(source, market_words(source), args, downloads=not reached.stand_in)
        if args.without_proven_edge is not None:
            launch.tell("warning", "armed_without_edge", account=account, verdict=verdict)
        note_run(runs_dir, launch.plan, launch.dashboard_url)
        midnight = Midnight(days, cap, _market_clock(reached), launch.day_over)
        follow(launch, console, f"LIVE {reached.name}", args.minutes, plan.synthetic, midnight.look)
        launch.wind_down()
    return [r for r in read_records(run_dir / "records") if last is None or r.minute > last], run_id


def _market_clock(reached: ReachedAll) -> Callable[[], int]:
    """Market time: this machine's, or as a stand-in's goes on from when it was reached."""
    if not reached.stand_in:
        return wall_ms
    began = wall_ms()
    return lambda: reached.server_ms + int((wall_ms() - began) * reached.speed)


def _end(
    args: argparse.Namespace,
    settings: Settings,
    source: MarketSource,
    keys: dict[str, ApiKeys],
    run_dir: Path,
    run_id: str,
    reached: ReachedAll,
    records: list[MinuteRecord],
    console: Console,
) -> int:
    """Compare with the venues, sum up, leave word."""
    rows, var = settings.config.trade.rows, load.resolve_var(settings)
    agreed = together(
        [
            audit_live(_exchange(settings, v), pair, own(v, rows), records, args.instance, var, v)
            for v, pair in keys.items()
        ]
    )
    return end_run(console, "live", run_id, run_dir, settings, source, reached, records, agreed, as_json=args.json)


def _instance(text: str) -> str:
    if not INSTANCES.fullmatch(text) or text in TAKEN:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to 6 of a-z0-9, or is one of {', '.join(TAKEN)}")
    return text
