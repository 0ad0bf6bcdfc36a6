"""What a download says on its way, and how it reads what people type."""

import pytest

from actors.history.downloading import span_words
from actors.history.history_command import Progress, instruments_of, moment
from core.errors import ConfigError
from core.units import MINUTE_MS, Instrument

BTC, ETH = Instrument("binance", "BTC/USDT"), Instrument("binance", "ETH/USDT")


def test_time_left_is_by_the_pace_of_this_run_not_by_what_was_there():
    now, said = [0.0], []
    progress = Progress(said.append, 4_000, clock=lambda: now[0])
    progress.tell(BTC, 1_000)
    now[0] = 60.0
    progress.tell(BTC, 1_000)
    assert said == [
        "binance:BTC/USDT: 1,000 minutes are there already",
        "binance:BTC/USDT:  50% done, about 2 min left",
    ]
    progress.tell(ETH, 0)
    now[0] = 3_600.0
    progress.tell(ETH, 10)
    assert said[-1] == "binance:ETH/USDT:  50% done, about 118 min left"
    now[0] = 7_200.0
    progress.tell(ETH, 10)
    assert said[-1].endswith("about 3.9 h left")


def test_dates_are_utc_unless_they_say_otherwise():
    assert moment("2024-01", "--since") == moment("2024-01-01", "--since") == 1_704_067_200_000
    assert moment("2024-01-01T09:00+09:00", "--since") == 1_704_067_200_000
    assert moment("2024-01-01T00:00:59", "--since") == 1_704_067_200_000


@pytest.mark.parametrize("text", ["", "now", "2024-02-30", "0001-01-01", "99999-01-01", "1e12"])
def test_what_is_no_date_is_told(text):
    with pytest.raises(ConfigError, match="--until"):
        moment(text, "--until")


def test_symbols_are_read_as_people_write_them():
    assert instruments_of("binance", " btc/usdt, ETH/USDT,btc/usdt") == (BTC, ETH)


def test_a_gap_is_told_with_its_length():
    assert span_words((1_704_067_200_000, 1_704_067_200_000 + 80 * MINUTE_MS)) == (
        "2024-01-01T00:00Z to 2024-01-01T01:19Z (80 min)"
    )
