"""The panel as an actor: asks every ensemble member on Serve for its vote, all at once, each with its deadline.

Beside the votes it watches the registry, so that a champion named while the bot runs is taken over at a minute's boundary.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ray.exceptions import RayError

from actors.model_watch import ModelWatch, Served
from actors.plan import RunPlan
from actors.shell import Shell
from core.messages import Market, Votes
from core.warmup import flat_market
from data.artifacts import ArtifactStore
from serve.app import member_handle
from serve.doorbell import door_path
from serve.panel import ServePanel
from serve.ray_serve import RayServeException

LOOK_S = 1.0
"""How often the registry is looked at."""
ASK_EVERY, ASK_S = 3, 2.0
"""At every so many looks the replicas are asked how they are, for so long."""


class PanelActor(Shell):
    """Holds the Serve handles."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "panel")
        self._panel: ServePanel | None = None
        self._watch: ModelWatch | None = None
        self._watching: asyncio.Task | None = None
        self._replicas: dict[str, dict] = {}

    async def start(self) -> None:
        models = self.plan.settings.rules.models
        deployed = [name for name in self.plan.member_names if (self.plan.serving_dir / f"{name}.json").exists()]
        handles = await asyncio.to_thread(lambda: {name: member_handle(name) for name in deployed})
        doors = {name: door_path(self.plan.serving_dir.resolve(), name) for name in deployed}
        deadlines = {member.name: member.deadline_ms / 1000 for member in models.enabled}
        self._panel = ServePanel(handles, deadlines, models.horizon_minutes, doors=doors)
        # A replica's first forecast sets up its kernels.
        await self._panel.forecast(flat_market(self.plan.settings.config.trade.rows))
        self._watch = ModelWatch(
            ArtifactStore(self.plan.artifacts_dir),
            {m.name: Served(handle=handles[m.name], family=m.family) for m in models.enabled if m.name in handles},
            horizon=models.horizon_minutes,
            run=self.plan.run_id,
            seen=self.plan.run_dir / "registry_seen.json",
            first_minute=self.plan.first_minute or 0,
            crowns=self.plan.judges_versions,
        )
        self._watching = asyncio.get_running_loop().create_task(self._look_on(self._watch, handles))

    async def forecast(self, market: Market) -> Votes:
        began = time.perf_counter()
        assert self._panel is not None, "start() comes first"
        with self.minute(market.minute, market.trace):
            if self._watch is not None:
                self._watch.minute = max(self._watch.minute, market.minute)
            votes = await self._panel.forecast(market)
            steps = self._watch.told(market.minute) if self._watch is not None else ()
            return replace(votes, steps=steps, took_ms=(time.perf_counter() - began) * 1000)

    async def health(self) -> dict:
        """With what was last heard of each member's replica: process, versions, device."""
        return super().health() | {"replicas": self._replicas}

    async def _look_on(self, watch: ModelWatch, handles: Mapping[str, Any]) -> None:
        begun, looks = False, 0
        while True:
            try:
                await (watch.look() if begun else watch.begin())
                begun = True
                if looks % ASK_EVERY == 0:
                    await asyncio.gather(*(self._ask(name, handle) for name, handle in handles.items()))
            except Exception as error:
                # Beside trading: whatever is wrong with the registry or a version must not end the watch, nor a vote.
                self.log.warning("the registry was not looked at: %s: %s", type(error).__name__, error)
            looks += 1
            await asyncio.sleep(LOOK_S)

    async def _ask(self, name: str, handle: Any) -> None:
        try:
            self._replicas[name] = await asyncio.wait_for(handle.health.remote(), ASK_S)
        except (RayError, RayServeException, TimeoutError):
            self._replicas[name] = {}
