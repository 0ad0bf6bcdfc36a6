"""A job over several sizes of one thing: what every ``*_job`` module does with the calls it makes."""

import time
from collections.abc import Callable

from tests.bench.peers.protocol import arguments, in_turns, report


def sizes_of(text: str) -> list[tuple[int, int]]:
    """``5x1000,10x1000`` as (symbols, minutes)."""
    return [(int(a), int(b)) for a, _, b in (one.partition("x") for one in text.split(","))]


def run(call_of: Callable[[int, int], Callable[[], str]]) -> None:
    """Make the calls of the sizes on the command line, make each once, time them in turns, and report.

    A call gives a word on what it did. ``first_s`` is the very first call, [wall, processor] seconds: what compiles, or
    loads what is compiled.
    """
    args = arguments("points")
    sizes = sizes_of(args.points)
    calls = [call_of(*size) for size in sizes]
    began, used = time.perf_counter(), time.process_time()
    notes = [calls[0]()]
    first_s = [time.perf_counter() - began, time.process_time() - used]
    notes += [call() for call in calls[1:]]
    seconds = in_turns(calls, args.repeat)
    told = [(*size, took) for size, took in zip(sizes, seconds, strict=True)]
    report(points=told, notes=notes, first_s=first_s)
