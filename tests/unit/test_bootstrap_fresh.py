"""run.py on an empty folder, for real: it makes an environment, installs from a lock, continues inside it.

The lock names one tiny package that the test builds itself, so that no registry is asked.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from actors.verbs.doctor_checks import redis_server

ROOT = Path(__file__).resolve().parents[2]
OWN = (
    "run.py",
    "config/bootstrap.py",
    "config/bytecode.py",
    "config/parser.py",
    "config/pip_progress.py",
    "config/setup_faults.py",
    "config/numba_cache.py",
    "config/ray_environment.py",
    "core/errors.py",
)
"""All that runs before the environment is there."""
VERB = '''"""A verb that tells where it runs."""
import json, os, signal, sys, time
import lighthouse

HELP = "tells"
EXAMPLE = "python3 run.py status"

def arguments(parser):
    parser.add_argument("--wait", action="store_true")

def main(args):
    print(json.dumps({"prefix": sys.prefix, "light": lighthouse.LIGHT, "path": os.environ["PYTHONPATH"]}), flush=True)
    if args.wait:
        time.sleep(60)
    return 3
'''


def wheel(folder: Path, version: str) -> Path:
    """A package ``lighthouse`` of that version, as pip wants it."""
    path = folder / f"lighthouse-{version}-py3-none-any.whl"
    info = f"lighthouse-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("lighthouse.py", f"LIGHT = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: lighthouse\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "lighthouse.py,,\n")
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("project") / "a folder with blanks"
    for name in OWN:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for room in ("config", "core", "actors", "actors/verbs"):
        (root / room).mkdir(parents=True, exist_ok=True)
        (root / room / "__init__.py").touch()
    (root / "actors" / "verbs" / "status_command.py").write_text(VERB)
    (root / "wheels").mkdir()
    wheel(root / "wheels", "1.0")
    wheel(root / "wheels", "2.0")
    (root / "requirements.lock").write_text("# one package\nlighthouse==1.0\n")
    return root


def environ(root: Path, **more: str) -> dict[str, str]:
    """No registry at all: pip finds packages in the project's folder or nowhere."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "MINUTEHAND", "PYTHON", "VIRTUAL_ENV"))}
    return {
        **clean,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "1",
        "PIP_FIND_LINKS": (root / "wheels").as_uri(),
        **more,
    }


def go(root: Path, *words: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    base = sys._base_executable  # type: ignore[attr-defined]
    command = [base, str(root / "run.py"), *words]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd or root, env=environ(root, **more), timeout=120, check=False
    )


def test_the_whole_life_of_an_environment(project, tmp_path):
    """From nothing, then again, then with a changed lock, then after an install that was cut off."""
    first = go(project, "status", cwd=tmp_path)
    assert first.returncode == 3, first.stderr
    assert "Making the environment" in first.stdout
    assert "Installing 1 packages from requirements.lock" in first.stdout
    assert "installing" in first.stdout or "fetching" in first.stdout
    assert "Ready in" in first.stdout
    assert f'"prefix": "{project}/.venv", "light": "1.0", "path": "{project}"' in first.stdout

    again = go(project, "status")
    assert "Installing" not in again.stdout
    assert again.stdout.startswith('{"prefix"')

    command = [str(project / ".venv/bin/python"), str(project / "run.py"), "status"]
    inside = subprocess.run(command, capture_output=True, text=True, env=environ(project), check=False)
    assert inside.returncode == 3
    assert inside.stdout.startswith('{"prefix"')

    (project / "requirements.lock").write_text("# one package\nlighthouse==2.0\n")
    changed = go(project, "status")
    assert "Installing 1 packages" in changed.stdout
    assert '"light": "2.0"' in changed.stdout

    # Cut off in the middle: files are there, the metadata has no RECORD, the stamp was not written.
    site = next((project / ".venv").glob("lib/python3*/site-packages"))
    (site / "lighthouse-2.0.dist-info" / "RECORD").unlink()
    (site / "lighthouse.py").write_text("LIGHT = 'half")
    (project / ".venv" / "minutehand-runtime.stamp").unlink()
    resumed = go(project, "status")
    assert '"light": "2.0"' in resumed.stdout, resumed.stderr

    # Cut off even earlier: an environment without pip is made anew.
    shutil.rmtree(site / "pip")
    (project / ".venv" / "minutehand-runtime.stamp").unlink()
    anew = go(project, "status")
    assert "Making the environment" in anew.stdout
    assert '"light": "2.0"' in anew.stdout, anew.stderr


def test_two_starts_at_once_make_one_environment(project, tmp_path):
    command = [sys._base_executable, str(project / "run.py"), "status"]  # type: ignore[attr-defined]
    where = environ(project, MINUTEHAND_VENV=str(tmp_path / "shared venv"))
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=where) for _ in range(2)]
    said = [child.communicate(timeout=120)[0] for child in both]
    assert [child.returncode for child in both] == [3, 3]
    assert sum("Ready in" in text for text in said) == 1


def test_a_registry_that_does_not_answer(project, tmp_path):
    (tmp_path / "empty").mkdir()
    where = {"MINUTEHAND_VENV": str(tmp_path / "venv"), "PIP_FIND_LINKS": (tmp_path / "empty").as_uri()}
    done = go(project, "status", **where)
    assert done.returncode == 1
    assert "error: pip cannot reach its package registry. Check the network" in done.stderr
    log = project / "var" / "logs" / "setup.log"
    assert str(log) in done.stderr
    assert "No matching distribution found for lighthouse" in log.read_text()
    assert not list((tmp_path / "venv").glob("*.stamp"))


def test_a_place_that_cannot_hold_an_environment(project, tmp_path):
    (tmp_path / "file").touch()
    done = go(project, "status", MINUTEHAND_VENV=str(tmp_path / "file" / "venv"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot make ")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    done = go(project, "status", MINUTEHAND_VENV=str(tmp_path / "mine"))
    assert "is there but is no Python environment; move it away" in done.stderr
    assert (tmp_path / "mine" / "diary.txt").read_text() == "dear diary"


@pytest.mark.parametrize(("sent", "code", "said"), [(signal.SIGINT, 130, "stopped\n"), (signal.SIGTERM, 143, "")])
def test_signals_reach_the_verb_and_end_it_quietly(project, tmp_path, sent, code, said):
    command = [sys._base_executable, str(project / "run.py"), "status", "--wait"]  # type: ignore[attr-defined]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ(project))
    for line in child.stdout:
        if line.startswith("{"):
            break
    time.sleep(0.2)
    child.send_signal(sent)
    _, errors = child.communicate(timeout=20)
    assert (child.returncode, errors) == (code, said)


def test_help_and_wrong_verbs_install_nothing(project, tmp_path):
    where = {"MINUTEHAND_VENV": str(tmp_path / "never")}
    assert go(project, "--help", **where).returncode == 0
    assert go(project, "statsu", **where).returncode == 2
    assert not (tmp_path / "never").exists()


def test_the_packaged_redis_runs():
    """The doctor asks it, and it is there after an install."""
    check = redis_server("embedded")
    assert check.state == "ok"
    assert check.text.startswith("embedded, version 6.")
