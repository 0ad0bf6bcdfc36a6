"""A halt is now, not at the next minute: what is being bought is given up, what is being sold goes on."""

import math

import pytest

from core.execution.codec import decode, encode
from core.execution.stimuli import Halted
from core.messages import OrderState, TradingState, Verdicts
from core.units import MINUTE_MS, Side
from tests.support.fake_venue import BTC, ETH, MINUTE, FakeVenue, MemoryJournal, approved
from tests.unit.test_execution_crash import At, live

CLOSE = MINUTE + MINUTE_MS


def working(script=(), journal=None):
    """A buy of BTC and a sell of ETH of three slices, the first of each sent."""
    venue = FakeVenue(script)
    executor = live(venue, journal or MemoryJournal())
    said = Verdicts(
        minute=MINUTE,
        trace="t",
        state=TradingState.ACTIVE,
        state_reason="",
        approved=(approved("0.9"), approved("0.9", Side.SELL, ETH)),
        refused=(),
    )
    executor.execute(At(MINUTE), said)
    return venue, executor


def test_no_slice_of_a_buy_leaves_after_a_halt_and_every_slice_of_a_sale_does():
    venue, executor = working()
    executor.halt(CLOSE + 5_000)
    for beat in (15_000, 30_000, 45_000):
        executor.beat(CLOSE + beat)
    assert [held.placed.side for held in venue.history] == [Side.SELL, Side.BUY, Side.SELL, Side.SELL]
    bought, sold = (executor.machine.books.parents[MINUTE, i] for i in (BTC, ETH))
    assert (bought.executed, bought.abandoned, bought.closed) == (bought.quantity / 3, 2 * bought.quantity / 3, True)
    assert sold.executed == sold.quantity
    executor.machine.validate()


@pytest.mark.parametrize("outcome", ["rest", "lost-rest"])
def test_a_buy_that_rests_is_cancelled_even_when_nobody_knew_that_it_rests(outcome):
    """The sell goes first and fills; the buy stays open at the venue."""
    venue, executor = working(["fill", outcome])
    executor.halt(CLOSE + 5_000)
    executor.beat(CLOSE + 15_000)
    executor.account(CLOSE + 20_000)
    assert [held.state for held in venue.history if held.placed.side is Side.BUY] == [OrderState.CANCELLED]
    assert executor.machine.books.parents[MINUTE, BTC].executed == 0


def test_a_halt_outlives_the_death_that_follows_it():
    journal = MemoryJournal()
    venue, executor = working(journal=journal)
    executor.halt(CLOSE + 5_000)
    again = live(venue, journal)
    for beat in (15_000, 30_000):
        again.beat(CLOSE + beat)
    assert sum(held.placed.side is Side.BUY for held in venue.history) == 1
    assert again.machine.books.totals == {**executor.machine.books.totals, ETH: again.machine.books.totals[ETH]}
    assert decode(*encode(Halted(now_ms=7))) == Halted(now_ms=7)
    assert math.isclose(float(again.machine.books.parents[MINUTE, ETH].executed), 0.9)
