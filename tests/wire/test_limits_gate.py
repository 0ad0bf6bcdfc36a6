"""Standing in line: patience, asking before the first spending, who goes first, and what is left behind."""

import asyncio
import time

import pytest

from core.errors import ExchangeUnavailable
from exchanges.limits import Gate, Priority
from exchanges.limits.counters import Fixed
from exchanges.limits.store import MemoryStore
from exchanges.limits.tables import ORDERS, WEIGHT, binance_costs, binance_line, upbit_line

COST = binance_costs(1)
MIDDLE = 1_772_000_040_000 + 12_000
"""Of a minute and of ten seconds of the venue."""


def known(limit: int = 100) -> Gate:
    """A gate that knows what is used: nothing; far from the turn of any window, by a clock that is right."""
    began, line = time.monotonic(), binance_line()
    line.slack_ms = 0.0
    gate = Gate("binance", MemoryStore(line, lambda: MIDDLE + int((time.monotonic() - began) * 1_000)))
    gate.learn({WEIGHT: limit})
    for counter in line.counters.values():
        if isinstance(counter, Fixed):
            counter.recorded_from = 0
    return gate


def upbit() -> Gate:
    gate = Gate("upbit", MemoryStore(upbit_line()))
    gate.look(lambda line, now: [setattr(c, "foreign_until", 0) for c in line.counters.values()])
    return gate


def tickets(gate: Gate) -> int:
    return gate.look(lambda line, _: len(line.tickets))


async def test_a_turn_counts_while_it_lasts_and_what_the_venue_states_afterwards():
    gate = known()
    async with gate.turn(COST, Priority.EXIT, 100, "query") as turn:
        assert gate.look(lambda line, now: line.used(now, WEIGHT)) == 1
        turn.heard({"X-MBX-USED-WEIGHT-1M": "40"})
    assert 40 <= gate.look(lambda line, now: line.used(now, WEIGHT)) <= 41


async def test_headers_reach_the_request_of_the_task_that_hears_them():
    """The vendor's client calls back with headers and no request; two requests are on their way at once."""
    gate = known()
    both = asyncio.Barrier(2)

    async def ask(costs: dict[str, int], headers: dict[str, str]) -> None:
        async with gate.turn(costs, Priority.EXIT, 100, "ask"):
            await both.wait()
            gate.heard(headers)

    await asyncio.gather(
        ask(COST, {"X-MBX-USED-WEIGHT-1M": "7"}),
        ask(binance_costs(1, orders=1), {"X-MBX-ORDER-COUNT-10S": "9"}),
    )
    assert gate.look(lambda line, now: line.used(now, ORDERS)) in (9, 10)
    gate.heard({"X-MBX-USED-WEIGHT-1M": "99"})  # of nobody's request: says nothing
    assert gate.look(lambda line, now: line.used(now, WEIGHT)) < 20


async def test_whoever_can_not_be_served_in_time_is_told_at_once_and_leaves_the_line():
    gate = known()
    gate.look(lambda line, now: line.turned_away(now, 429, 30.0))
    began = asyncio.get_running_loop().time()
    with pytest.raises(ExchangeUnavailable, match="binance new order: not sent, the venue asked for a pause") as away:
        async with gate.turn(COST, Priority.ORDER, 1_000, "new order"):
            raise AssertionError("admitted")
    assert 29 < away.value.retry_after_s <= 30
    assert asyncio.get_running_loop().time() - began < 0.5
    assert tickets(gate) == 0


async def test_who_is_cancelled_while_waiting_leaves_nothing_behind():
    gate = known()
    gate.look(lambda line, now: line.turned_away(now, 429, 30.0))

    async def wait() -> None:
        async with gate.turn(COST, Priority.ORDER, 60_000, "new order"):
            raise AssertionError("admitted")

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.05)
    assert tickets(gate) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert tickets(gate) == 0


async def test_a_request_that_fails_is_over_all_the_same():
    gate = known()
    with pytest.raises(ValueError, match="vendor"):
        async with gate.turn(COST, Priority.EXIT, 100, "query"):
            raise ValueError("vendor")
    assert tickets(gate) == 0
    assert gate.look(lambda line, now: line.used(now, WEIGHT)) == 1


async def test_the_more_urgent_go_first_whoever_came_first():
    gate = upbit()
    gate.look(lambda line, _: setattr(line.counters["order"], "window_ms", 150))
    gate.look(lambda line, _: setattr(line.counters["order"], "limit", 1))
    served: list[Priority] = []

    async def ask(priority: Priority) -> None:
        async with gate.turn({"order": 1}, priority, 10_000, "ask"):
            served.append(priority)

    async with gate.turn({"order": 1}, Priority.ORDER, 100, "first"):
        waiting = [asyncio.create_task(ask(p)) for p in sorted(Priority, reverse=True)]
        await asyncio.sleep(0.1)
    await asyncio.wait_for(asyncio.gather(*waiting), 10)
    assert served == sorted(Priority)


async def test_the_venue_is_asked_once_before_anybody_spends():
    gate, asked = Gate.of("binance"), []

    async def probe() -> None:
        async with gate.turn(COST, Priority.EXIT, 1_000, "server time", probe=True) as turn:
            asked.append(1)
            await asyncio.sleep(0.05)
            turn.heard({"X-MBX-USED-WEIGHT-1M": "12"})

    gate.probe = probe

    async def history() -> None:
        async with gate.turn(binance_costs(2), Priority.HISTORY, 6_000, "klines"):
            assert asked

    await asyncio.gather(*(history() for _ in range(5)))
    assert len(asked) == 1
    await gate.close()


async def test_a_venue_that_can_not_be_asked_is_no_reason_to_hold_an_exit():
    gate = Gate.of("binance")

    async def probe() -> None:
        raise ExchangeUnavailable("binance server time: no connection to the venue")

    gate.probe = probe
    with pytest.raises(ExchangeUnavailable, match=r"could not be asked what is used: .*no connection"):
        async with gate.turn(COST, Priority.ORDER, 2_000, "new order"):
            raise AssertionError("admitted")
    for priority in (Priority.CANCEL, Priority.EXIT):
        async with gate.turn(COST, priority, 10, "urgent"):
            pass
    await gate.close()


async def test_a_line_that_is_full_takes_cancels_only(monkeypatch):
    gate = known()
    monkeypatch.setattr("exchanges.limits.line.MOST_TICKETS", 3)
    for _ in range(3):
        gate.look(lambda line, now: line.enter(now, 1, Priority.HISTORY, COST))
    with pytest.raises(ExchangeUnavailable, match="too many wait"):
        async with gate.turn(COST, Priority.ORDER, 1_000, "new order"):
            raise AssertionError("admitted")
    async with gate.turn(COST, Priority.CANCEL, 1_000, "cancel"):
        pass
