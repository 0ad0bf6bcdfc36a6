"""One coin at several venues is one position: what is wanted of it in all is one order, split where it costs least.

Whether it is wanted is decided before, by one forecast of the coin (``core.coins``). Where it goes is decided here, by
rewriting the wanted fractions before sizing; how much of it is allowed is still ``core.sizing``'s word, row by row. The
wanted change of a coin is that of all its rows together, so what is held at the other venue counts. What is bought at a
venue earns that venue's return, so there it must pay by the lower of two forecasts, the coin's and the venue's own
(``core.cost_gate``). A venue where that pays for nothing, or that cannot trade now (silent, halted, without a rate), has
no room, and the rest is planned over the others; what was not filled is planned anew each minute from what is held.

A premium is taken for gone by the exit: a coin that costs more here than elsewhere is bought elsewhere while there is
room.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from core.coins import coin_forecast, coins_at_venues
from core.cost_gate import CostGate
from core.execution.estimate import half_spread_of_touch, most_worth
from core.execution.split import Quotes, plan_split
from core.impact import IMPACT_MINUTES, PRIOR, ImpactLaw, flow_at
from core.messages import CoinDecision, FloatArray, Market
from core.params import CostSettings, ExecutionSettings
from core.selection import held_back
from core.sizing import LIMIT_NAMES, Caps, Limit, Rows, largest_order, limit_name, risen_above
from core.units import BPS

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
    """(S,) forecasts that what is bought must pay by, bps: of a coin at several venues its forecast or the row's own,
    whichever is lower."""
    decisions: list[CoinDecision]
    """What was decided of each coin, for the record."""
    parts: dict[int, float]
    """Row → USDT of its coin's order that it takes; nothing for a row that takes none."""
    bought: list[tuple[np.ndarray, FloatArray, FloatArray]]
    """Of each coin that is bought: its rows, what they hold and what they are to buy, USDT."""

    def lines(self, market: Market, row: int) -> tuple[str, ...]:
        """How the order of the coin of ``row`` was split, and what ``row`` has of it; empty for any other coin."""
        instrument = market.instruments[row]
        told = next((one.lines for one in self.decisions if instrument in one.instruments), ())
        if row not in self.parts:
            return told
        return (*told, f"{instrument.venue} is asked for what it holds and {self.parts[row]:+.2f}")


class _Room(NamedTuple):
    """What the rows of one coin may take of a change, (V,)."""

    most: FloatArray
    """Base units; 0 where nothing may be traded."""
    least: FloatArray
    """Base units of the smallest order there."""
    why: list[str]
    """The limit that ``most`` is by, by its setting's name; empty where nothing bounds it."""


def split_coins(
    market: Market,
    edge: FloatArray,
    rows: Rows,
    caps: Caps,
    rules: SplitRules | None,
    buy_scale: FloatArray | None = None,
    gate: CostGate | None = None,
) -> CoinPlan:
    """Rewrite ``rows.target`` of the coins at several venues, in place; ``edge`` (S,) bps, ``buy_scale`` (S,) which part
    of each target may be bought now (None: all), ``gate`` what a purchase must pay for (None: nothing). Nothing without
    ``rules``."""
    scale = np.ones(len(edge)) if buy_scale is None else np.array(buy_scale, dtype=np.float64)
    plan = CoinPlan(scale, np.array(edge, dtype=np.float64), [], {}, [])
    if rules is None or not (caps.equity > 0.0 and caps.equity < math.inf and caps.invest > 0.0):
        return plan
    for members in coins_at_venues(market.instruments):
        _split(market, rows, caps, rules, gate, np.array(members), plan)
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
    market: Market,
    rows: Rows,
    caps: Caps,
    rules: SplitRules,
    gate: CostGate | None,
    members: np.ndarray,
    plan: CoinPlan,
) -> None:
    target, held = rows.target[members], rows.held[members]
    price = rows.price[members] * rows.rate[members]
    if (held[~(price > 0.0)] > 0.0).any():
        return
    whole = caps.invest * caps.equity
    worth = np.where(held > 0.0, held * np.where(price > 0.0, price, 0.0), 0.0)
    before = float(worth.sum())
    most = float(rows.most[members].max())
    own = np.array(plan.edge[members])
    coin = coin_forecast(plan.edge, market.fresh, members.tolist())
    of = tuple(market.instruments[row] for row in members)
    decision = CoinDecision(
        instruments=of,
        edge_bps=coin,
        held=before,
        wanted=math.nan,
        lines=(_forecast_line(market, members, coin, own),),
    )
    # Without an opinion only what has risen above the coin's cap is for trading.
    if np.isnan(target).all() and not risen_above(before, most, caps.equity, caps) > 0.0:
        plan.decisions.append(decision)
        return
    asked = np.where(np.isnan(target), worth, np.clip(target, 0.0, 1.0) * whole)
    total = min(float(asked.sum()), min(caps.max_position, most) * caps.equity)
    # Nothing is wanted of it any more: every row sells what it holds, wherever that is.
    if not total > 0.0:
        plan.decisions.append(replace(decision, wanted=0.0))
        return
    # A shock at one venue is one of the coin.
    scale = float(plan.buy_scale[members].min())
    wanted = held_back(total, before, scale)
    change = wanted - before
    plan.buy_scale[members] = 1.0
    plan.edge[members] = [coin if math.isnan(one) else min(one, coin) if coin == coin else one for one in own]
    rows.target[members] = math.nan
    cuts = list(decision.lines)
    if total < float(asked.sum()):
        cuts.append(
            f"{float(asked.sum()):.2f} is wanted of it; {limit_name(Limit.MAX_POSITION, caps, most)} allows {total:.2f}"
        )
    if wanted < total and change > 0.0:
        cuts.append(f"{LIMIT_NAMES[Limit.SHOCK]} allows {wanted:.2f}")
    if abs(change) <= caps.band * caps.equity:
        cuts.append(f"a change of {change:+.2f} is within rebalance_band_pct: none is made")
        plan.decisions.append(replace(decision, wanted=wanted, lines=tuple(cuts)))
        return
    room = _room(market, rows, caps, gate, members, worth, change > 0.0, plan.edge[members])
    placed = _place(market, rows, rules, members, change, room)
    sign = 1.0 if change > 0.0 else -1.0
    cuts += _split_lines(market, rows, members, change, placed, room)
    plan.decisions.append(replace(decision, wanted=wanted, lines=tuple(cuts)))
    if not placed.sum() > 0.0:
        # Let sizing say why, of the row that wanted most (or holds most).
        row = int(np.argmax(sign * (asked - worth))) if change > 0.0 else int(np.argmax(worth))
        rows.target[members[row]] = max(worth[row] + change, 0.0) / whole
        return
    for row, was, some in zip(members, worth, placed, strict=True):
        if some > 0.0:
            rows.target[row] = max(was + sign * some, 0.0) / whole
            plan.parts[int(row)] = sign * some
    if change > 0.0:
        plan.bought.append((members, worth, placed))


def _room(
    market: Market,
    rows: Rows,
    caps: Caps,
    gate: CostGate | None,
    members: np.ndarray,
    worth: FloatArray,
    buying: bool,
    edge: FloatArray,
) -> _Room:
    """What each of ``members`` may buy or sell, and by which limit it is no more."""
    price = rows.mid[members] * rows.rate[members]
    band = caps.band * caps.equity
    smallest = np.maximum(caps.min_order, rows.min_notional[members] * rows.rate[members])
    least = np.maximum(np.maximum(smallest, band) / price * _ABOVE, rows.min_qty[members])
    if not buying:
        sellable, block = rows.sellable[members] * rows.step[members], rows.sell_block[members]
        shut = (block != 0) | ~np.isfinite(sellable)
        why = [LIMIT_NAMES.get(Limit(int(one)), "") if one else "its free balance" for one in block]
        return _Room(np.where(shut, 0.0, sellable), least, why)
    block, position = rows.buy_block[members], np.minimum(caps.max_position, rows.most[members]) * caps.equity - worth
    # An order limit below the band cuts what is asked for, in sizing; what is asked for must be above the band.
    lot = rows.step[members] * price
    order = np.maximum(np.full(len(members), largest_order(caps)), band * _ABOVE + 2.0 * lot)
    cash = rows.cash[members] * rows.rate[members] / (1.0 + rows.fee[members]) / (1.0 + caps.collar)
    bounds = {
        Limit.MAX_ORDER: order / price,
        Limit.MAX_POSITION: position / price,
        Limit.CASH: cash / price,
        Limit.MAX_QTY: np.array(rows.max_qty[members]),
        Limit.COST: np.array(
            [
                math.inf if _pays(market, rows, gate, int(row), one) >= few else 0.0
                for row, one, few in zip(members, edge, smallest / price, strict=True)
            ]
        ),
    }
    table = np.array(list(bounds.values()))
    table = np.where(np.isnan(table), 0.0, table)
    names = list(bounds)
    which = table.argmin(axis=0)
    shut = (block != 0) | ~np.isfinite(table.min(axis=0))
    why = [
        "it has no price now"
        if not usdt > 0.0
        else limit_name(Limit(int(one)) if one else names[k], caps, float(rows.most[row]))
        for one, k, row, usdt in zip(block, which, members, price, strict=True)
    ]
    return _Room(np.where(shut, 0.0, np.maximum(table.min(axis=0), 0.0)), least, why)


def _pays(market: Market, rows: Rows, gate: CostGate | None, row: int, edge: float) -> float:
    """Base units that a forecast of ``edge`` bps pays for in the market of ``row``; infinite where nothing is asked."""
    if gate is None or gate.sides == 0.0 or math.isnan(edge):
        return math.inf
    volume, sigma = flow_at(np.array(market.bars[row]), market.bars.shape[1] - 1, IMPACT_MINUTES)
    half = half_spread_of_touch(float(market.bid[row]), float(market.ask[row]))
    return float(most_worth(float(edge), half, float(rows.fee[row]) * BPS, volume, sigma, gate.law, gate.sides))


def _place(
    market: Market, rows: Rows, rules: SplitRules, members: np.ndarray, change: float, room: _Room
) -> FloatArray:
    """USDT of ``change`` (its size) that each of ``members`` takes."""
    buying = change > 0.0
    price = rows.mid[members] * rows.rate[members]
    flows = [flow_at(np.array(market.bars[row]), market.bars.shape[1] - 1, IMPACT_MINUTES) for row in members]
    touch = (market.ask if buying else market.bid)[members]
    shown = np.zeros(len(members)) if market.shown is None else market.shown[1 if buying else 0][members]
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
        least=_table(room.least),
        most=_table(room.most),
    )
    known = price[np.isfinite(price) & (room.most > 0.0)]
    if not len(known):
        return np.zeros(len(members))
    size = np.array([abs(change) / float(known.min() if buying else known.max())])
    lot = np.array([float(rows.step[members].max())])
    placed = plan_split(quotes, np.array([buying]), size, lot, rules.coefficient)[0][0]
    value = np.where(placed > 0.0, placed * np.where(np.isfinite(price), price, 0.0), 0.0)
    # Where it is dearer, fewer coins: what is wanted is money's worth.
    return value * min(1.0, abs(change) / value.sum()) if value.sum() > 0.0 else value


def _forecast_line(market: Market, members: np.ndarray, coin: float, own: FloatArray) -> str:
    base = market.instruments[members[0]].base
    parts = ", ".join(
        f"{market.instruments[row].venue} {one:+.2f}"
        if market.fresh[row] and math.isfinite(one)
        else f"{market.instruments[row].venue} unknown"
        for row, one in zip(members, own, strict=True)
    )
    if math.isnan(coin):
        return f"{base} is one position at several exchanges; forecast unknown ({parts})"
    return f"{base} is one position at several exchanges; forecast {coin:+.2f} bps, the mean of {parts}"


def _split_lines(
    market: Market, rows: Rows, members: np.ndarray, change: float, placed: FloatArray, room: _Room
) -> list[str]:
    """Where an order of ``change`` USDT goes, what bounds each part, and what is left: the amounts add up."""
    venues = [market.instruments[row].venue for row in members]
    sign = 1.0 if change > 0.0 else -1.0
    words = ", ".join(f"{venue} {sign * some:+.2f}" for venue, some in zip(venues, placed, strict=True))
    left = abs(change) - float(placed.sum())
    rest = f", left for later {sign * left:+.2f}" if left >= 0.005 else ""
    lines = [f"one {market.instruments[members[0]].base} order of {change:+.2f}: {words}{rest}"]
    price = np.nan_to_num(rows.mid[members] * rows.rate[members])
    lot = float(rows.step[members].max()) * price
    for venue, some, most, least, one, why in zip(
        venues, placed, room.most * price, room.least * price, lot, room.why, strict=True
    ):
        if not most > 0.0:
            lines.append(f"{venue}: nothing, {why}")
        elif most < least:
            lines.append(f"{venue}: {why} allows {most:.2f}, below the smallest change {least:.2f}")
        elif some > most - 2.0 * one:
            lines.append(f"{venue}: {why} allows {most:.2f}")
        elif not some > 0.0:
            lines.append(f"{venue}: costs more, by price, fee, spread and impact together")
    return lines


def _table(values: FloatArray) -> FloatArray:
    """(1, V) of its own memory: one order for ``plan_split``."""
    return np.array(values, dtype=np.float64, order="C")[None]
