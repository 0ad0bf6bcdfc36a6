"""How much of one instrument may be held, by how much it moves, how sure its forecast is, and what else is held.

Ceilings for what is bought; what is held is never sold because of them. They only reduce.

- Volatility: a position may bring ``max_position_volatility_pct`` of the equity a year: share x volatility stays below it.
- Kelly: the share that grows fastest is mean / variance of the return (Kelly 1956, "A New Interpretation of Information
  Rate", Bell System Technical Journal 35; for a continuous return Thorp 2006, "The Kelly Criterion in Blackjack, Sports
  Betting, and the Stock Market", section 7). A fraction of it allows for means and spreads that are themselves guesses.
  Both are of one horizon and in fractions: 24 bps with a spread of 47 are 0.0024 / 0.0047^2 = 109 times the equity, a
  quarter of it 27 times. So it seldom binds: of minutes the variance is tiny beside any mean that is worth its cost, and
  a quarter is below a cap of 15 % only where the mean is below 0.6 times the spread squared (0.13 bps of 47, 60 bps of
  1,000). It is there for the forecast that is hardly one: a small mean with a wide spread. Costs are not taken off the
  mean. That would be the rule of a bet that pays them ((mean - cost) / variance), and would cut at 3 bps of 24 left
  after costs to 3.4 times the equity, which binds as little; between nothing and 0.13 bps left, where it would bind,
  the cost gate has cut the order already.
- Shock: while an instrument is in a volatility shock it is bought up to a part of its target only.
- Portfolio: the sample volatility of all that would be held stays below ``target_volatility_pct``. The portfolio's own
  minute returns are added up, so every correlation of the sample is in it, and all buys shrink by one factor.

Volatility is the root mean square of the last minutes' returns, scaled to a year of minutes. Where too little is known of
an instrument, it counts as very volatile.
"""

import math
from typing import NamedTuple

import numpy as np

from core.lean import inlined, pasted, shared
from core.messages import FloatArray, Intents, Market
from core.params import RiskSettings
from core.sizing import (
    CEILING,
    CEILING_LIMIT,
    COIN,
    HELD,
    MOST,
    PRICE,
    RATE,
    TARGET,
    Caps,
    IntArray,
    Limit,
)
from core.units import BPS
from core.volatility import MINUTES, ROOM, UNKNOWN_YEAR, YEAR_MINUTES, at_most, noted, volatility_of

VOLATILITY, KELLY, JOINT = range(3)
"""Rows of what is told of each instrument that would be bought: volatility a year, the share that Kelly allows, the factor
of all buys. NaN where it was not looked at."""

_VOLATILITY, _KELLY, _PORTFOLIO = int(Limit.POSITION_VOLATILITY), int(Limit.KELLY), int(Limit.PORTFOLIO_VOLATILITY)
_SHOCK = int(Limit.SHOCK)


class CeilingRules(NamedTuple):
    """``RiskSettings`` for the kernel. Fractions of equity; infinite where switched off."""

    position: float
    portfolio: float
    kelly: float
    """Fraction of Kelly's share."""
    looks_back: bool
    """Whether any of them needs returns."""


def ceiling_rules(limits: RiskSettings) -> CeilingRules:
    position = _off(limits.max_position_volatility_pct) / 100.0
    portfolio = _off(limits.target_volatility_pct) / 100.0
    return CeilingRules(position, portfolio, _off(limits.kelly_fraction), min(position, portfolio) < math.inf)


def _off(value: float | None) -> float:
    return math.inf if value is None else float(value)


@shared
def set_ceilings(
    rows: FloatArray,
    marks: IntArray,
    caps: Caps,
    rules: CeilingRules,
    edge: FloatArray,
    spread: FloatArray,
    scale: FloatArray,
    bars: FloatArray,
    volatility: FloatArray,
    index: int,
    returns: FloatArray,
    told: FloatArray,
) -> None:
    """Write ``CEILING`` and ``CEILING_LIMIT`` of every row of ``core.sizing``'s tables, filled otherwise.

    ``edge`` and ``spread`` (S,) are the forecast's mean and standard deviation, bps; NaN without one. ``scale`` (S,) is
    the part of the target that may be bought (``core.selection.held_back``). ``bars`` (S, T, 5) up to ``index``; a minute without a bar is one in which the price stood. ``volatility`` (S, T) is ``volatility_table`` of them, or (S, 0)
    where it was not made. ``returns`` (S + 2, ROOM) is room to work in, kept from minute to minute, ``told`` (3, S) what is
    written down.
    """
    buying = False
    for i in range(edge.shape[0]):
        own = _own(rows, marks, caps, rules, edge[i], spread[i], scale[i], bars, volatility, index, returns, told, i)
        buying = buying or own
    if buying and rules.portfolio < math.inf:
        if _calm_enough(rows, caps, rules, bars, volatility, index, returns, told):
            for i in range(edge.shape[0]):
                if _more(rows, caps, i) > caps.band * caps.equity:
                    told[JOINT, i] = 1.0
            return
        if volatility.shape[1] > 0:
            for i in range(edge.shape[0]):
                volatility_of(bars, i, index, returns)
        _shrink(rows, marks, caps, rules.portfolio, bars, index, returns, told)


@pasted
def of_volatility(rules: CeilingRules, volatility: float) -> float:
    """Fraction of equity beyond which an instrument that is so volatile is not bought; infinite: none."""
    return rules.position / volatility if rules.position < math.inf and volatility > 0.0 else math.inf


@pasted
def is_calm(rules: CeilingRules, caps: Caps, moving: float) -> bool:
    """Whether all together may move ``moving`` USDT a year, if all move together, beyond any doubt of rounding."""
    return moving <= rules.portfolio * caps.equity * (1.0 - 1e-9)


@inlined
def _own(
    rows: FloatArray,
    marks: IntArray,
    caps: Caps,
    rules: CeilingRules,
    edge: float,
    spread: float,
    scale: float,
    bars: FloatArray,
    volatility: FloatArray,
    index: int,
    returns: FloatArray,
    told: FloatArray,
    i: int,
) -> bool:
    """The ceiling of row ``i`` by itself; whether it buys at all."""
    rows[CEILING, i] = math.inf
    marks[CEILING_LIMIT, i] = 0
    told[VOLATILITY, i] = told[KELLY, i] = told[JOINT, i] = math.nan
    if not (caps.equity > 0.0 and caps.equity < math.inf):
        return False
    if not _more(rows, caps, i) > caps.band * caps.equity:
        return False
    if rules.looks_back:
        if volatility.shape[1] > 0:
            told[VOLATILITY, i] = volatility[i, index]
        else:
            told[VOLATILITY, i] = noted(bars, i, index, returns)
    rows[CEILING, i] = of_volatility(rules, told[VOLATILITY, i])
    if rows[CEILING, i] < math.inf:
        marks[CEILING_LIMIT, i] = _VOLATILITY
    if rules.kelly < math.inf and edge == edge and spread > 0.0:
        told[KELLY, i] = rules.kelly * max(edge, 0.0) * BPS / (spread * spread)
        if told[KELLY, i] < rows[CEILING, i]:
            rows[CEILING, i] = told[KELLY, i]
            marks[CEILING_LIMIT, i] = _KELLY
    if scale < 1.0:
        part = scale * min(rows[TARGET, i], 1.0) * caps.invest
        if part < rows[CEILING, i]:
            rows[CEILING, i] = part
            marks[CEILING_LIMIT, i] = _SHOCK
    return True


@inlined
def _calm_enough(
    rows: FloatArray,
    caps: Caps,
    rules: CeilingRules,
    bars: FloatArray,
    volatility: FloatArray,
    index: int,
    returns: FloatArray,
    told: FloatArray,
) -> bool:
    """Whether ``_shrink`` would find nothing to shrink even if all rows moved together, beyond any doubt of rounding.

    Most often it would, and to add up the minutes of all that is held takes time that grows with the square of how many
    instruments there are: the more of them, the more minutes there are in which one is bought.
    """
    moving = 0.0
    for i in range(told.shape[1]):
        worth = rows[HELD, i] * rows[PRICE, i] * rows[RATE, i] if rows[HELD, i] > 0.0 else 0.0
        more = _more(rows, caps, i)
        if more > 0.0:
            worth += more
        if worth > 0.0:
            if volatility.shape[1] > 0:
                moving += worth * volatility[i, index]
            elif told[VOLATILITY, i] == told[VOLATILITY, i]:
                moving += worth * told[VOLATILITY, i]
            else:
                moving += worth * at_most(bars, i, index, returns)
    return is_calm(rules, caps, moving)


def ceilings_of(
    floats: FloatArray, ints: IntArray, caps: Caps, rules: CeilingRules, market: Market, intents: Intents
) -> FloatArray:
    """``set_ceilings`` for one live minute; gives what is told, (3, S)."""
    count = len(market.instruments)
    told = np.full((3, count), math.nan)
    set_ceilings(
        floats,
        ints,
        caps,
        rules,
        np.array(intents.edge_bps, dtype=np.float64),
        np.array(intents.spread_bps, dtype=np.float64),
        np.ones(count) if intents.buy_scale is None else np.array(intents.buy_scale, dtype=np.float64),
        np.array(market.bars, dtype=np.float64, order="C"),
        np.zeros((count, 0)),
        market.bars.shape[1] - 1,
        np.zeros((count + 2, ROOM)),
        told,
    )
    return told


@pasted
def _more(rows: FloatArray, caps: Caps, i: int) -> float:
    """USDT by which a row wants to grow; NaN where it wants nothing or nothing is known."""
    worth = rows[HELD, i] * rows[PRICE, i] * rows[RATE, i] if rows[HELD, i] > 0.0 else 0.0
    return min(rows[TARGET, i], 1.0) * caps.invest * caps.equity - worth if rows[TARGET, i] > 0.0 else math.nan


@inlined
def _shrink(
    rows: FloatArray,
    marks: IntArray,
    caps: Caps,
    allowed: float,
    bars: FloatArray,
    index: int,
    returns: FloatArray,
    told: FloatArray,
) -> None:
    """Shrink all that is bought by one factor, so that what is held then is no more volatile than ``allowed``."""
    count, equity = told.shape[1], caps.equity
    held, bought = returns[count], returns[count + 1]
    for k in range(MINUTES):
        held[k] = bought[k] = 0.0
    # What is not known is taken as independent of everything else.
    own, cross, new = 0.0, 0.0, 0.0
    unknown = UNKNOWN_YEAR * UNKNOWN_YEAR / YEAR_MINUTES * MINUTES
    for i in range(count):
        worth = rows[HELD, i] * rows[PRICE, i] * rows[RATE, i] / equity if rows[HELD, i] > 0.0 else 0.0
        if worth > 0.0:
            for j in range(i):
                if marks[COIN, j] == marks[COIN, i]:
                    worth = 0.0
        more = _more(rows, caps, i)
        buys = more > caps.band * equity
        part, volatility = 0.0, told[VOLATILITY, i]
        if buys:
            own_worth = rows[HELD, i] * rows[PRICE, i] * rows[RATE, i] / equity if rows[HELD, i] > 0.0 else 0.0
            part = max(min(more / equity, min(rows[CEILING, i], rows[MOST, i]) - own_worth), 0.0)
        elif worth > 0.0:
            volatility = volatility_of(bars, i, index, returns)
        if not (worth > 0.0 or part > 0.0):
            continue
        if volatility == UNKNOWN_YEAR:
            own += worth * worth * unknown
            cross += worth * part * unknown
            new += part * part * unknown
            continue
        for k in range(MINUTES):
            held[k] += worth * returns[i, k]
            bought[k] += part * returns[i, k]
    for k in range(MINUTES):
        own += held[k] * held[k]
        cross += held[k] * bought[k]
        new += bought[k] * bought[k]
    scale = largest_scale(own, cross, new, allowed * allowed / YEAR_MINUTES * MINUTES)
    for i in range(count):
        more = _more(rows, caps, i)
        if more > caps.band * equity:
            told[JOINT, i] = scale
            if scale < 1.0:
                worth = rows[HELD, i] * rows[PRICE, i] * rows[RATE, i] / equity if rows[HELD, i] > 0.0 else 0.0
                part = max(min(more / equity, min(rows[CEILING, i], rows[MOST, i]) - worth), 0.0)
                rows[CEILING, i] = worth + scale * part
                marks[CEILING_LIMIT, i] = _PORTFOLIO


@pasted
def largest_scale(own: float, cross: float, new: float, allowed: float) -> float:
    """The largest s of 0..1 with own + 2 s cross + s^2 new <= allowed; 0 where there is none, or nothing is known."""
    if own + 2.0 * cross + new <= allowed:
        return 1.0
    inside = cross * cross - new * (own - allowed)
    if not (new > 0.0 and inside >= 0.0):
        return 0.0
    root = (math.sqrt(inside) - cross) / new
    # A hair above 1 is rounding: all of it is too much by the last digit.
    return min(root, 1.0) if 0.0 < root < 1.0 + 1e-9 else 0.0


def ceiling_lines(rules: CeilingRules, volatility: float, kelly: float, joint: float) -> tuple[str, ...]:
    """What held a buy, in short lines; none where a ceiling is off or was not looked at."""
    lines: tuple[str, ...] = ()
    if rules.position < math.inf and volatility > 0.0:
        share = rules.position / volatility
        assumed = ", assumed, as too little is known" if volatility == UNKNOWN_YEAR else ""
        lines += (f"volatility {volatility * 100.0:.1f}% a year{assumed}: at most {_share(share)}",)
    if math.isfinite(kelly):
        lines += (
            f"{rules.kelly:g} of Kelly: at most {_share(kelly)}"
            if kelly < 1.0
            else f"{rules.kelly:g} of Kelly: {kelly:.1f} times the equity by mean and spread before costs, so it bounds nothing",
        )
    if joint < 1.0:
        lines += (f"all positions together below {rules.portfolio * 100.0:g}% volatility a year: buys x {joint:.4f}",)
    return lines


def _share(share: float) -> str:
    """Of equity; what is more than all of it binds nothing, and is not worth a number."""
    return "all of equity" if share >= 1.0 else f"{share * 100.0:.2f}% of equity"
