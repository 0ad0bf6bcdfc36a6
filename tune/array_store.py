"""Large arrays kept on disk by what they were made from, and mapped: they cost no memory of their own.

An entry is one folder of ``.npy`` files, named by a key of all that its content depends on. It appears by one rename when
it is whole, so a run that was killed leaves an entry or none. Pages of a mapped file count as the process's while they
are looked at, and the system takes them back whenever it needs room.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

HEAD = "arrays.json"
FORMAT = 1
MOST_BYTES = 8 << 30
"""Of all entries together: a year of 50 symbols takes 1.5 GB."""
DRAFT = ".draft-"
STALE_S = 24 * 3_600.0
"""What a killed run left half made goes when it is older than this."""

Arrays = dict[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]
Fill = Callable[[Arrays], None]


class ArrayStore:
    """Entries of float64 arrays under one root; the least recently used go when there are too many bytes of them."""

    def __init__(self, root: Path, most_bytes: int = MOST_BYTES) -> None:
        self.root = Path(root)
        self.most_bytes = most_bytes

    @property
    def writable(self) -> bool:
        """Whether it is there, and files can be made in it."""
        return self.root.is_dir() and os.access(self.root, os.W_OK)

    def get(self, key: str, shapes: Shapes, fill: Fill) -> tuple[Arrays, tuple[str, ...]]:
        """(arrays by name, notes): those kept under ``key``, or made now: ``fill`` writes into arrays of ``shapes``.

        They are mapped so that writing to them changes no file. Where nothing can be kept (no room, no right to write)
        they are made in memory; that, and an entry found damaged, is told in a note.
        """
        found, notes = self._read(key, shapes)
        if found is not None:
            return found, notes
        try:
            self._write(key, shapes, fill)
        except OSError as error:
            arrays = {name: np.empty(shape) for name, shape in shapes.items()}
            fill(arrays)
            return arrays, (*notes, f"{self.root}: nothing could be kept there ({error}); made in memory")
        found, more = self._read(key, shapes)
        if found is None:
            raise AssertionError(f"{self.root / key}: written just now, and not as asked: {more}")
        self._tidy(self.root / key)
        return found, notes

    def _read(self, key: str, shapes: Shapes) -> tuple[Arrays | None, tuple[str, ...]]:
        folder = self.root / key
        if not folder.exists():
            return None, ()
        try:
            head = json.loads((folder / HEAD).read_text(encoding="utf-8"))
            found = {name: _mapped(folder / f"{name}.npy") for name in shapes}
            whole = head["format"] == FORMAT and all(
                found[name].shape == tuple(shape)
                and found[name].dtype == np.float64
                and head["sums"][name] == _sums(found[name])
                for name, shape in shapes.items()
            )
            if whole:
                os.utime(folder)
                return found, ()
            fault = "not what was written"
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            fault = str(error)
        shutil.rmtree(folder, ignore_errors=True)
        return None, (f"{folder}: damaged ({fault}); made anew",)

    def _write(self, key: str, shapes: Shapes, fill: Fill) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=self.root))
        try:
            arrays = {name: _new(draft / f"{name}.npy", shape) for name, shape in shapes.items()}
            fill(arrays)
            head = {"format": FORMAT, "sums": {name: _sums(array) for name, array in arrays.items()}}
            for array in arrays.values():
                _flush(array)
            arrays.clear()
            (draft / HEAD).write_text(json.dumps(head), encoding="utf-8")
            try:
                os.replace(draft, self.root / key)
            except OSError:
                # Another process made the same meanwhile; its entry is as good.
                if not (self.root / key / HEAD).exists():
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _tidy(self, current: Path) -> None:
        """Remove what was not used for longest, as far as there are too many bytes, and what was left half made."""
        entries = {}
        for path in self.root.iterdir():
            try:
                if path.is_dir() and path != current:
                    size = sum(part.stat().st_size for part in path.iterdir())
                    entries[path] = (path.stat().st_mtime, size)
            except OSError:
                continue  # another process removed it
        now = current.stat().st_mtime
        room = self.most_bytes - sum(part.stat().st_size for part in current.iterdir())
        for path in sorted(entries, key=lambda p: -entries[p][0]):
            used, size = entries[path]
            if path.name.startswith(DRAFT):
                if now - used > STALE_S:
                    shutil.rmtree(path, ignore_errors=True)
                continue
            room -= size
            if room < 0:
                shutil.rmtree(path, ignore_errors=True)


def _new(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A file for an array, all of it reserved: a full disk is an OSError now, not a crash in the middle of writing."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array.view(np.ndarray)


def _flush(array: np.ndarray) -> None:
    base = array.base
    if isinstance(base, np.memmap):
        base.flush()


def _mapped(path: Path) -> np.ndarray:
    """Copy on write, as the compiled kernels take arrays that may be written to; none of them writes to its market."""
    return np.load(path, mmap_mode="c", allow_pickle=False).view(np.ndarray)


def _sums(array: np.ndarray) -> list[int]:
    """What shows that a file is no longer what was written: the sum and the exclusive or of its 64-bit words."""
    words = array.reshape(-1).view(np.uint64)
    with np.errstate(over="ignore"):
        return [int(words.sum(dtype=np.uint64)), int(np.bitwise_xor.reduce(words))]
