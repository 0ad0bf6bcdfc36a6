"""How many threads torch may use in this process: one, unless the environment says otherwise.

The networks here are tiny; with several threads they wait for each other longer than they compute (measured: 27 ms
instead of 2 ms a minute of a backtest on two busy cores).
"""

import os

import torch


def cap_threads() -> None:
    """One thread, unless ``OMP_NUM_THREADS`` is set (Serve's replicas have it from ``resources.torch_threads``)."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
