"""Compiled modules are kept where nobody may write them beside the sources, and a person's own choice stands."""

import importlib.util
import math
import os
import py_compile
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from config import bytecode
from config.bytecode import EVERY_S, FORBIDS, FOREIGN_S, PREFIX, UNFINISHED_S, bytecode_root, start_tidying, tidy

ROOT = Path(__file__).resolve().parents[2]
CHILD = "import sys, lantern; print(lantern.__cached__)"
PARENT = f"""
import subprocess, sys
from pathlib import Path
from config.bytecode import prepare_bytecode
print(prepare_bytecode(Path(sys.argv[1])))
sys.path.insert(0, sys.argv[1])
import beacon
print(Path(beacon.__cached__).exists())
subprocess.run([sys.executable, "-c", {CHILD!r}], cwd=sys.argv[1], check=True)
"""


def begin(root: Path, **variables: str) -> tuple[list[str], list[Path]]:
    """A process that prepares and imports, and a child of its own that imports: its words, and the files there then."""
    for name in ("beacon", "lantern"):
        (root / f"{name}.py").write_text("LIGHT = 1\n")
    clean = {name: value for name, value in os.environ.items() if name not in (FORBIDS, PREFIX)}
    environ = {**clean, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **variables}
    command = [sys.executable, "-c", PARENT, str(root)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), sorted(root.rglob("*.pyc"))


def test_what_may_not_lie_beside_the_sources_is_compiled_once_all_the_same(tmp_path: Path) -> None:
    (said, kept, of_child), files = begin(tmp_path, **{FORBIDS: "1"})
    home = bytecode_root(tmp_path)
    assert said == str(home)
    assert kept == "True", "also of the process that was told to keep nothing when it began"
    assert Path(of_child) in files
    assert {path.name.partition(".")[0] for path in files} >= {"beacon", "lantern"}
    assert all(home in path.parents for path in files)


@pytest.mark.parametrize("chosen", [{}, {PREFIX: "elsewhere"}, {PREFIX: "elsewhere", FORBIDS: "1"}])
def test_a_choice_of_the_user_stands(tmp_path: Path, chosen: dict[str, str]) -> None:
    elsewhere = tmp_path / "elsewhere"
    given = {name: str(elsewhere) if name == PREFIX else value for name, value in chosen.items()}
    (said, kept, of_child), files = begin(tmp_path, **given)
    assert said == "None"
    assert not bytecode_root(tmp_path).exists()
    assert (kept == "True") == bool(files) == (FORBIDS not in chosen)
    assert (elsewhere in Path(of_child).parents) == (PREFIX in chosen)


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[Path, Path]]:
    """Gives how to make a source under ``tmp_path`` with its module in the folder of ours: both paths."""
    monkeypatch.setattr(sys, "pycache_prefix", str(bytecode_root(tmp_path)))

    def make(name: str) -> tuple[Path, Path]:
        source = tmp_path / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text("LIGHT = 1\n")
        kept = Path(importlib.util.cache_from_source(source))
        py_compile.compile(str(source), cfile=str(kept), doraise=True)
        return source, kept

    return make


NOW = 2e9


def age(path: Path, seconds: float) -> Path:
    """The file, made if it is not there, written that long before ``NOW``."""
    path.touch()
    os.utime(path, (NOW - seconds,) * 2)
    return path


def test_what_has_lost_its_source_goes_with_its_folder_and_all_else_stays(tmp_path: Path, compiled) -> None:
    home = bytecode_root(tmp_path)
    there, gone, moved, dotted = map(
        compiled, ("new/lamp.py", "new/wick.py", "old/lib/deep/flame.py", "new/two.words.py")
    )
    gone[0].unlink()
    moved[0].unlink()
    for folder in (moved[0].parent, *list(moved[0].parents)[1:3]):
        folder.rmdir()
    tested = age(there[1].with_name(f"lamp.{sys.implementation.cache_tag}-pytest-8.1.1.pyc"), 2 * FOREIGN_S)
    letter = age(moved[1].with_name("letter.txt"), 2 * FOREIGN_S)
    assert tidy(home, NOW, math.inf)
    assert not gone[1].exists() and not moved[1].exists()
    assert there[1].exists() and dotted[1].exists() and tested.exists()
    assert letter.exists(), "nobody compiled it"
    letter.unlink()
    assert tidy(home, NOW, math.inf)
    assert not letter.parents[2].exists(), "empty folders go"
    assert there[1].parent.exists()


def test_modules_of_another_interpreter_and_halves_go_when_they_are_old(tmp_path: Path, compiled) -> None:
    _, kept = compiled("lamp.py")
    age(kept, 2 * FOREIGN_S)
    files = [
        age(kept.with_name("lamp.cpython-27.pyc"), FOREIGN_S + 60),
        age(kept.with_name("lamp.cpython-26.pyc"), FOREIGN_S - 60),
        age(kept.with_name(f"{kept.name}.140234"), UNFINISHED_S + 60),
        age(kept.with_name(f"{kept.name}.140235"), UNFINISHED_S - 60),
    ]
    assert tidy(bytecode_root(tmp_path), NOW, math.inf)
    assert kept.exists()
    assert [path.exists() for path in files] == [False, True, False, True]


def test_where_the_sources_cannot_be_listed_nothing_goes(tmp_path: Path, compiled, monkeypatch) -> None:
    source, kept = compiled("lamp.py")
    source.unlink()

    def refused(folder: str) -> list[str]:
        raise PermissionError(folder)

    with monkeypatch.context() as patch:
        patch.setattr(bytecode.os, "listdir", refused)
        assert tidy(bytecode_root(tmp_path), NOW, math.inf)
    assert kept.exists()
    assert tidy(bytecode_root(tmp_path), NOW, math.inf)
    assert not kept.exists()


def test_a_deletion_that_fails_is_no_error_and_the_rest_goes(tmp_path: Path, compiled, monkeypatch) -> None:
    pairs = [compiled(f"lamp{k}.py") for k in range(3)]
    for source, _ in pairs:
        source.unlink()
    unlink = os.unlink

    def one_is_held(path: str) -> None:
        if path == str(pairs[1][1]):
            raise PermissionError(path)
        unlink(path)

    monkeypatch.setattr(bytecode.os, "unlink", one_is_held)
    assert tidy(bytecode_root(tmp_path), NOW, math.inf)
    assert [kept.exists() for _, kept in pairs] == [False, True, False]


def test_several_at_once_leave_what_one_would(tmp_path: Path, compiled) -> None:
    pairs = [compiled(f"room{k % 20}/lamp{k}.py") for k in range(200)]
    for source, _ in pairs[::2]:
        source.unlink()
    gate, ended = threading.Barrier(4), []

    def work() -> None:
        gate.wait()
        ended.append(tidy(bytecode_root(tmp_path), NOW, math.inf))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [True] * 4
    assert [kept.exists() for _, kept in pairs] == [False, True] * 100


def test_one_start_a_day_tidies_and_one_that_ran_out_of_time_is_gone_on_with(
    tmp_path: Path, compiled, monkeypatch
) -> None:
    def start(since: float | None = None) -> bool:
        """Was one due, the last one having been so long ago?"""
        if since is not None:
            then = stamp.stat().st_mtime - since
            os.utime(stamp, (then, then))
        thread = start_tidying(tmp_path)
        if thread is not None:
            thread.join()
        return thread is not None

    stamp = bytecode_root(tmp_path).with_name("bytecode.tidied")
    assert not start(), "there is nothing of ours"
    source, kept = compiled("lamp.py")
    source.unlink()
    monkeypatch.setattr(bytecode, "AT_MOST_S", -1.0)
    assert start() and kept.exists()
    monkeypatch.setattr(bytecode, "AT_MOST_S", math.inf)
    assert start() and not kept.exists()
    compiled("lamp.py")
    assert [start(), start(EVERY_S - 60), start(EVERY_S + 60)] == [False, False, True]
    assert kept.exists()
