"""Parents worked on a recording: the recorded book is what they pay, the recorded trades are what fills them."""

import json
from pathlib import Path

import numpy as np
import pytest

from core.errors import DataError
from core.params import CostSettings, ExecutionSettings
from core.units import MINUTE_MS, Side
from tests.bench.support.recorded import BEFORE_S, Recording, depth_after, draw_seconds, read_streams
from tests.bench.support.shortfall import Case, bands, blocks_drawn, variance_ratio, work

START_MS = 1_723_161_600_000
BEHIND_MS = 1_270
"""By which the recorder's clock is behind the exchange's."""
SECONDS = BEFORE_S + 80
BIDS = [["99.98", "4"], ["99.97", "50"]]
ASKS = [["100.00", "2"], ["100.02", "50"]]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A market that stands still; every second somebody sells 0.5 at the bid, and the bid moves by a tick and back."""
    folder = tmp_path_factory.mktemp("recording")
    lines = [(0, "", {"lastUpdateId": 10, "bids": BIDS, "asks": ASKS})]
    for second in range(SECONDS):
        ms, of = second * 1_000, {"s": "BTCUSDT", "E": START_MS + second * 1_000}
        depth = {"e": "depthUpdate", "U": 11 + second, "u": 11 + second, "b": BIDS[:1], "a": [], **of}
        bid = "99.98" if second % 20 else "99.97"
        top = {"u": 11 + second, "s": "BTCUSDT", "b": bid, "B": "4", "a": "100.00", "A": "2"}
        trade = {"e": "trade", "t": second, "p": "99.98", "q": "0.5", "T": of["E"], "m": True, **of}
        for k, (name, data) in enumerate((("depth@100ms", depth), ("bookTicker", top), ("trade", trade))):
            lines.append((ms + k, f"btcusdt@{name}", data))
    with (folder / "btcusdt.txt").open("w") as file:
        lines.insert(1, lines.pop(0))
        for ms, stream, data in lines:
            told = json.dumps(data, separators=(",", ":"))
            text = f'{{"stream":"{stream}","data":{told}}}' if stream else told
            file.write(f"{(START_MS - BEHIND_MS + ms) * 1_000_000} {text}\n")
    (stream,) = read_streams(folder)
    return Recording(stream, CostSettings(), 1)


def case(recording: Recording, side: Side, quantity: float, second: int = 3) -> Case:
    at_ms = recording.at_ms(second)
    minute = at_ms // MINUTE_MS * MINUTE_MS - MINUTE_MS
    step = float(recording.rules[recording.instruments[0]].step)
    return Case(0, 0, minute, side, 0.01, round(quantity / step), 99.99, minute + MINUTE_MS - at_ms)


def test_who_crosses_walks_the_recorded_levels(recording: Recording) -> None:
    immediate = ExecutionSettings(algorithm="immediate")
    found = work(recording, case(recording, Side.BUY, 3.0), immediate)
    paid = (2 * 100.00 + 1 * 100.02) / 3
    assert found.shortfall_bps == pytest.approx((paid / 99.99 - 1.0) * 1e4, abs=1e-6)
    assert (found.maker, found.forced, found.minutes) == (0.0, 0.0, 1)


def test_who_rests_waits_for_the_queue_and_the_recorded_trades(recording: Recording) -> None:
    """Four stand before it and half a coin is sold a second: what is left after fifty seconds is bought at the ask."""
    patient = ExecutionSettings(algorithm="adaptive", urgency=0.01)
    small = work(recording, case(recording, Side.BUY, 1.0), patient)
    assert small.maker == 1.0 and small.shortfall_bps < 0.0
    large = work(recording, case(recording, Side.BUY, 60.0), patient)
    assert 0.0 < large.maker < 0.5


def test_parents_come_at_any_second_in_pairs_of_both_sides(recording: Recording) -> None:
    cases, seconds = draw_seconds([recording], 20, np.random.default_rng(1))
    assert len(cases) == len(seconds) == 20
    assert [c.side for c in cases[:2]] == list(Side) and seconds[0] == seconds[1]
    assert all(0 <= s < recording.seconds for s in seconds) and len(set(seconds)) > 3
    # Whole blocks of time are drawn, so parents of one second stay together.
    for rows in list(blocks_drawn(seconds, recording.seconds, 5, np.random.default_rng(2)))[:20]:
        counts = np.bincount(rows, minlength=20)
        assert (counts[::2] == counts[1::2]).all()
    same = {"a": np.arange(20.0), "b": np.arange(20.0)}
    assert all(less.low == less.high == 0.0 for pair in bands(same, "a", [np.arange(20)]).values() for _, less in pair)


def test_a_book_that_no_trade_moves_is_whole_after_each(recording: Recording) -> None:
    assert depth_after([recording.stream], (100, 1_000, 5_000)) == pytest.approx(np.ones(3))


def test_a_straight_line_and_a_random_walk_are_told_apart() -> None:
    rng = np.random.default_rng(1)
    walks = np.exp(np.cumsum(rng.normal(0.0, 1e-4, (200, 61)), axis=1))
    assert variance_ratio(walks) == pytest.approx(1.0, abs=0.15)
    assert variance_ratio([np.exp(np.arange(61) * 1e-4)]) == pytest.approx(20.0)


def test_a_folder_without_a_recording_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no recording in it"):
        read_streams(tmp_path)
