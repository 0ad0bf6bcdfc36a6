"""A member's replica in this process, reached as Serve's is: for tests of what happens around it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.features import N_FEATURES, SEQUENCE, schema_hash
from data.artifacts import Artifact, ArtifactStore
from serve.load_check import Bounds
from serve.models.base import Member
from serve.models.ridge import Ridge
from serve.replica import MemberReplica, write_pin
from tests.support.samples import made_up

WIDE = Bounds(deadline_ms=5_000, memory_mb=100_000)


class Call:
    """``handle.method.remote(...)``."""

    def __init__(self, method: Callable[..., Awaitable[Any]]) -> None:
        self.remote = method


class Handle:
    """What the bot uses of a Serve handle, over a replica in this process."""

    def __init__(self, replica: Any) -> None:
        self.replica = replica

    def __getattr__(self, name: str) -> Call:
        return Call(getattr(self.replica, name))


def a_ridge(edge: float) -> Ridge:
    """Has learned that about ``edge`` bps follow on each unit of feature 0; with 0, that nothing does."""
    member = Ridge()
    member.fit(made_up(edge))
    return member


def kept(store: ArtifactStore, member: Member, **changes: Any) -> Artifact:
    """A new version of it in the store."""
    usual = {
        "family": member.family,
        "schema": schema_hash(),
        "span": (0, 1),
        "instruments": (),
        "seed": 0,
        "code": "test",
        "extra": {"horizon": 15},
    }
    return store.save("model", member.family, member.save, **usual | changes)


def replica_of(
    store: ArtifactStore, artifact: Artifact, folder: Path, bounds: Bounds = WIDE, door: str = ""
) -> MemberReplica:
    """The replica that serves ``artifact``, as a new process would begin."""
    pin = folder / f"{artifact.name}.json"
    write_pin(pin, artifact.version)
    return MemberReplica(artifact.name, artifact.family, str(store.root), str(pin), bounds, door=door)


def features(rows: int = 2, seed: int = 2) -> np.ndarray:
    """(rows, L, F) standard normal."""
    return np.random.default_rng(seed).normal(size=(rows, SEQUENCE, N_FEATURES))
