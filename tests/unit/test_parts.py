"""What becomes part of a kernel's callers is what its source says, whoever calls it first.

With numba's own flag for it, whatever a kernel called inherited it: the same engine took a third to a half longer where the
live parts had been compiled before it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = """
from core.lean import inlined, inner, lean, shared


@inner
def inside(x):
    return x * 3.0 if x > 1.0 else x


@lean
def by_itself(x):
    return inside(x) + 1.0


@shared
def for_both(x):
    return by_itself(x) * 2.0


@inlined
def part(x):
    return for_both(x) + inside(x)


@lean
def whole(x):
    return part(x) - 1.0
"""
CALL = """
import json, sys
import kernels
asked = [getattr(kernels, name)(4.0) for name in sys.argv[1:]]
found = {}
for name in ("inside", "by_itself", "for_both", "part", "whole"):
    kernel = getattr(kernels, name)
    (one,) = kernel.overloads.values()
    function = one.library._final_module.get_function(one.fndesc.llvm_func_name)
    found[name] = b"alwaysinline" in b" ".join(function.attributes)
print(json.dumps([asked[-1], found]))
"""
PARTS = {"inside": False, "by_itself": False, "for_both": True, "part": True, "whole": False}


@pytest.mark.parametrize("first", [(), ("by_itself",), ("for_both",), ("by_itself", "for_both")])
def test_a_kernel_is_compiled_as_its_source_says_whoever_calls_it_first(tmp_path: Path, first: tuple[str, ...]) -> None:
    (tmp_path / "kernels.py").write_text(SOURCE, encoding="utf-8")
    env = {k: v for k, v in os.environ.items() if k not in ("NUMBA_DISABLE_JIT", "NUMBA_CACHE_DIR")}
    env |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", CALL, *first, "whole"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [37.0, PARTS]
