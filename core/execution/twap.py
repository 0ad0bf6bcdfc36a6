"""Time-weighted slicing: equal shares on the lot grid, each one big enough for the venue."""

from decimal import ROUND_CEILING, Decimal

from core.errors import Defect
from core.units import MarketRules


def smallest_order(rules: MarketRules, price: Decimal) -> Decimal:
    """Least quantity the venue takes at this limit price (by quantity and by value), on the lot grid."""
    wanted = max(rules.min_qty, rules.min_notional / price, rules.step)
    return (wanted / rules.step).to_integral_value(rounding=ROUND_CEILING) * rules.step


def split(quantity: Decimal, slots: int, rules: MarketRules, price: Decimal) -> tuple[Decimal, ...]:
    """Cut ``quantity`` (base units, on the lot grid) into at most ``slots`` near-equal parts, larger ones first.

    Fewer parts when equal shares would fall below the venue's minimum; none when even the whole does. The sum is
    ``quantity`` exactly, unless ``slots`` orders of the venue's largest size cannot hold it: then each part is the
    largest. Cutting again what is left after the first part gives the same other parts. Raises ``Defect`` for a
    quantity off the grid.
    """
    units, off = divmod(quantity, rules.step)
    if off or quantity < 0:
        raise Defect(f"{rules.instrument}: quantity {quantity} is not a multiple of the lot step {rules.step}")
    if slots < 1:
        raise Defect(f"{rules.instrument}: {slots} slots to cut {quantity} into; at least 1 is needed")
    count = min(slots, int(quantity // smallest_order(rules, price)))
    if count == 0:
        return ()
    share, extra = divmod(int(units), count)
    parts = tuple((share + (1 if i < extra else 0)) * rules.step for i in range(count))
    if parts[0] <= rules.max_qty:
        return parts
    return _capped(quantity, slots, rules)


def _capped(quantity: Decimal, slots: int, rules: MarketRules) -> tuple[Decimal, ...]:
    # Shares above the venue's largest order. `count` is `slots` here unless the largest order is below twice the
    # smallest one, so the largest size in every slot is the most that can be done.
    largest = rules.max_qty // rules.step * rules.step
    return (largest,) * min(slots, int(quantity // largest))
