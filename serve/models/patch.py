"""A transformer over patches of minutes: attention among a few spans of time instead of among all minutes.

Patches as tokens are of Nie et al. (2023), "A time series is worth 64 words", arXiv:2211.14730; here a patch holds all
features of its minutes, as it is they that must be put together. Layers are normalised first (Xiong et al. 2020,
arXiv:2002.04745), which learns without a warm-up.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from core.errors import ConfigError
from core.features import SEQUENCE
from serve.models.torch_loop import Schooling
from serve.models.torch_member import TorchMember


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Schooling):
    width: int = 32
    heads: int = 4
    layers: int = 2
    minutes: int = 8
    """In one patch."""
    learning_rate: float = 2e-3


class Layer(nn.Module):
    """Attention and a small network, each added to what came in; (N, P, width) → the same."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask = nn.Linear(width, 3 * width)
        self.tell = nn.Linear(width, width)
        self.think = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        rows, patches, width = h.shape
        asked = self.ask(self.before(h)).view(rows, patches, 3, self.heads, width // self.heads)
        query, key, value = asked.permute(2, 0, 3, 1, 4)
        seen = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        h = h + self.drop(self.tell(seen.transpose(1, 2).reshape(rows, patches, width)))
        return h + self.drop(self.think(self.after(h)))


class Network(nn.Module):
    """(N, L, F) → (N, outputs), from the newest patch."""

    def __init__(self, features: int, outputs: int, settings: Settings) -> None:
        super().__init__()
        s = settings
        self.minutes, self.patches = s.minutes, SEQUENCE // s.minutes
        self.enter = nn.Linear(features * s.minutes, s.width)
        self.place = nn.Parameter(torch.randn(self.patches, s.width) * 0.02)
        self.layers = nn.Sequential(*(Layer(s.width, s.heads, s.dropout) for _ in range(s.layers)))
        self.leave = nn.LayerNorm(s.width)
        self.drop = nn.Dropout(s.dropout)
        self.head = nn.Linear(s.width, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, -self.patches * self.minutes :].reshape(len(x), self.patches, -1)
        h = self.layers(self.enter(x) + self.place)
        return self.head(self.drop(self.leave(h[:, -1])))


class Patch(TorchMember):
    family = "patch"
    Settings: ClassVar[type[Schooling]] = Settings
    settings: Settings

    def build(self, features: int, outputs: int) -> nn.Module:
        s = self.settings
        if not 1 <= s.minutes <= SEQUENCE or not s.heads or s.width % s.heads:
            raise ConfigError(
                f"family 'patch': minutes is {s.minutes} (1 to {SEQUENCE} can be), width {s.width} must be a multiple of "
                f"heads {s.heads}"
            )
        return Network(features, outputs, s)
