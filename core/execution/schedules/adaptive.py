"""Cross or wait: what an adaptive parent does with the book in front of it, as one kernel.

Crossing costs half the spread and what it walks of the displayed levels, now and for certain; behind them the square-root
law counts. That law is of whole orders and what they move; a real book at one instant is often several times as deep (of
recorded BTC and ETH books three quarters of the orders of 0.1 to 5 % of a minute's volume found all they wanted at the
touch), so whoever believes it alone waits where there was nothing to wait for. Waiting with a limit order costs
less if it fills; while it waits, the price may run away from it and has to be followed (the limit-chaser), the forecast
ages, and the parent bears risk. The kernel weighs both for several splits of what is left and several prices to rest at,
and takes the cheapest; so a part is crossed exactly where its marginal cost lies below that of waiting.

Patience ends: by the time the market has usually moved by ``PATIENCE`` times what crossing costs, what is left is
crossed, wherever the price has gone. That bounds the tail by what volatility does in a time that is known beforehand.
What the price has done meanwhile is no reason of its own, either way: over seconds it goes on as often as it turns, so
crossing because it ran away (a stop-loss on the order) turns a loss that may come back into one that was paid for; where
a price moves in coarse ticks, that alone made the dearest twentieth of all parents dearer than crossing at once.

The estimate of waiting: sellers' market orders, half of all volume, meet the best bid, so an order for q that stands
there fills in q / (V / 2) minutes, behind a queue Q in (Q + q) / (V / 2) (Biais, Hillion & Spatt 1995 count the flow; Cartea, Jaimungal & Penalva 2015,
"Algorithmic and High-Frequency Trading", chapter 8, weigh it against crossing). It stands there as long as the price has
not moved away by more than it improves on the touch; where it has, the chase costs what the price moved meanwhile.
Everything is in log price (fractions of the mid), and the same for a sale under a change of sign.
"""

import math
from typing import NamedTuple

import numpy as np

from core.lean import lean, pasted
from core.messages import FloatArray

SPLITS = 4
"""What is left is crossed in quarters: none, one, two, three or all of it."""
PLACES = 3
"""Prices to rest at: the near touch, the middle, a tick inside the far touch."""
PATIENCE = 3.0
"""Standard deviations of the wait, in costs of crossing, after which nothing waits any more; at an urgency of 1, a higher
one shortens it. Chosen, with the default urgency, on one period of real bars and three synthetic markets, and judged on
others (``run.py bench execution``): a shorter one left the dearest twentieth where it was and cost mean, an urgency of
half as much made it dearer."""
HALF_NORMAL = 0.7978845608028654
"""Mean size of a normal variable, in standard deviations."""
NOTHING: FloatArray = np.empty(0)
"""No level is known."""
NOTHING.flags.writeable = False


class Sight(NamedTuple):
    """What an adaptive parent sees when it looks."""

    half_spread: float
    tick: float
    """As a fraction of the mid."""
    sigma: float
    """Log return of a minute."""
    volume: float
    """Base units of a usual minute."""
    left: float
    """Base units still to be done."""
    crossed: float
    """Base units that it took from this minute's book already."""
    minutes_left: float
    """Until what is left is crossed in any case."""
    look: float
    """Minutes until it looks again."""
    waited: float
    """Minutes since the decision."""
    urgency: float
    """How much a standard deviation of waiting weighs."""
    decay: float
    """What the forecast loses a minute."""
    maker_saves: float
    """By how much the maker's fee is below the taker's."""
    coefficient: float
    """Y of the law of impact."""
    beyond: FloatArray = NOTHING
    """(L,) read-only (so that all of them are of one type): log price beyond the touch of the levels that crossing would walk, best first."""
    sizes: FloatArray = NOTHING
    """(L,) base units displayed at each."""
    queue: float = 0.0
    """Base units of others that stand at the near touch: who rests there waits behind them."""


class Choice(NamedTuple):
    """What to do."""

    cross: float
    """Share of what is left to cross now, 0..1."""
    inside: float
    """How far inside the near touch the rest is to stand, as a share of the way to a tick before the far touch."""
    crossing: float
    """Estimated cost of crossing it all, log price."""
    waiting: float
    """Estimated cost of the best way to rest it all."""


@lean
def impact(sight: Sight, quantity: float) -> float:
    """Mean price above the touch of crossing so much more than what was crossed: the levels displayed, and behind them
    the square-root law, never below the last level."""
    if not quantity > 0.0:
        return 0.0
    cost, left, last = 0.0, quantity, 0.0
    for k in range(len(sight.sizes)):
        part = min(left, sight.sizes[k])
        if part > 0.0:
            last = sight.beyond[k]
            cost += part * last
            left -= part
    if left > 0.0:
        scale = sight.coefficient * sight.sigma / math.sqrt(sight.volume)
        whole = sight.crossed + quantity
        shown = whole - left
        cost += max(last * left, scale * (whole * math.sqrt(whole) - shown * math.sqrt(shown)))
    return cost / quantity


@pasted
def patience(sight: Sight, crossing: float) -> float:
    """Minutes that may still be waited, where crossing costs ``crossing``."""
    if not sight.urgency * sight.sigma > 0.0:
        return sight.minutes_left
    longest = PATIENCE * crossing / (sight.urgency * sight.sigma)
    return min(longest * longest - sight.waited, sight.minutes_left)


@lean
def waiting_cost(sight: Sight, quantity: float, place: float, most: float, taken: float) -> float:
    """Estimated cost of resting ``quantity`` at ``place`` (mid = 0, the near touch = -half_spread) for ``most`` minutes
    at the longest, log price. What does not fill crosses behind ``taken``, which crosses now: the book has not refilled."""
    ahead = sight.queue if place + sight.half_spread < 0.999 * sight.tick else 0.0
    needed = (ahead + quantity) / (0.5 * sight.volume)
    wait = max(needed, sight.look)
    filled = 1.0
    if wait > most:
        filled, wait = min(max((0.5 * sight.volume * most - ahead) / quantity, 0.0), 1.0), most
    moves = sight.sigma * math.sqrt(wait)
    # The touch moves by whole ticks: on average the price has half of one to go until it does.
    stands = place + sight.half_spread + 0.5 * sight.tick
    stays = 0.5 * math.erfc(-stands / (moves * math.sqrt(0.5)) / math.sqrt(2.0))
    chase = (1.0 - stays) * HALF_NORMAL * moves
    risk = sight.urgency * moves / math.sqrt(3.0)
    resting = place - sight.maker_saves + chase
    late = 0.0
    if filled < 1.0:
        crossing = quantity * (1.0 - filled)
        whole = taken + crossing
        late = sight.half_spread + (whole * impact(sight, whole) - taken * impact(sight, taken)) / crossing
    return filled * resting + (1.0 - filled) * late + risk + 0.5 * sight.decay * wait


@lean
def choose(sight: Sight) -> Choice:
    """The cheapest split and place. Crosses all where volume or volatility are not known."""
    crossing = sight.half_spread + impact(sight, sight.left)
    if not (sight.volume > 0.0 and sight.sigma > 0.0 and sight.half_spread >= 0.0 and sight.minutes_left > 0.0):
        return Choice(1.0, 0.0, crossing, math.inf)
    best, cross, inside, waiting = crossing, 1.0, 0.0, math.inf
    most = patience(sight, crossing)
    if not most >= sight.look:
        # Whatever waits does so until the next look.
        return Choice(cross, inside, crossing, waiting)
    reach = max(2.0 * sight.half_spread - sight.tick, 0.0)
    for split in range(SPLITS):
        share = split / SPLITS
        taken, rest = share * sight.left, (1.0 - share) * sight.left
        part = share * (sight.half_spread + impact(sight, taken))
        for at in range(PLACES):
            deep = at / (PLACES - 1)
            cost = waiting_cost(sight, rest, deep * reach - sight.half_spread, most, taken)
            if split == 0:
                waiting = min(waiting, cost)
            if part + (1.0 - share) * cost < best:
                best, cross, inside = part + (1.0 - share) * cost, share, deep
    return Choice(cross, inside, crossing, waiting)
