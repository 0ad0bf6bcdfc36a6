"""What doing nothing would have brought: coins bought at the start with all the cash, and held.

No cost is charged, which favours holding: a strategy that only beats it by its costs has not beaten it.
"""

from dataclasses import dataclass

import numpy as np

from core.messages import FloatArray
from tune.result import Result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """A benchmark's equity at the grid minutes of a result."""

    name: str
    equity: FloatArray
    """(G,) USDT."""

    @property
    def total_return(self) -> float:
        return float(self.equity[-1] / self.equity[0] - 1.0) if len(self.equity) else 0.0


def benchmarks(result: Result) -> list[Held]:
    """Equal weight of the instruments, and bitcoin alone where it is one of several. Empty without any price."""
    # Where a currency's rate moved in the run, equity has that in it, and so has what it is held against.
    price = result.close if result.rate is None else result.close * result.rate
    known = [row for row in range(len(result.instruments)) if np.isfinite(price[:, row]).any()]
    if not known:
        return []
    paths = np.stack([_relative(price[:, row]) for row in known], axis=1)
    several = len(known) > 1
    name = f"hold all {len(known)} equally" if several else f"hold {result.instruments[known[0]].base}"
    held = [Held(name=name, equity=result.cash * paths.mean(axis=1))]
    bitcoin = [column for column, row in enumerate(known) if result.instruments[row].base == "BTC"]
    if several and bitcoin:
        held.append(Held(name="hold BTC", equity=result.cash * paths[:, bitcoin[0]]))
    return held


def _relative(close: FloatArray) -> FloatArray:
    """(G,) price over its first one: 1 until the coin has a price, the last one carried where there is none."""
    known = np.isfinite(close)
    last = np.maximum.accumulate(np.where(known, np.arange(len(close)), -1))
    first = float(close[np.argmax(known)])
    return np.where(last >= 0, close[last], first) / first
