"""The executor of a LocalDesk against a venue: minutes, beats, accounts."""

from dataclasses import replace
from decimal import Decimal

import pytest

from core.errors import ExchangeUnavailable
from core.execution.local import LocalExecutor
from core.execution.machine import ExecutionMachine
from core.messages import OrderState, TradingState, Verdicts
from core.params import ExecutionSettings
from core.units import MINUTE_MS, Side
from tests.support.fake_venue import BTC, ETH, MINUTE, RULES, FakeVenue, approved

CLOSE = MINUTE + MINUTE_MS


class At:
    """The two fields of a market that the executor reads."""

    def __init__(self, minute: int) -> None:
        self.minute, self.now_ms = minute, minute + MINUTE_MS


def executor(script=(), **settings) -> LocalExecutor:
    parts = ExecutionSettings(**{"slices": 3, "slice_seconds": 15} | settings)
    return LocalExecutor(ExecutionMachine(parts, RULES, "main"), FakeVenue(script))


def execute(e, *intents, minute=MINUTE):
    verdicts = Verdicts(
        minute=minute, trace="t", state=TradingState.ACTIVE, state_reason="", approved=intents, refused=()
    )
    return e.execute(At(minute), verdicts)


def test_a_minute_and_its_beats():
    e = executor()
    first = execute(e, approved("0.9"))
    assert [(o.state, o.executed) for o in first.orders] == [(OrderState.FILLED, Decimal("0.3"))]
    for beat in (15_000, 30_000, 45_000):
        e.beat(CLOSE + beat)
    second = execute(e, minute=MINUTE + MINUTE_MS)
    assert [o.executed for o in second.orders] == [Decimal("0.3")] * 2
    assert len(first.fills + second.fills) == 6
    assert e.books()["totals"]["BTC/USDT"]["bought"] == "0.9"
    assert {n: Decimal(q) for n, q in e.books()["orders"].items()} == e.venue.executed()


def test_the_account_agrees_with_the_fills():
    e = executor(["half", "silent", "none", "fill"])
    assert e.account(CLOSE).reconciled
    execute(e, approved("0.9"), approved("0.5", Side.SELL, ETH))
    for beat in (15_000, 30_000, 45_000):
        e.beat(CLOSE + beat)
    account = e.account(CLOSE + MINUTE_MS)
    assert account.reconciled, account.difference
    assert account.total("binance", "BTC") == Decimal(100) + e.machine.books.totals[BTC].bought


def test_somebody_elses_trade_is_told_and_then_taken_over():
    e = executor()
    e.account(CLOSE)
    e.venue.balances["BTC"] += Decimal("0.5")
    said = [e.account(CLOSE + n) for n in range(3)]
    assert [a.reconciled for a in said] == [False, False, True]
    assert "BTC: +0.5 against our fills" in said[0].difference


def test_an_unknown_order_leaves_the_account_unreconciled_until_it_is_known():
    e = executor(["lost-fill"])
    e.account(CLOSE)
    e.venue.hidden_queries = 2
    execute(e, approved("0.9"))
    account = e.account(CLOSE + 500)
    assert not account.reconciled
    assert "outcome unknown: mh-main-" in account.difference
    assert e.account(CLOSE + 3_000).reconciled


def test_a_fault_is_told_once():
    e = executor(["rest"], algorithm="immediate")
    e.account(CLOSE)
    execute(e, approved("1"))
    (held,) = e.venue.history
    held.placed = replace(held.placed, quantity=Decimal(2))
    assert "the venue shows a quantity of 2, sent was 1" in e.account(CLOSE + 1).difference
    assert e.account(CLOSE + 2).reconciled


def test_a_venue_that_is_away_gives_the_last_account_marked():
    e = executor()
    with_venue = e.account(CLOSE)
    e.venue.down = True
    account = e.account(CLOSE + MINUTE_MS)
    assert account.balances == with_venue.balances
    assert not account.reconciled
    assert "away" in account.difference
    e.venue.down = False
    assert e.account(CLOSE + MINUTE_MS).reconciled


def test_a_venue_that_never_answered_is_an_error():
    e = executor()
    e.venue.down = True
    with pytest.raises(ExchangeUnavailable):
        e.account(CLOSE)


def test_stop_cancels_ours_and_leaves_others():
    e = executor(["rest", "rest"], algorithm="immediate")
    execute(e, approved("1"))
    theirs = replace(e.venue.history[0].placed, client_id="by-hand")
    e.venue.place(theirs)
    assert e.stop(CLOSE + 1_000) == ()
    assert [h.state for h in e.venue.history] == [OrderState.CANCELLED, OrderState.OPEN]
    assert e.venue.calls.count(("cancel", "by-hand")) == 0


def test_stop_names_what_is_left():
    e = executor(["rest"], algorithm="immediate")
    execute(e, approved("1"))

    def refuse(order):
        raise ExchangeUnavailable("busy")

    e.venue.cancel = refuse
    assert [s.client_id for s in e.stop(CLOSE + 1_000)] == [e.venue.history[0].placed.client_id]


def test_of_many_faults_the_last_are_kept_and_every_new_one_is_told():
    e = executor()
    e.account(CLOSE)
    for number in range(150):
        e.machine.books.fault(f"fault {number}")
        assert e.account(CLOSE).difference == f"fault {number}"
    assert len(e.machine.faults) == 100
    for number in range(8):
        e.machine.books.fault(f"more {number}")
    assert e.account(CLOSE).difference.endswith("more 7; and 3 more faults")
