"""Path, book and matching of the simulated exchange: small facts about pure functions."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.book import LEVELS
from core.errors import DataError
from core.path import extremes_at, price_at, share_below
from core.units import MINUTE_MS, Instrument, Side
from exchanges.simulated.market import Passage, TapeMarket
from exchanges.simulated.matching import (
    passed_volume,
    queue_ahead,
    shown,
    take,
    take_money,
    traded_through,
)
from exchanges.simulated.tape import Tape
from exchanges.simulated.walk import random_walk_tape

START = 1_767_225_600_000
ROSE = (100.0, 103.0, 99.0, 102.0)
FELL = (102.0, 103.0, 99.0, 100.0)


def test_the_path_visits_open_both_extremes_and_ends_at_the_close():
    assert [price_at(*ROSE, ms) for ms in (0, 20_000, 40_000, 60_000)] == [100.0, 99.0, 103.0, 102.0]
    assert [price_at(*FELL, ms) for ms in (0, 20_000, 40_000, 60_000)] == [102.0, 103.0, 99.0, 100.0]


def test_extremes_are_not_known_before_the_path_reached_them():
    high, low = extremes_at(*ROSE, 20_000)
    assert (high, low) == (100.0, 99.0)
    assert extremes_at(*ROSE, 60_000) == (103.0, 99.0)


@given(st.integers(0, MINUTE_MS))
def test_the_path_stays_inside_the_bar(ms):
    assert 99.0 <= price_at(*ROSE, ms) <= 103.0
    assert 99.0 <= price_at(*FELL, ms) <= 103.0


def test_share_below_counts_time_on_a_straight_line():
    assert share_below(10.0, 20.0, 15.0) == 0.5
    assert share_below(20.0, 10.0, 12.5) == 0.25
    assert share_below(10.0, 20.0, 9.0) == 0.0
    assert share_below(10.0, 10.0, 10.0) == 1.0


ASKS = ((101, 5), (102, 7), (104, 10))
BIDS = ((100, 5), (99, 7), (97, 10))


def gone(*steps: int) -> np.ndarray:
    """What was taken of the first levels."""
    return np.array([*steps, *[0] * (LEVELS - len(steps))], np.int64)


def test_taking_walks_levels_up_to_the_limit():
    assert take(ASKS, gone(), Side.BUY, 102, 100) == [(0, 101, 5), (1, 102, 7)]
    assert take(BIDS, gone(), Side.SELL, 99, 6) == [(0, 100, 5), (1, 99, 1)]
    assert take(ASKS, gone(), Side.BUY, 100, 6) == []


def test_what_was_taken_is_gone():
    assert take(ASKS, gone(5, 3), Side.BUY, None, 100) == [(1, 102, 4), (2, 104, 10)]
    assert shown(ASKS, gone(5, 3)) == ((102, 4), (104, 10))


def test_money_buys_whole_steps_and_no_more_than_it_pays_for():
    takes = take_money(ASKS, gone(), 101 * 5 + 102 * 2 + 50, 1)
    assert takes == [(0, 101, 5), (1, 102, 2)]
    assert take_money(ASKS, gone(), 50, 1) == []


@given(
    limit=st.integers(90, 110),
    want=st.integers(1, 40),
    taken=st.lists(st.integers(0, 5), max_size=3),
    side=st.sampled_from(list(Side)),
)
def test_nothing_trades_through_its_limit_or_beyond_what_stands(limit, want, taken, side):
    levels = ASKS if side is Side.BUY else BIDS
    takes = take(levels, gone(*taken), side, limit, want)
    assert sum(t.steps for t in takes) <= want
    for level, ticks, steps in takes:
        assert ticks <= limit if side is Side.BUY else ticks >= limit
        assert 0 < steps <= levels[level][1] - (taken[level] if level < len(taken) else 0)


def test_the_queue_ahead_is_what_stands_at_our_price():
    assert queue_ahead(BIDS, Side.BUY, 101) == 0
    assert queue_ahead(BIDS, Side.BUY, 99) == 7
    assert queue_ahead(BIDS, Side.BUY, 98) == 10
    assert queue_ahead(BIDS, Side.BUY, 50) == 10
    assert queue_ahead(ASKS, Side.SELL, 103) == 10
    assert queue_ahead((), Side.SELL, 103) == 0


def test_a_resting_order_sees_half_the_volume_that_trades_at_its_price():
    calm = Passage(start=100.0, end=100.0, half_spread=1.0, volume=8.0)
    assert passed_volume(Side.BUY, 99, 1.0, calm) == 4.0
    assert passed_volume(Side.BUY, 98, 1.0, calm) == 0.0
    assert passed_volume(Side.SELL, 101, 1.0, calm) == 4.0
    assert passed_volume(Side.SELL, 102, 1.0, calm) == 0.0
    assert not traded_through(Side.BUY, 99, 1.0, calm)


def test_a_price_that_reaches_us_from_the_other_side_fills_us():
    fell = Passage(start=100.0, end=97.0, half_spread=1.0, volume=8.0)
    assert traded_through(Side.BUY, 98, 1.0, fell)
    assert not traded_through(Side.BUY, 97, 1.0, fell)
    assert traded_through(Side.SELL, 99, 1.0, fell)


# The tape


def small_tape(minutes: int = 40) -> Tape:
    return random_walk_tape(("BTC/USDT", "ETH/USDT"), START, minutes, seed=3)


def test_at_the_close_the_book_stands_around_the_close():
    tape = small_tape()
    market = TapeMarket(tape, tape.default_rules())
    for index in range(20, 40):
        book = market.ladder(0, START + (index + 1) * MINUTE_MS)
        close = round(tape.bars[0, index, 3] * 100)
        assert book.bids[0][0] <= close <= book.asks[0][0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 39 * MINUTE_MS), st.integers(0, 1_000_000))
def test_nothing_that_comes_later_shows_in_the_book_or_in_the_bars(elapsed, seed):
    """A tape that is another one after the running minute looks the same until then."""
    tape = small_tape()
    now = START + elapsed
    last = max(0, (elapsed - 1) // MINUTE_MS)
    other = np.array(tape.bars)
    other[:, last + 1 :] *= np.random.default_rng(seed).uniform(1.5, 3.0)
    rules = tape.default_rules()
    one, two = TapeMarket(tape, rules), TapeMarket(Tape(tape.instruments, START, other), rules)
    for row in (0, 1):
        assert one.ladder(row, now) == two.ladder(row, now)
        assert one.average_price(row, now, 5) == two.average_price(row, now, 5)
        assert one.bar(row, START + last * MINUTE_MS, now) == two.bar(row, START + last * MINUTE_MS, now)
        assert one.bar(row, START + (last + 1) * MINUTE_MS, now) is None


def test_the_depth_of_a_minute_knows_only_closed_minutes():
    tape = small_tape()
    other = np.array(tape.bars)
    other[:, 30, 4] *= 50.0
    rules = tape.default_rules()
    one, two = TapeMarket(tape, rules), TapeMarket(Tape(tape.instruments, START, other), rules)
    inside, closed = START + 30 * MINUTE_MS + 59_999, START + 31 * MINUTE_MS
    assert one.ladder(0, inside) == two.ladder(0, inside)
    assert one.ladder(0, closed) != two.ladder(0, closed)


def test_a_tape_cut_elsewhere_gives_the_same_digits():
    """Once every window is full: the longest is the spread's, 24 whole hours."""
    tape = small_tape(1_600)
    cut = Tape(tape.instruments, START + 10 * MINUTE_MS, tape.bars[:, 10:])
    rules = tape.default_rules()
    one, two = TapeMarket(tape, rules), TapeMarket(cut, rules)
    for ms in range(START + 1_500 * MINUTE_MS, START + 1_600 * MINUTE_MS, 70_001):
        assert one.ladder(0, ms) == two.ladder(0, ms)


def test_a_halt_has_no_book_no_bar_and_no_trading():
    tape = small_tape()
    bars = np.array(tape.bars)
    bars[0, 20] = np.nan
    market = TapeMarket(Tape(tape.instruments, START, bars), tape.default_rules())
    during = START + 20 * MINUTE_MS + 1
    assert market.trading(0, during - 1)
    assert not market.trading(0, during)
    assert market.trading(1, during)
    assert market.ladder(0, during).asks == ()
    assert market.bar(0, START + 20 * MINUTE_MS, START + 30 * MINUTE_MS) is None
    assert market.ladder(0, START + 21 * MINUTE_MS + 1).asks != ()


def test_a_tape_survives_its_file(tmp_path):
    tape = replace(small_tape(), sentiment=((START + 1, 40.0), (START + 90_000, 41.5)))
    tape.save(tmp_path / "market.npz")
    back = Tape.load(tmp_path / "market.npz")
    assert back.instruments == tape.instruments
    assert np.array_equal(back.bars, tape.bars)
    assert (back.start_minute, back.synthetic, back.sentiment) == (START, True, tape.sentiment)
    assert back.sentiment_at(START) is None
    assert back.sentiment_at(START + 1_000).value == 40.0


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut"])
def test_a_file_that_is_no_tape_is_named(tmp_path, content):
    path = tmp_path / "market.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"market\.npz"):
        Tape.load(path)
    with pytest.raises(DataError, match="no such file"):
        Tape.load(tmp_path / "absent.npz")


@pytest.mark.parametrize(
    "broken",
    [(1.0, 0.9, 0.8, 1.0, 1.0), (1.0, 1.0, -1.0, 1.0, 1.0), (1.0, np.nan, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0, -2.0)],
)
def test_bars_that_cannot_be_are_refused_with_their_minute(broken):
    bars = np.array(small_tape().bars)
    bars[1, 7] = broken
    with pytest.raises(DataError, match=f"ETH/USDT minute {START + 7 * MINUTE_MS}"):
        Tape(small_tape().instruments, START, bars)


def test_rules_are_binances_for_what_is_known_and_fine_enough_for_the_rest():
    bars = np.tile([0.0000123, 0.0000124, 0.0000122, 0.0000123, 1e9], (2, 5, 1))
    tape = Tape((Instrument("binance", "BTC/USDT"), Instrument("binance", "PEPE/USDT")), START, bars)
    btc, pepe = tape.default_rules().values()
    assert (btc.tick, btc.step, btc.min_notional) == (Decimal("0.01"), Decimal("0.00001"), 5)
    assert pepe.tick == Decimal("0.00000001")
