"""The shadow: challengers forecast every minute beside the vote, are held against the champion, and take over when better.

It stands off the trading path: the minute's market and votes are passed on to it and nobody waits. It runs in a process of
its own, at the lowest priority, on the CPU. What it finds lies in the registry, so a restart costs the minutes whose
outcome was not known yet, and no more. What to do about it is ``core/succession.py``; the panel makes it so.
"""

import asyncio
import logging
import os
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from actors.plan import RunPlan
from actors.shell import Shell
from core.champions import REJECTED, Standing
from core.errors import BotError
from core.features import schema_hash
from core.messages import Market, ModelStep, Votes
from core.params import ChampionSettings, MemberSettings
from core.shadow import BlockScore, Evidence, Pair, ShadowBook, Spoken, gathered
from core.succession import BY, next_step, opponents
from core.units import MINUTE_MS
from core.votes import Answer, assemble_votes
from data.artifacts import Artifact, ArtifactStore
from data.model_registry import KIND, ModelRegistry
from serve.load_check import Bounds, Unfit, load_checked
from serve.models.base import Member

log = logging.getLogger("shadow")

NICENESS = 19
NOT_ITS_OWN = ("absent", "late", "failed")
"""Silences of a champion that its process or the machine may be to blame for: they score for nobody. They count among
the silent minutes that end a watched champion."""
MOST_STEPS = 8
"""Of one member in one minute."""


@dataclass(slots=True)
class _Watched:
    """One member, as the shadow knows it."""

    settings: MemberSettings
    now: Standing = field(default_factory=Standing)
    stored: tuple[Artifact, ...] = ()
    folder: tuple[int, ...] = ()
    silent: int = 0


class Shadow:
    """Champions and challengers of one run, minute after minute."""

    def __init__(
        self,
        store: ArtifactStore,
        members: tuple[MemberSettings, ...],
        settings: ChampionSettings,
        *,
        horizon: int,
        memory_mb: float,
    ) -> None:
        self._store = store
        self._registry = ModelRegistry.of(store)
        self._settings = settings
        self._horizon = horizon
        self._memory_mb = memory_mb
        self._members = {member.name: _Watched(member) for member in members}
        self._book = ShadowBook(horizon)
        self._loaded: dict[tuple[str, str], Member] = {}
        self._stamp: tuple[int, int] | None = None
        self._evidence: dict[Pair, Evidence] = {}
        self._scored: set[tuple[Pair, int]] = set()
        for block in self._registry.scores():
            self._count(block)

    @property
    def loaded(self) -> tuple[str, ...]:
        """Versions that forecast in shadow, as ``member version``."""
        return tuple(f"{member} {version}" for member, version in sorted(self._loaded))

    def observe(self, market: Market, votes: Votes) -> tuple[ModelStep, ...]:
        """Take in a decided minute. Gives what came of it, which is in the registry by then."""
        blocks = [b for b in self._book.closed(market.minute, market.close, market.fresh) if self._count(b)]
        if blocks:
            self._registry.keep_scores(blocks)
        changed = self._refresh()
        steps: list[ModelStep] = []
        for row, name in enumerate(votes.members):
            watched = self._members.get(name)
            if watched is None or not watched.now.champion:
                continue
            if votes.versions[row] in (watched.now.champion, ""):
                steps += self._hold(watched, market, votes, row)
            if changed or blocks or watched.silent:
                steps += self._decide(watched)
        return tuple(steps)

    def _hold(self, watched: _Watched, market: Market, votes: Votes, row: int) -> list[ModelStep]:
        """Let the opponents of a member's champion forecast, and remember what was said."""
        name, now = watched.settings.name, watched.now
        may = {a.version for a in watched.stored if a.span[1] <= market.minute + MINUTE_MS}
        wanted = [v for v in opponents(now, sorted(may), self._settings) if v in may]
        steps = self._load(watched, wanted)
        silence = votes.silence[row]
        champion = Spoken() if silence else Spoken(mean_bps=votes.mean_bps[row], stdev_bps=votes.stdev_bps[row])
        spoke = False
        for version in wanted:
            member = self._loaded.get((name, version))
            if member is None:
                continue
            said = self._ask(watched.settings, version, member, market)
            spoke |= version == now.former and said.mean_bps is not None
            if not silence.startswith(NOT_ITS_OWN):
                self._book.spoke(market.minute, (name, now.champion, version), champion, said)
        watched.silent = watched.silent + 1 if silence and spoke else 0
        return steps

    def _ask(self, settings: MemberSettings, version: str, member: Member, market: Market) -> Spoken:
        """By the rules of the vote: who is late, or speaks what is no forecast, is silent."""
        began = time.perf_counter()
        try:
            mean, stdev = member.forecast(market.features)
        # Libraries have errors of their own, and none of them may cost the minutes of the other versions.
        except Exception as error:
            log.warning("%s %s failed in shadow: %s: %s", settings.name, version, type(error).__name__, error)
            return Spoken()
        if (time.perf_counter() - began) * 1e3 > settings.deadline_ms:
            return Spoken()
        said = Answer(mean_bps=mean, stdev_bps=stdev, version=version)
        votes = assemble_votes(market, {version: said}, (version,), self._horizon)
        return Spoken(mean_bps=votes.mean_bps[0], stdev_bps=votes.stdev_bps[0]) if votes.spoke[0] else Spoken()

    def _load(self, watched: _Watched, wanted: list[str]) -> list[ModelStep]:
        """The wanted versions, and no others, are in memory; those that must not serve are out."""
        name, steps = watched.settings.name, []
        for key in [k for k in self._loaded if k[0] == name and k[1] not in wanted]:
            del self._loaded[key]
        bounds = Bounds(deadline_ms=watched.settings.deadline_ms, memory_mb=self._memory_mb)
        for version in wanted:
            if (name, version) in self._loaded or version in watched.now.out:
                continue
            try:
                reference = f"{KIND}/{name}/{version}"
                member, _ = load_checked(self._store, reference, watched.settings.family, schema_hash(), bounds)
                self._loaded[name, version] = member
            except Unfit as error:
                why = str(error).strip().splitlines()[-1]
                steps += self._take(name, ModelStep(kind=REJECTED, member=name, version=version, by=BY, why=why))
        return steps

    def _decide(self, watched: _Watched) -> list[ModelStep]:
        """All that the rules say of a member now, written down one by one."""
        name, steps = watched.settings.name, []
        for _ in range(MOST_STEPS):

            def rule(now: Standing) -> ModelStep | None:
                stored = [
                    a.version for a in watched.stored if a.version in now.path or (name, a.version) in self._loaded
                ]
                return next_step(name, now, stored, self._evidence, self._settings, watched.silent)

            step = self._registry.take(name, rule)
            if step is None:
                break
            log.warning("%s: %s %s: %s", name, step.kind, step.version, step.why)
            watched.now, watched.silent = watched.now.after(step), 0
            steps.append(step)
        return steps

    def _take(self, name: str, step: ModelStep) -> list[ModelStep]:
        def rule(now: Standing) -> ModelStep | None:
            return (
                None if step.version in now.out or step.version == now.champion else replace(step, before=now.champion)
            )

        taken = self._registry.take(name, rule)
        if taken is None:
            return []
        self._members[name].now = self._members[name].now.after(taken)
        return [taken]

    def _count(self, block: BlockScore) -> bool:
        """Whether the block is news."""
        pair = (block.member, block.champion, block.challenger)
        if (pair, block.begins_ms) in self._scored:
            return False
        self._scored.add((pair, block.begins_ms))
        self._evidence = gathered(self._evidence, block)
        return True

    def _refresh(self) -> bool:
        """Look at what stands in the registry and in the store; whether anything is new. Two ``stat`` a member."""
        changed = False
        stamp = self._registry.stamp()
        if stamp != self._stamp:
            self._stamp, changed = stamp, True
            for name, watched in self._members.items():
                watched.now = self._registry.standing(name)
        for name, watched in self._members.items():
            folder = _stamped(self._store.root / KIND / name)
            if folder != watched.folder:
                watched.folder, changed = folder, True
                watched.stored = tuple(a for a in self._store.list(KIND) if a.name == name and self._fits(watched, a))
        return changed

    def _fits(self, watched: _Watched, artifact: Artifact) -> bool:
        return (
            artifact.family == watched.settings.family
            and artifact.schema == schema_hash()
            and artifact.extra.get("horizon") == self._horizon
        )


def _stamped(folder: Path) -> tuple[int, ...]:
    try:
        return (folder.stat().st_mtime_ns,)
    except FileNotFoundError:
        return ()


class ShadowActor(Shell):
    """The shadow of a plan."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "shadow")
        if hasattr(os, "nice"):
            os.nice(NICENESS)
        # The GPU is for those that vote. Said before torch looks for one.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._shadow: Shadow | None = None
        self._one = asyncio.Lock()
        self._counted: Counter[str] = Counter()

    async def start(self) -> None:
        try:
            await asyncio.to_thread(self._begin)
        except BotError as error:
            # A registry that cannot be read must not keep a run from trading; tried again with each minute.
            self.log.error("nothing is judged yet: %s", error)

    def _begin(self) -> Shadow:
        config, models = self.plan.settings.config, self.plan.settings.rules.models
        self._shadow = Shadow(
            ArtifactStore(self.plan.artifacts_dir),
            models.enabled,
            config.champions,
            horizon=models.horizon_minutes,
            memory_mb=config.resources.member_memory_mb,
        )
        return self._shadow

    async def observe(self, market: Market, votes: Votes) -> None:
        """One minute after the other, in a thread: loading torch takes long, and whether we live is asked meanwhile."""
        async with self._one:
            await asyncio.to_thread(self._observe, market, votes)

    def _observe(self, market: Market, votes: Votes) -> None:
        with self.minute(market.minute, market.trace):
            try:
                (self._shadow or self._begin()).observe(market, votes)
                self._counted["minutes"] += 1
            except BotError as error:
                # The disk or the registry: told, and tried again with the next minute.
                self._counted["failed"] += 1
                self.log.warning("a minute was not judged: %s", error)

    async def health(self) -> dict:
        loaded = list(self._shadow.loaded) if self._shadow else []
        return super().health() | dict(self._counted) | {"loaded": loaded}
