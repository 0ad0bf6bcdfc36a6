"""A long history cut into pieces that can be fetched, finished and resumed one by one. Pure; times are epoch ms, UTC.

A *span* is ``(first, end)``: minutes from ``first`` on, ``end`` not included.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.units import MINUTE_MS

DAY_MS = 86_400_000
Span = tuple[int, int]
Kind = Literal["month", "day", "pages"]

ARCHIVED_AFTER_MS = 6 * 3_600_000
"""An archive's file of a day is looked for this long after the day ended; sooner, pages are asked for at once."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing to fetch: a whole month's or day's archive file, or the pages of at most a day."""

    kind: Kind
    first: int
    end: int

    @property
    def name(self) -> str:
        """``2024-01`` or ``2024-01-31``: as archives name their files."""
        return str(np.datetime64(self.first, "ms").astype(f"datetime64[{'M' if self.kind == 'month' else 'D'}]"))


def joined(spans: Iterable[Span]) -> list[Span]:
    """The same minutes in as few spans as possible, by time."""
    found: list[Span] = []
    for first, end in sorted(s for s in spans if s[0] < s[1]):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((first, end))
    return found


def outside(spans: Iterable[Span], first: int, end: int) -> list[Span]:
    """What of ``[first, end)`` lies in none of the spans."""
    found, at = [], first
    for low, high in joined(spans):
        if low > at:
            found.append((at, min(low, end)))
        at = max(at, high)
        if at >= end:
            break
    return joined([*found, (at, end)])


def month_start(ts: int, later: int = 0) -> int:
    """When the month of a time began, or the one so many months ``later``."""
    month = np.datetime64(ts, "ms").astype("datetime64[M]") + later
    return int(month.astype("datetime64[ms]").astype(np.int64))


def plan(wanted: Sequence[Span], now_ms: int, *, archive: bool) -> list[Piece]:
    """Pieces that cover the wanted spans, oldest first: whole months and days from an archive where there is one and
    they are over, pages for the rest."""
    pieces: list[Piece] = []
    for first, end in wanted:
        at = first
        while at < end:
            month, after = month_start(at), month_start(at, 1)
            if archive and at == month and after <= end and after + ARCHIVED_AFTER_MS <= now_ms:
                piece = Piece("month", at, after)
            else:
                piece = _of_day(at, end, now_ms, archive)
            pieces.append(piece)
            at = piece.end
    return pieces


def _of_day(at: int, end: int, now_ms: int, archive: bool) -> Piece:
    after = at // DAY_MS * DAY_MS + DAY_MS
    whole = at % DAY_MS == 0 and after <= end
    if archive and whole and after + ARCHIVED_AFTER_MS <= now_ms:
        return Piece("day", at, after)
    return Piece("pages", at, min(after, end))


def finer(piece: Piece) -> list[Piece]:
    """What to try where an archive has not got it, or has it damaged."""
    if piece.kind == "month":
        return [Piece("day", at, at + DAY_MS) for at in range(piece.first, piece.end, DAY_MS)]
    return [Piece("pages", piece.first, piece.end)] if piece.kind == "day" else []


def gaps(minutes: np.ndarray, first: int, end: int) -> list[Span]:
    """Spans of ``[first, end)`` without a bar; ``minutes`` are the stored ones, ascending."""
    inside = minutes[(minutes >= first) & (minutes < end)]
    edges = np.concatenate([[first - MINUTE_MS], inside, [end]]).astype(np.int64)
    at = np.flatnonzero(np.diff(edges) > MINUTE_MS)
    return [(int(edges[i]) + MINUTE_MS, int(edges[i + 1])) for i in at]


def time_left_s(done_minutes: int, all_minutes: int, elapsed_s: float) -> float | None:
    """At the pace so far; None while nothing is done."""
    if done_minutes <= 0 or elapsed_s <= 0:
        return None
    return elapsed_s / done_minutes * max(0, all_minutes - done_minutes)
