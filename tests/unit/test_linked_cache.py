"""Kernels that only kernels call are kept on disk: another process links what it finds there, with the same answers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = """
from typing import NamedTuple

import numpy as np
from core.lean import inlined, inner, lean


class Table(NamedTuple):
    values: np.ndarray
    scale: float


@inner
def part(table, row):
    total = 0.0
    for k in range(table.values.shape[1]):
        total += table.values[row, k] * table.scale
    return total, max(row, 1)


@inlined
def rows(table, out):
    for row in range(out.shape[0]):
        out[row] = part(table, row)[0]
    return out.shape[0]


@lean
def whole(table, out):
    return rows(table, out)
"""
CALL = """
import json
import numpy as np
import kernels
out = np.zeros(3)
count = kernels.whole(kernels.Table(np.arange(12.0).reshape(3, 4) / 7.0, 0.1), out)
hits = {name: sum(getattr(kernels, name).stats.cache_hits.values()) for name in ("part", "rows", "whole")}
misses = {name: sum(getattr(kernels, name).stats.cache_misses.values()) for name in ("part", "rows", "whole")}
print(json.dumps([[one.hex() for one in out.tolist()], count, hits, misses]))
"""


def run(folder: Path) -> tuple[list[str], int, dict[str, int], dict[str, int]]:
    env = {k: v for k, v in os.environ.items() if k != "NUMBA_DISABLE_JIT"}
    env |= {"NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    done = subprocess.run([sys.executable, "-c", CALL], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kernels.py").write_text(SOURCE, encoding="utf-8")
    return tmp_path


def forget(folder: Path, kernel: str) -> None:
    found = list((folder / "cache").rglob(f"kernels.{kernel}-*"))
    assert found
    for path in found:
        path.unlink()


def test_a_caller_compiled_later_finds_what_it_calls_on_disk(folder: Path) -> None:
    values, count, hits, misses = run(folder)
    table = [[k / 7.0 * 0.1 for k in range(4 * row, 4 * row + 4)] for row in range(3)]
    assert values == [sum(row, 0.0).hex() for row in table]
    assert count == 3
    assert (hits, misses) == (dict.fromkeys(hits, 0), dict.fromkeys(misses, 1))

    forget(folder, "whole")
    again = run(folder)
    assert again[:2] == (values, count)
    # What is linked in already is not asked for.
    assert again[2:] == ({"part": 0, "rows": 1, "whole": 0}, {"part": 0, "rows": 0, "whole": 1})

    forget(folder, "whole")
    forget(folder, "rows")
    third = run(folder)
    assert third[:2] == (values, count)
    assert third[2:] == ({"part": 1, "rows": 0, "whole": 0}, {"part": 0, "rows": 1, "whole": 1})
