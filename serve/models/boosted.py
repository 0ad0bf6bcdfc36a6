"""Boosted regression trees on the newest feature row, with LightGBM (Ke et al. 2017, NeurIPS 30): one forest a horizon for
the return in units of its usual move, and a small one for how wide it is spread.

LightGBM brings an OpenMP of its own beside torch's. Each is told its threads by name, so that neither takes what the other
was given; with one thread, the default, none of them starts any.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import lightgbm
import numpy as np

from core.errors import Defect
from core.features import N_FEATURES
from core.messages import FloatArray
from serve.models.base import TrainingSet, calibrated, least_move_bps, moves_bps, only_whole, purged_tail
from serve.models.hyper import made
from serve.models.threads import declared_threads

NUMBERS = "lightgbm.json"
OUTLIER = 5.0
WIDTH_TREES, WIDTH_LEAVES, WIDTH_RATE = 60, 7, 0.1
LOG_SPREAD_MOST = 4.0
"""Spreads are kept within e^±2 of the usual one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    trees: int = 200
    """At most; it ends earlier where more are no better on the tail."""
    leaves: int = 15
    learning_rate: float = 0.03
    least_leaf: float = 0.01
    """Share of the samples that a leaf must hold."""
    features: float = 0.5
    """Share of the features that a tree may look at."""
    rows: float = 0.7
    """Share of the samples that a tree sees."""
    l2: float = 10.0
    patience: int = 20
    """Trees without a better tail after which it ends."""


class Boosted:
    """mean = shrink · usual move · forest; stdev = widen · usual move · exp(half of the second forest)."""

    family = "lightgbm"
    Settings: ClassVar[type[Settings]] = Settings
    depth = 1

    def __init__(self, **hyper: Any) -> None:
        self.settings = made(Settings, self.family, hyper)
        self.horizons: tuple[int, ...] = (15,)
        self.horizon = 15
        self.floor_bps = 0.0
        self.shrink, self.widen = np.zeros(1), np.ones(1)
        self.means: list[lightgbm.Booster] = []
        self.widths: list[lightgbm.Booster] = []

    def fit(self, data: TrainingSet, seed: int = 0) -> dict[str, float]:
        """Grow on the first part of time; stop, shrink and calibrate on the last, one longest horizon apart."""
        train, tail = purged_tail(data.learnable())
        self.horizons, self.horizon = train.horizons, train.horizon
        x, x_tail = train.last, tail.last
        self.floor_bps = least_move_bps(x)
        ahead, judged = train.ahead(np.arange(train.size)), tail.ahead(np.arange(tail.size))
        ys, ys_tail = ahead / self._moves(x), judged / self._moves(x_tail)
        count = len(self.horizons)
        self.means, self.widths, self.shrink, self.widen = [], [], np.zeros(count), np.ones(count)
        trees = 0
        for h in range(count):
            a, b = np.isfinite(ys[:, h]), np.isfinite(ys_tail[:, h])
            if not a.any() or not b.any():
                raise ValueError(f"no return over {self.horizons[h]} minutes is known in {data.size} samples")
            cut = OUTLIER * ys[a, h].std()
            y, y_tail = np.clip(ys[a, h], -cut, cut), np.clip(ys_tail[b, h], -cut, cut)
            parts = (x[a], y), (x_tail[b], y_tail)
            self.means.append(self._grow(*parts, seed))
            self.widths.append(self._grow(*((part, _log_square(one)) for part, one in parts), seed, width=True))
            trees += self.means[-1].num_trees()
        self.shrink[:] = 1.0
        mean, stdev = self.forecasts(x_tail[:, None])
        self.shrink, self.widen = calibrated(mean, stdev, judged, self._moves(x_tail), tail)
        voted = self.horizons.index(self.horizon)
        return {"trees": float(trees), "shrink": float(self.shrink[voted]), "widen": float(self.widen[voted])}

    def _grow(
        self,
        train: tuple[FloatArray, FloatArray],
        tail: tuple[FloatArray, FloatArray],
        seed: int,
        *,
        width: bool = False,
    ) -> lightgbm.Booster:
        s = self.settings
        how = {
            "objective": "l2",
            "num_leaves": max(2, WIDTH_LEAVES if width else s.leaves),
            "learning_rate": WIDTH_RATE if width else s.learning_rate,
            "min_data_in_leaf": max(20, int(s.least_leaf * len(train[1]))),
            "feature_fraction": min(1.0, s.features),
            "bagging_fraction": min(1.0, s.rows),
            "bagging_freq": 1,
            "lambda_l2": s.l2,
            # The drift of a few days says nothing about the next: only widths begin at their average.
            "boost_from_average": width,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": declared_threads(),
            "verbosity": -1,
        }
        learned = lightgbm.Dataset(train[0], train[1], free_raw_data=True)
        return lightgbm.train(
            how,
            learned,
            num_boost_round=max(1, WIDTH_TREES if width else s.trees),
            valid_sets=[learned.create_valid(tail[0], tail[1])],
            callbacks=[lightgbm.early_stopping(max(1, s.patience), verbose=False)],
        )

    def _moves(self, last: FloatArray) -> FloatArray:
        return moves_bps(last, self.horizons, self.floor_bps)

    def forecast(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        voted = self.horizons.index(self.horizon)
        mean, stdev = self._said(features, (voted,))
        return mean[:, 0], stdev[:, 0]

    def forecasts(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(S, L, F) → mean and stdev (S, H), basis points, over each of ``horizons``."""
        return self._said(features, tuple(range(len(self.horizons))))

    def _said(self, features: FloatArray, which: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
        if not self.means:
            raise Defect("a lightgbm member was asked before it was trained or loaded")
        last = np.ascontiguousarray(features[:, -1])
        moves, threads = self._moves(last), declared_threads()
        told = [[one[h].predict(last, num_threads=threads) for one in (self.means, self.widths)] for h in which]
        at = list(which)
        mean = np.stack([m for m, _ in told], axis=1) * moves[:, at] * self.shrink[at]
        spread = np.exp(0.5 * np.clip(np.stack([w for _, w in told], axis=1), -LOG_SPREAD_MOST, LOG_SPREAD_MOST))
        return only_whole(features[:, -1:], mean, self.widen[at] * moves[:, at] * spread)

    def save(self, folder: Path) -> None:
        if not self.means:
            raise Defect("a lightgbm member has nothing to save before it was trained")
        for h, horizon in enumerate(self.horizons):
            for name, forest in (("mean", self.means[h]), ("width", self.widths[h])):
                text = forest.model_to_string(num_iteration=forest.best_iteration or None)
                (folder / f"{name}_{horizon}.txt").write_text(text, encoding="utf-8")
        stored = {
            "settings": asdict(self.settings),
            "horizon": self.horizon,
            "horizons": self.horizons,
            "floor_bps": self.floor_bps,
            "shrink": self.shrink.tolist(),
            "widen": self.widen.tolist(),
        }
        (folder / NUMBERS).write_text(json.dumps(stored), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        stored = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
        member = cls(**stored["settings"])
        member.horizon, member.horizons = stored["horizon"], tuple(stored["horizons"])
        member.floor_bps = stored["floor_bps"]
        member.shrink, member.widen = np.array(stored["shrink"]), np.array(stored["widen"])
        member.means, member.widths = (
            [_forest(folder / f"{name}_{horizon}.txt") for horizon in member.horizons] for name in ("mean", "width")
        )
        return member


def _log_square(y: FloatArray) -> FloatArray:
    """Log squared moves (Harvey 1976), centred: what is beyond a usual width, more or less."""
    square = y * y
    found = np.log(square + 1e-2 * square.mean() + 1e-12)
    return found - found.mean()


def _forest(path: Path) -> lightgbm.Booster:
    try:
        forest = lightgbm.Booster(model_str=path.read_text(encoding="utf-8"))
    except lightgbm.basic.LightGBMError as error:
        raise ValueError(f"{path.name} holds no trees: {error}") from error
    if forest.num_feature() != N_FEATURES:
        raise ValueError(f"{path.name} reads {forest.num_feature()} features, there are {N_FEATURES}")
    return forest
