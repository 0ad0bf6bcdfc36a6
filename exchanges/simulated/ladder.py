"""A book as it is displayed: levels in ticks and steps."""

from dataclasses import dataclass

Levels = tuple[tuple[int, int], ...]
"""(ticks, steps), best first."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """Both sides of a book, before anybody of ours took from it."""

    bids: Levels = ()
    asks: Levels = ()


EMPTY = Ladder()
