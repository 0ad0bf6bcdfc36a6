"""Request weight and order counts, on the simulated clock, refused as Binance refuses them.

Weights from binance-spot-api-docs, rest-api.md (state of July 2026): successful orders and cancels cost nothing, and a
fill gives its order count back (faqs/order_count_decrement.md).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from exchanges.simulated.refusals import VenueRefusal

MINUTE = 60_000
TEN_SECONDS = 10_000
DAY = 86_400_000
RAW_INTERVAL = 5 * MINUTE
CONNECT_INTERVAL = 5 * MINUTE
FIRST_BAN = 2 * MINUTE
LONGEST_BAN = 3 * DAY
"""Bans grow from two minutes to three days (rest-api.md, "IP Limits"); here each is twice the last."""
STREAMS_INSTEAD = "Please use WebSocket Streams for live updates to avoid polling the API."

WEIGHTS: dict[tuple[str, str], int] = {
    ("GET", "exchangeInfo"): 20,
    ("GET", "klines"): 2,
    ("GET", "depth"): 5,
    ("GET", "trades"): 25,
    ("GET", "historicalTrades"): 25,
    ("GET", "aggTrades"): 4,
    ("GET", "ticker/bookTicker"): 2,
    ("GET", "ticker/price"): 2,
    ("GET", "ticker/24hr"): 2,
    ("GET", "avgPrice"): 2,
    ("GET", "account"): 20,
    ("GET", "account/commission"): 20,
    ("GET", "order"): 4,
    ("GET", "order/amendments"): 4,
    ("PUT", "order/amend/keepPriority"): 4,
    ("GET", "orderList"): 4,
    ("GET", "openOrderList"): 6,
    ("GET", "allOrderList"): 20,
    ("GET", "openOrders"): 6,
    ("GET", "myPreventedMatches"): 20,
    ("GET", "executionRules"): 2,
    ("GET", "referencePrice"): 2,
    ("GET", "referencePrice/calculation"): 2,
    ("GET", "myTrades"): 20,
    ("GET", "allOrders"): 20,
    ("GET", "rateLimit/order"): 40,
}
"""What is not listed costs 1."""

COUNTS_ORDERS = {("POST", "order"), ("POST", "order/cancelReplace"), ("POST", "orderList/oco")}
"""Calls whose answers say how many orders count."""
FREE_WHEN_DONE = COUNTS_ORDERS | {("DELETE", "order"), ("DELETE", "openOrders"), ("DELETE", "orderList")}


def depth_weight(limit: int) -> int:
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250


@dataclass(frozen=True, slots=True)
class Allowance:
    """Limits of the venue, as exchangeInfo states them."""

    weight: int = 6_000
    """A minute, for the address."""
    raw_requests: int = 300_000
    """In five minutes, for the address."""
    patience: int = 10
    """Requests that may follow a 429 before its time is over (they may have been under way) until a ban."""
    orders_10s: int = 100
    orders_day: int = 200_000
    connects: int = 300
    """WebSocket handshakes in five minutes, for the address. How an excess is refused the venue does not say: here with
    429 and the time until the five minutes are over."""


class _Counter:
    """A count that starts again with each interval of the clock."""

    def __init__(self, interval_ms: int) -> None:
        self.interval_ms = interval_ms
        self._window = -1
        self._count = 0

    def count(self, now_ms: int) -> int:
        if now_ms // self.interval_ms != self._window:
            self._window, self._count = now_ms // self.interval_ms, 0
        return self._count

    def add(self, now_ms: int, amount: int) -> None:
        self._count = max(0, self.count(now_ms) + amount)

    def end_of_interval(self, now_ms: int) -> int:
        return now_ms - now_ms % self.interval_ms + self.interval_ms


class Budget:
    """Counts what a client uses. ``speed`` turns simulated seconds into those the client has to wait."""

    def __init__(self, now_ms: Callable[[], int], speed: float = 1.0, allowance: Allowance | None = None) -> None:
        self.allowance = allowance or Allowance()
        self._now = now_ms
        self._speed = speed
        self._weight = _Counter(MINUTE)
        self._raw = _Counter(RAW_INTERVAL)
        self._orders = {"10S": _Counter(TEN_SECONDS), "1D": _Counter(DAY)}
        self._connects = _Counter(CONNECT_INTERVAL)
        self._warned_until = 0
        """End of the interval for which the client was asked to stay away."""
        self._ignored = 0
        self._banned_until = 0
        self._bans = 0

    def spend(self, weight: int) -> None:
        """Count one request of this weight; VenueRefusal -1003 when there was too much (429), or for too long (418)."""
        now, allowed = self._now(), self.allowance
        if now < self._banned_until:
            raise self._banned(now)
        self._raw.add(now, 1)
        self._weight.add(now, weight)
        if self._weight.count(now) > allowed.weight:
            used = f"request weight used; current limit is {allowed.weight} request weight per 1 MINUTE"
            self._turn_away(now, self._weight, f"Too much {used}. {STREAMS_INSTEAD}")
        if self._raw.count(now) > allowed.raw_requests:
            sent = f"requests; current limit is {allowed.raw_requests} requests per 5 MINUTE"
            self._turn_away(now, self._raw, f"Too many {sent}. {STREAMS_INSTEAD}")

    def _turn_away(self, now: int, counter: _Counter, text: str) -> NoReturn:
        """429, or a ban for a client that was told to stay away and went on."""
        if now >= self._warned_until:
            self._warned_until, self._ignored = counter.end_of_interval(now), 0
        else:
            self._ignored += 1
        if self._ignored > self.allowance.patience:
            self._banned_until = now + min(FIRST_BAN << self._bans, LONGEST_BAN)
            self._bans += 1
            self._warned_until = 0
            raise self._banned(now)
        raise VenueRefusal(-1003, text, status=429, retry_after_s=self._wait(counter))

    def _banned(self, now: int) -> VenueRefusal:
        text = (
            f"Way too much request weight used; IP banned until {self._banned_until}. "
            "Please use WebSocket Streams for live updates to avoid bans."
        )
        return VenueRefusal(-1003, text, status=418, retry_after_s=self._seconds(self._banned_until - now))

    def connect(self) -> None:
        """Count one WebSocket handshake; VenueRefusal -1003 when there were too many (429), or while banned (418)."""
        now = self._now()
        if now < self._banned_until:
            raise self._banned(now)
        if self._connects.count(now) >= self.allowance.connects:
            text = f"Too many connections; current limit is {self.allowance.connects} connections per 5 MINUTE."
            raise VenueRefusal(-1003, text, status=429, retry_after_s=self._wait(self._connects))
        self._connects.add(now, 1)

    def refund(self, weight: int) -> None:
        self._weight.add(self._now(), -weight)

    def count_order(self, number: int = 1) -> None:
        """Count ``number`` new orders, also one that is then refused; VenueRefusal -1015 (429) when there were too many unfilled
        ones."""
        now = self._now()
        limits = {"10S": (self.allowance.orders_10s, "10 SECOND"), "1D": (self.allowance.orders_day, "1 DAY")}
        for name, counter in self._orders.items():
            limit, period = limits[name]
            if counter.count(now) + number > limit:
                text = f"Too many new orders; current limit is {limit} orders per {period}."
                raise VenueRefusal(-1015, text, status=429, retry_after_s=self._wait(counter))
        for counter in self._orders.values():
            counter.add(now, number)

    def order_filled(self) -> None:
        """A fill gives the order's count back."""
        for counter in self._orders.values():
            counter.add(self._now(), -1)

    def headers(self, ordered: bool = False) -> dict[str, str]:
        now = self._now()
        used = str(self._weight.count(now))
        headers = {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
        if ordered:
            headers |= {f"X-MBX-ORDER-COUNT-{name}": str(c.count(now)) for name, c in self._orders.items()}
        return headers

    def weight_used(self) -> dict:
        """The minute's weight as the WebSocket API adds it to its answers."""
        return self.stated()[0] | {"count": self._weight.count(self._now())}

    def pause(self, refusal: VenueRefusal) -> dict:
        """How the WebSocket API says how long to stay away."""
        now = self._now()
        until = now + int((refusal.retry_after_s or 0) * 1_000 * self._speed)
        return {"serverTime": now, "retryAfter": until}

    def order_counts(self) -> list[dict]:
        now = self._now()
        rows = self.stated()[1:3]
        return [r | {"count": c.count(now)} for r, c in zip(rows, self._orders.values(), strict=True)]

    def stated(self) -> list[dict]:
        """rateLimits of exchangeInfo."""

        def row(kind: str, interval: str, number: int, limit: int) -> dict:
            return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}

        return [
            row("REQUEST_WEIGHT", "MINUTE", 1, self.allowance.weight),
            row("ORDERS", "SECOND", 10, self.allowance.orders_10s),
            row("ORDERS", "DAY", 1, self.allowance.orders_day),
            row("RAW_REQUESTS", "MINUTE", 5, self.allowance.raw_requests),
        ]

    def _wait(self, counter: _Counter) -> int:
        now = self._now()
        return self._seconds(counter.end_of_interval(now) - now)

    def _seconds(self, ms: int) -> int:
        """What a client is to wait for ``ms`` to pass here, in its own seconds, rounded up."""
        return max(1, math.ceil(ms / 1_000 / self._speed))
