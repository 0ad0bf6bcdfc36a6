"""The shadow as an actor: a registry that cannot be read keeps nobody from trading, and is read when it is whole again."""

from pathlib import Path

import pytest

from actors.plan import RunPlan
from actors.shadow import NICENESS, ShadowActor
from config.load import load_settings
from core.champions import PROMOTED
from core.messages import ModelStep
from data.artifacts import ArtifactStore
from data.model_registry import ModelRegistry
from serve.panel import LocalPanel
from tests.support.markets import BTC, ETH, market
from tests.support.served import a_ridge, features, kept


def plan(folder: Path, mode: str = "paper", **champions: object) -> RunPlan:
    settings = load_settings()
    changed = settings.config.champions.model_copy(update=champions)
    config = settings.config.model_copy(update={"champions": changed})
    return RunPlan(
        run_id="r",
        mode=mode,
        settings=settings.model_copy(update={"config": config}),
        root=folder,
        run_dir=folder,
        log_dir=folder / "logs",
        artifacts_dir=folder / "artifacts",
        redis_url="",
        keys_path=folder / "keys",
        instance="r",
        clock="wall",
    )


def test_the_shadow_runs_where_the_settings_say_so(tmp_path: Path):
    assert plan(tmp_path).judges_versions
    assert not plan(tmp_path, shadow=False).judges_versions
    assert not plan(tmp_path, mode="replay").judges_versions
    assert plan(tmp_path, mode="replay", in_replay=True).judges_versions


async def test_a_registry_that_is_damaged_costs_the_judging_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lowered: list[int] = []
    monkeypatch.setattr("os.nice", lowered.append)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    store = ArtifactStore(tmp_path / "artifacts")
    registry = ModelRegistry.of(store)
    first, second = kept(store, a_ridge(0.0)), kept(store, a_ridge(5.0))
    step = ModelStep(kind=PROMOTED, member="ridge", version=first.version)
    registry.take("ridge", lambda now: step)
    (registry.folder / "scores.jsonl").write_text("nonsense\n")
    actor = ShadowActor(plan(tmp_path))
    assert lowered == [NICENESS]
    await actor.start()
    seen = market((BTC, ETH), mids=(100.0, 50.0), features=features())
    votes = LocalPanel({"ridge": (a_ridge(0.0), first.version)}, 15).forecast(seen)
    await actor.observe(seen, votes)
    assert (await actor.health())["failed"] == 1
    (registry.folder / "scores.jsonl").unlink()
    await actor.observe(seen, votes)
    health = await actor.health()
    assert (health["minutes"], health["loaded"]) == (1, [f"ridge {second.version}"])
    assert registry.steps("ridge")[-1].kind == "challenged"
