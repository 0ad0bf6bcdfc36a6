"""A champion named while the bot runs: taken over at a minute's boundary, or refused with its reason; all of it recorded."""

from pathlib import Path

import numpy as np
import pytest
from ray.exceptions import ActorDiedError

from actors.model_watch import ModelWatch, Served
from core.champions import PROMOTED
from core.messages import ModelStep
from core.units import MINUTE_MS
from data.artifacts import Artifact, ArtifactStore
from data.model_registry import ModelRegistry
from tests.support.markets import MINUTE
from tests.support.served import Call, Handle, a_ridge, features, kept, replica_of


class Bot:
    """A run with one member, and a person who promotes."""

    def __init__(self, folder: Path, crowns: bool = False) -> None:
        self.folder, self.crowns = folder, crowns
        self.store = ArtifactStore(folder / "artifacts")
        self.registry = ModelRegistry.of(self.store)
        self.old = kept(self.store, a_ridge(5.0))
        self.handle = Handle(replica_of(self.store, self.old, folder))
        self.number = 0
        self.watch = self.new_watch()

    def new_watch(self, **changes: object) -> ModelWatch:
        usual = {"horizon": 15, "run": "r1", "seen": self.folder / "seen.json", "crowns": self.crowns}
        return ModelWatch(self.store, {"ridge": Served(handle=self.handle, family="ridge")}, **usual | changes)

    def promote(self, artifact: Artifact) -> None:
        step = ModelStep(kind=PROMOTED, member="ridge", version=artifact.version, by="ada", why="newer")
        self.registry.take("ridge", lambda now: step)

    async def minute(self) -> str:
        """One minute's vote; the version that spoke."""
        minute = MINUTE + self.number * MINUTE_MS
        self.number += 1
        self.watch.minute = minute
        return (await self.handle.forecast.remote(features(), minute))[2]


@pytest.fixture
def bot(tmp_path: Path) -> Bot:
    return Bot(tmp_path)


def kinds(steps: tuple[ModelStep, ...]) -> list[str]:
    return [step.kind for step in steps]


async def test_a_promoted_version_speaks_from_the_next_minute_on_and_the_record_hears_of_it(bot: Bot):
    await bot.watch.begin()
    new = kept(bot.store, a_ridge(-5.0))
    assert await bot.minute() == bot.old.version
    bot.promote(new)
    await bot.watch.look()
    assert bot.watch.told(0) == (), "what a part tries itself on is recorded nowhere"
    assert kinds(bot.watch.told(MINUTE)) == ["promoted"]
    assert await bot.minute() == new.version
    await bot.watch.look()
    (serving,) = bot.watch.told(MINUTE)
    assert (serving.kind, serving.version, serving.before, serving.by) == (
        "serving",
        new.version,
        bot.old.version,
        "r1",
    )
    assert serving.why.startswith("from ")
    await bot.watch.look()
    assert bot.watch.told(MINUTE) == ()


async def test_a_version_that_fails_its_check_is_refused_and_the_registry_put_back(bot: Bot):
    await bot.watch.begin()
    broken = a_ridge(5.0)
    broken.beta = broken.beta * np.nan
    bad = kept(bot.store, broken)
    await bot.minute()
    bot.promote(bad)
    await bot.watch.look()
    await bot.watch.look()
    told = bot.watch.told(MINUTE)
    assert kinds(told) == ["promoted", "refused", "rolled_back"]
    assert "not finite" in told[1].why
    assert bot.registry.standing("ridge").champion == bot.old.version
    assert bad.version in bot.registry.standing("ridge").out
    assert await bot.minute() == bot.old.version


async def test_what_was_learned_from_minutes_to_come_or_for_another_horizon_is_not_taken_nor_put_out(bot: Bot):
    await bot.watch.begin()
    await bot.minute()
    ahead = kept(bot.store, a_ridge(4.0), span=(0, MINUTE + 60 * MINUTE_MS))
    bot.promote(ahead)
    await bot.watch.look()
    other = kept(bot.store, a_ridge(4.0), extra={"horizon": 5})
    bot.promote(other)
    await bot.watch.look()
    await bot.watch.look()
    told = bot.watch.told(MINUTE)
    assert kinds(told) == ["promoted", "refused", "promoted", "refused"]
    assert "not reached yet" in told[1].why
    assert "5 minutes ahead, the run 15" in told[3].why
    assert bot.registry.standing("ridge").champion == other.version
    assert await bot.minute() == bot.old.version


async def test_a_replica_that_is_away_is_asked_again(bot: Bot):
    await bot.watch.begin()
    new = kept(bot.store, a_ridge(-5.0))
    bot.promote(new)
    there = bot.handle.replica.version

    async def gone() -> str:
        raise ActorDiedError

    bot.handle.version = Call(gone)
    await bot.watch.look()
    assert kinds(bot.watch.told(MINUTE)) == ["promoted"]
    bot.handle.version = Call(there)
    await bot.watch.look()
    assert await bot.minute() == new.version


async def test_a_watch_that_is_started_again_goes_on_where_it_stood(bot: Bot):
    await bot.watch.begin()
    new = kept(bot.store, a_ridge(-5.0))
    bot.watch = bot.new_watch()
    bot.promote(new)
    await bot.watch.begin()
    assert kinds(bot.watch.told(MINUTE)) == ["promoted"]
    assert await bot.minute() == new.version
    bot.watch = bot.new_watch()
    await bot.watch.begin()
    assert kinds(bot.watch.told(MINUTE)) == ["serving"]


async def test_a_run_without_a_champion_names_those_it_begins_with(tmp_path: Path):
    bot = Bot(tmp_path, crowns=True)
    await bot.watch.begin()
    assert bot.registry.standing("ridge").champion == bot.old.version
    (step,) = bot.registry.steps("ridge")
    assert (step.kind, step.by) == ("started", "start")


async def test_a_replay_with_a_model_of_then_says_nothing_about_the_champion_of_now(bot: Bot):
    new = kept(bot.store, a_ridge(-5.0), span=(0, MINUTE + 60 * MINUTE_MS))
    bot.promote(new)
    bot.watch = bot.new_watch(first_minute=MINUTE)
    await bot.watch.begin()
    assert bot.watch.told(MINUTE) == ()
    assert await bot.minute() == bot.old.version
    assert kinds(bot.registry.steps()) == ["promoted"]
