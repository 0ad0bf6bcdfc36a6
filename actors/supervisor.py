"""The supervisor: starts the actors, asks each for its health, and starts a dead or hung one again.

Ray's own restarts stay off for the live actors (``max_restarts=0``): with them on, Ray's memory guard
killed live actors before trainers. A restarted part gets fresh state from the journal, the venue and Redis
in its own ``start()``.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError

from actors.plan import NAMESPACE, RunPlan
from config.settings import Settings
from core.messages import Notice
from core.reasons import Reason
from data.hot import Hot
from data.logs import configure_logs

log = logging.getLogger("supervisor")

PING_EVERY_S = 1.0
PING_TIMEOUT_S = 5.0
START_TIMEOUT_S = 60.0
PINGS_TO_GIVE_UP = 3
RESTARTS_TO_GIVE_UP = 20

Spawn = Callable[[str, RunPlan], Any]


class SupervisorActor:
    """Keeps ``names`` (in start order) alive; ``spawn`` makes one of them remote."""

    def __init__(self, plan: RunPlan, names: tuple[str, ...], spawn: Spawn) -> None:
        settings: Settings = plan.settings
        configure_logs(settings.config.logs, plan.log_dir, "supervisor")
        self._plan = plan
        self._names = names
        self._spawn = spawn
        self._hot = Hot(plan.redis_url, plan.run_id)
        self._handles: dict[str, Any] = {}
        self._silent: dict[str, int] = dict.fromkeys(names, 0)
        self._restarts: dict[str, int] = dict.fromkeys(names, 0)
        self._state: dict[str, str] = dict.fromkeys(names, "starting")
        self._loop: asyncio.Task | None = None

    async def spawn(self) -> None:
        """Bring up every actor's process (adopting those that live), all at once: to be born they need nobody."""
        await asyncio.gather(*(self._bring_up(name) for name in self._names))

    async def start(self) -> dict:
        """Tell every actor to start, in order, then watch them. Gives ``status()``."""
        if len(self._handles) < len(self._names):
            await self.spawn()
        for name in self._names:
            await self._tell_start(name)
        self._loop = asyncio.get_running_loop().create_task(self._watch())
        return self.status()

    def status(self) -> dict:
        """State and restarts of each actor."""
        return {name: {"state": self._state[name], "restarts": self._restarts[name]} for name in self._names}

    async def health(self) -> dict:
        return {"watching": self._loop is not None and not self._loop.done()}

    async def _bring_up(self, name: str) -> None:
        self._handles[name] = await asyncio.to_thread(self._spawn, name, self._plan)

    async def _tell_start(self, name: str) -> None:
        await asyncio.wait_for(self._handles[name].start.remote(), START_TIMEOUT_S)
        self._state[name] = "running"

    async def _watch(self) -> None:
        while True:
            await asyncio.gather(*(self._check(name) for name in self._names))
            await asyncio.sleep(PING_EVERY_S)

    async def _check(self, name: str) -> None:
        if self._state[name] == "given up":
            return
        try:
            asked = time.perf_counter()
            health = await asyncio.wait_for(self._handles[name].health.remote(), PING_TIMEOUT_S)
            self._silent[name] = 0
            self._state[name] = "running"
            health = health if isinstance(health, dict) else {}
            self._publish(name, {"ping_ms": round((time.perf_counter() - asked) * 1000, 1), **health})
        except ActorDiedError:
            await self._restart(name, Reason("died"))
        except (ActorUnavailableError, TimeoutError):
            self._silent[name] += 1
            if self._silent[name] >= PINGS_TO_GIVE_UP:
                ray.kill(self._handles[name], no_restart=True)
                await self._restart(name, Reason("no_pings", count=str(PINGS_TO_GIVE_UP)))
        except Exception:
            # The watch itself must outlive whatever a part's health call raises.
            log.exception("checking %s", name)

    async def _restart(self, name: str, why: str) -> None:
        self._restarts[name] += 1
        self._silent[name] = 0
        if self._restarts[name] > RESTARTS_TO_GIVE_UP:
            self._state[name] = "given up"
            log.error("%s %s again; given up after %d restarts", name, why, RESTARTS_TO_GIVE_UP)
            self._publish(name, {})
            return
        self._state[name] = "restarting"
        self._publish(name, {"why": why})
        log.warning("%s %s; starting it again", name, why, extra={"restarts": self._restarts[name]})
        try:
            await self._bring_up(name)
            await self._tell_start(name)
        except Exception:
            # Tried again at the next ping: a handle that is dead raises ActorDiedError there.
            log.exception("restarting %s", name)
            return
        self._publish(name, {})
        if name != "notifier" and "notifier" in self._handles:
            self._handles["notifier"].tell.remote(
                Notice(severity="warning", key="actor_restarted", values=(("actor", name), ("reason", why)))
            )

    def _publish(self, name: str, health: dict) -> None:
        try:
            self._hot.publish_health(name, {"state": self._state[name], "restarts": self._restarts[name], **health})
        except Exception as error:
            # Redis being away must not stop the watch; the dashboard shows its own staleness.
            log.warning("health of %s not published: %s", name, error)


def find(name: str) -> Any:
    """Handle of one of our actors; ValueError when it is not running."""
    return ray.get_actor(name, namespace=NAMESPACE)
