"""Where actors become remote: their names, resources, start order, and the Ray they run on.

This is the only module that calls ``ray.remote`` on an actor. The classes stay undecorated, so that a restarted
actor is read from disk again instead of coming back with the code it was first pickled with.
"""

import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.cache import CacheActor
from actors.conductor_actor import ConductorActor
from actors.detector import DetectorActor
from actors.executor_actor import LiveExecutor
from actors.feed import FeedActor
from actors.notifier import NotifierActor
from actors.panel import PanelActor
from actors.plan import NAMESPACE, RunPlan
from actors.recorder import RecorderActor
from actors.risk import RiskActor
from actors.runs.retraining import Command, RayWork, run_all
from actors.selector import SelectorActor
from actors.shadow import ShadowActor
from actors.supervisor import SupervisorActor
from config.ray_environment import worker_environment
from config.settings import Config, RetrainingSettings
from core.errors import BotError

log = logging.getLogger("system")

CLASSES: dict[str, type] = {
    "notifier": NotifierActor,
    "feed": FeedActor,
    "executor": LiveExecutor,
    "cache": CacheActor,
    "detector": DetectorActor,
    "panel": PanelActor,
    "selector": SelectorActor,
    "risk": RiskActor,
    "recorder": RecorderActor,
    "shadow": ShadowActor,
    "conductor": ConductorActor,
}
"""Every live actor, in start order."""


def names_of(plan: RunPlan) -> tuple[str, ...]:
    """The actors of a run: the shadow only where it has something to do."""
    return tuple(name for name in CLASSES if name != "shadow" or plan.judges_versions)


ACTOR_CPU = 0.05
GROUP = "minutehand"


def ray_dashboard_port(config: Config) -> int:
    """The configured port, or a free one when another Ray has it: nobody should be kept from trading by a page."""
    for port in (config.ray.dashboard_port, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise BotError("no free port on 127.0.0.1 for Ray's dashboard; run with --set ray.dashboard=false")


def start_ray(config: Config, root: Path, dashboard_port: int) -> None:
    """Start a cluster of our own, or join the one the config names.

    Token authentication is on in both cases (``config.ray_environment``, before ray was imported).
    Raises BotError naming what to do when Ray does not come up.
    """
    own = config.ray.address == "local"
    options: dict[str, Any] = {"namespace": NAMESPACE, "runtime_env": worker_environment(root), "log_to_driver": False}
    if own:
        options |= {
            "num_cpus": max(4, os.cpu_count() or 1),
            "object_store_memory": config.resources.object_store_mb * 1_000_000,
            "include_dashboard": config.ray.dashboard,
            "dashboard_host": "127.0.0.1",
            "dashboard_port": dashboard_port,
        }
    try:
        ray.init(address=config.ray.address, configure_logging=False, **options)
    except Exception as error:
        # A raylet or store that is slow to come up is a bare Exception of Ray's.
        what = "Ray did not start" if own else f"no Ray cluster answers at {config.ray.address!r}"
        hint = (
            "try again when the machine is less busy, or run `python3 run.py doctor`"
            if own
            else 'start one with `ray start --head` (same RAY_AUTH_TOKEN_PATH), or set ray.address to "local"'
        )
        raise BotError(f"{what}: {str(error).rstrip('.')}; {hint}") from error


def spawn(name: str, plan: RunPlan) -> Any:
    """Start one live actor (or find the one that lives) and return its handle."""
    return (
        ray.remote(CLASSES[name])
        .options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=ACTOR_CPU,
            max_restarts=0,
            # An error may come after the call took effect: Ray must never run a call a second time by itself.
            max_task_retries=0,
            max_concurrency=1000 if name in ASYNC else 1,
            scheduling_strategy=PlacementGroupSchedulingStrategy(
                ray.util.get_placement_group(GROUP),
                placement_group_bundle_index=0,
                placement_group_capture_child_tasks=False,
            ),
        )
        .remote(plan)
    )


ASYNC = frozenset({"feed", "executor", "panel", "notifier", "shadow", "conductor"})
"""Actors whose methods are coroutines."""


def begin_training(settings: RetrainingSettings, log_file: Path, commands: Sequence[Command]) -> RayWork:
    """Train beside trading, in a task that claims its processors. It is not tried again: its commands say what failed."""
    task = ray.remote(run_all).options(num_cpus=settings.cpus, max_retries=0, name="training")
    return RayWork(task.remote(tuple(commands), settings.cpus, settings.memory_mb, log_file))


def start_system(plan: RunPlan) -> Any:
    """Make the placement group (once) and the supervisor, which starts all others. Returns its handle."""
    group = placement_group([{"CPU": 1}], strategy="STRICT_PACK", name=GROUP, lifetime="detached")
    if not group.wait(30):
        raise BotError("Ray has no free CPU for the live actors; stop other work on this cluster or give it more CPUs")
    return (
        ray.remote(SupervisorActor)
        .options(
            name="supervisor",
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=0,
            max_restarts=-1,
            max_concurrency=100,
        )
        .remote(plan, names_of(plan), spawn)
    )


def stop_system() -> None:
    """End every actor of ours, the supervisor first so that it restarts nobody. Leaves the cluster to its owner."""
    for name in ("supervisor", *reversed(CLASSES)):
        try:
            ray.kill(ray.get_actor(name, namespace=NAMESPACE), no_restart=True)
        except ValueError:
            continue
    try:
        remove_placement_group(ray.util.get_placement_group(GROUP))
    except ValueError:
        log.debug("no placement group to remove")
