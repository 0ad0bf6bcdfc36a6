"""When a version takes over and when one has to go: each rule alone."""

import pytest

from core.champions import Standing, standing
from core.messages import ModelStep
from core.params import ChampionSettings
from core.shadow import BlockScore, Evidence
from core.succession import next_step, opponents

SETTINGS = ChampionSettings(watch_minutes=900)
STORED = ("v0001", "v0002", "v0003", "v0004")


def told(*steps: tuple[str, str]) -> Standing:
    made = [ModelStep(kind=kind, member="m", version=version, at_ms=at) for at, (kind, version) in enumerate(steps, 1)]
    return standing(made, "m")


def evidence(score: float, blocks: int) -> Evidence:
    found = Evidence()
    for number in range(blocks):
        found = found.after(
            BlockScore(member="m", champion="", challenger="", begins_ms=number, score=score, minutes=45)
        )
    return found


def against(champion: str, challenger: str, score: float, blocks: int) -> dict:
    return {("m", champion, challenger): evidence(score, blocks)}


def happens(now: Standing, found: dict | None = None, *, stored=STORED[:2], silent=0, settings=SETTINGS):
    step = next_step("m", now, stored, found or {}, settings, silent)
    return None if step is None else (step.kind, step.version)


CHAMPION = told(("started", "v0001"))
CHALLENGED = told(("started", "v0001"), ("challenged", "v0002"))
PROMOTED = told(("started", "v0001"), ("challenged", "v0002"), ("promoted", "v0002"))


def test_a_newer_version_challenges_once():
    assert happens(CHAMPION) == ("challenged", "v0002")
    assert happens(CHALLENGED) is None
    assert happens(Standing()) is None
    assert opponents(CHAMPION, STORED, SETTINGS) == ("v0004", "v0003")


@pytest.mark.parametrize(("score", "blocks", "expected"), [(0.5, 3, None), (0.5, 30, "promoted"), (-0.5, 300, None)])
def test_it_takes_over_when_it_is_better_with_the_stated_confidence(score, blocks, expected):
    found = happens(CHALLENGED, against("v0001", "v0002", score, blocks))
    assert found == (expected and (expected, "v0002"))


def test_the_more_were_tried_the_more_one_must_show():
    found = evidence(0.3, 22)
    assert 20 < found.capital < 60
    alone = CHALLENGED
    third = told(("started", "v0001"), *(("challenged", v) for v in ("v0002", "v0003", "v0004")), ("rejected", "v0003"))
    third = third.after(ModelStep(kind="rejected", member="m", version="v0004"))
    assert happens(alone, {("m", "v0001", "v0002"): found}) == ("promoted", "v0002")
    assert happens(third, {("m", "v0001", "v0002"): found}, stored=STORED) is None


def test_where_a_person_decides_it_is_advised_once():
    settings = SETTINGS.model_copy(update={"promotion": "advise"})
    found = against("v0001", "v0002", 0.5, 30)
    assert happens(CHALLENGED, found, settings=settings) == ("advised", "v0002")
    advised = CHALLENGED.after(ModelStep(kind="advised", member="m", version="v0002"))
    assert happens(advised, found, settings=settings) is None


def test_a_champion_below_its_band_is_rolled_back_sooner_than_one_is_promoted():
    found = against("v0002", "v0001", 0.3, 16)
    assert happens(PROMOTED, found) == ("rolled_back", "v0001")
    assert happens(CHALLENGED, against("v0001", "v0002", 0.3, 16)) is None
    assert "below its band" in next_step("m", PROMOTED, STORED, found, SETTINGS).why


def test_a_champion_that_does_as_well_is_confirmed_after_its_watch():
    assert happens(PROMOTED, against("v0002", "v0001", 0.0, 19)) is None
    assert happens(PROMOTED, against("v0002", "v0001", 0.0, 20)) == ("confirmed", "v0002")


def test_a_watched_champion_that_stays_silent_is_rolled_back_and_an_old_one_is_not():
    assert happens(PROMOTED, silent=9) is None
    assert happens(PROMOTED, silent=10) == ("rolled_back", "v0001")
    assert happens(CHALLENGED, silent=10) is None
