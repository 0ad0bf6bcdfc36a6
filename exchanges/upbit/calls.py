"""The REST endpoints the gateway uses: group of the request budget, urgency, and whether a failure leaves things open.

Groups: docs.upbit.com, "Rate Limits" (state of August 2026). A cancel counts in the default group, not with orders.
"""

from dataclasses import dataclass, replace

from exchanges.limits import Priority


@dataclass(frozen=True, slots=True)
class Call:
    """One REST endpoint."""

    method: str
    path: str
    where: str
    """What it is called in messages."""
    group: str
    priority: Priority
    placing: bool = False
    """It changes something: a failure without an answer is an unknown outcome."""
    signed: bool = True
    patience_ms: int = 2_000
    """How long it may stand in line for the request budget."""


def _public(path: str, where: str, group: str, priority: Priority, patience_ms: int = 5_000) -> Call:
    return Call("GET", path, where, group, priority, signed=False, patience_ms=patience_ms)


MARKETS = _public("/v1/market/all", "markets", "market", Priority.MARKET)
TICKS = _public("/v1/orderbook/instruments", "tick sizes", "orderbook", Priority.MARKET)
BOOKS = _public("/v1/orderbook", "best bid and ask", "orderbook", Priority.EXIT, 1_000)
TICKER = _public("/v1/ticker", "ticker", "ticker", Priority.MARKET)
CANDLES = _public("/v1/candles/minutes/1", "minute candles", "candle", Priority.HISTORY, 70_000)
CONFIRM = replace(CANDLES, priority=Priority.ACCOUNT, patience_ms=5_000)
"""A minute that has just closed is waited for; history can wait."""
ACCOUNTS = Call("GET", "/v1/accounts", "accounts", "default", Priority.ACCOUNT)
CHANCE = Call("GET", "/v1/orders/chance", "order terms", "default", Priority.ACCOUNT)
KEYS = Call("GET", "/v1/api_keys", "key list", "default", Priority.ACCOUNT)
WITHDRAWALS = Call("GET", "/v1/withdraws/chance", "withdrawal terms", "default", Priority.ACCOUNT)
TEST = Call("POST", "/v1/orders/test", "test order", "order-test", Priority.ACCOUNT)
"""Placed nowhere: it only asks whether the key may."""
ENTER = Call("POST", "/v1/orders", "new order", "order", Priority.ORDER, placing=True, patience_ms=5_000)
"""Orders come many at once, and twelve go in a second: who stands behind forty others must not give up."""
LEAVE = replace(ENTER, priority=Priority.EXIT)
CANCEL = Call("DELETE", "/v1/order", "cancel", "default", Priority.CANCEL, placing=True)
QUERY = Call("GET", "/v1/order", "query order", "default", Priority.EXIT)
OPEN_ORDERS = Call("GET", "/v1/orders/open", "open orders", "default", Priority.ACCOUNT)
