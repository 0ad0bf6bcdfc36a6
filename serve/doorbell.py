"""Calls to a member's replica on this machine that go past Ray: a socket file beside its pin, one message there, one back.

Serve places a replica, starts it anew, asks how it is and swaps its versions. Only the question of every minute comes by
the door: through Serve it takes longer than a network thinks (``run.py bench serving`` has both). What is sent is where
the features lie (``serve.shared_rows``), what comes back are the numbers of the answer. Who is on another machine, or has
no door, is asked through Serve.
"""

import asyncio
import errno
import logging
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from core.messages import FloatArray
from data.socket_path import socket_path
from serve.shared_rows import Place

log = logging.getLogger(__name__)

_ASKED = struct.Struct("<qqqq3q")
"""Number of the call, minute, offset, serial, shape; the path follows."""
_SAID = struct.Struct("<qqqBBH")
"""Number of the call, minute, rows, outcome, whether trust is said, bytes of text; the text (version, or what went wrong)
and the arrays follow."""
_ANSWERED, _NOT_THERE, _FAILED = range(3)
_LARGEST = 1 << 18
"""Bytes of a message: ten thousand instruments."""
_LONGEST_TEXT = 1_000


class Said(NamedTuple):
    """A member's answer."""

    mean_bps: FloatArray
    """(S,)."""
    stdev_bps: FloatArray
    """(S,)."""
    version: str
    minute: int
    """Open time of the minute asked about, epoch ms."""
    trust: FloatArray | None
    """(S,) how far the member is believed; None where it has no guard."""


class NoDoor(Exception):
    """Nobody answers at that door: not on this machine, not up (again) yet, or without one."""


class Failed(Exception):
    """The member raised; its words."""


def door_path(pins: Path, member: str) -> Path:
    """Socket of a member's replica, beside the file that pins its version. Raises OSError, ConfigError."""
    return socket_path(pins, member)


class Door:
    """The replica's end: one thread that takes one call after the other, from whoever of this user knocks."""

    def __init__(self, path: Path, answer: Callable[[Place, int], Said | None]) -> None:
        """``answer``: None where the features do not lie there (any more). Raises OSError where the file system has no
        sockets."""
        self._path = path
        self._answer = answer
        self._since: float | None = None
        self._closed = False
        door = _unix_socket()
        try:
            path.unlink(missing_ok=True)
            door.bind(os.fspath(path))
            # Before anybody can connect: connecting takes the right to write.
            path.chmod(0o600)
            door.listen(8)
        except OSError:
            door.close()
            raise
        door.setblocking(False)
        self._door = door
        self._calls = selectors.DefaultSelector()
        self._calls.register(door, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="door", daemon=True)
        self._thread.start()

    def look(self, patience_s: float) -> None:
        """Raises RuntimeError where a call hangs for longer than that, or no more are taken."""
        since = self._since
        if since is not None and time.monotonic() - since > patience_s:
            raise RuntimeError(f"a forecast has been going on for {time.monotonic() - since:.0f} s")
        if not self._thread.is_alive():
            raise RuntimeError("calls at the door are taken no more")

    def close(self) -> None:
        """Take no further calls; a replica whose process ends need not."""
        self._path.unlink(missing_ok=True)
        self._closed = True
        self._door.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._calls.select():
                line = key.fileobj
                assert isinstance(line, socket.socket)
                if line is self._door:
                    self._let_in()
                else:
                    self._take(line)
        for key in list(self._calls.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._calls.close()

    def _let_in(self) -> None:
        try:
            line, _ = self._door.accept()
        except BlockingIOError:
            return
        except OSError:
            if self._closed:
                return
            raise
        line.setblocking(True)
        self._calls.register(line, selectors.EVENT_READ)

    def _take(self, line: socket.socket) -> None:
        """One call. Who has gone, or speaks nonsense, is let go."""
        try:
            asked = line.recv(_LARGEST)
            if asked:
                line.send(self._reply(asked), socket.MSG_DONTWAIT)
                return
        except (OSError, struct.error, UnicodeDecodeError) as error:
            log.warning("a call at %s ended: %s", self._path.name, error)
        self._calls.unregister(line)
        line.close()

    def _reply(self, asked: bytes) -> bytes:
        number, minute, offset, serial, *shape = _ASKED.unpack_from(asked)
        place = Place(asked[_ASKED.size :].decode(), offset, tuple(shape), serial)
        self._since = time.monotonic()
        try:
            said = self._answer(place, minute)
        # Whatever a member can fail in costs its vote of this minute, and its words go to who asked.
        except Exception as error:
            text = f"{type(error).__name__}: {error}".encode()[:_LONGEST_TEXT]
            return _SAID.pack(number, minute, 0, _FAILED, 0, len(text)) + text
        finally:
            self._since = None
        if said is None:
            return _SAID.pack(number, minute, 0, _NOT_THERE, 0, 0)
        text = said.version.encode()
        arrays = [said.mean_bps, said.stdev_bps] + ([] if said.trust is None else [said.trust])
        rows = len(said.mean_bps)
        if any(np.shape(array) != (rows,) for array in arrays):
            text = f"ValueError: answers of the shapes {[np.shape(array) for array in arrays]}".encode()[:_LONGEST_TEXT]
            return _SAID.pack(number, minute, 0, _FAILED, 0, len(text)) + text
        head = _SAID.pack(number, said.minute, rows, _ANSWERED, said.trust is not None, len(text))
        return b"".join((head, text, *(np.asarray(array, dtype=np.float64).tobytes() for array in arrays)))


class Knocker:
    """The asking end, for one member, in one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line: socket.socket | None = None
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Said | None]] = {}
        self._buffer = bytearray(_LARGEST)

    async def ask(self, place: Place, minute: int) -> Said | None:
        """None where the replica does not find the features there. Raises NoDoor, Failed, and ConnectionError where the
        replica ended in the middle of the call."""
        line = self._opened()
        self._number += 1
        number = self._number
        asked = _ASKED.pack(number, minute, place.offset, place.serial, *place.shape) + place.path.encode()
        try:
            line.send(asked)
        except OSError as error:
            self.close()
            raise NoDoor(f"{self._path.name}: {error.strerror}") from None
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            return await waiting
        finally:
            # Who gave up waiting: the answer that still comes finds nobody and is dropped.
            self._waiting.pop(number, None)

    def _opened(self) -> socket.socket:
        if self._line is None:
            line = None
            try:
                line = _unix_socket()
                line.setblocking(False)
                line.connect(os.fspath(self._path))
            except OSError as error:
                if line is not None:
                    line.close()
                raise NoDoor(f"{self._path.name}: {error.strerror}") from None
            asyncio.get_running_loop().add_reader(line.fileno(), self._hear)
            self._line = line
        return self._line

    def _hear(self) -> None:
        assert self._line is not None
        try:
            size = self._line.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if size < _SAID.size:
            self.close()
            return
        number, minute, rows, outcome, trusted, told = _SAID.unpack_from(self._buffer)
        waiting = self._waiting.pop(number, None)
        if waiting is None or waiting.done():
            return
        at = _SAID.size + told
        text = self._buffer[_SAID.size : at].decode(errors="replace")
        if outcome == _ANSWERED:
            arrays = 3 if trusted else 2
            numbers = np.frombuffer(self._buffer, np.float64, arrays * rows, at).reshape(arrays, rows)
            mean, stdev, *trust = numbers.copy()
            waiting.set_result(Said(mean, stdev, text, minute, trust[0] if trust else None))
        elif outcome == _NOT_THERE:
            waiting.set_result(None)
        else:
            waiting.set_exception(Failed(text))

    def close(self) -> None:
        """Hang up; whoever waits hears of it. The next question opens the line again."""
        line, self._line = self._line, None
        if line is not None:
            asyncio.get_running_loop().remove_reader(line.fileno())
            line.close()
        waiting, self._waiting = self._waiting, {}
        for one in waiting.values():
            if not one.done():
                one.set_exception(ConnectionError("its replica ended in the middle of the call"))


def _unix_socket() -> socket.socket:
    """Raises OSError where the system has none that keep messages apart (macOS, Windows)."""
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(errno.EPROTONOSUPPORT, os.strerror(errno.EPROTONOSUPPORT))
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
