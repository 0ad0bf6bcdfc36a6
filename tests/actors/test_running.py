"""Which run goes on here is known from its start on, so that it can be looked at and stopped before it trades."""

import argparse
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from actors.runs.running import find_run, noted, refuse_second
from actors.verbs import stop_command
from core.errors import BotError, NotRunning

ROOT = Path(__file__).resolve().parents[2]
STARTING = """
import signal, sys, time
from pathlib import Path
from actors.runs.running import noted
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with noted(Path(sys.argv[1]), "run-1", "paper"):
    print("noted", flush=True)
    time.sleep(60)
"""


def failing_start(runs: Path) -> None:
    with noted(runs, "run-1", "paper"):
        found = find_run(runs)
        assert (found.run_id, found.mode, found.redis_url) == ("run-1", "paper", "")
        with pytest.raises(BotError, match="a paper run goes on here already"):
            refuse_second(runs)
        raise BotError("Ray did not start")


def test_a_run_is_found_while_it_starts_and_forgotten_when_the_start_fails(tmp_path):
    with pytest.raises(BotError, match="Ray did not start"):
        failing_start(tmp_path / "runs")
    with pytest.raises(NotRunning, match="no bot is running here"):
        find_run(tmp_path / "runs")


def test_stop_ends_a_run_in_the_middle_of_its_start(tmp_path, capsys):
    child = subprocess.Popen(
        [sys.executable, "-c", STARTING, str(tmp_path / "runs")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "noted\n"
        # Reaped at once, as a shell would: else its pid lives on as a zombie's.
        threading.Thread(target=child.wait, daemon=True).start()
        args = argparse.Namespace(config_dir=None, overrides=[f"var_dir={tmp_path}"], timeout=20.0)
        assert stop_command.main(args) == 0
        assert child.wait(5) == 143
    finally:
        child.kill()
        child.stdout.close()
    said = capsys.readouterr().out
    assert f"(pid {child.pid}) to stop in the middle of its start" in said
    assert said.endswith("stopped\n")
    with pytest.raises(NotRunning):
        find_run(tmp_path / "runs")
