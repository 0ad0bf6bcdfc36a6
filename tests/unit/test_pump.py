"""The loop around the machine: what goes together, what is written together, and that the journal reads as ever."""

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BotError, Defect
from core.execution.codec import encode
from core.execution.local import LocalExecutor
from core.execution.machine import ExecutionMachine
from core.execution.pump import Came, Notes, NotWritten, Together, failed, pump
from core.execution.stimuli import Beat, MinuteStarted, Placed, Reconcile
from core.messages import CancelOrder, OrderState, PlaceOrder, QueryOrder
from core.params import ExecutionSettings
from core.units import MINUTE_MS, Side
from tests.support.fake_venue import ADA, BTC, ETH, MANY, MINUTE, SOL, XRP, FakeVenue, MemoryJournal, approved

CLOSE = MINUTE + MINUTE_MS
ALL = (BTC, ETH, SOL, XRP, ADA)
OUTCOMES = ["fill", "half", "none", "rest", "unavailable", "refuse", "lost-before", "lost-fill", "lost-rest", "silent"]


def machine(slices: int = 2) -> ExecutionMachine:
    return ExecutionMachine(ExecutionSettings(slices=slices, slice_seconds=30), MANY, "main")


def minute(number: int = 0, sold=(ETH, XRP)) -> MinuteStarted:
    at = MINUTE + number * MINUTE_MS
    intents = tuple(approved("0.5", Side.SELL if i in sold else Side.BUY, i, minute=at) for i in ALL)
    return MinuteStarted(minute=at, now_ms=at + MINUTE_MS, approved=intents)


class Driver:
    """Answers a pump's steps from a venue, and keeps what was asked of it."""

    def __init__(self, venue: FakeVenue) -> None:
        self.venue = venue
        self.inner = LocalExecutor(machine(), venue)
        self.steps: list[Notes | Together] = []

    def run(self, steps, answers=None) -> None:
        """``answers``: what to say to the n-th step instead of what comes of it."""
        answer = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return
            self.steps.append(step)
            planned = (answers or {}).get(len(self.steps))
            answer = planned(step) if planned else self.inner._act(step)

    @property
    def shape(self) -> list[str]:
        return [
            f"notes {len(step.notes)}" if isinstance(step, Notes) else f"{kind(step)} {len(step.instructions)}"
            for step in self.steps
        ]


def kind(step: Together) -> str:
    first = step.instructions[0]
    assert all(type(other) is type(first) for other in step.instructions)
    match first:
        case PlaceOrder():
            assert {order.side for order in step.instructions} == {first.side}
            return first.side.value
        case CancelOrder():
            assert len(step.instructions) == 1
            return "cancel"
        case QueryOrder():
            assert len(step.instructions) == 1
            return "query"


def test_sells_go_together_then_buys_and_each_lot_of_answers_is_written_at_once():
    driver = Driver(FakeVenue())
    driver.run(pump(machine(), minute()))
    assert driver.shape == ["notes 1", "sell 2", "notes 2", "buy 3", "notes 3"]


def test_questions_go_one_by_one_after_the_orders_that_led_to_them():
    driver = Driver(FakeVenue(["lost-fill", "fill", "lost-rest", "silent", "fill"]))
    driver.run(pump(machine(), minute()))
    assert driver.shape == ["notes 1", "sell 2", "notes 2", "buy 3", "notes 3", *["query 1", "notes 1"] * 3]


def test_cancels_go_one_by_one():
    ours, driver = machine(), Driver(FakeVenue(["rest"] * 5))
    driver.run(pump(ours, minute()))
    driver.steps.clear()
    driver.run(pump(ours, minute(1)))
    assert driver.shape[:5] == ["notes 1", "cancel 1", "notes 1", "cancel 1", "notes 1"]


def test_what_is_planned_when_the_notes_cannot_be_written_is_not_sent():
    ours, driver = machine(), Driver(FakeVenue())
    # The disk fills between the sells and the buys.
    driver.run(pump(ours, minute()), {3: lambda _: NotWritten(text="disk is full")})
    assert driver.shape == ["notes 1", "sell 2", "notes 2", "notes 3"]
    buys = [o for o in ours.books.orders.values() if o.placed.side is Side.BUY]
    assert {(o.state, o.reason) for o in buys} == {(OrderState.REJECTED, "not sent: disk is full")}
    assert len(buys) == 3


def test_an_error_comes_out_when_the_other_answers_have_been_written():
    ours, driver = machine(), Driver(FakeVenue())
    trouble = RuntimeError("a call broke")

    def first_breaks(step):
        came = driver.inner._act(step)
        return Came(stimuli=came.stimuli[1:], error=trouble)

    with pytest.raises(RuntimeError, match="a call broke"):
        driver.run(pump(ours, minute()), {2: first_breaks})
    assert driver.shape == ["notes 1", "sell 2", "notes 1"]
    states = [o.state for o in ours.books.orders.values() if o.placed.side is Side.SELL]
    assert states == [OrderState.SENT, OrderState.FILLED]
    # Whatever has no answer, or was not begun, is asked about when time moves on.
    for now_ms in (CLOSE + 5_000, CLOSE + 8_000):
        driver.inner._now_ms = now_ms
        driver.run(pump(ours, Reconcile(now_ms=now_ms)))
    assert {o.state for o in ours.books.orders.values()} == {OrderState.FILLED, OrderState.REJECTED}
    assert {n: o.executed for n, o in ours.books.orders.items() if o.executed} == driver.venue.executed()


def test_an_error_with_no_answer_at_all_comes_out():
    with pytest.raises(RuntimeError):
        Driver(FakeVenue()).run(pump(machine(), minute()), {2: lambda _: Came(stimuli=(), error=RuntimeError())})


def test_an_answer_the_machine_cannot_take_does_not_lose_the_others():
    class Choking(ExecutionMachine):
        def handle(self, stimulus):
            if isinstance(stimulus, Placed) and stimulus.snapshot.instrument == SOL:
                raise Defect("cannot be")
            return super().handle(stimulus)

    ours = Choking(ExecutionSettings(slices=2, slice_seconds=30), MANY, "main")
    driver = Driver(FakeVenue())
    with pytest.raises(Defect, match="cannot be"):
        driver.run(pump(ours, minute(sold=())))
    assert driver.shape == ["notes 1", "buy 5", "notes 4"]


def test_a_stimulus_that_cannot_be_is_refused_before_anything_is_written():
    driver = Driver(FakeVenue())
    bad = MinuteStarted(minute=MINUTE, now_ms=CLOSE, approved=(approved("0.0001"),))
    with pytest.raises(Defect, match="lot grid"):
        driver.run(pump(machine(), bad))
    assert driver.steps == []


def one_by_one(ours: ExecutionMachine, venue: FakeVenue, stimulus, now_ms: int) -> list[tuple[str, bytes]]:
    """The plain rule that the journal's order goes back to: each answer is taken in before the next call is made."""
    entries, stimuli, instructions = [], deque([stimulus]), deque()
    calls = LocalExecutor(machine(), venue)
    calls._now_ms = now_ms
    while stimuli or instructions:
        if stimuli:
            taken, version = stimuli.popleft(), ours.version
            wanted = ours.handle(taken)
            if wanted or ours.version != version:
                entries += [encode(taken), *map(encode, wanted)]
            instructions.extend(wanted)
            continue
        instruction = instructions.popleft()
        try:
            stimuli.append(calls._call(instruction))
        except BotError as error:
            stimuli.append(failed(instruction, error, now_ms))
    return entries


@settings(max_examples=60, deadline=None)
@given(
    script=st.lists(st.sampled_from(OUTCOMES), max_size=30),
    sold=st.lists(st.sets(st.sampled_from(ALL)), min_size=3, max_size=3),
)
def test_the_journal_reads_as_if_each_call_had_been_made_by_itself(script, sold):
    theirs, their_venue, due = machine(), FakeVenue(script), []
    our_venue, journal = FakeVenue(script), MemoryJournal()
    ours = LocalExecutor(machine(), our_venue, journal)
    journal.entries.clear()
    for number in range(3):
        begin = minute(number, sold[number])
        for stimulus in (Reconcile(now_ms=begin.now_ms), begin, Beat(now_ms=begin.now_ms + 30_000)):
            due += one_by_one(theirs, their_venue, stimulus, stimulus.now_ms)
            ours._now_ms = stimulus.now_ms
            ours._run(stimulus)
    assert journal.entries == due
    assert our_venue.calls == their_venue.calls
    assert ours.machine.books.totals == theirs.books.totals
