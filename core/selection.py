"""From votes to wanted exposure: which members are listened to, with which weight, and what they want to hold.

Everything depends on this minute's market and votes and on the weight table, on no earlier minute: what is held is
read from the account, so hysteresis survives a restart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from core.coins import coin_forecast, coins_at_venues
from core.errors import DataError, Defect
from core.events import VOLATILITY_SHOCK
from core.lean import lean, pasted
from core.messages import BoolArray, Detected, FloatArray, Intents, Market, Regime, Votes
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


class SelectionRules(NamedTuple):
    """``SelectionSettings`` for the compiled rules."""

    entry_edge_bps: float
    exit_edge_bps: float
    full_edge_bps: float
    shock_scale: float


def selection_rules(settings: SelectionSettings) -> SelectionRules:
    return SelectionRules(
        float(settings.entry_edge_bps),
        float(settings.exit_edge_bps),
        float(settings.full_edge_bps),
        float(settings.shock_scale),
    )


@lean
def share_out(weights: FloatArray, spoke: BoolArray, out: FloatArray) -> bool:
    """Write the (M,) weights of those who spoke, summing to 1: a silent one's is shared out in proportion.

    All 0, and False, when nobody with a weight spoke.
    """
    total = 0.0
    for m in range(weights.shape[0]):
        out[m] = weights[m] if spoke[m] else 0.0
        total += out[m]
    for m in range(weights.shape[0]):
        out[m] = out[m] / total if total > 0.0 else 0.0
    return total > 0.0


@lean
def combine(weights: FloatArray, mean_bps: FloatArray, edge: FloatArray) -> None:
    """Write the (S,) weighted mean of the (M, S) forecasts; NaN when no weight is left."""
    for i in range(edge.shape[0]):
        total = 0.0
        heard = False
        for m in range(weights.shape[0]):
            if weights[m] > 0.0:
                heard = True
                total += weights[m] * mean_bps[m, i]
        edge[i] = total if heard else math.nan


@lean
def disagree(
    weights: FloatArray, mean_bps: FloatArray, stdev_bps: FloatArray, edge: FloatArray, spread: FloatArray
) -> None:
    """Write the (S,) standard deviation of the weighted mixture; NaN when no weight is left.

    The variance of a mixture is the weighted mean of the members' variances plus the variance of their means
    (law of total variance), so members that disagree make the forecast less certain.
    """
    for i in range(edge.shape[0]):
        square = 0.0
        heard = False
        for m in range(weights.shape[0]):
            if weights[m] > 0.0:
                heard = True
                apart = mean_bps[m, i] - edge[i]
                square += weights[m] * (stdev_bps[m, i] * stdev_bps[m, i] + apart * apart)
        spread[i] = math.sqrt(square) if heard else math.nan


@lean
def wanted(edge: float, held: bool, fresh: bool, share: float, rules: SelectionRules) -> float:
    """The fraction of the investable equity that one instrument asks for; ``share`` is the most it may.

    Entry: at or above ``entry_edge_bps`` the share grows with the edge, up to the full one at ``full_edge_bps``
    (long only). Between entry and exit a held position is kept, and nothing new is opened. Below ``exit_edge_bps``
    nothing is held. No opinion (NaN: keep) without an edge or without a fresh market.
    """
    if not (math.isfinite(edge) and fresh):
        return math.nan
    if edge < rules.exit_edge_bps:
        return 0.0
    if edge >= rules.entry_edge_bps:
        strength = min(max(edge / rules.full_edge_bps, 0.0), 1.0)
        return strength * share
    return math.nan if held else 0.0


@pasted
def held_back(target: float, held: float, scale: float) -> float:
    """What is bought up to of a ``target`` when only ``scale`` of it may be, with ``held`` there already: at least that.

    A shock holds purchases back and sells nothing: a position that was cut for one minute and bought again after it
    would pay for two round trips. (``core.ceilings`` does the same to sizes: a ceiling at ``scale`` of the target.)
    """
    return max(held, scale * target) if target > held else target


@pasted
def is_held(position: float, worth: float, equity: float) -> bool:
    """More than dust. Without a known equity anything counts: what is not understood is not sold for being small."""
    if math.isfinite(equity):
        return worth > HELD_SHARE * equity
    return position > 0.0


@lean
def choose_targets(
    edge: FloatArray,
    position: FloatArray,
    close: FloatArray,
    rate: FloatArray,
    equity: float,
    fresh: BoolArray,
    rules: SelectionRules,
    out: FloatArray,
) -> None:
    """Write the (S,) wanted fractions of the investable equity; every instrument may ask for an equal share."""
    share = 1.0 / edge.shape[0]
    for i in range(edge.shape[0]):
        held = is_held(position[i], position[i] * close[i] * rate[i], equity)
        out[i] = wanted(edge[i], held, fresh[i], share, rules)


class Selector:
    """Weighs the votes and turns the weighted edge into targets. ``coins``: a coin at several venues is one position
    (``execution.split``), judged once (``core.coins``)."""

    def __init__(
        self, settings: SelectionSettings, table: WeightTable, members: Sequence[str], *, coins: bool = False
    ) -> None:
        self._coins = coins
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
        rows = len(market.instruments)
        weights, edge, spread = np.empty(len(votes.members)), np.empty(rows), np.empty(rows)
        mean, stdev = _plain(votes.mean_bps), _plain(votes.stdev_bps)
        share_out(self._table.weights(events.regime, votes.members), np.array(votes.spoke, dtype=np.bool_), weights)
        combine(weights, mean, edge)
        disagree(weights, mean, stdev, edge, spread)
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
            target=self.targets(market, edge),
            buy_scale=np.where(in_shock, self._settings.shock_scale, 1.0),
        )

    def targets(self, market: Market, edge: FloatArray) -> FloatArray:
        """(S,) wanted fractions of the investable equity (``choose_targets``); the rows of a coin ask for the same."""
        out = np.empty(len(market.instruments))
        edge, position, close, rate = (_plain(a) for a in (edge, market.position, market.close, market.quote_rate))
        fresh = np.array(market.fresh, dtype=np.bool_)
        for members in coins_at_venues(market.instruments) if self._coins else ():
            edge[members] = coin_forecast(edge, fresh, members)
            worth = position[members] * close[members] * rate[members]
            # In USDT, all of it in each row: so each is held or not as the coin is.
            known = float(worth[np.isfinite(worth)].sum())
            position[members] = known if known > 0.0 else float(position[members].sum())
            close[members] = rate[members] = 1.0
            fresh[members] = fresh[members].any()
        choose_targets(edge, position, close, rate, float(market.equity), fresh, selection_rules(self._settings), out)
        return out


def _plain(array: FloatArray) -> FloatArray:
    """One memory layout for the kernels (contiguous, writeable), so that numba compiles them once."""
    return np.array(array, dtype=np.float64, order="C")
