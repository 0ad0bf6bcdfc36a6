"""Where Python keeps compiled modules when it was told to write none beside the sources.

``PYTHONDONTWRITEBYTECODE`` (usual in containers) is meant for folders of sources. Of a system that obeys it each process
compiles Ray and all else that it imports, at every start. So the compiled modules go into a folder of ours instead.
Python never removes one from there: what a removed package, an older interpreter or a project that was moved has left
would stay for good, so a start a day looks for it. Standard library only.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

FORBIDS = "PYTHONDONTWRITEBYTECODE"
PREFIX = "PYTHONPYCACHEPREFIX"
EVERY_S = 86_400.0
"""Between two tidyings."""
AT_MOST_S = 30.0
"""A tidying lasts; the next start goes on with the rest."""
FOREIGN_S = 30 * 86_400.0
"""What another interpreter compiled goes when it is older: one that is still in use compiles it once more."""
UNFINISHED_S = 3_600.0
"""A half-written file goes when it is older: whoever wrote it is dead."""


def bytecode_root(root: Path) -> Path:
    return root / "var" / "cache" / "bytecode"


def prepare_bytecode(root: Path) -> Path | None:
    """Here and in child processes keep compiled modules under ``root``/var; gives that folder.

    None, and nothing is changed, where they may lie beside the sources, or where the user chose a folder.
    Call before anything large is imported.
    """
    folder = bytecode_root(root)
    if os.environ.get(FORBIDS) and not os.environ.get(PREFIX) and sys.pycache_prefix is None:
        del os.environ[FORBIDS]
        os.environ[PREFIX] = str(folder)
    if os.environ.get(PREFIX) != str(folder):
        return None
    # Read from the environment when Python began: for this process it is too late.
    sys.pycache_prefix = str(folder)
    sys.dont_write_bytecode = False
    return folder


def start_tidying(root: Path) -> threading.Thread | None:
    """Tidy in the background where that is due; gives the thread, None where it is not.

    Dies with the process, in whatever it is doing: what is removed is only ever a copy that an import makes again.
    """
    home, stamp = bytecode_root(root), _stamp(root)
    try:
        if not home.is_dir():
            return None
        os.utime(home)
        now = home.stat().st_mtime  # by the clock that the files' own times are of
        if stamp.exists() and abs(now - stamp.stat().st_mtime) < EVERY_S:
            return None
        stamp.touch()  # whoever starts now leaves it to us; two that start in the same moment do no harm
    except OSError:
        return None  # a read-only installation

    def work() -> None:
        if not tidy(home, now, time.monotonic() + AT_MOST_S):
            with contextlib.suppress(OSError):
                stamp.unlink()

    thread = threading.Thread(target=work, name="tidying", daemon=True)
    thread.start()
    return thread


def tidy(home: Path, now: float, until: float) -> bool:
    """Remove from ``home``, a folder that Python was given as prefix, what no import will read again: modules without
    their source, and those of another interpreter and halves that are old at ``now`` (s since the epoch). Other files are
    not touched.

    Several processes may do it at once, and others import meanwhile: a deletion that fails is no error. False where
    ``until``, on the monotonic clock, came before the end.
    """
    # Under the prefix a path stands without its drive.
    anchors = {Path(place).anchor for place in (home.absolute(), sys.prefix, sys.base_prefix)}
    return all(_tidied(os.fspath(home), sorted(anchors), now, until))


def _stamp(root: Path) -> Path:
    return bytecode_root(root).with_name("bytecode.tidied")


def _tidied(folder: str, sources: list[str], now: float, until: float) -> Iterator[bool]:
    """One folder, those in it first; ``sources`` are where its modules may come from. False, once, when time is up."""
    if time.monotonic() > until:
        yield False
        return
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:
        return
    files: list[os.DirEntry[str]] = []
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _tidied(entry.path, [os.path.join(source, entry.name) for source in sources], now, until)
        elif ".pyc" in entry.name:
            files.append(entry)
    # Listed after the modules: of each of them the source was there before.
    stems = _stems(sources)
    for entry in files:
        with contextlib.suppress(OSError):
            if stems is not None and _dead(entry, stems, now):
                os.unlink(entry.path)
    with contextlib.suppress(OSError):
        os.rmdir(folder)  # only an empty one goes


def _stems(sources: list[str]) -> set[str] | None:
    """Names in the source folders, without their endings; None where one of them cannot be read: nothing is known."""
    stems: set[str] = set()
    for source in sources:
        try:
            stems.update(os.path.splitext(name)[0] for name in os.listdir(source))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return None
    return stems


def _dead(entry: "os.DirEntry[str]", stems: set[str], now: float) -> bool:
    """Is the file, ``NAME.TAG.pyc`` or, half-written, ``NAME.TAG.pyc.NUMBER``, of no use to any import?"""
    parts = entry.name.split(".")
    if "pyc" not in parts[-2:]:
        return False
    if not any(".".join(parts[:count]) in stems for count in range(1, len(parts))):
        return True
    age = now - entry.stat(follow_symlinks=False).st_mtime
    if parts[-1] != "pyc":
        return age > UNFINISHED_S
    return age > FOREIGN_S and f".{sys.implementation.cache_tag}" not in entry.name
