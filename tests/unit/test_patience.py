"""While something is waited for, its seconds and what is missing are said again."""

from queue import Queue

from actors.runs.patience import actors_words, told_again


def test_a_wait_is_told_again_until_it_is_over():
    said: Queue[str] = Queue()
    with told_again(said.put, lambda: "the page's own process is starting", every_s=0.02):
        first, _ = said.get(timeout=10), said.get(timeout=10)
    assert first.strip().endswith("s: the page's own process is starting")


def test_nothing_is_said_of_what_comes_at_once():
    said: Queue[str] = Queue()
    with told_again(said.put, lambda: "never", every_s=60.0):
        pass
    assert said.empty()


def test_what_cannot_be_asked_yet_leaves_the_seconds():
    said: Queue[str] = Queue()

    def failing() -> str:
        raise RuntimeError("not up")

    with told_again(said.put, failing, every_s=0.02):
        assert said.get(timeout=10).strip() == "0 s …"


def test_the_actors_that_are_missing_are_named():
    status = {"feed": {"state": "running"}, "cache": {"state": "starting"}}
    assert actors_words(status) == "1 of 2 run; waiting for cache"
