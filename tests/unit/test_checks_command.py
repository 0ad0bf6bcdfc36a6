"""``run.py check``: what it prints, and its exit code, on a small synthetic market."""

import argparse
import json
from pathlib import Path

import pytest

from core.errors import EXIT_FAILURE, EXIT_OK, ConfigError
from core.features import N_FEATURES
from data.synthetic import make_market, write_market
from data.synthetic_spec import SyntheticSpec
from tests.support import cheats
from tune import check_command
from tune.checks.subjects import features_subject
from tune.checks.warmup import our_features


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("var")
    write_market(make_market(SyntheticSpec(name="small", seed=5, days=2)), folder / "synth" / "small")
    return folder


def check(var: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    check_command.arguments(parser)
    code = check_command.main(parser.parse_args([*words, "--market", "small", "--set", f"var_dir={var}"]))
    return code, capsys.readouterr().out


def test_what_does_not_know_its_future_passes(var: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = check(var, capsys, "lookahead", "--only", "features", "--only", "bars", "--cuts", "2")
    assert code == EXIT_OK
    assert "features: ok" in out
    assert "no answer changed with its future" in out


def test_a_cheat_fails_the_command_and_is_named(
    var: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cheat = features_subject("mine", cheats.next_return)
    monkeypatch.setattr(check_command, "our_subjects", lambda *args, **options: (cheat,))
    code, out = check(var, capsys, "lookahead")
    assert code == EXIT_FAILURE
    assert "mine: 1 LEAKS" in out
    assert "mine: shifted_return of binance:BTC/USDT at" in out
    code, out = check(var, capsys, "lookahead", "--json")
    assert code == EXIT_FAILURE
    told = json.loads(out)
    assert [one["leaks"] for one in told["subjects"]] == [1]
    assert "it looks 1 bar ahead" in told["leaks"][0]


def test_look_backs_are_told_of_every_feature_with_the_other_venues(
    var: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = check(var, capsys, "warmup", "--json")
    told = json.loads(out)
    assert told["faults"] == []
    assert code == EXIT_OK
    assert len(told["features"]) == N_FEATURES
    premium = next(one for one in told["features"] if one["name"] == "premium_gap_60")
    assert premium["depends"] == premium["declared"], "seen, because the same coins trade at the other venue"


def test_a_look_back_that_is_not_what_it_declares_fails_the_command(
    var: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shorter = tuple(f for f in our_features() if f.name == "ret_15")
    monkeypatch.setattr(
        check_command, "our_features", lambda: tuple(type(f)(name=f.name, bars=f.bars - 1) for f in shorter)
    )
    code, out = check(var, capsys, "warmup")
    assert code == EXIT_FAILURE
    assert "ret_15: declares a look-back of 15 bars and depends on 16" in out


def test_a_name_that_is_nothing_is_refused(var: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="did you mean 'decisions'"):
        check(var, capsys, "lookahead", "--only", "desicions")
    with pytest.raises(ConfigError, match=r"'rsi_14' is nothing that is checked; there are: .*features"):
        check(var, capsys, "lookahead", "--only", "rsi_14")
