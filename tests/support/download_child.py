"""A download in a process of its own that is killed at a chosen moment.

Started by a fork server: it has imported the clients once and has no threads, so that a fork of it is safe.
"""

import argparse
import contextlib
import io
import multiprocessing
import os
import signal
from pathlib import Path

from actors.verbs import data_command
from data.downloads import DownloadState
from data.lake import Lake

PRELOAD = ["actors.history.history_command", "tests.support.download_child"]
PLACES = {"noted": (DownloadState, "note"), "written": (Lake, "write"), "moved": (Path, "replace")}
"""A piece is noted as finished; bars are written; a file takes its place."""


def run(*words: object) -> int:
    """``run.py data …``, here."""
    parser = argparse.ArgumentParser(prog="run.py data")
    data_command.arguments(parser)
    return data_command.main(parser.parse_args([str(word) for word in words]))


def download_words(url: str, lake: Path, venue: str, symbols: str) -> list[object]:
    words: list[object] = ["download", "--exchange", venue, "--symbols", symbols, "--since", "2026-01-01"]
    return [*words, "--lake", lake, "--exchange-url", url]


def killed(url: str, lake: Path, where: str, count: int, venue: str, symbols: str) -> int:
    """A download killed at the ``count``-th time it comes to ``where`` (``noted before``, …); its exit code, 0 when it
    ended before that."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    child = context.Process(target=_until_killed, args=(where, count, download_words(url, lake, venue, symbols)))
    child.start()
    child.join(60)
    if child.exitcode is None:
        child.kill()
        raise AssertionError("the download did not end within 60 s")
    return child.exitcode


def _until_killed(where: str, count: int, words: list[object]) -> None:
    place, _, moment = where.partition(" ")
    target, name = PLACES[place]
    real, left = getattr(target, name), [count]

    def counting(*args, **more):
        left[0] -= 1
        if not left[0] and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = real(*args, **more)
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(target, name, counting)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        run(*words)
