"""Windows of doubled length say what numpy says of each window, and of nothing outside it."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.indicators.windows import SCRATCH, window_age, window_comoment, window_extreme, window_sum

X, Y, TO = SCRATCH, SCRATCH + 1, SCRATCH + 2


def workspace(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
    w = np.full((SCRATCH + 3, len(x)), 7.0)
    w[X] = x
    w[Y] = x if y is None else y
    return w


def rolled(x: np.ndarray, length: int, of: Callable[[np.ndarray], float]) -> np.ndarray:
    return np.array([of(x[t + 1 - length : t + 1]) if t + 1 >= length else math.nan for t in range(len(x))])


@given(length=st.integers(1, 300), n=st.integers(1, 320), seed=st.integers(0, 1_000))
@settings(max_examples=60, deadline=None)
def test_sum_and_extremes(length: int, n: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=n)
    w = workspace(x)
    window_sum(w, X, length, TO)
    np.testing.assert_allclose(w[TO], rolled(x, length, np.sum), rtol=0, atol=1e-12)
    for sign, of in ((1.0, np.max), (-1.0, np.min)):
        window_extreme(w, X, sign, length, TO)
        np.testing.assert_array_equal(w[TO], rolled(x, length, of))
    np.testing.assert_array_equal(w[X], x)


@given(length=st.integers(1, 60), seed=st.integers(0, 1_000))
@settings(max_examples=40, deadline=None)
def test_of_equal_extremes_the_newest_counts(length: int, seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, 4, 80).astype(float)
    w = workspace(x)
    for sign in (1.0, -1.0):
        window_age(w, X, sign, length, TO)
        np.testing.assert_array_equal(w[TO], rolled(sign * x, length, lambda part: float(np.argmax(part[::-1]))))


@given(length=st.integers(1, 300), seed=st.integers(0, 1_000))
@settings(max_examples=40, deadline=None)
def test_comoments_lose_nothing_to_a_large_mean(length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = 1e6 + rng.normal(size=320), 1e6 + rng.normal(size=320)
    w = workspace(x, y)
    window_comoment(w, X, Y, length, TO)
    pairs = np.stack([x, y], axis=1)
    expected = rolled(pairs, length, lambda p: float(np.sum((p[:, 0] - p[:, 0].mean()) * (p[:, 1] - p[:, 1].mean()))))
    np.testing.assert_allclose(w[TO], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("length", [1, 20, 60, 240])
@pytest.mark.parametrize("level", [1e-8, 0.1, 64_123.45])
def test_what_does_not_move_has_no_moment_at_all(length: int, level: float) -> None:
    w = workspace(np.full(300, level))
    window_comoment(w, X, Y, length, TO)
    assert set(w[TO, length - 1 :].tolist()) == {0.0}


def test_a_value_outside_the_window_leaves_nothing_behind() -> None:
    """A running sum would keep the rounding of the huge value for ever."""
    x = np.random.default_rng(1).normal(size=200)
    loud = x.copy()
    loud[50] = 1e18
    one, other = workspace(x), workspace(loud)
    for length in (3, 30, 60):
        for w in (one, other):
            window_sum(w, X, length, TO)
        np.testing.assert_array_equal(one[TO, 50 + length :], other[TO, 50 + length :])


def test_an_unknown_value_is_unknown_as_long_as_it_is_in_the_window() -> None:
    x = np.ones(100)
    x[40] = math.nan
    w = workspace(x)
    window_sum(w, X, 10, TO)
    assert np.flatnonzero(np.isnan(w[TO])).tolist() == [*range(9), *range(40, 50)]
