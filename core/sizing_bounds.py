"""What ``core.sizing`` surely makes of a change of one position while all others are kept, without lots being counted.

Whether there is an order at all is mostly told by amounts: what is wanted, and what the tightest limit leaves, lie far above
the smallest order, or below it. Here stand bounds of that smallest order, and what follows from them; every amount comes
from the sizing's own functions. Between the bounds nothing is said: then the sizing itself must be asked.
``tests/unit/test_sizing_bounds.py`` holds one against the other.

Why that is so. Let ``lot`` be a lot's worth at the mid, and ``least`` the amount below which ``core.sizing`` sends nothing
(with ``min_qty``, which it holds against the lots, as an amount at the mid).

- *Too little.* A limit that leaves x USDT allows floor(x / unit) lots with ``unit >= lot``, so lots worth no more than x, and
  less by the 1e-12 that the sizing shaves off. A buy's ``least`` is at least ``max(min_order, min_notional)`` raised by
  as much. So nothing is bought where x is no more than that.
- *Enough to buy.* A limit price lies above the mid by no more than the collar, so ``unit <= lot (1 + collar)``. And neither
  side's lies below the mid by more than half of it: for a buy since the tick is no more than a quarter of the mid, for a
  sell since the collar is no more than 0.4. So the venue's minimum, which holds at the limit price, is at most twice as
  much at the mid, and ``least <= L = max(min_order, 2 min_notional, min_qty)``. Where x is at least
  ``(L + 2 lot)(1 + collar)``, floor(x / unit) lots are worth more than ``L`` by a lot, which is more than all rounding.
- *Enough to sell.* All that is held may be sold whatever it is worth (or is dust, which is no refusal). A part of at least
  ``L + 2 lot`` loses less than a lot to rounding. What is cut by the order limit is worth at least
  ``2 (least + lot) - lot``; and where all the rest but ``least`` is sold so that no dust is left, more than ``least`` is, as
  the whole was more than what it was cut to. The venue's largest quantity cuts to no less where it is three times as
  much, which is asked for here.
"""

import math

from core.lean import pasted
from core.sizing import TO_BUY, TO_SELL, Caps, Limit, left_of

REFUSED, UNSURE, ALLOWED = range(3)
"""Whether there is an order, or none was needed (what is wanted is there already, or is dust): what may be asked for."""

_PASSED, _MAX_ORDER, _CASH = int(Limit.PASSED), int(Limit.MAX_ORDER), int(Limit.CASH)
_DOUBT = 1e-9
"""More than all rounding together, as a fraction."""


@pasted
def too_little(min_notional: float, rate: float, caps: Caps) -> float:
    """USDT up to which nothing is bought."""
    return max(caps.min_order, min_notional * rate)


@pasted
def enough(
    mid: float,
    rate: float,
    step: float,
    tick: float,
    min_qty: float,
    max_qty: float,
    min_notional: float,
    caps: Caps,
) -> float:
    """USDT from which on there is an order; infinite where that is not known."""
    price = mid * rate
    least = max(max(caps.min_order, 2.0 * min_notional * rate), min_qty * price)
    found = (least + 2.0 * step * price) * ((1.0 + caps.collar) * (1.0 + _DOUBT))
    plain = tick <= 0.25 * mid and caps.collar <= 0.4 and max_qty * price >= 3.0 * found
    return found if plain else math.inf


@pasted
def room_of(
    caps: Caps, most: float, ceiling: float, worth: float, gross: float, cash: float, rate: float, fee: float
) -> float:
    """USDT that the tightest limit leaves to buy of a row; not above 0 where it leaves nothing.

    ``worth`` USDT is held of it and ``gross`` of all (NaN: not known), ``cash`` quote units are free, ``ceiling`` is that of
    ``core.ceilings``. All but ``gross`` are known.
    """
    room = math.inf if caps.max_orders >= 1.0 and gross < math.inf else 0.0
    for bound in range(_MAX_ORDER, _CASH + 1):
        left = left_of(bound, caps, most, worth, gross, cash, rate, 1.0 + fee)
        room = left if left < room else room
    if ceiling < math.inf:
        left = ceiling * caps.equity - worth
        room = left if left < room else room
    return room


@pasted
def surely(asked: float, wanted: int, target: float, room: float, little: float, much: float) -> int:
    """What becomes of a change (``core.sizing.change_of``: ``asked`` USDT, ``wanted`` a sell, a buy, or what holds it).

    ``room`` (``room_of``) is what may be bought, not above 0 where nothing may; ``little`` and ``much`` are ``too_little`` and
    ``enough``.
    """
    if wanted == TO_BUY:
        room = asked if asked < room else room
        return REFUSED if room <= little else ALLOWED if room >= much else UNSURE
    if wanted == TO_SELL:
        return ALLOWED if much < math.inf and (target <= 0.0 or -asked >= much) else UNSURE
    return ALLOWED if wanted <= _PASSED else REFUSED
