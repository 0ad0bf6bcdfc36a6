"""A stop order under each position at the exchange: placed, replaced, taken off before a sale, found again at boot."""

from decimal import Decimal as D

import pytest

from core.errors import OutcomeUnknown
from core.execution.local import LocalExecutor
from core.execution.machine import ExecutionMachine, configured
from core.messages import Approved, CancelOrder, OrderSnapshot, PlaceOrder, Reports, TradingState, Verdicts
from core.params import ExecutionSettings, ProtectionSettings, RiskSettings
from core.protection import exit_rules
from core.units import MINUTE_MS, Side
from exchanges.simulated.local import SimulatedVenue
from exchanges.simulated.orders import OrderType
from tests.support.fake_venue import MemoryJournal
from tests.support.scripted_market import BEGIN, BTC, steady, story

IMMEDIATE = ExecutionSettings(algorithm="immediate")
FALL = [(60_000.0, 60_000.0, 56_000.0, 56_000.0)]
GAP = [(45_000.0, 45_000.0, 45_000.0, 45_000.0)]


class Told(SimulatedVenue):
    """Notes what it was asked to do."""

    def __init__(self, *args, **more) -> None:
        super().__init__(*args, **more)
        self.calls: list[str] = []
        self.deaf = 0
        """So many cancels are not answered."""

    def place(self, order: PlaceOrder) -> OrderSnapshot:
        self.calls.append(f"{order.side.value}{' stop' if order.stop_price else ''} {order.quantity.normalize()}")
        return super().place(order)

    def cancel(self, order: CancelOrder) -> OrderSnapshot:
        self.calls.append("cancel")
        if self.deaf:
            self.deaf -= 1
            raise OutcomeUnknown("timed out")
        return super().cancel(order)


def venue_of(*bars) -> Told:
    return Told(
        story([*steady(2), *bars, *steady(6, bars[-1][3] if bars else 60_000.0)], balances={"USDT": D(100_000)})
    )


def executor(venue: Told, journal: MemoryJournal | None = None, **settings) -> LocalExecutor:
    rules = venue.rules()
    exits = exit_rules(ProtectionSettings(**({"stop_loss_pct": 5} | settings)), RiskSettings())
    machine = ExecutionMachine(IMMEDIATE, rules, "main")
    machine.handle(configured(IMMEDIATE, rules, exits, ["binance"]))
    return LocalExecutor(machine, venue, journal)


class At:
    def __init__(self, minute: int) -> None:
        self.minute, self.now_ms = minute, minute + MINUTE_MS


def wants(quantity: str, side: Side, minute: int) -> Approved:
    price = D(61_000) if side is Side.BUY else D(40_000)
    return Approved(
        intent_id=f"{minute}-BTC",
        minute=minute,
        instrument=BTC,
        side=side,
        quantity=D(quantity),
        limit_price=price,
        reference_price=60_000.0,
        arithmetic=("by hand",),
    )


def decide(ours: LocalExecutor, venue: Told, number: int, *wanted: tuple[str, Side]) -> Reports:
    """Minute ``number`` of the story has closed."""
    minute = BEGIN + (number - 1) * MINUTE_MS
    venue.advance_to(minute + MINUTE_MS)
    approved = tuple(wants(quantity, side, minute) for quantity, side in wanted)
    verdicts = Verdicts(
        minute=minute, trace="t", state=TradingState.ACTIVE, state_reason="", approved=approved, refused=()
    )
    return ours.execute(At(minute), verdicts)


def look(ours: LocalExecutor, venue: Told, minutes: float) -> None:
    now = BEGIN + int(minutes * MINUTE_MS)
    venue.advance_to(now)
    ours.beat(now)
    ours.machine.validate()


def stops(venue: Told) -> list[tuple[D, D, D]]:
    """(quantity, stop price, limit) of what stands."""
    standing = [o for o in venue.exchange.open_orders() if o.type is OrderType.STOP_LOSS_LIMIT]
    return [(o.quantity - o.executed_quantity, o.stop_price, o.price) for o in standing]


def held(venue: Told, number: int = 1, quantity: str = "0.1", **settings) -> LocalExecutor:
    ours = executor(venue, **settings)
    decide(ours, venue, number, (quantity, Side.BUY))
    look(ours, venue, number + 0.2)
    return ours


def test_a_position_gets_a_stop_and_its_coins_count_as_free() -> None:
    venue = venue_of()
    ours = held(venue)
    ((quantity, stop, limit),) = stops(venue)
    bought = venue.account().total("binance", "BTC")
    assert bought - D("0.00001") < quantity <= bought and stop == pytest.approx(D(57_000), rel=D("0.001"))
    assert limit == pytest.approx(stop * D("0.95"), rel=D("0.001"))
    assert venue.account().free("binance", "BTC") < D("0.00001")
    account = ours.account(venue.now_ms())
    assert account.reconciled, account.difference
    assert account.free("binance", "BTC") == bought
    look(ours, venue, 1.5)
    assert venue.calls == ["buy 0.1", f"sell stop {quantity.normalize()}"], "one that fits is left alone"


def test_a_larger_position_gets_a_larger_stop() -> None:
    venue = venue_of()
    ours = held(venue)
    decide(ours, venue, 2, ("0.1", Side.BUY))
    look(ours, venue, 2.2)
    assert stops(venue) == [], "the old one is off, and its place is free at the next look"
    look(ours, venue, 2.3)
    assert [round(quantity, 3) for quantity, _, _ in stops(venue)] == [D("0.2")]


def test_a_trailing_stop_moves_the_order_at_the_exchange_when_it_is_worth_it() -> None:
    venue = venue_of((60_000.0, 63_000.0, 60_000.0, 63_000.0))
    ours = held(venue, stop_loss_pct=None, trailing_stop_pct=5)
    look(ours, venue, 1.9)
    first = stops(venue)
    look(ours, venue, 2.05)
    look(ours, venue, 2.06)
    assert stops(venue) == first, "half a per cent is not worth being bare"
    look(ours, venue, 3.0)
    look(ours, venue, 3.1)
    ((_, stop, _),) = stops(venue)
    assert stop == pytest.approx(D(63_000) * D("0.95"), rel=D("0.001"))


def test_a_sale_takes_the_stop_off_first_and_waits_for_the_answer() -> None:
    venue = venue_of()
    ours = held(venue)
    decide(ours, venue, 2, ("0.05", Side.SELL))
    assert venue.calls[2:] == ["cancel", "sell 0.05"]
    look(ours, venue, 2.2)
    assert [round(quantity, 3) for quantity, _, _ in stops(venue)] == [D("0.05")]
    decide(ours, venue, 3, ("0.0499", Side.SELL))
    assert stops(venue) == [] and venue.calls[-2:] == ["cancel", "sell 0.0499"]
    assert not ours.machine.exits.watched()


def test_without_an_answer_nothing_is_sold_before_the_venue_has_spoken() -> None:
    venue = venue_of()
    ours = held(venue)
    venue.deaf = 1
    decide(ours, venue, 2, ("0.05", Side.SELL))
    assert venue.calls[2:] == ["cancel"]
    look(ours, venue, 2.1)
    assert venue.calls[2:] == ["cancel", "cancel", "sell 0.05"], "it still stood, so it was cancelled again"


def test_while_the_bot_is_away_the_exchange_sells_and_the_bot_finds_out() -> None:
    venue, journal = venue_of(*FALL), MemoryJournal()
    ours = executor(venue, journal)
    decide(ours, venue, 1, ("0.1", Side.BUY))
    look(ours, venue, 1.2)
    venue.advance_to(BEGIN + 4 * MINUTE_MS)
    again = executor(venue, MemoryJournal(journal.entries))
    account = again.account(venue.now_ms())
    assert account.total("binance", "BTC") < D("0.00001") and not again.machine.exits.watched()
    assert sum(f.quantity for o in again.machine.books.orders.values() for f in o.fills if f.side is Side.SELL) > 0
    look(again, venue, 4.5)
    assert [call for call in venue.calls if call.startswith("sell 0")] == []


def test_at_boot_a_stop_that_is_gone_is_placed_again() -> None:
    venue, journal = venue_of(), MemoryJournal()
    ours = executor(venue, journal)
    decide(ours, venue, 1, ("0.1", Side.BUY))
    look(ours, venue, 1.2)
    before = stops(venue)
    (order,) = venue.exchange.open_orders()
    venue.exchange.cancel(0, client_id=order.client_id)
    again = executor(venue, MemoryJournal(journal.entries))
    again.account(venue.now_ms())
    look(again, venue, 1.4)
    assert stops(venue) == before


def test_a_stop_that_was_jumped_over_is_taken_off_and_the_bot_sells() -> None:
    venue = venue_of(*GAP)
    ours = held(venue)
    look(ours, venue, 2.1)
    assert ours.machine.exits.at_work(BTC) == "stop_loss" and len(stops(venue)) == 1, "it has five seconds"
    look(ours, venue, 2.2)
    assert stops(venue) == [] and venue.calls[-1] == "cancel"
    look(ours, venue, 2.22)
    assert venue.calls[-1].startswith("sell 0.")
    assert venue.account().total("binance", "BTC") < D("0.00001")


def test_whoever_stops_leaves_the_stop_and_a_setting_takes_it_off() -> None:
    venue, journal = venue_of(), MemoryJournal()
    ours = executor(venue, journal)
    decide(ours, venue, 1, ("0.1", Side.BUY))
    look(ours, venue, 1.2)
    assert ours.stop(venue.now_ms()) == () and len(stops(venue)) == 1
    assert ours.books()["unsettled"] == []
    rules = venue.rules()
    machine = ExecutionMachine(IMMEDIATE, rules, "main")
    again = LocalExecutor(machine, venue, MemoryJournal(journal.entries))
    look(again, venue, 1.5)
    assert stops(venue) == [], "protection is off now"


def test_the_journal_of_a_run_with_stops_can_be_gone_on_from() -> None:
    venue, journal = venue_of(*GAP), MemoryJournal()
    ours = executor(venue, journal)
    decide(ours, venue, 1, ("0.1", Side.BUY))
    for at in (1.2, 1.5, 2.1, 2.2, 2.3):
        look(ours, venue, at)
        again = executor(venue, MemoryJournal(journal.entries))
        assert again.machine.books.positions.held.keys() == ours.machine.books.positions.held.keys()
        ours, journal = again, again._scribe._journal
