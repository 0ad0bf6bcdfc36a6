"""A Ray for training that does not come up is an error in words, whatever Ray raised."""

import pytest
import ray

from core.errors import BotError
from tune.cluster import own_ray


@pytest.mark.parametrize(
    "raised",
    [
        Exception(
            "The current node timed out during startup."
        ),  # what Ray says of a slow raylet: of no class of its own
        ConnectionError("no answer"),
        ValueError("num_cpus"),
    ],
)
def test_a_ray_that_does_not_start_is_one_line_that_says_what_to_do(tmp_path, monkeypatch, raised):
    def fail(**options: object) -> None:
        raise raised

    monkeypatch.setattr(ray, "init", fail)
    with (
        pytest.raises(BotError, match=rf"start: {str(raised).rstrip('.')}; give the same command again"),
        own_ray(tmp_path, 1),
    ):
        raise AssertionError("inside without a Ray")
