"""The tuning log: every variant once, none forgotten."""

from pathlib import Path

import numpy as np
import pytest

from config.load import load_settings
from core.errors import DataError
from tests.support.histories import MEMBERS, history
from tune.scoring import judge
from tune.stats.sharpe import Trials
from tune.train import Span
from tune.trials import Trial, TrialLog, key_of
from tune.weights import trials_of, variations

BTC, ETH = "binance:BTC/USDT", "binance:ETH/USDT"


def trial(name: str, sharpe: float | None = 1.0, *instruments: str) -> Trial:
    return Trial(kind="weights", what=name, key=key_of(name), annual_sharpe=sharpe, instruments=instruments or (BTC,))


def test_a_variant_that_is_judged_again_is_no_new_trial(tmp_path: Path) -> None:
    log = TrialLog(tmp_path)
    assert log.append([trial("a"), trial("b", 2.0), trial("a", 9.0)]) == 2
    assert log.append([trial("a", 5.0)]) == 0
    assert TrialLog(tmp_path).append([trial("c", None)]) == 1
    assert log.sharpes() == (1.0, 2.0, None)
    assert [t.when_ms > 1_600_000_000_000 for t in log.read()] == [True] * 3


def test_trials_count_for_the_instruments_they_judged(tmp_path: Path) -> None:
    log = TrialLog(tmp_path)
    log.append([trial("a", 1.0, BTC), trial("b", 2.0, ETH), trial("c", 3.0, BTC, ETH)])
    assert log.sharpes([BTC]) == (1.0, 3.0)
    assert log.sharpes([ETH]) == (2.0, 3.0)
    assert Trials.of(log.sharpes()).count == 3


def test_a_line_that_a_crash_cut_off_counts_as_nothing_and_hides_nothing(tmp_path: Path) -> None:
    log = TrialLog(tmp_path)
    log.append([trial("a"), trial("b")])
    text = log.path.read_text()
    log.path.write_text(text + text.splitlines()[0][:40])
    assert len(log.read()) == 2
    log.append([trial("c")])
    assert [t.what for t in log.read()] == ["a", "b", "c"]


def test_a_line_that_is_no_trial_is_named(tmp_path: Path) -> None:
    log = TrialLog(tmp_path)
    log.append([trial("a"), trial("b"), trial("c")])
    lines = log.path.read_text().splitlines()
    log.path.write_text("\n".join([lines[0], '{"kind": "weights"}', lines[2]]) + "\n")
    with pytest.raises(DataError, match=r"trials\.jsonl: line 2 is no trial"):
        log.read()


def test_no_log_is_no_trial(tmp_path: Path) -> None:
    assert TrialLog(tmp_path).read() == ()
    assert TrialLog(tmp_path).append([]) == 0
    assert not TrialLog(tmp_path).path.exists()


def test_every_candidate_of_a_weight_search_is_a_trial(tmp_path: Path) -> None:
    settings, past = load_settings(environ={}), history()
    many = variations(np.tile([0.95, 0.05], (3, 1)), np.random.default_rng(0), 8)
    _, sharpes = judge(many, past, settings.rules.selection, 0.3)
    assert np.isfinite(sharpes).all()
    judged = [(key_of(np.round(c, 4).tolist()), float(s)) for c, s in zip(many, sharpes, strict=True)]
    members = tuple((name, "ridge") for name in MEMBERS)
    log, span = TrialLog(tmp_path), Span(first_minute=0, minutes=100)
    assert log.append(trials_of(judged, settings, members, span)) == 8
    assert log.append(trials_of(judged[:3], settings, members, Span(first_minute=0, minutes=200))) == 0
    other = load_settings(environ={}, overrides=["selection.entry_edge_bps=20"])
    assert log.append(trials_of(judged[:3], other, members, span)) == 3
