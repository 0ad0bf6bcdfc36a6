"""The compiled rules on disk are those of today's sources, also when only a callee in another file changed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.numba_cache import KEPT, STALE_S, VARIABLE, cache_root, prepare_numba, sources_hash

ROOT = Path(__file__).resolve().parents[2]
CALLEE = "from numba import njit\n\n\n@njit(cache=True)\ndef rate() -> float:\n    return {rate}\n"
CALLER = (
    "from numba import njit\n\nfrom core.callee import rate\n\n\n@njit(cache=True)\ndef cost() -> float:\n"
    "    return 100.0 * rate()\n"
)
RUN = (
    "import sys; from pathlib import Path; from config.numba_cache import prepare_numba; prepare_numba(Path(sys.argv[1]))\n"
    "sys.path.insert(0, sys.argv[1]); from core.caller import cost; print(cost(), sum(cost.stats.cache_hits.values()))"
)


def make_core(root: Path, rate: str) -> None:
    (root / "core").mkdir(exist_ok=True)
    (root / "core" / "__init__.py").touch()
    (root / "core" / "callee.py").write_text(CALLEE.format(rate=rate))
    (root / "core" / "caller.py").write_text(CALLER)


def run(root: Path) -> tuple[float, int]:
    """(what the caller says, times it came from the disk) in a process of its own."""
    env = {k: v for k, v in os.environ.items() if k not in (VARIABLE, "NUMBA_DISABLE_JIT", "PYTHONPATH")}
    # `config` comes from the project, `core` from the made-up root.
    link = root / "config"
    if not link.exists():
        link.symlink_to(ROOT / "config")
    done = subprocess.run([sys.executable, "-c", RUN, str(root)], cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    value, hits = done.stdout.split()
    return float(value), int(hits)


def test_a_changed_callee_is_never_served_stale(tmp_path: Path) -> None:
    make_core(tmp_path, "0.25")
    assert run(tmp_path) == (25.0, 0)
    assert run(tmp_path) == (25.0, 1)
    make_core(tmp_path, "0.5")
    assert run(tmp_path)[0] == 50.0


def test_any_source_of_core_changes_the_hash(tmp_path: Path) -> None:
    make_core(tmp_path, "1.0")
    before = sources_hash(tmp_path)
    assert sources_hash(tmp_path) == before
    (tmp_path / "core" / "execution").mkdir()
    (tmp_path / "core" / "execution" / "new.py").write_text("")
    assert sources_hash(tmp_path) != before


def test_a_rule_that_tune_compiles_changes_the_hash_and_other_sources_do_not(tmp_path: Path) -> None:
    make_core(tmp_path, "1.0")
    (tmp_path / "tune" / "rl").mkdir(parents=True)
    before = sources_hash(tmp_path)
    (tmp_path / "tune" / "page.py").write_text("TEXT = 'no rule'\n")
    assert sources_hash(tmp_path) == before
    rule = tmp_path / "tune" / "rl" / "mask.py"
    rule.write_text("from core.lean import inner\n")
    first = sources_hash(tmp_path)
    rule.write_text("from core.lean import inner\n\n# changed\n")
    assert len({before, first, sources_hash(tmp_path)}) == 3


def test_old_folders_go_only_when_unused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    make_core(tmp_path, "1.0")
    current = prepare_numba(tmp_path)
    assert current is not None
    now = current.stat().st_mtime
    old = [cache_root(tmp_path) / f"old{k}" for k in range(KEPT + 3)]
    for k, folder in enumerate(old):
        folder.mkdir()
        os.utime(folder, (now - STALE_S - k - 60, now - STALE_S - k - 60))
    young = cache_root(tmp_path) / "young"
    young.mkdir()
    assert prepare_numba(tmp_path) == current
    assert current.exists() and young.exists()
    assert [f.exists() for f in old] == [k < KEPT - 2 for k in range(KEPT + 3)]


def test_a_choice_of_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    assert prepare_numba(ROOT) is None
    assert os.environ[VARIABLE] == str(tmp_path / "mine")
