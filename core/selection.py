"""From votes to wanted exposure: which members are listened to, with which weight, and what they want to hold.

Everything depends on this minute's market and votes and on the weight table, on no earlier minute: what is held is
read from the account, so hysteresis survives a restart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import DataError, Defect
from core.events import VOLATILITY_SHOCK
from core.messages import Detected, FloatArray, Intents, Market, Regime, Votes
from core.params import SelectionSettings

HELD_SHARE = 1e-3
"""A position above this share of equity counts as held; less is dust."""


@dataclass(frozen=True, slots=True)
class WeightTable:
    """Member weights by regime. Only their proportions matter."""

    version: str
    by_regime: dict[str, dict[str, float]]
    """Regime value → member name → weight, 0 or more."""

    def __post_init__(self) -> None:
        for regime in Regime:
            if regime.value not in self.by_regime:
                raise DataError(f"weights {self.version}: no weights for regime {regime.value!r}")
        for name, weights in self.by_regime.items():
            if name not in set(Regime):
                raise DataError(f"weights {self.version}: {name!r} is no regime; there are {', '.join(Regime)}")
            for member, weight in weights.items():
                if not (math.isfinite(weight) and weight >= 0.0):
                    raise DataError(f"weights {self.version}: {name}/{member} is {weight}, must be 0 or more")

    @classmethod
    def equal(cls, members: Sequence[str]) -> "WeightTable":
        """The same weight for everyone in every regime."""
        return cls("equal", {regime.value: dict.fromkeys(members, 1.0) for regime in Regime})

    @classmethod
    def default(cls, members: Sequence[str], weights: Mapping[str, float]) -> "WeightTable":
        """The configured weights in every regime (an unnamed member has none); equal ones when none are configured."""
        if not weights:
            return cls.equal(members)
        return cls("configured", {regime.value: {m: float(weights.get(m, 0.0)) for m in members} for regime in Regime})

    def weights(self, regime: Regime, members: Sequence[str]) -> FloatArray:
        """(M,) weights of ``members`` in ``regime``; 0 for one the table does not know."""
        known = self.by_regime[regime.value]
        return np.array([known.get(member, 0.0) for member in members], dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        return {"version": self.version, "by_regime": self.by_regime}

    @classmethod
    def from_json(cls, data: Any) -> "WeightTable":
        """Raises DataError naming what is wrong."""
        try:
            by_regime = {
                str(regime): {str(m): float(w) for m, w in weights.items()}
                for regime, weights in data["by_regime"].items()
            }
            return cls(str(data["version"]), by_regime)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"not a weight table (want version, by_regime → member → weight): {error!r}") from error


def share_out(weights: FloatArray, spoke: FloatArray) -> FloatArray:
    """(M,) weights of those who spoke, summing to 1: a silent one's is shared out in proportion; else 0."""
    heard = np.where(spoke, weights, 0.0)
    total = float(heard.sum())
    return heard / total if total > 0.0 else np.zeros_like(heard)


class Selector:
    """Weighs the votes and turns the weighted edge into targets."""

    def __init__(self, settings: SelectionSettings, table: WeightTable, members: Sequence[str]) -> None:
        self._settings = settings
        self._table = table
        self._members = tuple(members)

    def set_weights(self, table: WeightTable) -> None:
        """Use ``table`` from the next minute on."""
        self._table = table

    def choose(self, market: Market, events: Detected, votes: Votes) -> Intents:
        """Raises Defect when the votes are of another minute or of members this selector was not made for."""
        if votes.minute != market.minute or events.minute != market.minute:
            raise Defect(f"minute {market.minute} was given votes of {votes.minute} and events of {events.minute}")
        strangers = sorted(set(votes.members) - set(self._members))
        if strangers:
            raise Defect(f"votes of unknown members: {', '.join(strangers)}")
        weights = share_out(self._table.weights(events.regime, votes.members), votes.spoke)
        edge, spread = combine(weights, votes.mean_bps, votes.stdev_bps)
        shocked = {e.instrument for e in events.events if e.kind == VOLATILITY_SHOCK}
        in_shock = np.array([i in shocked or None in shocked for i in market.instruments], dtype=np.bool_)
        return Intents(
            minute=market.minute,
            trace=market.trace,
            regime=events.regime,
            weights=tuple(float(w) for w in weights),
            weights_version=self._table.version,
            edge_bps=edge,
            spread_bps=spread,
            target=self._targets(market, edge, in_shock),
        )

    def _targets(self, market: Market, edge: FloatArray, in_shock: FloatArray) -> FloatArray:
        """(S,) wanted fraction of the investable equity; every instrument may ask for an equal share.

        Entry: at or above ``entry_edge_bps`` the share grows with the edge, up to the full one at ``full_edge_bps``
        (long only). Between entry and exit a held position is kept, and nothing new is opened. Below
        ``exit_edge_bps`` nothing is held. No opinion (NaN: keep) without an edge or without a fresh market.
        """
        rules = self._settings
        share = 1.0 / len(market.instruments)
        worth = market.position * market.close * market.quote_rate
        # Without a known equity anything held counts: what is not understood is not sold for being small.
        held = worth > HELD_SHARE * market.equity if math.isfinite(market.equity) else market.position > 0.0
        strength = np.clip(edge / rules.full_edge_bps, 0.0, 1.0) * np.where(in_shock, rules.shock_scale, 1.0)
        target = np.where(edge >= rules.entry_edge_bps, strength * share, np.where(held, np.nan, 0.0))
        target = np.where(edge < rules.exit_edge_bps, 0.0, target)
        return np.where(np.isfinite(edge) & market.fresh, target, np.nan)


def combine(weights: FloatArray, mean_bps: FloatArray, stdev_bps: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(S,) mean and stdev of the weighted mixture; NaN when no weight is left.

    The variance of a mixture is the weighted mean of the members' variances plus the variance of their means
    (law of total variance), so members that disagree make the forecast less certain.
    """
    rows = mean_bps.shape[1]
    if not weights.any():
        return np.full(rows, np.nan), np.full(rows, np.nan)
    edge = np.zeros(rows)
    square = np.zeros(rows)
    heard = [m for m in range(len(weights)) if weights[m] > 0.0]
    for m in heard:
        edge = edge + weights[m] * mean_bps[m]
    for m in heard:
        square = square + weights[m] * (stdev_bps[m] ** 2 + (mean_bps[m] - edge) ** 2)
    return edge, np.sqrt(square)
