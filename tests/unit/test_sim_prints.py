"""Public trades made from bars: the same bars again, no hole in the numbers, the same answer by every way of asking."""

from decimal import Decimal as D
from itertools import pairwise

import numpy as np
import pytest

from core.units import MINUTE_MS
from exchanges.simulated.market import A_MINUTE, TapeMarket
from exchanges.simulated.prints import PublicTrades
from exchanges.simulated.tape import Tape
from exchanges.simulated.walk import random_walk_tape

START = 1_767_225_600_000
MINUTES = 40


@pytest.fixture(scope="module")
def market() -> TapeMarket:
    """A walk with a halt of three minutes, a quiet minute, and one in which a single unit was traded."""
    tape = random_walk_tape(("BTC/USDT",), START, MINUTES, seed=3)
    bars = np.array(tape.bars)
    bars[0, 10:13] = np.nan
    bars[0, 20, :4] = bars[0, 20, 3]
    bars[0, 20, 4] = 0.0
    bars[0, 25, 4] = 1e-8
    made = Tape(tape.instruments, START, bars)
    return TapeMarket(made, made.default_rules())


@pytest.fixture(scope="module")
def trades(market) -> PublicTrades:
    return PublicTrades(market, list(market.tape.default_rules().values()))


def test_bars_built_from_trades_are_the_bars(market, trades):
    found = trades.between(0, START - 1, market.end_ms)
    for index in range(MINUTES):
        minute = START + index * MINUTE_MS
        inside = [t for t in found if minute <= t.at_ms < minute + MINUTE_MS]
        bar = market.bar(0, minute, market.end_ms)
        if bar is None or bar.volume < 1e-7:
            assert inside == []
            continue
        prices = [float(t.price) for t in inside]
        assert (prices[0], max(prices), min(prices), prices[-1]) == (bar.open, bar.high, bar.low, bar.close)
        assert float(sum(t.quantity for t in inside)) == bar.volume
        assert len(inside) == A_MINUTE


def test_numbers_have_no_hole_and_times_go_on(market, trades):
    found = trades.between(0, START - 1, market.end_ms)
    assert [t.number for t in found] == list(range(1, (MINUTES - 5) * A_MINUTE + 1))
    times = [t.at_ms for t in found]
    assert times == sorted(set(times))
    assert all(t.quantity > 0 and t.price % D("0.01") == 0 for t in found)


def test_every_way_of_asking_gives_the_same_trades(market, trades):
    now = START + 33 * MINUTE_MS + 17_000
    everything = trades.between(0, START - 1, now)
    assert everything[-1].at_ms <= now
    assert trades.newest(0, now, 100) == everything[-100:]
    assert trades.newest(0, now, 10_000) == everything
    for number in (1, 7, 12, 13, 121, 122, 240, len(everything)):
        assert trades.numbered(0, number, now, 30) == everything[number - 1 : number + 29]
    assert trades.numbered(0, len(everything) + 1, now, 5) == []
    moment = START + 11 * MINUTE_MS
    assert trades.since(0, moment, now, 5) == [t for t in everything if t.at_ms >= moment][:5]
    pieces = [t for at in range(START - 1, now, 7_000) for t in trades.between(0, at, min(at + 7_000, now))]
    assert pieces == everything


def test_who_took_follows_the_price(market, trades):
    found = trades.between(0, START + MINUTE_MS - 1, START + 2 * MINUTE_MS - 1)
    for before, after in pairwise(found):
        if before.price != after.price:
            assert after.seller_took == (after.price < before.price)
