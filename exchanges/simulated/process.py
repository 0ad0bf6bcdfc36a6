"""The simulated exchange as a process of its own: staying until told to go, and being started by others."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from core.errors import BotError, TimedOut

PARENT_CHECK_S = 1.0
STOP_S = 5.0


async def until_stopped(parent_pid: int | None) -> int:
    """Return on SIGINT or SIGTERM, or when the process ``parent_pid`` is gone; gives the signal's number, 0 for the
    latter."""
    stopped: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if not stopped.done():
            stopped.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop, number)
        except NotImplementedError:
            signal.signal(number, lambda got, _: loop.call_soon_threadsafe(stop, got))
    parent = _process(parent_pid)
    while not stopped.done():
        if parent_pid is not None and not _alive(parent):
            return 0
        await asyncio.wait((stopped,), timeout=PARENT_CHECK_S)
    return stopped.result()


def _process(pid: int | None) -> psutil.Process | None:
    try:
        return None if pid is None else psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _alive(process: psutil.Process | None) -> bool:
    """Running and still the same process (not a later one with its number, not a zombie)."""
    try:
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass(frozen=True, slots=True, repr=False)
class Simulator:
    """A simulated exchange that runs as our child. Its key pair is for this run only."""

    process: subprocess.Popen
    rest: str
    stream: str
    ws_api: str
    api_key: str
    secret: str

    def __repr__(self) -> str:
        return f"Simulator({self.rest}, pid {self.process.pid})"

    @property
    def user_stream(self) -> str:
        """Where the account's own events are: Binance's WebSocket API, Upbit's private stream."""
        return self.ws_api

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        """Ask it to stop, and make it stop if it does not. May be called twice."""
        end(self.process)


def start_simulator(root: Path, arguments: list[str], *, venue: str = "binance", **how: Any) -> Simulator:
    """Start ``run.py sim --json`` with more ``arguments``; ``root`` is the project folder. See ``start_server``.

    One process serves one venue.
    """
    return start_server(root, [str(root / "run.py"), "sim", "--json", "--venue", venue, *arguments], **how)


def start_server(
    root: Path,
    program: list[str],
    *,
    log_file: Path | None = None,
    timeout_s: float = 60.0,
    parent_pid: int | None = None,
) -> Simulator:
    """Start a Python program that serves a simulated exchange, and wait for the JSON line with its addresses.

    The child is given ``--parent-pid`` (default: this process), with which it ends. What it says to people goes to
    ``log_file``, or to our own standard error. Raises BotError with the child's last words when it fails, TimedOut
    when it says nothing (on a fresh checkout it compiles kernels first).
    """
    line = [sys.executable, *program, "--parent-pid", str(os.getpid() if parent_pid is None else parent_pid)]
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(log_file.open("wb")) if log_file is not None else None
        child = subprocess.Popen(  # noqa: S603
            line,
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            text=True,
            # Ctrl-C in the terminal is for whoever started it, who still has orders to cancel here.
            start_new_session=True,
        )
    timer = threading.Timer(timeout_s, child.kill)
    timer.start()
    try:
        said = child.stdout.readline() if child.stdout is not None else ""
    except BaseException:
        # A person who does not want to wait leaves no child behind.
        end(child)
        raise
    finally:
        expired = not timer.is_alive()
        timer.cancel()
    if not said:
        status = child.wait(STOP_S)
        end(child)
        if expired:
            raise TimedOut(f"the simulated exchange did not start within {timeout_s:.0f} s")
        raise BotError(f"the simulated exchange did not start: {_last_words(log_file) or f'exit code {status}'}")
    found = json.loads(said)
    return Simulator(child, found["rest"], found["stream"], found["ws_api"], found["api_key"], found["secret"])


def end(child: subprocess.Popen) -> None:
    """Terminate a child, kill it when it does not go, and let go of its output."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(STOP_S)
    if child.stdout is not None:
        child.stdout.close()


def _last_words(log_file: Path | None) -> str:
    if log_file is None:
        return "its own words are above"
    lines = log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else ""
