"""What a search found: steps on record, the gain of forecasts, and how trials compare."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from core.errors import DataError
from serve.models.base import TrainingSet
from tests.support.samples import made_up
from tune.auto import records
from tune.auto.judging import Judged, deflated, judge, objective, together, yardstick
from tune.auto.leaderboard import Finalist, Leaderboard, finalists_of, ranked, show
from tune.auto.records import FAILED_SCORE, Step

HOURS = 400


def step(family: str, number: int, ninths: int = 9, gain: float = 0.0, **changes: object) -> Step:
    hyper = {"number": number}
    told = {"status": "ok", "reason": "", "gain": gain, "stdev_gain": 0.0, "seconds": 2.0, "peak": 5, "folds": [gain]}
    return Step.of(records.key_of(family, hyper), family, hyper, ninths, told | changes)


def hours(gain: float, seed: int) -> np.ndarray:
    """(2, H) noise around a mean gain."""
    rng = np.random.default_rng(seed)
    return np.stack([np.arange(HOURS, dtype=np.float64), gain + rng.normal(scale=1e-3, size=HOURS)])


def board(*steps: Step) -> Leaderboard:
    series = {s.key: hours(s.gain, n) for n, s in enumerate(steps) if s.whole}
    return ranked({(s.key, s.ninths): s for s in steps}, series)


def test_more_learned_from_comes_first_then_the_score_and_failures_last():
    found = board(
        step("ridge", 1, gain=2e-3),
        step("tcn", 1, gain=3e-3),
        step("gru", 1, ninths=1, gain=9e-3),
        step("gru", 2, ninths=1, status="memory", reason="it took 3.1 GB of memory, a trial may have 2.8 GB"),
    )
    assert [(r.family, r.outcome, r.ninths) for r in found.rows] == [
        ("tcn", "whole", 9),
        ("ridge", "whole", 9),
        ("gru", "stopped", 1),
        ("gru", "memory", 0),
    ]
    assert found.trials == 4
    assert found.rows[3].score is None


def test_a_trial_that_failed_late_keeps_what_it_had_and_says_why():
    whole = step("tcn", 1, ninths=3, gain=1e-3)
    found = board(whole, step("tcn", 1, ninths=9, status="time", reason="the time of the search was over"))
    (row,) = found.rows
    assert (row.ninths, row.gain, row.outcome) == (3, 1e-3, "time")
    assert row.seconds == 4.0


def test_the_more_was_tried_the_less_a_gain_is_worth():
    series = hours(1.5e-4, 5)[1]
    chances = [deflated(series, [None] * count, count) for count in (1, 10, 1_000)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > 0.9
    assert chances[-1] < 0.5
    assert deflated(np.zeros(HOURS), [], 10) is None


def test_the_best_of_each_family_goes_to_the_end():
    found = board(*(step("ridge", n, gain=1e-3 * n) for n in range(1, 4)), step("tcn", 1, gain=5e-4))
    assert [(r.family, r.hyper["number"]) for r in finalists_of(found, 2)] == [("ridge", 3), ("tcn", 1)]
    assert [(r.family, r.hyper["number"]) for r in finalists_of(found, 3)] == [("ridge", 3), ("ridge", 2), ("tcn", 1)]
    # Worse than silence is no candidate, unless there is nobody else.
    assert [r.family for r in finalists_of(board(step("ridge", 1), step("tcn", 1, gain=-1e-3)), 3)] == ["ridge"]
    assert [r.family for r in finalists_of(board(step("tcn", 1, gain=-1e-3)), 3)] == ["tcn"]
    assert finalists_of(board(), 3) == ()
    assert finalists_of(board(step("tcn", 1, status="died", reason="its process ended by signal 9")), 3) == ()


def test_a_leaderboard_is_read_as_it_was_written_and_shown_with_its_reasons(tmp_path: Path):
    found = board(step("ridge", 1, gain=2e-3), step("tcn", 1, ninths=1, status="memory", reason="it took 3.1 GB"))
    finalist = Finalist(
        key=found.rows[0].key,
        member="ridge",
        version="v0001.aa",
        held_out={"gain": 1e-3, "ic": 0.1},
        net_pct=-0.5,
        trades=3,
        verdict="none",
    )
    whole = Leaderboard(
        rows=found.rows, trials=found.trials, pbo=found.pbo, finalists=(finalist,), verdict="none", reasons=("So.",)
    )
    path = tmp_path / "board.json"
    whole.save(path)
    assert Leaderboard.load(path) == whole
    said = io.StringIO()
    show(Console(file=said, width=80), whole)
    text = said.getvalue()
    assert "+20.00" in text
    assert "memory: 1 trial, e.g. tcn: it took 3.1 GB" in text
    assert "verdict: none" in text
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="not a leaderboard"):
        Leaderboard.load(path)


def test_steps_are_on_record_and_a_line_cut_off_counts_as_nothing(tmp_path: Path):
    first, second = step("ridge", 1, ninths=1, gain=1e-3), step("ridge", 1, ninths=3, gain=2e-3)
    records.append(tmp_path, first)
    with (tmp_path / records.FILE).open("a", encoding="utf-8") as file:
        file.write('{"key": "half')
    records.append(tmp_path, second)
    assert list(records.read(tmp_path).values()) == [first, second]
    assert records.read(tmp_path / "nowhere") == {}
    (tmp_path / records.FILE).write_text('{"folds": [], "key": "x"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 1 is no step"):
        records.read(tmp_path)


def test_a_failed_step_scores_far_below_any_forecast():
    assert step("tcn", 1, status="memory").score == FAILED_SCORE < objective(-0.5, -1.0)


def judged(mean: np.ndarray, data: TrainingSet, stdev: float = 20.0) -> Judged:
    return judge(mean, np.full(data.size, stdev), data, yardstick(data))


def test_silence_gains_nothing_knowledge_gains_and_error_loses():
    data = made_up(edge=10.0)
    known = 10.0 * data.last[:, 0]
    silent, right, wrong = judged(np.zeros(data.size), data), judged(known, data), judged(-known, data)
    assert silent.gain == 0.0
    assert not silent.series.any()
    assert right.gain > 0.05
    assert wrong.gain < -0.05
    assert judged(np.full(data.size, np.nan), data).gain == 0.0
    assert right.figures["ic"] > 0.3 > 0.0 > wrong.figures["ic"]


def test_of_two_that_are_silent_the_one_with_the_right_stdev_is_better():
    data = made_up(edge=0.0)
    good, bad = judged(np.zeros(data.size), data, 20.0), judged(np.zeros(data.size), data, 60.0)
    assert objective(good.gain, good.stdev_gain) > objective(bad.gain, bad.stdev_gain)
    # And never counts as much as knowing something.
    assert objective(1e-2, bad.stdev_gain) > objective(0.0, good.stdev_gain)


def test_parts_count_by_their_minutes():
    data = made_up(edge=10.0)
    small, large = data.between(0, 300), data.between(300, 1_500)
    parts = [judged(10.0 * d.last[:, 0], d) for d in (small, large)]
    whole = together(parts)
    assert whole.figures["n"] == data.size
    weighed = (parts[0].gain * small.size + parts[1].gain * large.size) / data.size
    assert whole.gain == pytest.approx(weighed)
    assert len(whole.series) == len(parts[0].series) + len(parts[1].series)
