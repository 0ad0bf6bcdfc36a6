"""Live trading arms on a proven edge of these very rules, or on a person's exact words, which are written down."""

import json
from pathlib import Path

import pytest

from actors.runs.edge import JOURNAL, SENTENCE, describe, find_verdict, judge_edge, note_override
from actors.runs.findings import Finding, NotArmed
from actors.verbs.live_command import _in_file
from config.identity import rules_hash
from config.load import load_settings
from config.settings import Settings
from core.errors import EXIT_CONFIG, ConfigError, DataError
from core.notices import CATALOG
from data.artifacts import ArtifactStore
from data.journal import read_journal
from data.verdicts import StoredVerdict, keep_verdict

SETTINGS = load_settings(environ={})


def keep(var: Path, word: str, settings: Settings = SETTINGS, *, synthetic: bool = False) -> StoredVerdict:
    return keep_verdict(
        ArtifactStore(var / "artifacts"),
        rules_hash(settings),
        json.dumps({"word": word, "reasons": [f"Because it is {word}."], "figures": {}}),
        schema="s",
        span=(0, 60_000),
        instruments=settings.config.trade.instruments,
        seed=0,
        code="test",
        source="somewhere",
        synthetic=synthetic,
        members={"ridge": "v1"},
    )


def names(
    var: Path, *, stand_in: bool = False, sentence: str | None = None, settings: Settings = SETTINGS
) -> list[str]:
    return [f.name for f in judge_edge(var, settings, stand_in=stand_in, sentence=sentence)[0]]


def test_without_any_verdict_live_does_not_arm_and_says_how_to_get_one(tmp_path: Path) -> None:
    found, said = judge_edge(tmp_path, SETTINGS, stand_in=False, sentence=None)
    assert said.startswith("never judged")
    assert "--walk-forward" in found[0].text
    assert SENTENCE in found[0].text
    refused = NotArmed(found)
    assert (refused.names, refused.exit_code) == (("no_proven_edge",), EXIT_CONFIG)


@pytest.mark.parametrize(
    ("word", "refused"), [("edge", []), ("unproven", ["no_proven_edge"]), ("none", ["no_proven_edge"])]
)
def test_only_an_edge_arms(tmp_path: Path, word: str, refused: list[str]) -> None:
    keep(tmp_path, word)
    assert names(tmp_path) == refused
    assert f"Because it is {word}." in judge_edge(tmp_path, SETTINGS, stand_in=False, sentence=None)[1]


def test_the_newest_verdict_counts(tmp_path: Path) -> None:
    keep(tmp_path, "edge")
    keep(tmp_path, "none")
    assert names(tmp_path) == ["no_proven_edge"]
    keep(tmp_path, "edge")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "change", ["risk.max_order_pct=9", 'trade.instruments=["binance:BTC/USDT"]', "selection.entry_edge_bps=24"]
)
def test_an_edge_of_other_rules_or_instruments_proves_nothing(tmp_path: Path, change: str) -> None:
    keep(tmp_path, "edge", load_settings(environ={}, overrides=[change]))
    assert names(tmp_path) == ["no_proven_edge"]


def test_an_edge_on_a_made_up_market_counts_only_where_the_exchange_is_made_up(tmp_path: Path) -> None:
    keep(tmp_path, "edge", synthetic=True)
    assert names(tmp_path, stand_in=True) == []
    assert names(tmp_path, stand_in=False) == ["no_proven_edge"]


def test_a_person_may_take_it_on_with_the_exact_words(tmp_path: Path) -> None:
    keep(tmp_path, "none")
    assert names(tmp_path, sentence=SENTENCE) == []
    for near in ("yes", "", SENTENCE.lower(), SENTENCE + "."):
        with pytest.raises(ConfigError, match="these very words"):
            names(tmp_path, sentence=near)


def test_the_words_are_written_down_before_anything_is_traded(tmp_path: Path) -> None:
    for now in (1, 2):
        note_override(tmp_path / "live", SETTINGS, "77", "none (walk-forward on x)", now)
    entries = read_journal(tmp_path / "live" / JOURNAL)
    assert [kind for kind, _ in entries] == ["without_proven_edge"] * 2
    said = json.loads(entries[1][1])
    assert (said["at_ms"], said["account"], said["sentence"]) == (2, "77", SENTENCE)
    assert said["rules"] == rules_hash(SETTINGS)
    assert {"en", "ko"} == {k for k in ("en", "ko") if "{verdict}" in getattr(CATALOG["armed_without_edge"], k)}


def test_a_damaged_verdict_does_not_arm(tmp_path: Path) -> None:
    kept = keep(tmp_path, "edge")
    (kept.artifact.path / "verdict.json").write_text('{"word": "edge", "reasons": []}')
    assert names(tmp_path) == ["no_proven_edge"]
    with pytest.raises(DataError, match="damaged"):
        find_verdict(tmp_path, SETTINGS, stand_in=False)


def test_a_verdict_in_one_line() -> None:
    assert "no walk-forward" in describe(None)


def test_won_markets_are_sent_to_a_backtest_of_theirs_and_two_currencies_to_none(tmp_path: Path) -> None:
    won = load_settings(environ={}, overrides=['trade.instruments=["upbit:BTC/KRW"]'])
    text = judge_edge(tmp_path, won, stand_in=False, sentence=None)[0][0].text
    assert "backtest --exchange upbit --walk-forward --per-usdt KRW=NUMBER" in text and SENTENCE in text
    both = load_settings(environ={}, overrides=['trade.instruments=["binance:BTC/USDT","upbit:BTC/KRW"]'])
    text = judge_edge(tmp_path, both, stand_in=False, sentence=None)[0][0].text
    assert "--walk-forward" not in text
    assert "markets in KRW and USDT together there is no verdict" in text and SENTENCE in text


def test_faults_of_keys_are_faults_of_settings(tmp_path: Path) -> None:
    for name in ("no_keys", "key_file_open", "key_file_wrong", "keys_refused", "withdraw_right"):
        assert NotArmed([Finding(name=name, text="")]).exit_code == EXIT_CONFIG
    assert NotArmed([Finding(name="stale_lake", text="")]).exit_code == 1


def test_advice_names_the_key_file_that_was_given(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    assert _in_file("paste it into config/api_keys.json", file) == f"paste it into {file}"
