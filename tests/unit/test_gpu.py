"""A share of a GPU: held to in memory, summing below one, and left for the CPU when it does not do.

No GPU is here: what torch would say of one is put in its place, at the boundary and nowhere else.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from config.settings import ResourceSettings
from core.units import MINUTE_MS
from data.artifacts import ArtifactStore
from serve.gpu import cap_memory, gpu_share
from serve.half import MEAN_BPS, STDEV_SHARE, HalfPrecision, halved
from serve.load_check import probe_features
from serve.models.guard import Guarded
from serve.models.tcn import Tcn
from serve.replica import MemberReplica, write_pin
from tests.support.markets import MINUTE
from tests.support.samples import made_up
from tests.support.served import WIDE, features, kept


def test_the_shares_of_all_members_sum_below_one():
    settings = ResourceSettings(gpu_fraction=0.2)
    assert gpu_share(settings, {"CPU": 4.0}) == 0.0
    assert gpu_share(settings, {"GPU": 1.0}) == 0.2
    assert gpu_share(ResourceSettings(gpu_fraction=0.0), {"GPU": 1.0}) == 0.0
    assert gpu_share(settings, {"GPU": 1.0}, members=0) == 0.0
    for members in range(1, 40):
        for fraction in (0.05, 0.2, 0.5, 1.0):
            assert members * gpu_share(ResourceSettings(gpu_fraction=fraction), {"GPU": 1.0}, members) <= 0.9


class FakeCuda:
    """What torch says of a GPU."""

    def __init__(self, there: bool) -> None:
        self.there = there
        self.capped: list[float] = []

    def is_available(self) -> bool:
        return self.there

    def set_per_process_memory_fraction(self, share: float) -> None:
        self.capped.append(share)


class FakeTorch:
    def __init__(self, there: bool = True) -> None:
        self.cuda = FakeCuda(there)


def test_the_share_is_a_cap_on_the_processes_memory():
    here, gone = FakeTorch(), FakeTorch(there=False)
    assert (cap_memory(0.2, here), here.cuda.capped) == (True, [0.2])
    assert (cap_memory(0.2, gone), gone.cuda.capped) == (False, [])
    assert (cap_memory(0.0, here), here.cuda.capped) == (False, [0.2])


@pytest.fixture
def full_gpu(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Asked whether there is a GPU, torch says yes; asked to move something there, that it is full. Gives the caps set."""
    capped: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", capped.append)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    there = torch.nn.Module.to

    def full(self, device, *args, **more):
        if str(device) == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return there(self, device, *args, **more)

    monkeypatch.setattr(torch.nn.Module, "to", full)
    return capped


async def test_a_version_that_does_not_fit_on_the_gpu_serves_from_the_cpu(tmp_path: Path, full_gpu: list[float]):
    store = ArtifactStore(tmp_path / "artifacts")
    member = Tcn(steps=2, device="cpu")
    member.fit(made_up(5.0))
    artifact = kept(store, member)
    pin = tmp_path / "tcn.json"
    write_pin(pin, artifact.version)
    replica = MemberReplica("tcn", "tcn", str(store.root), str(pin), WIDE, 0.2)
    assert full_gpu == [0.2]
    assert (await replica.health())["device"] == "cpu"
    mean, _, version, *_ = await replica.forecast(features(), MINUTE)
    np.testing.assert_array_equal(mean, member.forecast(features())[0])
    assert version == artifact.version
    newer = kept(store, member)
    assert await replica.take(newer.version) == (newer.version, MINUTE + MINUTE_MS)


@pytest.mark.filterwarnings("ignore:CUDA is not available")
async def test_a_gpu_that_fills_up_in_mid_minute_costs_no_minute_and_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    store = ArtifactStore(tmp_path / "artifacts")
    member = Tcn(steps=2, device="cpu")
    member.fit(made_up(5.0))
    artifact = kept(store, member)
    pin = tmp_path / "tcn.json"
    write_pin(pin, artifact.version)
    replica = MemberReplica("tcn", "tcn", str(store.root), str(pin), WIDE, 0.0)
    await replica.forecast(features(), MINUTE)
    # From here on it stands on a GPU that takes nothing more, in half precision, as a version that was tried would.
    serving = replica._reigns[-1].member
    serving.device = torch.device("cuda")
    object.__setattr__(replica._reigns[-1], "member", HalfPrecision(serving, torch, "cuda"))
    assert (await replica.health())["device"] == "cuda"
    there = torch.Tensor.to

    def full(self, device, *args, **more):
        if str(device) == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return there(self, device, *args, **more)

    monkeypatch.setattr(torch.Tensor, "to", full)
    for number in (1, 2):
        mean, stdev, version, minute, _ = await replica.forecast(features(), MINUTE + number * MINUTE_MS)
        np.testing.assert_array_equal(mean, member.forecast(features())[0])
        assert np.isfinite(stdev).all()
        assert (version, minute) == (artifact.version, MINUTE + number * MINUTE_MS)
    assert (await replica.health())["device"] == "cpu"
    assert [r.message for r in caplog.records].count(
        "tcn: the GPU's memory is full while forecasting; it goes on on the CPU"
    ) == 1


def test_half_precision_is_used_where_it_says_the_same_and_nowhere_else():
    member = Tcn(steps=30, device="cpu")
    member.fit(made_up(5.0))
    member.shrink = np.ones_like(member.shrink)
    # On the CPU torch halves to bfloat16, which is coarser than what a GPU takes: the rule is tried, no speed.
    half, found = halved(member, torch, "cpu")
    probe = probe_features()
    (mean, stdev), (half_mean, half_stdev) = member.forecast(probe), HalfPrecision(member, torch, "cpu").forecast(probe)
    assert not np.array_equal(mean, half_mean), "nothing was halved"
    apart, wider = np.abs(half_mean - mean).max(), np.abs(half_stdev / stdev - 1.0).max()
    assert (half is not member) == (apart <= MEAN_BPS and wider <= STDEV_SHARE)
    assert f"{apart:.3g} bps" in found
    # Ten times the opinion is ten times the error: beyond what is stated, it is left whole.
    member.shrink = np.full_like(member.shrink, 1e4)
    whole, found = halved(member, torch, "cpu")
    assert whole is member
    assert "not used" in found
    member.shrink = np.zeros_like(member.shrink)
    member.network.head.weight.data.zero_()
    half, found = halved(member, torch, "cpu")
    assert isinstance(half, HalfPrecision)
    assert half.horizon == member.horizon
    guarded, _ = halved(Guarded.taught(member, made_up(5.0)), torch, "cpu")
    assert isinstance(guarded, Guarded)
    assert isinstance(guarded.member, HalfPrecision)
    assert guarded.trust(probe).shape == (50,)
