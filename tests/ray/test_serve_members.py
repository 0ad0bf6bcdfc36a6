"""Members on Serve: the votes of the panel, swapping without a pause, and what a lost, late or absent member costs."""

import asyncio
import itertools
import os
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ray import serve as ray_serve
from ray.serve.handle import DeploymentHandle

from config.settings import ResourceSettings
from core.errors import DataError
from core.features import N_FEATURES, SEQUENCE, schema_hash
from core.messages import Market
from core.params import MemberSettings, ModelSettings
from data.artifacts import Artifact, ArtifactStore
from serve.app import actor_options, app_name, deploy_members, member_handle
from serve.doorbell import Knocker, Said, door_path
from serve.load_check import Unfit
from serve.models.base import TrainingSet
from serve.models.registry import load_member
from serve.models.ridge import Ridge
from serve.models.rules import ChartRules
from serve.models.tcn import Tcn
from serve.panel import LocalPanel, ServePanel
from serve.shared_rows import Board
from tests.support.markets import BTC, ETH, market
from tests.support.swap_load import swapped_under_load

pytestmark = pytest.mark.ray
HORIZON = 15
MODELS = ModelSettings(
    members=tuple(MemberSettings(name=family, family=family) for family in ("ridge", "tcn", "rules")),
    horizon_minutes=HORIZON,
)
DEADLINES = dict.fromkeys(("ridge", "tcn", "rules"), 20.0)


def samples(edge: float) -> TrainingSet:
    rng = np.random.default_rng(8)
    features = rng.normal(size=(2, 600, N_FEATURES))
    target = edge * features[:, :, 0] + rng.normal(scale=10.0, size=(2, 600))
    minute, symbol = np.meshgrid(np.arange(SEQUENCE, 580), np.arange(2), indexing="ij")
    rows = np.stack([symbol.ravel(), minute.ravel()], axis=1)
    return TrainingSet(features=features, target_bps=target, rows=rows, first_minute=0, horizon=HORIZON)


def keep(store: ArtifactStore, member: Ridge | Tcn | ChartRules, edge: float = 5.0, schema: str = "") -> Artifact:
    member.fit(samples(edge), 0)
    return store.save(
        "model",
        member.family,
        member.save,
        family=member.family,
        schema=schema or schema_hash(),
        span=(0, 1),
        instruments=(),
        seed=0,
        code="test",
    )


def a_market(seed: int = 2) -> Market:
    features = np.random.default_rng(seed).normal(size=(2, SEQUENCE, N_FEATURES))
    return market((BTC, ETH), mids=(100.0, 50.0), features=features)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def versions(store: ArtifactStore) -> dict[str, str]:
    return {m.family: keep(store, m).version for m in (Ridge(), Tcn(steps=20, device="cpu"), ChartRules())}


@pytest.fixture(scope="module")
def deployed(ray_cluster: None, store: ArtifactStore, versions: dict[str, str]) -> Iterator[tuple[str, ...]]:
    deploy_members(MODELS, ResourceSettings(), store.root, versions)
    yield tuple(versions)
    for name in versions:
        ray_serve.delete(app_name(name))


@pytest.fixture(scope="module")
def handles(deployed: tuple[str, ...]) -> dict[str, DeploymentHandle]:
    return {name: member_handle(name) for name in deployed}


@pytest.fixture(scope="module")
def doors(deployed: tuple[str, ...], store: ArtifactStore) -> dict[str, Path]:
    return {name: door_path((store.root / ".serving").resolve(), name) for name in deployed}


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board()
    yield board
    board.close()


@pytest.fixture
async def panel(handles: dict[str, DeploymentHandle], doors: dict[str, Path]) -> AsyncIterator[ServePanel]:
    """As the bot has it, but patient."""
    made = ServePanel(handles, DEADLINES, HORIZON, doors=doors)
    yield made
    made.close()


async def test_the_panel_on_serve_says_what_the_members_say_here(
    panel: ServePanel, handles: dict[str, DeploymentHandle], store: ArtifactStore, versions: dict[str, str]
) -> None:
    seen = a_market()
    served = await panel.forecast(seen)
    sent = await ServePanel(handles, DEADLINES, HORIZON).forecast(seen)
    members = {
        name: (load_member(name, store.load(f"model/{name}/{version}").path), version)
        for name, version in versions.items()
    }
    local = LocalPanel(members, HORIZON, names=tuple(DEADLINES)).forecast(seen)
    assert served.silence == sent.silence == ("", "", "")
    assert served.members == local.members == ("ridge", "tcn", "rules")
    assert served.versions == local.versions
    np.testing.assert_array_equal(served.mean_bps, sent.mean_bps)
    np.testing.assert_allclose(served.mean_bps, local.mean_bps, rtol=0, atol=1e-9)
    np.testing.assert_allclose(served.stdev_bps, local.stdev_bps, rtol=0, atol=1e-9)


async def test_swaps_under_fifty_requests_a_second_drop_none_and_mix_no_versions_in_a_minute(
    handles: dict[str, DeploymentHandle],
    doors: dict[str, Path],
    board: Board,
    store: ArtifactStore,
    versions: dict[str, str],
) -> None:
    newer = [keep(store, Ridge(), edge=edge).version for edge in (-5.0, 4.0)]
    place, knocker, turn = board.put(a_market().features), Knocker(doors["ridge"]), itertools.count()

    async def ask(minute: int) -> Said | None:
        # By both ways in turns: one minute is asked about at the door and through Serve.
        if next(turn) % 5:
            return await knocker.ask(place, minute)
        return await handles["ridge"].forecast.remote(a_market().features, minute)

    async def take(version: str, minute: int) -> tuple[str, int]:
        return await handles["ridge"].take.remote(version, minute)

    heard = await swapped_under_load(ask, take, newer, seconds=3.0)
    knocker.close()
    assert heard.sent == 150
    assert heard.dropped == []
    assert heard.mixed == 0
    assert [version for version, _ in heard.swaps] == newer
    for (version, minute), until in zip(heard.swaps, [heard.swaps[1][1], 2**62], strict=True):
        assert all(said == {version} for asked, said in heard.versions.items() if minute <= asked < until)
    assert set().union(*heard.versions.values()) == {versions["ridge"], *newer}
    assert max(heard.took_ms) < 2_000
    assert await handles["ridge"].version.remote() == newer[-1]


async def test_a_version_that_must_not_serve_leaves_the_old_one_serving(
    handles: dict[str, DeploymentHandle], store: ArtifactStore
) -> None:
    before = await handles["rules"].version.remote()
    with pytest.raises(Unfit, match="no such version"):
        await handles["rules"].take.remote("v0099")
    assert await handles["rules"].version.remote() == before
    mean, *_ = await handles["rules"].forecast.remote(a_market().features, 1)
    assert np.isfinite(mean).all()


def behind(door: Path) -> int:
    """The process that answers at a door."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as knocking:
        knocking.connect(str(door))
        pid, _, _ = struct.unpack(
            "3i", knocking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        )
        return int(pid)


async def stands_still(pid: int) -> None:
    """Returns when a process that was told to stop has stopped: on a busy machine that takes a moment."""
    async with asyncio.timeout(10):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            await asyncio.sleep(0.01)


async def test_a_replica_killed_in_mid_call_costs_its_own_vote_and_comes_back_as_it_was_swapped(
    handles: dict[str, DeploymentHandle], doors: dict[str, Path], store: ArtifactStore, board: Board
) -> None:
    swapped, minute = await handles["ridge"].take.remote(keep(store, Ridge(), edge=3.0).version)
    seen = replace(a_market(), minute=minute)
    panel = ServePanel(handles, DEADLINES | {"ridge": 0.3}, HORIZON, doors=doors)
    assert (await panel.forecast(seen)).spoke.all()
    # Held first, so that it dies in the middle of a call.
    pid = await handles["ridge"].pid.remote()
    assert pid == behind(doors["ridge"])
    os.kill(pid, signal.SIGSTOP)
    await stands_still(pid)
    asking = asyncio.create_task(panel.forecast(seen))
    await asyncio.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    votes = await asking
    assert list(votes.spoke) == [False, True, True]
    assert votes.silence[0].startswith(("late", "failed"))
    assert np.isnan(votes.mean_bps[0]).all()
    deadline = time.perf_counter() + 60
    while not votes.spoke[0] and time.perf_counter() < deadline:
        await asyncio.sleep(0.5)
        votes = await panel.forecast(seen)
    assert votes.spoke.all()
    assert votes.versions[0] == swapped
    # It has a door again, and no other's: those of the replica before are closed.
    place = board.put(seen.features)
    knocker = Knocker(doors["ridge"])
    assert (await knocker.ask(place, minute)).version == swapped
    knocker.close()
    panel.close()


async def test_who_was_never_deployed_is_absent(handles: dict[str, DeploymentHandle]) -> None:
    votes = await ServePanel(handles, DEADLINES | {"rl": 1.0}, HORIZON).forecast(a_market())
    assert votes.silence[3].startswith("absent")
    assert list(votes.spoke) == [True, True, True, False]


async def test_nan_and_inf_in_one_instruments_features_silence_nobody_else(panel: ServePanel) -> None:
    seen = a_market()
    features = seen.features.copy()
    features[0, 5, 3], features[0, -1, 4] = np.nan, np.inf
    votes = await panel.forecast(market((BTC, ETH), mids=(100.0, 50.0), features=features))
    assert votes.spoke.all()
    assert np.isnan(votes.mean_bps[:, 0]).all()
    assert np.isfinite(votes.mean_bps[:, 1]).all()


def test_a_model_of_other_features_is_refused_before_serve_is_asked(ray_cluster: None, store: ArtifactStore) -> None:
    foreign = keep(store, ChartRules(), schema="f" * 64)
    with pytest.raises(DataError, match="feature schema ffffffffffff, expected"):
        deploy_members(MODELS, ResourceSettings(), store.root, {"rules": foreign.version})


def test_only_who_gains_from_a_gpu_gets_a_share_and_threads_are_capped() -> None:
    tcn, ridge = MODELS.members[1], MODELS.members[0]
    assert actor_options(tcn, ResourceSettings(torch_threads=2), 0.2)["num_gpus"] == 0.2
    on_cpu = actor_options(ridge, ResourceSettings(torch_threads=2), 0.2)
    assert on_cpu["num_gpus"] == 0.0
    assert on_cpu["runtime_env"]["env_vars"]["CUDA_VISIBLE_DEVICES"] == ""
    assert on_cpu["runtime_env"]["env_vars"]["OMP_NUM_THREADS"] == "2"
