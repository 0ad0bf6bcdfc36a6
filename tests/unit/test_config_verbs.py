"""The verbs for developers: what they run, and what their exit code says."""

import argparse
import sys

import pytest

from tests import bench_command, check_command
from tests.support.table import table

BENCH = '''"""How fast a hare is.

More words.
"""
NAME = "hare"

def main(argv):
    print("ran", argv)
    return int("fail" in argv)
'''


@pytest.fixture
def benches(tmp_path):
    (tmp_path / "hare.py").write_text(BENCH)
    (tmp_path / "helper.py").write_text('"""No bench."""\nSPEED = 1\n')
    return tmp_path


def test_benches_are_found_by_their_name_without_running_them(benches):
    (benches / "broken.py").write_text('"""Needs a GPU."""\nimport nowhere\n\nNAME = "broken"\n')
    found = bench_command.find(benches)
    assert {name: bench.about for name, bench in found.items()} == {
        "hare": "How fast a hare is.",
        "broken": "Needs a GPU.",
    }


def test_a_wrong_name_suggests_the_near_one(benches):
    with pytest.raises(bench_command.UnknownBench, match="no benchmark 'haer'; did you mean 'hare'") as caught:
        bench_command.choose(bench_command.find(benches), "haer")
    assert caught.value.exit_code == 2


def test_a_bench_gets_the_rest_of_the_line_and_gives_its_code(benches, monkeypatch, capsys):
    monkeypatch.setattr(bench_command, "FOLDER", benches)
    monkeypatch.setattr(bench_command.importlib, "import_module", lambda name: _module(benches / "hare.py"))
    assert bench_command.main(argparse.Namespace(name=None, rest=[])) == 0
    assert capsys.readouterr().out == "hare  How fast a hare is.\n"
    assert bench_command.main(argparse.Namespace(name="hare", rest=["--runs", "3"])) == 0
    assert "ran ['--runs', '3']" in capsys.readouterr().out
    assert bench_command.main(argparse.Namespace(name="hare", rest=["fail"])) == 1
    assert bench_command.main(argparse.Namespace(name="all", rest=[])) == 0


def _module(path):
    names: dict = {}
    exec(path.read_text(), names)
    return argparse.Namespace(**names)


def test_every_bench_of_the_project_has_a_line_about_it():
    found = bench_command.find(bench_command.FOLDER)
    assert "startup" in found
    assert all(bench.about.endswith((".", "?")) for bench in found.values())


class Runs:
    """Stands in for ``subprocess.run``: fails what it is told to, remembers what it was asked."""

    def __init__(self, *failing: str) -> None:
        self.failing, self.asked = failing, []

    def __call__(self, command, **_):
        self.asked.append(command)
        return argparse.Namespace(returncode=int(any(word in " ".join(command) for word in self.failing)))


@pytest.mark.parametrize(
    ("failing", "code"), [((), 0), (("ruff",), 1), (("lint-imports",), 1), (("mypy",), 1), (("pytest",), 1)]
)
def test_the_test_verb_runs_everything_and_pytest_last(monkeypatch, capsys, failing, code):
    runs = Runs(*failing)
    monkeypatch.setattr(check_command.subprocess, "run", runs)
    assert check_command.main(argparse.Namespace(only_tests=False, rest=["-k", "config"])) == code
    assert [next(w for w in ("ruff", "lint-imports", "mypy", "pytest") if w in " ".join(c)) for c in runs.asked] == [
        "ruff",
        "lint-imports",
        "mypy",
        "pytest",
    ]
    assert runs.asked[-1][-2:] == ["-k", "config"]
    assert ("FAILED before the tests" in capsys.readouterr().out) == (bool(failing) and failing != ("pytest",))


def test_only_tests_skips_the_rest(monkeypatch):
    runs = Runs("ruff")
    monkeypatch.setattr(check_command.subprocess, "run", runs)
    assert check_command.main(argparse.Namespace(only_tests=True, rest=["-x"])) == 0
    assert len(runs.asked) == 1


def test_every_folder_of_tests_is_in_one_lane():
    lanes = check_command.lanes(check_command.ROOT)
    there = {f"tests/{p.parent.name}" for p in (check_command.ROOT / "tests").glob("*/test_*.py")}
    assert sorted(folder for lane in lanes for folder in lane) == sorted(there)
    assert "tests/unit" in lanes[0]
    assert "tests/ray" not in lanes[0]
    assert "tests/parity" not in lanes[0]


def test_the_lanes_are_summed_in_one_closing_line():
    first = "...\n===== 2 failed, 10 passed, 1 warning in 3.20s ====="
    second = "= 5 passed, 3 deselected, 2 warnings in 700.10s (0:11:40) =\n"
    assert check_command.closing_line([first, second], 701.0) == (
        "2 failed, 15 passed, 3 deselected, 3 warning in 701.00s"
    )
    assert check_command.closing_line(["a crash"], 1.0) == "no tests ran in 1.00s"


STAND_IN = """
import sys
bad = sys.argv[1] == sys.argv[-1]
print("= 1 failed in 0.01s =" if bad else "= 1 passed in 0.01s =")
sys.exit(bad)
"""
"""Speaks as pytest does, in a hundredth of its time; fails where the first word is also the last."""


@pytest.mark.parametrize("broken", ["unit", "ray", "chaos"])
def test_any_lane_can_fail_the_whole(monkeypatch, tmp_path, capsys, broken):
    for name in ("unit", "ray", "chaos"):
        (tmp_path / "tests" / name).mkdir(parents=True)
        (tmp_path / "tests" / name / "test_it.py").touch()
    monkeypatch.setattr(check_command, "ROOT", tmp_path)
    monkeypatch.setattr(check_command, "WAITING", (("ray",), ("chaos",)))
    monkeypatch.setattr(check_command, "PYTEST", (sys.executable, "-c", STAND_IN, f"tests/{broken}"))
    assert check_command.main(argparse.Namespace(only_tests=True, rest=[])) == 1
    assert "== 1 failed, 2 passed in" in capsys.readouterr().out.splitlines()[-1]


def test_a_table_lines_up():
    assert (
        table(("what", "ms"), [("a", 1.23456), ("long", 12345.6)])
        == "what      ms\n----  ------\na      1.235\nlong  12,346"
    )
