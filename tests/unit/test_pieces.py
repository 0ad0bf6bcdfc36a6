"""A history cut into pieces: everything once, archives where they can be, gaps and time left."""

import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.units import MINUTE_MS, Instrument
from data.downloads import DownloadState
from data.lake import Lake
from data.pieces import DAY_MS, Piece, finer, gaps, joined, outside, plan, time_left_s

BTC = Instrument("binance", "BTC/USDT")
M = MINUTE_MS


def at(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp() * 1_000)


NOW = at(2024, 4, 10, 12, 30)
minute = st.integers(0, 200 * 1440).map(lambda n: at(2024, 1, 1) + n * M)
span = st.tuples(minute, minute).map(lambda pair: (min(pair), max(pair)))


def shown(pieces: list[Piece]) -> list[str]:
    return [f"{p.kind} {p.name}" for p in pieces]


def test_whole_months_and_days_come_from_the_archive_and_today_in_pages():
    pieces = plan([(at(2024, 1, 30), NOW)], NOW, archive=True)
    assert shown(pieces) == [
        "day 2024-01-30",
        "day 2024-01-31",
        "month 2024-02",
        "month 2024-03",
        *(f"day 2024-04-{day:02d}" for day in range(1, 10)),
        "pages 2024-04-10",
    ]


def test_a_day_that_ended_a_moment_ago_is_asked_for_in_pages():
    now = at(2024, 4, 10, 1)
    assert shown(plan([(at(2024, 4, 8), now)], now, archive=True)) == [
        "day 2024-04-08",
        "pages 2024-04-09",
        "pages 2024-04-10",
    ]


def test_without_an_archive_pages_of_a_day():
    pieces = plan([(at(2024, 1, 30, 12), at(2024, 2, 1, 6))], NOW, archive=False)
    assert shown(pieces) == ["pages 2024-01-30", "pages 2024-01-31", "pages 2024-02-01"]


def test_a_month_the_archive_lacks_is_taken_by_days_and_a_day_in_pages():
    (month,) = plan([(at(2024, 2, 1), at(2024, 3, 1))], NOW, archive=True)
    days = finer(month)
    assert (len(days), days[-1].name) == (29, "2024-02-29")
    assert shown(finer(days[0])) == ["pages 2024-02-01"]
    assert finer(finer(days[0])[0]) == []


@given(st.lists(span, max_size=6), span, st.booleans())
def test_pieces_cover_what_is_missing_once_and_nothing_else(done, wanted, archive):
    missing = outside(done, *wanted)
    pieces = plan(missing, NOW, archive=archive)
    assert joined((p.first, p.end) for p in pieces) == missing
    assert sum(p.end - p.first for p in pieces) == sum(b - a for a, b in missing)
    covered = joined([*done, *missing])
    assert outside(covered, *wanted) == []
    assert all(finer(p) == [] or joined((f.first, f.end) for f in finer(p)) == [(p.first, p.end)] for p in pieces)


def test_gaps_are_what_lies_between_the_bars():
    first = at(2024, 1, 1)
    minutes = np.array([first + n * M for n in (0, 1, 2, 5, 6)])
    assert gaps(minutes, first - 2 * M, first + 9 * M) == [
        (first - 2 * M, first),
        (first + 3 * M, first + 5 * M),
        (first + 7 * M, first + 9 * M),
    ]
    assert gaps(minutes, first, first + 3 * M) == []
    assert gaps(np.array([], dtype=np.int64), first, first + M) == [(first, first + M)]


def test_time_left_is_by_the_pace_so_far():
    assert time_left_s(100, 400, 10.0) == 30.0
    assert time_left_s(0, 400, 10.0) is None


# --- what was done ---------------------------------------------------------------------------------------------------


def stored(tmp_path, months: tuple[int, ...] = (1, 2)) -> Lake:
    lake = Lake(tmp_path / "lake")
    for month in months:
        row = {name: [1.0] for name in ("open", "high", "low", "close", "volume")}
        lake.write(BTC, pl.DataFrame({"ts": [at(2024, month, 1)], **row}), "test")
    return lake


def test_what_is_noted_is_not_fetched_again(tmp_path):
    lake = stored(tmp_path)
    DownloadState(lake, BTC).note((at(2024, 1, 1), at(2024, 2, 1)), "BTCUSDT-1m-2024-01.zip", "ab" * 32)
    again = DownloadState(lake, BTC)
    assert again.missing(at(2024, 1, 1), at(2024, 2, 2)) == [(at(2024, 2, 1), at(2024, 2, 2))]
    assert again.files == {"BTCUSDT-1m-2024-01.zip": "ab" * 32}


def test_a_month_deleted_from_the_lake_is_fetched_again(tmp_path):
    lake = stored(tmp_path)
    DownloadState(lake, BTC).note((at(2024, 1, 1), at(2024, 3, 1)))
    next(lake.root.rglob("2024-02.parquet")).unlink()
    assert DownloadState(Lake(lake.root), BTC).missing(at(2024, 1, 1), at(2024, 3, 1)) == [
        (at(2024, 2, 1), at(2024, 3, 1))
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99}', '{"version": 1, "done": [["x", 1]], "files": {}}'])
def test_a_state_that_can_not_be_read_costs_time_and_nothing_else(tmp_path, caplog, text):
    lake = stored(tmp_path)
    state = DownloadState(lake, BTC)
    state.note((at(2024, 1, 1), at(2024, 2, 1)))
    state.path.write_text(text)
    assert DownloadState(lake, BTC).missing(0, DAY_MS) == [(0, DAY_MS)]
    assert "fetched again" in caplog.text


def test_the_state_is_plain_json(tmp_path):
    state = DownloadState(stored(tmp_path), BTC)
    state.note((0, M))
    state.note((M, 2 * M))
    assert json.loads(state.path.read_text())["done"] == [[0, 2 * M]]
