"""A stop and a take-profit at the exchange, of which one cancels the other: placed as one, taken off as one, never twice."""

from collections.abc import Callable
from decimal import Decimal as D

import pytest

from core.errors import ExchangeRefused, ExchangeUnavailable, OutcomeUnknown
from core.execution.local import LocalExecutor
from core.execution.machine import ExecutionMachine, configured
from core.messages import CancelOrder, OrderSnapshot, OrderState, PlaceOrder
from core.params import CostSettings, ProtectionSettings, RiskSettings
from core.protection import exit_rules
from core.units import MINUTE_MS, Side, floor_to_step
from exchanges.simulated.local import SimulatedVenue
from exchanges.simulated.orders import OrderType
from tests.support.fake_venue import Crash, MemoryJournal
from tests.support.scripted_market import BEGIN, BTC, steady, story
from tests.unit.test_exchange_stops import FALL, GAP, IMMEDIATE, decide, look

RISE = [(60_000.0, 64_000.0, 60_000.0, 63_500.0)]


class Told(SimulatedVenue):
    """Notes what it was asked to do; ``trouble`` is met by the next orders, one each ("" for none)."""

    def __init__(self, *args, **more) -> None:
        super().__init__(*args, **more)
        self.calls: list[str] = []
        self.trouble: list[str] = []
        self.deaths: set[int] = set()
        """The process dies after so many calls took effect."""

    def place(self, order: PlaceOrder) -> OrderSnapshot:
        kind = "pair" if order.pair_price else "stop" if order.stop_price else order.side.value
        self.calls.append(f"{kind} {order.quantity.normalize()}")
        trouble = self.trouble.pop(0) if self.trouble else ""
        if trouble == "refused":
            raise ExchangeRefused("Order list is not supported for this symbol", code="-1013")
        if trouble == "away":
            raise ExchangeUnavailable("not reached")
        if trouble == "lost before":
            raise OutcomeUnknown("timed out")
        snapshot = super().place(order)
        if trouble == "lost after":
            raise OutcomeUnknown("timed out")
        return self._survive(snapshot)

    def cancel(self, order: CancelOrder) -> OrderSnapshot:
        self.calls.append("cancel")
        return self._survive(super().cancel(order))

    def _survive(self, snapshot: OrderSnapshot) -> OrderSnapshot:
        if len(self.calls) in self.deaths:
            self.deaths.discard(len(self.calls))
            raise Crash
        return snapshot


def venue_of(*bars) -> Told:
    last = bars[-1][3] if bars else 60_000.0
    return Told(story([*steady(2), *bars, *steady(6, last)], balances={"USDT": D(100_000)}))


def executor(venue: Told, journal: MemoryJournal | None = None, pairs: bool = True, **settings) -> LocalExecutor:
    rules = venue.rules()
    wanted = {"stop_loss_pct": 5, "take_profit_pct": 5} | settings
    exits = exit_rules(ProtectionSettings(**wanted), RiskSettings())
    machine = ExecutionMachine(IMMEDIATE, rules, "main")
    config = configured(IMMEDIATE, rules, exits, ["binance"], ["binance"] if pairs else [])
    machine.handle(config)
    ours = LocalExecutor(machine, venue, journal)
    if machine.config != config:
        # The journal ended with the settings of another life; a start puts today's in force.
        ours._run(config)
    return ours


def held(venue: Told, **settings) -> LocalExecutor:
    """0.1 bought in the first minute, looked after in the second."""
    ours = executor(venue, **settings)
    decide(ours, venue, 1, ("0.1", Side.BUY))
    look(ours, venue, 1.2)
    return ours


def standing(venue: Told) -> list[tuple[OrderType, D, D]]:
    """(kind, quantity left, price that matters) of what stands, the upper one first."""
    found = [(o.type, o.quantity - o.executed_quantity, o.stop_price or o.price) for o in venue.exchange.open_orders()]
    return sorted(found, key=lambda order: -order[2])


def lists(venue: Told) -> int:
    return sum(not found.done for found in venue.exchange.order_lists())


def coins(venue: Told) -> D:
    return venue.account().total("binance", "BTC")


def sold_twice(venue: Told) -> bool:
    """A name was taken more than once, or more was sold than bought."""
    names = [o.client_id for o in venue.exchange.orders.values()]
    sold = sum(t.quantity for t in venue.exchange.my_trades(0) if t.side is Side.SELL)
    return len(set(names)) < len(names) or sold > D("0.1")


def test_a_position_gets_a_stop_and_a_profit_as_one_and_its_coins_are_bound_once() -> None:
    venue = venue_of()
    ours = held(venue)
    (maker, above, high), (stop, below, low) = standing(venue)
    assert (maker, stop, above) == (OrderType.LIMIT_MAKER, OrderType.STOP_LOSS_LIMIT, below)
    assert high == pytest.approx(D(63_000), rel=D("0.001")) and low == pytest.approx(D(57_000), rel=D("0.001"))
    assert lists(venue) == 1 and venue.calls == ["buy 0.1", f"pair {above.normalize()}"]
    assert [o.state for o in ours.machine.unsettled()] == [OrderState.OPEN] * 2
    account = ours.account(venue.now_ms())
    assert account.reconciled, account.difference
    assert account.free("binance", "BTC") == coins(venue)
    look(ours, venue, 1.5)
    assert len(venue.calls) == 2, "one that fits is left alone"


@pytest.mark.parametrize(
    "settings", [{"take_profit_pct": None}, {"pairs": False}], ids=["no profit set", "no pairs there"]
)
def test_else_the_stop_stands_alone(settings) -> None:
    venue = venue_of()
    held(venue, **settings)
    assert [kind for kind, _, _ in standing(venue)] == [OrderType.STOP_LOSS_LIMIT]


@pytest.mark.parametrize(("bars", "price"), [(RISE, 63_000), (FALL, 57_000)], ids=["profit", "loss"])
def test_one_is_executed_and_the_other_is_gone(bars, price) -> None:
    venue = venue_of(*bars)
    ours = held(venue)
    for at in (2.1, 2.4, 2.7, 3.0, 3.1):
        look(ours, venue, at)
    assert coins(venue) < D("0.00001") and standing(venue) == []
    sold = [t for t in venue.exchange.my_trades(0) if t.side is Side.SELL]
    assert all(abs(float(t.price) / price - 1) < 0.002 for t in sold)
    assert [call for call in venue.calls if call.startswith("sell")] == [], "the exchange did it"
    account = ours.account(venue.now_ms())
    assert account.reconciled, account.difference
    assert ours.machine.unsettled() == () and not ours.machine.exits.watched()
    assert len(ours.machine.books.trips.closed) == 1


def test_while_the_bot_is_away_the_exchange_takes_the_profit_and_the_bot_finds_out() -> None:
    venue, journal = venue_of(*RISE), MemoryJournal()
    ours = executor(venue, journal)
    decide(ours, venue, 1, ("0.1", Side.BUY))
    look(ours, venue, 1.2)
    venue.advance_to(BEGIN + 4 * MINUTE_MS)
    again = executor(venue, MemoryJournal(journal.entries))
    account = again.account(venue.now_ms())
    assert account.reconciled, account.difference
    assert coins(venue) < D("0.00001") and not again.machine.exits.watched()
    look(again, venue, 4.5)
    assert len(venue.calls) == 2 and not sold_twice(venue)


def test_a_sale_takes_both_off_and_waits_for_the_word_on_each() -> None:
    venue = venue_of()
    ours = held(venue)
    decide(ours, venue, 2, ("0.05", Side.SELL))
    assert venue.calls[2:] == ["cancel", "cancel", "sell 0.05"]
    assert lists(venue) == 0
    look(ours, venue, 2.2)
    assert lists(venue) == 1 and {round(quantity, 3) for _, quantity, _ in standing(venue)} == {D("0.05")}
    assert not sold_twice(venue)


def test_a_larger_position_gets_a_larger_pair() -> None:
    venue = venue_of()
    ours = held(venue)
    decide(ours, venue, 2, ("0.1", Side.BUY))
    for at in (2.2, 2.3, 2.4):
        look(ours, venue, at)
    assert lists(venue) == 1 and {round(quantity, 3) for _, quantity, _ in standing(venue)} == {D("0.2")}


def test_a_profit_that_is_filled_in_part_leaves_the_rest_to_a_new_pair() -> None:
    touched = [(60_000.0, 63_100.0, 60_000.0, 61_000.0)]
    bars = [*steady(3), *touched, *steady(6, 61_000.0)]
    # A tenth of half a coin a minute is ours at most.
    venue = Told(story(bars, balances={"USDT": D(100_000)}, costs=CostSettings(latency=False), volume=0.5))
    ours = executor(venue)
    for minute in (1, 2):
        decide(ours, venue, minute, ("0.04", Side.BUY))
        for at in (0.2, 0.3, 0.4):
            look(ours, venue, minute + at)
    assert {round(quantity, 3) for _, quantity, _ in standing(venue)} == {D("0.08")}
    for at in (3.2, 4.0, 4.2, 4.3, 4.4, 4.5):
        look(ours, venue, at)
        account = ours.account(venue.now_ms())
    sold = sum(t.quantity for t in venue.exchange.my_trades(0) if t.side is Side.SELL)
    assert D("0.01") < sold < D("0.07") and account.reconciled, account.difference
    assert lists(venue) == 1 and {quantity for _, quantity, _ in standing(venue)} == {
        floor_to_step(coins(venue), D("0.00001"))
    }
    assert not [call for call in venue.calls if call.startswith("sell")]


def test_a_stop_that_was_jumped_over_is_taken_off_with_its_pair_and_the_bot_sells() -> None:
    venue = venue_of(*GAP)
    ours = held(venue)
    look(ours, venue, 2.05)
    assert ours.machine.exits.at_work(BTC) == "stop_loss" and len(standing(venue)) == 1, (
        "the profit expired; the stop waits"
    )
    for at in (2.2, 2.22, 2.25, 2.3):
        look(ours, venue, at)
    assert standing(venue) == [] and coins(venue) < D("0.00001")
    assert venue.calls[-1].startswith("sell 0.") and not sold_twice(venue)


@pytest.mark.parametrize("trouble", ["lost before", "lost after", "away"])
def test_a_pair_whose_outcome_is_unknown_is_asked_about_and_never_doubled(trouble) -> None:
    venue = venue_of()
    venue.trouble = ["", trouble]
    ours = held(venue)
    for at in (1.3, 1.4, 1.5, 1.6, 2.0, 2.4, 2.6, 2.8):
        look(ours, venue, at)
    assert lists(venue) == 1 and len(standing(venue)) == 2
    assert sum(call.startswith("pair") for call in venue.calls) == (1 if trouble == "lost after" else 2)
    assert not sold_twice(venue)
    assert [o.state for o in ours.machine.unsettled()] == [OrderState.OPEN] * 2


def test_where_lists_are_refused_the_stop_is_left_alone_until_the_position_ends() -> None:
    venue = venue_of()
    venue.trouble = ["", "refused"]
    ours = held(venue)
    look(ours, venue, 1.25)
    assert [kind for kind, _, _ in standing(venue)] == [OrderType.STOP_LOSS_LIMIT]
    look(ours, venue, 1.5)
    assert [call.split()[0] for call in venue.calls] == ["buy", "pair", "stop"]
    decide(ours, venue, 2, ("0.0999", Side.SELL))
    decide(ours, venue, 3, ("0.1", Side.BUY))
    for at in (3.2, 3.3):
        look(ours, venue, at)
    assert lists(venue) == 1, "the next position is tried again"


def test_whoever_stops_leaves_both_and_at_boot_what_is_gone_is_placed_again() -> None:
    venue, journal = venue_of(), MemoryJournal()
    ours = executor(venue, journal)
    decide(ours, venue, 1, ("0.1", Side.BUY))
    look(ours, venue, 1.2)
    before = standing(venue)
    assert ours.stop(venue.now_ms()) == () and standing(venue) == before
    again = executor(venue, MemoryJournal(journal.entries))
    again.account(venue.now_ms())
    look(again, venue, 1.3)
    assert standing(venue) == before and len(venue.calls) == 2, "found, and left"
    # Somebody takes it off by hand while the bot is away.
    journal = MemoryJournal(again._scribe._journal.entries)
    venue.exchange.cancel(0, client_id=venue.exchange.open_orders()[0].client_id)
    third = executor(venue, journal)
    third.account(venue.now_ms())
    look(third, venue, 1.5)
    assert standing(venue) == before and lists(venue) == 1


def test_a_journal_from_before_there_were_pairs_can_be_gone_on_from() -> None:
    venue, journal = venue_of(), MemoryJournal()
    ours = executor(venue, journal, pairs=False)
    decide(ours, venue, 1, ("0.1", Side.BUY))
    look(ours, venue, 1.2)
    old = [
        (kind, text.replace(b'"pairs_at":[],', b"").replace(b',"pairs_at":[]', b"")) for kind, text in journal.entries
    ]
    assert old != journal.entries
    again = executor(venue, MemoryJournal(old))
    for at in (1.4, 1.5, 1.6):
        look(again, venue, at)
    assert lists(venue) == 1 and len(standing(venue)) == 2


# --- dying anywhere


STORIES: dict[str, tuple[list, list[tuple[float, tuple[str, Side] | None]]]] = {
    "placed": ([], [(1.2, None), (1.4, None)]),
    "sold by the ensemble": ([], [(1.2, None), (2.0, ("0.05", Side.SELL)), (2.3, None), (2.5, None)]),
    "profit": (RISE, [(1.2, None), (2.2, None), (2.9, None), (3.1, None)]),
    "jumped over": (GAP, [(1.2, None), (2.05, None), (2.2, None), (2.25, None), (2.4, None)]),
}


LEFT = {"placed": ("0.1",), "sold by the ensemble": ("0.05", "0.1")}


def live_through(name: str, crash: Callable[[MemoryJournal, Told], None]) -> tuple[Told, LocalExecutor, int]:
    """Play a story; whoever dies is born again from its journal and does the step it died in once more."""
    bars, steps = STORIES[name]
    venue, journal = venue_of(*bars), MemoryJournal()
    crash(journal, venue)
    ours: LocalExecutor | None = None
    deaths = 0
    todo = [(1.0, ("0.1", Side.BUY)), *steps, (4.2, None), (4.4, None), (4.6, None)]
    while todo:
        at, wanted = todo[0]
        try:
            if ours is None:
                ours = executor(venue, journal)
            if wanted is not None:
                decide(ours, venue, int(at), wanted)
            else:
                venue.advance_to(BEGIN + int(at * MINUTE_MS))
                ours.account(venue.now_ms())
                look(ours, venue, at)
        except Crash:
            deaths, ours = deaths + 1, None
            journal = MemoryJournal(journal.entries)
            continue
        todo.pop(0)
    assert ours is not None
    journal.crash_before = journal.crash_after = None
    return venue, ours, deaths


def ended_well(name: str, venue: Told, ours: LocalExecutor) -> None:
    assert not sold_twice(venue)
    # A purchase or a sale that was written down and never sent is not made up for: the minute it was of is over.
    bought = any(t.side is Side.BUY for t in venue.exchange.my_trades(0))
    left = LEFT.get(name, ("0",)) if bought else ("0",)
    assert any(abs(coins(venue) - D(amount)) < D("0.0002") for amount in left), coins(venue)
    rest = floor_to_step(coins(venue), D("0.00001"))
    whole = rest > D("0.001")
    assert lists(venue) == whole and [quantity for _, quantity, _ in standing(venue)] == [rest] * 2 * whole
    account = ours.account(venue.now_ms())
    assert account.reconciled, account.difference
    ours.machine.validate()


@pytest.mark.parametrize("name", STORIES)
def test_a_death_at_any_write_to_the_journal_leaves_nothing_twice(name) -> None:
    def never(journal: MemoryJournal, venue: Told) -> None:
        return None

    venue, ours, _ = live_through(name, never)
    ended_well(name, venue, ours)
    writes, calls, died = ours._scribe._journal.appends, len(venue.calls), 0
    for number in range(1, writes + 1):
        for when in ("crash_before", "crash_after"):
            venue, ours, deaths = live_through(name, lambda j, v, w=when, n=number: setattr(j, w, n))
            ended_well(name, venue, ours)
            died += deaths
    for number in range(1, calls + 1):
        venue, ours, deaths = live_through(name, lambda j, v, n=number: v.deaths.add(n))
        ended_well(name, venue, ours)
        died += deaths
    assert died > 10
