"""Time-weighted slicing: equal shares on the lot grid, each one big enough for the venue.

The rule stands in two kernels over lots, which the engine calls as well; ``split`` and ``first_slice`` bring them to
Decimals and a venue's rules.
"""

from decimal import ROUND_CEILING, Decimal

from core.costs import UNITS
from core.errors import Defect
from core.lean import pasted
from core.units import MarketRules


@pasted
def least_lots(min_lots: int, min_notional: int, lot_worth: int) -> int:
    """Lots of the smallest order a venue takes, by quantity and by value.

    ``min_notional`` and ``lot_worth`` (what one lot costs at the limit, above 0) in units of 1e-8 of the quote.
    """
    return max(min_lots, -(-min_notional // lot_worth), 1)


@pasted
def is_sendable(lots: int, min_lots: int, min_notional: int, lot_worth: int) -> bool:
    """Whether ``lots`` are at least ``least_lots``, told without a division."""
    return lots >= max(min_lots, 1) and lots * lot_worth >= min_notional


@pasted
def next_slice(unsent: int, slots: int, least: int, most: int) -> int:
    """Lots to send in the first of ``slots`` slots: a near-equal share of ``unsent``, the larger ones first.

    Fewer slots count when equal shares would fall below ``least`` lots; 0 when even the whole does. Never more than
    ``most``: then every slot sends that. Asking again with what is left gives the rest of the same schedule.
    """
    # The usual case without a division.
    count = slots if unsent >= slots * least else unsent // least
    if count <= 0:
        return 0
    return min(-(-unsent // count), most)


def smallest_order(rules: MarketRules, price: Decimal) -> Decimal:
    """Least quantity the venue takes at this limit price (by quantity and by value), on the lot grid."""
    return least_order(rules, price) * rules.step


def split(quantity: Decimal, slots: int, rules: MarketRules, price: Decimal) -> tuple[Decimal, ...]:
    """Cut ``quantity`` (base units, on the lot grid) into at most ``slots`` near-equal parts, larger ones first.

    Fewer parts when equal shares would fall below the venue's minimum; none when even the whole does. The sum is
    ``quantity`` exactly, unless ``slots`` orders of the venue's largest size cannot hold it. Cutting again what is left
    after the first part gives the same other parts. Raises ``Defect`` for a quantity off the grid.
    """
    parts: list[Decimal] = []
    while slots > len(parts) and (part := first_slice(quantity, slots - len(parts), rules, price)):
        parts.append(part)
        quantity -= part
    return tuple(parts)


def first_slice(quantity: Decimal, slots: int, rules: MarketRules, price: Decimal) -> Decimal:
    """The first part of ``split``: what to send now. 0 when the whole is below the venue's smallest order."""
    lots, off = divmod(quantity, rules.step)
    if off or quantity < 0:
        raise Defect(f"{rules.instrument}: quantity {quantity} is not a multiple of the lot step {rules.step}")
    if slots < 1:
        raise Defect(f"{rules.instrument}: {slots} slots to cut {quantity} into; at least 1 is needed")
    most = int(rules.max_qty // rules.step)
    return next_slice(int(lots), slots, least_order(rules, price), most) * rules.step


def least_lots_of(rules: MarketRules, price: Decimal) -> int:
    """``least_order``; more lots than the venue ever takes where one is worth nothing."""
    if int(price * rules.step * UNITS) < 1:
        return int(rules.max_qty // rules.step) + 1
    return least_order(rules, price)


def least_order(rules: MarketRules, price: Decimal) -> int:
    """Lots of the smallest order the venue takes at this limit price; Defect where one lot is worth nothing."""
    worth = int(price * rules.step * UNITS)
    if worth < 1:
        raise Defect(f"{rules.instrument}: one lot of {rules.step} at {price} is worth less than 0.00000001")
    min_lots = int((rules.min_qty / rules.step).to_integral_value(rounding=ROUND_CEILING))
    return int(least_lots(min_lots, int(rules.min_notional * UNITS), worth))
