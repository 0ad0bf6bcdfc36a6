"""The line before a venue's limits: who waits, what is on its way, what is spent, and the pauses the venue asked for.

One value for all processes of a machine (an address is a machine). Strictly by urgency, then by coming: nobody passes
one who is more urgent and waits for a counter both need. Pure: every call says what time it is, in milliseconds of one
clock of this machine (*base* time); ``ahead_ms`` leads from it to the venue's.
"""

from collections.abc import Mapping

import msgspec

from exchanges.limits.counters import Fixed, Sliding
from exchanges.limits.priority import Priority

VERSION = 1
STALE_WAITER_MS = 2_000
"""A waiter asks again far sooner; who did not for so long is gone (killed, or stuck) and holds nobody up."""
PROBE_APART_MS = 300
"""Between two requests that only ask how much is used."""
MOST_TICKETS = 400
FLYING_MS = 12_000
"""A request on its way is taken for answered after this, when whoever sent it does not say so (killed)."""
DEAD_MS = 2_000
"""The same, from when its process is found dead: what it had sent is at the venue by then."""
LONGEST_GUESS_MS = 60_000
"""Pause after a 429 that names none, where the counter's window is longer: a few attempts a window do no harm."""
BAN_S = 120.0
"""Shortest ban Binance names (2 min to 3 days); used for a 418 without Retry-After."""
FIREWALL_S = 10.0
"""Pause after a 403 of a venue's firewall, which names no time: going on is held against the address too, and one of its
rules may have hit by mistake."""
LONGEST_BAN_S = 3 * 86_400.0
"""Longest ban Binance names; what asks for more is asked again then, for a number gone wrong must not stop us for ever."""
UNKNOWN_SLACK_MS = 2_000.0
"""How far the venue's clock may be from ours while nobody asked it."""

CLOCK_NOISE_MS = 20.0
"""Added to what a reading of the venue's clock leaves open: both clocks' drift until the next one."""


class Ticket(msgspec.Struct, array_like=True):
    """One request in the line (``sent_ms`` 0), or on its way."""

    number: int
    owner: int
    """Process id."""
    priority: int
    costs: dict[str, int]
    seen_ms: int
    """When its owner last asked (waiting)."""
    sent_ms: int = 0
    marks: dict[str, int] = msgspec.field(default_factory=dict)
    """Counter → ``Fixed.finished`` when it was sent."""
    probe: bool = False
    life_ms: int = FLYING_MS
    """How long after the sending it may still be on its way."""


class Wait(msgspec.Struct, frozen=True):
    """Not yet. ``ms``: certainly not sooner than this; ``why`` in words; ``ask``: somebody should ask the venue."""

    ms: float
    why: str
    ask: bool = False


class Line(msgspec.Struct):
    """State of one venue's limits. ``counters`` are named; a request's ``costs`` name what it needs of which."""

    venue: str
    counters: dict[str, Fixed | Sliding]
    version: int = VERSION
    tickets: list[Ticket] = msgspec.field(default_factory=list)
    paused: dict[str, int] = msgspec.field(default_factory=dict)
    """Counter → base time until which nothing may be sent that needs it; ``""``: nothing at all."""
    refusals: int = 0
    """How often the venue turned us away for rate (429, 418)."""
    last: int = 0
    ahead_ms: float = 0.0
    """Venue's clock minus base time."""
    slack_ms: float = UNKNOWN_SLACK_MS
    """How far off ``ahead_ms`` may be."""
    heard_ms: int = 0
    """Base time of the venue's last word about what is used."""
    probed_ms: int = 0

    # --- standing in line -------------------------------------------------------------------------------------

    def enter(
        self,
        now_ms: int,
        owner: int,
        priority: Priority,
        costs: Mapping[str, int],
        *,
        probe: bool = False,
        life_ms: int = FLYING_MS,
    ) -> int:
        """Join the line; gives the ticket's number. ``probe``: a cheap request that also asks what is used."""
        self._sweep(now_ms)
        self.last += 1
        known = {name if name in self.counters else "default": amount for name, amount in costs.items()}
        self.tickets.append(Ticket(self.last, owner, priority, known, now_ms, probe=probe, life_ms=life_ms))
        return self.last

    def full(self) -> bool:
        return len(self.tickets) >= MOST_TICKETS

    def admit(self, now_ms: int, number: int) -> Wait | None:
        """None: it is this ticket's turn, and it counts as sent from now on. Else why not, and for how long."""
        self._sweep(now_ms)
        mine = self.ticket(number)
        if mine is None:
            return Wait(0.0, "the ticket is gone")
        mine.seen_ms = now_ms
        held = self._held(now_ms, mine)
        if held is not None:
            return held
        for other in self.tickets:
            if other.sent_ms or other is mine or (other.priority, other.number) > (mine.priority, mine.number):
                continue
            if self._stands_before(now_ms, other, mine):
                return Wait(float("inf"), "somebody more urgent waits")
        mine.sent_ms = now_ms
        mine.marks = {name: c.finished for name in mine.costs if isinstance(c := self.counters[name], Fixed)}
        if mine.probe:
            self.probed_ms = now_ms
        return None

    def died(self, now_ms: int, owner: int) -> None:
        """This process is gone: what it sent is over soon, what it waited for is nobody's any more."""
        self.tickets = [t for t in self.tickets if t.owner != owner or t.sent_ms]
        for ticket in self.tickets:
            if ticket.owner == owner:
                ticket.life_ms = min(ticket.life_ms, now_ms - ticket.sent_ms + DEAD_MS)

    def leave(self, number: int) -> None:
        """Give up waiting."""
        self.tickets = [t for t in self.tickets if t.number != number or t.sent_ms]

    def _stands_before(self, now_ms: int, other: Ticket, mine: Ticket) -> bool:
        """``other`` is more urgent: it goes first, unless it is held up by something this ticket has no need of."""
        if not (other.costs.keys() & mine.costs.keys()):
            return False
        if (mine.probe or other.probe) and self.unknown(now_ms, mine.costs):
            # A probe asks for what the others wait to know.
            return False
        needs_more = other.costs.keys() - mine.costs.keys()
        return not any(self._counter_wait(now_ms, other, name) or self._pause(now_ms, name) for name in needs_more)

    def _held(self, now_ms: int, mine: Ticket) -> Wait | None:
        """What keeps this ticket back, others in the line aside."""
        pause = max([self._pause(now_ms, ""), *(self._pause(now_ms, name) for name in mine.costs)])
        if pause > 0:
            return Wait(pause, "the venue asked for a pause")
        if mine.probe and now_ms - self.probed_ms < PROBE_APART_MS and self.unknown(now_ms, mine.costs):
            return Wait(PROBE_APART_MS - (now_ms - self.probed_ms), "it was asked a moment ago")
        waits = [(self._counter_wait(now_ms, mine, name), name) for name in mine.costs]
        wait, name = max(waits, default=(0.0, ""))
        if not wait:
            return None
        if self.unknown(now_ms, mine.costs):
            return Wait(float("inf"), "how much is used is not known yet", ask=True)
        return Wait(wait, f"the budget of {name} is spent")

    def _counter_wait(self, now_ms: int, mine: Ticket, name: str) -> float:
        counter, amount, flying = self.counters[name], mine.costs[name], self.flying(name)
        priority = Priority(mine.priority)
        if isinstance(counter, Sliding):
            return counter.wait_ms(now_ms, amount, flying, priority)
        low, high = self.venue_span(now_ms)
        if mine.probe and not counter.known(low, high):
            return 0.0
        return counter.wait_ms(low, high, amount, flying, priority)

    # --- what came back ---------------------------------------------------------------------------------------

    def finish(
        self, now_ms: int, number: int, stated: Mapping[str, int], *, answered: bool = True, over: str = ""
    ) -> None:
        """A request is over, well or badly. ``stated``: counter → the venue's own word (used of a ``Fixed``, left of
        a ``Sliding``); ``answered``: the venue said something; ``over``: the counter it called full."""
        done = self.ticket(number)
        if done is None or not done.sent_ms:
            return
        self.tickets.remove(done)
        self._settle(now_ms, done, stated, over)
        first = self.counters[next(iter(self.counters))]
        if done.probe and answered and isinstance(first, Fixed) and self.unknown(now_ms, done.costs):
            # Asked, and it does not say (or said it between two windows): from here on our own count must do.
            first.recorded_from = first.windows(*self.venue_span(now_ms))[-1]

    def _settle(self, now_ms: int, done: Ticket, stated: Mapping[str, int], over: str) -> None:
        low, high = self.venue_span(done.sent_ms)[0], self.venue_span(now_ms)[1]
        for name, amount in done.costs.items():
            counter = self.counters[name]
            if isinstance(counter, Sliding):
                counter.finish(now_ms, amount, self.flying(name), stated.get(name))
            else:
                counter.finish(low, high, amount, done.marks.get(name, 0), stated.get(name), name == over)
        if stated:
            self.heard_ms = now_ms

    def turned_away(self, now_ms: int, status: int, retry_after_s: float | None, name: str = "") -> float:
        """Obey a 429, a 418 or a firewall's 403; gives the pause in seconds. ``name``: the counter it is about; ``""``: everything.

        A pause holds every priority: going on sending into a 429 is what turns it into a ban.
        """
        self.refusals += 1
        if retry_after_s is None:
            counter = self.counters.get(name) or next(iter(self.counters.values()))
            low, _ = self.venue_span(now_ms)
            turn = counter.window_ms - (low % counter.window_ms if isinstance(counter, Fixed) else 0)
            if isinstance(counter, Sliding):
                turn = min(turn, LONGEST_GUESS_MS)
            retry_after_s = {418: BAN_S, 403: FIREWALL_S}.get(status, turn / 1_000)
        retry_after_s = min(max(0.0, retry_after_s), LONGEST_BAN_S)
        self.paused[name] = max(self.paused.get(name, 0), now_ms + round(retry_after_s * 1_000))
        return retry_after_s

    def clock_read(self, before_ms: int, now_ms: int, venue_ms: int) -> None:
        """The venue told its time, somewhere between the two moments."""
        ahead = venue_ms - (before_ms + now_ms) / 2
        slack = (now_ms - before_ms) / 2 + CLOCK_NOISE_MS
        jumped = abs(ahead - self.ahead_ms) > UNKNOWN_SLACK_MS
        self.ahead_ms, self.slack_ms = ahead, slack
        if jumped:
            # Windows were cut elsewhere: what was noted under their numbers says nothing about today's.
            for counter in self.counters.values():
                if isinstance(counter, Fixed):
                    counter.spent.clear()
            self.forget(now_ms)

    def learn(self, limits: Mapping[str, int]) -> None:
        """The venue states its limits."""
        for name, limit in limits.items():
            if name in self.counters and limit > 0:
                self.counters[name].limit = limit

    def forget(self, now_ms: int) -> None:
        """Start, or after damage: what is used will be asked, not assumed."""
        for counter in self.counters.values():
            counter.forget(now_ms if isinstance(counter, Sliding) else self.venue_span(now_ms)[1])

    # --- looking ----------------------------------------------------------------------------------------------

    def ticket(self, number: int) -> Ticket | None:
        return next((t for t in self.tickets if t.number == number), None)

    def flying(self, name: str) -> int:
        """Sent and not answered yet."""
        return sum(t.costs.get(name, 0) for t in self.tickets if t.sent_ms)

    def used(self, now_ms: int, name: str) -> int:
        counter = self.counters[name]
        return self.flying(name) + (
            counter.used(now_ms) if isinstance(counter, Sliding) else counter.used(*self.venue_span(now_ms))
        )

    def unknown(self, now_ms: int, costs: Mapping[str, int]) -> bool:
        """The first counter, which a cheap request asks for, is needed and not known."""
        first = next(iter(self.counters))
        counter = self.counters[first]
        return first in costs and isinstance(counter, Fixed) and not counter.known(*self.venue_span(now_ms))

    def _pause(self, now_ms: int, name: str) -> int:
        return max(0, self.paused.get(name, 0) - now_ms)

    def venue_span(self, now_ms: int) -> tuple[float, float]:
        """The venue's time at a moment, as a span that it lies in."""
        at = now_ms + self.ahead_ms
        return at - self.slack_ms, at + self.slack_ms

    def _sweep(self, now_ms: int) -> None:
        """Let go of what dead processes left: waiters that ask no more, requests nobody will report."""
        gone = [t for t in self.tickets if t.sent_ms and now_ms - t.sent_ms > t.life_ms]
        self.tickets = [
            t for t in self.tickets if t not in gone and (t.sent_ms or now_ms - t.seen_ms < STALE_WAITER_MS)
        ]
        for ticket in gone:
            self._settle(now_ms, ticket, {}, "")
