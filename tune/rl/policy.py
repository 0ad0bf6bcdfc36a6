"""The agent's network: one small policy shared by all instruments, and a value of the whole observation.

The policy looks at one instrument's features at a time, so it does not depend on how many instruments there are or on
their order, and can be exported alone. It does not see what is held: a member of the ensemble is asked for a forecast, and
what is held is the selector's and the sizing's to know. The value sees all of it.
"""

from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.distribution import Distribution
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import nn

from tune.rl.accounts import SHARES
from tune.rl.levels import KEEP, LEVELS

HIDDEN = 64
PATIENCE = 3.0
"""How much likelier (in logits) the first policy keeps what is held than anything else: who changes its mind every minute
learns only that trading costs."""
REFUSED = -1e9


class RowPolicy(nn.Module):
    """(..., F) standardised features → (..., K) logits of the levels."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh())
        self.head = nn.Linear(HIDDEN, len(LEVELS))
        nn.init.normal_(self.head.weight, std=1e-2)
        nn.init.zeros_(self.head.bias)
        with torch.no_grad():
            self.head.bias[KEEP] = PATIENCE

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(rows))


class RowCategorical(Distribution):
    """A level for each of S instruments, independently: logits (B, S·K), actions (B, S)."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        rows = logits.reshape(*logits.shape[:-1], -1, len(LEVELS))
        self.log_p = torch.log_softmax(rows, dim=-1)

    def sample(self, **kwargs: Any) -> torch.Tensor:
        # Gumbel's trick: the largest of the logits with Gumbel noise is drawn with their probabilities.
        return (self.log_p - torch.log(-torch.log(torch.rand_like(self.log_p)))).argmax(dim=-1)

    def rsample(self, **kwargs: Any) -> torch.Tensor:
        raise NotImplementedError("a level cannot be differentiated")

    def logp(self, value: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        return self.log_p.gather(-1, value.long().unsqueeze(-1)).squeeze(-1).sum(dim=-1)

    def entropy(self) -> torch.Tensor:
        return -(self.log_p.exp() * self.log_p).sum(dim=(-2, -1))

    def kl(self, other: "RowCategorical", **kwargs: Any) -> torch.Tensor:  # type: ignore[override]
        return (self.log_p.exp() * (self.log_p - other.log_p)).sum(dim=(-2, -1))

    @staticmethod
    def required_input_dim(space: Any, **kwargs: Any) -> int:
        return int(space.nvec.sum())

    @classmethod
    def from_logits(cls, logits: torch.Tensor, **kwargs: Any) -> "RowCategorical":
        return cls(logits)

    def to_deterministic(self) -> Distribution:
        raise NotImplementedError("the greedy policy is the exported one")


class SharedPolicy(TorchRLModule, ValueFunctionAPI):
    """RLlib module over observations (B, S, F + 2 + K) (``tune.rl.vector_env``) and actions (B, S)."""

    def setup(self) -> None:
        self.width = self.observation_space.shape[-1]
        self.features = self.width - SHARES - len(LEVELS)
        self.policy = RowPolicy(self.features)
        self.value_rows = nn.Sequential(nn.Linear(self.features + SHARES, HIDDEN), nn.Tanh())
        self.value = nn.Linear(HIDDEN, 1)

    def _forward(self, batch: dict, **kwargs: object) -> dict:
        return {Columns.ACTION_DIST_INPUTS: self.logits(batch[Columns.OBS])}

    def logits(self, obs: torch.Tensor) -> torch.Tensor:
        """(B, S, D) → (B, S·K); what the limits would refuse is as good as impossible."""
        told = self.policy(obs[..., : self.features])
        return torch.where(obs[..., -len(LEVELS) :] > 0.5, told, REFUSED).flatten(-2)

    def compute_values(self, batch: dict, embeddings: object = None) -> torch.Tensor:
        return self.values(batch[Columns.OBS])

    def values(self, obs: torch.Tensor) -> torch.Tensor:
        """(B, S, D) → (B,)"""
        return self.value(self.value_rows(obs[..., : self.features + SHARES]).mean(dim=-2)).squeeze(-1)

    def get_train_action_dist_cls(self) -> type[Distribution]:
        return RowCategorical

    def get_exploration_action_dist_cls(self) -> type[Distribution]:
        return RowCategorical

    def get_inference_action_dist_cls(self) -> type[Distribution]:
        return RowCategorical
