"""How every torch member learns: windows gathered from one table, mini-batches, an early stop on a purged tail.

A window of 64 rows is never copied for all samples (that would be 64 times the history). The rows that windows need stand
once in a table, standardised, in float32; a batch is gathered from it by index, on the device that computes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from core.features import SEQUENCE
from core.messages import FloatArray
from serve.models.adamw import AdamW, one_cycle
from serve.models.base import TrainingSet, standardise32

CLIP_GRADIENT = 1.0
Y_CLIP = 6.0
"""Wild targets are cut while learning, in units of their own spread; the stdev is set right afterwards on uncut ones."""
LOG_VARIANCE_MOST = 8.0
PIECE = 1 << 16
"""Rows standardised at a time: 24 MB of float32 with all features."""
FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Schooling:
    """How long and how hard a network learns. Families add their own fields."""

    steps: int = 150
    batch: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    dropout: float = 0.2
    check_every: int = 25
    """Steps between two looks at the tail."""
    patience: int = 4
    """Looks without a better one after which it ends."""


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """N samples whose windows lie in one table (R, F) float32."""

    table: torch.Tensor
    newest: torch.Tensor
    """(N,) int64 row of ``table`` that is each sample's newest."""
    target: torch.Tensor
    """(N, H) float32 in units of the network's output; NaN where it is not known."""

    @property
    def size(self) -> int:
        return len(self.newest)

    @property
    def table_bytes(self) -> int:
        return self.table.numel() * FLOAT_BYTES

    def windows(self, chosen: torch.Tensor) -> torch.Tensor:
        """(n, L, F) of the samples with these indices."""
        steps = torch.arange(-SEQUENCE + 1, 1, device=self.table.device)
        rows = (self.newest[chosen][:, None] + steps).reshape(-1)
        return self.table.index_select(0, rows).view(len(chosen), SEQUENCE, self.table.shape[1])

    def part(self, keep: np.ndarray) -> "Lessons":
        """The samples of a mask (N,), over the same table."""
        kept = torch.from_numpy(np.flatnonzero(keep)).to(self.newest.device)
        return Lessons(self.table, self.newest[kept], self.target[kept])

    def on(self, device: torch.device) -> "Lessons":
        return Lessons(self.table.to(device), self.newest.to(device), self.target.to(device))


def lessons(data: TrainingSet, columns: np.ndarray, mean: FloatArray, scale: FloatArray, target: FloatArray) -> Lessons:
    """The rows that the windows of ``data`` read, in these columns, standardised, once each; ``target`` (N, H)."""
    flat, newest = data.flat, data.newest(np.arange(data.size))
    # Any of the L rows up to a sample is needed: +1 where a window begins, -1 after its end.
    reach = np.zeros(len(flat) + 1, dtype=np.int32)
    np.add.at(reach, newest - (SEQUENCE - 1), 1)
    np.add.at(reach, newest + 1, -1)
    needed = np.flatnonzero(np.cumsum(reach[:-1], dtype=np.int32) > 0)
    table = np.empty((len(needed), len(columns)), dtype=np.float32)
    for start in range(0, len(needed), PIECE):
        rows = needed[start : start + PIECE]
        table[start : start + PIECE] = standardise32(flat[rows][:, columns].astype(np.float32), mean, scale)
    place = np.searchsorted(needed, newest)
    return Lessons(torch.from_numpy(table), torch.from_numpy(place), torch.from_numpy(target.astype(np.float32)))


def nll(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean Gaussian negative log likelihood without its constant (Nix and Weigend 1994); (N, 2H) and (N, H).

    Unknown targets count neither in the sum nor in its gradient.
    """
    mean, log_variance = out.float().chunk(2, dim=1)
    log_variance = log_variance.clamp(-LOG_VARIANCE_MOST, LOG_VARIANCE_MOST)
    known = torch.isfinite(target)
    error = torch.where(known, target, mean) - mean
    each = 0.5 * (log_variance + error.square() * torch.exp(-log_variance))
    return torch.where(known, each, 0.0).sum() / known.sum().clamp(min=1)


def learn(
    network: nn.Module,
    train: Lessons,
    check: Lessons,
    how: Schooling,
    rng: np.random.Generator,
) -> tuple[float, int]:
    """Train ``network`` in place, on the device it lies on; keep the weights that were best on ``check``.

    AdamW with one cycle of the learning rate, gradients cut at norm 1. On a GPU in mixed precision: bfloat16 where it has
    it, else float16 with scaled gradients. A batch whose loss is not finite teaches nothing. Returns (the best check's
    loss, steps taken).
    """
    device = next(network.parameters()).device
    cuda = device.type == "cuda"
    half = torch.bfloat16 if not cuda or torch.cuda.is_bf16_supported() else torch.float16
    scaler = torch.amp.GradScaler(device.type, enabled=cuda and half == torch.float16)
    optimiser = AdamW(network.parameters(), how.weight_decay)
    order = torch.from_numpy(rng.integers(0, train.size, (how.steps, how.batch))).to(device)
    every = torch.arange(check.size, device=device)
    # Before the first step it says zero: where nothing is learned better than that, that is kept.
    best, kept, waited, step = _checked(network, check, every), _copy(network), 0, 0
    network.train()
    for step in range(1, how.steps + 1):
        chosen = order[step - 1]
        share, optimiser.momentum = one_cycle(step - 1, how.steps)
        optimiser.rate = share * how.learning_rate
        optimiser.forget()
        with torch.autocast(device.type, dtype=half, enabled=cuda):
            loss = nll(network(train.windows(chosen)), train.target[chosen])
        scaler.scale(loss).backward()
        scaler.unscale_(optimiser)
        size = nn.utils.clip_grad_norm_(network.parameters(), CLIP_GRADIENT)
        # The scaler looks for infinities itself, where it is on; without it nobody else would.
        if scaler.is_enabled() or bool(torch.isfinite(size)):
            scaler.step(optimiser)
        scaler.update()
        if step % how.check_every == 0 or step == how.steps:
            now = _checked(network, check, every)
            if now < best:
                best, kept, waited = now, _copy(network), 0
            else:
                waited += 1
            if waited >= how.patience:
                break
    network.load_state_dict(kept)
    network.eval()
    return best, step


def _checked(network: nn.Module, check: Lessons, every: torch.Tensor) -> float:
    network.eval()
    with torch.inference_mode():
        parts = [
            nll(network(check.windows(part)), check.target[part]) * (len(part) / check.size)
            for part in every.split(1_024)
        ]
    network.train()
    return float(torch.stack(parts).sum())


def _copy(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
