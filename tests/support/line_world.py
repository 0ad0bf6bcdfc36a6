"""A venue and several processes around one line of limits, in made-up time: every event in its order, by hand."""

import heapq
from dataclasses import dataclass, field

from exchanges.limits.counters import Fixed, Sliding
from exchanges.limits.line import Line
from exchanges.limits.priority import Priority

EPOCH = 1_772_000_000_000


@dataclass(frozen=True)
class Ask:
    """One request: who wants it when, what it costs, how long it takes, and whether its process dies on the way."""

    at: int
    owner: int
    priority: Priority
    cost: int
    there: int
    back: int
    dies: bool = False
    states: bool = True
    free: bool = False
    """Costs nothing after all (a successful order)."""


@dataclass
class Venue:
    """Counts what arrives, as the venue does: fixed windows of its clock, or any stretch of one window."""

    limit: int
    window_ms: int
    fixed: bool
    seen: list[tuple[int, int]] = field(default_factory=list)
    worst: int = 0

    def handle(self, now: int, cost: int, free: bool) -> int:
        """Count it; gives what is used now."""
        self.worst = max(self.worst, self.used(now) + cost)
        self.seen.append((now, 0 if free else cost))
        return self.used(now)

    def used(self, now: int) -> int:
        if self.fixed:
            return sum(cost for t, cost in self.seen if t // self.window_ms == now // self.window_ms)
        return sum(cost for t, cost in self.seen if now - self.window_ms < t <= now)


@dataclass
class World:
    """Runs ``asks`` through ``line`` against ``venue``, whose clock is ``ahead`` of ours. Waiters ask each 25 ms."""

    line: Line
    venue: Venue
    counter: str
    ahead: int = 0
    poll: int = 25
    passed: list[str] = field(default_factory=list)
    """Admissions that passed a more urgent waiter: must stay empty."""
    admitted: list[Ask] = field(default_factory=list)

    def run(self, asks: list[Ask], until: int) -> None:
        events: list[tuple[int, int, str, object]] = []
        order = iter(range(1_000_000))

        def later(at: int, kind: str, what: object) -> None:
            heapq.heappush(events, (at, next(order), kind, what))

        for ask in asks:
            later(ask.at, "enter", ask)
        while events:
            now, _, kind, what = heapq.heappop(events)
            if now > until:
                return
            if kind == "enter":
                number = self.line.enter(now, what.owner, what.priority, {self.counter: what.cost})
                later(now, "try", (number, what))
            elif kind == "try":
                number, ask = what
                wait = self.line.admit(now, number)
                if wait is None:
                    self._admitted(now, number, ask)
                    later(now + ask.there, "arrive", (number, ask))
                elif self.line.ticket(number) is not None:
                    later(now + self.poll, "try", what)
            elif kind == "arrive":
                number, ask = what
                used = self.venue.handle(now + self.ahead, ask.cost, ask.free)
                if not ask.dies:
                    later(now + ask.back, "back", (number, ask, used))
            else:
                number, ask, used = what
                word = used if self.venue.fixed else max(0, self.venue.limit - used)
                self.line.finish(now, number, {self.counter: word} if ask.states else {})

    def _admitted(self, now: int, number: int, ask: Ask) -> None:
        self.admitted.append(ask)
        for other in self.line.tickets:
            if not other.sent_ms and other.priority < ask.priority:
                self.passed.append(f"{now}: {ask.priority.name} passed a waiting {Priority(other.priority).name}")


def fixed_world(limit: int = 20, window_ms: int = 1_000, ahead: int = 0, slack: float = 0.0) -> World:
    """One counter in fixed windows, known from the start, the venue's clock known within ``slack``."""
    line = Line("binance", {"weight": Fixed(limit, window_ms, assumed=0.85, recorded_from=0)})
    line.ahead_ms, line.slack_ms = float(ahead), slack
    return World(line, Venue(limit, window_ms, fixed=True), "weight", ahead)


def sliding_world(limit: int = 10, window_ms: int = 1_000) -> World:
    line = Line("upbit", {"default": Sliding(limit, window_ms)})
    return World(line, Venue(limit, window_ms, fixed=False), "default")
