"""Positions are sold when an exit is due, all of them and never more, whatever becomes of the orders."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.execution.local import LocalExecutor
from core.execution.machine import ExecutionMachine
from core.execution.stimuli import HoldingsSeen, PricesSeen
from core.messages import Approved, OrderState, Reports, TradingState, Verdicts
from core.params import ExecutionSettings, ProtectionSettings, RiskSettings
from core.protection import (
    NOT_DUE,
    Due,
    ExitRules,
    collar_at,
    due_at,
    entry_after,
    exit_arithmetic,
    exit_rules,
    exit_ticks,
)
from core.units import MINUTE_MS, Side
from tests.support.fake_venue import BTC, MINUTE, RULES, FakeVenue, MemoryJournal, approved

IMMEDIATE = ExecutionSettings(algorithm="immediate")
CLOSE = MINUTE + MINUTE_MS
STOP = exit_rules(ProtectionSettings(stop_loss_pct=5), RiskSettings(collar_bps=100))


class At:
    """The two fields of a market that the executor reads."""

    def __init__(self, minute: int) -> None:
        self.minute, self.now_ms = minute, minute + MINUTE_MS


def decide(ours: LocalExecutor, minute: int, *wanted: Approved, state: TradingState = TradingState.ACTIVE) -> Reports:
    verdicts = Verdicts(minute=minute, trace="t", state=state, state_reason="", approved=wanted, refused=())
    return ours.execute(At(minute), verdicts)


def executor(venue: FakeVenue, exits: ExitRules = STOP, journal: MemoryJournal | None = None) -> LocalExecutor:
    return LocalExecutor(ExecutionMachine(IMMEDIATE, RULES, "main", exits=exits), venue, journal)


def hold(venue: FakeVenue, quantity: str = "2", exits: ExitRules = STOP, journal: MemoryJournal | None = None):
    """An executor that has just bought at 100."""
    ours = executor(venue, exits, journal)
    venue.now_ms = CLOSE
    decide(ours, MINUTE, approved(quantity))
    return ours


def look(ours: LocalExecutor, venue: FakeVenue, mid: float, second: int) -> None:
    """The book shows ``mid`` so many seconds after the close."""
    venue.mids = {BTC: mid}
    venue.now_ms = CLOSE + second * 1_000
    ours.beat(venue.now_ms)


def sold(venue: FakeVenue) -> list[tuple[str, Decimal, Decimal]]:
    """(state, quantity, limit) of every sell the venue was sent."""
    sells = [held for held in venue.history if held.placed.side is Side.SELL]
    return [(held.state.value, held.placed.quantity, held.placed.price) for held in sells]


def report(ours: LocalExecutor, minute: int = MINUTE + MINUTE_MS, *wanted: Approved) -> Reports:
    return decide(ours, minute, *wanted, state=TradingState.HALTED)


@pytest.mark.parametrize(
    ("rules", "peak", "price", "now_ms", "due"),
    [
        ({"stop": 0.05}, 100.0, 95.0, 0, Due.STOP_LOSS),
        ({"stop": 0.05}, 100.0, 95.01, 0, Due.NOTHING),
        ({"trail": 0.05}, 120.0, 114.0, 0, Due.TRAILING_STOP),
        ({"trail": 0.05}, 120.0, 114.1, 0, Due.NOTHING),
        ({"trail": 0.05, "activation": 0.3}, 120.0, 110.0, 0, Due.NOTHING),
        ({"trail": 0.05, "activation": 0.2}, 120.0, 110.0, 0, Due.TRAILING_STOP),
        ({"profit": 0.1}, 110.0, 110.1, 0, Due.TAKE_PROFIT),
        ({"time_ms": 60_000}, 100.0, 100.0, 59_999, Due.NOTHING),
        ({"time_ms": 60_000}, 100.0, 100.0, 60_000, Due.TIME_STOP),
        ({"stop": 0.05, "time_ms": 1}, 100.0, 90.0, 60_000, Due.STOP_LOSS),
        ({}, 1e9, 1e-9, 10**15, Due.NOTHING),
    ],
)
def test_which_exit_is_due(rules: dict, peak: float, price: float, now_ms: int, due: Due) -> None:
    assert due_at(100.0, peak, 0, price, now_ms, ExitRules(**rules)) == due
    if due:
        lines = exit_arithmetic(due, price, 100.0, peak, now_ms / MINUTE_MS, 0, ExitRules(**rules))
        assert lines[0].startswith(due.name.lower().replace("_", " ").removesuffix("s"))


def test_the_sums_of_an_exit() -> None:
    assert entry_after(100.0, 1.0, 3.0, 120.0) == 115.0
    rules = ExitRules(collar=0.003, widest=0.05)
    assert [collar_at(k, rules) for k in (0, 1, 2, 3, 4, 5, 10**6)] == [0.003, 0.006, 0.012, 0.024, 0.048, 0.05, 0.05]
    assert exit_ticks(100.0, 0.01, 0.01) == 9_900
    assert exit_ticks(0.001, 0.01, 0.5) == 1.0


def test_a_stop_sells_the_whole_position_at_a_bounded_price() -> None:
    venue = FakeVenue()
    ours = hold(venue)
    look(ours, venue, 95.5, 10)
    assert sold(venue) == []
    look(ours, venue, 94.0, 20)
    assert sold(venue) == [("filled", Decimal(2), Decimal("93.06"))]
    look(ours, venue, 80.0, 30)
    assert len(sold(venue)) == 1, "what was sold is not protected any more"
    said = report(ours)
    (permit,) = said.exits
    assert (permit.reason, permit.quantity, permit.minute) == ("stop_loss", Decimal(2), MINUTE)
    assert permit.arithmetic == (
        "stop loss at -5% = 95",
        "entered at 100, now 94 = -6.00%",
        "order 1 of this exit, limit mid -100 bps",
    )
    assert [o.intent_id for o in said.orders if o.side is Side.SELL] == [permit.intent_id]
    assert report(ours, MINUTE + 2 * MINUTE_MS).exits == ()
    ours.machine.validate()


def test_an_exit_goes_on_wider_until_all_is_sold_though_the_price_comes_back() -> None:
    venue = FakeVenue(["fill", "none", "half", "refuse", "fill"])
    ours = hold(venue)
    look(ours, venue, 94.0, 10)
    look(ours, venue, 99.0, 11)
    look(ours, venue, 99.0, 11.5)
    assert [(state, quantity) for state, quantity, _ in sold(venue)] == [("expired", 2), ("expired", 2)]
    assert sold(venue)[1][2] == Decimal("97.02"), "twice as far from the new mid; a second must pass between two"
    look(ours, venue, 99.0, 20)
    look(ours, venue, 99.0, 25)
    assert venue.count("place") == 4, "after a refusal the next one waits for a whole look"
    look(ours, venue, 99.0, 30)
    assert sold(venue)[-1][:2] == ("filled", Decimal(1))
    assert not ours.machine.exits.watched()


def test_an_exit_takes_the_place_of_what_the_ensemble_is_doing() -> None:
    venue = FakeVenue(["fill", "none", "fill"])
    ours = hold(venue, "1")
    look(ours, venue, 90.0, 10)
    said = report(ours, MINUTE + MINUTE_MS, approved("1", minute=MINUTE + MINUTE_MS))
    assert [o.reason for o in said.orders if o.side is Side.BUY][
        -1
    ] == "never sent: a stop_loss is selling the position"
    look(ours, venue, 90.0, 80)
    assert [held.placed.side for held in venue.history] == [Side.BUY, Side.SELL, Side.SELL]
    report(ours, MINUTE + 2 * MINUTE_MS, approved("1", minute=MINUTE + 2 * MINUTE_MS))
    assert venue.history[-1].placed.side is Side.BUY, "when the exit is done the ensemble trades again"


def test_a_working_buy_ends_when_an_exit_becomes_due() -> None:
    venue = FakeVenue()
    slices = ExecutionSettings(slices=3, slice_seconds=15)
    ours = LocalExecutor(ExecutionMachine(slices, RULES, "main", exits=STOP), venue)
    decide(ours, MINUTE, approved("3"))
    look(ours, venue, 90.0, 15)
    look(ours, venue, 90.0, 30)
    assert [(h.placed.side, h.placed.quantity) for h in venue.history] == [(Side.BUY, 1), (Side.SELL, 1)]
    ours.machine.validate()


def test_an_order_of_unknown_outcome_is_not_sold_over() -> None:
    venue = FakeVenue(["fill", "lost-half"])
    venue.hidden_queries = 1
    ours = hold(venue)
    look(ours, venue, 90.0, 10)
    look(ours, venue, 90.0, 12)
    # Now the venue has told that a half was sold; the other may go.
    look(ours, venue, 90.0, 14)
    sells = [held for held in venue.history if held.placed.side is Side.SELL]
    assert [(held.placed.quantity, held.executed) for held in sells] == [(2, 1), (1, 1)]
    assert venue.sent_twice() == []


def test_the_trailing_stop_follows_the_highest_price_over_a_restart() -> None:
    venue, journal = FakeVenue(["fill", "none"]), MemoryJournal()
    rules = exit_rules(ProtectionSettings(stop_loss_pct=None, trailing_stop_pct=5), RiskSettings(collar_bps=100))
    ours = hold(venue, "2", rules, journal)
    look(ours, venue, 120.0, 10)
    look(ours, venue, 115.0, 20)
    look(ours, venue, 113.9, 30)
    assert [o.reason for o in report(ours).exits] == ["trailing_stop"]
    again = executor(venue, rules, MemoryJournal(journal.entries))
    position = again.machine.books.positions.held[BTC]
    assert (position.entry, position.peak, position.since_ms, position.quantity) == (100.0, 120.0, CLOSE, 2)
    assert position.due == Due.TRAILING_STOP
    look(again, venue, 113.0, 90)
    assert [(state, quantity) for state, quantity, _ in sold(venue)] == [("expired", 2), ("filled", 2)]


def test_what_is_left_below_the_smallest_order_is_written_off() -> None:
    venue = FakeVenue()
    ours = hold(venue, "2.049")
    report(ours, MINUTE + MINUTE_MS, approved("2", Side.SELL, minute=MINUTE + MINUTE_MS))
    said = report(ours, MINUTE + 2 * MINUTE_MS)
    (left,) = said.dust
    assert (left.instrument, left.quantity, left.price) == (BTC, Decimal("0.049"), 100.0)
    assert not ours.machine.exits.watched()
    look(ours, venue, 10.0, 200)
    assert len(sold(venue)) == 1
    assert report(ours, MINUTE + 3 * MINUTE_MS).dust == ()
    # The next purchase begins a new position, with the rest in it.
    report(ours, MINUTE + 4 * MINUTE_MS, approved("1", minute=MINUTE + 4 * MINUTE_MS, price="50"))
    position = ours.machine.books.positions.held[BTC]
    assert (position.entry, position.quantity) == (pytest.approx(50.0), Decimal("1.049"))


def test_a_rest_that_became_worthless_blocks_nothing() -> None:
    venue = FakeVenue()
    ours = hold(venue, "0.1")
    look(ours, venue, 40.0, 10)
    assert sold(venue) == [], "the venue takes no order of 4 USDT"
    assert ours.machine.exits.at_work(BTC) == "" and not ours.machine.exits.watched()


def test_what_somebody_took_away_is_not_sold() -> None:
    venue = FakeVenue()
    ours = hold(venue)
    ours.machine.handle(HoldingsSeen(totals=((BTC, Decimal("0.5")),)))
    look(ours, venue, 90.0, 10)
    assert [quantity for _, quantity, _ in sold(venue)] == [Decimal("0.5")]


def test_coins_that_were_there_before_are_never_touched() -> None:
    venue = FakeVenue()
    ours = executor(venue)
    look(ours, venue, 1.0, 10)
    assert venue.balances["BTC"] == 100 and sold(venue) == [] and venue.count("tops") == 0


@pytest.mark.parametrize("mid", [float("nan"), float("inf"), 0.0, -5.0])
def test_a_price_that_cannot_be_sells_nothing(mid: float) -> None:
    venue = FakeVenue()
    ours = hold(venue)
    assert ours.machine.handle(PricesSeen(now_ms=CLOSE + 1, mids=((BTC, mid),))) == []


def test_without_books_or_after_a_stop_nothing_is_sent() -> None:
    venue = FakeVenue()
    ours = hold(venue)
    venue.down = True
    look(ours, venue, 90.0, 10)
    assert sold(venue) == []
    venue.down = False
    ours.stop(CLOSE + 11_000)
    look(ours, venue, 90.0, 20)
    assert sold(venue) == []


OUTCOMES = ("fill", "half", "none", "refuse", "unavailable", "lost-before", "lost-fill", "lost-half", "silent")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(OUTCOMES), max_size=12),
    st.lists(st.tuples(st.sampled_from([60.0, 94.0, 99.0, 104.0, 130.0]), st.booleans()), min_size=3, max_size=12),
)
def test_nothing_is_sold_twice_and_in_the_end_nothing_is_left(outcomes: list[str], steps: list) -> None:
    venue, journal = FakeVenue(["fill", *outcomes]), MemoryJournal()
    rules = exit_rules(
        ProtectionSettings(stop_loss_pct=5, trailing_stop_pct=3, take_profit_pct=20), RiskSettings(collar_bps=100)
    )
    ours = hold(venue, "2", rules, journal)
    second = 0
    for mid, crash in [*steps, *[(60.0, False)] * 14]:
        second += 12
        if crash:
            ours = executor(venue, rules, MemoryJournal(journal.entries))
            journal = ours._scribe._journal
        look(ours, venue, mid, second)
        ours.account(venue.now_ms)
        ours.machine.validate()
    assert venue.balances["BTC"] == 100, "all that was bought, and nothing more"
    assert venue.sent_twice() == []
    assert ours.machine.books.positions.held[BTC].due == NOT_DUE
    assert {o.state for o in ours.machine.books.orders.values()} <= {
        OrderState.FILLED,
        OrderState.EXPIRED,
        OrderState.REJECTED,
    }
