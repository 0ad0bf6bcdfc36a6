"""Walk-forward folds: the past teaches, the future judges, and nothing leaks between them."""

import numpy as np
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


def test_anchored_folds_learn_on_all_the_past_and_rolling_ones_on_a_window() -> None:
    anchored = walk_forward(2_000, 4, purge=15)
    rolling = walk_forward(2_000, 4, purge=15, window=300)
    assert [f.train_first for f in anchored] == [0] * 4
    assert [f.train_end - f.train_first for f in rolling] == [300] * 4
    assert [(f.test_first, f.test_end) for f in anchored] == [(f.test_first, f.test_end) for f in rolling]
    assert walk_forward(2_000, 4, purge=15, window=10**9) == anchored


def test_an_embargo_after_each_test_part_is_left_out_of_later_learning() -> None:
    folds = walk_forward(2_000, 4, purge=15, embargo=40)
    assert folds[0].left_out == ()
    # The end of the test part before is where the next one starts: its embargo lies behind what may be learned anyway.
    assert folds[1].left_out == ()
    assert folds[2].left_out == ((folds[0].test_end, folds[0].test_end + 40),)
    assert folds[3].left_out == tuple((f.test_end, f.test_end + 40) for f in folds[:2])
    minutes = np.arange(2_000)
    learned = minutes[folds[3].learns(minutes)]
    assert len(learned) == folds[3].train_end - 80
    assert not np.isin(np.arange(folds[1].test_end, folds[1].test_end + 40), learned).any()
    assert learned[-1] == folds[3].train_end - 1


def test_an_embargo_that_a_rolling_window_left_behind_is_not_listed() -> None:
    folds = walk_forward(2_000, 4, purge=15, embargo=40, window=300)
    assert folds[3].left_out == ((folds[1].test_end, folds[1].test_end + 40),)


@pytest.mark.parametrize("horizon", [1, 15, 60])
def test_no_fold_of_any_kind_leaks(horizon: int) -> None:
    for window in (None, 200):
        for fold in walk_forward(3_000, 5, purge=horizon, embargo=horizon, window=window):
            assert list(leaks(fold, horizon)) == []
            assert list(leaks(Fold(fold.train_first, fold.test_first, fold.test_first, fold.test_end), horizon)) != []
