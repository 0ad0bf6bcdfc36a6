"""Account calls of the simulated Binance, and what it knows of orders and trades. All are signed."""

from aiohttp import web

from exchanges.simulated.binance.payloads import (
    amendment_row,
    amount,
    order_row,
    prevented_row,
    symbol_of,
    trade_row,
)
from exchanges.simulated.binance.rest import WALLET, Ask, Security, endpoint
from exchanges.simulated.binance.trading import discount, which
from exchanges.simulated.orders import SimOrder
from exchanges.simulated.refusals import VenueRefusal, archived, bad_combination, missing

ARCHIVED_AFTER_MS = 90 * 86_400_000
UID = 1
"""Number of the one account there is."""


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
        "discount": discount(ask),
    }


async def bnb_burn(ask: Ask) -> dict:
    """Whether fees are paid in BNB while there is some; the wallet API's switch."""
    return {"spotBNBBurn": ask.state.exchange.burns_bnb, "interestBNBBurn": False}


async def switch_bnb_burn(ask: Ask) -> dict:
    wanted = ask.params.get("spotBNBBurn")
    if wanted is not None:
        if wanted not in ("true", "false"):
            raise missing("spotBNBBurn")
        if ask.state.exchange.fees_in_quote:
            raise VenueRefusal(-1020, "This operation is not supported.")
        ask.state.exchange.burns_bnb = wanted == "true"
    return await bnb_burn(ask)


async def query_order(ask: Ask) -> dict:
    row, order_id, client_id = which(ask)
    order = ask.state.exchange.query(row, order_id, client_id)
    if _is_archived(ask, order):
        raise archived()
    return order_row(order)


def _is_archived(ask: Ask, order: SimOrder) -> bool:
    """It ended without a fill over 90 days ago (rest-api.md, Query order)."""
    ended = not order.live and not order.executed
    return ended and ask.state.exchange.now_ms - order.updated_ms > ARCHIVED_AFTER_MS


async def prevented_matches(ask: Ask) -> list:
    row, exchange = ask.row(), ask.state.exchange
    by_match, by_order = ask.optional_integer("preventedMatchId"), ask.optional_integer("orderId")
    if by_match is None and by_order is None:
        raise bad_combination()
    first, limit = ask.integer("fromPreventedMatchId", 0), ask.integer("limit", 500, most=1_000)
    found = [
        m
        for m in exchange.prevented(row)
        if (by_match is None or m.match_id == by_match)
        and (by_order is None or by_order in (m.taker_id, m.maker_id))
        and m.match_id >= first
    ]
    return [prevented_row(exchange.rules[row], m) for m in found[:limit]]


async def open_orders(ask: Ask) -> list:
    row = ask.row() if ask.params.get("symbol") else None
    return [order_row(order) for order in ask.state.exchange.open_orders(row)]


async def all_orders(ask: Ask) -> list:
    row, first = ask.row(), ask.integer("orderId", 0)
    start, end = ask.span(24)
    found = [
        o
        for o in ask.state.exchange.orders.values()
        if o.row == row
        and not _is_archived(ask, o)
        and o.order_id >= first
        and o.created_ms >= start
        and (end is None or o.created_ms <= end)
    ]
    limit = ask.integer("limit", 500, most=1_000)
    return [order_row(o) for o in (found[:limit] if first or start else found[-limit:])]


async def amendments(ask: Ask) -> list:
    order = ask.state.exchange.query(ask.row(), ask.integer("orderId"))
    first = ask.integer("fromExecutionId", 0)
    found = [a for a in order.amendments if a.execution_id >= first]
    return [amendment_row(order, a) for a in found[: ask.integer("limit", 500, most=1_000)]]


async def my_trades(ask: Ask) -> list:
    row, exchange = ask.row(), ask.state.exchange
    if "fromId" in ask.params and ask.params.keys() & {"startTime", "endTime"}:
        raise bad_combination()
    first, (start, end) = ask.integer("fromId", 0), ask.span(24)
    found = [
        t
        for t in exchange.my_trades(row, ask.optional_integer("orderId"))
        if t.trade_id >= first and t.at_ms >= start and (end is None or t.at_ms <= end)
    ]
    limit = ask.integer("limit", 500, most=1_000)
    chosen = found[:limit] if first or start else found[-limit:]
    return [trade_row(exchange.instruments[row], t, exchange.orders[t.order_id].list_id) for t in chosen]


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


async def trade_fees(ask: Ask) -> list:
    """Fees by market; the wallet API's call, without a symbol of all of them."""
    rows = [ask.row()] if "symbol" in ask.params else range(len(ask.state.exchange.rules))
    rules = [ask.state.exchange.rules[row] for row in rows]
    return [
        {
            "symbol": symbol_of(rule.instrument),
            "makerCommission": f"{rule.maker_fee:f}",
            "takerCommission": f"{rule.taker_fee:f}",
        }
        for rule in rules
    ]


async def order_counts(ask: Ask) -> list:
    return ask.state.budget.order_counts()


ROUTES: list[web.RouteDef] = [
    endpoint(method, path, Security.SIGNED, call)
    for method, path, call in (
        ("GET", "account", account),
        ("GET", "account/commission", commission),
        ("GET", "order", query_order),
        ("GET", "order/amendments", amendments),
        ("GET", "openOrders", open_orders),
        ("GET", "allOrders", all_orders),
        ("GET", "myPreventedMatches", prevented_matches),
        ("GET", "myTrades", my_trades),
        ("GET", "rateLimit/order", order_counts),
    )
]
ROUTES += [
    endpoint(method, path, Security.SIGNED, call, WALLET)
    for method, path, call in (
        ("GET", "account/apiRestrictions", api_restrictions),
        ("GET", "asset/tradeFee", trade_fees),
        ("GET", "bnbBurn", bnb_burn),
        ("POST", "bnbBurn", switch_bnb_burn),
    )
]
