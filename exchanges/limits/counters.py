"""Two ways venues count: in fixed windows of their own clock (Binance), or so many a second (Upbit).

Both hold an upper bound of what the venue counts of us: a request counts from before it is sent, and where it is not
known in which window the venue counted it, it counts in each it may have fallen into. Times are milliseconds; what
``Fixed`` is given is the venue's time, as a span that the true one lies in. Pure: no IO, no clock.
"""

import msgspec

from exchanges.limits.priority import Priority, ceiling

KEPT_WINDOWS = 3


class Fixed(msgspec.Struct, tag="fixed"):
    """At most ``limit`` in each window of ``window_ms`` of the venue's clock, begun at whole multiples of it."""

    limit: int
    window_ms: int
    assumed: float
    """Share taken for spent by others while nobody knows (after a start, until the venue has said)."""
    recorded_from: int = -1
    """First window whose every request of ours stands here, or that the venue has stated; before it we only assume."""
    spent: dict[int, int] = msgspec.field(default_factory=dict)
    """Window → upper bound of what the venue counted of answered requests."""
    finished: int = 0
    """Amount of all requests ever answered; tells what was answered while another one was on its way."""

    def windows(self, low_ms: float, high_ms: float) -> range:
        """Windows of the venue that times between the two can fall into; only the last few of them."""
        last = int(high_ms // self.window_ms)
        return range(max(int(low_ms // self.window_ms), last - KEPT_WINDOWS + 1), last + 1)

    def known(self, low_ms: float, high_ms: float) -> bool:
        return self.windows(low_ms, high_ms)[-1] >= self.recorded_from >= 0

    def used(self, low_ms: float, high_ms: float) -> int:
        """The most that may be spent of any window the moment can lie in, without requests on their way."""
        return max(self._used(window) for window in self.windows(low_ms, high_ms))

    def _used(self, window: int) -> int:
        base = 0 if window >= self.recorded_from >= 0 else int(self.limit * self.assumed)
        return min(base + self.spent.get(window, 0), max(self.limit, self.spent.get(window, 0)))

    def wait_ms(self, low_ms: float, high_ms: float, amount: int, flying: int, priority: Priority) -> float:
        """0 when ``amount`` fits now; ``inf`` when it fits as soon as something on its way is answered; else the time
        until the windows that are full are certainly over."""
        room = ceiling(self.limit, priority) - amount
        full = [w for w in self.windows(low_ms, high_ms) if self._used(w) > room]
        if full:
            return (full[-1] + 1) * self.window_ms - low_ms
        return 0.0 if self.used(low_ms, high_ms) + flying <= room else float("inf")

    def finish(
        self, sent_low: float, now_high: float, amount: int, mark: int, stated: int | None, over: bool = False
    ) -> None:
        """A request of ``amount`` is over. ``mark``: ``finished`` when it was sent; ``stated``: the venue's own sum
        when it handled the request; ``over``: the venue said that the window is full."""
        windows = self.windows(sent_low, now_high)
        for window in windows:
            self.spent[window] = self.spent.get(window, 0) + amount
        if stated is not None and len(windows) == 1:
            self._take(windows[0], max(0, stated), self.finished - mark)
        if over:
            self.spent[windows[-1]] = max(self.spent[windows[-1]], self.limit)
        self.finished += amount
        for old in [w for w in self.spent if w <= windows[-1] - KEPT_WINDOWS]:
            del self.spent[old]

    def _take(self, window: int, stated: int, since: int) -> None:
        """What the venue stated, plus what may have come ``since``, bounds the window from above. It is less than ours
        where something cost less than we thought (a successful order), more where others spend from this address."""
        bound = stated + since
        if window < self.recorded_from or self.recorded_from < 0:
            self.recorded_from, self.spent[window] = window, bound
        else:
            self.spent[window] = bound if stated > self.spent[window] else min(self.spent[window], bound)

    def forget(self, high_ms: float) -> None:
        """Nothing of what stands here is sure any more (a start, a damaged file): assume until told."""
        self.recorded_from = int(high_ms // self.window_ms) + 1


class Sliding(msgspec.Struct, tag="sliding"):
    """At most ``limit`` places, each held from before the sending until ``window_ms`` after the answer.

    The venue handled the request somewhere in between, so however it cuts its seconds, no stretch of one window there
    sees more than ``limit`` of ours. The venue's clock is not needed; times are our own.
    """

    limit: int
    window_ms: int
    over: list[int] = msgspec.field(default_factory=list)
    """When each place of an answered request is free again, oldest first."""
    foreign: int = 0
    """Places the venue counts that are not ours (another program behind the same address)."""
    foreign_until: int = 0
    assumed: float = 0.5
    """Share taken for spent by others in the window before a start."""

    def used(self, now_ms: int) -> int:
        """Places held, without requests on their way."""
        if self.over and self.over[0] <= now_ms:
            self.over = [t for t in self.over if t > now_ms]
        return len(self.over) + (self.foreign if now_ms < self.foreign_until else 0)

    def wait_ms(self, now_ms: int, amount: int, flying: int, priority: Priority) -> float:
        """As ``Fixed.wait_ms``: the time until the place that is free first is free."""
        room = ceiling(self.limit, priority) - amount
        if self.used(now_ms) + flying <= room:
            return 0.0
        if self.used(now_ms) <= room:
            return float("inf")
        frees = self.over[:1] + ([self.foreign_until] if now_ms < self.foreign_until else [])
        return max(1, min(frees) - now_ms)

    def finish(self, now_ms: int, amount: int, flying: int, left: int | None) -> None:
        """A request is over; ``left``: the venue said so many are left; ``flying``: ours still on their way."""
        self.over += [now_ms + self.window_ms] * amount
        if left is not None and (foreign := self.limit - left - len(self.over) - flying) > 0:
            self.foreign, self.foreign_until = foreign, now_ms + self.window_ms

    def forget(self, now_ms: int) -> None:
        """Others may have spent their share a moment ago: assume so for one window."""
        self.foreign, self.foreign_until = int(self.limit * self.assumed), now_ms + self.window_ms
