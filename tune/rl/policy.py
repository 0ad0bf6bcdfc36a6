"""The agent's network: one small policy shared by all instruments, and a value of the whole observation.

The policy looks at one instrument's row at a time, so it does not depend on how many instruments there are or on
their order, and can be exported alone.
"""

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import nn

HIDDEN = 32
FIRST_LOG_WIDTH = -1.0
"""Actions start with a standard deviation of e^-1 of the full exposure."""


class RowPolicy(nn.Module):
    """(N, F) standardised features → (N, 2): mean action and log width."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh())
        self.mean = nn.Linear(HIDDEN, 1)
        self.log_width = nn.Parameter(torch.full((1,), FIRST_LOG_WIDTH))
        # The agent starts without an opinion.
        nn.init.normal_(self.mean.weight, std=1e-2)
        nn.init.zeros_(self.mean.bias)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        mean = self.mean(self.body(rows))
        return torch.cat([mean, self.log_width.clamp(-5.0, 1.0).expand_as(mean)], dim=-1)


class SharedPolicy(TorchRLModule, ValueFunctionAPI):
    """RLlib module over observations (B, S, F) and actions (B, S)."""

    def setup(self) -> None:
        features = self.observation_space.shape[-1]
        self.policy = RowPolicy(features)
        self.value_rows = nn.Sequential(nn.Linear(features, HIDDEN), nn.Tanh())
        self.value = nn.Linear(HIDDEN, 1)

    def _forward(self, batch: dict, **kwargs: object) -> dict:
        out = self.policy(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: torch.cat([out[..., 0], out[..., 1]], dim=-1)}

    def compute_values(self, batch: dict, embeddings: object = None) -> torch.Tensor:
        return self.value(self.value_rows(batch[Columns.OBS]).mean(dim=-2)).squeeze(-1)
