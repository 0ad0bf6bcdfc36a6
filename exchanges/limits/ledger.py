"""A venue's request budget: what may be sent now, and what must wait so that exits never do.

Binance counts weight per IP in fixed minutes of its own clock and states the sum on every answer; it counts unfilled
orders per account in fixed 10 s. Both are a ``Budget``. The clock comes in by argument: milliseconds of the venue's
time, which must run on (a replay's frozen market clock would never end a penalty).
"""

from dataclasses import dataclass, field

from core.units import MINUTE_MS
from exchanges.limits.budget import Budget
from exchanges.limits.priority import Priority

BAN_S = 120.0
"""Shortest ban the venue names (2 min to 3 days); used for a 418 without Retry-After."""


def _minute_weight() -> Budget:
    return Budget(6_000, MINUTE_MS)


def _ten_second_orders() -> Budget:
    return Budget(100, 10_000)


@dataclass(slots=True)
class Ledger:
    """Weight and orders of one venue, and the pauses it asked for. One per IP; now one per process."""

    weight: Budget = field(default_factory=_minute_weight)
    orders: Budget = field(default_factory=_ten_second_orders)
    paused_until_ms: int = 0
    refusals: int = 0
    """How often the venue turned us away for rate (429, 418)."""

    def wait_ms(self, now_ms: int, weight: int, priority: Priority, *, order: bool = False) -> int:
        """How long this request must wait: 0 = send it now and say so with ``send``.

        A pause holds every priority: going on sending into a 429 is what turns it into a ban.
        """
        if now_ms < self.paused_until_ms:
            return self.paused_until_ms - now_ms
        wait = self.weight.wait_ms(now_ms, weight, priority)
        return max(wait, self.orders.wait_ms(now_ms, 1, priority)) if order else wait

    def send(self, now_ms: int, weight: int, *, order: bool = False) -> None:
        self.weight.send(now_ms, weight)
        if order:
            self.orders.send(now_ms, 1)

    def answered(self, now_ms: int, weight: int, *, order: bool = False, counted: bool = True) -> None:
        """The request is over, well or badly. ``counted`` = its answer carried the venue's own sum of weight."""
        self.weight.answered(now_ms, weight, counted=counted)
        if order:
            self.orders.answered(now_ms, 1, counted=counted)

    def heard(self, now_ms: int, headers: dict[str, str]) -> bool:
        """Take the sums from an answer's headers; True when it stated the weight."""
        stated = False
        for name, value in headers.items():
            lower = name.lower()
            if lower == "x-mbx-used-weight-1m" and value.isdecimal():
                self.weight.state(now_ms, int(value))
                stated = True
            elif lower == "x-mbx-order-count-10s" and value.isdecimal():
                self.orders.state(now_ms, int(value))
        return stated

    def turned_away(self, now_ms: int, status: int, retry_after_s: float | None) -> float:
        """Obey a 429 or 418; returns the pause in seconds."""
        self.refusals += 1
        if retry_after_s is None:
            retry_after_s = BAN_S if status == 418 else (MINUTE_MS - now_ms % MINUTE_MS) / 1_000
        self.paused_until_ms = max(self.paused_until_ms, now_ms + round(retry_after_s * 1_000))
        return retry_after_s
