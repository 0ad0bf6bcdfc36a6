"""The conductor as an actor: its score is played on Ray, its clock is the plan's."""

import asyncio
import re
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from actors.clock import make_clock
from actors.conductor import Conductor
from actors.desk import PARTS, RayDesk, Shade
from actors.plan import NAMESPACE, RunPlan
from actors.shell import Shell
from core.errors import BotError
from core.messages import MinuteTick
from core.units import Instrument
from core.warmup import flat_market
from data.hot import Hot

REVIVE_POLL_S = 0.25
WALL_BEHIND, LOCKSTEP_BEHIND = 2, 60
"""Minutes that may wait for the shadow."""


class PartLost(BotError):
    """An actor died while the minute ran. The supervisor starts it again."""


def _who_died(error: RayActorError) -> str:
    name = re.search(r"^\s*name: (\w+)", str(error), re.MULTILINE)
    return f"the {name[1]} died while the minute ran" if name else "an actor died while the minute ran"


class RayScore:
    """``actors.conductor.Score`` over named actors."""

    def __init__(self, shade: Shade | None = None) -> None:
        self._shade = shade

    def desk(self) -> RayDesk:
        return RayDesk(self._shade)

    async def settle(self, value: Any, timeout_s: float) -> Any:
        try:
            return await asyncio.wait_for(value, timeout_s)
        except GetTimeoutError as error:
            raise TimeoutError(str(error)) from error
        except RayTaskError as error:
            # Ray wraps what a part raised, and wraps again what a part died of on the way to the next.
            cause = error.cause
            if isinstance(cause, RayActorError):
                raise PartLost(_who_died(cause)) from None
            if isinstance(cause, BotError):
                raise cause from None
            raise
        except RayActorError as error:
            raise PartLost(_who_died(error)) from None

    async def greet(self, instruments: tuple[Instrument, ...]) -> None:
        """Call every part once, and let a flat market run through those that only look: the first message between two
        actors sets up their connection, which no minute should pay for."""
        await asyncio.gather(*(self._answers(name) for name in PARTS))
        desk = RayDesk()
        market = ray.put(flat_market(instruments))
        events, votes = desk.detector.detect(market), desk.models.forecast(market)
        await self.settle(desk.selector.choose(market, events, votes), 60)

    async def last_recorded(self) -> int | None:
        return await self.settle(_find("recorder").last_minute.remote(), 30)

    async def missed(self, tick: MinuteTick, reason: str) -> None:
        await self.settle(_find("recorder").missed.remote(tick, reason), 30)

    async def fence(self, minute: int) -> None:
        await self.settle(_find("executor").fence.remote(minute), 30)

    async def revive(self, timeout_s: float) -> None:
        """Wait until the supervisor calls every part running; raises TimeoutError naming those that are not."""
        waiting: list[str] = list(PARTS)
        try:
            async with asyncio.timeout(timeout_s):
                # One round of pings must pass before a death is noticed at all: ask the parts themselves.
                while waiting:
                    waiting = [name for name in waiting if not await self._answers(name)]
                    await asyncio.sleep(REVIVE_POLL_S if waiting else 0)
        except TimeoutError as error:
            raise TimeoutError(f"not running after {timeout_s:g} s: {', '.join(waiting)}") from error

    async def _answers(self, name: str) -> bool:
        try:
            health = await asyncio.wait_for(_find(name).health.remote(), 5)
            status = await asyncio.wait_for(_find("supervisor").status.remote(), 5)
        except Exception:
            # Dead, dying, being born or hung: all mean "not yet", and the caller's timeout bounds the asking.
            return False
        return bool(health) and status[name]["state"] == "running"


def _find(name: str) -> Any:
    return ray.get_actor(name, namespace=NAMESPACE)


class ConductorActor(Shell):
    """Runs the plan in the background from ``start()`` on."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "conductor")
        self._hot = Hot(plan.redis_url, plan.run_id)
        self._clock = make_clock(plan.clock, plan.sim_urls)
        # In lockstep minutes come as fast as they are decided; the shadow may fall behind by some and catch up.
        most = LOCKSTEP_BEHIND if plan.clock == "lockstep" else WALL_BEHIND
        self._score = RayScore(Shade(most) if plan.judges_versions else None)
        self._conductor = Conductor(
            score=self._score,
            clock=self._clock,
            execution=plan.settings.rules.execution,
            protection=plan.settings.rules.protection,
            first_minute=plan.first_minute,
            minutes=plan.minutes,
            deadline_s=plan.deadline_s,
            waits_for_parts=plan.clock == "lockstep",
            on_progress=self._publish,
        )
        self._task: asyncio.Task | None = None

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def progress(self) -> dict:
        """minute, done, missed, finished, error."""
        return dict(self._conductor.progress)

    async def stop(self) -> None:
        """End after the minute under way."""
        self._conductor.stop()
        if self._task is not None:
            await self._task

    async def health(self) -> dict:
        return super().health() | {"minute": self._conductor.progress["minute"]}

    async def _run(self) -> None:
        try:
            await self._score.greet(self.plan.settings.config.trade.rows)
            # Last of all parts to start: only now may a market that stood for us begin to move.
            await self._clock.start()
            await self._conductor.run()
        except Exception as error:
            # Nobody awaits this task while trading goes on: what ended it is told by progress().
            self.log.exception("conducting ended")
            self._conductor.progress["error"] = f"{type(error).__name__}: {error}"

    async def _publish(self, progress: dict) -> None:
        await asyncio.to_thread(self._hot.publish_state, progress)
