"""What our own orders left in a market's book: it is missing there until the book is another one."""

from dataclasses import dataclass, field

import numpy as np

from core.book import LEVELS
from core.units import Side


@dataclass(slots=True)
class Trace:
    """One epoch of one market, by the side of our orders."""

    taken: dict[Side, np.ndarray] = field(default_factory=lambda: {side: np.zeros(LEVELS, np.int64) for side in Side})
    """Steps we took of each level of the opposite side."""
    traded: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    """Steps of all our fills, resting ones included: what the participation cap counts."""


class Footprint:
    """The traces of one market. An order may act in a later epoch than the one on display, so two are kept."""

    def __init__(self) -> None:
        self._traces: dict[int, Trace] = {}

    def of(self, epoch: int) -> Trace:
        """The trace of an epoch, made now if we did nothing in it yet."""
        found = self._traces.get(epoch)
        if found is None:
            self._traces = {e: trace for e, trace in self._traces.items() if e >= epoch - 1}
            found = self._traces[epoch] = Trace()
        return found
