"""Dying anywhere and starting again: nothing is sent twice, nothing that was executed is forgotten."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import DataError, Defect
from core.execution.local import LocalExecutor
from core.execution.machine import ExecutionMachine
from core.execution.pump import Together
from core.execution.scribe import Scribe
from core.messages import OrderState, Reports, TradingState, Verdicts
from core.params import ExecutionSettings
from core.units import MINUTE_MS, Side
from tests.support.fake_venue import (
    ADA,
    BTC,
    ETH,
    MANY,
    MINUTE,
    RULES,
    SOL,
    XRP,
    Crash,
    FakeVenue,
    MemoryJournal,
    approved,
)

MINUTES = 3
OUTCOMES = [
    "fill",
    "half",
    "none",
    "rest",
    "unavailable",
    "refuse",
    "lost-before",
    "lost-fill",
    "lost-half",
    "lost-none",
    "lost-rest",
    "silent",
]
SCRIPTS = [
    [],
    ["lost-fill", "half", "lost-before", "fill"],
    ["lost-rest", "rest", "silent", "lost-half", "none"],
    ["unavailable", "lost-before", "lost-fill", "refuse", "half"],
]


class At:
    """The two fields of a market that the executor reads."""

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.now_ms = minute + MINUTE_MS


class DyingVenue(FakeVenue):
    """Dies right after the ``crash_after``-th place or cancel took effect: the answer is never heard."""

    crash_after: int | None = None
    effects = 0

    def place(self, order):
        snapshot = super().place(order)
        return self._survive(snapshot)

    def cancel(self, order):
        snapshot = super().cancel(order)
        return self._survive(snapshot)

    def _survive(self, snapshot):
        self.effects += 1
        if self.effects == self.crash_after:
            raise Crash
        return snapshot


def verdicts(minute: int) -> Verdicts:
    side = Side.SELL if (minute // MINUTE_MS) % 2 else Side.BUY
    return Verdicts(
        minute=minute,
        trace=str(minute),
        state=TradingState.ACTIVE,
        state_reason="",
        approved=(approved("0.901", side, minute=minute), approved("0.5", Side.BUY, ETH, minute=minute)),
        refused=(),
    )


def live(venue, journal) -> LocalExecutor:
    machine = ExecutionMachine(ExecutionSettings(slices=3, slice_seconds=15), RULES, "main")
    return LocalExecutor(machine, venue, journal)


class Life:
    """A run of some minutes, started again whenever it dies, doing the step it died in once more."""

    def __init__(self, venue: FakeVenue, journal: MemoryJournal) -> None:
        self.venue = venue
        self.journal = journal
        self.executor: LocalExecutor | None = None
        self.deaths = 0
        self.reports: list[Reports] = []

    def run(self) -> None:
        for number in range(MINUTES):
            minute = MINUTE + number * MINUTE_MS
            self.step(lambda e, at=minute: e.account(at + MINUTE_MS))
            self.step(lambda e, at=minute: self.reports.append(e.execute(At(at), self.verdicts(at))))
            for beat in (15_000, 30_000, 45_000):
                self.step(lambda e, at=minute + MINUTE_MS + beat: e.beat(at))
        end = MINUTE + (MINUTES + 1) * MINUTE_MS
        for late in (0, 5_000, 10_000):
            self.step(lambda e, at=end + late: e.account(at))
        self.step(lambda e: e.stop(end + 20_000))
        self.step(lambda e: e.account(end + 30_000))

    def begin(self) -> LocalExecutor:
        return live(self.venue, self.journal)

    def verdicts(self, minute: int) -> Verdicts:
        return verdicts(minute)

    def step(self, action) -> None:
        for _ in range(10):
            try:
                if self.executor is None:
                    self.executor = self.begin()
                action(self.executor)
                self.executor.machine.validate()
                return
            except Crash:
                self.deaths += 1
                self.executor = None
        raise AssertionError("died ten times in one step")


def check(life: Life) -> None:
    machine, venue = life.executor.machine, life.venue
    machine.validate()
    assert venue.sent_twice() == []
    ours = {name: order.executed for name, order in machine.books.orders.items() if order.executed}
    assert ours == {name: amount for name, amount in venue.executed().items() if amount}
    assert machine.unsettled() == ()
    assert venue.open_orders() == ()
    for parent in machine.books.parents.values():
        assert parent.over == 0
        assert parent.executed + parent.abandoned == parent.quantity
        assert parent.executed <= parent.quantity
    for asset, start in (("BTC", Decimal(100)), ("ETH", Decimal(100)), ("USDT", Decimal(1_000_000))):
        assert venue.balances[asset] == start + machine.books.flows.get(("binance", asset), Decimal(0))
    # Each fill is in a report at least once; a report may repeat after a crash, a fill is never missing.
    told = {(f.instrument, f.trade_id) for r in life.reports for f in r.fills}
    told |= {(f.instrument, f.trade_id) for f in machine.report(0, "").fills}
    assert told == {(f.instrument, f.trade_id) for held in venue.history for f in held.fills}


class Death:
    """Comes in the ``at``-th step of things done together, when the calls with a bit in ``arrived`` have arrived."""

    def __init__(self, at: int, arrived: int) -> None:
        self.at = at
        self.arrived = arrived
        self.steps: list[Together] = []
        """All that were begun, in every life."""


class Scattered(LocalExecutor):
    """Its calls arrive in any order, as over a network, and none of their answers is heard when it dies."""

    def __init__(self, machine, venue, journal, death: Death) -> None:
        self.death = death
        super().__init__(machine, venue, journal)

    def _act(self, step):
        if isinstance(step, Together):
            self.death.steps.append(step)
            if len(self.death.steps) == self.death.at:
                for number, instruction in reversed(list(enumerate(step.instructions))):
                    if self.death.arrived >> number & 1:
                        self._answer(instruction)
                raise Crash
        return super()._act(step)


class BroadLife(Life):
    """Five instruments, some sold and some bought in each minute."""

    def __init__(self, script, death: Death) -> None:
        super().__init__(FakeVenue(script, rules=MANY), MemoryJournal())
        self.death = death

    def begin(self) -> LocalExecutor:
        machine = ExecutionMachine(ExecutionSettings(slices=2, slice_seconds=30), MANY, "main")
        return Scattered(machine, self.venue, self.journal, self.death)

    def verdicts(self, minute: int) -> Verdicts:
        sold = ((ETH,), (BTC, ETH), (ETH,))[(minute - MINUTE) // MINUTE_MS]
        intents = tuple(
            approved("0.5", Side.SELL if i in sold else Side.BUY, i, minute=minute) for i in (BTC, ETH, SOL, XRP, ADA)
        )
        return replace(verdicts(minute), approved=intents)


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
def test_dying_while_orders_are_on_their_way_together(script):
    """Whichever of them arrived (none, all, any between), with every answer lost."""
    unharmed = BroadLife(script, Death(0, 0))
    unharmed.run()
    check(unharmed)
    assert unharmed.deaths == 0
    tried = 0
    for at, step in enumerate(unharmed.death.steps, start=1):
        count = len(step.instructions)
        for arrived in range(2**count):
            life = BroadLife(script, Death(at, arrived))
            life.run()
            assert life.deaths == 1
            check(life)
            tried += 1
    assert max(len(step.instructions) for step in unharmed.death.steps) >= 4
    assert tried > 60


def appends_of(script) -> int:
    life = Life(FakeVenue(script), MemoryJournal())
    life.run()
    check(life)
    return life.journal.appends


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
@pytest.mark.parametrize("when", ["before", "after"])
def test_dying_at_every_journal_entry(script, when):
    positions = appends_of(script)
    assert positions > 15
    for position in range(1, positions + 1):
        journal = MemoryJournal()
        setattr(journal, f"crash_{when}", position)
        life = Life(FakeVenue(script), journal)
        life.run()
        assert life.deaths == 1
        check(life)


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
def test_dying_right_after_every_order_and_cancel(script):
    for effect in range(1, 40):
        venue = DyingVenue(script)
        venue.crash_after = effect
        life = Life(venue, MemoryJournal())
        life.run()
        check(life)
        if not life.deaths:
            break
    assert effect > 5


@settings(max_examples=60, deadline=None)
@given(
    script=st.lists(st.sampled_from(OUTCOMES), max_size=18),
    deaths=st.lists(st.integers(1, 60), max_size=4),
    effect=st.integers(1, 30),
)
def test_any_misfortune_and_any_deaths(script, deaths, effect):
    class Fragile(MemoryJournal):
        def append(self, entries):
            if self.appends + 1 in deaths:
                deaths.remove(self.appends + 1)
                self.crash_before = self.appends + 1
            super().append(entries)

    venue = DyingVenue(script)
    venue.crash_after = effect
    life = Life(venue, Fragile())
    life.run()
    check(life)


def test_the_replayed_machine_equals_the_one_that_lived():
    journal = MemoryJournal()
    life = Life(FakeVenue(["lost-fill", "half", "rest", "lost-before"]), journal)
    life.run()
    again = ExecutionMachine(ExecutionSettings(slices=3, slice_seconds=15), RULES, "main")
    Scribe(journal).replay(again)
    lived = life.executor.machine
    again.validate()
    assert {n: (o.state, o.executed, o.reason) for n, o in again.books.orders.items()} == {
        n: (o.state, o.executed, o.reason) for n, o in lived.books.orders.items()
    }
    assert again.books.totals == lived.books.totals
    assert again.books.flows == lived.books.flows
    assert again.minute == lived.minute
    assert again.stopped is lived.stopped


def test_denials_that_lag_do_not_lead_to_a_second_send():
    venue = FakeVenue(["lost-fill"])
    venue.hidden_queries = 1
    executor = live(venue, MemoryJournal())
    executor.execute(At(MINUTE), verdicts(MINUTE))
    for beat in (3_000, 15_000, 30_000, 45_000):
        executor.beat(MINUTE + MINUTE_MS + beat)
    assert venue.sent_twice() == []
    assert executor.machine.books.parents[MINUTE, BTC].executed == Decimal("0.901")
    assert executor.machine.faults == ()


def test_a_journal_that_cannot_be_written_lets_nothing_out_and_heals():
    venue, journal = FakeVenue(), MemoryJournal()
    executor = live(venue, journal)
    journal.broken = Defect("journal: database or disk is full")
    executor.execute(At(MINUTE), verdicts(MINUTE))
    assert venue.history == []
    assert {o.state for o in executor.machine.books.orders.values()} == {OrderState.REJECTED}
    assert "disk is full" in next(iter(executor.machine.books.orders.values())).reason
    journal.broken = None
    executor.beat(MINUTE + MINUTE_MS + 15_000)
    executor.beat(MINUTE + MINUTE_MS + 30_000)
    assert executor.machine.books.parents[MINUTE, BTC].executed == Decimal("0.901")
    # What could not be written then was written since, in order: a replay comes to the same books.
    again = live(venue, journal)
    assert again.machine.books.totals == executor.machine.books.totals
    assert venue.sent_twice() == []


class Breaking(FakeVenue):
    """The disk is full from the first order on."""

    def __init__(self, journal: MemoryJournal) -> None:
        super().__init__()
        self.journal = journal

    def place(self, order):
        self.journal.broken = Defect("journal: database or disk is full")
        return super().place(order)


def test_a_journal_that_breaks_in_the_middle_of_a_minute_stops_the_orders_not_yet_sent():
    journal = MemoryJournal()
    venue = Breaking(journal)
    executor = live(venue, journal)
    executor.execute(At(MINUTE + MINUTE_MS), verdicts(MINUTE + MINUTE_MS))
    # The sell had gone; the buy, which waits for what it brings in, has not.
    assert [held.placed.side for held in venue.history] == [Side.SELL]
    (buy,) = (o for o in executor.machine.books.orders.values() if o.placed.side is Side.BUY)
    assert buy.state is OrderState.REJECTED
    assert "disk is full" in buy.reason
    executor.machine.validate()


def test_what_goes_together_is_on_disk_together():
    journal = MemoryJournal()
    venue = Breaking(journal)
    executor = live(venue, journal)
    before = journal.appends
    executor.execute(At(MINUTE), verdicts(MINUTE))
    assert journal.appends == before + 1
    assert len(venue.history) == 2
    # Nothing of what the venue said could be written, and the next life learns it by asking.
    journal.broken = None
    again = live(venue, journal)
    ours = {name: order.executed for name, order in again.machine.books.orders.items()}
    assert ours == venue.executed()
    assert venue.sent_twice() == []


def test_a_journal_of_other_rules_is_refused_by_name():
    journal = MemoryJournal()
    executor = live(FakeVenue(), journal)
    executor.execute(At(MINUTE), verdicts(MINUTE))
    other = ExecutionMachine(ExecutionSettings(slices=3, slice_seconds=15), RULES, "other")
    with pytest.raises(DataError, match="today's rules"):
        LocalExecutor(other, FakeVenue(), journal)


def test_changed_settings_do_not_break_the_journal():
    venue, journal = FakeVenue(), MemoryJournal()
    executor = live(venue, journal)
    executor.execute(At(MINUTE), verdicts(MINUTE))
    machine = ExecutionMachine(ExecutionSettings(algorithm="immediate"), RULES, "main")
    again = LocalExecutor(machine, venue, journal)
    assert again.machine.config.slices == 1
    again.execute(At(MINUTE + MINUTE_MS), verdicts(MINUTE + MINUTE_MS))
    third = live(venue, journal)
    assert third.machine.books.totals == again.machine.books.totals
    assert venue.sent_twice() == []


def test_a_new_life_asks_at_once_and_trades_on_after_a_stop():
    venue, journal = DyingVenue(), MemoryJournal()
    venue.crash_after = 1
    with pytest.raises(Crash):
        live(venue, journal).execute(At(MINUTE), verdicts(MINUTE))
    again = live(venue, journal)
    first = venue.history[0].placed.client_id
    assert ("query", first) in venue.calls
    assert again.machine.books.orders[first].state is OrderState.FILLED
    again.stop(MINUTE + MINUTE_MS + 5_000)
    third = live(venue, journal)
    assert third.machine.stopped is False
    before = len(venue.history)
    third.execute(At(MINUTE + MINUTE_MS), verdicts(MINUTE + MINUTE_MS))
    assert len(venue.history) == before + 2
