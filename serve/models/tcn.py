"""A small causal convolutional network over the last L feature rows, with a mean and a variance head.

It is a temporal convolutional network (Bai, Kolter and Koltun 2018, arXiv:1803.01271) with kernel 2 and
dilations 1, 2, 4, …, of which only the newest output is wanted. That output needs a binary tree of the
positions, so the layers are computed with stride 2: the same numbers for about a fiftieth of the work.
"""

from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import nn

from core.errors import Defect
from core.features import FEATURE_NAMES, SEQUENCE
from core.messages import FloatArray
from serve.models.base import TrainingSet, shrinkage, standardise, standardiser
from serve.models.device import preferred
from serve.models.threads import cap_threads

FILE = "tcn.pt"
CHANNELS = 16
STEPS = 150
BATCH = 256
VALIDATION_SHARE = 0.2
CHECK_EVERY = 25
DROPOUT = 0.2
WEIGHT_DECAY = 1e-2
DEPTH = SEQUENCE.bit_length() - 1

READS = (
    *("ret_1", "ret_5", "ret_15", "ret_60", "ret_240"),
    *("rv_15", "rv_60", "rv_240", "parkinson_60", "autocorr_30"),
    *("volume_z_60", "volume_trend", "up_volume_15", "bulk_imbalance_30", "vwap_dist_30", "vwap_dist_120"),
    *("rsi_14", "macd_hist", "bollinger_b_20", "adx_14", "di_gap_14", "range_pos_60", "body"),
    *("market_ret_15", "residual_15", "leader_gap_5", "lead_corr_60", "is_filler", "day_sin", "day_cos"),
)
"""What the network looks at. It sees a sequence, so averages of what it sees anyway would only give it more to fit by
chance: with all features it forecast worse, and learned at half the speed."""


class Network(nn.Module):
    """(N, L, F) → (N, 2): mean and log variance of the target in units of its training scale."""

    def __init__(self, features: int, channels: int = CHANNELS) -> None:
        super().__init__()
        self.enter = nn.Conv1d(features, 2 * channels, 1)
        self.drop = nn.Dropout(DROPOUT)
        self.layers = nn.ModuleList(nn.Conv1d(channels, channels, 2, stride=2) for _ in range(DEPTH))
        self.head = nn.Linear(channels, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # A gated entrance multiplies features with each other (a move and its volume) where sums could not.
        h = torch.nn.functional.glu(self.enter(x.transpose(1, 2)[:, :, -(1 << DEPTH) :]), dim=1)
        for layer in self.layers:
            h = h[:, :, 1::2] + torch.nn.functional.gelu(layer(h))
        return self.head(self.drop(h[:, :, -1]))


class Tcn:
    """The network with its standardisation; forecasts in float64, so that batch size does not show in the result."""

    family = "tcn"
    depth = SEQUENCE

    def __init__(self, *, steps: int = STEPS, device: str | None = None) -> None:
        self.steps = steps
        self.device = torch.device(device or preferred())
        self.columns = np.array([FEATURE_NAMES.index(name) for name in READS])
        self.mean = np.zeros(len(READS))
        self.scale = np.ones(len(READS))
        self.unit = 1.0
        """Basis points of one unit of the network's output."""
        self.shrink = 0.0
        self.widen = 1.0
        """Factor on the standard deviation that makes it right on the validation part."""
        self.network: Network | None = None

    def fit(self, data: TrainingSet, seed: int = 0) -> dict[str, float]:
        """Train on the first part of time, stop and shrink by the last part (one horizon and one window apart).

        Loss: Gaussian negative log likelihood (Nix and Weigend 1994), AdamW, gradients cut at norm 1.
        """
        data = data.reading(self.columns)
        minutes = data.rows[:, 1]
        first, end = int(minutes.min()), int(minutes.max()) + 1
        split = int(end - VALIDATION_SHARE * (end - first))
        train = data.between(first, split - data.horizon)
        check = data.between(split, end)
        if not train.size or not check.size:
            raise ValueError(f"{data.size} samples are too few to train a network and to check it")
        cap_threads()
        # The generator that initialises layers is global in torch: fork it, so that nobody else notices.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._fit(train, check, np.random.default_rng(seed))

    def _fit(self, train: TrainingSet, check: TrainingSet, rng: np.random.Generator) -> dict[str, float]:
        self.mean, self.scale = standardiser(train.last)
        self.unit = float(train.y.std()) or 1.0
        network = Network(train.features.shape[-1]).to(self.device)
        optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=3e-3, total_steps=self.steps)
        # A spread-out part of the check samples is enough to see when to stop.
        probe = np.linspace(0, check.size - 1, min(check.size, 2_000)).astype(np.int64)
        probe_x, probe_y = self._tensors(check, probe)
        best, kept = np.inf, {k: v.clone() for k, v in network.state_dict().items()}
        for step in range(self.steps):
            x, y = self._tensors(train, rng.integers(0, train.size, BATCH))
            optimiser.zero_grad()
            _nll(network(x), y).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == self.steps:
                network.eval()
                with torch.no_grad():
                    loss = float(_nll(network(probe_x), probe_y))
                network.train()
                if loss < best:
                    best, kept = loss, {k: v.clone() for k, v in network.state_dict().items()}
        network.load_state_dict(kept)
        self.network = network.double().eval()
        self.shrink, self.widen = 1.0, 1.0
        mean, stdev = self._ask(check.windows(probe))
        target = check.y[probe]
        self.shrink = shrinkage(mean, target, check.effective_size)
        self.widen = float(np.sqrt(np.mean(((target - self.shrink * mean) / stdev) ** 2)))
        return {"validation_nll": best, "shrink": self.shrink, "widen": self.widen}

    def _tensors(self, data: TrainingSet, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        z = standardise(data.windows(chosen), self.mean, self.scale).astype(np.float32)
        # Wild targets are cut while learning; the stdev is set right afterwards on uncut ones.
        y = np.clip(data.targets(chosen) / self.unit, -6.0, 6.0).astype(np.float32)
        return torch.from_numpy(z).to(self.device), torch.from_numpy(y).to(self.device)

    def forecast(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self._ask(features[:, :, self.columns])

    def _ask(self, seen: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(S, L, len(READS)) → mean and stdev in basis points."""
        if self.network is None:
            raise Defect("a tcn member was asked before it was trained or loaded")
        z = standardise(seen, self.mean, self.scale)
        with torch.inference_mode():
            out = self.network(torch.from_numpy(z).to(self.device)).cpu().numpy()
        mean = self.shrink * self.unit * out[:, 0]
        stdev = self.widen * self.unit * np.exp(0.5 * np.clip(out[:, 1], -8.0, 8.0))
        return mean, stdev

    def save(self, folder: Path) -> None:
        if self.network is None:
            raise Defect("a tcn member has nothing to save before it was trained")
        torch.save(
            {
                "network": {k: v.cpu() for k, v in self.network.state_dict().items()},
                "columns": torch.from_numpy(self.columns),
                "mean": torch.from_numpy(self.mean),
                "scale": torch.from_numpy(self.scale),
                "numbers": torch.tensor([self.unit, self.shrink, self.widen], dtype=torch.float64),
            },
            folder / FILE,
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        cap_threads()
        # weights_only refuses anything in the file that is not a tensor.
        stored = torch.load(folder / FILE, map_location="cpu", weights_only=True)
        member = cls()
        member.columns = stored["columns"].numpy()
        member.mean, member.scale = stored["mean"].numpy(), stored["scale"].numpy()
        member.unit, member.shrink, member.widen = (float(v) for v in stored["numbers"])
        with torch.random.fork_rng(devices=[]):
            network = Network(len(member.mean)).double()
        network.load_state_dict(stored["network"])
        member.network = network.to(member.device).eval()
        return member


def _nll(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean Gaussian negative log likelihood, without its constant."""
    log_variance = out[:, 1].clamp(-8.0, 8.0)
    return 0.5 * (log_variance + (y - out[:, 0]) ** 2 * torch.exp(-log_variance)).mean()
