"""Where a torch member computes: on the GPU when there is one, unless this process was told to leave it.

A process is told by its environment, which is where Ray, too, says what of a GPU it may see.
"""

import os

import torch

from serve.gpu import DEVICE_VARIABLE


def preferred() -> str:
    """``cuda`` or ``cpu``."""
    return "cuda" if os.environ.get(DEVICE_VARIABLE) != "cpu" and torch.cuda.is_available() else "cpu"
