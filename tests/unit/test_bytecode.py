"""Compiled modules are kept where nobody may write them beside the sources, and a person's own choice stands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.bytecode import FORBIDS, PREFIX, bytecode_root

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
