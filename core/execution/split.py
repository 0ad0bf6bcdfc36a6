"""One order over several venues: how much goes where, at the least cost that the model knows.

The model of a venue, in lots that all of them trade: what it displays, level by level (price in one currency with fee,
premium and latency in it, ``venues_of``), and behind that the square-root law, never below the last level and a tick.
So one more lot never costs less than the one before it, the cost of each venue is convex, and the optimum takes lots in
the order of their cost: what each venue gives at or below one price, that price being where the order is full (the
equal marginal cost of Lagrange; Fox 1966, "Discrete optimization via marginal analysis", Management Science 13, for
whole lots). A venue's least order makes it all or nothing: every choice of venues is solved and the best one taken, so
what is planned never costs more than the best venue alone.

Kernels over one order; ``split_rows`` loops them over many, and ``plan_split`` starts from quotes. A venue that fails has no room
(``Quotes.most``); what it leaves undone is planned again over the others at the next decision (``core.coin_split``).
"""

import math
from typing import NamedTuple

import numpy as np

from core.lean import compiled, lean
from core.messages import BoolArray, FloatArray
from core.units import MINUTE_MS

MOST_VENUES = 6
"""Every choice of them is tried: 63 at most."""
_GRACE = 1.0 + 1e-12
_MOST_LOTS = 2.0**40
"""Beyond them a float does not tell one lot's cost from the next one's."""


class Venues(NamedTuple):
    """V venues of one order. Costs are of one currency a lot, against any one reference price; lots are whole."""

    price: FloatArray
    """(V, L) cost of a lot at each displayed level, not falling."""
    upto: FloatArray
    """(V, L) lots displayed up to and with each level, not falling; the last one repeats where there are fewer."""
    touch: FloatArray
    """(V,) where the square-root law starts: cost of a lot at the touch."""
    scale: FloatArray
    """(V,) by which the cost of the n-th lot grows with sqrt(n); NaN: no law is known, nothing beyond what is displayed."""
    tick: FloatArray
    """(V,) cost of a tick, a lot: what is behind the last level is at least that much dearer."""
    least: FloatArray
    """(V,) smallest order."""
    most: FloatArray
    """(V,) largest one: balance, limits; below ``least`` the venue is left out."""


@lean
def lot_cost(venues: Venues, v: int, n: float) -> float:
    """Cost of lot ``n`` (from 0) at venue ``v``; infinite where there is none."""
    levels = venues.upto.shape[1]
    for k in range(levels):
        if n < venues.upto[v, k]:
            return venues.price[v, k]
    scale = venues.scale[v]
    if not scale >= 0.0:
        return math.inf
    by_law = venues.touch[v] + scale * _root_sum(n, n + 1.0)
    return max(by_law, _floor_cost(venues, v))


@lean
def order_cost(venues: Venues, v: int, lots: float) -> float:
    """Cost of the first ``lots`` lots at venue ``v``: the sum of ``lot_cost``, in closed form."""
    total, before = 0.0, 0.0
    levels = venues.upto.shape[1]
    for k in range(levels):
        some = min(lots, venues.upto[v, k]) - before
        if some > 0.0:
            total += some * venues.price[v, k]
            before += some
    if lots <= before:
        return total
    scale = venues.scale[v]
    if not scale >= 0.0:
        return math.inf
    flat = min(lots, max(before, _law_upto(venues, v, _floor_cost(venues, v))))
    total += (flat - before) * _floor_cost(venues, v) if flat > before else 0.0
    return total + (lots - flat) * venues.touch[v] + scale * _root_sum(flat, lots)


@lean
def _root_sum(first: float, end: float) -> float:
    """Integral of sqrt from ``first`` to ``end``; as a quotient, as the difference of two large roots is mostly lost."""
    if not end > 0.0:
        return 0.0
    cubes = (end - first) * (end * end + end * first + first * first)
    return cubes / (end * math.sqrt(end) + first * math.sqrt(first)) / 1.5


@lean
def _floor_cost(venues: Venues, v: int) -> float:
    """What is behind the last displayed level costs at least so much; the touch where nothing is displayed."""
    levels = venues.upto.shape[1]
    if levels == 0 or not venues.upto[v, levels - 1] > 0.0:
        return venues.touch[v]
    worst = venues.price[v, 0]
    for k in range(1, levels):
        if venues.upto[v, k] > venues.upto[v, k - 1]:
            worst = venues.price[v, k]
    return worst + venues.tick[v]


@lean
def _law_upto(venues: Venues, v: int, cost: float) -> float:
    """How many lots the square-root law alone gives at or below ``cost``."""
    touch, scale = venues.touch[v], venues.scale[v]
    if cost < touch:
        return 0.0
    if scale == 0.0:
        return math.inf
    root = (cost - touch) / scale
    count = min(np.floor(root * root + 0.5), _MOST_LOTS)
    # The closed form may be a lot off, and rounding one more; what decides is the very number that ``lot_cost`` gives.
    while count > 0.0 and touch + scale * _root_sum(count - 1.0, count) > cost:
        count -= 1.0
    while count < _MOST_LOTS and touch + scale * _root_sum(count, count + 1.0) <= cost:
        count += 1.0
    return count


@lean
def lots_upto(venues: Venues, v: int, cost: float) -> float:
    """How many lots venue ``v`` gives at or below ``cost`` each, between its least and its largest order."""
    count, levels = 0.0, venues.upto.shape[1]
    whole = True
    for k in range(levels):
        if venues.price[v, k] <= cost or venues.upto[v, k] <= count:
            count = max(count, venues.upto[v, k])
        else:
            whole = False
            break
    if whole and venues.scale[v] >= 0.0 and cost >= _floor_cost(venues, v):
        count = max(count, _law_upto(venues, v, cost))
    if not venues.scale[v] >= 0.0 and levels > 0:
        count = min(count, venues.upto[v, levels - 1])
    return min(max(count, venues.least[v]), venues.most[v])


@lean
def _fill(venues: Venues, used: int, want: float, out: FloatArray) -> float:
    """Share ``want`` lots over the venues whose bits are set in ``used``, each at least its least order; gives the cost."""
    low, high, count = math.inf, -math.inf, venues.least.shape[0]
    alone = 0
    for v in range(count):
        out[v] = 0.0
        if used >> v & 1:
            alone += 1
            low = min(low, lot_cost(venues, v, venues.least[v]))
            high = max(high, lot_cost(venues, v, max(venues.most[v] - 1.0, 0.0)))
    if alone == 1:
        for v in range(count):
            if used >> v & 1:
                out[v] = want
                return order_cost(venues, v, want)
    # Below ``low`` there is only each one's least order; at ``high`` all that each may give.
    below = low - abs(low) * 1e-9 - 1e-9
    while True:
        middle = below + 0.5 * (high - below)
        if not (below < middle < high):
            break
        total = 0.0
        for v in range(count):
            if used >> v & 1:
                total += lots_upto(venues, v, middle)
        if total >= want:
            high = middle
            if total == want:
                break
        else:
            below = middle
    left = want
    for v in range(count):
        if used >> v & 1:
            out[v] = lots_upto(venues, v, below)
            left -= out[v]
    cost = 0.0
    for v in range(count):
        if used >> v & 1:
            # Lots between the two prices cost the same, to the last bit of a float.
            more = min(left, lots_upto(venues, v, high) - out[v])
            out[v] += more
            left -= more
            cost += order_cost(venues, v, out[v])
    return cost


@lean
def split_order(venues: Venues, want: float, lots: FloatArray, room: FloatArray) -> float:
    """Write to ``lots`` (V,) where ``want`` lots go; gives the cost. ``room`` is (V,) to work in.

    As much as possible is placed, then at the least cost. What cannot be placed (balances, minima) is left out; no
    lot is placed below a venue's least order. Ties go to the first venue, and to fewer venues.
    """
    count = venues.least.shape[0]
    best_placed, best_cost, best_used = 0.0, 0.0, 99
    for v in range(count):
        lots[v] = 0.0
    for used in range(1, 1 << count):
        least, most, size = 0.0, 0.0, 0
        sound = True
        for v in range(count):
            if used >> v & 1:
                least += venues.least[v]
                most += venues.most[v]
                size += 1
                sound = sound and venues.most[v] >= venues.least[v] and venues.most[v] > 0.0
        if not sound or least > want:
            continue
        placed = min(want, most)
        if placed < best_placed:
            continue
        cost = _fill(venues, used, placed, room)
        better = placed > best_placed or cost < best_cost or (cost == best_cost and size < best_used)
        if better and math.isfinite(cost):
            best_placed, best_cost, best_used = placed, cost, size
            for v in range(count):
                lots[v] = room[v]
    return best_cost


@compiled
def split_rows(
    price: FloatArray,
    upto: FloatArray,
    touch: FloatArray,
    scale: FloatArray,
    tick: FloatArray,
    least: FloatArray,
    most: FloatArray,
    want: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """((P, V) lots, (P,) costs) of P orders; the fields of ``Venues`` with a first axis P, and ``want`` (P,)."""
    orders, count = least.shape
    lots, cost, room = np.empty((orders, count)), np.empty(orders), np.empty(count)
    for p in range(orders):
        venues = Venues(price[p], upto[p], touch[p], scale[p], tick[p], least[p], most[p])
        cost[p] = split_order(venues, want[p], lots[p], room)
    return lots, cost


class Quotes(NamedTuple):
    """P orders at V venues as they stand, in each venue's own currency unless said otherwise."""

    prices: FloatArray
    """(P, V, L) displayed levels that the order would take, best first; NaN where there are fewer."""
    quantities: FloatArray
    """(P, V, L) base units at each."""
    rate: FloatArray
    """(P, V) USDT of a quote unit. What a coin costs more than elsewhere (its premium) is in price times rate."""
    fee: FloatArray
    """(P, V) taker, fraction."""
    tick: FloatArray
    volume: FloatArray
    """(P, V) base units a minute; with ``sigma`` what the square-root law needs. NaN: not known."""
    sigma: FloatArray
    """(P, V) log return a minute."""
    latency_ms: FloatArray
    least: FloatArray
    """(P, V) smallest order, base units."""
    most: FloatArray
    """(P, V) what balance and limits allow, base units."""


@compiled
def venues_of(quotes: Quotes, buying: BoolArray, lot: FloatArray, coefficient: float) -> Venues:
    """The ``Venues`` of P orders, a first axis P on each field, in USDT a lot of ``lot`` (P,) base units; a sale's cost
    is what it earns less.

    A quote is ``latency_ms`` old when an order meets it, and one that turned out better is gone by then: half of the
    normal law's moves count, sigma * sqrt(t) / sqrt(2 pi) on average.
    """
    orders, count, levels = quotes.prices.shape
    price, upto = np.full((orders, count, levels), math.inf), np.zeros((orders, count, levels))
    touch, scale, tick = np.empty((orders, count)), np.empty((orders, count)), np.empty((orders, count))
    least, most = np.empty((orders, count)), np.empty((orders, count))
    for p in range(orders):
        sign = 1.0 if buying[p] else -1.0
        for v in range(count):
            rate, sigma, volume = quotes.rate[p, v], quotes.sigma[p, v], quotes.volume[p, v]
            best = quotes.prices[p, v, 0] * rate if levels > 0 else math.nan
            known = best > 0.0 and best < math.inf
            unit = lot[p] * rate * (1.0 + sign * quotes.fee[p, v])
            fading = sigma * math.sqrt(quotes.latency_ms[p, v] / MINUTE_MS / (2.0 * math.pi)) if sigma >= 0.0 else 0.0
            waits = fading * best * lot[p]
            seen, cost = 0.0, math.inf
            for k in range(levels):
                if known and quotes.prices[p, v, k] > 0.0:
                    seen += max(quotes.quantities[p, v, k], 0.0)
                    cost = sign * quotes.prices[p, v, k] * unit + waits
                price[p, v, k] = cost
                upto[p, v, k] = np.floor(seen / lot[p] * _GRACE)
            law = known and volume > 0.0 and sigma >= 0.0
            touch[p, v] = sign * quotes.prices[p, v, 0] * unit + waits if known else math.inf
            rise = 1.5 * coefficient * sigma * math.sqrt(lot[p] / volume) if law else math.nan
            # So slow a rise that a float does not tell one lot from the next one is none.
            rise = 0.0 if rise < 1e-14 else rise
            scale[p, v] = rise * quotes.prices[p, v, 0] * unit if law else math.nan
            tick[p, v] = quotes.tick[p, v] * unit
            least[p, v] = np.ceil(quotes.least[p, v] / lot[p] / _GRACE)
            room = np.floor(quotes.most[p, v] / lot[p] * _GRACE) if known and quotes.most[p, v] > 0.0 else 0.0
            shown = upto[p, v, levels - 1] if levels > 0 else 0.0
            most[p, v] = room if law else min(room, shown)
    return Venues(price, upto, touch, scale, tick, least, most)


def plan_split(
    quotes: Quotes, buying: BoolArray, quantity: FloatArray, lot: FloatArray, coefficient: float
) -> tuple[FloatArray, FloatArray]:
    """((P, V) base units for each venue, (P,) USDT that it costs), of ``quantity`` (P,) in all, in whole ``lot`` (P,);
    less where it cannot all be placed.

    Raises ValueError for more than ``MOST_VENUES``.
    """
    if quotes.least.shape[1] > MOST_VENUES:
        raise ValueError(f"{quotes.least.shape[1]} venues for one order, at most {MOST_VENUES}")
    venues = venues_of(quotes, buying, lot, coefficient)
    lots, cost = split_rows(*venues, np.floor(quantity / lot * _GRACE))
    return lots * lot[:, None], cost
