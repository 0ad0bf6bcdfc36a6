"""A venue's request budget: what may be sent now, and what must wait so that exits never do.

Binance counts weight per IP in fixed minutes of its own clock and states the sum on every answer; it counts unfilled
orders per account in fixed 10 s. Both are a ``Budget``. The clock comes in by argument: milliseconds of the venue's
time, which must run on (a replay's frozen market clock would never end a penalty).
"""

from dataclasses import dataclass, field
from enum import IntEnum

from core.units import MINUTE_MS

BAN_S = 120.0
"""Shortest ban the venue names (2 min to 3 days); used for a 418 without Retry-After."""


class Priority(IntEnum):
    """Who goes first when the budget is short."""

    CANCEL = 0
    EXIT = 1
    ORDER = 2
    ACCOUNT = 3
    MARKET = 4
    HISTORY = 5


CEILING = {
    Priority.CANCEL: 1.00,
    Priority.EXIT: 0.95,
    Priority.ORDER: 0.85,
    Priority.ACCOUNT: 0.75,
    Priority.MARKET: 0.65,
    Priority.HISTORY: 0.50,
}
"""Share of the budget up to which each may spend; what lies above is kept for the more urgent."""


@dataclass(slots=True)
class Budget:
    """One counter of the venue: at most ``limit`` in each window of ``window_ms`` of its clock."""

    limit: int
    window_ms: int
    _stated: int = 0
    """What the venue last said, plus what was answered since without a statement."""
    _flying: int = 0
    """Sent and not answered yet."""
    _window: int = -1

    def used(self, now_ms: int) -> int:
        """Spent in the window of ``now_ms``, requests in flight included."""
        self._turn(now_ms)
        return self._stated + self._flying

    def wait_ms(self, now_ms: int, amount: int, priority: Priority) -> int:
        """0 when ``amount`` fits under this priority's ceiling, else the time until the window turns."""
        if self.used(now_ms) + amount <= self.limit * CEILING[priority]:
            return 0
        return self.window_ms - now_ms % self.window_ms

    def send(self, now_ms: int, amount: int) -> None:
        self._turn(now_ms)
        self._flying += amount

    def answered(self, now_ms: int, amount: int, *, counted: bool) -> None:
        """A request of ``amount`` is over; ``counted`` says that the venue stated the sum itself."""
        self._turn(now_ms)
        self._flying = max(0, self._flying - amount)
        if not counted:
            self._stated += amount

    def state(self, now_ms: int, used: int) -> None:
        """The venue said how much is used: it is right, and others may spend from the same IP."""
        self._turn(now_ms)
        self._stated = max(0, used)

    def _turn(self, now_ms: int) -> None:
        window = now_ms // self.window_ms
        if window != self._window:
            self._window, self._stated = window, 0


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
