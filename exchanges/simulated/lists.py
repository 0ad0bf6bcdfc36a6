"""One cancels the other: two orders of one side that share their money, of which at most one is ever executed.

Source: binance-spot-api-docs, rest-api.md (New Order list - OCO) and errors.md (-1158 to -1199). Once one of the pair
begins to act (its stop price comes, or it is filled in part) the other expires; a cancel of one cancels both.
"""

from dataclasses import dataclass

from core.units import Side
from exchanges.simulated.orders import OrderRequest, OrderType, SimOrder
from exchanges.simulated.refusals import VenueRefusal, wrong_relation

LOSS = (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT)
PROFIT = (OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT)
NO_LIST = -1


@dataclass(slots=True, kw_only=True)
class OrderList:
    """Two orders, the one above the market first."""

    list_id: int
    client_id: str
    row: int
    orders: tuple[SimOrder, SimOrder]
    created_ms: int
    updated_ms: int
    done: bool = False

    def other(self, order: SimOrder) -> SimOrder:
        above, below = self.orders
        return below if order is above else above


def check_pair(above: OrderRequest, below: OrderRequest) -> None:
    """Which types may stand above and below; VenueRefusal words what may not."""
    allowed = (OrderType.LIMIT_MAKER, *LOSS, *PROFIT)
    if above.type not in allowed or below.type not in allowed:
        raise VenueRefusal(-1158, "Order type not supported in OCO.")
    if above.type is below.type is OrderType.LIMIT_MAKER:
        raise VenueRefusal(-1168, "At least one OCO order must be contingent.")
    buying = above.side is Side.BUY
    gaining, losing = (below.type, above.type) if buying else (above.type, below.type)
    if losing is OrderType.LIMIT_MAKER:
        raise VenueRefusal(
            *((-1165, _must("limit", "buy", "below")) if buying else (-1166, _must("limit", "sell", "above")))
        )
    if gaining in LOSS:
        raise VenueRefusal(
            *((-1196, _must("stop loss", "buy", "above")) if buying else (-1197, _must("stop loss", "sell", "below")))
        )
    if losing in PROFIT:
        raise VenueRefusal(
            *(
                (-1198, _must("take profit", "buy", "below"))
                if buying
                else (-1199, _must("take profit", "sell", "above"))
            )
        )


def _must(kind: str, side: str, place: str) -> str:
    return f"A {kind} order in a {side} OCO must be {place}."


def check_prices(above: OrderRequest, below: OrderRequest, last: float | None) -> None:
    """The market has to lie between the two; VenueRefusal -2010 when it does not."""
    if last is None:
        return
    high, low = _level(above), _level(below)
    if (high is not None and high <= last) or (low is not None and low >= last):
        raise wrong_relation()


def _level(request: OrderRequest) -> float | None:
    """Where a leg lies; None for one that only trails."""
    level = request.stop_price if request.type.contingent else request.price
    return None if level is None else float(level)
