"""Bring a run up and take it down: Redis, the simulated exchange, Ray, models on Serve, the page, the actors.

Whatever was started is ended by ``close()``, in the opposite order, whether the start succeeded or not. Children
also watch our pid, so that nothing is orphaned when this process is killed.
"""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

import ray
from ray import serve as ray_serve

from actors.plan import NAMESPACE, RunPlan
from actors.system import start_ray, start_system, stop_system
from config.load import ROOT
from config.settings import ExchangeSettings, Settings
from core.errors import BotError, TimedOut
from data.hot import Hot
from data.redis_server import EmbeddedRedis
from serve.app import deploy_members
from serve.dashboard.app import deploy as deploy_dashboard

log = logging.getLogger("launch")

SIM_START_S = 30.0
SYSTEM_START_S = 180.0
Say = Callable[[str], None]


class Simulator:
    """The simulated exchange in a child process, on loopback, ended with us."""

    def __init__(self, tape: Path, *, cash: str, speed: float, start_ms: int, log_file: Path, statement: Path) -> None:
        """``speed`` 0 means lockstep. Raises BotError with the child's last words when it does not come up."""
        command = [sys.executable, str(ROOT / "run.py"), "sim", "--json", "--port", "0", "--tape", str(tape)]
        command += ["--balances", f"USDT={cash}", "--start", str(start_ms), "--parent-pid", str(os.getpid())]
        command += ["--statement", str(statement)]
        command += ["--lockstep"] if speed == 0 else ["--speed", str(speed)]
        self._log = log_file.open("wb")
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, cwd=ROOT)  # noqa: S603
        self.addresses = self._first_line(log_file)

    def _first_line(self, log_file: Path) -> dict[str, str]:
        lines: Queue[bytes] = Queue()
        assert self._process.stdout is not None
        Thread(target=lambda: lines.put(self._process.stdout.readline()), daemon=True).start()
        try:
            line = lines.get(timeout=SIM_START_S)
        except Empty:
            self.close()
            raise TimedOut(f"the simulated exchange said nothing within {SIM_START_S:g} s; see {log_file}") from None
        if not line.strip():
            self.close()
            words = log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise BotError(f"the simulated exchange did not start: {words[-1] if words else 'no word'}")
        return json.loads(line)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._log.close()


def simulated(settings: Settings, addresses: Mapping[str, str], speed: float) -> Settings:
    """The settings with Binance reached at the simulator."""
    exchange = ExchangeSettings(
        rest_url=addresses["rest"],
        stream_url=addresses["stream"],
        user_stream_url=addresses["ws_api"],
        # Market time runs faster than ours: a stamp is old sooner.
        recv_window_ms=5_000 if speed in (0, 1) else 60_000,
    )
    config = settings.config.model_copy(update={"exchanges": {"binance": exchange}})
    return settings.model_copy(update={"config": config})


def write_keys(path: Path, addresses: Mapping[str, str]) -> None:
    """Store the simulator's test pair where the executor looks, readable by us only."""
    path.touch(mode=0o600)
    path.write_text(
        json.dumps({"binance": {"api_key": addresses["api_key"], "api_secret": addresses["secret"]}}), encoding="utf-8"
    )


class Launch:
    """One run, from nothing to minutes running, and back. Use as a context manager."""

    def __init__(self, plan: RunPlan, say: Say) -> None:
        self.plan = plan
        self.dashboard_url = ""
        self._say = say
        self._exits = ExitStack()
        self._began = time.perf_counter()
        self._supervisor: Any = None

    def __enter__(self) -> "Launch":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, versions: Mapping[str, str], about: Mapping[str, Any]) -> None:
        """Start everything; returns when every actor runs. Raises BotError naming the stage that failed."""
        config = self.plan.settings.config
        if config.redis_url == "embedded":
            redis = EmbeddedRedis(self.plan.run_dir / "redis")
            self._exits.callback(redis.stop)
            self.plan = replace(self.plan, redis_url=redis.start())
            self._stage("Redis")
        hot = Hot(self.plan.redis_url, self.plan.run_id)
        self._exits.callback(hot.close)
        hot.publish_state(dict(about))
        start_ray(config, self.plan.root)
        self._exits.callback(ray.shutdown)
        self._stage(
            "Ray" + (f" (dashboard http://127.0.0.1:{config.ray.dashboard_port})" if config.ray.dashboard else "")
        )
        self._exits.callback(_quietly, ray_serve.shutdown)
        self.dashboard_url = deploy_dashboard(config.dashboard, self.plan.redis_url, self.plan.run_id)
        self._stage(f"dashboard: {self.dashboard_url}")
        deploy_members(
            self.plan.settings.rules.models,
            config.resources,
            self.plan.artifacts_dir,
            versions,
            pins=self.plan.run_dir / "serving",
            proxy=True,
        )
        self._stage(f"models on Serve: {', '.join(f'{n} {v}' for n, v in versions.items()) or 'none'}")
        self._exits.callback(_quietly, stop_system)
        self._supervisor = start_system(self.plan)
        status = ray.get(self._supervisor.start.remote(), timeout=SYSTEM_START_S)
        self._stage(f"{len(status)} actors")

    def progress(self) -> dict | None:
        """What the conductor says; None while it is being started again."""
        try:
            conductor = ray.get_actor("conductor", namespace=NAMESPACE)
            return ray.get(conductor.progress.remote(), timeout=10)
        except (ValueError, ray.exceptions.RayError):
            return None

    def status(self) -> dict:
        """State of every actor."""
        return ray.get(self._supervisor.status.remote(), timeout=30)

    def wind_down(self, timeout_s: float = 60.0) -> None:
        """End the minutes, cancel our open orders, put records and the executor's books on disk."""
        try:
            self._ask("conductor", "stop", timeout_s)
            self._ask("executor", "stop", timeout_s)
            self._ask("recorder", "closing", timeout_s, self._ask("executor", "closing", timeout_s))
            books = self._ask("executor", "books", timeout_s)
            (self.plan.run_dir / "books.json").write_text(json.dumps(books), encoding="utf-8")
            self._ask("recorder", "close", timeout_s)
        except (ValueError, ray.exceptions.RayError) as error:
            self._say(f"warning: the run did not end in order: {str(error).strip().splitlines()[-1]}")

    def _ask(self, name: str, method: str, timeout_s: float, *args: Any) -> Any:
        return ray.get(getattr(ray.get_actor(name, namespace=NAMESPACE), method).remote(*args), timeout=timeout_s)

    def close(self) -> None:
        """End all that was started."""
        self._exits.close()

    def _stage(self, what: str) -> None:
        self._say(f"[{time.perf_counter() - self._began:5.1f} s] {what}")


def _quietly(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception as error:
        # Taking down goes on whatever one part says; the process and its children end anyway.
        log.warning("while stopping: %s: %s", type(error).__name__, error)
