"""Bring a run up and take it down: Redis, Ray, models on Serve, the page, the actors.

Whatever was started is ended by ``close()``, in the opposite order, whether the start succeeded or not. Children
also watch our pid, so that nothing is orphaned when this process is killed.
"""

import argparse
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import ray

from actors.clock import wall_ms
from actors.plan import NAMESPACE, RunPlan
from actors.runs.learnt import learnt_until, too_old, until_words
from actors.runs.patience import actors_words, models_words, page_words, told_again
from actors.runs.rehearsal import Rehearsal
from actors.runs.retraining import Command, Retraining, train_commands
from actors.system import begin_training, ray_dashboard_port, start_ray, start_system, stop_system
from core.errors import BotError
from core.messages import Notice
from core.starting_cap import LiveDay
from data.artifacts import ArtifactStore
from data.hot import Hot
from data.market import MarketSource
from data.redis_server import EmbeddedRedis
from serve.app import deploy_members
from serve.dashboard.app import deploy as deploy_dashboard
from serve.dashboard.app import free_port
from serve.ray_serve import ray_serve
from serve.shared_rows import sweep

log = logging.getLogger("launch")

SYSTEM_START_S = 180.0
Say = Callable[[str], None]
T = TypeVar("T")


class Launch:
    """One run, from nothing to minutes running, and back. Use as a context manager."""

    def __init__(self, plan: RunPlan, say: Say) -> None:
        self.plan = plan
        self.dashboard_url = ""
        self.versions: dict[str, str] = {}
        """Artifact version of each member that was deployed."""
        self._say = say
        self._exits = ExitStack()
        self._began = time.perf_counter()
        self._supervisor: Any = None
        self._redis: EmbeddedRedis | None = None
        self._retraining: Retraining | None = None

    def __enter__(self) -> "Launch":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, versions: Callable[[], Mapping[str, str]], about: Mapping[str, Any]) -> None:
        """Start everything; returns when every actor runs. Raises BotError naming the stage that failed.

        ``versions`` gives the artifact version of each member; it is asked for when Ray is up, so that members may
        be trained meanwhile. The actors' processes come up while Serve deploys; they are told to start after it.
        """
        config = self.plan.settings.config
        own = config.ray.address == "local"
        if own:
            # Told now, not after Ray has come up; in a cluster of somebody else's Serve may hold the port for us.
            free_port(config.dashboard.host, config.dashboard.port)
        rehearsal = Rehearsal(self.plan.root)
        self._exits.callback(rehearsal.close)
        if config.redis_url == "embedded":
            self._next("Redis")
            self._redis = EmbeddedRedis(self.plan.run_dir / "redis")
            self._exits.callback(self._redis.stop)
            self.plan = replace(self.plan, redis_url=self._redis.start())
            self._stage("Redis")
        hot = Hot(self.plan.redis_url, self.plan.run_id)
        self._exits.callback(hot.close)
        hot.publish_state(dict(about))
        dashboard_port = 0

        def begin() -> None:
            # Asked anew at a second try: what is left of the first one may hold the port.
            nonlocal dashboard_port
            dashboard_port = ray_dashboard_port(config)
            start_ray(config, self.plan.root, dashboard_port)

        self._next("Ray")
        with told_again(self._say, lambda: "its first processes are starting"):
            if own:
                twice(begin, ray.shutdown, self._say, BotError)
            else:
                begin()
        self._exits.callback(sweep)
        self._exits.callback(ray.shutdown)
        self._stage("Ray" + (f" (dashboard http://127.0.0.1:{dashboard_port})" if config.ray.dashboard else ""))
        self._exits.callback(_quietly, stop_system)
        self._supervisor = start_system(self.plan)
        # Already now, though their imports slow the page: spawned after it, on two busy cores the page came 7 and 16 s
        # sooner and the run began 29 and 12 s later.
        spawned = self._supervisor.spawn.remote()
        self._exits.callback(_quietly, ray_serve.shutdown)
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        self._next("the page")
        with told_again(self._say, page_words), _named("the page did not come up"):
            self.dashboard_url = twice(
                lambda: deploy_dashboard(
                    config.dashboard, self.plan.redis_url, self.plan.run_id, (config.logs, self.plan.log_dir)
                ),
                ray_serve.shutdown,
                self._say,
            )
        self._stage(f"page: {self.dashboard_url}")
        self._next("the models: trained ones are loaded, missing ones trained first")
        with told_again(self._say, lambda: "the training says above what it does, or looks at what is stored"):
            self.versions = dict(versions())
        with (
            told_again(self._say, lambda: models_words(tuple(self.versions))),
            _named("the models did not come up on Serve"),
        ):
            deploy_members(
                self.plan.settings.rules.models,
                config.resources,
                self.plan.artifacts_dir,
                self.versions,
                pins=self.plan.serving_dir,
                proxy=True,
            )
        known = learnt_until(ArtifactStore(self.plan.artifacts_dir), self.versions)
        begins = wall_ms() if self.plan.first_minute is None else self.plan.first_minute
        told = [f"{n} {v}{until_words(known.get(n), begins)}" for n, v in self.versions.items()]
        self._stage(f"models on Serve: {', '.join(told) or 'none'}")
        for line in too_old(known, begins, config.live.max_lake_age_days):
            self._say(f"warning: {line}")
        if rehearsal.needed:
            self._say("compiling the rules, once on this machine …")
        with told_again(self._say, lambda: "the rules are being compiled, once on this machine"):
            rehearsal.wait(SYSTEM_START_S)
        self._next("the actors: they connect to the exchange and ask for the last bars")
        with told_again(self._say, self._who_starts), _named("the actors did not come up"):
            ray.get(spawned, timeout=SYSTEM_START_S)
            status = ray.get(self._supervisor.start.remote(), timeout=SYSTEM_START_S)
        self._stage(f"{len(status)} actors")
        plan = self.plan
        self.tell(
            "info",
            "run_started",
            run=plan.run_id,
            mode=plan.mode,
            instruments=str(len(plan.settings.config.trade.rows)),
        )

    def _who_starts(self) -> str:
        return actors_words(ray.get(self._supervisor.status.remote(), timeout=5))

    def train_beside(self, source: MarketSource, market: Command, args: argparse.Namespace, *, downloads: bool) -> None:
        """From now on, whenever ``progress`` is asked for, see to it that models are trained when it is time
        (``retraining`` of the settings). ``downloads``: the newest bars are fetched first."""
        config = self.plan.settings.config
        rows = config.trade.rows
        overrides = tuple(f"--set={change}" for change in args.overrides)
        overrides += ("--config-dir", str(args.config_dir)) if args.config_dir else ()
        self._retraining = Retraining(
            config.retraining,
            ArtifactStore(self.plan.artifacts_dir),
            source.lake,
            rows,
            commands=train_commands(self.plan.root, market, overrides, rows, config.retraining.days, downloads),
            begin=lambda commands: begin_training(config.retraining, self.plan.log_dir / "training.log", commands),
            tell=lambda severity, key, **values: _quietly(lambda: self.tell(severity, key, **values)),
            downloads=downloads,
            now_ms=wall_ms,
        )
        self._exits.callback(_quietly, self._retraining.close)

    def progress(self) -> dict | None:
        """What the conductor says; None while it is being started again. Also keeps our Redis alive, and training on time."""
        if self._redis is not None:
            self._redis.ensure()
        try:
            conductor = ray.get_actor("conductor", namespace=NAMESPACE)
            told = ray.get(conductor.progress.remote(), timeout=10)
        except (ValueError, ray.exceptions.RayError):
            return None
        if self._retraining is not None:
            retraining, minute = self._retraining, told["minute"] or 0
            _quietly(lambda: retraining.look(minute))
        return told

    def status(self) -> dict:
        """State of every actor."""
        return ray.get(self._supervisor.status.remote(), timeout=30)

    def halt(self, by: str, reason: str) -> None:
        """Buy nothing more until a person resumes, and give up what is being bought. Raises BotError when risk does
        not answer."""
        with _named("risk did not halt"):
            self._ask("risk", "halt", 30, by, reason, wall_ms())
        try:
            self._ask("executor", "halt", 30)
        except (ValueError, ray.exceptions.RayError):
            # It is being started again; the next minute, which buys nothing, ends what it takes up.
            log.exception("the executor did not say that it gave up this minute's buys")

    def resume(self, by: str) -> str:
        """Trade again after a halt or a loss limit; gives the state before. Raises BotError when risk does not answer."""
        with _named("risk did not resume"):
            return str(self._ask("risk", "resume", 30, by, wall_ms()))

    def day_over(self, seen: LiveDay) -> None:
        """Let a finished day of live trading move the starting cap, and tell people where it stands then. Raises BotError
        when risk does not answer; the cap has not moved then."""
        try:
            words = self._ask("risk", "day_over", 30, seen)
        except (ValueError, ray.exceptions.RayError) as error:
            # It may be being started again; whoever asked tries again later.
            raise BotError(f"risk did not take the day: {str(error).strip().splitlines()[-1]}") from None
        _quietly(lambda: self.tell("info", "starting_cap", cap=words))

    def wind_down(self, timeout_s: float = 60.0) -> None:
        """End the minutes, cancel our open orders, put records and the executor's books on disk."""
        try:
            self._ask("conductor", "stop", timeout_s)
            self._ask("executor", "stop", timeout_s)
            self._ask("recorder", "closing", timeout_s, self._ask("executor", "closing", timeout_s))
            books = self._ask("executor", "books", timeout_s)
            (self.plan.run_dir / "books.json").write_text(json.dumps(books), encoding="utf-8")
            self._ask("recorder", "close", timeout_s)
            told = self._ask("conductor", "progress", timeout_s)
            equity = self._hot_equity()
            self.tell(
                "info",
                "run_ended",
                run=self.plan.run_id,
                done=str(told["done"]),
                missed=str(told["missed"]),
                equity=equity,
            )
            self._ask("notifier", "close", timeout_s)
        except (ValueError, BotError, ray.exceptions.RayError) as error:
            self._say(f"warning: the run did not end in order: {str(error).strip().splitlines()[-1]}")

    def _hot_equity(self) -> str:
        hot = Hot(self.plan.redis_url, self.plan.run_id)
        try:
            points = hot.snapshot().equity
        finally:
            hot.close()
        return f"{points[-1][1]:,.2f}" if points else "unknown"

    def tell(self, severity: str, key: str, **values: str) -> None:
        """Send a notice to people."""
        self._ask("notifier", "tell", 30, Notice(severity=severity, key=key, values=tuple(values.items())))

    def _ask(self, name: str, method: str, timeout_s: float, *args: Any) -> Any:
        return ray.get(getattr(ray.get_actor(name, namespace=NAMESPACE), method).remote(*args), timeout=timeout_s)

    def close(self) -> None:
        """End all that was started."""
        self._exits.close()

    def _next(self, what: str) -> None:
        """Said before it is waited for: on a busy machine each takes its time, and silence looks like a fault."""
        self._say(f"[{time.perf_counter() - self._began:5.1f} s] waiting for {what} …")

    def _stage(self, what: str) -> None:
        self._say(f"[{time.perf_counter() - self._began:5.1f} s] {what}")


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Ray's errors of a stage as one line of ours; the long story is in the log."""
    try:
        yield
    except (ray.exceptions.RayError, RuntimeError) as error:
        log.exception("%s", what)
        words = str(getattr(error, "cause", None) or error).strip().splitlines()
        raise BotError(
            f"{what}: {words[-1] if words else type(error).__name__}; look into var/logs, "
            "and try again when the machine is less busy"
        ) from error


def twice(
    work: Callable[[], T],
    undo: Callable[[], object],
    say: Say,
    error: type[Exception] = ray.exceptions.RayActorError,
) -> T:
    """``work``, and once more after ``undo`` when it ended in ``error``: on a busy machine Ray gives up on what is slow
    to begin. For what begins with nothing and holds nothing; a second failure is told as it is."""
    try:
        return work()
    except error as first:
        log.warning("tried again: %s", str(first).strip().splitlines()[-1])
        say("a part of it did not come up; trying once more …")
        undo()
        return work()


def _quietly(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception as error:
        # What is done by the way must not end what goes on: the run, or its taking down.
        log.warning("by the way: %s: %s", type(error).__name__, error)
