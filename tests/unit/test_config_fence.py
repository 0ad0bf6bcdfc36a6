"""The fence itself stands."""

import socket
import time

import pytest
import ray


def test_the_fence_holds():
    with pytest.raises(AssertionError, match="must not start Ray"):
        ray.init(address="local")
    with socket.socket() as probe, pytest.raises(AssertionError, match="must not use the network"):
        probe.connect(("127.0.0.1", 9))
    with socket.socket() as probe, pytest.raises(AssertionError, match="must not use the network"):
        probe.bind(("127.0.0.1", 0))
    with pytest.raises(AssertionError, match="must not sleep"):
        time.sleep(0.001)
