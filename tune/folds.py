"""Walk-forward folds: learn on the past, skip what would leak, be judged on what follows."""

from collections.abc import Iterator
from dataclasses import dataclass

from core.errors import DataError


@dataclass(frozen=True, slots=True)
class Fold:
    """Minute indices: learn on [train_first, train_end), judge on [test_first, test_end)."""

    train_first: int
    train_end: int
    test_first: int
    test_end: int


def walk_forward(minutes: int, folds: int, *, purge: int, first: int = 0, first_share: float = 0.5) -> tuple[Fold, ...]:
    """Folds over the minute indices [first, minutes): the first learns on ``first_share`` of them, each next on all
    that came before it.

    ``purge`` minutes before each test part are not learned from, because their targets reach into it
    (López de Prado 2018, Advances in Financial Machine Learning, ch. 7). Features look back only, so nothing
    needs to be dropped after a test part: nobody learns from later data anyway.
    """
    start = first + int((minutes - first) * first_share)
    size = (minutes - start) // folds if folds > 0 else 0
    if size < 1 or start - purge <= first:
        raise DataError(
            f"{minutes - first} minutes are too few for {folds} walk-forward folds with {purge} minutes purged"
        )
    made = []
    for k in range(folds):
        test_first = start + k * size
        test_end = minutes if k == folds - 1 else test_first + size
        made.append(Fold(first, test_first - purge, test_first, test_end))
    return tuple(made)


def leaks(fold: Fold, horizon: int) -> Iterator[int]:
    """Minutes that the fold learns from although their target reaches into its test part (none, if it is sound)."""
    return (t for t in range(fold.train_first, fold.train_end) if t + horizon >= fold.test_first)
