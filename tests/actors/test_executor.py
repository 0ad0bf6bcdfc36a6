"""The executor actor as a plain object: the same machine as the backtest's, awaited, with a journal on disk.

Above 400 lines because every call that takes the executor's one lock is tried beside the others.
"""

import asyncio
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest

from actors.executor import ExecutorActor
from core.errors import DataError, Defect, ExchangeUnavailable
from core.execution.local import LocalExecutor
from core.execution.machine import ExecutionMachine
from core.execution.scribe import replay
from core.execution.summary import summary
from core.messages import MinuteTick, OrderState, Top, TradingState, Verdicts
from core.params import ExecutionSettings, ProtectionSettings, RiskSettings
from core.protection import exit_rules
from core.units import MINUTE_MS, Side
from data.journal import SqliteJournal
from tests.support.fake_venue import (
    BTC,
    ETH,
    MANY,
    MINUTE,
    RULES,
    XRP,
    AsyncFakeVenue,
    Crash,
    FakeVenue,
    MemoryJournal,
    approved,
)

CLOSE = MINUTE + MINUTE_MS
SETTINGS = ExecutionSettings(slices=3, slice_seconds=15)
IMMEDIATE = ExecutionSettings(algorithm="immediate")


class At:
    """The two fields of a market that the executor reads."""

    def __init__(self, minute: int) -> None:
        self.minute, self.now_ms = minute, minute + MINUTE_MS


def verdicts(*intents, minute=MINUTE) -> Verdicts:
    return Verdicts(minute=minute, trace="t", state=TradingState.ACTIVE, state_reason="", approved=intents, refused=())


def tick(now_ms: int) -> MinuteTick:
    return MinuteTick(minute=MINUTE, now_ms=now_ms, trace="t")


def actor(venue: FakeVenue, journal=None, settings=SETTINGS) -> ExecutorActor:
    return ExecutorActor(settings, "main", AsyncFakeVenue(venue), journal or MemoryJournal())


async def run_minute(executor, *intents, minute=MINUTE):
    reports = await executor.execute(At(minute), verdicts(*intents, minute=minute))
    for beat in (15_000, 30_000, 45_000):
        await executor.beat(minute + MINUTE_MS + beat)
    return reports


async def test_a_minute_equals_the_backtests():
    script = ["half", "lost-fill", "none", "silent", "fill", "lost-before"]
    ours, theirs = FakeVenue(script), FakeVenue(script)
    our_journal, their_journal = MemoryJournal(), MemoryJournal()
    live = actor(ours, our_journal)
    await live.start(CLOSE)
    local = LocalExecutor(ExecutionMachine(SETTINGS, RULES, "main"), theirs, their_journal)
    for number in range(3):
        minute = MINUTE + number * MINUTE_MS
        side = Side.BUY if number == 1 else Side.SELL
        intents = (approved("0.9", minute=minute), approved("0.5", side, ETH, minute=minute))
        account = await live.account(tick(minute + MINUTE_MS))
        assert replace(account, took_ms=0) == local.account(minute + MINUTE_MS)
        reports = await run_minute(live, *intents, minute=minute)
        assert reports.took_ms > 0
        assert replace(reports, took_ms=0) == local.execute(At(minute), verdicts(*intents, minute=minute))
        for beat in (15_000, 30_000, 45_000):
            local.beat(minute + MINUTE_MS + beat)
    assert [h.placed for h in ours.history] == [h.placed for h in theirs.history]
    assert await live.books() == local.books()
    assert our_journal.entries == their_journal.entries


async def test_nothing_works_before_start():
    live = actor(FakeVenue())
    for call in (
        live.execute(At(MINUTE), verdicts()),
        live.beat(CLOSE),
        live.account(tick(CLOSE)),
        live.books(),
    ):
        with pytest.raises(Defect, match="start"):
            await call
    assert (await live.health())["started"] is False
    assert await live.stop() == {"open": [], "unsettled": []}


async def test_start_twice_is_one_start():
    venue, journal = FakeVenue(), MemoryJournal()
    live = actor(venue, journal)
    await live.start(CLOSE)
    await run_minute(live, approved("0.9"))
    entries = len(journal.entries)
    await live.start(CLOSE + 50_000)
    assert len(journal.entries) == entries
    assert (await live.books())["totals"]["BTC/USDT"]["bought"] == "0.9"


async def test_a_start_that_finds_the_venue_away_may_be_repeated():
    venue = FakeVenue()
    live = actor(venue)
    venue.down = True
    with pytest.raises(ExchangeUnavailable):
        await live.start(CLOSE)
    assert (await live.health())["started"] is False
    venue.down = False
    assert (await live.start(CLOSE))["started"] is True
    await run_minute(live, approved("0.9"))
    assert venue.sent_twice() == []


async def test_fills_from_the_stream_and_the_answer_count_once():
    venue = FakeVenue(["rest"])
    live = actor(venue, settings=ExecutionSettings(algorithm="immediate"))
    await live.start(CLOSE)
    await live.execute(At(MINUTE), verdicts(approved("1")))
    name = venue.history[0].placed.client_id
    fill = venue.trade(name, Decimal("0.4"))
    await live.on_fill(fill)
    await live.on_fill(fill)
    await live.beat(CLOSE + 5_000)
    assert (await live.books())["orders"] == {name: "0.4"}
    assert (await live.books())["states"] == {name: "partial"}
    venue.trade(name, Decimal("0.6"))
    await live.on_snapshot(venue.query(name, BTC))
    await live.on_reconnect()
    assert (await live.books())["states"] == {name: "filled"}
    assert (await live.health())["unsettled"] == []
    account = await live.account(tick(CLOSE + MINUTE_MS))
    assert account.reconciled, account.difference


async def test_calls_do_not_interleave():
    inside: Counter[str] = Counter()

    class Slow(AsyncFakeVenue):
        async def place(self, order):
            slot = order.client_id.rpartition("-")[2]
            inside[slot] += 1
            assert +inside == {slot: inside[slot]}, "orders of two calls at once"
            for _ in range(5):
                await asyncio.sleep(0)
            snapshot = await super().place(order)
            inside[slot] -= 1
            return snapshot

    venue = FakeVenue()
    live = ExecutorActor(SETTINGS, "main", Slow(venue), MemoryJournal())
    await live.start(CLOSE)
    await asyncio.gather(
        live.execute(At(MINUTE), verdicts(approved("0.9"), approved("0.9", instrument=ETH))),
        live.beat(CLOSE + 15_000),
        live.account(tick(CLOSE + 16_000)),
        live.beat(CLOSE + 30_000),
    )
    assert len(venue.history) == 6
    assert venue.sent_twice() == []
    assert (await live.books())["unsettled"] == []


def broad(venue, journal=None) -> ExecutorActor:
    """An executor of five instruments whose first minute was, so that nothing is asked before it is sent."""
    return ExecutorActor(IMMEDIATE, "main", venue, journal or MemoryJournal(), rules=MANY)


def minute_of(number: int, sold=()) -> tuple[At, Verdicts]:
    minute = MINUTE + number * MINUTE_MS
    intents = (approved("0.5", Side.SELL if i in sold else Side.BUY, i, minute=minute) for i in MANY)
    return At(minute), verdicts(*intents, minute=minute)


async def started(venue, journal=None) -> ExecutorActor:
    live = broad(venue, journal)
    await live.start(CLOSE)
    await live.execute(At(MINUTE), verdicts())
    return live


async def test_orders_of_one_side_go_at_once_and_are_written_at_once():
    waiting = {Side.SELL: asyncio.Barrier(2), Side.BUY: asyncio.Barrier(3)}
    told: list[tuple[str, Side]] = []

    class Meeting(AsyncFakeVenue):
        """Answers the orders of a side when all of them are there."""

        async def place(self, order):
            told.append(("asked", order.side))
            await waiting[order.side].wait()
            snapshot = await super().place(order)
            told.append(("answered", order.side))
            return snapshot

    venue, journal = Meeting(FakeVenue()), MemoryJournal()
    live = await started(venue, journal)
    before = journal.appends
    await asyncio.wait_for(live.execute(*minute_of(1, sold=(ETH, XRP))), 5)
    # What is sold is back before the first buy asks for the money.
    expected = [("asked", Side.SELL)] * 2 + [("answered", Side.SELL)] * 2
    assert told == [*expected, *[("asked", Side.BUY)] * 3, *[("answered", Side.BUY)] * 3]
    assert journal.appends == before + 3
    assert len((await live.books())["orders"]) == 5


async def test_each_order_has_its_own_answer():
    class Turned(AsyncFakeVenue):
        """Answers in the opposite order of asking."""

        left = len(MANY)

        async def place(self, order):
            self.left -= 1
            for _ in range(self.left * 3):
                await asyncio.sleep(0)
            return await super().place(order)

    script = ["fill", "refuse", "lost-fill", "unavailable", "lost-before"]
    venue = FakeVenue(script)
    live = await started(Turned(venue))
    at, said = minute_of(1)
    await live.execute(at, said)
    for later in (5_000, 10_000):
        await live.account(tick(at.now_ms + later))
    # The last one asked was the first there.
    assert list((await live.books())["states"].values()) == ["rejected", "rejected", "filled", "rejected", "filled"]
    assert venue.sent_twice() == []
    assert sum(venue.executed().values()) == Decimal(1)


class Odd(AsyncFakeVenue):
    """The third order comes to ``end`` after it was placed."""

    def __init__(self, inner: FakeVenue, end) -> None:
        super().__init__(inner)
        self.end = end
        self.placed = 0

    async def place(self, order):
        self.placed += 1
        snapshot = await super().place(order)
        if self.placed == 3:
            await self.end()
        return snapshot


async def broken() -> None:
    raise RuntimeError("a call broke")


async def hanging() -> None:
    await asyncio.Event().wait()


async def withdrawn() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("end", "error"), [(broken, RuntimeError), (hanging, TimeoutError), (withdrawn, asyncio.CancelledError)]
)
async def test_one_call_that_breaks_loses_no_other_answer(end, error):
    venue, journal = FakeVenue(), MemoryJournal()
    live = await started(Odd(venue, end), journal)
    at, said = minute_of(1)
    with pytest.raises(error):
        await asyncio.wait_for(live.execute(at, said), 0.2)
    assert Counter((await live.books())["states"].values()) == {"sent": 1, "filled": 4}
    # As the next life would find it in the journal, so this one has it: the one that broke is asked about.
    replayed = ExecutionMachine(IMMEDIATE, MANY, "main")
    replay(journal.replay(), replayed)
    assert summary(replayed) == await live.books()
    await live.account(tick(at.now_ms + 5_000))
    assert (await live.health())["unsettled"] == []
    assert {n: Decimal(q) for n, q in (await live.books())["orders"].items()} == venue.executed()
    assert venue.sent_twice() == []


async def test_a_call_cancelled_in_flight_leaves_an_order_to_ask_about():
    class Hanging(AsyncFakeVenue):
        async def place(self, order):
            await super().place(order)
            await asyncio.Event().wait()

    venue = FakeVenue()
    live = ExecutorActor(SETTINGS, "main", Hanging(venue), MemoryJournal())
    await live.start(CLOSE)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(live.execute(At(MINUTE), verdicts(approved("0.9"))), 0.05)
    account = await live.account(tick(CLOSE + 5_000))
    assert account.reconciled, account.difference
    assert (await live.books())["orders"] == {venue.history[0].placed.client_id: "0.3"}


@pytest.mark.parametrize("script", [["lost-fill"], ["lost-before"], ["lost-rest"], ["fill"], ["half"]])
async def test_killed_between_send_and_answer_then_started_on_the_same_file(tmp_path, script):
    class Dying(AsyncFakeVenue):
        async def place(self, order):
            try:
                return await super().place(order)
            finally:
                raise Crash

    path = tmp_path / "journal.sqlite"
    venue = FakeVenue(script)
    journal = SqliteJournal(path)
    first = ExecutorActor(SETTINGS, "main", Dying(venue), journal)
    await first.start(CLOSE)
    with pytest.raises(Crash):
        await first.execute(At(MINUTE), verdicts(approved("0.9")))
    journal.close()

    journal = SqliteJournal(path)
    second = ExecutorActor(SETTINGS, "main", AsyncFakeVenue(venue), journal)
    venue.calls.clear()
    await second.start(CLOSE + 5_000)
    assert ("query", "mh-main-ens-h9kjk-BTCUSDT-0") in venue.calls
    # The conductor may run the same minute again.
    await run_minute(second, approved("0.9"))
    await second.account(tick(CLOSE + 50_000))
    result = await second.stop()
    assert result == {"open": [], "unsettled": []}
    assert venue.sent_twice() == []
    books = await second.books()
    assert {n: Decimal(q) for n, q in books["orders"].items() if Decimal(q)} == {
        n: q for n, q in venue.executed().items() if q
    }
    assert sum(venue.executed().values()) <= Decimal("0.9")
    journal.close()


async def test_a_lost_journal_does_not_send_the_first_minute_twice():
    venue = FakeVenue(["fill", "half"])
    first = actor(venue)
    await first.start(CLOSE)
    await first.execute(At(MINUTE), verdicts(approved("0.9"), approved("0.5", instrument=ETH)))
    second = actor(venue)
    await second.start(CLOSE + 5_000)
    await second.execute(At(MINUTE), verdicts(approved("0.9"), approved("0.5", instrument=ETH)))
    assert venue.sent_twice() == []
    assert {n: Decimal(q) for n, q in (await second.books())["orders"].items()} == venue.executed()


async def test_start_cancels_open_orders_of_our_name_only():
    venue = FakeVenue(["rest", "rest", "rest"])
    lost = actor(venue, settings=ExecutionSettings(algorithm="immediate"))
    await lost.start(CLOSE)
    await lost.execute(At(MINUTE), verdicts(approved("1")))
    ours = venue.history[0].placed
    venue.place(replace(ours, client_id=ours.client_id.replace("mh-main-", "mh-other-")))
    venue.place(replace(ours, client_id="by-hand"))
    again = actor(venue)
    health = await again.start(CLOSE + 1_000)
    assert [h.state for h in venue.history] == [OrderState.CANCELLED, OrderState.OPEN, OrderState.OPEN]
    assert "not in the books" in health["faults"][0]
    assert health["unsettled"] == []


async def test_stop_fences_cancels_and_counts_what_is_left():
    venue = FakeVenue(["rest", "rest"])
    live = actor(venue, settings=ExecutionSettings(algorithm="immediate"))
    await live.start(CLOSE)
    await live.execute(At(MINUTE), verdicts(approved("1"), approved("1", instrument=ETH)))
    assert await live.stop() == {"open": [], "unsettled": []}
    await live.execute(
        At(MINUTE + MINUTE_MS), verdicts(approved("1", minute=MINUTE + MINUTE_MS), minute=MINUTE + MINUTE_MS)
    )
    assert venue.count("place") == 2
    assert (await live.health())["stopped"] is True


async def test_stop_with_the_venue_away_says_that_it_does_not_know():
    venue = FakeVenue(["rest"])
    live = actor(venue, settings=ExecutionSettings(algorithm="immediate"))
    await live.start(CLOSE)
    await live.execute(At(MINUTE), verdicts(approved("1")))
    venue.down = True
    result = await live.stop()
    assert result["open"] is None
    assert result["unsettled"] == [venue.history[0].placed.client_id]
    venue.down = False
    assert await live.stop() == {"open": [], "unsettled": []}


async def test_a_full_disk_shows_in_health_and_sends_nothing():
    venue, journal = FakeVenue(), MemoryJournal()
    live = actor(venue, journal)
    await live.start(CLOSE)
    journal.broken = Defect("journal j cannot be written: disk is full")
    await live.execute(At(MINUTE), verdicts(approved("0.9")))
    assert venue.history == []
    assert "disk is full" in (await live.health())["journal"]
    journal.broken = None
    await live.beat(CLOSE + 15_000)
    assert (await live.health())["journal"] == "ok"
    assert len(venue.history) == 1


async def test_a_damaged_journal_stops_the_start():
    live = actor(FakeVenue(), MemoryJournal([("Beat", b"[1,{]")]))
    with pytest.raises(DataError, match="Beat"):
        await live.start(CLOSE)
    assert (await live.health())["started"] is False


async def test_answers_arrive_while_a_call_is_slow():
    release = asyncio.Event()

    class Slow(AsyncFakeVenue):
        async def place(self, order):
            await release.wait()
            return await super().place(order)

    live = ExecutorActor(SETTINGS, "main", Slow(FakeVenue()), MemoryJournal())
    await live.start(CLOSE)
    task = asyncio.create_task(live.execute(At(MINUTE), verdicts(approved("0.9"))))
    await asyncio.sleep(0)
    assert (await asyncio.wait_for(live.health(), 1))["busy"] is True
    release.set()
    await task


async def test_positions_are_sold_on_a_changed_book_at_a_beat_and_by_the_timer():
    for way in ("book", "beat", "timer"):
        venue = FakeVenue()
        stop = exit_rules(ProtectionSettings(stop_loss_pct=5), RiskSettings(collar_bps=100))
        live = ExecutorActor(IMMEDIATE, "main", AsyncFakeVenue(venue), MemoryJournal(), exits=stop)
        await live.on_tops({BTC: top_of(90.0)}, CLOSE)
        await live.start(CLOSE)
        await live.execute(At(MINUTE), verdicts(approved("2")))
        assert live.watched() == [BTC] and (await live.health())["protected"] == ["binance:BTC/USDT"]
        venue.mids = {BTC: 94.0}
        if way == "book":
            await live.on_tops({BTC: top_of(94.0), ETH: top_of(1.0)}, CLOSE + 500)
        elif way == "beat":
            await live.beat(CLOSE + 500)
        else:
            await live.watch(CLOSE + 500)
        sells = [held.placed for held in venue.history if held.placed.side is Side.SELL]
        assert [(o.quantity, o.price) for o in sells] == [(2, Decimal("93.06"))], way
        assert live.watched() == []


async def test_a_book_that_cannot_be_read_holds_up_no_slice_and_is_told():
    venue = FakeVenue()
    live = ExecutorActor(
        SETTINGS, "main", AsyncFakeVenue(venue), MemoryJournal(), exits=exit_rules(ProtectionSettings(), RiskSettings())
    )
    await live.start(CLOSE)
    await live.execute(At(MINUTE), verdicts(approved("3")))
    venue.down = True
    await live.beat(CLOSE + 15_000)
    assert venue.count("place") == 2 and "the venue is away" in (await live.health())["blind"]
    venue.down = False
    await live.beat(CLOSE + 30_000)
    assert (await live.health())["blind"] == ""


def top_of(mid: float) -> Top:
    return Top(bid=mid - 0.01, bid_qty=1.0, ask=mid + 0.01, ask_qty=1.0, at_ms=0)
