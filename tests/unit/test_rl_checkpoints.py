"""A training's checkpoint: read as it was written, and whatever a disk has made of it begins its seed anew."""

import random

import numpy as np
import pytest
import torch

from tune.rl.checkpoints import HEAD, Checkpoints

STATE = {"network": torch.arange(40.0).reshape(4, 10), "kl": 0.2, "random": np.arange(7)}


def kept(folder) -> Checkpoints:
    checkpoints = Checkpoints(folder)
    checkpoints.save(1, 3, {"samples": [10, 20, 30]}, STATE)
    return checkpoints


def test_it_is_read_as_it_was_written_and_cleared(tmp_path):
    checkpoints = kept(tmp_path / "rl")
    found = checkpoints.load(1)
    assert found is not None
    assert (found.done, found.curve) == (3, {"samples": [10, 20, 30]})
    assert torch.equal(found.state["network"], STATE["network"])
    np.testing.assert_array_equal(found.state["random"], STATE["random"])
    assert checkpoints.load(0) is None
    checkpoints.clear()
    assert checkpoints.load(1) is None and not (tmp_path / "rl").exists()


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_one_begins_the_seed_anew_whatever_the_damage(seed, tmp_path, caplog):
    """Among them single bytes in the middle of the numbers, which would be read without complaint."""
    checkpoints = kept(tmp_path)
    (path,) = tmp_path.iterdir()
    whole, rng = path.read_bytes(), random.Random(seed)
    for turn in range(200):
        bent = bytearray(whole)
        if turn % 3 == 0:
            bent = bent[: rng.randrange(len(bent))]
        elif turn % 3 == 1:
            bent[rng.randrange(len(bent))] ^= 1 << rng.randrange(8)
        else:
            bent = bytearray(HEAD + rng.randbytes(rng.randrange(300)))
        path.write_bytes(bent)
        assert checkpoints.load(1) is None
    assert "the seed begins anew" in caplog.text
    path.write_bytes(whole)
    assert checkpoints.load(1) is not None
