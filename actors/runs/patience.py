"""What is waited for, said again and again with its seconds: on a busy machine a silence looks like a fault."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray

EVERY_S = 10.0


@contextmanager
def told_again(say: Callable[[str], None], what: Callable[[], str], every_s: float = EVERY_S) -> Iterator[None]:
    """While the block runs, say every ``every_s`` seconds how long it has been and ``what()`` is being waited for."""
    began, over = time.monotonic(), threading.Event()

    def tell() -> None:
        while not over.wait(every_s):
            try:
                words = what()
            except (ray.exceptions.RayError, RuntimeError, ValueError, TimeoutError):
                # Whatever is asked may be coming up itself: then only the time is known.
                words = ""
            if not over.is_set():
                say(f"          {time.monotonic() - began:.0f} s{f': {words}' if words else ' …'}")

    thread = threading.Thread(target=tell, name="patience", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(1.0)


def page_words() -> str:
    """Which of Ray Serve's processes the page still waits for, by the names that are taken already."""
    names = {told["name"] for told in ray.util.list_named_actors(all_namespaces=True)}
    stages = (
        ("SERVE_CONTROLLER_ACTOR", "Ray Serve's controller"),
        ("SERVE_PROXY_ACTOR", "Ray Serve's HTTP proxy"),
        ("SERVE_REPLICA::dashboard", "the page's own process"),
    )
    # The last one that has begun is the one that is being waited for; each takes seconds to import what it needs.
    begun = [words for prefix, words in stages if any(name.startswith(prefix) for name in names)]
    return f"{begun[-1] if begun else stages[0][1]} is starting ({len(names)} processes begun beside it)"


def models_words(members: tuple[str, ...]) -> str:
    """Which members' replicas have not begun."""
    names = {told["name"] for told in ray.util.list_named_actors(all_namespaces=True)}
    missing = [m for m in members if not any(name.startswith(f"SERVE_REPLICA::member-{m}#") for name in names)]
    return f"{', '.join(missing)} not begun" if missing else f"{', '.join(members)} load their models"


def actors_words(status: dict[str, dict]) -> str:
    """Who is still starting, of the supervisor's word."""
    waiting = [name for name, told in status.items() if told["state"] != "running"]
    return f"{len(status) - len(waiting)} of {len(status)} run; waiting for {', '.join(waiting)}"
