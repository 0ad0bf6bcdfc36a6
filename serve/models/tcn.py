"""A small causal convolutional network over the last L feature rows, with a mean and a variance head.

It is a temporal convolutional network (Bai, Kolter and Koltun 2018, arXiv:1803.01271) with kernel 2 and
dilations 1, 2, 4, …, of which only the newest output is wanted. That output needs a binary tree of the
positions, so the layers are computed with stride 2: the same numbers for about a fiftieth of the work.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from core.features import SEQUENCE
from serve.models.torch_loop import Schooling
from serve.models.torch_member import TorchMember

DEPTH = SEQUENCE.bit_length() - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Schooling):
    channels: int = 16


class Network(nn.Module):
    """(N, L, F) → (N, outputs)."""

    def __init__(self, features: int, outputs: int = 2, channels: int = 16, dropout: float = 0.2) -> None:
        super().__init__()
        self.enter, self.gate = nn.Linear(features, channels), nn.Linear(features, channels)
        self.drop = nn.Dropout(dropout)
        # A convolution of two minutes in steps of two is a matrix over both of them, and three times as fast as one.
        self.layers = nn.ModuleList(nn.Linear(2 * channels, channels) for _ in range(DEPTH))
        self.head = nn.Linear(channels, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # A gated entrance multiplies features with each other (a move and its volume) where sums could not.
        x = x[:, -(1 << DEPTH) :]
        h = self.enter(x) * torch.sigmoid(self.gate(x))
        for layer in self.layers:
            rows, minutes, channels = h.shape
            pairs = h.reshape(rows, minutes // 2, 2 * channels)
            h = pairs[:, :, channels:] + torch.nn.functional.gelu(layer(pairs))
        return self.head(self.drop(h[:, -1]))


class Tcn(TorchMember):
    family = "tcn"
    Settings: ClassVar[type[Schooling]] = Settings
    settings: Settings

    def build(self, features: int, outputs: int) -> nn.Module:
        return Network(features, outputs, self.settings.channels, self.settings.dropout)
