"""A member with its guard: beyond what it has learned from, its word counts for less.

The forecast's mean is multiplied by the trust of ``core.familiarity``, row by row; the stdev stays. In the vote that is
the member's weight times its trust, and what is taken from it goes to nobody: in a strange market the ensemble wants less.
The guard is learned from the member's own training rows and lies in the member's artifact.
"""

from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np

from core.errors import Defect
from core.familiarity import Familiarity, learn
from core.messages import FloatArray
from serve.models.base import Member, TrainingSet
from serve.models.horizons import Farsighted

FILE = "familiarity.npz"


@runtime_checkable
class Trusting(Protocol):
    """A member that says how far it is to be believed."""

    def trust(self, features: FloatArray) -> FloatArray: ...


class Guarded:
    """A member and what it has seen."""

    def __init__(self, member: Member, familiarity: Familiarity) -> None:
        self.member, self.familiarity = member, familiarity
        self.family, self.settings, self.depth = member.family, member.settings, member.depth

    @classmethod
    def taught(cls, member: Member, data: TrainingSet) -> Self:
        """``member`` with a guard learned from what it was fitted on."""
        rows = np.linspace(0, data.size - 1, min(data.size, 20_000)).astype(np.int64)
        return cls(member, learn(data.windows(rows, 1)[:, -1], data.rows[rows, 1]))

    def fit(self, data: TrainingSet, seed: int = 0) -> dict[str, float]:
        raise Defect("a guard is learned after its member was fitted: Guarded.taught")

    def forecast(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        mean, stdev = self.member.forecast(features)
        return mean * self.trust(features), stdev

    @property
    def horizons(self) -> tuple[int, ...]:
        """None where the member has none but the vote's."""
        return self.member.horizons if isinstance(self.member, Farsighted) else ()

    def forecasts(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        if not isinstance(self.member, Farsighted):
            raise Defect(f"a {self.family} member knows one horizon only; ask its forecast")
        mean, stdev = self.member.forecasts(features)
        return mean * self.trust(features)[:, None], stdev

    def trust(self, features: FloatArray) -> FloatArray:
        """(S, L, F) → (S,) in [0, 1]."""
        return self.familiarity.trust(features[:, -1, :])

    def save(self, folder: Path) -> None:
        self.member.save(folder)
        seen = self.familiarity
        np.savez(folder / FILE, mean=seen.mean, scale=seen.scale, edge=seen.edge)


def with_guard(member: Member, folder: Path) -> Member:
    """``member`` with the guard that lies in its artifact; without one, as it is."""
    if not (folder / FILE).exists():
        return member
    with np.load(folder / FILE, allow_pickle=False) as stored:
        return Guarded(member, Familiarity(stored["mean"], stored["scale"], float(stored["edge"])))
