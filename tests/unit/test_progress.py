"""The bar of long work: how far, how fast, how long yet."""

import io
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from data.progress import LINE_SECONDS, BarsPerSecond, minutes_bar, rate, share_bar, stage


def test_speeds_are_short():
    assert [rate(v) for v in (0.4, 950, 12_345, 2_410_000)] == ["0", "950", "12.3 k", "2.41 M"]


def test_speed_counts_every_instrument_and_waits_for_a_first_step():
    now = 0.0
    progress = Progress(get_time=lambda: now, console=Console(file=io.StringIO()))
    progress.add_task("trading", total=1_000)
    task = progress.tasks[0]
    assert BarsPerSecond(5).render(task).plain == ""
    for _ in range(3):
        now += 1.0
        progress.advance(task.id, 100)
    assert BarsPerSecond(5).render(task).plain == "500 bars/s"


def test_the_speed_is_whole_on_a_narrow_terminal():
    out, now = io.StringIO(), 0.0
    console = Console(file=out, width=80)
    columns = (TextColumn("{task.description}"), BarColumn(), BarsPerSecond(1), TimeRemainingColumn())
    progress = Progress(*columns, console=console, get_time=lambda: now)
    task = progress.add_task("fold 2 of 4: ridge learns from 162,302 samples", total=1_000_000)
    for _ in range(3):
        now += 1.0
        progress.advance(task, 150_000)
    console.print(progress.get_renderable())
    assert "150.0 k bars/s" in out.getvalue()


def test_a_bar_shows_what_is_done_and_leaves_nothing_behind():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with minutes_bar(console, "trading", 500, 5) as done:
        done(250, 500)
    assert "trading" in out.getvalue()
    assert "250/500" in out.getvalue() or "500" in out.getvalue()
    with share_bar(console, "members") as told:
        told("ridge", 0.5)
    assert "members: ridge" in out.getvalue()


def test_without_a_terminal_lines_tell_what_begins_and_now_and_then_how_far_it_is(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    out = io.StringIO()
    console = Console(file=out, width=40)
    with minutes_bar(console, "trading", 1_000, 5) as done:
        now += LINE_SECONDS - 1
        done(10, 1_000)
        now += 1
        done(100, 1_000)
        done(101, 1_000)
    with share_bar(console, "members") as told:
        now += 2 * LINE_SECONDS
        told("ridge [fold 1]", 0.5)
    with stage(console, "the engine …") as tell:
        now += LINE_SECONDS
        tell("compiling …")
    assert out.getvalue().splitlines() == [
        "trading …",
        "  trading: 100 of 1,000 minutes, 33 bars/s, about 2 min left",
        "members …",
        "  members: ridge [fold 1] (50%), about 30 s left",
        "the engine …",
        "  compiling …",
    ]


def test_the_time_left_counts_from_when_nothing_was_done_yet(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    out = io.StringIO()
    with share_bar(Console(file=out, width=100), "training") as told:
        now += 600.0
        told("computing features", 0.0)
        now += 15.0
        told("seed 1 of 5", 0.003)
        now += 15.0
        told("seed 1 of 5", 0.25)
    assert out.getvalue().splitlines() == [
        "training …",
        "  training: computing features (0%)",
        "  training: seed 1 of 5 (0%)",
        "  training: seed 1 of 5 (25%), about 2 min left",
    ]
