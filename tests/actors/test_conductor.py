"""The conductor's minute: on time, late, broken, and taken up again. No Ray: a hand-written score."""

import asyncio
from typing import Any

import pytest

from actors.conductor import Conductor
from core.errors import ExchangeUnavailable
from core.messages import MinuteTick
from core.params import ExecutionSettings
from core.session import decision_ms
from core.units import MINUTE_MS

FIRST = 1_900_000_020_000 // MINUTE_MS * MINUTE_MS


class Steps:
    """A desk whose minute is one value: the last step's."""

    def __init__(self, score: "FakeScore") -> None:
        self.cache = self.detector = self.models = self.selector = self.risk = self.executor = self.recorder = self
        self._score = score

    def observe(self, tick: MinuteTick) -> MinuteTick:
        return tick

    def detect(self, market: Any) -> str:
        return "events"

    def forecast(self, market: Any) -> str:
        return "votes"

    def choose(self, *_: Any) -> str:
        return "intents"

    def review(self, *_: Any) -> str:
        return "verdicts"

    def execute(self, *_: Any) -> str:
        return "reports"

    def record(self, tick: MinuteTick, *_: Any) -> MinuteTick:
        return tick

    def beat(self, now_ms: int) -> int:
        self._score.beats.append(now_ms)
        return now_ms


class FakeScore:
    """Settles at once, unless told what a minute dies of."""

    def __init__(self, recorded: int | None = None, faults: dict[int, Exception] | None = None) -> None:
        self.recorded = recorded
        self.faults = faults or {}
        self.done: list[int] = []
        self.misses: list[tuple[int, str]] = []
        self.fenced: list[int] = []
        self.beats: list[int] = []
        self.revived = 0

    def desk(self) -> Any:
        return Steps(self)

    async def settle(self, value: Any, timeout_s: float) -> Any:
        if isinstance(value, MinuteTick):
            if value.minute in self.faults:
                raise self.faults[value.minute]
            self.done.append(value.minute)
        return value

    async def last_recorded(self) -> int | None:
        return self.recorded

    async def missed(self, tick: MinuteTick, reason: str) -> None:
        self.misses.append((tick.minute, reason))

    async def fence(self, minute: int) -> None:
        self.fenced.append(minute)

    async def revive(self, timeout_s: float) -> None:
        self.revived += 1


class HandClock:
    """A clock moved by who waits for it, with delays put in by hand."""

    def __init__(self, now: int, late: dict[int, int] | None = None) -> None:
        self.now = now
        self.late = late or {}

    async def now_ms(self) -> int:
        return self.now

    async def sleep_until(self, ms: int) -> int:
        self.now = max(self.now, ms + self.late.pop(ms, 0))
        return self.now

    async def close(self) -> None:
        return None


def conductor(
    score: FakeScore, clock: HandClock, *, minutes: int | None = 3, first: int | None = FIRST, waits: bool = True
) -> Conductor:
    return Conductor(
        score=score,
        clock=clock,
        execution=ExecutionSettings(algorithm="twap", slices=3, slice_seconds=15),
        first_minute=first,
        minutes=minutes,
        deadline_s=5.0,
        waits_for_parts=waits,
    )


def test_runs_the_planned_minutes_and_beats_between_them() -> None:
    score = FakeScore()
    progress = asyncio.run(conductor(score, HandClock(FIRST)).run())
    assert score.done == [FIRST, FIRST + MINUTE_MS, FIRST + 2 * MINUTE_MS]
    assert score.beats[:3] == [
        decision_ms(FIRST) + 15_000,
        decision_ms(FIRST) + 30_000,
        decision_ms(FIRST) + MINUTE_MS + 15_000,
    ]
    assert (progress["finished"], progress["done"], progress["missed"]) == (True, 3, 0)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (TimeoutError(), "late: no record within 5 s"),
        (ExchangeUnavailable("venue is away"), "ExchangeUnavailable: venue is away"),
        (RuntimeError("actor died"), "RuntimeError: actor died"),
    ],
)
def test_a_failed_minute_is_missed_with_its_reason_and_the_next_one_runs(fault: Exception, reason: str) -> None:
    score = FakeScore(faults={FIRST + MINUTE_MS: fault})
    progress = asyncio.run(conductor(score, HandClock(FIRST)).run())
    assert score.misses == [(FIRST + MINUTE_MS, reason)]
    assert score.fenced == [FIRST + MINUTE_MS]
    assert score.revived == 1
    assert score.done == [FIRST, FIRST + 2 * MINUTE_MS]
    assert len(score.beats) == 6, "exits and schedules of a missed minute still get their beats"
    assert (progress["done"], progress["missed"]) == (2, 1)


def test_a_minute_whose_successor_has_closed_is_late() -> None:
    close = decision_ms(FIRST)
    score = FakeScore()
    asyncio.run(conductor(score, HandClock(FIRST, late={close: MINUTE_MS + 500}), minutes=1, waits=False).run())
    assert score.done == []
    assert score.misses[0][1] == "late: the next minute had closed 0.5 s ago"


def test_a_conductor_started_again_goes_on_where_the_record_ends() -> None:
    score = FakeScore(recorded=FIRST)
    asyncio.run(conductor(score, HandClock(decision_ms(FIRST))).run())
    assert score.done == [FIRST + MINUTE_MS, FIRST + 2 * MINUTE_MS]


def test_on_a_running_clock_it_does_not_chase_minutes_long_gone() -> None:
    score = FakeScore(recorded=FIRST)
    now = FIRST + 10 * MINUTE_MS
    asyncio.run(conductor(score, HandClock(now), minutes=12, waits=False).run())
    assert score.done == [now, now + MINUTE_MS]


def test_stop_ends_after_the_minute_under_way() -> None:
    score = FakeScore()
    work = conductor(score, HandClock(FIRST), minutes=None)
    work.stop()
    progress = asyncio.run(work.run())
    assert progress["finished"]
    assert score.done == []


class SleepyClock(HandClock):
    """The next minute is far away."""

    async def sleep_until(self, ms: int) -> int:
        await asyncio.sleep(3_600)
        return ms


def test_asked_to_stop_while_it_waits_it_does_not_wait_for_the_minute() -> None:
    async def story() -> dict:
        work = conductor(FakeScore(), SleepyClock(FIRST), minutes=None, waits=False)
        running = asyncio.ensure_future(work.run())
        await asyncio.sleep(0.02)
        work.stop()
        return await asyncio.wait_for(running, 2)

    assert asyncio.run(story())["finished"]


class EndedClock(HandClock):
    """A market that ends one minute after the first close."""

    async def sleep_until(self, ms: int) -> int:
        self.now = min(ms, decision_ms(FIRST) + MINUTE_MS)
        return self.now


def test_a_market_that_ends_before_the_plan_ends_the_run() -> None:
    score = FakeScore()
    progress = asyncio.run(conductor(score, EndedClock(FIRST), minutes=None).run())
    assert progress["finished"]
    assert score.done == [FIRST, FIRST + MINUTE_MS]
