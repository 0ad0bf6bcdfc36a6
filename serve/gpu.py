"""How much of a GPU a member's replica may have.

Ray's ``num_gpus`` is a label: it counts shares and holds nobody to theirs. What holds is torch's own cap of the memory
that a process may allocate (``torch.cuda.set_per_process_memory_fraction``). Not under it is the CUDA context itself, some
hundreds of MB a process, for which the shares leave room: they sum to ``MOST_SHARED`` at most. A network that finds no
memory, when it is loaded or in mid-minute, leaves the GPU by itself, in the same call (``serve/models/torch_member.py``).
"""

import logging
from collections.abc import Mapping
from typing import Any

from config.settings import ResourceSettings
from serve.models.registry import NETWORKS

log = logging.getLogger(__name__)

USES_GPU = NETWORKS
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


def cap_memory(share: float, torch: Any) -> bool:
    """Hold this process to ``share`` of the GPU's memory; False where ``torch`` finds no GPU, and the CPU is used."""
    if share <= 0.0:
        return False
    if not torch.cuda.is_available():
        log.warning("a share of %.2f of a GPU was given, and torch finds none here: the CPU is used", share)
        return False
    torch.cuda.set_per_process_memory_fraction(share)
    return True
