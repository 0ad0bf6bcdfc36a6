"""Order calls of the simulated Binance: placing, cancelling, replacing, amending. All are signed.

Source: binance-spot-api-docs, rest-api.md; faqs/order_amend_keep_priority.md.
"""

from aiohttp import web

from core.costs import BNB_FACTOR
from core.units import Side
from exchanges.simulated.binance.payloads import amend_answer, amount, cancel_answer, list_row, new_order_answer
from exchanges.simulated.binance.rest import Ask, Security, endpoint
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.fees import DISCOUNT_ASSET
from exchanges.simulated.orders import OrderRequest, OrderType, SimOrder, Status
from exchanges.simulated.refusals import (
    VenueRefusal,
    cancel_rejected,
    missing,
    neither,
    new_order_rejected,
    no_permission,
    not_needed,
    not_valid,
)
from exchanges.simulated.selftrade import Stp

SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
"""In capitals only, as all of the venue's words."""
TIMES_IN_FORCE = ("GTC", "IOC", "FOK")
ANSWERS = ("ACK", "RESULT", "FULL")
FULL_BY_DEFAULT = (OrderType.LIMIT, OrderType.MARKET)
RESTRICTIONS = {"ONLY_NEW": Status.NEW, "ONLY_PARTIALLY_FILLED": Status.PARTIALLY_FILLED}


def read_order(ask: Ask) -> OrderRequest:
    """The order a client asks for, its parameters checked for form."""
    row = ask.row()
    if any(name.startswith("peg") for name in ask.params):
        raise new_order_rejected("Pegged orders are not supported for this symbol.")
    try:
        kind = OrderType(ask.text("type"))
    except ValueError:
        raise VenueRefusal(-1116, "Invalid orderType.") from None
    force = read_force(ask, "timeInForce")
    takes_force = not kind.at_market and kind is not OrderType.LIMIT_MAKER
    if takes_force and not force:
        raise missing("timeInForce")
    if force and not takes_force:
        raise not_needed("timeInForce")
    return OrderRequest(
        instrument=ask.state.exchange.instruments[row],
        side=read_side(ask),
        type=kind,
        quantity=ask.decimal("quantity"),
        quote_quantity=ask.decimal("quoteOrderQty"),
        price=ask.decimal("price"),
        time_in_force=force or "GTC",
        client_id=ask.params.get("newClientOrderId", ""),
        stop_price=ask.decimal("stopPrice"),
        trailing_delta=ask.optional_integer("trailingDelta"),
        iceberg=ask.decimal("icebergQty"),
        stp=read_stp(ask),
    )


def read_stp(ask: Ask) -> str:
    named = ask.params.get("selfTradePreventionMode", "")
    if named and named not in (*Stp, "TRANSFER"):
        raise not_valid("selfTradePreventionMode")
    return named


def read_side(ask: Ask) -> Side:
    side = SIDES.get(ask.text("side"))
    if side is None:
        raise VenueRefusal(-1117, "Invalid side.")
    return side


def read_force(ask: Ask, name: str) -> str:
    force = ask.params.get(name, "")
    if force and force not in TIMES_IN_FORCE:
        raise VenueRefusal(-1115, "Invalid timeInForce.")
    return force


def read_answer_kind(ask: Ask, by_default: str) -> str:
    kind = ask.params.get("newOrderRespType") or by_default
    if kind not in ANSWERS:
        raise VenueRefusal(-1122, "Invalid newOrderRespType.")
    return kind


def may_trade(ask: Ask) -> None:
    if "trade" not in ask.state.key_rights:
        raise no_permission()


def which(ask: Ask, by_id: str = "orderId", by_client: str = "origClientOrderId") -> tuple[int, int | None, str | None]:
    """(row, order id, client id) of the order that is meant; the order id goes before."""
    row = ask.row()
    order_id, client_id = ask.optional_integer(by_id), ask.params.get(by_client) or None
    if order_id is None and client_id is None:
        raise neither(by_client, by_id)
    return row, order_id, client_id


def _restriction(ask: Ask) -> Status | None:
    named = ask.params.get("cancelRestrictions")
    if not named:
        return None
    if named not in RESTRICTIONS:
        raise VenueRefusal(-1145, "Invalid cancelRestrictions")
    return RESTRICTIONS[named]


async def new_order(ask: Ask) -> dict:
    request = read_order(ask)
    kind = read_answer_kind(ask, "FULL" if request.type in FULL_BY_DEFAULT else "ACK")
    may_trade(ask)
    ask.state.budget.count_order()
    order = ask.state.exchange.place(request)
    await ask.state.traded(order)
    return answered(ask, order, kind)


def answered(ask: Ask, order: SimOrder, kind: str) -> dict:
    exchange = ask.state.exchange
    return new_order_answer(order, kind, exchange.prevented_by(order), exchange.rules[order.row].tick)


async def test_order(ask: Ask) -> dict:
    row = ask.state.exchange.check(read_order(ask))
    if ask.params.get("computeCommissionRates") != "true":
        return {}
    rule = ask.state.exchange.rules[row]
    none = {"maker": "0.00000000", "taker": "0.00000000"}
    return {
        "standardCommissionForOrder": {"maker": amount(rule.maker_fee), "taker": amount(rule.taker_fee)},
        "specialCommissionForOrder": none,
        "taxCommissionForOrder": none,
        "discount": discount(ask),
    }


def discount(ask: Ask) -> dict:
    """What is said about paying fees in BNB."""
    exchange = ask.state.exchange
    return {
        "enabledForAccount": exchange.burns_bnb,
        "enabledForSymbol": not exchange.fees_in_quote,
        "discountAsset": DISCOUNT_ASSET,
        "discount": amount(BNB_FACTOR),
    }


async def cancel_order(ask: Ask) -> dict:
    exchange = ask.state.exchange
    row, order_id, client_id = which(ask)
    only = _restriction(ask)
    may_trade(ask)
    cancel_id = ask.params.get("newClientOrderId") or f"cancel{exchange.now_ms}"
    order = exchange.cancel(row, order_id, client_id, cancel_id, only)
    await ask.state.traded(order)
    return cancelled(exchange, order, cancel_id)


def cancelled(exchange: SimulatedExchange, order: SimOrder, cancel_id: str) -> dict:
    """What is said of a cancelled order: of its whole list, where it belongs to one."""
    found = exchange.order_list(order.list_id)
    if found is None:
        return cancel_answer(order, cancel_id)
    return list_row(found) | {"orderReports": [cancel_answer(leg, cancel_id) for leg in found.orders[::-1]]}


async def cancel_open_orders(ask: Ask) -> list:
    exchange = ask.state.exchange
    found = exchange.open_orders(ask.row())
    may_trade(ask)
    if not found:
        raise cancel_rejected()
    answers = []
    for order in found:
        if order.live:
            cancel_id = f"cancel{order.order_id}"
            exchange.cancel(order.row, order.order_id, cancel_id=cancel_id)
            answers.append(cancelled(exchange, order, cancel_id))
    await ask.state.traded(found[-1])
    return answers


async def cancel_replace(ask: Ask) -> dict:
    """Cancel one order and place another. Filters and the order count are looked at before anything is done, and the
    new order counts even where it was not attempted."""
    exchange, budget = ask.state.exchange, ask.state.budget
    request = read_order(ask)
    kind = read_answer_kind(ask, "FULL" if request.type in FULL_BY_DEFAULT else "ACK")
    mode = ask.text("cancelReplaceMode")
    if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
        raise missing("cancelReplaceMode")
    over = ask.params.get("orderRateLimitExceededMode") or "DO_NOTHING"
    if over not in ("DO_NOTHING", "CANCEL_ONLY"):
        raise missing("orderRateLimitExceededMode")
    row, order_id, client_id = which(ask, "cancelOrderId", "cancelOrigClientOrderId")
    only = _restriction(ask)
    may_trade(ask)
    exchange.check(request)
    too_many: VenueRefusal | None = None
    try:
        budget.count_order()
    except VenueRefusal as refusal:
        if over == "DO_NOTHING":
            raise
        too_many = refusal
    cancel_id = ask.params.get("cancelNewClientOrderId") or f"cancel{exchange.now_ms}"
    gone: dict | VenueRefusal
    placed: dict | VenueRefusal | None = None
    try:
        gone = cancelled(exchange, exchange.cancel(row, order_id, client_id, cancel_id, only), cancel_id)
    except VenueRefusal as refusal:
        gone = refusal
    if isinstance(gone, dict) or mode == "ALLOW_FAILURE":
        try:
            if too_many is not None:
                raise too_many
            order = exchange.place(request)
            placed = answered(ask, order, kind)
        except VenueRefusal as refusal:
            placed = refusal
            if isinstance(gone, dict):
                exchange.reject(request, refusal)
    await ask.state.traded_in(row)
    return _replaced(gone, placed)


def _replaced(gone: dict | VenueRefusal, placed: dict | VenueRefusal | None) -> dict:
    """The answer of a cancel-replace; VenueRefusal -2021 when half of it was done, -2022 when nothing was."""

    def result(part: dict | VenueRefusal | None) -> str:
        return "NOT_ATTEMPTED" if part is None else "SUCCESS" if isinstance(part, dict) else "FAILURE"

    def body(part: dict | VenueRefusal | None) -> dict | None:
        return {"code": part.number, "msg": part.text} if isinstance(part, VenueRefusal) else part

    answer = {
        "cancelResult": result(gone),
        "newOrderResult": result(placed),
        "cancelResponse": body(gone),
        "newOrderResponse": body(placed),
    }
    done = [isinstance(part, dict) for part in (gone, placed)]
    if all(done):
        return answer
    if any(done):
        raise VenueRefusal(-2021, "Order cancel-replace partially failed.", status=409, data=answer)
    raise VenueRefusal(-2022, "Order cancel-replace failed.", data=answer)


async def amend(ask: Ask) -> dict:
    exchange = ask.state.exchange
    row, order_id, client_id = which(ask)
    quantity = ask.decimal("newQty")
    if quantity is None:
        raise missing("newQty")
    may_trade(ask)
    order, done = exchange.amend(row, quantity, order_id, client_id, ask.params.get("newClientOrderId", ""))
    await ask.state.traded(order)
    return amend_answer(order, done)


ROUTES: list[web.RouteDef] = [
    endpoint(method, path, Security.SIGNED, call)
    for method, path, call in (
        ("POST", "order", new_order),
        ("POST", "order/test", test_order),
        ("DELETE", "order", cancel_order),
        ("DELETE", "openOrders", cancel_open_orders),
        ("POST", "order/cancelReplace", cancel_replace),
        ("PUT", "order/amend/keepPriority", amend),
    )
]
