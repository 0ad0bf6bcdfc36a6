"""Artifacts are written whole, found again, and refused when damaged or foreign."""

import json
from pathlib import Path

import pytest

from core.errors import DataError
from data.artifacts import META, Artifact, ArtifactStore


def keep(store: ArtifactStore, text: str = "beta", *, schema: str = "aaaa", end: int = 600_000) -> Artifact:
    return store.save(
        "model",
        "ridge",
        lambda folder: (folder / "weights.txt").write_text(text) and None,
        family="ridge",
        created_ms=1_000,
        schema=schema,
        span=(0, end),
        instruments=("binance:BTC/USDT",),
        seed=7,
        code="0.1.0",
        metrics={"ic": 0.03},
    )


def test_what_was_saved_is_loaded_with_its_description(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    saved = keep(store)
    loaded = store.load(saved.reference, schema="aaaa")
    assert loaded == saved
    assert loaded.version.startswith("v0001.")
    assert (loaded.path / "weights.txt").read_text() == "beta"


def test_versions_count_up_and_the_newest_is_taken(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    first, second = keep(store), keep(store, "gamma")
    assert [a.version for a in store.list()] == [first.version, second.version]
    assert store.load("model/ridge").version == second.version
    assert store.load("model/ridge/v0001").version == first.version


def test_equal_content_has_an_equal_digest(tmp_path: Path) -> None:
    a, b = keep(ArtifactStore(tmp_path / "a")), keep(ArtifactStore(tmp_path / "b"))
    assert a.version == b.version


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    (keep(store).path / "weights.txt").write_text("bent")
    with pytest.raises(DataError, match=r"weights\.txt: damaged"):
        store.load("model/ridge")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    (keep(store).path / "weights.txt").unlink()
    with pytest.raises(DataError, match=r"weights\.txt: missing"):
        store.load("model/ridge")


def test_another_feature_schema_is_refused_with_both_hashes(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    keep(store, schema="aaaa")
    with pytest.raises(DataError, match="feature schema aaaa, expected bbbb"):
        store.load("model/ridge", schema="bbbb")
    assert store.latest("model", "ridge", schema="bbbb") is None


def test_a_model_that_has_seen_the_test_period_is_not_taken(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    early, _late = keep(store, "early", end=600_000), keep(store, "late", end=900_000)
    found = store.latest("model", "ridge", ends_by=600_000)
    assert found is not None
    assert found.version == early.version


def test_a_writer_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        store.save(
            "model", "tcn", fail, family="tcn", created_ms=0, schema="", span=(0, 1), instruments=(), seed=0, code=""
        )
    assert store.latest("model", "tcn") is None
    assert list((tmp_path / "model" / "tcn").iterdir()) == []


def test_a_torn_description_is_named(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    path = keep(store).path / META
    path.write_text("{")
    with pytest.raises(DataError, match=r"meta\.json: not JSON"):
        store.load("model/ridge")
    path.write_text(json.dumps({"format": 99}))
    with pytest.raises(DataError, match="another version of this program"):
        store.load("model/ridge")


def test_nothing_stored_says_how_to_train(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"run\.py train"):
        ArtifactStore(tmp_path).load("model/ridge")


def test_a_version_that_is_not_there_is_named(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    keep(store)
    with pytest.raises(DataError, match="no such version"):
        store.load("model/ridge/v0002")
    with pytest.raises(DataError, match=r"holds version v0001\..*, expected v0001\.ffffffff"):
        store.load("model/ridge/v0001.ffffffff")


def test_a_name_cannot_leave_the_store(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot name an artifact"):
        ArtifactStore(tmp_path).latest("model", "../../etc")
