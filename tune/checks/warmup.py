"""How many bars until a feature is exact, measured: the history begun later, and the history before made another.

Two numbers a feature, each the most over several seeded places:
- *exact after*: begun at bar s, from which bar on (s being the first) is every value what the whole history gives?
  Short of that a bot that has just started would see other numbers than its backtest.
- *depends on*: with everything before bar s another market, how far behind s does a value still change? That is the
  look-back as it is, whatever the feature declares.

The places are minutes in which every instrument traded: a filler repeats the last close, so a halt makes every
look-back longer by as much as it lasted, and would be measured instead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.errors import ConfigError
from core.features import FEATURE_NAMES, FEATURES
from core.messages import FloatArray
from core.units import MINUTE_MS
from data.market import MarketCut
from tune.checks.changes import minutes_of, past_changed
from tune.checks.lookahead import Progress
from tune.checks.sources import table_of

NEAR = 1e-9
"""A value this near the exact one is as good for a model."""

Tables = Callable[[MarketCut], Mapping[str, FloatArray]]
"""A market → (S, T) values by feature name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a feature says of its look-back."""

    name: str
    bars: int
    """Bars it needs, its own minute's included; 0 needs none."""
    at_most: bool = False
    """The look-back is a bound: a recursive feature is begun a changing number of bars before, and forgets by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmth:
    """What was measured of one feature; a number is None when it was never reached."""

    name: str
    declared: int
    at_most: bool
    exact: int | None
    """Bars until it equals, to the last bit, what the whole history gives."""
    near: int | None
    """Bars until it is within NEAR of that."""
    depends: int | None
    """Bars it depends on."""
    constant: bool = False
    """It never moved on this market (what it looks at is not there), so nothing could be measured."""

    @property
    def fault(self) -> str:
        """How it differs from what it declares; empty when it does not."""
        if self.constant:
            return ""
        if self.exact is None or self.depends is None:
            return f"declares a look-back of {self.declared} bars and never forgets: it depends on all of the history"
        if self.depends > self.declared:
            return f"declares a look-back of {self.declared} bars and depends on {self.depends}"
        if self.exact > max(self.declared, 1):
            return f"declares a look-back of {self.declared} bars and is exact only after {self.exact}"
        if self.depends < self.declared and not self.at_most:
            return f"declares a look-back of {self.declared} bars and depends on {self.depends} only"
        return ""


def our_features() -> tuple[Declared, ...]:
    return tuple(Declared(name=spec.name, bars=spec.lookback, at_most=spec.anchored) for spec in FEATURES)


def our_tables(market: MarketCut) -> dict[str, FloatArray]:
    table = table_of(market)
    return {name: table[:, :, f] for f, name in enumerate(FEATURE_NAMES)}


def measure(
    features: Sequence[Declared],
    market: MarketCut,
    tables: Tables = our_tables,
    *,
    starts: int = 8,
    seed: int = 1,
    progress: Progress = lambda text, share: None,
) -> list[Warmth]:
    """Measure every feature at ``starts`` seeded places. ConfigError when the market is too short for the look-backs."""
    minutes = minutes_of(market)
    longest = max(f.bars for f in features)
    if minutes < 2 * longest + 2:
        raise ConfigError(
            f"{minutes} minutes are too few for a look-back of {longest} bars; ask for {2 * longest + 2} or more"
        )
    whole = tables(market)
    places = _places(market, minutes - longest, starts, seed)
    exact = {f.name: 1 for f in features}
    near = dict(exact)
    depends = {f.name: 0 for f in features}
    never = minutes + 1
    for number, start in enumerate(places):
        progress(f"history from bar {start}", number / len(places))
        begun = replace(market, bars=market.bars[:, start:], start_minute=market.start_minute + start * MINUTE_MS)
        later, other = tables(begun), tables(past_changed(market, start, seed))
        for f in features:
            full = whole[f.name]
            for bars, tolerance in ((exact, 0.0), (near, NEAR)):
                last = _last_unlike(full[:, start:], later[f.name], tolerance)
                bars[f.name] = max(bars[f.name], never if last == minutes - start - 1 else last + 2)
            last = _last_unlike(full, other[f.name], 0.0)
            reach = never if last == minutes - 1 else last - start + 2
            depends[f.name] = max(depends[f.name], reach)
    progress("done", 1.0)
    return [
        Warmth(
            name=f.name,
            declared=f.bars,
            at_most=f.at_most,
            constant=f.bars > 0 and _constant(whole[f.name]),
            exact=_reached(exact[f.name], minutes),
            near=_reached(near[f.name], minutes),
            depends=_reached(depends[f.name], minutes),
        )
        for f in features
    ]


def _places(market: MarketCut, end: int, starts: int, seed: int) -> list[int]:
    traded = 1 + np.flatnonzero(np.isfinite(market.bars[:, 1:end]).all(axis=(0, 2)))
    if not traded.size:
        raise ConfigError("there is no minute in which every instrument has a bar; ask for other --minutes")
    rng = np.random.default_rng([seed, minutes_of(market)])
    return sorted(map(int, rng.choice(traded, min(starts, traded.size), replace=False)))


def _reached(bars: int, minutes: int) -> int | None:
    return bars if bars <= minutes else None


def _constant(values: FloatArray) -> bool:
    known = values[np.isfinite(values)]
    return not known.size or bool((known == known[0]).all())


def _last_unlike(left: FloatArray, right: FloatArray, tolerance: float) -> int:
    """Index of the last minute in which (S, T) values differ; -1 when none does."""
    with np.errstate(invalid="ignore"):
        alike = (left == right) | (np.isnan(left) & np.isnan(right)) | (np.abs(left - right) <= tolerance)
    unlike = np.flatnonzero(~alike.all(axis=0))
    return int(unlike[-1]) if unlike.size else -1
