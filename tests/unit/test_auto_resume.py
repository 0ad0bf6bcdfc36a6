"""What is on record is not done again, and a killed search leaves no process of a trial behind."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from config.load import ROOT
from tune.auto.records import read
from tune.auto.search import LISTENERS, Reporter, Standing
from tune.auto.space import FAMILY
from tune.auto.task import NINTHS
from tune.auto.trial import SearchTrial

CONFIG = {FAMILY: "ridge", "ridge.penalty": 0.5}
ASKS = """
import sys, time
from pathlib import Path
from tune.auto.worker import Worker
program = ("-c", "import os, sys, time\\nsys.stdin.readline()\\nprint(os.getpid(), file=sys.stderr, flush=True)\\ntime.sleep(60)")
Worker(Path(sys.argv[1]), 10**9, 1, 0, program).ask({}, deadline=time.monotonic() + 60, seconds=60)
"""


class FakeWorker:
    """Answers at once, and counts."""

    def __init__(self, *answers: dict) -> None:
        self.answers, self.asked = list(answers), []

    def ask(self, question: dict, **limits: float) -> dict:
        self.asked.append(question["ninths"])
        return {"seconds": 1.0, "peak": 5, "reason": ""} | self.answers.pop(0)


def started(folder: Path, worker: FakeWorker) -> SearchTrial:
    trial = object.__new__(SearchTrial)
    trial.setup(dict(CONFIG), str(folder), 10**9, 1, 0, time.monotonic() + 60, 60.0)
    trial._worker = worker
    return trial


def good(gain: float) -> dict:
    return {"status": "ok", "gain": gain, "stdev_gain": 0.0}


def test_a_trial_that_is_begun_again_repeats_no_step(tmp_path: Path):
    first = started(tmp_path, FakeWorker(good(1e-3), good(2e-3)))
    told = [first.step(), first.step()]
    # Killed here: another process begins the same trial from its first rung.
    again = FakeWorker(good(3e-3))
    second = started(tmp_path, again)
    assert [second.step(), second.step()] == told
    last = second.step()
    assert again.asked == [NINTHS[2]]
    assert (last["score"], last["done"]) == (3e-3, True)
    assert [step.gain for step in read(tmp_path).values()] == [1e-3, 2e-3, 3e-3]


def test_a_step_that_failed_ends_its_trial_and_is_tried_again_by_the_next_start(tmp_path: Path):
    told = started(tmp_path, FakeWorker({"status": "time", "reason": "the time of the search was over"})).step()
    assert told["done"]
    assert told["status"] == "time"
    again = FakeWorker(good(1e-3))
    assert started(tmp_path, again).step()["status"] == "ok"
    assert again.asked == [NINTHS[0]]


def test_the_best_that_is_told_is_the_leaderboard_s_gain_not_what_breaks_ties():
    @dataclass
    class Trial:
        last_result: dict
        status: str = "TERMINATED"

    def result(score: float, gain: float, ninths: int) -> dict:
        return {"status": "ok", "score": score, "gain": gain, "ninths": ninths}

    trials = [
        Trial(result(9e-4, 8e-4, 3)),
        Trial(result(1.24e-4, 0.95e-4, 9)),
        Trial(result(1.1e-4, 1.0e-4, 9), "RUNNING"),
    ]
    trials.append(Trial({"status": "memory", "score": 5.0, "gain": 5.0, "ninths": 9}))
    heard = []
    LISTENERS["here"] = heard.append
    try:
        Reporter("here").on_step_end(1, trials)
    finally:
        del LISTENERS["here"]
    assert heard == [Standing(done=3, running=1, best=0.95e-4, ninths=9)]


def test_a_trial_s_process_ends_with_who_asked(tmp_path: Path):
    asking = subprocess.Popen([sys.executable, "-c", ASKS, str(tmp_path)], cwd=ROOT)
    log, until = tmp_path / "trials.log", time.monotonic() + 30.0
    while not (log.exists() and log.read_text().strip().isdigit()) and time.monotonic() < until:
        asking.poll()
    trial = psutil.Process(int(log.read_text()))
    os.kill(asking.pid, signal.SIGKILL)
    asking.wait()
    trial.wait(timeout=10.0)
    assert not trial.is_running()
