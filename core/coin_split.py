"""One coin at several venues is one position: what is wanted of it in all is one order, split where it costs least.

Done before sizing, by rewriting the wanted fractions: where a coin goes is decided here, how much of it is allowed is
still ``core.sizing``'s word, row by row. The wanted change of a coin is that of all its rows together, so a forecast at
one venue may be bought at the other, and what is held there counts. A venue that cannot trade now (silent, halted,
without a rate) has no room, and the rest is planned over the others; what was not filled is planned anew each minute
from what is held.

A premium is taken for gone by the exit: a coin that costs more here than elsewhere is bought elsewhere while there is
room.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from core.execution.split import MOST_VENUES, Quotes, plan_split
from core.impact import IMPACT_MINUTES, PRIOR, ImpactLaw, flow_at
from core.messages import FloatArray, Market
from core.params import CostSettings, ExecutionSettings
from core.selection import held_back
from core.sizing import Caps, Rows, risen_above
from core.units import Instrument

_ABOVE = 1.0 + 1e-9
"""So much above the smallest order, as rounding to lots must not fall below it."""


class SplitRules(NamedTuple):
    """What splitting needs of the settings."""

    coefficient: float
    """Y of the square-root law."""
    latency_ms: Mapping[str, float]
    """By venue."""
    usual_latency_ms: float


def split_rules(execution: ExecutionSettings, costs: CostSettings, law: ImpactLaw = PRIOR) -> SplitRules | None:
    """The rules under these settings; None where coins are not split."""
    if not execution.split:
        return None
    latency: dict[str, float] = {venue: float(ms) for venue, ms in execution.venue_latency_ms.items()}
    return SplitRules(float(law.coefficient), latency, float(costs.latency_ms))


class CoinPlan(NamedTuple):
    """What became of the rows of coins at several venues."""

    buy_scale: FloatArray
    """(S,) which part of a target may still be held back: of the coins here that is done."""
    edge: FloatArray
    """(S,) forecasts, bps: of a coin at several venues that of its rows, by what they want."""
    lines: dict[int, str]
    """Row → how the coin's order was split, for the record."""
    bought: list[tuple[np.ndarray, FloatArray, FloatArray]]
    """Of each coin that is bought: its rows, what they hold and what they are to buy, USDT."""


def coins_at_venues(instruments: Sequence[Instrument]) -> list[list[int]]:
    """Rows of each coin that trades at more than one venue, at most ``MOST_VENUES``; a venue's first market of it counts."""
    found: dict[str, dict[str, int]] = {}
    for row, one in enumerate(instruments):
        found.setdefault(one.base, {}).setdefault(one.venue, row)
    return [list(by.values())[:MOST_VENUES] for by in found.values() if len(by) > 1]


def split_coins(
    market: Market,
    edge: FloatArray,
    rows: Rows,
    caps: Caps,
    rules: SplitRules | None,
    buy_scale: FloatArray | None = None,
) -> CoinPlan:
    """Rewrite ``rows.target`` of the coins at several venues, in place; ``edge`` (S,) bps, ``buy_scale`` (S,) which part
    of each target may be bought now (None: all). Nothing without ``rules``."""
    scale = np.ones(len(edge)) if buy_scale is None else np.array(buy_scale, dtype=np.float64)
    plan = CoinPlan(scale, np.array(edge, dtype=np.float64), {}, [])
    if rules is None or not (caps.equity > 0.0 and caps.equity < math.inf and caps.invest > 0.0):
        return plan
    for members in coins_at_venues(market.instruments):
        _split(market, np.array(edge), rows, caps, rules, np.array(members), plan)
    return plan


def hold_together(plan: CoinPlan, rows: Rows, caps: Caps) -> None:
    """A ceiling of one row (``core.ceilings``) holds for the coin: where its rows together would grow above the lowest
    of theirs, their ceilings are brought down, all purchases by one factor."""
    for members, worth, placed in plan.bought:
        ceiling = float(rows.ceiling[members][placed > 0.0].min()) * caps.equity
        after = float((worth + placed).sum())
        if not after > ceiling:
            continue
        scale = max(ceiling - float(worth.sum()), 0.0) / float(placed.sum())
        rows.ceiling[members] = np.where(placed > 0.0, (worth + scale * placed) / caps.equity, rows.ceiling[members])


def _split(
    market: Market, edge: FloatArray, rows: Rows, caps: Caps, rules: SplitRules, members: np.ndarray, plan: CoinPlan
) -> None:
    target, held = rows.target[members], rows.held[members]
    price = rows.price[members] * rows.rate[members]
    if (held[~(price > 0.0)] > 0.0).any():
        return
    whole = caps.invest * caps.equity
    worth = np.where(held > 0.0, held * np.where(price > 0.0, price, 0.0), 0.0)
    # Without an opinion only what has risen above the coin's cap is for trading.
    most = float(rows.most[members].max())
    if np.isnan(target).all() and not risen_above(float(worth.sum()), most, caps.equity, caps) > 0.0:
        return
    asked = np.where(np.isnan(target), worth, np.clip(target, 0.0, 1.0) * whole)
    total = min(float(asked.sum()), min(caps.max_position, most) * caps.equity)
    # Nothing is wanted of it any more: every row sells what it holds, wherever that is.
    if not total > 0.0:
        return
    # A shock at one venue is one of the coin.
    change = held_back(total, float(worth.sum()), float(plan.buy_scale[members].min())) - float(worth.sum())
    plan.buy_scale[members] = 1.0
    plan.edge[members] = [_edge_of(edge[members], target, float(edge[row])) for row in members]
    rows.target[members] = math.nan
    if abs(change) <= caps.band * caps.equity:
        return
    placed = _place(market, rows, caps, rules, members, worth, change)
    sign = 1.0 if change > 0.0 else -1.0
    if not placed.sum() > 0.0:
        # Let sizing say why, of the row that wanted most (or holds most).
        row = int(np.argmax(sign * (asked - worth))) if change > 0.0 else int(np.argmax(worth))
        rows.target[members[row]] = max(worth[row] + change, 0.0) / whole
        return
    for row, was, some in zip(members, worth, placed, strict=True):
        if some > 0.0:
            rows.target[row] = max(was + sign * some, 0.0) / whole
    if change > 0.0:
        plan.bought.append((members, worth, placed))
    words = ", ".join(
        f"{market.instruments[row].venue} {sign * some:+.2f}" for row, some in zip(members, placed, strict=True)
    )
    for row in members:
        plan.lines[int(row)] = f"one {market.instruments[row].base} order of {change:+.2f}: {words}"


def _place(
    market: Market,
    rows: Rows,
    caps: Caps,
    rules: SplitRules,
    members: np.ndarray,
    worth: FloatArray,
    change: float,
) -> FloatArray:
    """USDT of ``change`` (its size) that each of ``members`` takes."""
    buying = change > 0.0
    price = rows.mid[members] * rows.rate[members]
    flows = [flow_at(np.array(market.bars[row]), market.bars.shape[1] - 1, IMPACT_MINUTES) for row in members]
    touch = (market.ask if buying else market.bid)[members]
    shown = np.zeros(len(members)) if market.shown is None else market.shown[1 if buying else 0][members]
    if buying:
        room = np.minimum(
            caps.max_order * caps.equity, np.minimum(caps.max_position, rows.most[members]) * caps.equity - worth
        )
        worst = price * (1.0 + caps.collar)
        room = np.minimum(room, rows.cash[members] * rows.rate[members] / (1.0 + rows.fee[members]) * price / worst)
        most = np.minimum(room / price, rows.max_qty[members])
        open_ = rows.buy_block[members] == 0
    else:
        most, open_ = rows.sellable[members] * rows.step[members], rows.sell_block[members] == 0
    least = np.maximum(max(caps.min_order, caps.band * caps.equity), rows.min_notional[members] * rows.rate[members])
    quotes = Quotes(
        prices=_table(touch)[:, :, None],
        quantities=_table(shown)[:, :, None],
        rate=_table(rows.rate[members]),
        fee=_table(rows.fee[members]),
        tick=_table(rows.tick[members]),
        volume=_table(np.array([volume for volume, _ in flows])),
        sigma=_table(np.array([sigma for _, sigma in flows])),
        latency_ms=_table(
            np.array([rules.latency_ms.get(market.instruments[r].venue, rules.usual_latency_ms) for r in members])
        ),
        least=_table(np.maximum(least / price * _ABOVE, rows.min_qty[members])),
        most=_table(np.where(open_ & np.isfinite(most), most, 0.0)),
    )
    known = price[np.isfinite(price) & open_]
    if not len(known):
        return np.zeros(len(members))
    size = np.array([abs(change) / float(known.min() if buying else known.max())])
    lot = np.array([float(rows.step[members].max())])
    placed = plan_split(quotes, np.array([buying]), size, lot, rules.coefficient)[0][0]
    value = np.where(placed > 0.0, placed * np.where(np.isfinite(price), price, 0.0), 0.0)
    # Where it is dearer, fewer coins: what is wanted is money's worth.
    return value * min(1.0, abs(change) / value.sum()) if value.sum() > 0.0 else value


def _edge_of(edges: FloatArray, target: FloatArray, own: float) -> float:
    """The coin's forecast: the mean of its rows', by what they want; a row's own where nothing is wanted."""
    weight = np.where(np.isfinite(edges) & (target > 0.0), target, 0.0)
    if not weight.sum() > 0.0:
        return own
    return float((np.where(weight > 0.0, edges, 0.0) * weight).sum() / weight.sum())


def _table(values: FloatArray) -> FloatArray:
    """(1, V) of its own memory: one order for ``plan_split``."""
    return np.array(values, dtype=np.float64, order="C")[None]
