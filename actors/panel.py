"""The panel as an actor: asks every ensemble member on Serve for its vote, all at once, each with its deadline."""

import time
from dataclasses import replace

from actors.plan import RunPlan
from actors.shell import Shell
from core.messages import Market, Votes
from core.warmup import flat_market
from serve.app import app_name
from serve.panel import ServePanel
from serve.ray_serve import ray_serve


class PanelActor(Shell):
    """Holds the Serve handles."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "panel")
        self._panel: ServePanel | None = None

    async def start(self) -> None:
        models = self.plan.settings.rules.models
        deployed = [name for name in self.plan.member_names if (self.plan.serving_dir / f"{name}.json").exists()]
        handles = {name: ray_serve.get_deployment_handle(name, app_name(name)) for name in deployed}
        deadlines = {member.name: member.deadline_ms / 1000 for member in models.enabled}
        self._panel = ServePanel(handles, deadlines, models.horizon_minutes)
        # The first call through a handle sets up its router, and a replica's first forecast its kernels.
        await self._panel.forecast(flat_market(self.plan.settings.config.trade.rows))

    async def forecast(self, market: Market) -> Votes:
        began = time.perf_counter()
        assert self._panel is not None, "start() comes first"
        with self.minute(market.minute, market.trace):
            votes = await self._panel.forecast(market)
            return replace(votes, took_ms=(time.perf_counter() - began) * 1000)
