"""Where the line of a venue is kept: in this process, or in a small file all processes of the machine share.

The file holds two slots; a change is written whole into the older one, with a checksum and a higher number, under an
exclusive lock held for microseconds. Whoever is killed in the middle leaves the other slot valid, and the lock falls
with it. A file that can not be understood is begun anew, and what is used is then asked of the venue.
``flock`` is POSIX; where it is not (Windows), every process counts for itself, and says so.
"""

import logging
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from exchanges.limits.line import VERSION, Line

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

T = TypeVar("T")
HEAD = struct.Struct("<8sQII")
"""Mark, number, checksum and length of one slot."""
MARK = b"mhlimit1"
SLOT = 64 * 1024
LOCK_S = 1.0
SAME_CLOCK_MS = 10_000
"""Base time that is this far from the wall's, after a start of the machine, is another clock."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_ENCODER = msgspec.msgpack.Encoder()


class Store(Protocol):
    """Holds a line. ``run`` gives it to ``change`` with the base time, alone, and keeps what became of it."""

    shared: bool

    def run(self, change: Callable[[Line, int], T]) -> T: ...


def monotonic_ms() -> int:
    """One clock for all processes of this machine, from its start."""
    return int(time.monotonic() * 1_000)


class MemoryStore:
    """The line of this process alone."""

    shared = False

    def __init__(self, line: Line, now_ms: Callable[[], int] = monotonic_ms) -> None:
        self.line = line
        self._now_ms = now_ms

    def run(self, change: Callable[[Line, int], T]) -> T:
        return change(self.line, self._now_ms())


class Kept(msgspec.Struct):
    """What a slot holds."""

    line: Line
    anchor_ms: int
    """Base time minus the machine's monotonic clock: base time is near the wall's, so that pauses outlive a restart."""
    boot: str


_KEPT = msgspec.msgpack.Decoder(Kept)


class FileStore:
    """The line of all processes. ``wall_ms`` tells the time of day, ``fresh`` makes a line. Raises OSError where the
    file can be neither made nor locked."""

    shared = True

    def __init__(self, path: Path, fresh: Callable[[], Line], wall_ms: Callable[[], int]) -> None:
        if fcntl is None:
            raise OSError("this system has no flock")
        self.path = path
        self._fresh, self._wall_ms = fresh, wall_ms
        self._thread = threading.Lock()
        self._pid = -1
        self._descriptor = -1
        self._number = -1
        self._kept: Kept | None = None
        self._names = fresh().counters.keys()
        self._boot = _boot()
        self.damaged = False
        """The file was there, and could not be understood when it was opened."""
        self._open()
        if os.fstat(self._descriptor).st_size:
            self.look()
        else:
            self.run(lambda line, now_ms: None)

    def close(self) -> None:
        if self._descriptor >= 0 and self._pid == os.getpid():
            os.close(self._descriptor)
        self._descriptor = -1

    def run(self, change: Callable[[Line, int], T]) -> T:
        with self._thread:
            self._open()
            self._lock()
            try:
                kept, slot = self._read()
                result = change(kept.line, monotonic_ms() + kept.anchor_ms)
                self._write(kept, 1 - slot)
                return result
            except BaseException:
                self._kept = None  # half changed: read again
                raise
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def look(self) -> tuple[Line, int]:
        """The line as it stands, and its time; for reading only."""
        with self._thread:
            self._open()
            self._lock()
            try:
                kept, _ = self._read()
                return kept.line, monotonic_ms() + kept.anchor_ms
            finally:
                self._kept = None
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _open(self) -> None:
        if self._pid == os.getpid() and self._descriptor >= 0:
            return
        # A fork shares the parent's lock; it needs a descriptor of its own.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._pid, self._kept = os.getpid(), None

    def _lock(self) -> None:
        until = time.monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > until:
                    raise OSError(f"{self.path} is locked since {LOCK_S:g} s") from None
                time.sleep(0.000_05)

    def _read(self) -> tuple[Kept, int]:
        """What the newer valid slot holds, and which it is; a new line when neither is."""
        heads = []
        for slot in (0, 1):
            raw = os.pread(self._descriptor, HEAD.size, slot * SLOT)
            if len(raw) == HEAD.size:
                mark, number, check, length = HEAD.unpack(raw)
                if mark == MARK and length <= SLOT - HEAD.size:
                    heads.append((number, check, length, slot))
        for number, check, length, slot in sorted(heads, reverse=True):
            if number == self._number and self._kept is not None:
                return self._kept, slot
            body = os.pread(self._descriptor, length, slot * SLOT + HEAD.size)
            if zlib.crc32(body) != check:
                continue
            try:
                kept = _KEPT.decode(body)
            except msgspec.MsgspecError:
                continue
            if kept.line.version == VERSION and kept.line.counters.keys() == self._names:
                self._number = number
                self._same_machine_time(kept)
                return kept, slot
        self.damaged = os.fstat(self._descriptor).st_size > 0
        if self.damaged:
            log.warning("%s could not be understood; begun anew, what is used will be asked", self.path)
        self._number = max([number for number, *_ in heads], default=0)
        # In the time of day from the start, so that a pause means the same after a restart of the machine.
        kept = Kept(self._fresh(), self._wall_ms() - monotonic_ms(), self._boot)
        kept.line.forget(monotonic_ms() + kept.anchor_ms)
        return kept, 1

    def _same_machine_time(self, kept: Kept) -> None:
        """After a restart of the machine its monotonic clock began again: keep pauses, forget the rest."""
        apart = abs(self._wall_ms() - monotonic_ms() - kept.anchor_ms) > SAME_CLOCK_MS
        if self._boot == kept.boot and (self._boot or not apart):
            return
        kept.anchor_ms, kept.boot = self._wall_ms() - monotonic_ms(), self._boot
        kept.line.tickets, kept.line.probed_ms = [], 0
        kept.line.forget(monotonic_ms() + kept.anchor_ms)

    def _write(self, kept: Kept, slot: int) -> None:
        body = _ENCODER.encode(kept)
        if len(body) > SLOT - HEAD.size:
            raise OSError(f"{self.path}: the line of {kept.line.venue} grew beyond its file")
        self._number = max(0, self._number) + 1
        whole = HEAD.pack(MARK, self._number, zlib.crc32(body), len(body)) + body
        if os.pwrite(self._descriptor, whole, slot * SLOT) != len(whole):
            raise OSError(f"{self.path} can not be written whole")
        self._kept = kept


def _boot() -> str:
    """Which start of the machine this is; empty where the system does not say."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
