"""Upbit's request budget: groups of endpoints, each so many a second, and the pauses it asked for.

Limits: docs.upbit.com, "Rate limits" (as of August 2026). A request holds its place in the group from the moment it is
sent until one window after its answer: the venue handled it somewhere in between, so however it cuts its seconds, no
stretch of one window at the venue sees more than the limit of us. No clock of the venue is needed for that.
"""

import re
from collections import deque
from dataclasses import dataclass, field

from exchanges.limits.priority import Priority, ceiling

SECOND_MS = 1_000

BLOCK_S = 10.0
"""Pause after a 418 that names none: the venue blocks "for a time" it does not document; asked again after this."""

GROUP_LIMITS: dict[str, tuple[int, int]] = {
    "market": (10, SECOND_MS),
    "candle": (10, SECOND_MS),
    "trade": (10, SECOND_MS),
    "ticker": (10, SECOND_MS),
    "orderbook": (10, SECOND_MS),
    "default": (30, SECOND_MS),
    "order": (12, SECOND_MS),
    "order-test": (8, SECOND_MS),
    "order-cancel-all": (1, 2 * SECOND_MS),
    "websocket-connect": (5, SECOND_MS),
}
"""Group → (requests, window in ms)."""

_REMAINING = re.compile(r"\bgroup=([a-z0-9-]{1,40})\b.*\bsec=(\d{1,6})\b")
"""``group=default; min=1800; sec=29``: ``min`` is a dead field."""


def remaining(headers: dict[str, str]) -> tuple[str, int] | None:
    """Group and requests left in this second, as ``Remaining-Req`` says; None when it says nothing readable."""
    for name, value in headers.items():
        if name.lower() == "remaining-req" and (found := _REMAINING.search(value)):
            return found[1], int(found[2])
    return None


@dataclass(slots=True)
class Group:
    """One group: at most ``limit`` places, each held from sending until ``window_ms`` after the answer."""

    limit: int
    window_ms: int
    _flying: int = 0
    _over: deque[int] = field(default_factory=deque)
    """When each place of an answered request is free again, oldest first."""
    _foreign: int = 0
    """Places the venue counts that are not ours (another program behind the same address)."""
    _foreign_until: int = 0

    def used(self, now_ms: int) -> int:
        while self._over and self._over[0] <= now_ms:
            self._over.popleft()
        if now_ms >= self._foreign_until:
            self._foreign = 0
        return self._flying + len(self._over) + self._foreign

    def wait_ms(self, now_ms: int, priority: Priority) -> int:
        """0 when there is a place, else the time until one may be free."""
        if self.used(now_ms) < ceiling(self.limit, priority):
            return 0
        frees = [t for t in (*list(self._over)[:1], self._foreign_until if self._foreign else 0) if t > now_ms]
        return max(1, min(frees) - now_ms) if frees else self.window_ms

    def send(self, now_ms: int) -> None:
        self._flying += 1

    def answered(self, now_ms: int) -> None:
        self._flying = max(0, self._flying - 1)
        self._over.append(now_ms + self.window_ms)

    def state(self, now_ms: int, left: int) -> None:
        """The venue said that ``left`` requests are left: what it counts beyond ours is somebody else's."""
        ours = self._flying + len(self._over)
        foreign = self.limit - left - ours
        if foreign > 0:
            self._foreign, self._foreign_until = foreign, now_ms + self.window_ms


def _groups() -> dict[str, Group]:
    return {name: Group(*row) for name, row in GROUP_LIMITS.items()}


@dataclass(slots=True)
class GroupLedger:
    """All groups of one venue, and the pauses it asked for. One per IP; now one per process.

    ``now_ms`` may be any clock that runs on. A group the venue does not name counts as ``default``.
    """

    groups: dict[str, Group] = field(default_factory=_groups)
    refusals: int = 0
    """How often the venue turned us away for rate (429, 418)."""
    _paused: dict[str, int] = field(default_factory=dict)
    """Group → until when; ``""`` is all of them."""

    def wait_ms(self, now_ms: int, group: str, priority: Priority) -> int:
        """How long this request must wait: 0 = send it now and say so with ``send``. A pause holds every priority."""
        until = max(self._paused.get("", 0), self._paused.get(group, 0))
        return until - now_ms if now_ms < until else self._group(group).wait_ms(now_ms, priority)

    def send(self, now_ms: int, group: str) -> None:
        self._group(group).send(now_ms)

    def answered(self, now_ms: int, group: str, *, counted: bool = True) -> None:
        """The request is over, well or badly. ``counted`` = it was answered, and not only given up."""
        self._group(group).answered(now_ms)

    def heard(self, now_ms: int, headers: dict[str, str]) -> bool:
        """Take what ``Remaining-Req`` says; True when it said something. Call it before ``answered``."""
        said = remaining(headers)
        if said is None or said[0] not in self.groups:
            return False
        self.groups[said[0]].state(now_ms, said[1])
        return True

    def turned_away(self, now_ms: int, status: int, retry_after_s: float | None, group: str = "") -> float:
        """Obey a 429 (this group) or a 418 (everything); returns the pause in seconds."""
        self.refusals += 1
        held = "" if status == 418 else group
        if retry_after_s is None:
            retry_after_s = BLOCK_S if status == 418 else self._group(group).window_ms / 1_000
        self._paused[held] = max(self._paused.get(held, 0), now_ms + round(retry_after_s * 1_000))
        return retry_after_s

    def _group(self, name: str) -> Group:
        return self.groups.get(name, self.groups["default"])
