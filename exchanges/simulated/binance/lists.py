"""Order lists of the simulated Binance: one cancels the other. All calls are signed."""

from aiohttp import web

from exchanges.simulated.binance.payloads import list_row, new_order_answer
from exchanges.simulated.binance.rest import Ask, Security, endpoint
from exchanges.simulated.binance.trading import cancelled, may_trade, read_answer_kind, read_force, read_side, read_stp
from exchanges.simulated.lists import OrderList
from exchanges.simulated.orders import OrderRequest, OrderType
from exchanges.simulated.refusals import VenueRefusal, bad_combination, missing, neither, no_such_list, not_needed


def _leg(ask: Ask, place: str) -> OrderRequest:
    """The order ``above`` or ``below`` the market."""
    try:
        kind = OrderType(ask.text(f"{place}Type"))
    except ValueError:
        raise VenueRefusal(-1116, "Invalid orderType.") from None
    force = read_force(ask, f"{place}TimeInForce")
    takes_force = not kind.at_market and kind.contingent
    if takes_force and not force:
        raise missing(f"{place}TimeInForce")
    if force and not takes_force:
        raise not_needed(f"{place}TimeInForce")
    return OrderRequest(
        instrument=ask.state.exchange.instruments[ask.row()],
        side=read_side(ask),
        type=kind,
        quantity=ask.decimal("quantity"),
        price=ask.decimal(f"{place}Price"),
        time_in_force=force or "GTC",
        client_id=ask.params.get(f"{place}ClientOrderId", ""),
        stop_price=ask.decimal(f"{place}StopPrice"),
        trailing_delta=ask.optional_integer(f"{place}TrailingDelta"),
        stp=read_stp(ask),
        iceberg=ask.decimal(f"{place}IcebergQty"),
    )


async def new_oco(ask: Ask) -> dict:
    exchange = ask.state.exchange
    above, below = _leg(ask, "above"), _leg(ask, "below")
    kind = read_answer_kind(ask, "RESULT")
    may_trade(ask)
    # A pair counts as two orders.
    ask.state.budget.count_order(2)
    made = exchange.place_oco(above, below, ask.params.get("listClientOrderId", ""))
    await ask.state.traded_in(made.row)
    # Below first, as in the documents' sample of a sell.
    return list_row(made) | {"orderReports": [new_order_answer(order, kind) for order in made.orders[::-1]]}


def _which(ask: Ask, by_client: str) -> OrderList | None:
    list_id, client_id = ask.optional_integer("orderListId"), ask.params.get(by_client)
    if list_id is None and not client_id:
        raise neither("orderListId", by_client)
    return ask.state.exchange.order_list(list_id, client_id)


async def query_list(ask: Ask) -> dict:
    found = _which(ask, "origClientOrderId")
    if found is None:
        raise no_such_list()
    return list_row(found)


async def open_lists(ask: Ask) -> list:
    return [list_row(found) for found in ask.state.exchange.order_lists() if not found.done]


async def all_lists(ask: Ask) -> list:
    if "fromId" in ask.params and ask.params.keys() & {"startTime", "endTime"}:
        raise bad_combination()
    first, (start, end) = ask.integer("fromId", 0), ask.span(24)
    found = [
        row
        for row in ask.state.exchange.order_lists()
        if row.list_id >= first and row.created_ms >= start and (end is None or row.created_ms <= end)
    ]
    limit = ask.integer("limit", 500, most=1_000)
    return [list_row(row) for row in (found[:limit] if first or start else found[-limit:])]


async def cancel_list(ask: Ask) -> dict:
    row, found = ask.row(), _which(ask, "listClientOrderId")
    may_trade(ask)
    if found is None or found.done or found.row != row:
        raise VenueRefusal(-2011, "Unknown order list sent.")
    cancel_id = ask.params.get("newClientOrderId") or f"cancel{ask.state.exchange.now_ms}"
    ask.state.exchange.cancel(row, found.orders[0].order_id, cancel_id=cancel_id)
    await ask.state.traded_in(row)
    return cancelled(ask.state.exchange, found.orders[0], cancel_id)


ROUTES: list[web.RouteDef] = [
    endpoint(method, path, Security.SIGNED, call)
    for method, path, call in (
        ("POST", "orderList/oco", new_oco),
        ("GET", "orderList", query_list),
        ("GET", "openOrderList", open_lists),
        ("GET", "allOrderList", all_lists),
        ("DELETE", "orderList", cancel_list),
    )
]
