"""Order lists of Binance spot: a stop-limit and a limit above it, of which one cancels the other (OCO).

Source: binance-spot-api-docs, rest-api.md, "New Order list - OCO". Once one of them begins to act, the other expires; a
cancel of one cancels both. A list counts as two orders.
"""

from typing import Any

from core.messages import PlaceOrder
from exchanges.binance.answers import plain
from exchanges.binance.names import venue_symbol


def pair_request(order: PlaceOrder) -> dict[str, Any]:
    """What is sent for a stop order with a ``pair_price``: below the market the stop, above it a limit that only makes."""
    assert order.pair_price is not None and order.stop_price is not None
    return {
        "symbol": venue_symbol(order.instrument),
        "side": order.side.value.upper(),
        "quantity": plain(order.quantity),
        "listClientOrderId": order.client_id,
        "aboveType": "LIMIT_MAKER",
        "aboveClientOrderId": order.pair,
        "abovePrice": plain(order.pair_price),
        "belowType": "STOP_LOSS_LIMIT",
        "belowClientOrderId": order.client_id,
        "belowStopPrice": plain(order.stop_price),
        "belowPrice": plain(order.price),
        "belowTimeInForce": order.time_in_force.value,
        "newOrderRespType": "RESULT",
    }


def of_list(answer: Any, client_id: str) -> Any:
    """The report of one order out of an answer about its list; any other answer as it is."""
    reports = answer.get("orderReports") if isinstance(answer, dict) else None
    if not isinstance(reports, list):
        return answer
    named = (
        r for r in reports if isinstance(r, dict) and client_id in (r.get("origClientOrderId"), r.get("clientOrderId"))
    )
    return next(named, answer)
