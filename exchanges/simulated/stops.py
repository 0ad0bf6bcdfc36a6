"""When a contingent order acts, as pure functions of the price's way through one second.

Source: binance-spot-api-docs, rest-api.md (New order) and faqs/trailing-stop-faq.md. A buying stop-loss and a selling
take-profit wait for the price to rise to their stop price, the other two for it to fall. With a trailing delta the
order acts once the price has turned back by so many basis points: up from the lowest for a buy, down from the highest
for a sell, since it was placed or, where it names a stop price, since that was reached.
"""

from dataclasses import dataclass

from core.units import BPS, Side
from exchanges.simulated.orders import OrderType


@dataclass(frozen=True, slots=True)
class Watch:
    """What of a contingent order its trigger depends on. Prices in quote units."""

    side: Side
    type: OrderType
    stop: float
    """0 where only a trailing delta was given."""
    delta: int
    """Basis points; 0 = it does not trail."""
    extreme: float = 0.0
    """Lowest (buy) or highest (sell) price since it trails; 0 before that."""


@dataclass(frozen=True, slots=True)
class Moved:
    """After a second: how far along it the order acted (None: it did not), and its extreme now."""

    at: float | None
    extreme: float


def waits_for_rise(side: Side, kind: OrderType) -> bool:
    """Whether the stop price lies above the market."""
    loss = kind in (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT)
    return loss == (side is Side.BUY)


def reached(side: Side, kind: OrderType, stop: float, price: float) -> bool:
    return price >= stop if waits_for_rise(side, kind) else price <= stop


def follow(watch: Watch, start: float, end: float) -> Moved:
    """Let the price go straight from ``start`` to ``end`` past a waiting order."""
    if not watch.delta:
        return Moved(_crossing(watch, start, end), watch.extreme)
    begin, extreme = 0.0, watch.extreme
    if not extreme:
        if watch.stop:
            crossing = _crossing(watch, start, end)
            if crossing is None:
                return Moved(None, 0.0)
            begin = crossing
        extreme = start + (end - start) * begin
    buying = watch.side is Side.BUY
    # On a straight way the turn, if any, was at its beginning: it either goes on to a new extreme or comes back.
    first = start + (end - start) * begin
    extreme = min(extreme, first, end) if buying else max(extreme, first, end)
    turn = 1.0 + watch.delta / BPS if buying else 1.0 - watch.delta / BPS
    limit = extreme * turn
    if end >= limit if buying else end <= limit:
        return Moved(1.0 if end == start else max(0.0, min(1.0, (limit - start) / (end - start))), extreme)
    return Moved(None, extreme)


def _crossing(watch: Watch, start: float, end: float) -> float | None:
    """Share of the way at which the stop price was reached, or None."""
    if reached(watch.side, watch.type, watch.stop, start):
        return 0.0
    if not reached(watch.side, watch.type, watch.stop, end):
        return None
    return (watch.stop - start) / (end - start)
