"""The registry: what a member's versions are, whatever happened, whoever wrote, and whenever a crash came."""

from pathlib import Path

import pytest

from core.champions import Standing, challengers, standing
from core.errors import DataError
from core.messages import ModelStep
from core.shadow import BlockScore
from data.artifacts import Artifact, ArtifactStore
from data.model_registry import ModelRegistry, fitting


def step(kind: str, version: str, at_ms: int = 1, member: str = "ridge") -> ModelStep:
    return ModelStep(kind=kind, member=member, version=version, by="test", why="", at_ms=at_ms)


def told(*steps: tuple[str, str]) -> Standing:
    return standing([step(kind, version, at) for at, (kind, version) in enumerate(steps, 1)], "ridge")


def keep(store: ArtifactStore, text: str, end: int = 10, schema: str = "ours") -> Artifact:
    return store.save(
        "model",
        "ridge",
        lambda folder: (folder / "beta").write_text(text) and None,
        family="ridge",
        schema=schema,
        span=(0, end),
        instruments=(),
        seed=0,
        code="",
    )


def begin_with(store: ArtifactStore, ends_by: int | None = None) -> str | None:
    found = fitting(store, "ridge", schema="ours", where=lambda a: True, ends_by=ends_by)
    return None if found is None else found.version.partition(".")[0]


def take(registry: ModelRegistry, kind: str, version: str) -> ModelStep | None:
    return registry.take("ridge", lambda now: step(kind, version, 0))


def test_a_promotion_is_watched_and_a_roll_back_puts_the_failed_one_out():
    now = told(("started", "v0001"), ("challenged", "v0002"), ("promoted", "v0002"))
    assert (now.champion, now.former, now.watched, now.challenged) == ("v0002", "v0001", True, ())
    back = now.after(step("rolled_back", "v0001"))
    assert (back.champion, back.former, back.watched, back.out) == ("v0001", "", False, {"v0002"})
    # A person may still want it.
    assert back.after(step("promoted", "v0002")).out == frozenset()


def test_roll_backs_go_back_along_the_champions_one_by_one():
    now = told(("started", "v0001"), ("promoted", "v0002"), ("confirmed", "v0002"), ("promoted", "v0003"))
    now = now.after(step("rolled_back", now.former))
    assert (now.champion, now.former) == ("v0002", "v0001")
    now = now.after(step("rolled_back", now.former))
    assert (now.champion, now.former, now.out) == ("v0001", "", {"v0002", "v0003"})


def test_the_newest_that_came_after_the_champion_and_is_not_out_challenges():
    stored = [f"v000{n}.aa" for n in range(1, 7)]
    now = told(("started", "v0002.aa"), ("rejected", "v0005.aa"))
    assert challengers(now, stored, 2) == ("v0006.aa", "v0004.aa")
    assert challengers(now, stored[:2], 2) == ()


def test_a_run_begins_with_the_champion_and_never_with_one_that_has_seen_its_future(tmp_path: Path):
    store = ArtifactStore(tmp_path)
    for text, end in (("a", 10), ("b", 20), ("c", 30)):
        keep(store, text, end)
    assert begin_with(store) == "v0003"
    take(ModelRegistry.of(store), "promoted", store.list()[1].version)
    assert begin_with(store) == "v0002"
    assert begin_with(store, ends_by=15) == "v0001"


def test_what_is_out_or_of_other_features_is_not_begun_with(tmp_path: Path):
    store, registry = ArtifactStore(tmp_path), ModelRegistry(tmp_path / "model")
    first, second = keep(store, "a"), keep(store, "b")
    foreign = keep(store, "c", schema="theirs")
    take(registry, "promoted", foreign.version)
    assert begin_with(store) == "v0002"
    take(registry, "rejected", second.version)
    assert begin_with(store) == first.version.partition(".")[0]


def test_a_step_that_a_crash_cut_off_never_happened(tmp_path: Path):
    registry = ModelRegistry(tmp_path)
    take(registry, "started", "v0001")
    before = registry.path.read_text()
    registry.path.write_text(before + before[:30])
    assert registry.standing("ridge").champion == "v0001"
    take(registry, "promoted", "v0002")
    assert [s.kind for s in registry.steps()] == ["started", "promoted"]
    assert all(s.at_ms > 1_600_000_000_000 for s in registry.steps())


def test_a_damaged_line_is_named(tmp_path: Path):
    registry = ModelRegistry(tmp_path)
    take(registry, "started", "v0001")
    registry.path.write_text("nonsense\n" + registry.path.read_text())
    with pytest.raises(DataError, match=r"registry\.jsonl: line 1: .*not JSON"):
        registry.steps()
    registry.path.write_text(registry.path.read_text().replace("nonsense\n", "").replace("started", "crowned"))
    with pytest.raises(DataError, match="'crowned' is no step"):
        registry.standing("ridge")


def test_a_rule_that_finds_nothing_to_do_writes_nothing(tmp_path: Path):
    registry = ModelRegistry(tmp_path)
    assert registry.take("ridge", lambda now: None) is None
    assert registry.stamp() == (0, 0)
    take(registry, "started", "v0001")
    assert registry.stamp() != (0, 0)


def test_a_block_that_two_runs_scored_counts_once(tmp_path: Path):
    registry = ModelRegistry(tmp_path)
    block = BlockScore(member="ridge", champion="a", challenger="b", begins_ms=0, score=0.25, minutes=40)
    registry.keep_scores([block])
    ModelRegistry(tmp_path).keep_scores([block])
    assert registry.scores() == (block,)
