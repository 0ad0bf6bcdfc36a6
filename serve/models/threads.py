"""How many threads a model may use in this process: one, unless the environment says otherwise.

The networks here are tiny; with several threads they wait for each other longer than they compute (measured: 27 ms
instead of 2 ms a minute of a backtest on two busy cores).
"""

import os


def declared_threads() -> int:
    """``OMP_NUM_THREADS`` where it is a number (Serve's replicas have it from ``resources.torch_threads``), else one."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(told)) if told.isdigit() else 1


def cap_threads() -> None:
    """Tell torch. Whoever imports torch before the environment was set would take every core."""
    # Here, so that a member without torch does not carry it.
    import torch  # noqa: PLC0415

    torch.set_num_threads(declared_threads())
