"""Where numba keeps compiled rules: a folder named by the sources they were compiled from.

Numba notices when the file of a compiled function changes, but not when a function that it calls in another file does:
it would go on running the old one. With the sources' hash in the folder's name, changed rules are always compiled anew.
Standard library only, and no ``import numba`` here: numba reads the variable when it is imported.
"""

import hashlib
import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
LEVEL = "NUMBA_OPT"
LEVEL_WANTED = "1"
"""How hard LLVM tries. Measured: at 1 the engine and the features run as fast as at 3 (they are branches and single
numbers, little of which can be done several at a time), and the engine compiled in 19.9 s instead of 21.2 (by now in 15
at 1; at 3 it was not timed again)."""
COMPILES = b"from core.lean import"
"""Stands in every module that compiles a rule."""
KEPT = 4
"""Newest folders that stay, whatever their age."""
STALE_S = 6 * 3_600.0
"""Others go when they were not used for this long: a running program may still write into a younger one."""


def cache_root(root: Path) -> Path:
    return root / "var" / "cache" / "numba"


def sources_hash(root: Path) -> str:
    """Names what compiled rules depend on: every source of ``core``, those of ``tune`` that compile rules (they call each
    other's, too), numba, llvmlite, and Python."""
    digest = hashlib.sha256(f"{sys.version_info[:3]}".encode())
    digest.update(f"{LEVEL} {os.environ.get(LEVEL, LEVEL_WANTED)}\0".encode())
    for package in ("numba", "llvmlite", "numpy"):
        try:
            digest.update(f"{package} {version(package)}\0".encode())
        except PackageNotFoundError:
            digest.update(f"{package} absent\0".encode())
    for room in ("core", "tune"):
        for path in sorted((root / room).rglob("*.py")):
            source = path.read_bytes()
            if room == "core" or COMPILES in source:
                digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + source + b"\0")
    return digest.hexdigest()[:16]


def prepare_numba(root: Path) -> Path | None:
    """Point numba, here and in child processes, at the folder for these sources (None where the user chose another), and
    tell it how hard to optimise.

    Call before anything imports numba. Ray's workers inherit the variable.
    """
    os.environ.setdefault(LEVEL, LEVEL_WANTED)
    home = cache_root(root)
    chosen = os.environ.get(VARIABLE)
    if chosen and Path(chosen).parent != home:
        return None
    folder = home / sources_hash(root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        _tidy(home, folder)
    except OSError:
        return None  # a read-only installation: numba then finds a place of its own
    os.environ[VARIABLE] = str(folder)
    return folder


def _tidy(home: Path, current: Path) -> None:
    """Remove folders of older sources."""
    used = {path: path.stat().st_mtime for path in home.iterdir() if path.is_dir() and path != current}
    now = current.stat().st_mtime
    for path in sorted(used, key=lambda p: -used[p])[KEPT - 1 :]:
        if now - used[path] > STALE_S:
            shutil.rmtree(path, ignore_errors=True)
