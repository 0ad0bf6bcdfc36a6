"""What each venue limits, and how its answers say what is used.

Binance: binance-spot-api-docs, rest-api.md "LIMITS" and faqs/order_count_decrement.md (2026-07); 6,000 weight a minute
and 100 orders in 10 s until exchangeInfo says otherwise. RAW_REQUESTS (300,000 in 5 min) can not be reached under the
weight limit and is not counted. WebSocket connects: web-socket-streams.md and web-socket-api.md both say 300 in 5 min an
address, and not whether one together, so they are counted as one. Upbit: docs.upbit.com, "Rate limits" (August 2026).
"""

import re
from collections.abc import Mapping

from core.units import MINUTE_MS
from exchanges.limits.counters import Fixed, Sliding
from exchanges.limits.line import Line

SECOND_MS = 1_000
DAY_MS = 86_400_000

WEIGHT, ORDERS, ORDERS_DAY = "weight", "orders", "orders-day"
CONNECTS = "websocket-connect"
"""At both venues: no header tells how many are used, and each attempt counts."""

_BINANCE_HEADERS = {
    "x-mbx-used-weight-1m": WEIGHT,
    "x-mbx-order-count-10s": ORDERS,
    "x-mbx-order-count-1d": ORDERS_DAY,
}

UPBIT_GROUPS: dict[str, tuple[int, int]] = {
    "default": (30, SECOND_MS),
    "market": (10, SECOND_MS),
    "candle": (10, SECOND_MS),
    "trade": (10, SECOND_MS),
    "ticker": (10, SECOND_MS),
    "orderbook": (10, SECOND_MS),
    "order": (12, SECOND_MS),
    "order-test": (8, SECOND_MS),
    "order-cancel-all": (1, 2 * SECOND_MS),
    CONNECTS: (5, SECOND_MS),
}
"""Group → (requests, window in ms). A group the venue does not name counts as ``default``."""

_REMAINING = re.compile(r"\bgroup=([a-z0-9-]{1,40})\b.*\bsec=(\d{1,6})\b")
"""``group=default; min=1800; sec=29``: ``min`` is a dead field."""


def binance_line() -> Line:
    return Line(
        "binance",
        {
            # Until it was asked, no more than cancels and exits go: they need not wait for knowledge.
            WEIGHT: Fixed(6_000, MINUTE_MS, assumed=0.85),
            ORDERS: Fixed(100, 10 * SECOND_MS, assumed=0.5),
            ORDERS_DAY: Fixed(200_000, DAY_MS, assumed=0.5),
            # Nothing assumed: our own stand here from earlier runs too, and a quarter is left for others in any case.
            CONNECTS: Sliding(300, 5 * MINUTE_MS, assumed=0.0),
        },
    )


def upbit_line() -> Line:
    return Line("upbit", {name: Sliding(*row) for name, row in UPBIT_GROUPS.items()})


LINES = {"binance": binance_line, "upbit": upbit_line}


def binance_costs(weight: int, *, orders: int = 0) -> dict[str, int]:
    """What one request takes."""
    return {WEIGHT: weight, ORDERS: orders, ORDERS_DAY: orders} if orders else {WEIGHT: weight}


def stated(headers: Mapping[str, str]) -> dict[str, int]:
    """Counter → the venue's own word, of either venue: used (Binance), left (Upbit). Unreadable words say nothing."""
    found: dict[str, int] = {}
    for name, value in headers.items():
        lower = name.lower()
        if lower in _BINANCE_HEADERS and value.isdecimal() and len(value) < 10:
            found[_BINANCE_HEADERS[lower]] = int(value)
        elif lower == "remaining-req" and (said := _REMAINING.search(value)):
            found[said[1]] = int(said[2])
    return found


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to stay away; None where it names none that can be read (a date, an endless number)."""
    said = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return float(said) if said.isascii() and said.isdecimal() and len(said) < 8 else None
