"""Walk-forward folds: the past teaches, the future judges, and nothing leaks between them."""

import pytest

from core.errors import DataError
from tune.folds import Fold, leaks, walk_forward


def test_folds_cover_the_second_half_once_and_in_order() -> None:
    folds = walk_forward(1_000, 3, purge=15)
    assert folds[0].test_first == 500
    assert folds[-1].test_end == 1_000
    assert [a.test_end for a in folds[:-1]] == [b.test_first for b in folds[1:]]


@pytest.mark.parametrize("horizon", [1, 15, 60])
def test_no_target_reaches_into_what_judges_it(horizon: int) -> None:
    for fold in walk_forward(2_000, 4, purge=horizon):
        assert list(leaks(fold, horizon)) == []
        assert fold.train_end + horizon == fold.test_first


def test_minutes_that_went_into_look_backs_are_not_counted() -> None:
    folds = walk_forward(1_300, 2, purge=15, first=300)
    assert folds[0] == Fold(300, 785, 800, 1_050)


def test_without_a_purge_the_check_would_see_the_leak() -> None:
    assert len(list(leaks(Fold(0, 500, 500, 600), 15))) == 15


def test_too_few_minutes_are_refused() -> None:
    with pytest.raises(DataError, match="too few"):
        walk_forward(20, 3, purge=15)
