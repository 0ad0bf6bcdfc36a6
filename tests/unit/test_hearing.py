"""A stream that lives and has gone deaf to a market is told from a halt, a quiet market and a broken connection."""

import pytest

from core.units import MINUTE_MS
from exchanges.hearing import APART_MS, DEAF_MINUTES, OLD_BOOK_MS, Hearing
from tests.support.markets import BTC, ETH, MINUTE, bar


def play(told: list, ages=(10.0, 10.0), broken=(), start: int = 0, hearing: Hearing | None = None) -> list:
    """What is found in each minute; ``told``: sources of BTC's bars, None for no bar. ETH is always heard."""
    hearing, found = hearing or Hearing((BTC, ETH)), []
    for number, source in enumerate(told, start):
        minute = MINUTE + number * MINUTE_MS
        mine = None if source is None else bar(minute, 5.0, source=source)
        found.append(hearing.minute(minute, (mine, bar(minute, 5.0)), ages, broken=number in broken))
    return found


def test_what_rest_must_tell_three_minutes_in_a_row_the_stream_does_not_hear():
    assert play(["rest"] * 2) == [[], []]
    assert play(["stream", "rest", "rest", "rest"]) == [[], [], [], [(BTC, "bars")]]
    assert play(["rest", "rest", "stream", "rest", "rest"]) == [[]] * 5


def test_a_halt_and_a_rest_that_is_away_say_nothing():
    assert play([None] * 9) == [[]] * 9
    assert play(["rest", None, "rest", "rest"])[-1] == [(BTC, "bars")]


def test_a_filler_is_something_heard():
    assert play(["rest", "rest", "filler", "rest", "rest"]) == [[]] * 5


def test_an_old_book_in_minutes_that_traded_was_not_told():
    for age in (OLD_BOOK_MS + 1.0, None):
        assert play(["stream"] * 3, ages=(age, 10.0))[-1] == [(BTC, "book")]
    assert play(["stream"] * 3, ages=(OLD_BOOK_MS - 1.0, 10.0))[-1] == []


def test_an_old_book_of_a_market_in_which_nobody_trades_is_as_it_is():
    hearing = Hearing((BTC,))
    for number in range(5):
        quiet = bar(MINUTE + number * MINUTE_MS, 5.0, volume=0.0)
        assert hearing.minute(quiet.minute, (quiet,), (9e9,), broken=False) == []


@pytest.mark.parametrize("when", [2, 3])
def test_a_broken_connection_is_no_deafness(when):
    assert play(["rest"] * 4, broken=(when,))[-1] == []


def test_a_cure_that_does_not_help_is_not_tried_again_at_once():
    apart = APART_MS // MINUTE_MS
    found = play(["rest"] * (2 * apart + DEAF_MINUTES))
    assert [n for n, one in enumerate(found) if one] == [
        DEAF_MINUTES - 1,
        DEAF_MINUTES - 1 + apart,
        DEAF_MINUTES - 1 + 2 * apart,
    ]
