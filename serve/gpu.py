"""How much of a GPU a member's replica may have, and what it does when that is not enough.

Ray's ``num_gpus`` is a label: it counts shares and holds nobody to theirs. What holds is torch's own cap of the memory
that a process may allocate (``torch.cuda.set_per_process_memory_fraction``). Not under it is the CUDA context itself, some
hundreds of MB a process, for which the shares leave room: they sum to ``MOST_SHARED`` at most.

A member that finds no memory, when it is loaded or in mid-minute, goes on on the CPU, in the same call. torch is looked
for, never imported: a replica without it stays small.
"""

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

from config.settings import ResourceSettings

DEVICE_VARIABLE = "MINUTEHAND_DEVICE"
"""What ``serve.models.device`` reads."""

log = logging.getLogger(__name__)

USES_GPU = frozenset({"tcn"})
"""Families that gain from a GPU. The rl policy is a few thousand multiplications, not worth a CUDA context."""
MOST_SHARED = 0.9
"""Of one GPU, all members together."""


def gpu_share(resources: ResourceSettings, cluster: Mapping[str, float], members: int = 1) -> float:
    """Share for each of ``members`` GPU members: the configured one, or less, so that all sum to ``MOST_SHARED`` at most;
    0 where the cluster has no such share.

    Asking for a GPU that is not there leaves a deployment waiting in silence, so it is decided here.
    """
    if members < 1 or not 0 < resources.gpu_fraction <= cluster.get("GPU", 0.0):
        return 0.0
    # Ray counts in ten-thousandths; rounded down, or the last member would wait for a share that is not there.
    return int(min(resources.gpu_fraction, MOST_SHARED / members) * 10_000) / 10_000


def cap_memory(share: float, torch: Any = None) -> str:
    """Hold this process to ``share`` of the GPU's memory. The device to use: ``cuda``, or ``cpu`` where there is none."""
    if share <= 0.0:
        return "cpu"
    torch = torch or sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        log.warning("a share of %.2f of a GPU was given, and torch finds none here: the CPU is used", share)
        return "cpu"
    torch.cuda.set_per_process_memory_fraction(share)
    return "cuda"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it is the GPU's memory that was not enough."""
    torch = sys.modules.get("torch")
    kind = getattr(torch, "OutOfMemoryError", None)
    return kind is not None and isinstance(error, kind)


def leave() -> None:
    """What this process loads from now on computes on the CPU."""
    os.environ[DEVICE_VARIABLE] = "cpu"


def to_cpu(member: Any) -> None:
    """Move every torch module of a member (and of the one under its guard) to the CPU, and let go of the GPU's memory."""
    torch = sys.modules["torch"]
    for part in (member, getattr(member, "member", None)):
        for name, value in vars(part).items() if part is not None else ():
            if isinstance(value, torch.nn.Module):
                setattr(part, name, value.to("cpu"))
            elif isinstance(value, torch.device):
                setattr(part, name, torch.device("cpu"))
    torch.cuda.empty_cache()
