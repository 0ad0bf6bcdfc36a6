"""The simulated exchange as a process of its own: staying until told to go, and being started by others."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.errors import BotError, TimedOut

PARENT_CHECK_S = 1.0
STOP_S = 5.0


async def until_stopped(parent_pid: int | None) -> None:
    """Return on SIGINT or SIGTERM, or when the process ``parent_pid`` is gone."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stopped.set)
        except NotImplementedError:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))
    parent = _process(parent_pid)
    while not stopped.is_set():
        if parent_pid is not None and not _alive(parent):
            return
        try:
            await asyncio.wait_for(stopped.wait(), PARENT_CHECK_S)
        except TimeoutError:
            continue


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

    def close(self) -> None:
        """Ask it to stop, and make it stop if it does not. May be called twice."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_S)
        if self.process.stdout is not None:
            self.process.stdout.close()


def start_simulator(
    root: Path, arguments: list[str], timeout_s: float = 30.0, parent_pid: int | None = None
) -> Simulator:
    """Start ``run.py sim --json`` with more ``arguments`` and wait for its addresses.

    ``root`` is the project folder. The child ends when ``parent_pid`` (default: this process) does. Raises BotError
    with the child's own words when it fails, TimedOut when it says nothing.
    """
    parent = os.getpid() if parent_pid is None else parent_pid
    line = [sys.executable, str(root / "run.py"), "sim", "--json", "--parent-pid", str(parent), *arguments]
    child = subprocess.Popen(line, cwd=root, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)  # noqa: S603
    timer = threading.Timer(timeout_s, child.kill)
    timer.start()
    try:
        said = child.stdout.readline() if child.stdout is not None else ""
    finally:
        expired = not timer.is_alive()
        timer.cancel()
    if not said:
        status = child.wait(STOP_S)
        if expired:
            raise TimedOut(f"the simulated exchange did not start within {timeout_s:.0f} s")
        raise BotError(f"the simulated exchange did not start (exit {status}); its own words are above")
    found = json.loads(said)
    return Simulator(child, found["rest"], found["stream"], found["ws_api"], found["api_key"], found["secret"])
