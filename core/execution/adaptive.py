"""The adaptive parent's next move: the book it sees and what is left of it in, prices and quantities on the grid out.

What is weighed stands in ``core.execution.schedules.adaptive``; here it is brought to a venue's rules, its deadline and
its limit price. A parent looks every ``reprice_ms``. At its last look of a minute nothing stays in the book, so that the
next minute is decided upon whole balances; at the last look of its life everything that is left crosses.
"""

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from core.execution.books import Parent
from core.execution.schedules.adaptive import Sight, choose
from core.execution.schedules.twap import least_order
from core.messages import FloatArray, Levels, OrderState, TimeInForce, Top
from core.ports import ZERO
from core.units import BPS, MINUTE_MS, MarketRules, Side, floor_to_step

RESTING = (OrderState.OPEN, OrderState.PARTIAL)
LEAST_SIGMA = 1e-6
"""Log return a minute, of a market that stood still."""
MOST_EMPTY = 3
"""Orders of one minute that were to cross and found nothing; from then on it rests until the last look."""
STALE_MS = 10_000
"""A book that is older says nothing."""


@dataclass(frozen=True, slots=True)
class Move:
    """What of a parent crosses now, and what rests at which price."""

    cross: Decimal = ZERO
    rest: Decimal = ZERO
    price: Decimal = ZERO


def far_side(parent: Parent, top: Top) -> tuple[float, float]:
    """(price, quantity) of the touch that it would take."""
    return (top.ask, top.ask_qty) if parent.side is Side.BUY else (top.bid, top.bid_qty)


def wants_depth(parent: Parent, top: Top) -> bool:
    """More of it is left than the touch would give: what is behind decides."""
    return float(parent.unsent + parent.open) > far_side(parent, top)[1]


def see(parent: Parent, top: Top | None, depth: Levels = ()) -> None:
    """Take in the touch that is shown, and the ``depth`` behind it where that is known. Where our own order alone stands at it, the touch behind is what it was: a
    parent must not chase itself."""
    if top is None:
        parent.bid, parent.ask, parent.book_ms, parent.depth = 0.0, 0.0, 0, ()
        return
    parent.depth = depth or (far_side(parent, top),)
    buying = parent.side is Side.BUY
    near, size = (top.bid, top.bid_qty) if buying else (top.ask, top.ask_qty)
    own = sum(float(o.open_quantity) for o in parent.orders if o.state in RESTING and float(o.placed.price) == near)
    alone = own > 0.0 and size <= own * (1.0 + 1e-9)
    if not alone:
        parent.queue = max(size - own, 0.0)
    if buying:
        parent.bid, parent.ask = min(parent.bid, top.ask) if alone and parent.bid > 0.0 else top.bid, top.ask
    else:
        parent.bid, parent.ask = top.bid, max(parent.ask, top.bid) if alone and parent.ask > 0.0 else top.ask
    parent.book_ms = top.at_ms


def is_last_look(parent: Parent, now_ms: int) -> bool:
    """No other look comes in this minute."""
    return now_ms + parent.schedule.reprice_ms >= parent.start_ms + MINUTE_MS


def is_final(parent: Parent) -> bool:
    """This minute is the last of its life."""
    return parent.stage.age >= parent.schedule.minutes - 1


def walked(depth: Levels, far: float, mid: float) -> tuple[FloatArray, FloatArray]:
    """(log price beyond the touch, base units) of each level, as the kernels want them."""
    prices, sizes = np.array(depth, dtype=np.float64).reshape(-1, 2).T
    arrays = np.abs(prices - far) / mid, np.ascontiguousarray(sizes)
    for array in arrays:
        array.flags.writeable = False
    return arrays


def sight_of(parent: Parent, rules: MarketRules, now_ms: int) -> Sight | None:
    """What it sees at ``now_ms``; None without a usable book."""
    seen, bid, ask = parent.seen, parent.bid, parent.ask
    if seen is None or not 0.0 < bid < ask < math.inf or now_ms - parent.book_ms > STALE_MS:
        return None
    mid = 0.5 * (bid + ask)
    end_ms = parent.start_ms + (parent.schedule.minutes - parent.stage.age) * MINUTE_MS
    far = ask if parent.side is Side.BUY else bid
    beyond, sizes = walked(parent.depth, far, mid)
    crossed = sum((o.executed for o in parent.orders if o.placed.time_in_force is TimeInForce.IOC), ZERO)
    return Sight(
        half_spread=0.5 * (ask - bid) / mid,
        tick=float(rules.tick) / mid,
        sigma=max(seen.sigma, LEAST_SIGMA) if seen.sigma == seen.sigma else seen.sigma,
        volume=seen.volume,
        left=float(parent.unsent + parent.open),
        crossed=float(crossed),
        minutes_left=max(end_ms - parent.schedule.reprice_ms - now_ms, 0) / MINUTE_MS,
        look=parent.schedule.reprice_ms / MINUTE_MS,
        waited=parent.stage.age + max(now_ms - parent.start_ms, 0) / MINUTE_MS,
        urgency=parent.schedule.urgency,
        decay=max(parent.edge_bps * (1.0 if parent.side is Side.BUY else -1.0), 0.0)
        / BPS
        / parent.schedule.edge_minutes,
        maker_saves=float(rules.taker_fee - rules.maker_fee),
        coefficient=parent.schedule.coefficient,
        beyond=beyond,
        sizes=sizes,
        queue=parent.queue,
    )


def move_of(parent: Parent, rules: MarketRules, now_ms: int) -> Move | None:
    """What to do with all that is left; None to leave things as they are, for want of a book."""
    left = floor_to_step(parent.unsent + parent.open, rules.step)
    least = least_order(rules, parent.limit_price) * rules.step
    if left < least:
        return Move()
    most = floor_to_step(rules.max_qty, rules.step)
    if is_last_look(parent, now_ms):
        return Move(cross=min(left, most)) if is_final(parent) else Move()
    sight = sight_of(parent, rules, now_ms)
    if sight is None:
        return None
    choice = choose(sight)
    price = resting_price(parent, rules, choice.inside)
    # What rests may be worth less than at the limit.
    least = max(least, least_order(rules, price) * rules.step)
    cross = floor_to_step(left * Decimal(choice.cross), rules.step)
    if not _within_reach(parent):
        # Whatever is sent to cross would expire unfilled, look after look.
        return Move(rest=min(left, most), price=price)
    if cross < least:
        cross = ZERO
    if left - cross < least:
        cross = left
    cross = min(cross, most)
    return Move(cross, min(left - cross, most), price)


def _within_reach(parent: Parent) -> bool:
    """The far touch is not past the limit, and what crossed in this minute did not come back empty time and again."""
    limit = float(parent.limit_price)
    empty = sum(o.placed.time_in_force is TimeInForce.IOC and not o.live and not o.executed for o in parent.orders)
    shown = parent.ask <= limit if parent.side is Side.BUY else parent.bid >= limit
    return shown and empty < MOST_EMPTY


def resting_price(parent: Parent, rules: MarketRules, inside: float) -> Decimal:
    """On the grid, ``inside`` of the way from the near touch to a tick before the far one, never past the limit."""
    bid, ask = round(parent.bid / float(rules.tick)), round(parent.ask / float(rules.tick))
    deep = int(inside * max(ask - 1 - bid, 0))
    if parent.side is Side.BUY:
        return min((bid + deep) * rules.tick, parent.limit_price)
    return max((ask - deep) * rules.tick, parent.limit_price)


def stands_well(parent: Parent, price: Decimal, move: Move) -> bool:
    """Whether an order that rests at ``price`` may stay: nothing crosses, and it is as far inside as it should be."""
    if move.cross or not move.rest:
        return False
    return price >= move.price if parent.side is Side.BUY else price <= move.price
