"""A trial's process is held to its memory and time; whatever ends it is told in words."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from config.load import ROOT
from tune.auto.watch import Seen, Watch, end, note_path, over
from tune.auto.worker import Worker

MB = 1_000_000
ANSWERS = 'import json,sys\nfor line in sys.stdin: print(json.dumps({"done": {"status": "ok", "reason": "", "seconds": 0.1, "peak": 7, "asked": json.loads(line)["n"]}}), flush=True)'
GREEDY = "import sys, time\nsys.stdin.readline()\nheld = bytearray(300_000_000)\nfor at in range(0, len(held), 4096): held[at] = 1\ntime.sleep(60)"
TELLS = "import sys, time\nsys.stdin.readline()\nprint('{\"share\": 0.5}', flush=True)\ntime.sleep(60)"
SLOW = "import sys, time\nsys.stdin.readline()\ntime.sleep(60)"
CRASHES = "import os, signal, sys\nsys.stdin.readline()\nos.kill(os.getpid(), signal.SIGSEGV)"
LEAVES = "import sys\nsys.stdin.readline()\nsys.exit(3)"
FAR = 60.0


def worker(tmp_path: Path, program: str, limit: int = 1_000 * MB) -> Worker:
    return Worker(tmp_path, limit, 1, 0, program=("-c", program))


def ask(
    one: Worker, deadline: float = FAR, seconds: float = FAR, say: Callable[[float], None] = lambda share: None
) -> dict:
    return one.ask({"n": 1}, deadline=time.monotonic() + deadline, seconds=seconds, say=say)


def test_one_process_answers_one_question_after_the_other(tmp_path: Path):
    one = worker(tmp_path, ANSWERS)
    try:
        first = ask(one)
        pid = one._process.pid
        assert ask(one)["asked"] == 1
        assert one._process.pid == pid
        assert first["peak"] >= 7
    finally:
        one.close()
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(
    ("program", "status", "said"),
    [
        (GREEDY, "memory", "of memory, a trial may have 150 MB"),
        (SLOW, "time", "one step took longer than 1 s"),
        (CRASHES, "died", "its process ended by signal 11"),
        (LEAVES, "died", "its process ended with exit code 3"),
    ],
    ids=["greedy", "slow", "crashes", "leaves"],
)
def test_a_process_that_goes_too_far_is_ended_and_says_why(tmp_path: Path, program: str, status: str, said: str):
    one = worker(tmp_path, program, 150 * MB)
    told = ask(one, seconds=1.0)
    assert told["status"] == status
    assert said in told["reason"]
    assert one._process is None


def test_when_all_time_is_over_nobody_waits(tmp_path: Path):
    told = ask(worker(tmp_path, SLOW), deadline=0.2)
    assert (told["status"], told["reason"]) == ("time", "the time of the search was over")
    assert told["seconds"] < 5.0


def test_of_all_processes_together_the_largest_trial_is_ended():
    seen = [Seen(1, 900, trial=False), Seen(2, 300, trial=True), Seen(3, 400, trial=True)]
    assert over(seen, 1_600) == (1_600, None)
    assert over(seen, 1_500) == (1_600, Seen(3, 400, trial=True))
    assert over([Seen(1, 900, trial=False)], 100) == (900, None)


def test_the_watch_s_word_is_the_reason_of_the_trial(tmp_path: Path):
    # In the midst of its work: one that is dead before the question has another started for it.
    one = worker(tmp_path, TELLS)
    told = ask(one, say=lambda share: end(tmp_path, one._process.pid, "all processes together took too much"))
    assert (told["status"], told["reason"]) == ("memory", "all processes together took too much")
    end(tmp_path, 2**22 + 1, "nobody")
    assert not note_path(tmp_path, 2**22 + 1).exists()


def test_the_watch_sees_this_process(tmp_path: Path):
    watch = Watch(tmp_path, 10**15)
    watch.look()
    assert watch.peak >= psutil.Process().memory_info().rss * 0.5
    assert watch.ended == 0

    def full(total: int) -> None:
        raise OSError("No space left on device")

    # It goes on measuring all the same.
    watch = Watch(tmp_path, 10**15, full)
    watch.look()
    assert watch.now > 0


def test_a_real_trial_over_its_share_is_ended(tmp_path: Path):
    told = Worker(tmp_path, 60 * MB, 1, 0).ask({"do": "rung"}, deadline=time.monotonic() + FAR, seconds=FAR)
    assert told["status"] == "memory"
    assert "a trial may have 60 MB" in told["reason"]


def test_what_is_asked_for_at_once_beyond_the_share_is_refused_by_the_kernel():
    program = "from tune.auto.child import BESIDE_BYTES, hold\nhold(100_000_000)\ntry:\n    bytearray(BESIDE_BYTES + 200_000_000)\nexcept MemoryError:\n    print('refused')"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "refused\n"
