"""A bar for long work over bars: how many minutes are done, how fast, and how much time is left.

Where the output is no terminal (a pipe, a file, a service's log) there is no bar to redraw: a line tells what begins, and
one every ``LINE_SECONDS`` how far it is.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

Done = Callable[[int, int], None]
"""Told (minutes done, all minutes)."""


class BarsPerSecond(ProgressColumn):
    """Bars (minutes x instruments) a second, since the work began."""

    def __init__(self, instruments: int) -> None:
        # Where the terminal is narrow the bar gives way, not the speed.
        super().__init__(table_column=Column(no_wrap=True, min_width=len("999.9 k bars/s")))
        self._instruments = max(1, instruments)

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{rate(speed * self._instruments)} bars/s", style="progress.data.speed")


class TimeTold(ProgressColumn):
    """The time that is left, as ``left`` says it in seconds."""

    def __init__(self, left: Callable[[], float | None]) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._left = left

    def render(self, task: Task) -> Text:
        seconds = self._left()
        told = "-:--:--" if seconds is None else str(timedelta(seconds=round(seconds)))
        return Text(told, style="progress.remaining")


LINE_SECONDS = 15.0
"""Between two lines of progress where nothing can be redrawn."""
LEAST_SHARE = 0.01
"""Done, for the time left to be told of it: the first steps have libraries loaded and kernels compiled."""


class _Lines:
    """Progress for an output that is no terminal."""

    def __init__(self, console: Console, what: str) -> None:
        self._console = console
        self._began = self._told = time.monotonic()
        self._print(f"{what.rstrip(' …')} …")

    def tell(self, text: str, seconds: float | None = None) -> None:
        """``text`` and the time left, where it is known, unless something was told a moment ago."""
        now = time.monotonic()
        if now - self._told < LINE_SECONDS:
            return
        self._told = now
        left = ""
        if seconds:
            left = f", about {seconds / 60:.0f} min left" if seconds >= 90 else f", about {seconds:.0f} s left"
        self._print(f"  {text}{left}")

    def left(self, share: float) -> float | None:
        """Seconds left of work that goes on as it went so far; None where nothing is done yet. Its time counts from when that
        was said last: reading and compiling come before."""
        if not share > 0.0:
            self._began = time.monotonic()
            return None
        return (time.monotonic() - self._began) * (1.0 - share) / share if share >= LEAST_SHARE else None

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def stage(console: Console, what: str) -> Iterator[Callable[[str], None]]:
    """A spinner while the block runs; call what it gives with what is being done now."""
    if not console.is_terminal:
        yield _Lines(console, what).tell
        return
    with console.status(what) as status:
        yield status.update


@contextmanager
def share_bar(console: Console, what: str) -> Iterator[Callable[[str, float], None]]:
    """As ``minutes_bar`` for work that tells (what it does, share done) and knows no bars."""
    if not console.is_terminal:
        lines = _Lines(console, what)
        yield lambda text, share: lines.tell(f"{what}: {text} ({share:.0%})", lines.left(share))
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=1.0)
        yield lambda text, share: progress.update(task, description=f"{what}: {text}", completed=share)


def rate(speed: float) -> str:
    """``950``, ``12.3 k``, ``2.41 M``."""
    if speed < 1_000:
        return f"{speed:.0f}"
    return f"{speed / 1e3:.1f} k" if speed < 1e6 else f"{speed / 1e6:.2f} M"


@contextmanager
def bars_bar(
    console: Console, what: str, left: Callable[[], float | None]
) -> Iterator[tuple[Callable[[str], None], Done]]:
    """As ``minutes_bar`` for work in parts, some of which go through no bars: gives how to tell (what it does), and how
    to tell (bars done, all bars). ``left`` is asked how many seconds are left (None: nobody knows), also by the thread
    that draws the bar."""
    if not console.is_terminal:
        lines, now = _Lines(console, what), [what, 0.0]

        def say(text: str) -> None:
            now[0] = text
            lines.tell(f"{text} ({now[1]:.0%})", left())

        def walk(done: int, total: int) -> None:
            now[1] = done / max(total, 1)
            lines.tell(f"{now[0]} ({now[1]:.0%})", left())

        yield say, walk
        return
    columns = (TextColumn("{task.description}"), BarColumn(), BarsPerSecond(instruments=1), TimeTold(left))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield (
            lambda text: progress.update(task, description=text),
            lambda done, total: progress.update(task, completed=done, total=total),
        )


@contextmanager
def minutes_bar(console: Console, what: str, minutes: int, instruments: int) -> Iterator[Done]:
    """Show a bar while the block runs; call what it gives with (done, all)."""
    if not console.is_terminal:
        lines, began = _Lines(console, what), time.monotonic()

        def line(done: int, total: int) -> None:
            nonlocal began
            if not done:
                began = time.monotonic()  # the speed is that of the work alone
            speed = done * max(1, instruments) / max(time.monotonic() - began, 1e-9)
            lines.tell(f"{what}: {done:,} of {total:,} minutes, {rate(speed)} bars/s", lines.left(done / max(total, 1)))

        yield line
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        BarsPerSecond(instruments),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=minutes)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def tell_notes(console: Console, notes: Sequence[str]) -> None:
    """What was done to the bars of a market, where no report says it (``MarketSource.notes``)."""
    for note in notes:
        console.print(note, style="yellow", highlight=False, markup=False, soft_wrap=True)
