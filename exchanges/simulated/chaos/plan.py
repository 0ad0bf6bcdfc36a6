"""When which fault happens: a pure plan, from chance with a seed or from an explicit schedule.

The same generator and the same sequence of requests and frames give the same faults; nothing here knows a socket or a
clock. Requests, frames and connections draw from generators of their own, so that one does not disturb the others.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from core.errors import ConfigError
from core.units import MINUTE_MS
from exchanges.simulated.chaos.kinds import FRAMES, KINDS, LINK, LINKS, REST, Kind

KEPT = 200
"""Faults remembered one by one."""
LINK_SHARE = 0.02
"""Of ``rate``, for a connection at each look at it: there are many looks, and one cut is felt for long."""
CLOCK_EVERY_MS, HALT_EVERY_MS, QUIET_EVERY_MS = 10 * MINUTE_MS, 4 * 60 * MINUTE_MS, 20 * MINUTE_MS
"""How far apart the market's and the clock's faults lie on average, at a rate of 1/20."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that shall happen now. ``size`` in the unit of its kind; ``dice`` 0..1 for further choices."""

    kind: str
    size: float = 0.0
    dice: float = 0.0


@dataclass(slots=True, kw_only=True)
class Planned:
    """One fault of an explicit schedule: at the ``nth`` request or frame called ``where``, or the first at ``at_ms``.

    Without ``where``: the first thing the kind may strike. ``times`` in a row. ``size`` None: the middle of the kind's.
    """

    kind: str
    where: str = ""
    nth: int | None = None
    """Counted from 1."""
    at_ms: int | None = None
    times: int = 1
    size: float | None = None

    def fault(self) -> Fault:
        kind = KINDS[self.kind]
        return Fault(self.kind, (kind.low + kind.high) / 2 if self.size is None else self.size, 0.5)


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault that was acted on."""

    kind: str
    where: str
    number: int
    """The how-manieth request or frame of that name."""
    at_ms: int


@dataclass(slots=True)
class _Place:
    """One generator, and the chance of each kind by what it may strike."""

    rng: np.random.Generator
    kinds: tuple[Kind, ...]
    share: float = 1.0
    table: dict[str, tuple[tuple[Kind, ...], np.ndarray]] = field(default_factory=dict)


class Chaos:
    """The plan. ``rate``: chance that a request or a frame which can go wrong does; ``rates`` instead of it by kind.

    ``only``: the kinds that chance may choose (all). ``schedule``: faults that happen for certain. ``pace``: real
    seconds that a second of a fault takes (a test shortens waits with it). ``venue`` leaves out what it does not have.
    ``sizes``: other bounds of a kind's size than its own.
    Raises ConfigError for names and numbers that cannot be.
    """

    def __init__(
        self,
        rng: np.random.Generator | None = None,
        rate: float = 0.05,
        rates: Mapping[str, float] | None = None,
        only: Sequence[str] = (),
        schedule: Sequence[Planned] = (),
        pace: float = 1.0,
        venue: str = "binance",
        seed: int | None = None,
        sizes: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self._sizes = {name: (kind.low, kind.high) for name, kind in KINDS.items()} | dict(sizes or {})
        named = [*(rates or {}), *(sizes or {}), *only, *(planned.kind for planned in schedule)]
        if unknown := [name for name in named if name not in KINDS]:
            raise ConfigError(f"chaos: there is no fault {unknown[0]!r}; known are {', '.join(KINDS)}")
        if not all(0 <= r <= 1 for r in (rate, *(rates or {}).values())) or pace <= 0:
            raise ConfigError("chaos: rates are chances from 0 to 1, and pace is above 0")
        self.rng = rng
        self.seed, self.rate, self.pace, self.venue = seed, rate if rng is not None else 0.0, pace, venue
        self.rates = dict(rates or {})
        self.only = tuple(only) or tuple(KINDS)
        self._schedule = list(schedule)
        self._fired: Counter[int] = Counter()
        requests, frames, links, world = (rng or np.random.default_rng(0)).spawn(4)
        self._places = {
            "request": _Place(requests, REST),
            "frame": _Place(frames, FRAMES),
            "link": _Place(links, LINKS, LINK_SHARE),
        }
        self._world = world
        self._seen: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.log: deque[Happened] = deque(maxlen=KEPT)
        self._clock: list[tuple[int, float]] = []
        self._start_ms: int | None = None

    @classmethod
    def seeded(cls, seed: int, **how) -> "Chaos":
        """A plan by chance; equal seeds, equal plans."""
        return cls(np.random.default_rng(seed), seed=seed, **how)

    # --- what happens to a request, a frame, a connection -------------------------------------------------------

    def request(self, where: str, now_ms: int) -> Fault | None:
        """What shall go wrong with the next request called ``where``."""
        return self._next("request", where, now_ms)

    def frame(self, where: str, now_ms: int) -> Fault | None:
        return self._next("frame", where, now_ms)

    def link(self, now_ms: int) -> Fault | None:
        """Whether a connection ends now."""
        return self._next("link", LINK, now_ms)

    def life_ms(self) -> float | None:
        """How long a new connection may live; None without ``end-day``."""
        kind = KINDS["end-day"]
        sizes = [p.size for p in self._schedule if p.kind == kind.name and p.size is not None]
        if sizes:
            return sizes[0]
        if not self._allowed(kind):
            return None
        return float(self._places["link"].rng.uniform(kind.low, kind.high))

    def happened(self, kind: str, where: str, now_ms: int) -> None:
        """Note a fault that was acted on."""
        self.done[kind] += 1
        self.log.append(Happened(kind, where, self._seen[where], now_ms))

    def describe(self) -> dict:
        """GET /sim/chaos: what was planned by which chance, and what was done."""
        return {
            "seed": self.seed,
            "rate": self.rate,
            "rates": self.rates,
            "only": list(self.only),
            "scheduled": len(self._schedule),
            "looked_at": dict(self._seen),
            "done": dict(self.done),
            "last": [
                {"kind": h.kind, "where": h.where, "number": h.number, "at_ms": h.at_ms} for h in list(self.log)[-20:]
            ],
        }

    # --- the clock and the market -------------------------------------------------------------------------------

    def clock_offset_ms(self, now_ms: int) -> int:
        """How far the venue's clock is off at ``now_ms`` of the true one."""
        offset = sum(p.fault().size for p in self._schedule if p.kind == "clock" and now_ms >= (p.at_ms or 0))
        if offset or not self._allowed(KINDS["clock"]):
            return int(offset)
        if self._start_ms is None:
            self._start_ms = now_ms
        kind = KINDS["clock"]
        while not self._clock or self._clock[-1][0] <= now_ms:
            last = self._clock[-1][0] if self._clock else self._start_ms
            gap = self._world.exponential(CLOCK_EVERY_MS * 0.05 / self._chance("clock"))
            self._clock.append((last + max(1, int(gap)), float(self._world.uniform(kind.low, kind.high))))
        past = [size for at_ms, size in self._clock if at_ms <= now_ms]
        return int(past[-1]) if past else 0

    def windows(self, name: str, rows: int, start_ms: int, end_ms: int) -> list[tuple[int, int, int]]:
        """(row, first minute, end) of the halts or quiet minutes of a market, drawn once."""
        kind = KINDS[name]
        found = []
        for planned in self._schedule:
            if planned.kind == name and planned.at_ms is not None:
                first = planned.at_ms // MINUTE_MS * MINUTE_MS
                row = int(planned.where or 0)
                found.append((row, first, first + int(planned.fault().size) * MINUTE_MS))
        if self._allowed(kind):
            every = {"halt": HALT_EVERY_MS, "quiet": QUIET_EVERY_MS}[name] * 0.05 / self._chance(name)
            for row in range(rows):
                at = start_ms + self._world.exponential(every)
                while at < end_ms:
                    first = int(at) // MINUTE_MS * MINUTE_MS
                    length = int(self._world.uniform(kind.low, kind.high)) * MINUTE_MS
                    found.append((row, first, first + max(MINUTE_MS, length)))
                    at += length + self._world.exponential(every)
        return found

    # --- inside -------------------------------------------------------------------------------------------------

    def _chance(self, name: str) -> float:
        return self.rates.get(name, self.rate)

    def _allowed(self, kind: Kind) -> bool:
        """Chance may choose it here."""
        if self.rng is None or self.venue not in kind.venues or kind.name not in self.only:
            return False
        return (kind.name in self.rates or not self.rates) and self._chance(kind.name) > 0

    def _next(self, place: str, where: str, now_ms: int) -> Fault | None:
        self._seen[where] += 1
        planned = self._due(self._places[place], where, now_ms)
        if planned is not None:
            return planned
        return self._drawn(self._places[place], where)

    def _due(self, place: _Place, where: str, now_ms: int) -> Fault | None:
        names = {kind.name for kind in place.kinds}
        for index, planned in enumerate(self._schedule):
            if planned.kind not in names or self._fired[index] >= planned.times:
                continue
            if where != (planned.where or where) or where not in KINDS[planned.kind].strikes:
                continue
            early = planned.nth is not None and self._seen[where] < planned.nth
            if early or (planned.at_ms is not None and now_ms < planned.at_ms):
                continue
            if planned.kind == "end-day":
                continue
            self._fired[index] += 1
            return planned.fault()
        return None

    def _drawn(self, place: _Place, where: str) -> Fault | None:
        if self.rng is None:
            return None
        if where not in place.table:
            place.table[where] = self._table(place, where)
        kinds, edges = place.table[where]
        # Always the same number of draws, so that what is possible at one place does not shift the chances of others.
        dice, size, more = place.rng.random(3).tolist()
        index = int(np.searchsorted(edges, dice, side="right"))
        if index >= len(kinds):
            return None
        kind = kinds[index]
        low, high = self._sizes[kind.name]
        return Fault(kind.name, low + (high - low) * size, more)

    def _table(self, place: _Place, where: str) -> tuple[tuple[Kind, ...], np.ndarray]:
        kinds = tuple(k for k in place.kinds if where in k.strikes and self._allowed(k) and k.name != "end-day")
        if self.rates:
            chances = np.array([self.rates[k.name] for k in kinds])
        else:
            weights = np.array([k.weight for k in kinds])
            chances = self.rate * place.share * weights / weights.sum() if kinds else weights
        return kinds, np.cumsum(chances)
