"""Walk-forward folds: learn on the past, skip what would leak, be judged on what follows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.errors import DataError
from core.messages import BoolArray


@dataclass(frozen=True, slots=True)
class Fold:
    """Minute indices: learn on [train_first, train_end) less ``left_out``, judge on [test_first, test_end)."""

    train_first: int
    train_end: int
    test_first: int
    test_end: int
    left_out: tuple[tuple[int, int], ...] = ()
    """Embargoes: spans [first, end) after earlier test parts."""

    def learns(self, minutes: np.ndarray) -> BoolArray:
        """Which of these minute indices may be learned from; same shape."""
        kept = (minutes >= self.train_first) & (minutes < self.train_end)
        for first, end in self.left_out:
            kept &= (minutes < first) | (minutes >= end)
        return kept


def walk_forward(
    minutes: int,
    folds: int,
    *,
    purge: int,
    first: int = 0,
    first_share: float = 0.5,
    embargo: int = 0,
    window: int | None = None,
) -> tuple[Fold, ...]:
    """Folds over the minute indices [first, minutes): the first learns on ``first_share`` of them, each next on all
    that came before it (anchored), or on the ``window`` minutes before it (rolling).

    ``purge`` minutes before each test part are not learned from, because their targets reach into it; ``embargo``
    minutes after each test part are left out of every later fold's learning (López de Prado 2018, Advances in
    Financial Machine Learning, ch. 7). A purge of one horizon is all that truth needs, as features look back only
    and nobody learns from later data; an embargo also keeps a later fold from learning of a position's last minutes.
    DataError when the minutes are too few for that.
    """
    start = first + int((minutes - first) * first_share)
    size = (minutes - start) // folds if folds > 0 else 0
    if size < 1 or start - purge <= first:
        raise DataError(
            f"{minutes - first} minutes are too few for {folds} walk-forward folds with {purge} minutes purged"
        )
    made: list[Fold] = []
    for k in range(folds):
        test_first = start + k * size
        test_end = minutes if k == folds - 1 else test_first + size
        train_end = test_first - purge
        train_first = first if window is None else max(first, train_end - window)
        after = [(f.test_end, min(f.test_end + embargo, train_end)) for f in made if embargo]
        left_out = tuple((a, b) for a, b in after if b > max(a, train_first))
        made.append(Fold(train_first, train_end, test_first, test_end, left_out))
    return tuple(made)


def leaks(fold: Fold, horizon: int) -> Iterator[int]:
    """Minutes that the fold learns from although their target reaches into its test part (none, if it is sound)."""
    minutes = np.arange(fold.train_first, fold.train_end)
    learned = minutes[fold.learns(minutes)]
    return iter(learned[learned + horizon >= fold.test_first].tolist())
