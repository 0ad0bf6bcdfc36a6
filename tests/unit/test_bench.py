"""The benches' own arithmetic: rates, spreads, tables, and what is said when something could not be measured."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

import run
from tests.bench import backtest, lake
from tests.bench.backtest import Row
from tests.bench.execution import Judgement
from tests.bench.peers.protocol import MARK, peak_mb, timed
from tests.bench.support.anonymous import Watched, anonymous_mb
from tests.bench.support.environments import NotInstallable, _run, python_of
from tests.bench.support.processes import Failed, Timing, answer_of, measure
from tests.support.table import table


def took(*seconds: float, done: int = 1000) -> Timing:
    """Calls that had the processor for themselves."""
    return Timing(tuple((one, one) for one in seconds), done)


def test_a_timing_tells_median_rate_and_spread():
    timing = Timing.of([[4.0, 2.0], [9.0, 1.0], [5.0, 4.0]], 1000)
    assert (timing.wall, timing.rate) == (5.0, 200.0)
    assert (timing.used, timing.best, timing.rate_used, timing.spread) == (2.0, 1.0, 500.0, 150.0)


def test_calls_are_timed_one_by_one():
    given = iter(range(10))
    seconds, answer = timed(lambda: next(given), 3)
    assert (len(seconds), answer) == (3, 2)
    assert all(one >= 0.0 for pair in seconds for one in pair)
    assert peak_mb() > 10.0


HOLDER = """
import subprocess
import sys
import numpy as np
size = 40 * 2**20 // 8
print("ready", flush=True)
sys.stdin.readline()
if sys.argv[1] == "mapped":
    kept = np.memmap(sys.argv[2], dtype=np.float64, mode="w+", shape=size)
    kept[:] = 1.0
else:
    kept = np.ones(size)
for _ in range(20):
    kept += 1.0
print("done", flush=True)
sys.stdin.readline()
"""
"""Takes 40 MB when told to, works on them for as long as several looks last, and holds them until its input ends."""


def test_anonymous_memory_is_watched_from_outside_and_mapped_files_are_not_in_it(tmp_path):
    if not Path("/proc/self/status").exists():
        assert math.isnan(anonymous_mb(os.getpid()))
        return
    # A process of its own: this one may give memory back at any moment, which would hide what is taken.
    for kind, least, most in (("mapped", -1.0, 20.0), ("held", 35.0, 60.0)):
        command = [sys.executable, "-c", HOLDER, kind, str(tmp_path / "file")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdin is not None and holder.stdout is not None
            assert holder.stdout.readline() == "ready\n"
            before = anonymous_mb(holder.pid)
            with Watched(holder.pid) as seen:
                holder.stdin.write("go\n")
                holder.stdin.flush()
                assert holder.stdout.readline() == "done\n"
            holder.stdin.close()
        assert least < seen.peak_mb - before < most, kind


def test_the_bar_is_held_by_the_medians_of_all_calls_and_told_turn_by_turn():
    quick, slow = backtest.HELD_TO_BAR, "vectorbt"
    ours, theirs = [1.0] * 5 + [2.0] * 4 + [3.0], [10.0] * 5 + [30.0] * 5
    rows = {
        quick: Row(quick, "", took(*ours)),
        slow: Row(slow, "1", took(*theirs)),
    }
    assert backtest.held_to_bar(rows) == f"{quick}: 13.3 x vectorbt, bar 10: met (turn by turn 10.0, 15.0)"
    rows[slow] = Row(slow, "1", took(*[10.0] * 10))
    assert "6.7 x vectorbt, bar 10: not met (turn by turn 10.0, 5.0)" in backtest.held_to_bar(rows)
    rows[slow] = Row(slow, "", None, why="not installable")
    assert "not held against the bar" in backtest.held_to_bar(rows)
    assert "not held against the bar" in backtest.held_to_bar({})


def test_the_peers_table_is_sorted_by_rate_and_counts_in_vectorbts():
    rows = [
        Row("slow", "1.0", took(10.0, done=1000), 5, 100.0),
        Row("vectorbt", "2.0", took(1.0, 1.0, 1.2, done=1000), 5, 200.0),
        Row("ours", "", took(0.1, 0.1, done=1000), 5, 50.4),
        Row("absent", "", None, why="not installable here: no wheel"),
    ]
    lines = backtest.peer_lines(rows)
    assert [line[0] for line in lines] == ["ours", "vectorbt", "slow"]
    by_heading = [dict(zip(backtest.PEER_HEADINGS, line, strict=True)) for line in lines]
    assert [line["x vectorbt"] for line in by_heading] == [10.0, 1.0, 0.1]
    assert [line["calls"] for line in by_heading] == [2, 3, 1]
    assert by_heading[1]["spread %"] == pytest.approx(20.0)
    assert "vectorbt" in table(backtest.PEER_HEADINGS, lines)


def test_without_vectorbt_there_is_no_ratio():
    ((*_, ratio, _, _),) = backtest.peer_lines([Row("ours", "", took(0.1, done=10))])
    assert ratio == "-"


def test_turns_are_joined_and_a_failed_turn_loses_nothing():
    rows: dict[str, Row] = {}
    backtest._add(rows, "a", Row("a", "1", took(1.0, done=10), 5, 30.0))
    backtest._add(rows, "a", Row("a", "", None, why="failed: killed"))
    backtest._add(rows, "a", Row("a", "1", took(3.0, done=10), 5, 20.0))
    assert rows["a"].timing == took(1.0, 3.0, done=10)
    assert rows["a"].peak_mb == 30.0


def test_a_program_that_ran_another_strategy_is_named():
    rows = [Row(name, "", took(1.0, done=10), entries) for name, entries in (("raw limit", 1000), ("a", 1004))]
    assert backtest.other_entries(rows) == []
    assert backtest.other_entries([]) == []
    (said,) = backtest.other_entries([*rows, Row("b", "", took(1.0, done=10), 900)])
    assert said.startswith("b: 900 entries where 1000 were expected")


def test_answers_are_equal_to_what_the_order_of_adding_up_leaves():
    assert lake.same([1, [2.0, 3.0]], [1.0, [2.0 * (1 + 1e-12), 3.0]])
    assert not lake.same([1.0, 2.0], [1.0, 2.00001])
    assert not lake.same([1.0], [1.0, 2.0])


def test_a_line_of_the_lake_counts_the_minutes_of_its_job():
    told = {"seconds": [[2.0, 1.0], [1.0, 1.0], [3.0, 1.5]], "peak_mb": 150.0, "before_mb": 100.0}
    assert lake.row_of("walk", "dask", 10, 3, told) == ("walk", "dask", 10, 43_200, 2.0, 1.0, 21_600.0, 50)
    assert lake.row_of("day", "lake", 10, 3, told)[3] == 4320


def test_the_reported_line_is_found_among_what_a_library_prints():
    assert answer_of(f'banner\n{MARK}{{"bars": 1}}\n{MARK}{{"bars": 2}}\n', "", 0) == {"bars": 2}
    with pytest.raises(Failed, match="ValueError: no such thing"):
        answer_of("banner\n", "Traceback\nValueError: no such thing\n\n", 1)
    with pytest.raises(Failed, match="ended with code -9"):
        answer_of("", "", -9)


def test_a_measured_process_that_hangs_or_is_not_there_is_a_failure_not_a_crash():
    with pytest.raises(Failed, match="not done after"):
        measure([sys.executable, "-c", "import time; time.sleep(30)"], 0.3)
    with pytest.raises(Failed, match="No such file"):
        measure(["/nowhere/python"], 5.0)


def test_why_a_peer_can_not_be_installed_is_pips_own_reason(tmp_path):
    script = "print('Collecting x'); print('ERROR: No matching distribution for x'); print('more'); raise SystemExit(1)"
    with pytest.raises(NotInstallable, match=r"^No matching distribution for x$"):
        _run([sys.executable, "-c", script], tmp_path / "log", print)


def test_an_installed_peer_is_not_installed_again(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.bench.support.environments.REQUIREMENTS", {"hare": ("hare==1", "grass")})
    (tmp_path / "hare" / "bin").mkdir(parents=True)
    (tmp_path / "hare" / "bin" / "python").write_text("")
    (tmp_path / "hare" / "installed.txt").write_text("hare==1\ngrass")
    said: list[str] = []
    assert python_of(tmp_path, "hare", said.append) == tmp_path / "hare" / "bin" / "python"
    assert said == []


def test_scaling_is_time_per_doubling_even_between_uneven_points():
    told = {"points": [[5, 100, [[9.0, 1.0], [9.0, 1.1]]], [10, 100, [[9.0, 2.0]]], [40, 100, [[9.0, 8.0]]]]}
    lines = backtest.point_lines("x", {**told, "notes": ["1 fill", "2 fills", "8 fills"]}, rate=False)
    assert [line[-2] for line in lines] == ["-", 2.0, pytest.approx(2.0)]
    assert [line[-1] for line in lines] == ["1 fill", "2 fills", "8 fills"]
    assert [line[4] for line in lines] == [500.0, 500.0, 500.0]
    assert all(len(line) == len(backtest.SCALE_HEADINGS) for line in lines)
    ((*head, note),) = backtest.point_lines("x", {"points": [[5, 100, [[2.0, 1.0]]]], "notes": ["3 fills"]}, rate=True)
    assert head == ["x", 5, 100, 1, 2.0, 1.0, 0.0, 500.0]
    assert note == "3 fills"
    assert len(head) + 1 == len(backtest.RULE_HEADINGS)


def test_a_small_sample_that_says_nothing_sure_gets_no_verdict_and_the_default_does():
    missed = ["+0.10 bps against twap in the mean (its band holds 0)"]
    assert Judgement("wandering", 1.0, missed, 20, True).verdict == "too few to say: 20 parents, judged from 1,000 on"
    assert Judgement("wandering", 1.0, missed, 1_000, True).verdict.startswith("NOT MET: +0.10 bps")
    assert Judgement("wandering", 1.0, missed, 20, False).verdict.startswith("NOT MET"), "sure is sure"
    assert Judgement("wandering", 1.0, [], 1_000, True).verdict == "met"


def test_help_of_a_bench_is_its_own_and_a_count_of_nothing_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as stop:
        run.run("bench", ["execution", "--help"])
    assert stop.value.code == 0
    assert "--only-recording" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        run.run("bench", ["execution", "--parents", "0"])
    assert stop.value.code == 2
    assert "'0' is not a whole number from 1 on" in capsys.readouterr().err
    assert run.run("bench", ["all", "--help"]) == 0
    assert "execution    Implementation shortfall" in capsys.readouterr().out
