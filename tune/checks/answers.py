"""What a subject answered, minute by minute, and where two sets of answers part."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Column:
    """One kind of answer: N rows, each of one value or of K (an instrument each, as a rule)."""

    values: np.ndarray
    """(N,) or (N, K); numbers, or texts that differ when the answer does."""
    at: np.ndarray
    """(N,) minute index the row belongs to, increasing."""
    known: np.ndarray
    """(N,) index of the newest bar that the row may depend on."""
    labels: tuple[str, ...] = ()
    """(K,) what the values of a row are of."""
    tolerance: float = 0.0
    """Numbers nearer than this count as equal; 0 asks for the same to the last bit."""


Answers = Mapping[str, Column]
"""By the name of what was answered, e.g. a feature's."""


def by_minute(
    values: np.ndarray, *, first: int = 0, reach: int = 0, labels: tuple[str, ...] = (), tolerance: float = 0.0
) -> Column:
    """A row a minute from index ``first`` on, each knowing the bars up to its own (and ``reach`` more)."""
    at = first + np.arange(len(values))
    return Column(values=values, at=at, known=at + reach, labels=labels, tolerance=tolerance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The earliest row of a column in which two sets of answers part."""

    column: str
    row: int
    """Row in the first set."""
    place: int
    """Which of the row's values."""
    label: str
    at: int
    known: int
    left: str
    right: str
    rows: int
    """How many rows differ."""
    distance: float
    """Absolute difference of two numbers; NaN when it has none."""


def differences(left: Answers, right: Answers, cut: int) -> list[Difference]:
    """The first difference of every column among the rows that may know bars before ``cut`` only."""
    found = []
    for name, mine in left.items():
        rows = np.flatnonzero(mine.known < cut)
        if not rows.size:
            continue
        other = right.get(name)
        if other is None:
            found.append(_difference(name, mine, int(rows[0]), 0, None, len(rows)))
            continue
        place = np.searchsorted(other.at, mine.at[rows])
        there = (place < len(other.at)) & (other.at[np.minimum(place, max(len(other.at) - 1, 0))] == mine.at[rows])
        unlike = np.ones((len(rows), *mine.values.shape[1:]), dtype=np.bool_)
        unlike[there] = _unlike(mine.values[rows[there]], other.values[place[there]], mine.tolerance)
        wrong = np.argwhere(unlike.reshape(len(rows), -1))
        if len(wrong):
            first, column = (int(x) for x in wrong[0])
            answer = _flat(other.values[place[first]])[column] if there[first] else None
            found.append(_difference(name, mine, int(rows[first]), column, answer, len(np.unique(wrong[:, 0]))))
    return found


def same_value(left: Answers, right: Answers, where: Difference) -> bool:
    """Whether the two sets agree at the place of a difference found before."""
    mine, other = left[where.column], right.get(where.column)
    at = np.flatnonzero(other.at == where.at) if other is not None else np.zeros(0, dtype=np.int64)
    if other is None or not at.size:
        return False
    one, two = (np.reshape(v, -1)[where.place : where.place + 1] for v in (mine.values[where.row], other.values[at[0]]))
    return not _unlike(one, two, mine.tolerance).any()


def count(answers: Answers, cut: int) -> int:
    """How many values there are to compare before a cut."""
    return sum(int((c.known < cut).sum()) * int(np.prod(c.values.shape[1:], dtype=np.int64)) for c in answers.values())


def _unlike(left: np.ndarray, right: np.ndarray, tolerance: float) -> np.ndarray:
    if left.dtype.kind not in "fiub":
        return np.asarray(left != right, dtype=np.bool_)
    a, b = left.astype(np.float64), right.astype(np.float64)
    with np.errstate(invalid="ignore"):
        near = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= tolerance)
    return ~near


def _flat(values: Any) -> np.ndarray:
    return np.reshape(values, -1)


def _difference(name: str, mine: Column, row: int, place: int, answer: Any, rows: int) -> Difference:
    value = _flat(mine.values[row])[place]
    numbers = mine.values.dtype.kind in "fiub" and answer is not None
    return Difference(
        column=name,
        row=row,
        place=place,
        label=mine.labels[place] if mine.labels else "",
        at=int(mine.at[row]),
        known=int(mine.known[row]),
        left=_text(value),
        rows=rows,
        right="no answer" if answer is None else _text(answer),
        distance=abs(float(value) - float(answer)) if numbers else float("nan"),
    )


def _text(value: Any) -> str:
    return repr(float(value)) if isinstance(value, np.floating | float) else str(value)
