"""``run.py replay``: a market through the whole system, over the simulated exchange's real wire. The main job."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from rich.console import Console

from actors.clock import wall_ms
from actors.limits import rooms
from actors.plan import RunPlan
from actors.runs.audit import audit_run
from actors.runs.follow import Follower, make_follower
from actors.runs.launch import Launch
from actors.runs.running import note_run, noted, refuse_second
from actors.runs.simulators import Balances, opening_balances, opening_words, start_simulators
from actors.runs.summary import print_summary
from config import load
from config.argument_types import amount, number, won
from config.settings import Settings
from config.watch import ConfigSource
from core.errors import EXIT_FAILURE, EXIT_OK, BotError
from core.messages import MinuteRecord, TradingState
from core.reasons import Reason
from data import with_parent
from data.artifacts import ArtifactStore
from data.hot import Hot
from data.impact_law import newest_law
from data.kept_curves import keep
from data.logs import configure_logs
from data.market import MarketCut, MarketSource
from data.market_arguments import add_market, add_span, cut_of, fitted, market_words, source_of
from data.progress import stage, tell_notes
from data.records import read_records
from data.sources.spec import recorded
from data.volume_curves import learn_from
from data.weights import newest_weights

HELP = "replay a market through the whole system (the default)"
EXAMPLE = "python3 run.py replay --exchange binance --days 1 --lockstep"

DEMO_MINUTES = 120
DEMO_SPEED = 60.0
POLL_S = 0.2
INSTANCE = "replay"


def arguments(parser: argparse.ArgumentParser) -> None:
    load.arguments(parser)
    add_market(parser)
    add_span(parser, DEMO_MINUTES)
    pace = parser.add_argument_group("pace").add_mutually_exclusive_group()
    pace.add_argument(
        "--lockstep", action="store_true", help="time moves when the minute is done: as fast as it goes, none missed"
    )
    pace.add_argument(
        "--speed", type=number(1, 1000), default=DEMO_SPEED, help="times real speed, 1 to 1000 (default %(default)g)"
    )
    parser.add_argument(
        "--cash",
        type=amount,
        default="10000",
        help="USDT that EACH exchange's account begins with (default %(default)s); with two exchanges the run has twice that",
    )
    parser.add_argument(
        "--krw", type=won, help="KRW that the account at Upbit begins with (default: what --cash is worth there)"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON line, nothing else")


def main(args: argparse.Namespace) -> int:
    settings = load.from_arguments(args)
    var = load.resolve_var(settings)
    console = Console(stderr=args.json)
    speed, cash = 0.0 if args.lockstep else args.speed, args.cash
    refuse_second(var / "runs")
    with stage(console, "the market …") as tell:
        source = source_of(args, var, lambda text, share: tell(f"{text} ({share:.0%})"))
    settings, _ = fitted(args, settings, source)
    tell_notes(console, source.notes)
    load.check_symbols(settings, source.symbols())
    rooms(settings.config.trade.rows)
    market = cut_of(args, source, settings.config.trade.rows, DEMO_MINUTES)
    balances = opening_balances(market, source, cash, args.krw)
    console.print(opening_words(balances, cash), highlight=False, soft_wrap=True)
    run_id = f"{datetime.fromtimestamp(wall_ms() / 1000, UTC):%Y%m%d-%H%M%S}-{os.getpid()}"
    run_dir = var / "runs" / run_id
    run_dir.mkdir(parents=True)
    configure_logs(settings.config.logs, var / "logs", "run")
    with (
        noted(var / "runs", run_dir.name, "replay"),
        closing(Training(source, market.first_minute, args, args.data)) as members,
    ):
        records = _run(args, settings, source, market, members.versions, run_dir, speed, balances, console)
    agreed = audit_run(run_dir, [fill for r in records for fill in r.fills], balances)
    print_summary(console, records, run_dir, source, agreed, settings, as_json=args.json)
    return EXIT_OK if any(r.status == "done" for r in records) and not agreed.differences else EXIT_FAILURE


class Training:
    """Looks for members trained on the market before ``before`` and trains those that are missing, in a process of
    its own: torch and the features of weeks of bars leave with it. ``close`` ends it, finished or not."""

    def __init__(self, source: MarketSource, before: int, args: argparse.Namespace, data: Path | None = None) -> None:
        """``data``: the folder that ``--data`` named, whose market the child finds as we did."""
        command = [sys.executable, str(load.ROOT / "run.py"), "train", "--ensure", "--json", "--before-ms", str(before)]
        if data is not None:
            command += ["--data", str(data)]
        elif source.synthetic:
            command += ["--market", source.name]
        command += [f"--set={change}" for change in args.overrides]
        command += ["--config-dir", str(args.config_dir)] if args.config_dir else []
        guarded = [sys.executable, with_parent.__file__, str(os.getpid()), *command]
        # Ray comes up meanwhile: threads that wait for each other, spinning, would take the processors from it.
        calm = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1") | dict(os.environ)
        self._process = subprocess.Popen(guarded, cwd=load.ROOT, env=calm, stdout=subprocess.PIPE, text=True)  # noqa: S603

    def versions(self) -> dict[str, str]:
        """Version of each member; waits for the training. Raises BotError when it failed."""
        out, _ = self._process.communicate()
        code = self._process.returncode
        if code != 0:
            raise BotError(f"training the members failed with exit code {code}; its own words are above")
        return json.loads(out.strip().splitlines()[-1])["members"]

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)


def _run(
    args: argparse.Namespace,
    settings: Settings,
    source: MarketSource,
    market: MarketCut,
    versions: Callable[[], dict[str, str]],
    run_dir: Path,
    speed: float,
    balances: Balances,
    console: Console,
) -> list[MinuteRecord]:
    store = ArtifactStore(source.root / "artifacts")
    weights = newest_weights(store, market.first_minute)
    impact = newest_law(store, market.first_minute, real_only=False)
    if settings.rules.execution.algorithm == "vwap":
        keep(run_dir, market.instruments, learn_from(source.lake, market.instruments, market.first_minute))
    simulators = start_simulators(settings, source, market, run_dir, speed, balances)
    try:
        simulators.write_keys(run_dir / "keys.json")
        plan = RunPlan(
            run_id=run_dir.name,
            mode="replay",
            settings=simulators.reached(settings, speed),
            config_source=ConfigSource.from_arguments(args),
            root=load.ROOT,
            run_dir=run_dir,
            log_dir=run_dir.parent.parent / "logs",
            artifacts_dir=source.root / "artifacts",
            redis_url=settings.config.redis_url,
            keys_path=run_dir / "keys.json",
            instance=INSTANCE,
            clock="lockstep" if speed == 0 else "speed",
            speed=speed,
            sim_urls=simulators.urls,
            sentiment_url=simulators.urls[0],
            sources=recorded(settings.config.sentiment, simulators.urls[0]) if market.news else (),
            first_minute=market.first_minute,
            minutes=market.minutes,
            synthetic=source.synthetic,
            weights_version=weights,
            impact_version=impact,
        )
        about = {
            "mode": "replay",
            "clock": plan.clock,
            "synthetic": source.synthetic,
            "market": source.name,
            "run_id": plan.run_id,
            "minutes": market.minutes,
        }
        with Launch(plan, lambda text: console.print(text, highlight=False, soft_wrap=True)) as launch:
            launch.start(versions, about)
            launch.train_beside(source, market_words(source, args.data), args, downloads=False)
            told = {
                "settings": settings.model_dump(mode="json"),
                "market": source.name,
                "clock": plan.clock,
                "first_minute": market.first_minute,
                "cash": str(balances.get(("binance", "USDT"), 0)),
                "balances": {f"{venue}:{asset}": str(held) for (venue, asset), held in balances.items()},
                "versions": launch.versions,
                "weights_version": weights,
                "impact_version": impact,
                "artifacts": str(plan.artifacts_dir),
            }
            (run_dir / "run.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
            note_run(run_dir.parent, launch.plan, launch.dashboard_url)
            follow(
                launch,
                console,
                f"REPLAY {source.name}",
                market.minutes,
                source.synthetic,
                lambda: simulators.check(run_dir),
            )
            launch.wind_down()
    finally:
        simulators.close()
    return list(read_records(run_dir / "records"))


class Asked:
    """Remembers that a person asked to stop; a second time ends at once."""

    def __init__(self, console: Console) -> None:
        self.stop = False
        self.over = False
        """The run has ended by itself: what is left is to put it on disk and sum it up."""
        self._console = console

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.stop:
            raise KeyboardInterrupt
        self.stop = True
        if self.over:
            self._console.print("the run is over, its summary follows …", highlight=False)


def follow(
    launch: Launch,
    console: Console,
    title: str,
    total: int | None,
    synthetic: bool,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Show the minutes as they are recorded until the run is over or somebody asks to stop it.

    Raises BotError when the conductor has ended, or what ``check`` raises, which looks whether all else still runs. After
    a run that ended in order a first Ctrl-C goes on to cost nothing: its summary is still to come.
    """
    asked = Asked(console)
    old = {s: signal.signal(s, asked) for s in (signal.SIGINT, signal.SIGTERM)}
    hot = Hot(launch.plan.redis_url, launch.plan.run_id)
    follower = make_follower(console, title, total, synthetic)
    shown = seen = -1
    try:
        while True:
            progress = launch.progress()
            # Progress first, records second: when it says finished, all records are there to be shown.
            if progress and progress["minute"] not in (None, seen):
                seen = progress["minute"]
                for record in (r for r in _records(hot) if r.minute > shown):
                    shown = record.minute
                    follower.show(record, progress["done"], progress["missed"])
            check()
            if progress and progress["error"]:
                raise BotError(f"the conductor stopped: {progress['error']}")
            if progress and progress["finished"]:
                asked.over = True
                return
            if asked.stop or _obey(launch, follower, _commands(hot)):
                follower.say("stopping after this minute …")
                asked.over = True
                return
            time.sleep(POLL_S)
    finally:
        follower.close()
        hot.close()
        if not asked.over:
            for number, handler in old.items():
                signal.signal(number, handler)


def _records(hot: Hot) -> list[MinuteRecord]:
    try:
        return hot.records()
    except BotError:
        return []


def _obey(launch: Launch, follower: Follower, commands: list[dict]) -> bool:
    """Do what other terminals asked for; True when it was to stop."""
    for told in commands:
        if told["command"] == "halt":
            reason = told["reason"] or Reason("asked_for")
            launch.halt(told["by"], reason)
            follower.say(f"HALTED by {told['by']}: {reason}; what is being bought ends, only sales pass")
        elif told["command"] == "resume":
            follower.say(resumed_words(told["by"], launch.resume(told["by"])))
    return any(told["command"] == "stop" for told in commands)


def resumed_words(by: str, before: str) -> str:
    """What a person's resume did, by the state of trading before."""
    if before != TradingState.ACTIVE:
        return f"resumed by {by}; trading was {before}"
    return f"trading was active already; by {by} pauses are lifted, and losses are counted from now on"


def _commands(hot: Hot) -> list[dict]:
    try:
        return hot.take_commands()
    except BotError:
        return []
