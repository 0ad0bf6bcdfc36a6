"""Several horizons from families that learn one at a time: the member of the vote's horizon, and one beside it for each other.

What it says of one horizon does not depend on the others. The vote reads the horizon it is configured for.
"""

from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np

from core.messages import FloatArray
from serve.models.base import TrainingSet


@runtime_checkable
class Farsighted(Protocol):
    """A member that says more than the vote asks for."""

    horizons: tuple[int, ...]
    """Minutes, ascending; the vote's is one of them."""

    def forecasts(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(S, L, F) → mean and stdev (S, H), basis points, over each of ``horizons``."""
        ...


class OneByOne(ABC):
    """A member of one horizon with its ``others``. Subclasses fit, say and store one horizon."""

    horizon: int
    settings: Any
    FILE: ClassVar[str]

    def __init__(self) -> None:
        self.others: dict[int, Self] = {}

    @abstractmethod
    def fit_one(self, data: TrainingSet) -> dict[str, float]:
        """``Member.fit`` on the horizon of ``data`` alone. Nothing is drawn."""

    @abstractmethod
    def forecast(self, features: FloatArray) -> tuple[FloatArray, FloatArray]: ...

    @abstractmethod
    def write(self, path: Path) -> None: ...

    @classmethod
    @abstractmethod
    def read(cls, path: Path) -> Self: ...

    @property
    def horizons(self) -> tuple[int, ...]:
        return tuple(sorted({self.horizon, *self.others}))

    def fit(self, data: TrainingSet, seed: int = 0) -> dict[str, float]:
        """Each horizon by itself; the notes are of the vote's. ``seed`` is not needed: nothing is drawn."""
        notes = self.fit_one(data.at(data.horizon))
        self.others = {}
        for horizon in data.learnable().also:
            part = data.at(horizon)
            if part.size:
                self.others[horizon] = type(self)(**asdict(self.settings))
                self.others[horizon].fit_one(part)
        return notes

    def forecasts(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        said = [(self if h == self.horizon else self.others[h]).forecast(features) for h in self.horizons]
        mean, stdev = (np.stack(part, axis=1) for part in zip(*said, strict=True))
        return mean, stdev

    def save(self, folder: Path) -> None:
        self.write(folder / self.FILE)
        for horizon, other in self.others.items():
            other.write(folder / f"also_{horizon}_{self.FILE}")

    @classmethod
    def load(cls, folder: Path) -> Self:
        member = cls.read(folder / cls.FILE)
        for path in sorted(folder.glob(f"also_*_{cls.FILE}")):
            other = cls.read(path)
            member.others[other.horizon] = other
        return member
