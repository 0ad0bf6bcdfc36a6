"""Half precision for networks on a GPU, where it says the same: tried on the probe, version by version, before it is used.

Weights stay in float32; the matrix products are computed in half precision (torch's autocast). What a vote may differ by is
stated here: far less than any edge that is traded.
"""

from typing import Any

import numpy as np

from serve.load_check import probe_features
from serve.models.base import Member
from serve.models.guard import Guarded

MEAN_BPS = 0.05
"""By how much the mean of any instrument may differ, basis points, …"""
STDEV_SHARE = 0.01
"""… and the standard deviation, as a share of itself."""


class HalfPrecision:
    """A member whose network computes in half precision."""

    def __init__(self, member: Member, torch: Any, device: str) -> None:
        self.member = member
        self.family, self.depth = member.family, member.depth
        self._torch = torch
        self._device = device

    def forecast(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        torch = self._torch
        kind = torch.float16 if self._device == "cuda" else torch.bfloat16
        with torch.autocast(self._device, dtype=kind):
            return self.member.forecast(features)

    def __getattr__(self, name: str) -> Any:
        """All else is the member's: its trust, its device, its settings."""
        return getattr(self.member, name)


def halved(member: Member, torch: Any, device: str = "cuda") -> tuple[Member, str]:
    """``member`` in half precision where its probe forecasts agree, else as it is; and what was found. Of a guarded member
    the one under the guard is halved."""
    inner = member.member if isinstance(member, Guarded) else member
    probe = probe_features()
    half = HalfPrecision(inner, torch, device)
    (mean, stdev), (half_mean, half_stdev) = inner.forecast(probe), half.forecast(probe)
    apart = float(np.max(np.abs(half_mean - mean)))
    wider = float(np.max(np.abs(half_stdev / stdev - 1.0)))
    words = f"{apart:.3g} bps and {wider:.2%} of the stdev apart in half precision"
    if not (apart <= MEAN_BPS and wider <= STDEV_SHARE):
        return member, f"{words}: not used"
    return Guarded(half, member.familiarity) if isinstance(member, Guarded) else half, f"{words}: used"
