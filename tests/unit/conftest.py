"""The fence around unit tests: no Ray, no network, no waiting. What needs them belongs into another folder."""

import socket
import time
from typing import NoReturn

import pytest
import ray

RUN_PROGRAMS = {
    "test_hot.py": "the packaged Redis on a unix socket",
    "test_bootstrap_fresh.py": "run.py itself, with pip, on an empty folder",
}
"""Files that start real programs on this machine and wait for them: not fenced."""


@pytest.fixture(autouse=True)
def fence(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a unit test fail that starts Ray, opens a connection, listens, or sleeps."""
    if request.path.name in RUN_PROGRAMS:
        return

    def no_ray(*args: object, **kwargs: object) -> NoReturn:
        raise AssertionError("a unit test must not start Ray; test the plain class, or move the test to tests/ray")

    def no_network(*args: object) -> NoReturn:
        raise AssertionError("a unit test must not use the network; move the test to tests/wire or tests/sim")

    def no_sleep(*args: object, **kwargs: object) -> NoReturn:
        raise AssertionError("a unit test must not sleep; pass the time in by argument")

    monkeypatch.setattr(ray, "init", no_ray)
    for call in ("connect", "connect_ex", "bind", "listen"):
        monkeypatch.setattr(socket.socket, call, no_network)
    monkeypatch.setattr(time, "sleep", no_sleep)
