"""How the trials of a search compare, best first, with what each cost and why some did not get to the end.

Made from the records alone (``tune.auto.records``). ``deflated`` is the probability that a trial's gain is more than what
the luckiest of as many trials shows; a trial that learned from less than all samples has none.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from rich.console import Console

from core.errors import DataError
from core.units import plural
from tune.auto.budget import size
from tune.auto.judging import deflated, ratio
from tune.auto.records import Step, cost_of, last_of_each, read_series
from tune.auto.space import Value, in_words
from tune.auto.task import NINTHS
from tune.stats.overfitting import overfitting

FILE = "leaderboard.json"
SHOWN = 15
NATS = 1e4
"""Gains are shown in ten-thousandths of a nat a forecast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One trial."""

    key: str
    family: str
    hyper: dict[str, Value]
    ninths: int
    """Of the samples that its best step learned from; 0: none ended well."""
    outcome: str
    """``whole``, ``stopped`` (others were better on the same rung), or why it has no more: ``memory``, ``time`` …"""
    reason: str = ""
    score: float | None = None
    gain: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    folds: tuple[float, ...] = ()
    deflated: float | None = None
    seconds: float = 0.0
    peak: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalist:
    """A trial that was judged on what was held out."""

    key: str
    member: str
    version: str
    held_out: dict[str, float]
    """``gain`` in nats a forecast, ``ic`` and the other figures."""
    net_pct: float
    """What an account of its own made there, after all costs, in percent."""
    trades: int
    verdict: str
    seconds: float = 0.0
    peak: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """What a search ends with."""

    rows: tuple[Row, ...]
    trials: int
    pbo: float | None
    """Probability that choosing the best of the whole trials overfits."""
    finalists: tuple[Finalist, ...] = ()
    verdict: str = ""
    """The word on the account in which all finalists vote; empty while there is none."""
    reasons: tuple[str, ...] = ()
    net_pct: float | None = None
    about: dict[str, Any] = field(default_factory=dict)
    """Search, span, budget, time spent, peak memory."""

    def save(self, path: Path) -> None:
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what ``save`` wrote; DataError says what is wrong with it."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            stored["rows"] = tuple(Row(**{**row, "folds": tuple(row["folds"])}) for row in stored["rows"])
            stored["finalists"] = tuple(Finalist(**one) for one in stored["finalists"])
            stored["reasons"] = tuple(stored["reasons"])
            return cls(**stored)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}: not a leaderboard ({error}); move the file away") from None


def ranked(steps: Mapping[tuple[str, int], Step], series: Mapping[str, np.ndarray]) -> Leaderboard:
    """The trials, best first. ``series``: (2, H) hours and gains by key, of the whole ones."""
    last = last_of_each(steps.values())
    best = {step.key: step for step in last_of_each(step for step in steps.values() if step.ok)}
    whole = [key for key, step in best.items() if step.whole]
    ratios = [ratio(series[key][1]) for key in whole]
    rows = []
    for step in last:
        good = best.get(step.key)
        seconds, peak = cost_of(steps.values(), step.key)
        row = Row(
            key=step.key,
            family=step.family,
            hyper=step.hyper,
            ninths=good.ninths if good else 0,
            outcome="whole" if step.whole else "stopped" if step.ok else step.status,
            reason=step.reason,
            seconds=seconds,
            peak=peak,
        )
        if good is not None:
            row = replace(row, score=good.score, gain=good.gain, figures=good.figures, folds=good.folds)
        if step.key in whole:
            row = replace(row, deflated=deflated(series[step.key][1], ratios, len(last)))
        rows.append(row)
    rows.sort(key=lambda row: (-row.ninths, -(row.score if row.score is not None else -np.inf), row.key))
    return Leaderboard(rows=tuple(rows), trials=len(rows), pbo=_pbo([series[key] for key in whole]))


def _pbo(series: Sequence[np.ndarray]) -> float | None:
    """By hours that all of them were judged in."""
    if len(series) < 2:
        return None
    hours = series[0][0]
    for one in series[1:]:
        hours = np.intersect1d(hours, one[0])
    found = overfitting(np.stack([one[1][np.isin(one[0], hours)] for one in series], axis=1))
    return None if found is None else found.pbo


def series_of(folder: Path, steps: Iterable[Step]) -> dict[str, np.ndarray]:
    """Of the whole trials; one whose file is lost is not whole any more, which is a DataError."""
    return {s.key: read_series(folder / "series" / f"{s.key}-{s.ninths}.npy") for s in steps if s.whole}


def finalists_of(board: Leaderboard, most: int) -> tuple[Row, ...]:
    """The best of each family first, then the next best, of those that learned from as many samples as any did. Who was worse
    than silence is none, but for the very best."""
    reached = max((row.ninths for row in board.rows), default=0)
    there = [row for row in board.rows if reached and row.ninths == reached]
    there = [row for row in there if row is there[0] or (row.gain or 0.0) >= 0.0]
    firsts = {row.family: row for row in reversed(there)}
    order = sorted(there, key=lambda row: (row is not firsts[row.family], there.index(row)))
    return tuple(sorted(order[:most], key=there.index))


def show(console: Console, board: Leaderboard) -> None:
    """The tables and the words."""
    _trials(console, board)
    if board.finalists:
        _finals(console, board)
    lost: dict[str, list[Row]] = {}
    for row in board.rows:
        if row.outcome not in ("whole", "stopped"):
            lost.setdefault(row.outcome, []).append(row)
    for outcome, rows in lost.items():
        reasons = list(dict.fromkeys(row.reason for row in rows))
        more = f"; and {plural(len(reasons) - 1, 'other reason')}" if len(reasons) > 1 else ""
        console.print(
            f"{outcome}: {plural(len(rows), 'trial')}, e.g. {rows[0].family}: {reasons[0]}{more}",
            markup=False,
            soft_wrap=True,
        )
    if board.pbo is not None:
        whole = sum(row.outcome == "whole" for row in board.rows)
        console.print(
            f"chance that choosing the best of {plural(whole, 'whole trial')} overfits: {board.pbo:.0%}",
            highlight=False,
        )


def _trials(console: Console, board: Leaderboard) -> None:
    console.print(
        f"leaderboard: {plural(board.trials, 'trial')}, judged out of sample (gain in 1e-4 nats a forecast: 0 is silence)",
        highlight=False,
        soft_wrap=True,
    )
    rows = [("", "family", "learned", "gain", "ic", "cover 80", "deflated", "s", "MB", "outcome", "settings")]
    for place, row in enumerate(board.rows[:SHOWN], 1):
        rows.append(
            (
                str(place),
                row.family,
                f"{row.ninths}/{NINTHS[-1]}",
                *_figures(row.gain, row.figures),
                _chance(row),
                f"{row.seconds:.0f}",
                f"{row.peak / 1e6:.0f}",
                row.outcome,
                in_words(row.hyper),
            )
        )
    _lines(console, rows, words=(1, 9, 10))
    if len(board.rows) > SHOWN:
        console.print(f"… and {len(board.rows) - SHOWN} more", highlight=False)


def _figures(gain: float | None, figures: Mapping[str, float]) -> tuple[str, str, str]:
    if gain is None:
        return "", "", ""
    return f"{gain * NATS:+.2f}", f"{figures.get('ic', 0.0):+.3f}", f"{figures.get('coverage_80', 0.0):.0%}"


def _chance(row: Row) -> str:
    if row.outcome != "whole":
        return ""
    return "silent" if row.deflated is None else f"{row.deflated:.0%}"


def _finals(console: Console, board: Leaderboard) -> None:
    families = {row.key: row.family for row in board.rows}
    console.print("finalists, on the part that no trial saw", highlight=False)
    rows = [("candidate", "family", "gain", "ic", "cover 80", "net %", "trades", "s", "MB", "verdict")]
    for one in board.finalists:
        rows.append(
            (
                f"{one.member} {one.version}",
                families.get(one.key, ""),
                *_figures(one.held_out.get("gain"), one.held_out),
                f"{one.net_pct:+.2f}",
                str(one.trades),
                f"{one.seconds:.0f}",
                f"{one.peak / 1e6:.0f}",
                one.verdict,
            )
        )
    _lines(console, rows, words=(0, 1, 9))
    net = "" if board.net_pct is None else f" (all finalists voting: {board.net_pct:+.2f} % net)"
    console.print(f"verdict: {board.verdict}{net}", highlight=False)
    for reason in board.reasons:
        console.print(f"  - {reason}", highlight=False, markup=False, soft_wrap=True)


def _lines(console: Console, rows: Sequence[tuple[str, ...]], words: tuple[int, ...]) -> None:
    """Plain lines: a table cut to the 80 columns of a pipe would hide what it is for. ``words``: columns set left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            f"{cell:<{width}}" if at in words else f"{cell:>{width}}"
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        console.print("  ".join(cells).rstrip(), markup=False, highlight=False, soft_wrap=True)


def in_short(board: Leaderboard) -> str:
    """One line."""
    about = board.about
    peak, spent = about.get("peak_bytes", 0), about.get("spent_s", 0.0)
    return f"{plural(board.trials, 'trial')} in {spent / 60:.1f} minutes, at most {size(peak)} of memory; verdict: {board.verdict or 'not judged yet'}"
