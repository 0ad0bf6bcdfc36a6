"""Where bars came from outlives the run, and a broken line or disk costs nothing else."""

from core.messages import BarRevised
from core.units import MINUTE_MS
from data.bar_log import WORDS, BarLog, read_source
from tests.support.markets import BTC, ETH, MINUTE, bar

NEXT = MINUTE + MINUTE_MS


def test_each_bar_is_found_with_its_source(tmp_path):
    kept = BarLog(tmp_path)
    flat = bar(MINUTE, 5.0, volume=0.0, filler=True)
    revised = BarRevised(instrument=BTC, bar=bar(MINUTE - MINUTE_MS, 6.0, source="rest"), before=None)
    kept.add(MINUTE, (BTC, ETH), (bar(MINUTE, 5.0), flat), (revised,))
    kept.add(NEXT, (BTC, ETH), (bar(NEXT, 5.0, source="rest"), None), ())
    told = [read_source(tmp_path, minute, i) for minute in (MINUTE, NEXT) for i in (BTC, ETH)]
    assert told == ["stream", "filler", "rest", "none"]
    assert set(told) == set(WORDS)
    assert read_source(tmp_path, NEXT + MINUTE_MS, BTC) == ""
    assert f'"revised":[["{BTC}",{MINUTE - MINUTE_MS}]]' in kept.path.read_text()


def test_a_line_cut_short_is_left_out_and_the_next_one_stands(tmp_path):
    kept = BarLog(tmp_path)
    kept.add(MINUTE, (BTC,), (bar(MINUTE, 5.0, source="rest"),), ())
    with kept.path.open("ab") as file:
        file.write(b'{"minute":')
    BarLog(tmp_path).add(NEXT, (BTC,), (bar(NEXT, 5.0),), ())
    assert [read_source(tmp_path, minute, BTC) for minute in (MINUTE, NEXT)] == ["rest", "stream"]


def test_a_minute_told_twice_is_what_was_told_last(tmp_path):
    kept = BarLog(tmp_path)
    kept.add(MINUTE, (BTC,), (None,), ())
    kept.add(MINUTE, (BTC,), (bar(MINUTE, 5.0, source="rest"),), ())
    assert read_source(tmp_path, MINUTE, BTC) == "rest"


def test_a_folder_that_is_not_there_is_said_once(tmp_path, caplog):
    kept = BarLog(tmp_path / "gone")
    for _ in range(3):
        kept.add(MINUTE, (BTC,), (None,), ())
    assert len(caplog.records) == 1
    assert read_source(tmp_path / "gone", MINUTE, BTC) == ""
