"""What torch members have in common: scales, learning, calibration, answers, the file. A family adds its network.

A network sees standardised features of the last L minutes and says, for each of H horizons, mean and log variance of the
return in units of that horizon's usual move at that instrument and minute: what moves ten times as much is no other
lesson. The answer is in basis points again.
"""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import nn

from core.errors import Defect
from core.features import FEATURE_NAMES, SEQUENCE
from core.messages import FloatArray
from serve.models.base import (
    TrainingSet,
    calibrated,
    least_move_bps,
    moves_bps,
    only_whole,
    purged_tail,
    standardise32,
    standardiser,
)
from serve.models.hyper import made
from serve.models.threads import cap_threads
from serve.models.torch_loop import LOG_VARIANCE_MOST, Y_CLIP, Lessons, Schooling, learn, lessons

log = logging.getLogger(__name__)

MOST_ASKED = 4_096
"""Windows in one pass of the network."""
_FULL = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_ALLOC",
)
READS = (
    *("ret_1", "ret_5", "ret_15", "ret_60", "ret_240"),
    *("rv_15", "rv_60", "rv_240", "parkinson_60", "autocorr_30"),
    *("volume_z_60", "volume_trend", "up_volume_15", "bulk_imbalance_30", "vwap_dist_30", "vwap_dist_120"),
    *("rsi_14", "macd_hist", "bollinger_b_20", "adx_14", "di_gap_14", "range_pos_60", "body"),
    *("market_ret_15", "residual_15", "leader_gap_5", "lead_corr_60", "is_filler", "day_sin", "day_cos"),
)
"""What networks look at. They see a sequence, so averages of what they see anyway would only give them more to fit by
chance: with all features the TCN forecast worse, and learned at half the speed."""


def gpu_full(error: RuntimeError) -> bool:
    """Whether torch ran out of the GPU's memory: by its own allocator's word, or by that of CUDA and its libraries, which take
    memory past the allocator and say so in text alone."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _FULL)


class TorchMember:
    """A network with its scales. Subclasses name ``family`` and ``Settings``, and build the network."""

    family: ClassVar[str]
    Settings: ClassVar[type[Schooling]]
    depth = SEQUENCE

    def __init__(self, *, device: str | None = None, **hyper: Any) -> None:
        """``device``: where it computes; the GPU where there is one."""
        self.settings = made(self.Settings, self.family, hyper)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.columns = np.array([FEATURE_NAMES.index(name) for name in READS])
        self.mean, self.scale = np.zeros(len(READS)), np.ones(len(READS))
        self.horizons: tuple[int, ...] = (15,)
        self.horizon = 15
        self.floor_bps = 0.0
        """Usual move of one minute below which it counts as this."""
        self.unit = np.ones(1)
        """(H,) usual moves in one unit of the network's output."""
        self.shrink = np.zeros(1)
        self.widen = np.ones(1)
        """(H,) factor on the standard deviation that makes it right on the tail."""
        self.network: nn.Module | None = None

    def build(self, features: int, outputs: int) -> nn.Module:
        """An untrained network (N, L, features) → (N, outputs) that says zero."""
        raise NotImplementedError

    def fit(self, data: TrainingSet, seed: int = 0) -> dict[str, float]:
        """Train on the first part of time; stop, shrink and calibrate on the last, one longest horizon apart."""
        train, tail = purged_tail(data.learnable())
        cap_threads()
        try:
            return self._fit(train, tail, seed)
        except RuntimeError as error:
            if not gpu_full(error):
                raise
            self._leave_gpu("training")
            return self._fit(train, tail, seed)

    def _fit(self, train: TrainingSet, tail: TrainingSet, seed: int) -> dict[str, float]:
        self.horizons, self.horizon = train.horizons, train.horizon
        every = np.arange(train.size)
        last = train.last
        self.mean, self.scale = standardiser(last[:, self.columns])
        self.floor_bps = least_move_bps(last)
        ahead = train.ahead(every) / self._moves(last)
        self.unit = np.nan_to_num(np.nanstd(ahead, axis=0), nan=1.0)
        self.unit[self.unit <= 0.0] = 1.0
        taught = self._lessons(train, ahead)
        judged_last = tail.last
        judged = tail.ahead(np.arange(tail.size))
        check = self._lessons(tail, judged / self._moves(judged_last))
        # The generator that initialises layers is global in torch: fork it, so that nobody else notices.
        cuda = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed)
            network = self.build(len(self.columns), 2 * len(self.horizons)).to(self.device)
            best, steps = learn(
                network, taught.on(self.device), check.on(self.device), self.settings, np.random.default_rng(seed)
            )
        self.network = network.eval()
        self.shrink, self.widen = np.ones(len(self.horizons)), np.ones(len(self.horizons))
        mean, stdev = self._scaled(self._ask(check.windows(torch.arange(check.size))), judged_last)
        self.shrink, self.widen = calibrated(mean, stdev, judged, self._moves(judged_last), tail)
        voted = self.horizons.index(self.horizon)
        return {
            "validation_nll": best,
            "steps": float(steps),
            "shrink": float(self.shrink[voted]),
            "widen": float(self.widen[voted]),
            "table_mb": taught.table_bytes / 2**20,
        }

    def _lessons(self, data: TrainingSet, ahead: FloatArray) -> Lessons:
        target = np.clip(ahead / self.unit, -Y_CLIP, Y_CLIP)
        return lessons(data, self.columns, self.mean, self.scale, target)

    def _moves(self, last: FloatArray) -> FloatArray:
        """(N, F) newest features → (N, H) usual moves, basis points, none below the floor."""
        return moves_bps(last, self.horizons, self.floor_bps)

    def forecast(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        mean, stdev = self.forecasts(features)
        voted = self.horizons.index(self.horizon)
        return mean[:, voted], stdev[:, voted]

    def forecasts(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(S, L, F) → mean and stdev (S, H), basis points, over each of ``horizons``."""
        seen = features[:, :, self.columns].astype(np.float32)
        mean, stdev = self._scaled(
            self._ask(torch.from_numpy(standardise32(seen, self.mean, self.scale))), features[:, -1]
        )
        return only_whole(seen, mean, stdev)

    def _scaled(self, out: FloatArray, last: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(N, 2H) of the network → mean and stdev (N, H), basis points."""
        mean, log_variance = np.split(out, 2, axis=1)
        unit = self.unit * self._moves(last)
        spread = np.exp(0.5 * np.clip(log_variance, -LOG_VARIANCE_MOST, LOG_VARIANCE_MOST))
        return self.shrink * unit * mean, self.widen * unit * spread

    def _ask(self, z: torch.Tensor) -> FloatArray:
        """(N, L, F) float32 standardised → (N, 2H). A GPU that is full is left for good: a vote must not wait for it."""
        if self.network is None:
            raise Defect(f"a {self.family} member was asked before it was trained or loaded")
        network = self.network
        try:
            with torch.inference_mode():
                parts = [network(part.to(self.device)).cpu() for part in z.split(MOST_ASKED)]
        except RuntimeError as error:
            if not gpu_full(error):
                raise
            self._leave_gpu("forecasting")
            with torch.inference_mode():
                parts = [network(part) for part in z.split(MOST_ASKED)]
        return torch.cat(parts).double().numpy()

    def _leave_gpu(self, doing: str) -> None:
        log.warning("%s: the GPU's memory is full while %s; it goes on on the CPU", self.family, doing)
        self.device = torch.device("cpu")
        if self.network is not None:
            self.network = self.network.to(self.device)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def save(self, folder: Path) -> None:
        if self.network is None:
            raise Defect(f"a {self.family} member has nothing to save before it was trained")
        numbers = np.stack([np.array(self.horizons, dtype=np.float64), self.unit, self.shrink, self.widen])
        torch.save(
            {
                "network": {k: v.cpu() for k, v in self.network.state_dict().items()},
                "settings": asdict(self.settings),
                "columns": torch.from_numpy(self.columns),
                "mean": torch.from_numpy(self.mean),
                "scale": torch.from_numpy(self.scale),
                "numbers": torch.from_numpy(numbers),
                "horizon": self.horizon,
                "floor_bps": self.floor_bps,
            },
            folder / f"{self.family}.pt",
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        cap_threads()
        # weights_only refuses anything in the file that is not a tensor or a plain value.
        stored = torch.load(folder / f"{cls.family}.pt", map_location="cpu", weights_only=True)
        member = cls(**stored["settings"])
        member.columns = stored["columns"].numpy()
        member.mean, member.scale = stored["mean"].numpy(), stored["scale"].numpy()
        horizons, member.unit, member.shrink, member.widen = stored["numbers"].numpy()
        member.horizons = tuple(int(h) for h in horizons)
        member.horizon, member.floor_bps = int(stored["horizon"]), float(stored["floor_bps"])
        with torch.random.fork_rng(devices=[]):
            network = member.build(len(member.columns), 2 * len(member.horizons))
        network.load_state_dict(stored["network"])
        member.network = network.eval()
        try:
            member.network = network.to(member.device)
        except RuntimeError as error:
            if not gpu_full(error):
                raise
            member._leave_gpu("loading")
        return member
