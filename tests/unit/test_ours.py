"""The user's own coins are nobody's position; clocks are watched beside the minutes."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.clock_watch import ClockWatch
from config.settings import ExchangeSettings
from core.errors import ExchangeUnavailable
from core.execution.ours import ours
from core.messages import AccountState, Balance, Unexplained
from core.standing import ClockReading
from tests.support.markets import BTC, ETH, account

FLOWS = {("binance", "BTC"): Decimal("0.5"), ("binance", "USDT"): Decimal("-25000")}


def test_only_what_our_fills_brought_is_ours():
    told = ours(account(USDT="1000", BTC="2", ETH="3", DOGE="7"), FLOWS, (BTC, ETH))
    assert told.total("binance", "BTC") == Decimal("0.5")
    assert told.total("binance", "ETH") == 0, "bought by hand"
    assert told.total("binance", "USDT") == 1000, "money is common"
    assert told.total("binance", "DOGE") == 7, "not traded: nobody looks at it"


def test_what_a_person_took_away_is_ours_no_more():
    assert ours(account(BTC="0.2"), FLOWS, (BTC,)).total("binance", "BTC") == Decimal("0.2")


@given(st.integers(0, 10), st.integers(0, 10), st.integers(-3, 12))
def test_our_part_never_exceeds_what_is_there(free, locked, flow):
    state = AccountState(
        at_ms=0, balances=(Balance(venue="binance", asset="BTC", free=Decimal(free), locked=Decimal(locked)),)
    )
    (part,) = ours(state, {("binance", "BTC"): Decimal(flow)}, (BTC,)).balances
    assert 0 <= part.free <= free
    assert 0 <= part.locked <= locked
    assert part.total == max(0, min(flow, free + locked))


@pytest.mark.parametrize(
    ("total", "changed", "mine"),
    [
        ("1.5", "1.0", ()),  # coins sent in: not ours, so no profit of ours
        ("0.5", "-1.0", ()),  # the user's own coins sent away
        ("0.3", "-1.2", ("-0.2",)),  # and 0.2 of ours with them
    ],
)
def test_a_change_of_the_users_coins_is_none_of_ours(total, changed, mine):
    change = Unexplained(venue="binance", asset="BTC", amount=Decimal(changed))
    state = replace(account(BTC=total), unexplained=(change,), transferred=(change,))
    told = ours(state, FLOWS, (BTC,))
    for found in (told.unexplained, told.transferred):
        assert tuple(str(c.amount) for c in found) == mine


class Venue:
    """A gateway whose clock is read from a script."""

    def __init__(self, *readings: tuple[float, float] | None) -> None:
        self.readings = list(readings)

    async def measure_clock(self, clock=None, samples: int = 1) -> ClockReading:
        reading = self.readings.pop(0)
        if reading is None:
            raise ExchangeUnavailable("no answer")
        return ClockReading(offset_ms=reading[0], round_trip_ms=reading[1], within=True)


async def test_the_worst_clock_is_told_from_the_minute_after_it_was_read():
    settings = {"binance": ExchangeSettings(max_clock_offset_ms=500), "upbit": ExchangeSettings()}
    watch = ClockWatch(
        {"binance": Venue((-700.0, 100.0), None, None), "upbit": Venue((800.0, 0.0), None, None)}, settings
    )
    first = watch.told(account(USDT="1"))
    assert first.clock_offset_ms is None
    await watch._asking
    second = watch.told(account(USDT="1"))
    assert (second.clock_offset_ms, second.clock_allowed_ms) == (-650.0, 500.0)
    await watch._asking
    third = watch.told(account(USDT="1"))
    assert third.clock_offset_ms == -650.0, "a silent venue keeps its last reading"
