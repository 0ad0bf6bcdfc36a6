"""Which paper run lets live trading begin."""

from dataclasses import replace

import pytest

from actors.runs.run_mark import RunMark, find_paper_run, leave_mark
from config.identity import rules_hash
from config.load import load_settings

MARK = RunMark(
    run_id="r1",
    mode="paper",
    rules_hash="abc",
    stand_in=False,
    minutes=60,
    missed=1,
    differences=0,
    ended_ms=1_000,
)


def leave(runs, mark):
    folder = runs / mark.run_id
    folder.mkdir(parents=True)
    leave_mark(folder, mark)


def test_the_newest_paper_run_with_these_settings_counts(tmp_path):
    leave(tmp_path, MARK)
    leave(tmp_path, replace(MARK, run_id="r2", ended_ms=2_000))
    assert find_paper_run(tmp_path, "abc", stand_in=False).run_id == "r2"
    assert find_paper_run(tmp_path, "abd", stand_in=False) is None
    assert find_paper_run(tmp_path / "absent", "abc", stand_in=False) is None


@pytest.mark.parametrize("change", [{"mode": "replay"}, {"minutes": 0}, {"differences": 1}, {"stand_in": True}])
def test_a_run_that_proves_nothing_does_not_count(tmp_path, change):
    leave(tmp_path, replace(MARK, **change))
    assert find_paper_run(tmp_path, "abc", stand_in=False) is None


def test_on_a_stand_in_paper_on_a_stand_in_counts(tmp_path):
    leave(tmp_path, replace(MARK, stand_in=True))
    assert find_paper_run(tmp_path, "abc", stand_in=True) is not None


def test_a_damaged_mark_counts_for_nothing(tmp_path):
    leave(tmp_path, MARK)
    (tmp_path / "r1" / "end.json").write_text('{"mode": "paper"}')
    assert find_paper_run(tmp_path, "abc", stand_in=False) is None


def test_the_hash_follows_what_is_traded_and_nothing_else():
    plain = rules_hash(load_settings(environ={}))
    assert plain == rules_hash(load_settings(environ={}, overrides=["dashboard.port=0", "logs.level=DEBUG"]))
    assert plain != rules_hash(load_settings(environ={}, overrides=["risk.max_order_pct=9"]))
    assert plain != rules_hash(load_settings(environ={}, overrides=["trade.invest_pct=29"]))
