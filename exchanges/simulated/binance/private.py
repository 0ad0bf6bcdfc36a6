"""Account and order calls of the simulated Binance. All are signed."""

from aiohttp import web

from core.units import Side
from exchanges.simulated.binance.payloads import (
    amount,
    cancel_answer,
    new_order_answer,
    order_row,
    symbol_of,
    trade_row,
)
from exchanges.simulated.binance.rest import WALLET, Ask, Security, endpoint
from exchanges.simulated.orders import OrderRequest, OrderType
from exchanges.simulated.refusals import VenueRefusal, cancel_rejected, missing, not_needed

TIMES_IN_FORCE = ("GTC", "IOC", "FOK")
UID = 1
"""Number of the one account there is."""
ANSWERS = ("ACK", "RESULT", "FULL")


async def account(ask: Ask) -> dict:
    exchange = ask.state.exchange
    purse, rule = exchange.account, exchange.rules[0]
    rows = [
        {"asset": asset, "free": amount(purse.free(asset)), "locked": amount(purse.locked(asset))}
        for asset in purse.assets()
    ]
    if ask.params.get("omitZeroBalances") == "true":
        rows = [r for r in rows if float(r["free"]) or float(r["locked"])]
    return {
        "makerCommission": int(rule.maker_fee * 10_000),
        "takerCommission": int(rule.taker_fee * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": amount(rule.maker_fee),
            "taker": amount(rule.taker_fee),
            "buyer": "0.00000000",
            "seller": "0.00000000",
        },
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": purse.changed_ms,
        "accountType": "SPOT",
        "balances": rows,
        "permissions": ["SPOT"],
        "uid": UID,
    }


async def commission(ask: Ask) -> dict:
    rule = ask.state.exchange.rules[ask.row()]
    none = dict.fromkeys(("maker", "taker", "buyer", "seller"), "0.00000000")
    return {
        "symbol": symbol_of(rule.instrument),
        "standardCommission": none | {"maker": amount(rule.maker_fee), "taker": amount(rule.taker_fee)},
        "specialCommission": none,
        "taxCommission": none,
        "discount": {
            "enabledForAccount": False,
            "enabledForSymbol": False,
            "discountAsset": "BNB",
            "discount": "0.75000000",
        },
    }


def _request(ask: Ask) -> OrderRequest:
    """The order a client asks for, its parameters checked for form."""
    row = ask.row()
    try:
        side = Side(ask.text("side").lower())
    except ValueError:
        raise VenueRefusal(-1117, "Invalid side.") from None
    try:
        kind = OrderType(ask.text("type"))
    except ValueError:
        raise VenueRefusal(-1116, "Invalid orderType.") from None
    force = ask.params.get("timeInForce", "")
    if force and force not in TIMES_IN_FORCE:
        raise VenueRefusal(-1115, "Invalid timeInForce.")
    if kind is OrderType.LIMIT and not force:
        raise missing("timeInForce")
    if kind is not OrderType.LIMIT and force:
        raise not_needed("timeInForce")
    for name in ("stopPrice", "icebergQty", "trailingDelta"):
        if ask.params.get(name):
            raise not_needed(name)
    return OrderRequest(
        instrument=ask.state.exchange.instruments[row],
        side=side,
        type=kind,
        quantity=ask.decimal("quantity"),
        quote_quantity=ask.decimal("quoteOrderQty"),
        price=ask.decimal("price"),
        time_in_force=force or "GTC",
        client_id=ask.params.get("newClientOrderId", ""),
    )


async def new_order(ask: Ask) -> dict:
    request = _request(ask)
    kind = ask.params.get("newOrderRespType") or ("ACK" if request.type is OrderType.LIMIT_MAKER else "FULL")
    if kind not in ANSWERS:
        raise VenueRefusal(-1122, "Invalid newOrderRespType.")
    if "trade" not in ask.state.key_rights:
        raise VenueRefusal(-2015, "Invalid API-key, IP, or permissions for action.", status=401)
    ask.state.budget.count_order()
    order = ask.state.exchange.place(request)
    await ask.state.traded(order)
    return new_order_answer(order, kind)


async def test_order(ask: Ask) -> dict:
    ask.state.exchange.check(_request(ask))
    return {}


async def query_order(ask: Ask) -> dict:
    row, order_id, client_id = _which(ask)
    return order_row(ask.state.exchange.query(row, order_id, client_id))


def _which(ask: Ask) -> tuple[int, int | None, str | None]:
    row = ask.row()
    order_id, client_id = ask.optional_integer("orderId"), ask.params.get("origClientOrderId") or None
    if order_id is None and client_id is None:
        raise VenueRefusal(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    return row, order_id, client_id


async def cancel_order(ask: Ask) -> dict:
    exchange = ask.state.exchange
    row, order_id, client_id = _which(ask)
    cancel_id = ask.params.get("newClientOrderId") or f"cancel{exchange.now_ms}"
    order = exchange.cancel(row, order_id, client_id, cancel_id)
    await ask.state.traded(order)
    return cancel_answer(order, cancel_id)


async def open_orders(ask: Ask) -> list:
    row = ask.row() if ask.params.get("symbol") else None
    return [order_row(order) for order in ask.state.exchange.open_orders(row)]


async def cancel_open_orders(ask: Ask) -> list:
    exchange = ask.state.exchange
    found = exchange.open_orders(ask.row())
    if not found:
        raise cancel_rejected()
    answers = []
    for order in found:
        cancel_id = f"cancel{order.order_id}"
        exchange.cancel(order.row, order.order_id, cancel_id=cancel_id)
        answers.append(cancel_answer(order, cancel_id))
    await ask.state.traded(found[-1])
    return answers


async def all_orders(ask: Ask) -> list:
    row, first = ask.row(), ask.integer("orderId", 0)
    start, end = ask.integer("startTime", 0), ask.optional_integer("endTime")
    found = [
        o
        for o in ask.state.exchange.orders.values()
        if o.row == row and o.order_id >= first and o.created_ms >= start and (end is None or o.created_ms <= end)
    ]
    limit = ask.integer("limit", 500, most=1_000)
    return [order_row(o) for o in (found[:limit] if first or start else found[-limit:])]


async def my_trades(ask: Ask) -> list:
    row, exchange = ask.row(), ask.state.exchange
    first, start, end = ask.integer("fromId", 0), ask.integer("startTime", 0), ask.optional_integer("endTime")
    found = [
        t
        for t in exchange.my_trades(row, ask.optional_integer("orderId"))
        if t.trade_id >= first and t.at_ms >= start and (end is None or t.at_ms <= end)
    ]
    limit = ask.integer("limit", 500, most=1_000)
    return [trade_row(exchange.instruments[row], t) for t in (found[:limit] if first or start else found[-limit:])]


async def api_restrictions(ask: Ask) -> dict:
    """What the key may do; the wallet API's call, for whoever wants to know before trading."""
    rights = ask.state.key_rights
    return {
        "ipRestrict": False,
        "createTime": ask.state.exchange.start_ms,
        "enableReading": True,
        "enableSpotAndMarginTrading": "trade" in rights,
        "enableWithdrawals": "withdraw" in rights,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": False,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
    }


async def order_counts(ask: Ask) -> list:
    return ask.state.budget.order_counts()


ROUTES: list[web.RouteDef] = [
    endpoint(method, path, Security.SIGNED, call)
    for method, path, call in (
        ("GET", "account", account),
        ("GET", "account/commission", commission),
        ("POST", "order", new_order),
        ("POST", "order/test", test_order),
        ("GET", "order", query_order),
        ("DELETE", "order", cancel_order),
        ("GET", "openOrders", open_orders),
        ("DELETE", "openOrders", cancel_open_orders),
        ("GET", "allOrders", all_orders),
        ("GET", "myTrades", my_trades),
        ("GET", "rateLimit/order", order_counts),
    )
]
ROUTES.append(endpoint("GET", "account/apiRestrictions", Security.SIGNED, api_restrictions, WALLET))
