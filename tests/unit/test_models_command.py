"""``run.py models``: what is listed, and what is said of names and versions that are not there."""

import argparse
import json
from pathlib import Path

import pytest

from core.errors import ConfigError, DataError
from core.features import features_told, schema_hash
from core.shadow import BlockScore
from data.artifacts import Artifact, ArtifactStore
from data.model_registry import ModelRegistry
from tune import models_command


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def keep(store: ArtifactStore, text: str, name: str = "ridge", schema: str = "", **metrics: float) -> Artifact:
    return store.save(
        "model",
        name,
        lambda folder: (folder / "beta").write_text(text) and None,
        family="ridge",
        schema=schema or schema_hash(),
        span=(0, 86_400_000),
        instruments=("binance:BTC/USDT",),
        seed=7,
        code="0.1.0",
        metrics=metrics,
    )


def models(tmp_path: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    models_command.arguments(parser)
    return models_command.main(parser.parse_args([*words, "--set", f"var_dir={tmp_path}"]))


def test_the_list_tells_place_span_schema_metrics_seed_and_size(tmp_path: Path, store: ArtifactStore, capsys):
    first = keep(store, "one", ic=0.031)
    keep(store, "three", ic=0.052)
    keep(store, "other features", schema="f" * 64)
    models(tmp_path, "promote", "ridge", "1", "--by", "ada", "--reason", "calm")
    capsys.readouterr()
    models(tmp_path, "list")
    text = capsys.readouterr().out
    for words in (first.version, "champion", "challenger", "1970-01-02 00:00", "0.031", "ffffffff (other)", "0.1.0"):
        assert words in text
    models(tmp_path, "list", "--json")
    told = json.loads(capsys.readouterr().out)
    assert [t["place"] for t in told] == ["champion", "challenger", ""]
    assert told[0]["bytes"] > 3
    assert (told[0]["seed"], told[0]["fits"], told[2]["fits"]) == (7, True, False)


def test_promoted_and_rolled_back_by_name_with_who_when_and_why(tmp_path: Path, store: ArtifactStore, capsys):
    first, second = keep(store, "one"), keep(store, "two")
    models(tmp_path, "promote", "ridge", "v0001", "--by", "ada")
    models(tmp_path, "promote", "ridge", second.version, "--by", "ada", "--reason", "newer bars")
    assert ModelRegistry.of(store).standing("ridge").champion == second.version
    models(tmp_path, "rollback", "ridge", "--by", "bob", "--reason", "it lost")
    assert ModelRegistry.of(store).standing("ridge").champion == first.version
    capsys.readouterr()
    models(tmp_path, "show", "ridge")
    text = capsys.readouterr().out
    assert f"promoted {second.version} by ada: newer bars" in text
    assert f"rolled back {first.version} by bob: it lost" in text


def test_two_versions_side_by_side_with_what_the_shadow_found(tmp_path: Path, store: ArtifactStore, capsys):
    first, second = keep(store, "one", ic=0.01), keep(store, "two", ic=0.02, shrink=0.5)
    pair = {"member": "ridge", "champion": first.version, "challenger": second.version}
    ModelRegistry.of(store).keep_scores([BlockScore(**pair, begins_ms=0, score=0.25, minutes=45)])
    models(tmp_path, "compare", "ridge", "1", "2")
    text = capsys.readouterr().out
    assert "0.02" in text
    assert "score +0.250" in text
    models(tmp_path, "promote", "ridge", "1")
    capsys.readouterr()
    models(tmp_path, "list")
    assert "score +0.250 a block over 45 minutes in 1 block, evidence 1.08 of 20 for 95 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "rigde"), r"no version of 'rigde'.*there are versions of ridge"),
        (("promote", "ridge", "v0009"), r"ridge has no version 'v0009'; there are v0001\."),
        (("compare", "ridge", "1", "v0001.ffffffff"), "no version 'v0001.ffffffff'"),
        (("rollback", "ridge"), "ridge never had a champion, so there is none to go back to; name one"),
    ],
)
def test_a_wrong_name_is_one_clear_line(tmp_path: Path, store: ArtifactStore, words: tuple[str, ...], said: str):
    keep(store, "one")
    with pytest.raises(ConfigError, match=said):
        models(tmp_path, *words)
    assert ModelRegistry.of(store).steps() == ()


def test_before_the_first_champion_there_is_none_to_go_back_to(tmp_path: Path, store: ArtifactStore):
    first = keep(store, "one")
    models(tmp_path, "promote", "ridge", "1")
    with pytest.raises(ConfigError, match=f"ridge has no champion before {first.version} to go back to"):
        models(tmp_path, "rollback", "ridge")


def test_the_champion_is_not_promoted_again(tmp_path: Path, store: ArtifactStore):
    keep(store, "one")
    models(tmp_path, "promote", "ridge", "1")
    with pytest.raises(ConfigError, match="champion of ridge already"):
        models(tmp_path, "promote", "ridge", "1")


def test_a_damaged_or_foreign_version_is_not_promoted(tmp_path: Path, store: ArtifactStore):
    (keep(store, "one").path / "beta").write_text("bent")
    keep(store, "two", schema="f" * 64)
    with pytest.raises(DataError, match="damaged"):
        models(tmp_path, "promote", "ridge", "1")
    with pytest.raises(DataError, match="feature schema ffffffffffff"):
        models(tmp_path, "promote", "ridge", "2")


def test_a_foreign_version_names_the_first_feature_that_differs(tmp_path: Path, store: ArtifactStore):
    ours = keep(store, "one")
    assert ours.features == features_told()
    meta = ours.path / "meta.json"
    stored = json.loads(meta.read_text())
    stored["schema"] = "f" * 64
    stored["features"][4] = "rsi_99, -1..1, looks back 99"
    meta.write_text(json.dumps(stored))
    here = features_told()[4]
    with pytest.raises(DataError, match=f"its feature 5 is 'rsi_99, -1..1, looks back 99', here '{here}'"):
        models(tmp_path, "promote", "ridge", "1")


def test_nothing_trained_says_how_to(tmp_path: Path, capsys):
    models(tmp_path, "list")
    assert "run.py train" in capsys.readouterr().out
