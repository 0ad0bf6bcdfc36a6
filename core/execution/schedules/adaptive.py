"""Cross or wait: what an adaptive parent does with the book in front of it, as one kernel.

Crossing costs half the spread and the impact of what is crossed, now and for certain. Waiting with a limit order costs
less if it fills; while it waits, the price may run away from it and has to be followed (the limit-chaser), the forecast
ages, and the parent bears risk. The kernel weighs both for several splits of what is left and several prices to rest at,
and takes the cheapest; so a part is crossed exactly where its marginal cost lies below that of waiting.

Patience ends: by the time the market has usually moved by ``PATIENCE`` times what crossing costs, what is left is
crossed, wherever the price has gone. That bounds the tail by what volatility does in a time that is known beforehand.
What the price has done meanwhile is no reason of its own, either way: over seconds it goes on as often as it turns, so
crossing because it ran away (a stop-loss on the order) turns a loss that may come back into one that was paid for; where
a price moves in coarse ticks, that alone made the dearest twentieth of all parents dearer than crossing at once.

The estimate of waiting: sellers' market orders, half of all volume, meet the best bid, so an order for q that stands
there fills in q / (V / 2) minutes (Biais, Hillion & Spatt 1995 count the flow; Cartea, Jaimungal & Penalva 2015,
"Algorithmic and High-Frequency Trading", chapter 8, weigh it against crossing). It stands there as long as the price has
not moved away by more than it improves on the touch; where it has, the chase costs what the price moved meanwhile.
Everything is in log price (fractions of the mid), and the same for a sale under a change of sign.
"""

import math
from typing import NamedTuple

from core.lean import lean, pasted

SPLITS = 4
"""What is left is crossed in quarters: none, one, two, three or all of it."""
PLACES = 3
"""Prices to rest at: the near touch, the middle, a tick inside the far touch."""
PATIENCE = 1.5
"""Standard deviations of the wait, in costs of crossing, after which nothing waits any more; at an urgency of 1, a higher
one shortens it. Chosen on one period of real bars and judged on others (``run.py bench execution``)."""
HALF_NORMAL = 0.7978845608028654
"""Mean size of a normal variable, in standard deviations."""


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


@pasted
def _impact(sight: Sight, quantity: float) -> float:
    """Mean price above the touch of crossing so much more than what was crossed (the square-root law)."""
    if not quantity > 0.0:
        return 0.0
    scale = sight.coefficient * sight.sigma / math.sqrt(sight.volume)
    whole = sight.crossed + quantity
    return scale * (whole * math.sqrt(whole) - sight.crossed * math.sqrt(sight.crossed)) / quantity


@pasted
def patience(sight: Sight, crossing: float) -> float:
    """Minutes that may still be waited, where crossing costs ``crossing``."""
    if not sight.urgency * sight.sigma > 0.0:
        return sight.minutes_left
    longest = PATIENCE * crossing / (sight.urgency * sight.sigma)
    return min(longest * longest - sight.waited, sight.minutes_left)


@lean
def waiting_cost(sight: Sight, quantity: float, place: float, most: float) -> float:
    """Estimated cost of resting ``quantity`` at ``place`` (mid = 0, the near touch = -half_spread) for ``most`` minutes
    at the longest, log price."""
    needed = quantity / (0.5 * sight.volume)
    wait = max(needed, sight.look)
    filled = 1.0
    if wait > most:
        filled, wait = most / wait, most
    moves = sight.sigma * math.sqrt(wait)
    # The touch moves by whole ticks: on average the price has half of one to go until it does.
    stands = place + sight.half_spread + 0.5 * sight.tick
    stays = 0.5 * math.erfc(-stands / (moves * math.sqrt(0.5)) / math.sqrt(2.0))
    chase = (1.0 - stays) * HALF_NORMAL * moves
    risk = sight.urgency * moves / math.sqrt(3.0)
    resting = place - sight.maker_saves + chase
    late = sight.half_spread + _impact(sight, quantity * (1.0 - filled)) if filled < 1.0 else 0.0
    return filled * resting + (1.0 - filled) * late + risk + 0.5 * sight.decay * wait


@lean
def choose(sight: Sight) -> Choice:
    """The cheapest split and place. Crosses all where volume or volatility are not known."""
    crossing = sight.half_spread + _impact(sight, sight.left)
    if not (sight.volume > 0.0 and sight.sigma > 0.0 and sight.half_spread >= 0.0 and sight.minutes_left > 0.0):
        return Choice(1.0, 0.0, crossing, math.inf)
    best, cross, inside, waiting = crossing, 1.0, 0.0, math.inf
    most = patience(sight, crossing)
    if not most > 0.0:
        return Choice(cross, inside, crossing, waiting)
    reach = max(2.0 * sight.half_spread - sight.tick, 0.0)
    for split in range(SPLITS):
        share = split / SPLITS
        taken, rest = share * sight.left, (1.0 - share) * sight.left
        part = share * (sight.half_spread + _impact(sight, taken))
        for at in range(PLACES):
            deep = at / (PLACES - 1)
            cost = waiting_cost(sight, rest, deep * reach - sight.half_spread, most)
            if split == 0:
                waiting = min(waiting, cost)
            if part + (1.0 - share) * cost < best:
                best, cross, inside = part + (1.0 - share) * cost, share, deep
    return Choice(cross, inside, crossing, waiting)
