"""A bar for long work over bars: how many minutes are done, how fast, and how much time is left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


@contextmanager
def share_bar(console: Console, what: str) -> Iterator[Callable[[str, float], None]]:
    """As ``minutes_bar`` for work that tells (what it does, share done) and knows no bars."""
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
def minutes_bar(console: Console, what: str, minutes: int, instruments: int) -> Iterator[Done]:
    """Show a bar while the block runs; call what it gives with (done, all)."""
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
