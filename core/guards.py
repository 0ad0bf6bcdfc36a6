"""Guards: after losses there is no buying for a while. One rule for live risk and the engine.

Each looks at closed round trips (``core.round_trips``) and sets a time until which nothing is bought: in one instrument
(after any exit; after trips that did not pay) or anywhere (after losses in a row; after several stop-outs). A guard
never forbids a sale, and ends by itself: it is a pause, not a halt.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from core.errors import DataError
from core.lean import inlined, shared
from core.messages import ClosedTrip, FloatArray
from core.params import RiskSettings
from core.round_trips import TRIP
from core.sizing import Limit
from core.units import MINUTE_MS, Instrument

RECENT = 16
"""Closed trips an instrument, and stop-outs of the account, that are looked back on at most."""
COOLED, LOCKED, NEXT = range(3)
LOSSES, PAUSED, STOPS_NEXT, GUARDED = range(4)
TIMES = 4
"""First column of the ring of times."""

_COOLDOWN, _LOSSES_LIMIT = int(Limit.COOLDOWN), int(Limit.CONSECUTIVE_LOSSES)
_STOP_GUARD, _LOW_PROFIT = int(Limit.STOP_GUARD), int(Limit.LOW_PROFIT)


class Guards(NamedTuple):
    """What the guards remember of S instruments; changed in place."""

    floats: FloatArray
    """(S, 4 + RECENT): the open trip (``core.round_trips``), then a ring of results in per cent."""
    ints: np.ndarray
    """(S + 1, 4 + RECENT) int64. An instrument: epoch ms until which it cools down, until which it is locked for low
    profit, where its ring goes on, unused, then the ring of closing times (0 = none). The last row is the account:
    losses in a row, until when it pauses, where its ring goes on, until when the stop guard holds, stop-out times."""


class GuardRules(NamedTuple):
    """``RiskSettings``, as far as the guards need them; 0 switches one off."""

    cooldown_ms: int
    losses: int
    losses_pause_ms: int
    stops: int
    stops_within_ms: int
    stops_pause_ms: int
    low_trips: int
    low_pct: float
    low_within_ms: int
    low_pause_ms: int


def guard_rules(limits: RiskSettings) -> GuardRules:
    return GuardRules(
        limits.cooldown_minutes * MINUTE_MS,
        limits.max_consecutive_losses,
        limits.consecutive_losses_pause_minutes * MINUTE_MS,
        limits.max_stop_outs,
        limits.stop_outs_within_minutes * MINUTE_MS,
        limits.stop_outs_pause_minutes * MINUTE_MS,
        limits.low_profit_trips,
        float(limits.low_profit_pct),
        limits.low_profit_within_minutes * MINUTE_MS,
        limits.low_profit_pause_minutes * MINUTE_MS,
    )


def make_guards(rows: int) -> Guards:
    """Guards that have seen nothing yet."""
    return Guards(np.zeros((rows, TRIP + RECENT)), np.zeros((rows + 1, TIMES + RECENT), dtype=np.int64))


@shared
def close_trip(guards: Guards, row: int, at_ms: int, result_pct: float, stopped: bool, rules: GuardRules) -> None:
    """A round trip of ``row`` was closed at ``at_ms``: set what must pause from here on."""
    own, account = guards.ints[row], guards.ints[guards.ints.shape[0] - 1]
    own[COOLED] = at_ms + rules.cooldown_ms
    # --- this instrument's trips of late
    results = guards.floats[row]
    results[TRIP + own[NEXT]], own[TIMES + own[NEXT]] = result_pct, at_ms
    own[NEXT] = (own[NEXT] + 1) % RECENT
    if rules.low_trips > 0:
        total, trips = 0.0, 0
        for k in range(RECENT):
            if own[TIMES + k] > 0 and own[TIMES + k] > at_ms - rules.low_within_ms:
                total += results[TRIP + k]
                trips += 1
        if trips >= rules.low_trips and total < rules.low_pct:
            own[LOCKED] = max(own[LOCKED], at_ms + rules.low_pause_ms)
    # --- the account's
    account[LOSSES] = account[LOSSES] + 1 if result_pct < 0.0 else 0
    if rules.losses > 0 and account[LOSSES] >= rules.losses:
        account[PAUSED], account[LOSSES] = at_ms + rules.losses_pause_ms, 0
    if stopped:
        account[TIMES + account[STOPS_NEXT]] = at_ms
        account[STOPS_NEXT] = (account[STOPS_NEXT] + 1) % RECENT
        stops = 0
        for k in range(RECENT):
            if account[TIMES + k] > 0 and account[TIMES + k] > at_ms - rules.stops_within_ms:
                stops += 1
        if rules.stops > 0 and stops >= rules.stops:
            account[GUARDED] = at_ms + rules.stops_pause_ms


@inlined
def guard_of(ints: np.ndarray, row: int, now_ms: int) -> int:
    """The ``Limit`` that forbids buying ``row`` now; 0 for none."""
    account = ints[ints.shape[0] - 1]
    if now_ms < account[PAUSED]:
        return _LOSSES_LIMIT
    if now_ms < account[GUARDED]:
        return _STOP_GUARD
    if now_ms < ints[row, LOCKED]:
        return _LOW_PROFIT
    if now_ms < ints[row, COOLED]:
        return _COOLDOWN
    return 0


def until_ms(guards: Guards, row: int, limit: Limit) -> int:
    """When the guard ``limit`` ends for ``row``, epoch ms."""
    account, own = guards.ints[-1], guards.ints[row]
    ends = {
        Limit.CONSECUTIVE_LOSSES: account[PAUSED],
        Limit.STOP_GUARD: account[GUARDED],
        Limit.LOW_PROFIT: own[LOCKED],
        Limit.COOLDOWN: own[COOLED],
    }
    return int(ends[limit])


class GuardBook:
    """The guards of a live account, by the rows of its market; survives a restart as plain data."""

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        """``data`` as ``to_json`` gave it; raises DataError for what cannot be read."""
        self.seen = 0
        """Number of the newest trip counted."""
        self._rows: tuple[Instrument, ...] = ()
        self._guards = make_guards(0)
        self._kept: dict[str, Any] = {}
        if data:
            self._restore(data)

    def rows(self, instruments: tuple[Instrument, ...]) -> Guards:
        """The guards in the order of ``instruments``."""
        if instruments != self._rows:
            kept = {**self._kept, **self._instruments()}
            account = self._guards.ints[-1].copy()
            self._rows, self._guards = instruments, make_guards(len(instruments))
            self._guards.ints[-1] = account
            for row, instrument in enumerate(instruments):
                self._fill(row, kept.pop(str(instrument), None))
            self._kept = kept
        return self._guards

    def take(self, closed: tuple[ClosedTrip, ...], rules: GuardRules) -> bool:
        """Count the trips that are news; whether there were any. Trips of an instrument that is no row count for the
        account alone."""
        # Numbers that start again are another journal's.
        seen = self.seen if not closed or closed[-1].number >= self.seen else 0
        new = [trip for trip in closed if trip.number > seen]
        for trip in new:
            self.seen = trip.number
            if trip.instrument in self._rows:
                guards, row = self._guards, self._rows.index(trip.instrument)
            else:
                guards, row = make_guards(1), 0
                guards.ints[-1] = self._guards.ints[-1]
            close_trip(guards, row, trip.at_ms, float(trip.result_pct), trip.stopped, rules)
            self._guards.ints[-1] = guards.ints[-1]
        return bool(new)

    def clear(self) -> None:
        """Forget what led to a pause, and every pause; trips counted stay counted."""
        self._guards, self._kept = make_guards(len(self._rows)), {}

    def to_json(self) -> dict[str, Any]:
        account = self._guards.ints[-1]
        return {
            "seen": self.seen,
            "losses_in_a_row": int(account[LOSSES]),
            "paused_until_ms": int(account[PAUSED]),
            "stop_guard_until_ms": int(account[GUARDED]),
            "stop_outs_ms": [int(t) for t in _ring(account, STOPS_NEXT) if t],
            "instruments": {**self._kept, **self._instruments()},
        }

    def _instruments(self) -> dict[str, Any]:
        told = {}
        for row, instrument in enumerate(self._rows):
            own, results = self._guards.ints[row], self._guards.floats[row]
            order = [(own[NEXT] + k) % RECENT for k in range(RECENT)]
            closed = [[int(own[TIMES + k]), float(results[TRIP + k])] for k in order if own[TIMES + k]]
            if closed:
                told[str(instrument)] = {
                    "cooldown_until_ms": int(own[COOLED]),
                    "low_profit_until_ms": int(own[LOCKED]),
                    "closed": closed,
                }
        return told

    def _restore(self, data: Mapping[str, Any]) -> None:
        try:
            account = self._guards.ints[-1]
            self.seen = int(data["seen"])
            account[LOSSES], account[PAUSED] = int(data["losses_in_a_row"]), int(data["paused_until_ms"])
            account[GUARDED] = int(data["stop_guard_until_ms"])
            stops = [int(t) for t in data["stop_outs_ms"]][-RECENT:]
            account[TIMES : TIMES + len(stops)] = stops
            account[STOPS_NEXT] = len(stops) % RECENT
            self._kept = {str(name): dict(own) for name, own in data["instruments"].items()}
            for own in self._kept.values():
                int(own["cooldown_until_ms"]), int(own["low_profit_until_ms"])
                if not all(math.isfinite(float(pct)) and int(ms) > 0 for ms, pct in own["closed"]):
                    raise ValueError("a closed trip without a time or a result")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"not a state of the guards: {error!r}") from error

    def _fill(self, row: int, told: Mapping[str, Any] | None) -> None:
        if told is None:
            return
        own, results = self._guards.ints[row], self._guards.floats[row]
        own[COOLED], own[LOCKED] = told["cooldown_until_ms"], told["low_profit_until_ms"]
        closed = told["closed"][-RECENT:]
        for k, (ms, pct) in enumerate(closed):
            own[TIMES + k], results[TRIP + k] = ms, pct
        own[NEXT] = len(closed) % RECENT


def _ring(line: np.ndarray, at: int) -> list[int]:
    """The ring's times, oldest first."""
    return [int(line[TIMES + (line[at] + k) % RECENT]) for k in range(RECENT)]
