"""Run pip, keep its words in a log, and show how far it is: one moving line on a terminal, few lines elsewhere."""

import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

PLAIN_SECONDS = 15.0
"""Longest silence in plain output."""


class Progress:
    """How far pip is, read from its words and from what has appeared in ``site``."""

    def __init__(self, wanted: int, site: Path) -> None:
        self._wanted = wanted
        self._site = site
        self._found: set[str] = set()
        self._installing = 0
        self._before = 0
        self._doing = "starting"

    def hear(self, line: str) -> None:
        """Take in one line that pip printed."""
        words = line.split()
        if line.startswith(("Collecting ", "Processing ", "Requirement already satisfied: ")):
            name = Path(words[3] if words[0] == "Requirement" else words[1]).name
            self._found.add(name)
            self._doing = name
        elif words[:1] in (["Downloading"], ["Using"], ["Building"]):
            # "Downloading ray-2.60.0-cp311-….whl (72.1 MB)": a large one takes its time, so its size is told.
            size = line[line.find("(") :].strip() if "(" in line else ""
            self._doing = f"{words[0].lower()} {'-'.join(Path(words[1]).name.split('-')[:2])} {size}".rstrip()[:50]
        elif line.startswith("Installing collected packages: "):
            self._installing = line.count(",") + 1
            self._before = self._present()
        elif "Retrying (" in line:
            self._doing = "the package registry does not answer, trying again"

    def percent(self) -> int:
        """0 to 99: fetching is the first half, installing the second."""
        fetched = min(1.0, len(self._found) / max(1, self._wanted))
        installed = self._installed() / self._installing if self._installing else 0.0
        return (
            min(99, int(50 * fetched + 50 * installed)) if not self._installing else min(99, int(50 + 50 * installed))
        )

    def text(self) -> str:
        """One line for a person."""
        if self._installing:
            return f"{self.percent():3d} %  installing, {self._installed()} of {self._installing}"
        return (
            f"{self.percent():3d} %  fetching, {min(len(self._found), self._wanted)} of {self._wanted}: {self._doing}"
        )

    def _present(self) -> int:
        return sum(1 for _ in self._site.glob("*.dist-info"))

    def _installed(self) -> int:
        return max(0, min(self._present() - self._before, self._installing))


def follow(command: list[str], environ: Mapping[str, str], log: Path, progress: Progress) -> tuple[int, str]:
    """Run the command to its end; gives its exit code and everything it said (also written to ``log``)."""
    said: list[str] = []
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(  # noqa: S603
            command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, encoding="utf-8", errors="replace",
        ) as child,
    ):  # fmt: skip
        reader = threading.Thread(target=_read, args=(child, file, said, progress), daemon=True)
        reader.start()
        try:
            _show(reader, progress)
            code = child.wait()
        except BaseException:
            child.terminate()
            raise
    return code, "".join(said)


def _read(child: "subprocess.Popen[str]", file: TextIO, said: list[str], progress: Progress) -> None:
    for line in child.stdout or ():
        said.append(line)
        file.write(line)
        progress.hear(line)


def _show(reader: threading.Thread, progress: Progress) -> None:
    live = sys.stdout.isatty()
    last_step, last_time = -1, time.monotonic()
    while reader.is_alive():
        reader.join(0.25)
        if live:
            print(f"\r\x1b[K  {progress.text()[:76]}", end="", flush=True)
        elif progress.percent() // 10 > last_step or time.monotonic() - last_time > PLAIN_SECONDS:
            print(f"  {progress.text()}", flush=True)
            last_step, last_time = progress.percent() // 10, time.monotonic()
    if live:
        print("\r\x1b[K", end="", flush=True)
