"""How many symbols the limits allow: said with the numbers, refused beyond."""

import pytest

from core.errors import ConfigError
from exchanges.limits.capacity import require_room, room_of


def test_binance_is_bound_by_its_streams_before_its_weight():
    room = require_room("binance", 200)
    assert (room.most, room.fits) == (512, True)
    assert [bound.most for bound in room.bounds] == [(3_000 - 100) // 3, 512]
    assert room.words() == "binance: 200 of at most 512 symbols; 2 streams a symbol on a connection that takes 1,024"


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
