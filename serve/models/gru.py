"""A gated recurrent network (Cho et al. 2014, arXiv:1406.1078) over the last L feature rows.

It walks through time in strides of a few minutes, each a learned mix of its rows: a step of the recurrence costs the same
whatever it holds, and an hour of minutes one by one is four times the waiting for no better a forecast.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from serve.models.torch_loop import Schooling
from serve.models.torch_member import TorchMember


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Schooling):
    hidden: int = 24
    stride: int = 4
    """Minutes in one step."""


class Network(nn.Module):
    """(N, L, F) → (N, outputs), from the state after the newest minute."""

    def __init__(self, features: int, outputs: int, hidden: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.stride = max(1, stride)
        self.enter, self.gate = (nn.Linear(features * self.stride, hidden) for _ in range(2))
        self.walk = nn.GRU(hidden, hidden, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, length, features = x.shape
        # The oldest minutes that fill no whole stride are left out: the newest never are.
        strides = length // self.stride
        x = x[:, length - strides * self.stride :].reshape(rows, strides, self.stride * features)
        h = self.enter(x) * torch.sigmoid(self.gate(x))
        return self.head(self.drop(self.walk(h)[0][:, -1]))


class Gru(TorchMember):
    family = "gru"
    Settings: ClassVar[type[Schooling]] = Settings
    settings: Settings

    def build(self, features: int, outputs: int) -> nn.Module:
        s = self.settings
        return Network(features, outputs, s.hidden, s.stride, s.dropout)
