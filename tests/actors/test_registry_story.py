"""The registry's story: a challenger beats the champion in shadow, is promoted, fails, and is rolled back; all of it in
the record, and told."""

from pathlib import Path

import numpy as np
import pytest

from core.notices import text
from core.params import ChampionSettings
from core.units import MINUTE_MS
from data.records import read_records
from tests.support import markets
from tests.support.registry_story import Story
from tests.support.served import a_ridge

SETTINGS = ChampionSettings(watch_minutes=4_000, silent_minutes=5)


@pytest.fixture
async def story(tmp_path: Path) -> Story:
    return Story(tmp_path, SETTINGS)


async def test_better_in_shadow_promoted_made_to_fail_rolled_back_and_all_of_it_in_the_record(story: Story):
    flat = story.keep(a_ridge(0.0))
    await story.begin(flat)
    await story.minutes(5)
    skilled = story.keep(a_ridge(10.0))
    story.edge = 10.0
    promoted = await story.until("promoted", 800)
    assert (promoted.version, promoted.before, promoted.by) == (skilled.version, flat.version, "shadow")
    assert "better in shadow" in promoted.why
    await story.minutes(3)
    # Every part is started again: what they know of the watch lies on disk.
    story.recorder.close()
    await story.start_parts()
    story.edge = -10.0
    back = await story.until("rolled_back", 800)
    assert (back.version, back.before, back.by) == (flat.version, skilled.version, "shadow")
    assert "below its band" in back.why
    story.edge = 10.0
    await story.minutes(40)
    story.recorder.close()

    kinds = [step.kind for step in story.steps()]
    assert kinds == ["started", "challenged", "promoted", "serving", "rolled_back", "serving"]
    records = list(read_records(story.folder / "records"))
    assert len(records) == story.number, "a minute was lost"
    assert [step for record in records for step in record.models] == story.steps()
    # One version a minute, changing where the record says so and nowhere else.
    spoke = [record.votes[0].version for record in records]
    assert all(record.votes[0].spoke for record in records)
    changes = [n for n in range(1, len(spoke)) if spoke[n] != spoke[n - 1]]
    assert [spoke[n] for n in changes] == [skilled.version, flat.version]
    announced = [step.why for step in story.steps("serving")]
    assert [f"from {at(n)} UTC on" for n in changes] == announced
    told = {notice.key: notice for notice in story.notices}
    for kind in set(kinds):
        assert f"model_{kind}" in told
    assert told["model_rolled_back"].severity == "warning"
    assert skilled.version in text(told["model_rolled_back"], "ko")


def at(number: int) -> str:
    minute = (markets.MINUTE + number * MINUTE_MS) // MINUTE_MS % 1_440
    return f"{minute // 60:02d}:{minute % 60:02d}"


async def test_where_nothing_is_to_be_had_nobody_takes_over(story: Story):
    await story.begin(story.keep(a_ridge(0.0)))
    story.keep(a_ridge(10.0))
    await story.minutes(300)
    assert [step.kind for step in story.steps()] == ["started", "challenged"]


async def test_a_challenger_that_must_not_serve_is_out_and_never_votes(story: Story):
    flat = story.keep(a_ridge(0.0))
    await story.begin(flat)
    broken = a_ridge(10.0)
    broken.beta = broken.beta * np.nan
    bad = story.keep(broken)
    ahead = story.keep(a_ridge(10.0), span=(0, markets.MINUTE + 900 * MINUTE_MS))
    await story.minutes(3)
    (rejected,) = story.steps("rejected")
    assert (rejected.version, rejected.by) == (bad.version, "shadow")
    assert "not finite" in rejected.why
    # One that has learned from minutes to come is left alone until they have come.
    assert ahead.version not in {step.version for step in story.steps()}
    assert story.shadow.loaded == ()


async def test_a_promoted_version_that_loses_its_vote_is_put_back_within_minutes(story: Story):
    flat = story.keep(a_ridge(0.0))
    await story.begin(flat)
    story.keep(a_ridge(10.0))
    story.edge = 10.0
    await story.until("promoted", 800)
    await story.minutes(2)
    reign = story.handle.replica._reigns[-1]
    reign.member.forecast = lambda features: (np.full(len(features), np.nan), np.ones(len(features)))
    before = story.number
    back = await story.until("rolled_back", 20)
    assert story.number - before == 5
    assert (back.version, back.why) == (flat.version, "the champion lost its vote 5 minutes in a row")
    await story.minutes(2)
    story.recorder.close()
    records = list(read_records(story.folder / "records"))
    assert not records[before].votes[0].spoke
    assert records[-1].votes[0].spoke
    assert records[-1].votes[0].version == flat.version
