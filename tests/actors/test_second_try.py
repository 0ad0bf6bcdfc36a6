"""What begins with nothing is begun a second time when an actor of it died, and no more often."""

import pytest
from ray.exceptions import RayActorError

from actors.runs.launch import twice


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

    def run(self) -> str:
        return twice(self, self.undo, self.said.append)


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
