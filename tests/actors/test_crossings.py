"""Trades that crossed a stop while its book was silent: the venue's touch decides, and trades only where it is not told."""

import asyncio
from decimal import Decimal

import pytest

from actors import executor as executor_module
from actors.executor import ExecutorActor
from core.messages import Top, Verdicts
from core.params import ExecutionSettings, ProtectionSettings, RiskSettings
from core.prints import OLD_S, Crossing
from core.protection import NOT_DUE, Bounds, exit_rules
from core.units import MINUTE_MS, Side
from tests.support.fake_venue import BTC, ETH, MINUTE, AsyncFakeVenue, FakeVenue, MemoryJournal, approved

CLOSE = MINUTE + MINUTE_MS
RULES = exit_rules(ProtectionSettings(stop_loss_pct=5, take_profit_pct=10), RiskSettings(collar_bps=100))


class At:
    minute, now_ms = MINUTE, CLOSE


async def holding(venue: AsyncFakeVenue) -> ExecutorActor:
    """One position, entered at 100."""
    live = ExecutorActor(ExecutionSettings(algorithm="immediate"), "main", venue, MemoryJournal(), exits=RULES)
    await live.start(CLOSE)
    intent = approved("2", price="100")
    said = Verdicts(minute=MINUTE, trace="t", state="active", state_reason="", approved=(intent,), refused=())  # type: ignore[arg-type]
    await live.execute(At(), said)  # type: ignore[arg-type]
    assert live.bounds() == {BTC: Bounds(95.0, 100.0 * 1.1)}
    venue.inner.calls.clear()
    return live


def sales(venue: FakeVenue) -> list[tuple[Decimal, Decimal]]:
    return [(h.placed.quantity, h.placed.price) for h in venue.history if h.placed.side is Side.SELL]


def crossing(price: float, count: int = 2, silent_s: float = OLD_S) -> dict:
    return {BTC: Crossing(price=price, count=count, silent_s=silent_s)}


@pytest.mark.parametrize(("mid", "sold"), [(94.0, True), (99.0, False)])
async def test_the_venues_touch_decides_whatever_the_trades_said(mid, sold):
    venue = FakeVenue()
    live = await holding(AsyncFakeVenue(venue))
    venue.mids = {BTC: mid}
    await live.on_crossings(crossing(50.0, count=9, silent_s=99.0), CLOSE + 500)
    assert venue.count("tops") == 1
    assert sales(venue) == ([(Decimal(2), Decimal("93.06"))] if sold else [])


@pytest.mark.parametrize(
    ("told", "at"),
    [
        (crossing(94.0), 94.0),
        (crossing(111.0), 111.0),
        (crossing(94.0, count=1), None),
        (crossing(94.0, silent_s=OLD_S - 0.5), None),
        (crossing(96.0), None),
    ],
)
async def test_where_no_book_is_told_two_prints_count_once_it_has_been_silent_for_long(told, at):
    venue = FakeVenue()
    live = await holding(AsyncFakeVenue(venue))
    venue.down = True
    await live.on_crossings(told, CLOSE + 500)
    assert "away" in (await live.health())["blind"]
    assert sales(venue) == ([] if at is None else [(Decimal(2), Decimal(repr(round(at * 0.99, 2))))])


async def test_a_touch_that_does_not_come_in_time_is_as_good_as_none_and_a_book_heard_meanwhile_is_one(monkeypatch):
    class Slow(AsyncFakeVenue):
        async def tops(self, instruments):
            self.inner.calls.append(("tops", ""))
            await asyncio.sleep(60)
            raise AssertionError("nobody waits so long")

    monkeypatch.setattr(executor_module, "LOOK_S", 0.1)
    for heard in (True, False):
        venue = FakeVenue()
        live = await holding(Slow(venue))
        looking = asyncio.create_task(live.on_crossings(crossing(94.0, silent_s=99.0), CLOSE + 500))
        await asyncio.sleep(0.02)
        if heard:
            await live.on_tops({BTC: Top(bid=98.99, bid_qty=1.0, ask=99.01, ask_qty=1.0, at_ms=0)}, CLOSE + 600)
        await asyncio.wait_for(looking, 10)
        assert sales(venue) == ([] if heard else [(Decimal(2), Decimal("93.06"))])


async def test_what_is_not_held_is_not_asked_for():
    venue = FakeVenue()
    live = await holding(AsyncFakeVenue(venue))
    await live.on_crossings({ETH: Crossing(price=1.0, count=3, silent_s=99.0)}, CLOSE + 500)
    assert venue.calls == []
    position = live._started.books.positions.held[BTC]
    position.due = 1
    assert live.bounds()[BTC].low == float("inf") and position.due != NOT_DUE
