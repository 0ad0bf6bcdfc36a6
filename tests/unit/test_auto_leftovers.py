"""What a killed search left running is ended at the next start, and nobody else's process."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tune.auto.leftovers import FILE, end, note


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_who_is_on_the_note_is_ended(tmp_path: Path, sleeper: subprocess.Popen) -> None:
    note(tmp_path)
    assert end(tmp_path) >= 1
    assert not psutil.pid_exists(sleeper.pid)
    assert end(tmp_path) == 0


def test_a_number_given_to_somebody_else_is_left_alone(tmp_path: Path, sleeper: subprocess.Popen) -> None:
    made = psutil.Process(sleeper.pid).create_time()
    (tmp_path / FILE).write_text(json.dumps([(sleeper.pid, made - 5.0), (2**22 + 1, 1.0)]))
    assert end(tmp_path) == 0
    assert sleeper.poll() is None
    (tmp_path / FILE).write_text("{torn")
    assert end(tmp_path) == 0
