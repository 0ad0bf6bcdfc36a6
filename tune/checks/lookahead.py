"""Does anything know its future? Change what comes after a cut and see whether an answer before it changes.

A *subject* turns a market into answers, each with the newest bar it may know. Everything is judged from outside:
whatever way an answer came to know a later bar (a shift, a centred window, a scale fitted on everything, a label
that reaches over), another future changes it. What the check cannot see is a peek that no tried future brings out;
more cuts and other seeds try more of them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.errors import ConfigError
from core.units import MINUTE_MS
from data.market import MarketCut
from tune.checks.answers import Answers, Difference, count, differences, same_value
from tune.checks.changes import APPENDED, CHANGES, minutes_of, one_bar

NEAR = 8
"""Single bars after the allowed ones that are tried to find the nearest that is looked at."""
SEARCHED = 3
"""Leaking columns of a subject whose reach is searched for; the others are reported with what is known."""

Ask = Callable[[MarketCut], Answers]
Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the whole that is done, 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Something that answers from a market and must not know its future."""

    name: str
    ask: Ask
    first: int = 1
    """The earliest cut that leaves it enough to answer."""
    tries: tuple[tuple[str, int], ...] = ()
    """(name of a change, cut) to try; when empty every change, at cuts drawn between ``first`` and the end."""
    most_cuts: int = 1_000
    """Fewer than asked for where an answer takes long."""
    about: str = ""
    """What it is, for the table."""
    market: MarketCut | None = None
    """Its own market, where it wants another than the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """An answer that changed with its future."""

    subject: str
    change: str
    minute: int
    """Minute of the answer, epoch ms."""
    cut_minute: int
    """First minute that was changed, epoch ms."""
    nearest: int | None
    """The nearest later bar that is looked at, counted from the newest that is allowed; None when not one of the
    first few does it alone."""
    farthest: int
    """The farthest later bar that is looked at; at least so far when ``open_ended``."""
    open_ended: bool
    where: Difference

    @property
    def ahead(self) -> str:
        """How far it looked, in words."""
        far = f"{self.farthest}{'+' if self.open_ended else ''}"
        near = self.nearest
        span = far if near in (None, self.farthest) else f"{near} to {far}"
        return f"{span} {'bar' if span == '1' else 'bars'} ahead"

    def __str__(self) -> str:
        more = f" ({self.where.rows} answers changed)" if self.where.rows > 1 else ""
        of = f" of {self.where.label}" if self.where.label else ""
        by = "" if np.isnan(self.where.distance) else f" (by {self.where.distance:.3g})"
        return (
            f"{self.subject}: {self.where.column}{of} at {utc(self.minute)} was {_short(self.where.left)} and became "
            f"{_short(self.where.right)}{by} when the bars from {utc(self.cut_minute)} on were {self.change}: "
            f"it looks {self.ahead}{more}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What the check of one subject found."""

    subject: str
    about: str
    columns: int
    compared: int
    """Values held against each other."""
    futures: int
    """Other futures it was asked about."""
    leaks: tuple[Leak, ...]
    """At most one a column, the earliest answer."""
    seconds: float


def look(
    subject: Subject,
    market: MarketCut,
    *,
    cuts: int = 3,
    seed: int = 1,
    progress: Progress = lambda text, share: None,
) -> Looked:
    """Ask the subject about ``market`` and about the same market with other futures; compare what was before."""
    began = time.perf_counter()
    market = subject.market or market
    base = subject.ask(market)
    tried = _tries(subject, minutes_of(market), cuts, seed)
    first: dict[str, tuple[str, int, Difference]] = {}
    compared = 0
    for number, (name, cut) in enumerate(tried):
        progress(f"{subject.name}: {name} at {utc(_minute(market, cut))}", number / len(tried))
        compared += count(base, cut)
        for found in differences(base, subject.ask(CHANGES[name](market, cut, seed)), cut):
            known = first.get(found.column)
            if known is None or found.at < known[2].at:
                first[found.column] = (name, cut, found)
    leaks = [
        _leak(subject, market, base, change, cut, found, seed, search=number < SEARCHED)
        for number, (change, cut, found) in enumerate(first.values())
    ]
    progress(f"{subject.name}: done", 1.0)
    return Looked(
        subject=subject.name,
        about=subject.about,
        columns=len(base),
        compared=compared,
        futures=len(tried),
        leaks=tuple(leaks),
        seconds=time.perf_counter() - began,
    )


def _tries(subject: Subject, minutes: int, wanted: int, seed: int) -> list[tuple[str, int]]:
    """The subject's own, or every change at seeded cuts between its first answer and the end, the last bar alone
    among them. Appending changes nothing before the end, so it is tried there, once."""
    if subject.tries:
        tries = subject.tries
    else:
        if minutes - 1 <= subject.first:
            raise ConfigError(
                f"{subject.name}: the market has {minutes} minutes and the first cut comes after {subject.first}; "
                "give it more --minutes"
            )
        wanted = min(wanted, subject.most_cuts)
        drawn = np.random.default_rng([seed, minutes]).integers(subject.first, minutes - 1, max(wanted - 1, 1))
        cuts = sorted({*map(int, drawn), *((minutes - 1,) if wanted > 1 else ())})
        tries = tuple((change, cut) for change in CHANGES for cut in cuts)
    return list(dict.fromkeys((change, minutes if change == "appended" else cut) for change, cut in tries))


def _leak(
    subject: Subject,
    market: MarketCut,
    base: Answers,
    change: str,
    cut: int,
    found: Difference,
    seed: int,
    search: bool,
) -> Leak:
    """Measure how far an answer looked: the farthest change that still moves it, and the nearest bar that does."""
    minutes = minutes_of(market)
    farthest, open_ended, nearest = cut - found.known, True, None
    if change != "appended" and search:

        def moves(distance: int) -> bool:
            changed = subject.ask(CHANGES[change](market, found.known + distance, seed))
            return not same_value(base, changed, found)

        beyond = minutes - found.known
        while beyond - farthest > 1:
            middle = (farthest + beyond) // 2
            farthest, beyond = (middle, beyond) if moves(middle) else (farthest, middle)
        open_ended = farthest == minutes - 1 - found.known
    if search:
        reachable = range(1, min(NEAR, farthest, minutes - 1 - found.known) + 1)
        nearest = next(
            (d for d in reachable if not same_value(base, subject.ask(one_bar(market, found.known + d, seed)), found)),
            None,
        )
    return Leak(
        subject=subject.name,
        change=f"appended ({APPENDED} more)" if change == "appended" else change,
        minute=_minute(market, found.at),
        cut_minute=_minute(market, cut),
        nearest=nearest,
        farthest=farthest,
        open_ended=open_ended,
        where=found,
    )


def _minute(market: MarketCut, index: int) -> int:
    return market.start_minute + index * MINUTE_MS


def utc(ms: int) -> str:
    """``2026-03-01T07:13``."""
    return str(np.datetime64(ms, "ms").astype("datetime64[m]"))


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
