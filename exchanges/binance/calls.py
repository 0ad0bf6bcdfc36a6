"""The REST endpoints the gateway uses: weight, urgency, and whether a failure leaves the outcome open.

Weights: binance-spot-api-docs, rest-api.md, 2026-07 (a successful order or cancel is given back as 0).
"""

from dataclasses import dataclass, replace

from exchanges.limits import Priority


@dataclass(frozen=True, slots=True)
class Call:
    """One REST endpoint: ccxt's implicit method, its documented weight, and how urgent it is."""

    method: str
    where: str
    weight: int
    priority: Priority
    placing: bool = False
    """It changes something: a failure without an answer is an unknown outcome."""
    orders: int = 0
    """How many it may place."""
    signed: bool = True
    patience_ms: int = 1_000
    """How long it may stand in line for the request budget."""


TIME = Call("publicGetTime", "server time", 1, Priority.EXIT, signed=False)
RULES = Call("publicGetExchangeInfo", "exchange info", 20, Priority.MARKET, signed=False, patience_ms=5_000)
DEPTH = Call("publicGetDepth", "order book", 50, Priority.MARKET, signed=False, patience_ms=70_000)
"""With a limit of 1,000 levels; 5,000 would cost 250."""
BOOK = Call("publicGetDepth", "best levels", 5, Priority.ORDER, signed=False)
"""With a limit of 100 levels at most; an order about to be sent waits for it."""
TOPS = Call("publicGetTickerBookTicker", "best bid and ask", 4, Priority.EXIT, signed=False)
KLINES = Call("publicGetKlines", "klines", 2, Priority.HISTORY, signed=False, patience_ms=70_000)
ACCOUNT = Call("privateGetAccount", "account", 20, Priority.ACCOUNT)
RESTRICTIONS = Call("sapiGetAccountApiRestrictions", "key restrictions", 1, Priority.ACCOUNT)
ENTER = Call("privatePostOrder", "new order", 1, Priority.ORDER, placing=True, orders=1)
LEAVE = replace(ENTER, priority=Priority.EXIT)
PAIR = Call("privatePostOrderListOco", "new order list", 1, Priority.EXIT, placing=True, orders=2)
CANCEL = Call("privateDeleteOrder", "cancel", 1, Priority.CANCEL, placing=True)
QUERY = Call("privateGetOrder", "query order", 4, Priority.EXIT)
OPEN_ORDERS = Call("privateGetOpenOrders", "open orders", 80, Priority.ACCOUNT)
TRADES = Call("privateGetMyTrades", "my trades", 5, Priority.EXIT)
