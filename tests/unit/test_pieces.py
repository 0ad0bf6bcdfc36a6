"""Parts read as one array."""

import numpy as np
import pytest

from tune.pieces import Pieces


def test_any_span_is_that_of_the_joined_array() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal((2, 3, size)).astype(np.float32) for size in (5, 1, 7)]
    silence = np.full((2, 3, 4), np.nan, dtype=np.float32)
    whole, pieces = np.concatenate([silence, *parts], axis=2), Pieces(parts, 4)
    assert pieces.shape == whole.shape
    for first in range(18):
        for end in range(first, 19):
            found = pieces[:, :, first:end]
            assert found.dtype == np.float32
            assert np.array_equal(found, whole[:, :, first:end], equal_nan=True)


def test_another_way_of_reading_is_refused() -> None:
    pieces = Pieces([np.zeros((1, 1, 4))])
    with pytest.raises(IndexError, match="last axis"):
        pieces[:1, :, 0:2]
    with pytest.raises(IndexError, match="minute by minute"):
        pieces[:, :, 0:4:2]
