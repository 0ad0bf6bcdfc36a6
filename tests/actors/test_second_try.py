"""What begins with nothing is begun a second time when an actor of it died, and no more often."""

import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.exceptions import RayActorError

from actors.runs.launch import Launch, twice
from config.load import load_settings
from core.errors import BotError, ConfigError

ROOT = Path(__file__).resolve().parents[2]


class Work:
    """Fails as often as it is told, with an error of a kind."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls, self.undone, self.said = list(errors), 0, 0, list[str]()

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "there"

    def undo(self) -> None:
        self.undone += 1

    def run(self, *kind: type[Exception]) -> str:
        return twice(self, self.undo, self.said.append, *kind)


def test_one_death_is_tried_again_and_said():
    work = Work(RayActorError())
    assert work.run() == "there"
    assert (work.calls, work.undone, len(work.said)) == (2, 1, 1)


def test_two_deaths_are_told():
    work = Work(RayActorError(), RayActorError())
    with pytest.raises(RayActorError):
        work.run()
    assert work.calls == 2


def test_any_other_error_is_told_at_once():
    work = Work(RuntimeError("port"))
    with pytest.raises(RuntimeError):
        work.run()
    assert (work.calls, work.undone, work.said) == (1, 0, [])


def test_which_error_is_tried_again_is_the_callers_word():
    work = Work(BotError("Ray did not start"))
    assert work.run(BotError) == "there"
    assert (work.calls, work.undone) == (2, 1)


def test_a_port_in_use_is_told_before_anything_is_started(monkeypatch, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        settings = load_settings(ROOT / "config", environ={}, overrides=[f"dashboard.port={port}"])
        plan = SimpleNamespace(settings=settings, root=tmp_path)
        with pytest.raises(ConfigError, match=rf"dashboard.port: {port} is in use"):
            Launch(plan, lambda _: None).start(dict, {})
    assert not list(tmp_path.iterdir())
