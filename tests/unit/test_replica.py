"""A member's replica: one minute never hears two versions, and a version that must not serve never does."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from lightgbm.basic import LightGBMError

from core.units import MINUTE_MS
from data.artifacts import ArtifactStore
from serve.load_check import Bounds, Unfit, check, probe_features
from serve.models.registry import new_member
from serve.models.rules import ChartRules
from serve.replica import read_pin
from tests.support.markets import MINUTE
from tests.support.samples import made_up
from tests.support.served import WIDE, a_ridge, features, kept, replica_of


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


async def said(replica, number: int) -> str:
    return (await replica.forecast(features(), MINUTE + number * MINUTE_MS))[2]


async def test_a_version_taken_answers_from_the_next_minute_on_and_late_calls_hear_the_former(store, tmp_path):
    old, new = kept(store, a_ridge(5.0)), kept(store, a_ridge(-5.0))
    replica = replica_of(store, old, tmp_path)
    assert await said(replica, 0) == old.version
    assert await replica.take(new.version) == (new.version, MINUTE + MINUTE_MS)
    assert [await said(replica, n) for n in (0, 1, 0, 1, 2)] == [old.version, new.version, old.version] + [
        new.version
    ] * 2
    assert (await replica.health())["versions"] == [old.version, new.version]
    await said(replica, 3)
    assert (await replica.health())["versions"] == [new.version]


async def test_one_minute_hears_one_version_however_many_ask_while_versions_are_swapped(store, tmp_path):
    made = [kept(store, a_ridge(edge)) for edge in (5.0, -5.0, 3.0)]
    replica = replica_of(store, made[0], tmp_path)
    heard: list[tuple[int, str]] = []
    swapped = asyncio.Event()

    async def ask(number: int, elsewhere: bool) -> None:
        # As at the replica's door, which is a thread of its own.
        one = await (asyncio.to_thread(asyncio.run, said(replica, number)) if elsewhere else said(replica, number))
        heard.append((number, one))

    async def minutes() -> None:
        number = 0
        while not swapped.is_set() or heard[-1][1] != made[0].version:
            number += 1
            await asyncio.gather(
                *(ask(n, elsewhere) for n in (number, number - 1) for elsewhere in (True, False, True))
            )
            await asyncio.sleep(0.001)

    async def swap() -> None:
        for artifact in (made[1], made[2], made[0]):
            await asyncio.sleep(0.015)
            await replica.take(artifact.version)
        swapped.set()

    await asyncio.gather(minutes(), swap())
    by_minute: dict[int, set[str]] = {}
    for number, version in heard:
        by_minute.setdefault(number, set()).add(version)
    assert all(len(versions) == 1 for versions in by_minute.values())
    assert {version for _, version in heard} == {artifact.version for artifact in made}


async def test_a_replica_killed_in_mid_swap_comes_back_with_both_versions_and_their_minutes(store, tmp_path):
    old, new = kept(store, a_ridge(5.0)), kept(store, a_ridge(-5.0))
    replica = replica_of(store, old, tmp_path)
    await said(replica, 0)
    await replica.take(new.version)
    pin = read_pin(tmp_path / "ridge.json")
    assert pin == {"version": new.version, "from": MINUTE + MINUTE_MS, "before": old.version}
    again = type(replica)("ridge", "ridge", str(store.root), str(tmp_path / "ridge.json"), WIDE)
    assert [await said(again, n) for n in (0, 1)] == [old.version, new.version]


async def test_a_replica_that_has_forgotten_what_was_asked_is_told(store, tmp_path):
    old, new = kept(store, a_ridge(5.0)), kept(store, a_ridge(-5.0))
    replica = replica_of(store, old, tmp_path)
    assert await replica.take(new.version, MINUTE) == (new.version, MINUTE + MINUTE_MS)


@pytest.mark.parametrize(
    ("spoil", "said_of_it"),
    [
        (lambda member: setattr(member, "beta", member.beta * np.nan), "no vote: not finite"),
        (lambda member: setattr(member, "beta", member.beta + 1e6), "no vote: beyond belief"),
        (lambda member: setattr(member, "beta", member.beta[:5]), "failed: ValueError"),
    ],
)
async def test_a_version_that_must_not_serve_leaves_everything_as_it_is(store, tmp_path, spoil, said_of_it):
    good, bad = a_ridge(5.0), a_ridge(5.0)
    spoil(bad)
    old, broken = kept(store, good), kept(store, bad)
    replica = replica_of(store, old, tmp_path)
    with pytest.raises(Unfit, match=said_of_it):
        await replica.take(broken.version)
    assert await said(replica, 0) == old.version
    assert read_pin(tmp_path / "ridge.json")["version"] == old.version


async def test_foreign_damaged_and_unreadable_versions_are_named(store, tmp_path):
    old = kept(store, a_ridge(5.0))
    replica = replica_of(store, old, tmp_path)
    foreign = kept(store, a_ridge(4.0), schema="f" * 64)
    with pytest.raises(Unfit, match="feature schema ffffffffffff"):
        await replica.take(foreign.version)
    other = kept(store, a_ridge(3.0), family="tcn")
    with pytest.raises(Unfit, match="of family tcn"):
        await replica.take(other.version)
    cut = kept(store, a_ridge(2.0))
    (cut.path / "ridge.npz").write_bytes((cut.path / "ridge.npz").read_bytes()[:200])
    with pytest.raises(Unfit, match="damaged"):
        await replica.take(cut.version)
    nonsense = store.save(
        "model",
        "ridge",
        lambda folder: (folder / "ridge.npz").write_bytes(b"no archive") and None,
        family="ridge",
        schema=old.schema,
        span=(0, 1),
        instruments=(),
        seed=0,
        code="test",
    )
    with pytest.raises(Unfit, match="holds no ridge member that can be read"):
        await replica.take(nonsense.version)
    assert await said(replica, 0) == old.version


def test_too_slow_and_too_big_are_found_by_measure():
    member = a_ridge(5.0)
    with pytest.raises(Unfit, match="its deadline is 0 ms"):
        check(member, "v1", Bounds(deadline_ms=0.0, memory_mb=100_000))
    with pytest.raises(Unfit, match=r"MB with it, 1 are allowed"):
        check(member, "v1", Bounds(deadline_ms=5_000, memory_mb=1))
    assert 0 < check(member, "v1", WIDE).took_ms < 5_000


class Crashing(ChartRules):
    """Fails as told, once it is asked."""

    error: Exception

    def forecast(self, features):
        raise self.error


@pytest.mark.parametrize(
    "error", [AttributeError("no beta"), AssertionError("shapes"), MemoryError(), LightGBMError("91 features, not 90")]
)
def test_in_whatever_a_version_fails_it_is_unfit(error):
    """Past the check the error would look like a replica that is away: the version would be asked for for ever."""
    member = Crashing(15)
    member.error = error
    with pytest.raises(Unfit, match=f"v7: its probe forecast failed: {type(error).__name__}"):
        check(member, "v7", WIDE)


class Chummy(ChartRules):
    """Its answer for one instrument depends on the others."""

    def forecast(self, features):
        mean, stdev = super().forecast(features)
        return mean + features[:, -1, 0].mean() * 10.0, stdev


def test_a_member_whose_answer_depends_on_its_neighbours_is_found():
    with pytest.raises(Unfit, match="asked about alone"):
        check(Chummy(15), "v1", WIDE)


def test_the_probe_is_a_market_that_every_family_can_be_asked_about():
    assert np.isfinite(probe_features()).all()
    for family in ("rules", "sentiment"):
        member = new_member(family)
        member.fit(made_up(5.0))
        assert check(member, "v1", WIDE).version == "v1"
