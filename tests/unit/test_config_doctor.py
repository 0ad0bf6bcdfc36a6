"""The doctor: each check tells good from bad and says what to do."""

import argparse
import json
import socket

import psutil
import pytest

from actors.verbs import doctor_checks as checks
from actors.verbs import doctor_command
from config import bootstrap
from config.load import load_settings
from core.errors import ConfigError

GB = 1e9


class FakeProcess:
    """What the doctor asks a process."""

    def __init__(self, pid: int, line: str, token: str | None, hidden: bool = False) -> None:
        self.pid, self._line, self._token, self._hidden = pid, line, token, hidden

    def cmdline(self) -> list[str]:
        return self._line.split()

    def environ(self) -> dict[str, str]:
        if self._hidden:
            raise psutil.AccessDenied(self.pid)
        return {"RAY_AUTH_TOKEN_PATH": self._token} if self._token else {}


@pytest.mark.parametrize(("available", "state"), [(12.0, "ok"), (4.5, "warn"), (2.0, "fail")])
def test_memory_is_judged_by_what_the_system_takes(available, state):
    check = checks.memory(16 * GB, available * GB)
    assert check.state == state
    assert f"{available:.1f} of 16.0 GB" in check.text
    assert bool(check.todo) == (state != "ok")


def test_python_and_cores():
    assert checks.python_version((3, 11, 7)).state == "ok"
    assert checks.python_version((3, 13, 0)).state == "warn"
    assert checks.cores(12).state == "ok"
    assert checks.cores(1).state == "warn"


def test_the_environment_must_be_made_from_this_lock(tmp_path):
    (tmp_path / "requirements.lock").write_text("a==1\n")
    folder = tmp_path / ".venv"
    bootstrap.python(folder).parent.mkdir(parents=True)
    bootstrap.python(folder).touch()
    assert checks.lock(tmp_path, folder).state == "warn"
    (folder / bootstrap.STAMPS[False]).write_text(bootstrap.locks_hash(tmp_path, dev=False))
    assert checks.lock(tmp_path, folder).state == "ok"


def test_disk_looks_at_the_nearest_folder_that_exists(tmp_path, monkeypatch):
    for free, state in ((50, "ok"), (5, "warn"), (0.2, "fail")):
        monkeypatch.setattr(checks.shutil, "disk_usage", lambda place, free=free: argparse.Namespace(free=free * GB))
        check = checks.disk(tmp_path / "var" / "not" / "yet")
        assert (check.state, check.text) == (state, f"{free:.1f} GB free at {tmp_path}")


def test_ray_must_be_the_locked_one(tmp_path):
    (tmp_path / "requirements.lock").write_text("numpy==1\nray==0.0.1\n")
    assert checks.ray_version(tmp_path).state == "warn"
    assert "0.0.1" in checks.ray_version(tmp_path).text
    assert checks.ray_version().state == "ok"


def test_leftovers_are_ours_only_by_the_token(tmp_path):
    token = tmp_path / "token"
    processes = [
        FakeProcess(11, "/x/raylet --head", str(token)),
        FakeProcess(12, "/x/gcs_server", str(token)),
        FakeProcess(13, "/x/raylet --head", "/somebody/elses/token"),
        FakeProcess(14, "/x/raylet --head", None),
        FakeProcess(15, "python train.py", str(token)),
        FakeProcess(16, "/x/raylet", str(token), hidden=True),
    ]
    check = checks.leftovers(token, False, processes)
    assert (check.state, check.todo) == ("warn", "end them: kill 11 12")
    assert checks.leftovers(token, True, processes).state == "ok"
    assert checks.leftovers(token, False, processes[2:]).state == "ok"


def test_a_port_is_free_taken_or_our_own(monkeypatch):
    def taken(self, address):
        raise OSError(98, "Address already in use")

    assert checks.port("dashboard", "127.0.0.1", 0, ours=False).state == "ok"
    monkeypatch.setattr(socket.socket, "bind", lambda self, address: None)
    assert checks.port("dashboard", "127.0.0.1", 8420, ours=False).text == "127.0.0.1:8420 is free"
    monkeypatch.setattr(socket.socket, "bind", taken)
    check = checks.port("dashboard", "127.0.0.1", 8420, ours=False)
    assert check.state == "warn"
    assert "dashboard.port" in check.todo
    assert "ray.dashboard_port" in checks.port("ray dashboard", "127.0.0.1", 8265, ours=False).todo
    assert checks.port("dashboard", "127.0.0.1", 8420, ours=True).state == "ok"


def test_a_key_file_that_others_may_read_fails_with_the_command(tmp_path):
    file = tmp_path / "api_keys.json"
    file.write_text("{}")
    file.chmod(0o644)
    check = checks.keys(file)
    assert check.state == "fail"
    assert "chmod 600" in check.text
    file.chmod(0o600)
    assert checks.keys(file).state == "ok"


@pytest.mark.parametrize("url", ["redis://me:hunter2@nowhere/0?nonsense=1", "http://me:hunter2@nowhere"])
def test_a_wrong_redis_address_fails_and_is_not_shown(url):
    check = checks.redis_server(url)
    assert check.state == "fail"
    assert "hunter2" not in check.text + check.todo


def test_settings_in_force_or_the_line_that_is_wrong():
    def broken():
        raise ConfigError("config.json: trade.invest_pct = 250")

    check, settings = checks.settings_valid(broken)
    assert (check.state, check.text, settings) == ("fail", "config.json: trade.invest_pct = 250", None)
    check, settings = checks.settings_valid(lambda: load_settings(environ={}))
    assert check.state == "ok"
    assert "ridge" in check.text


@pytest.mark.parametrize("failing", [True, False])
def test_the_verb_prints_each_line_and_its_remedy_and_exits_by_the_worst(monkeypatch, capsys, failing):
    worst = checks.fail("disk", "0.1 GB free", "free some") if failing else checks.warn("disk", "5 GB free", "look out")
    monkeypatch.setattr(doctor_command, "everything", lambda load: [checks.ok("python", "3.11.7"), worst])
    assert doctor_command.main(argparse.Namespace(json=False)) == int(failing)
    text = capsys.readouterr().out
    assert "ok    python          3.11.7\n" in text
    assert f"→ {worst.todo}\n" in text
    doctor_command.main(argparse.Namespace(json=True))
    assert json.loads(capsys.readouterr().out)[1]["state"] == worst.state
