"""Account and order calls of the simulated Upbit. Every one needs a token."""

from datetime import UTC, datetime
from decimal import Decimal

from aiohttp import web

from core.units import DAY_MS
from exchanges.simulated.upbit.desk import MAX_TOTAL_KRW
from exchanges.simulated.upbit.errors import lacks, no_such_market, validation_error
from exchanges.simulated.upbit.market import min_total
from exchanges.simulated.upbit.payloads import created, exact
from exchanges.simulated.upbit.rest import Ask, endpoint
from exchanges.simulated.upbit.sheets import Sheet, accepted_row, order_row, trade_row
from exchanges.simulated.upbit.wanted import SIDES

BID_TYPES = ["best_fok", "best_ioc", "limit", "limit_fok", "limit_ioc", "price"]
ASK_TYPES = ["best_fok", "best_ioc", "limit", "limit_fok", "limit_ioc", "market"]
OPEN_STATES, CLOSED_STATES = ("wait", "watch"), ("done", "cancel")
MOST_OPEN, MOST_CLOSED, MOST_NAMED, MOST_CANCELLED = 100, 1_000, 100, 300
KEY_LIFE_MS = 365 * DAY_MS


def _account_row(ask: Ask, asset: str) -> dict:
    account, averages = ask.state.exchange.account, ask.state.averages
    return {
        "currency": asset,
        "balance": exact(account.free(asset)),
        "locked": exact(account.locked(asset)),
        "avg_buy_price": exact(averages.price(asset)),
        "avg_buy_price_modified": False,
        "unit_currency": averages.quote(asset),
    }


async def accounts(ask: Ask) -> list:
    account = ask.state.exchange.account
    held = [a for a in account.assets() if account.free(a) or account.locked(a)]
    return [_account_row(ask, asset) for asset in sorted(held, key=lambda a: (a != "KRW", a))]


async def chance(ask: Ask) -> dict:
    exchange, code = ask.state.exchange, ask.text("market")
    if not code:
        raise lacks("market")
    if code not in ask.state.codes:
        raise no_such_market()
    row = ask.state.codes[code]
    rule = exchange.rules[row]
    base, quote = rule.instrument.base, rule.instrument.quote
    least = exact(min_total(exchange, row))
    return {
        "bid_fee": exact(rule.taker_fee),
        "ask_fee": exact(rule.taker_fee),
        "maker_bid_fee": exact(rule.maker_fee),
        "maker_ask_fee": exact(rule.maker_fee),
        "market": {
            "id": code,
            "name": f"{base}/{quote}",
            "order_types": [],
            "order_sides": ["ask", "bid"],
            "bid_types": BID_TYPES,
            "ask_types": ASK_TYPES,
            "bid": {"currency": quote, "min_total": least},
            "ask": {"currency": base, "min_total": least},
            "max_total": exact(MAX_TOTAL_KRW),
            "state": "active" if exchange.trading(row) else "inactive",
        },
        "bid_account": _account_row(ask, quote),
        "ask_account": _account_row(ask, base),
    }


async def new_order(ask: Ask) -> dict:
    desk = ask.state.desk
    wanted = desk.read(ask.params)
    desk.check(wanted)
    sheet = desk.place(wanted)
    answer = accepted_row(sheet)
    await ask.state.traded(sheet.order)
    return answer


async def test_order(ask: Ask) -> dict:
    desk = ask.state.desk
    wanted = desk.read(ask.params, test=True)
    desk.check(wanted)
    return accepted_row(desk.draft(wanted))


async def cancel_and_new(ask: Ask) -> dict:
    desk = ask.state.desk
    uuid, identifier = ask.text("prev_order_uuid"), ask.text("prev_order_identifier")
    if not uuid and not identifier:
        raise lacks("prev_order_uuid")
    sheet = desk.find(uuid, identifier)
    before = order_row(sheet)
    try:
        made = desk.replace(sheet, ask.params)
    finally:
        # Also when the new one was refused after the old one had gone.
        await ask.state.traded(sheet.order)
    answer = before | {"new_order_uuid": made.uuid}
    return answer | ({"new_order_identifier": made.identifier} if made.identifier else {})


def _named(ask: Ask) -> Sheet:
    uuid, identifier = ask.text("uuid"), ask.text("identifier")
    if not uuid and not identifier:
        raise lacks("uuid")
    return ask.state.desk.find(uuid, identifier)


async def query_order(ask: Ask) -> dict:
    sheet = _named(ask)
    return order_row(sheet) | {"trades": [trade_row(sheet, trade) for trade in sheet.order.trades]}


async def cancel_order(ask: Ask) -> dict:
    """The answer shows the order as it was: a cancel is accepted, what became of it is asked later."""
    sheet = _named(ask)
    before = order_row(sheet)
    ask.state.desk.cancel(sheet)
    await ask.state.traded(sheet.order)
    return before


def _states(ask: Ask, known: tuple[str, ...]) -> tuple[str, ...]:
    asked = tuple(ask.many("states") or ask.many("state")) or known
    if any(state not in known for state in asked):
        raise validation_error("state does not have a valid value")
    return asked


def _in_order(ask: Ask, sheets: list[Sheet]) -> list[Sheet]:
    """Newest first unless ``order_by`` is asc; ``sheets`` come oldest first."""
    return sheets if ask.text("order_by") == "asc" else sheets[::-1]


def _of_market(ask: Ask, sheets: list[Sheet]) -> list[Sheet]:
    code = ask.text("market")
    if code and code not in ask.state.codes:
        raise no_such_market()
    return [sheet for sheet in sheets if not code or sheet.code == code]


async def open_orders(ask: Ask) -> list:
    states = _states(ask, OPEN_STATES) if ask.text("state") or ask.lists.get("states") else ("wait",)
    found = [s for s in _of_market(ask, ask.state.desk.all()) if s.state in states]
    limit, page = ask.whole("limit", MOST_OPEN, MOST_OPEN), ask.whole("page", 1, 10_000)
    return [order_row(s) for s in _in_order(ask, found)[(page - 1) * limit : page * limit]]


def _when(ask: Ask, name: str) -> int | None:
    text = ask.text(name)
    if not text:
        return None
    if text.isdecimal():
        return int(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise validation_error(f"{name} does not have a valid value") from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


async def closed_orders(ask: Ask) -> list:
    """Orders of at most seven days: back from ``end_time``, or on from ``start_time``."""
    states, start, end = _states(ask, CLOSED_STATES), _when(ask, "start_time"), _when(ask, "end_time")
    now = ask.state.exchange.now_ms
    if end is None:
        end = now + DAY_MS if start is None else start + 7 * DAY_MS
    if start is None:
        start = end - 7 * DAY_MS
    found = [
        s for s in _of_market(ask, ask.state.desk.all()) if s.state in states and start <= s.order.created_ms <= end
    ]
    return [order_row(s) for s in _in_order(ask, found)[: ask.whole("limit", 100, MOST_CLOSED)]]


def _by_name(ask: Ask, most: int) -> list[Sheet]:
    uuids, identifiers = ask.many("uuids"), ask.many("identifiers")
    if bool(uuids) == bool(identifiers):
        raise lacks("uuids")
    if len(uuids) + len(identifiers) > most:
        raise validation_error(f"at most {most} orders can be named")
    named = set(uuids or identifiers)
    return [s for s in ask.state.desk.all() if (s.uuid if uuids else s.identifier) in named]


async def orders_by_name(ask: Ask) -> list:
    return [order_row(s) for s in _in_order(ask, _of_market(ask, _by_name(ask, MOST_NAMED)))]


async def _cancel_all(ask: Ask, sheets: list[Sheet], failed: list[Sheet]) -> dict:
    for sheet in sheets:
        ask.state.desk.cancel(sheet)
    if sheets:
        await ask.state.traded(sheets[-1].order)

    def listed(of: list[Sheet]) -> dict:
        rows = [{"uuid": s.uuid, "market": s.code} | ({"identifier": s.identifier} if s.identifier else {}) for s in of]
        return {"count": len(of), "orders": rows}

    return {"success": listed(sheets), "failed": listed(failed)}


async def cancel_open_orders(ask: Ask) -> dict:
    """Cancel by filter: ``cancel_side``, ``pairs`` or ``quote_currencies``, less ``excluded_pairs``; at most ``count``."""
    side = ask.text("cancel_side") or "all"
    if side != "all" and side not in SIDES:
        raise validation_error("cancel_side does not have a valid value")
    pairs, quotes, excluded = ask.many("pairs"), ask.many("quote_currencies"), ask.many("excluded_pairs")
    found = [
        s
        for s in ask.state.desk.all()
        if s.state == "wait"
        and (side == "all" or s.order.side is SIDES[side])
        and (not pairs or s.code in pairs)
        and (not quotes or s.order.instrument.quote in quotes)
        and s.code not in excluded
    ]
    return await _cancel_all(ask, _in_order(ask, found)[: ask.whole("count", 20, MOST_CANCELLED)], [])


async def cancel_by_name(ask: Ask) -> dict:
    named = _by_name(ask, 20)
    return await _cancel_all(ask, [s for s in named if s.state == "wait"], [s for s in named if s.state != "wait"])


async def api_keys(ask: Ask) -> list:
    expires = ask.state.exchange.start_ms + KEY_LIFE_MS
    return [{"access_key": key, "expire_at": created(expires)} for key in ask.state.keyring.names()]


async def withdraw_chance(ask: Ask) -> dict:
    """Only a key that may withdraw gets an answer: this is how a program learns that its key should not be used."""
    asset = ask.text("currency")
    if not asset:
        raise lacks("currency")
    return {
        "member_level": {"security_level": 3, "fee_level": 0, "wallet_locked": False},
        "currency": {"code": asset, "withdraw_fee": "0", "is_coin": asset != "KRW", "wallet_state": "working"},
        "account": _account_row(ask, asset),
        "withdraw_limit": {"currency": asset, "can_withdraw": True, "fixed": 8, "minimum": exact(Decimal("0.001"))},
    }


ROUTES: list[web.RouteDef] = [
    endpoint("GET", "accounts", "default", accounts),
    endpoint("GET", "orders/chance", "default", chance),
    endpoint("POST", "orders", "order", new_order, "trade", 201),
    endpoint("POST", "orders/test", "order-test", test_order, "trade", 201),
    endpoint("POST", "orders/cancel_and_new", "order", cancel_and_new, "trade", 201),
    endpoint("GET", "order", "default", query_order),
    endpoint("DELETE", "order", "default", cancel_order, "trade"),
    endpoint("GET", "orders/open", "default", open_orders),
    endpoint("DELETE", "orders/open", "order-cancel-all", cancel_open_orders, "trade"),
    endpoint("GET", "orders/closed", "default", closed_orders),
    endpoint("GET", "orders/uuids", "default", orders_by_name),
    endpoint("DELETE", "orders/uuids", "default", cancel_by_name, "trade"),
    endpoint("GET", "api_keys", "default", api_keys),
    endpoint("GET", "withdraws/chance", "default", withdraw_chance, "withdraw"),
]
