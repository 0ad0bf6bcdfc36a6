"""Rows noted down as they come, in memory or in a file of their own that nobody else sees and that goes with them.

A long run fills a great many orders: in a file they cost no memory but what the system can take back.
"""

import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DataError


class Spool:
    """Rows (N, ``width``) of one kind."""

    def __init__(self, width: int, dtype: type, folder: Path | None = None) -> None:
        """In memory without a ``folder``."""
        self._width, self._dtype, self._folder = width, np.dtype(dtype), folder
        self._parts: list[np.ndarray] = []
        self._file: Any = None if folder is None else _file_in(folder)
        self._count = 0

    def add(self, rows: np.ndarray, *, kept: bool = False) -> None:
        """Note rows down: they are copied, unless they are ``kept`` as they are by whoever made them. Interrupted on the
        way, they do not count, and nothing may follow."""
        if self._file is None:
            self._parts.append(rows.astype(self._dtype, copy=not kept))
            return
        try:
            self._file.write(np.ascontiguousarray(rows, dtype=self._dtype).data.cast("B") if rows.size else b"")
        except OSError as error:
            raise _no_room(self._folder, error) from error
        self._count += len(rows)

    def rows(self) -> np.ndarray:
        """(N, ``width``) of all that was noted down; nothing can be added afterwards."""
        shape = (self._count, self._width)
        if self._file is None and len(self._parts) == 1:
            return self._parts[0]
        if self._file is None:
            return np.concatenate([np.zeros((0, self._width), self._dtype), *self._parts])
        if not self._count * self._width:
            return np.zeros(shape, self._dtype)
        try:
            self._file.flush()
        except OSError as error:
            raise _no_room(self._folder, error) from error
        return np.memmap(self._file, dtype=self._dtype, mode="c", shape=shape).view(np.ndarray)


LINE = 64
"""Bytes of a line of the processor's cache."""
LEAST_LENT, MOST_FREE = 1 << 16, 1 << 26
"""Bytes: of an array that is worth lending a block for, and of blocks that wait for the next one at most."""
_free: dict[int, np.ndarray] = {}
"""By what names them, so that two threads never take the same."""


class _Lent:
    """A block of memory under an array; taken back when the array, and all that looks into it, is gone."""

    def __init__(self, block: np.ndarray) -> None:
        self._block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self) -> None:
        if sum(block.nbytes for block in list(_free.values())) + self._block.nbytes <= MOST_FREE:
            _free[id(self._block)] = self._block


def lent(shape: tuple[int, ...], dtype: type = np.float64) -> np.ndarray:
    """A new array of anything, in memory that an earlier one gave back where there is such.

    Memory that is new to a process is handed out and cleared by the system page by page, when first written to: for a
    year of minutes that took as long as marking them to market.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LEAST_LENT:
        return np.empty(shape, dtype)
    fitting = [(block.nbytes, name) for name, block in list(_free.items()) if size <= block.nbytes <= 2 * size]
    block = _free.pop(min(fitting)[1], None) if fitting else None
    if block is None:
        block = np.empty(size, np.uint8)
    return np.asarray(_Lent(block))[:size].view(dtype).reshape(shape)


def on_lines(shape: tuple[int, ...], dtype: type = np.float64) -> np.ndarray:
    """A new array of zeros that begins where a line of the processor's cache does: rows of a line or of a part of one
    lie in one each. Memory as the system hands it out begins within one, and every such row in two."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    block = np.zeros(size + LINE, np.uint8)
    return block[-block.ctypes.data % LINE :][:size].view(dtype).reshape(shape)


def room_for(shape: tuple[int, ...], folder: Path | None = None, dtype: type = np.float64) -> np.ndarray:
    """A new array; in a file of its own where there is a ``folder``."""
    if folder is None or not all(shape):
        return lent(shape, dtype)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    try:
        file = _file_in(folder)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape).view(np.ndarray)
    except OSError as error:
        raise _no_room(folder, error) from error


def _file_in(folder: Path) -> Any:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise _no_room(folder, error) from error


def _no_room(folder: Path | None, error: OSError) -> DataError:
    return DataError(f"{folder}: no room for what a run needs to note down ({error.strerror}); make room")
