"""The registry's word becomes what serves: a champion named while the bot runs is taken over, without a pause.

Beside the vote, never in it: the registry is one ``stat`` a second; what is new there is read, the member's replica loads and
tries the version, and says from which minute on it answers (``serve/replica.py``). What came of it is a step of its own in
the registry, and every step since the last vote goes into the record with the next one.
"""

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray.exceptions import RayError

from core.champions import CROWNING, REFUSED, ROLLED_BACK, SERVING, STARTED, Standing, standing
from core.errors import DataError
from core.messages import ModelStep
from core.notices import clock
from core.reasons import Reason
from data.artifacts import Artifact, ArtifactStore
from data.model_registry import KIND, ModelRegistry
from serve.load_check import Unfit
from serve.ray_serve import RayServeException

log = logging.getLogger("models")

TAKE_S = 120.0
"""How long a replica may take to load and try a version; then it is asked again at the next look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A member of this run, as the watch needs it."""

    handle: Any
    family: str


class ModelWatch:
    """Watches one registry for the members of one run."""

    def __init__(
        self,
        store: ArtifactStore,
        members: Mapping[str, Served],
        *,
        horizon: int,
        run: str,
        seen: Path,
        first_minute: int = 0,
        crowns: bool = True,
    ) -> None:
        """``seen``: file that holds how far the registry was read, for a watch that is started again. ``first_minute``: of a
        replay, before it has begun. ``crowns``: a run without a fitting champion names those it begins with."""
        self._store = store
        self._registry = ModelRegistry.of(store)
        self._members = dict(members)
        self._horizon = horizon
        self._run = run
        self._seen_path = seen
        self._seen: int | None = None
        self._crowns = crowns
        self._stamp: tuple[int, int] | None = None
        self._open: set[str] = set()
        self._news: list[ModelStep] = []
        self.minute = first_minute
        """The newest minute that the members were asked about."""

    def told(self, minute: int) -> tuple[ModelStep, ...]:
        """Steps since it was last asked, for the record of ``minute``; the flat market of a start (minute 0) has none."""
        if not minute:
            return ()
        news, self._news = tuple(self._news), []
        return news

    async def begin(self) -> None:
        """Take up where an earlier watch of this run stood; at a run's start, let it be known who serves."""
        self._seen = await asyncio.to_thread(self._read_seen)
        if self._seen is None:
            steps = await asyncio.to_thread(self._registry.steps)
            self._keep_seen(len(steps))
            if self._crowns:
                self._open = set(self._members)
        await self.look()

    async def look(self) -> None:
        """Once: read what is new, take over what it asks for. Raises DataError when the registry cannot be read."""
        stamp = await asyncio.to_thread(self._registry.stamp)
        if stamp == self._stamp and not self._open:
            return
        steps = await asyncio.to_thread(self._registry.steps)
        new = [step for step in steps[self._seen :] if step.member in self._members]
        self._news += new
        self._open |= {step.member for step in new if step.kind in CROWNING}
        self._keep_seen(len(steps))
        self._stamp = stamp
        for member in sorted(self._open):
            if await self._settled(member, standing(steps, member)):
                self._open.discard(member)

    async def _settled(self, member: str, now: Standing) -> bool:
        """The member's champion serves, or it is written down why not; False when the replica could not be asked."""
        served = self._members[member]
        try:
            serving = await asyncio.wait_for(served.handle.version.remote(), TAKE_S)
            if now.champion == serving:
                return True
            if not now.champion:
                return await self._crown(member, serving, Reason("no_champion"))
            if why := await asyncio.to_thread(self._unfit_here, member, served.family, now.champion):
                if self._crowns:
                    return await self._crown(member, serving, why)
                await self._write(member, REFUSED, now.champion, serving, why)
                return True
            version, minute = await asyncio.wait_for(served.handle.take.remote(now.champion, self.minute), TAKE_S)
        except Unfit as error:
            await self._write(member, REFUSED, now.champion, serving, str(error).strip().splitlines()[-1])
            await self._put_back(member, now.champion, serving)
            return True
        except (RayError, RayServeException, TimeoutError) as error:
            log.warning("%s: its replica could not be asked (%s); tried again", member, type(error).__name__)
            return False
        since = Reason("from_clock", clock=clock(minute)) if minute else Reason("from_the_first")
        await self._write(member, SERVING, version, serving, since)
        return True

    def _unfit_here(self, member: str, family: str, version: str) -> str:
        """Why this run may not use a version that is whole; empty when it may."""
        try:
            artifact: Artifact = self._store.load(f"{KIND}/{member}/{version}")
        except DataError:
            # Damaged or gone: the replica's own words say how.
            return ""
        if artifact.family != family:
            return Reason("other_family", family=artifact.family, wanted=family)
        if (horizon := artifact.extra.get("horizon")) != self._horizon:
            return Reason("other_horizon", horizon=str(horizon), wanted=str(self._horizon))
        if self.minute and artifact.span[1] > self.minute + 60_000:
            return Reason("from_the_future")
        return ""

    async def _crown(self, member: str, version: str, why: str) -> bool:
        if self._crowns:
            await self._write(member, STARTED, version, "", why)
        return True

    async def _put_back(self, member: str, refused: str, serving: str) -> None:
        """The registry says again what serves, if nobody has named another meanwhile."""

        def rule(now: Standing) -> ModelStep | None:
            if now.champion != refused:
                return None
            why = Reason("load_check_failed", version=refused)
            return ModelStep(kind=ROLLED_BACK, member=member, version=serving, before=refused, by="load check", why=why)

        await asyncio.to_thread(self._registry.take, member, rule)

    async def _write(self, member: str, kind: str, version: str, before: str, why: str) -> None:
        step = ModelStep(kind=kind, member=member, version=version, before=before, by=self._run, why=why)

        def rule(now: Standing) -> ModelStep:
            return step if kind != STARTED else replace(step, before=now.champion, by="start")

        await asyncio.to_thread(self._registry.take, member, rule)

    def _read_seen(self) -> int | None:
        try:
            return int(json.loads(self._seen_path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):
            return None

    def _keep_seen(self, count: int) -> None:
        """A few bytes; whether a crash loses them shows in the record as a step told twice, no more."""
        self._seen = count
        draft = self._seen_path.with_suffix(".tmp")
        draft.write_text(json.dumps(count), encoding="utf-8")
        os.replace(draft, self._seen_path)
