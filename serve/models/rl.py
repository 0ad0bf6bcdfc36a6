"""The member that acts: a policy trained by reinforcement, exported as a traced torch module.

It needs neither RLlib nor Ray to answer. The policy maps one instrument's newest feature row to a vote ``a`` in [-1, 1],
on the selector's own scale: the selector asks for the full share at ``full_edge_bps``, so the policy says
``mean = a · full_edge_bps`` and, from the width of its action distribution, ``stdev = width · full_edge_bps``. A negative
``a`` is a vote against holding; what lies between the selector's exit and entry keeps what is held.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch

from core.errors import Defect
from core.messages import FloatArray
from serve.models.base import TrainingSet, only_whole, standardise
from serve.models.threads import cap_threads

POLICY = "policy.ts"
NUMBERS = "policy.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """None: what the agent learns by is set where it is trained."""


class RlPolicy:
    """Traced module (N, F) float32 standardised features → (N, 2): vote and log width."""

    family = "rl"
    Settings: ClassVar[type[Settings]] = Settings
    settings = Settings()
    depth = 1

    def __init__(
        self,
        module: torch.jit.ScriptModule | None = None,
        mean: FloatArray | None = None,
        scale: FloatArray | None = None,
        full_edge_bps: float = 30.0,
    ) -> None:
        self.module = module
        self.mean = mean
        self.scale = scale
        self.full_edge_bps = full_edge_bps

    def fit(self, data: TrainingSet, seed: int = 0) -> dict[str, float]:
        raise Defect("an rl member does not learn from samples; it is trained by tune.rl.train (run.py train --rl)")

    def forecast(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        if self.module is None or self.mean is None or self.scale is None:
            raise Defect("an rl member was asked before its policy was loaded")
        z = standardise(features[:, -1, :], self.mean, self.scale)
        with torch.inference_mode():
            out = self.module(torch.from_numpy(z.astype(np.float32))).double().numpy()
        action = np.clip(out[:, 0], -1.0, 1.0)
        width = np.exp(np.clip(out[:, 1], -8.0, 2.0))
        return only_whole(features[:, -1:], action * self.full_edge_bps, width * self.full_edge_bps)

    def save(self, folder: Path) -> None:
        if self.module is None:
            raise Defect("an rl member has no policy to save")
        self.module.save(str(folder / POLICY))
        np.savez(folder / NUMBERS, mean=self.mean, scale=self.scale, full_edge_bps=self.full_edge_bps)

    @classmethod
    def load(cls, folder: Path) -> Self:
        cap_threads()
        with np.load(folder / NUMBERS, allow_pickle=False) as stored:
            mean, scale, full_edge_bps = stored["mean"], stored["scale"], float(stored["full_edge_bps"])
        return cls(torch.jit.load(str(folder / POLICY), map_location="cpu").eval(), mean, scale, full_edge_bps)
