"""The compiled exact sum beside Python's."""

import math

import numpy as np
import pytest

from tune.exact_sum import exact_sum


@pytest.mark.parametrize("seed", range(8))
def test_it_is_fsum_to_the_last_digit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(200):
        size = int(rng.integers(0, 60))
        values = rng.standard_normal(size) * 10.0 ** rng.integers(-30, 30, size)
        values = rng.permutation(np.concatenate([values, -values[: size // 2]]))
        assert exact_sum(values) == math.fsum(values)


def test_what_lies_half_way_is_rounded_to_even_over_all_parts() -> None:
    for values in ([1.0, 2.0**-53], [1.0, 2.0**-53, 2.0**-106], [1.0, 2.0**-53, -(2.0**-106)], [1e16, 1.0, 1e-16]):
        for signed in (values, [-v for v in values]):
            assert exact_sum(np.array(signed)) == math.fsum(signed)
    assert exact_sum(np.array([1e308, 1.0, -1e308])) == 1.0
    assert exact_sum(np.full(100_000, 0.1)) == math.fsum([0.1] * 100_000)
