"""A minute's features where all processes of this machine read them: written once, copied by nobody.

Ray's store does that too, but a reference travels by Ray's actor calls alone, which take several times as long as a message
to the replica's door (``serve.doorbell``; ``run.py bench serving`` has both). So the features lie in a file in memory, two
minutes in turns, and what is sent is where. Who does not find them is sent the numbers.
"""

import logging
import mmap
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from core.messages import FloatArray

log = logging.getLogger(__name__)

PREFIX = "minutehand-rows-"
SLOTS = 2
"""Minutes kept: one is read while the next is written. Whoever reads later than that is past every deadline."""
HEAD_BYTES = 64
PAGE_BYTES = 4_096
_MEMORY = Path("/dev/shm")  # noqa: S108


class Place(NamedTuple):
    """Where a minute's features lie."""

    path: str
    offset: int
    shape: tuple[int, ...]
    serial: int


class Board:
    """Who writes. One a process that asks; ``close`` takes its file away, and ``sweep`` those of processes that died."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or (_MEMORY if _MEMORY.is_dir() else Path(tempfile.gettempdir()))
        self._map: mmap.mmap | None = None
        self._path = self._folder / "none"
        self._slot = 0
        self._serial = 0
        self._refused = False
        sweep(self._folder)

    def put(self, features: FloatArray) -> "Place | FloatArray":
        """(S, L, F) → where it lies now; the features themselves where there is no room for them."""
        rows = np.ascontiguousarray(features, dtype=np.float64)
        try:
            where = self._room(HEAD_BYTES + rows.nbytes)
        except OSError as error:
            if not self._refused:
                log.warning("%s: no room for a minute's features (%s); they are sent instead", self._folder, error)
            self._refused = True
            return features
        self._serial += 1
        at = (self._serial % SLOTS) * self._slot
        # Not a minute's while it is written: whoever reads late finds another serial and knows.
        _serial(where, at)[0] = 0
        _numbers(where, at, rows.shape)[...] = rows
        _serial(where, at)[0] = self._serial
        return Place(str(self._path), at, rows.shape, self._serial)

    def _room(self, needed: int) -> mmap.mmap:
        if self._map is not None and needed <= self._slot:
            return self._map
        self.close()
        slot = -(-needed // PAGE_BYTES) * PAGE_BYTES
        path = self._folder / f"{PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            # Reserved, not only promised: memory that is full is an error here, not the end of the process later.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle, 0, slot * SLOTS)
            else:
                os.ftruncate(handle, slot * SLOTS)
            self._map = mmap.mmap(handle, slot * SLOTS)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
        self._path, self._slot = path, slot
        return self._map

    def close(self) -> None:
        """Take the file away; who reads it still may."""
        if self._map is not None:
            self._map = None
            with suppress(OSError):
                self._path.unlink()


class Reader:
    """Who reads: the newest file stays mapped."""

    def __init__(self) -> None:
        self._path = ""
        self._map: mmap.mmap | None = None

    def rows(self, place: Place) -> FloatArray | None:
        """(S, L, F), read-only; None where they are not: on another machine, or written over since."""
        if place.path != self._path:
            try:
                with open(place.path, "rb") as file:
                    self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError):
                return None
            self._path = place.path
        return _numbers(self._map, place.offset, place.shape) if self.holds(place) else None

    def holds(self, place: Place) -> bool:
        """Whether what lies there is still what was meant."""
        return self._map is not None and bool(_serial(self._map, place.offset)[0] == place.serial)


def sweep(folder: Path | None = None) -> None:
    """Take away the files of processes that are no more."""
    for path in (folder or _MEMORY).glob(f"{PREFIX}*"):
        owner = path.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            with suppress(OSError):
                path.unlink()


def _serial(where: mmap.mmap, at: int) -> np.ndarray:
    return np.frombuffer(where, dtype=np.int64, count=1, offset=at)


def _numbers(where: mmap.mmap, at: int, shape: tuple[int, ...]) -> FloatArray:
    return np.frombuffer(where, dtype=np.float64, count=int(np.prod(shape)), offset=at + HEAD_BYTES).reshape(shape)
