"""A share of a GPU: held to in memory, summing below one, and left for the CPU when it does not do.

No GPU is here: what torch would say of one is put in its place, at the boundary and nowhere else.
"""

from pathlib import Path

import numpy as np
import torch

from config.settings import ResourceSettings
from core.units import MINUTE_MS
from data.artifacts import ArtifactStore
from serve.gpu import DEVICE_VARIABLE, cap_memory, gpu_share, to_cpu
from serve.models.device import preferred
from serve.models.guard import Guarded
from serve.models.ridge import Ridge
from serve.models.tcn import Tcn
from serve.replica import MemberReplica, write_pin
from tests.support.markets import MINUTE
from tests.support.samples import made_up
from tests.support.served import WIDE, a_ridge, features, kept, replica_of


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
    assert (cap_memory(0.2, here), here.cuda.capped) == ("cuda", [0.2])
    assert (cap_memory(0.2, gone), gone.cuda.capped) == ("cpu", [])
    assert (cap_memory(0.0, here), here.cuda.capped) == ("cpu", [0.2])


def test_a_process_that_left_the_gpu_loads_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert preferred() == "cuda"
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert preferred() == "cpu"


class Hungry(Ridge):
    """Finds no memory on the GPU, at its first ``meals``."""

    def __init__(self, meals: int) -> None:
        super().__init__()
        self.meals = meals
        self.net = torch.nn.Linear(1, 1)
        self.device = torch.device("cuda")

    def forecast(self, features):
        if self.device.type == "cuda" and self.meals:
            self.meals -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return super().forecast(features)


def hungry() -> Hungry:
    member = Hungry(meals=1)
    member.__dict__ |= vars(a_ridge(5.0))
    return member


async def test_a_gpu_without_memory_in_mid_minute_costs_no_vote(tmp_path: Path):
    store = ArtifactStore(tmp_path / "artifacts")
    artifact = kept(store, a_ridge(5.0))
    replica = replica_of(store, artifact, tmp_path)
    expected, *_ = await replica.forecast(features(), MINUTE)
    (reign,) = replica._reigns
    replica._reigns = (type(reign)(hungry(), reign.version, 0),)
    mean, _, version, minute, _ = await replica.forecast(features(), MINUTE + MINUTE_MS)
    np.testing.assert_array_equal(mean, expected)
    assert (version, minute) == (artifact.version, MINUTE + MINUTE_MS)
    health = await replica.health()
    assert (health["moved"], health["device"]) == (1, "cpu")


def test_a_guarded_member_is_moved_with_what_it_guards():
    guarded = Guarded(hungry(), None)
    to_cpu(guarded)
    assert guarded.member.device.type == "cpu"


def test_a_version_that_does_not_fit_on_the_gpu_is_loaded_on_the_cpu(tmp_path: Path, monkeypatch):
    store = ArtifactStore(tmp_path / "artifacts")
    member = Tcn(steps=2, device="cpu")
    member.fit(made_up(5.0))
    artifact = kept(store, member)
    # Asked where to compute, torch says that there is a GPU; asked to move there, that it is full.
    monkeypatch.setenv(DEVICE_VARIABLE, "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    capped: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", capped.append)
    there = torch.nn.Module.to

    def full(self, device, *args, **more):
        if str(device) == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return there(self, device, *args, **more)

    monkeypatch.setattr(torch.nn.Module, "to", full)
    pin = tmp_path / "tcn.json"
    write_pin(pin, artifact.version)
    replica = MemberReplica("tcn", "tcn", str(store.root), str(pin), WIDE, 0.2)
    assert capped == [0.2]
    assert (replica.moved, replica._device) == (1, "cpu")
    assert replica._reigns[0].member.device.type == "cpu"
