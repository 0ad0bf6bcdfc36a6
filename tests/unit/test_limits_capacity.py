"""How many symbols the limits allow: said with the numbers, refused beyond."""

import pytest

from core.errors import ConfigError
from exchanges.limits.capacity import require_room, room_of


def test_binance_is_bound_by_its_streams_before_its_weight():
    room = require_room("binance", 200)
    assert (room.most, room.fits) == (512, True)
    assert [bound.most for bound in room.bounds] == [(3_000 - 100) // 3, 512]
    assert room.words() == "binance: 200 of at most 512 symbols; 2 streams a symbol on a connection that takes 1,024"


def test_on_paper_trades_and_books_take_streams_too():
    room = require_room("binance", 200, paper=True)
    assert room.words().endswith("at most 256 symbols; 4 streams a symbol on paper on a connection that takes 1,024")
    # Upbit's bars and quotes are made of the very streams that paper needs.
    assert room_of("upbit", 10, paper=True) == room_of("upbit", 10)
    with pytest.raises(ConfigError, match=r"257 symbols at binance.*allow 256"):
        require_room("binance", 257, paper=True)


def test_upbit_is_bound_by_its_candles():
    room = require_room("upbit", 10)
    assert room.most == 300
    assert "up to 200 minutes away takes 1 candle requests a symbol, of 300 a minute (half of" in room.words()


def test_a_lower_limit_that_the_venue_states_counts():
    assert room_of("binance", 1, {"weight": 1_200}).most == (600 - 100) // 3
    assert room_of("upbit", 1, {"candle": 2}).most == 60
    assert room_of("binance", 1, {"weight": 100}).most == 0


@pytest.mark.parametrize(("venue", "symbols", "over"), [("binance", 513, 1), ("upbit", 500, 200)])
def test_beyond_it_the_settings_are_refused_with_the_numbers(venue, symbols, over):
    with pytest.raises(ConfigError, match=f"{symbols} symbols at {venue}.* allow {symbols - over}.*take out {over}$"):
        require_room(venue, symbols)
