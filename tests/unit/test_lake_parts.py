"""The lake reads no more than is asked for, walks long spans in pieces, and counts around a broken file."""

import argparse
import json
import tracemalloc
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from core.errors import DataError
from core.units import MINUTE_MS, Instrument
from data.data_command import arguments, main
from data.lake import Lake
from data.row_groups import groups_read, span_of
from data.schema import META_VERSION, ROW_GROUP, VALUES
from tests.support.bar_files import MARCH, walk

BTC = Instrument("binance", "BTC/USDT")
ETH = Instrument("binance", "ETH/USDT")
MONTH = 31 * 1440
FILE = "bars/v1/binance/BTC-USDT/2024-03.parquet"
WEEK_MS = ROW_GROUP * MINUTE_MS


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path)
    lake.write(BTC, walk(MONTH + 3000), "rest")
    return lake


def spoil(path: Path, keep_groups: set[int], keep_columns: set[str]) -> None:
    """Overwrite the pages of every row group and column but those to keep; the footer stays."""
    body = bytearray(path.read_bytes())
    footer = pq.read_metadata(path)
    for number in range(footer.num_row_groups):
        for at in range(footer.num_columns):
            column = footer.row_group(number).column(at)
            if number in keep_groups and column.path_in_schema in keep_columns:
                continue
            first = column.dictionary_page_offset or column.data_page_offset
            body[first : first + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(body)


def listed(lake: Lake, *words: str) -> int:
    parser = argparse.ArgumentParser()
    arguments(parser)
    return main(parser.parse_args(["list", *words, "--lake", str(lake.root)]))


def test_a_file_is_cut_into_weeks_that_know_their_first_and_last_minute(lake):
    footer = pq.read_metadata(lake.root / FILE)
    assert [footer.row_group(n).num_rows for n in range(footer.num_row_groups)] == [ROW_GROUP] * 4 + [MONTH % ROW_GROUP]
    assert span_of(lake.root / FILE) == (MARCH, MARCH + (MONTH - 1) * MINUTE_MS)
    assert groups_read(lake.root / FILE, MARCH + WEEK_MS, MARCH + 2 * WEEK_MS) == [1]
    assert groups_read(lake.root / FILE, MARCH + WEEK_MS - MINUTE_MS, MARCH + WEEK_MS + MINUTE_MS) == [0, 1]


def test_a_window_reads_only_its_row_groups_and_columns(lake):
    start = MARCH + WEEK_MS + 100 * MINUTE_MS
    whole = lake.window((BTC,), start, 500)
    lazily = lake.scan(BTC, start, start + 500 * MINUTE_MS, ("ts", "close")).collect()
    spoil(lake.root / FILE, {1}, {"ts", *VALUES})
    assert np.array_equal(lake.window((BTC,), start, 500), whole)
    assert lake.scan(BTC, start, start + 500 * MINUTE_MS, ("ts", "close")).collect().equals(lazily)
    with pytest.raises(DataError, match=r"2024-03\.parquet: its pages can not be read.*import again"):
        lake.window((BTC,), start - WEEK_MS, 500)
    with pytest.raises(DataError, match=r"2024-03\.parquet: its pages can not be read"):
        lake.read(BTC, start - WEEK_MS, start, ("ts", "close"))


def test_the_common_span_is_read_from_footers_alone(lake):
    lake.write(ETH, walk(4000, MARCH + MINUTE_MS), "rest")
    for path in lake.root.rglob("*.parquet"):
        spoil(path, set(), set())
    assert lake.common_span((BTC, ETH)) == (MARCH + MINUTE_MS, MARCH + 4000 * MINUTE_MS)


def test_a_file_whose_writer_left_no_statistics_reads_the_same(lake):
    whole = lake.window((BTC,), MARCH + WEEK_MS, 100)
    told = pl.read_parquet_metadata(lake.root / FILE)
    bare = {META_VERSION: told[META_VERSION]}
    pl.read_parquet(lake.root / FILE).write_parquet(
        lake.root / FILE, row_group_size=ROW_GROUP, statistics=False, metadata=bare
    )
    assert span_of(lake.root / FILE) == (MARCH, MARCH + (MONTH - 1) * MINUTE_MS)
    assert np.array_equal(Lake(lake.root).window((BTC,), MARCH + WEEK_MS, 100), whole)


@pytest.mark.parametrize(("history", "piece"), [(0, 1000), (304, 1000), (304, 100), (0, 10**6)])
def test_pieces_laid_end_to_end_are_the_window(lake, history, piece):
    holes = pl.col("ts").is_between(MARCH + 50 * MINUTE_MS, MARCH + 2000 * MINUTE_MS)
    lake.write(ETH, walk(5000, MARCH + 7 * MINUTE_MS, seed=6).filter(~holes), "rest")
    first, minutes = MARCH + 200 * MINUTE_MS, 5310
    whole = lake.window((ETH, BTC), first - history * MINUTE_MS, history + minutes)
    done = 0
    for start, bars in lake.chunks((ETH, BTC), first, first + minutes * MINUTE_MS, piece, history):
        assert start == first + (done - history) * MINUTE_MS
        assert np.array_equal(bars, whole[:, done : done + bars.shape[1]], equal_nan=True)
        done += bars.shape[1] - history
        bars[:] = -1.0
    assert done == minutes


def test_a_walk_holds_two_pieces_however_long_it_is(tmp_path):
    lake, peaks = Lake(tmp_path), []
    lake.write(BTC, walk(3 * MONTH), "rest")
    for minutes in (MONTH // 2, 3 * MONTH):
        tracemalloc.start()
        for _ in lake.chunks((BTC,), MARCH, MARCH + minutes * MINUTE_MS, 5040, 300):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    piece = 5340 * len(VALUES) * 8
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < 6 * piece


def test_chunks_of_nothing_are_refused(lake):
    assert list(lake.chunks((BTC,), MARCH, MARCH, 10)) == []
    for piece, history in ((0, 0), (10, -1)):
        with pytest.raises(ValueError, match="make no walk"):
            next(lake.chunks((BTC,), MARCH, MARCH + MINUTE_MS, piece, history))
    with pytest.raises(DataError, match="whole minute"):
        next(lake.chunks((BTC,), MARCH + 1, MARCH + MINUTE_MS))


@pytest.mark.parametrize("harm", ["cut off", "spoiled", "strange"])
def test_a_broken_file_is_named_and_the_rest_is_listed(lake, harm, capsys):
    lake.write(ETH, walk(50), "rest")
    path = lake.root / FILE
    if harm == "cut off":
        path.write_bytes(path.read_bytes()[:-40])
    elif harm == "spoiled":
        spoil(path, {0}, {"ts"})
    else:
        path.write_bytes(b"no parquet at all")
    found = Lake(lake.root).survey()
    assert [(row.instrument, row.rows) for row in found.rows] == [(BTC, 3000), (ETH, 50)]
    assert len(found.faults) == 1
    assert found.faults[0].startswith(str(path))
    assert listed(lake) == 1
    said = capsys.readouterr().out
    assert "binance:ETH/USDT" in said
    assert f"not counted: {path}" in said
    assert listed(lake, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (len(told["bars"]), told["faults"][0].startswith(str(path))) == (2, True)
    with pytest.raises(DataError, match=r"2024-03\.parquet"):
        Lake(lake.root).catalog()
