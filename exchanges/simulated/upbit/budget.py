"""How often one may ask: groups of calls, each with so many a second, ``Remaining-Req``, and a block for who goes on.

Source: docs.upbit.com, "Rate limits" (v1.6.4, October 2026). Counted in seconds of the client's clock, not of the
simulated one: however fast simulated time runs, a client has its so many a second. The venue says that it answers 418
with a block time to whoever goes on after a 429, and that the time grows; how soon and how long it does not say:
``Allowance`` has this simulator's numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from exchanges.simulated.upbit.errors import blocked, too_many_requests

GROUPS: Mapping[str, tuple[int, float]] = {
    "market": (10, 1.0),
    "candle": (10, 1.0),
    "trade": (10, 1.0),
    "ticker": (10, 1.0),
    "orderbook": (10, 1.0),
    "default": (30, 1.0),
    "order": (12, 1.0),
    "order-test": (8, 1.0),
    "order-cancel-all": (1, 2.0),
    "websocket-connect": (5, 1.0),
    "origin": (1, 10.0),
}
"""Group: (requests, seconds)."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Limits of the venue. ``groups`` that are not named keep those of ``GROUPS``."""

    groups: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    patience: int = 10
    """Requests refused with 429 within ``patience_s`` until the address is blocked."""
    patience_s: float = 10.0
    block_s: float = 30.0
    """The first block; each further one is twice as long."""
    messages_a_second: int = 5
    messages_a_minute: int = 100
    """From one WebSocket connection."""
    private_connections: int = 5
    """Open at once. The venue only says that very many may be refused."""
    idle_s: float = 120.0
    """A WebSocket on which nothing went either way is cut after this."""


class GroupBudget:
    """Counts what a client uses, by group. ``now_s`` is any monotonic clock in seconds."""

    def __init__(self, now_s: Callable[[], float], allowance: Allowance | None = None) -> None:
        self.allowance = allowance or Allowance()
        self._limits = {**GROUPS, **self.allowance.groups}
        self._now = now_s
        self._used: dict[str, tuple[int, int]] = {}
        """Group: (number of the window, requests in it)."""
        self._refused: list[float] = []
        self._blocked_until = 0.0
        self._blocks = 0

    def spend(self, group: str) -> None:
        """Count one request; UpbitRefusal 429 over the group's limit, 418 while the address is blocked."""
        now = self._now()
        if now < self._blocked_until:
            raise blocked(max(1, round(self._blocked_until - now + 0.5)))
        limit = self._limits[group][0]
        window, used = self._window(group, now)
        if used < limit:
            self._used[group] = (window, used + 1)
            return
        self._refused = [*(t for t in self._refused if now - t < self.allowance.patience_s), now]
        if len(self._refused) > self.allowance.patience:
            seconds = self.allowance.block_s * 2**self._blocks
            self._blocks += 1
            self._blocked_until, self._refused = now + seconds, []
            raise blocked(round(seconds))
        raise too_many_requests()

    def _window(self, group: str, now: float) -> tuple[int, int]:
        window = int(now / self._limits[group][1])
        held, used = self._used.get(group, (window, 0))
        return window, used if held == window else 0

    def left(self, group: str) -> int:
        return max(0, self._limits[group][0] - self._window(group, self._now())[1])

    def headers(self, group: str) -> dict[str, str]:
        """``min`` is a dead field: the venue sends a constant."""
        limit, span = self._limits[group]
        return {"Remaining-Req": f"group={group}; min={round(limit * 60 / span)}; sec={self.left(group)}"}
