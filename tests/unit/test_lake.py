"""The lake keeps one bar a minute, says what a write changed, and never half-writes."""

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import data.schema as schema
from core.errors import DataError
from core.units import MINUTE_MS, Instrument
from data.lake import Lake
from data.merging import WriteResult
from data.schema import BAR_SCHEMA, META_VERSION, Synthetic
from tests.support.bar_files import MARCH, changed, walk

BTC = Instrument("binance", "BTC/USDT")
ETH = Instrument("binance", "ETH/USDT")
APRIL = 1_711_929_600_000


def files_of(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*.parquet"))}


def test_what_is_written_reads_back_to_the_last_digit(tmp_path):
    bars = walk(300)
    assert Lake(tmp_path).write(BTC, bars, "rest") == WriteResult(new=300)
    back = Lake(tmp_path).scan(BTC).collect()
    assert back.schema == BAR_SCHEMA
    assert back.select(bars.columns).equals(bars)
    assert back["final"].all()
    assert set(back["source"]) == {"rest"}


def test_months_are_files_of_their_own_under_venue_and_symbol(tmp_path):
    Lake(tmp_path).write(BTC, walk(20, APRIL - 10 * MINUTE_MS), "rest")
    folder = "bars/v1/binance/BTC-USDT"
    assert list(files_of(tmp_path)) == [f"{folder}/2024-03.parquet", f"{folder}/2024-04.parquet"]
    assert len(Lake(tmp_path).read(BTC)) == 20


def test_scan_takes_start_in_and_leaves_end_out_across_a_month(tmp_path):
    lake = Lake(tmp_path)
    lake.write(BTC, walk(20, APRIL - 10 * MINUTE_MS), "rest")
    found = lake.scan(BTC, APRIL - MINUTE_MS, APRIL + MINUTE_MS, ("ts", "close")).collect()
    assert found["ts"].to_list() == [APRIL - MINUTE_MS, APRIL]
    assert found.columns == ["ts", "close"]
    assert lake.files(BTC, APRIL, APRIL + MINUTE_MS)[0].name == "2024-04.parquet"


def test_writing_the_same_again_changes_no_byte(tmp_path):
    lake = Lake(tmp_path)
    lake.write(BTC, walk(50), "rest")
    before = files_of(tmp_path)
    assert lake.write(BTC, walk(50), "rest") == WriteResult(unchanged=50)
    assert files_of(tmp_path) == before


def test_a_later_final_bar_replaces_one_that_differs_unless_told_to_keep(tmp_path):
    lake, bars = Lake(tmp_path), walk(50)
    lake.write(BTC, bars, "rest")
    other = changed(bars, 7, volume=1.5)
    kept = lake.write(BTC, other, "rest", conflicts="keep")
    assert (kept.kept, kept.unchanged, kept.revised, kept.kept_ts) == (1, 49, 0, (bars["ts"][6],))
    assert lake.read(BTC)["volume"].to_list() == bars["volume"].to_list()
    assert lake.write(BTC, other, "rest").revised == 1
    assert lake.read(BTC)["volume"][6] == 1.5


@pytest.mark.parametrize(
    ("stored", "coming", "wins"),
    [
        ({"final": False}, {"final": True}, True),
        ({"final": True}, {"final": False}, False),
        ({"final": False}, {"final": False, "close": 100.0}, True),
        ({"final": True, "volume": 0.0}, {"final": True}, True),
        ({"final": True}, {"final": True, "volume": 0.0}, False),
        ({"final": True, "volume": 0.0}, {"final": False}, False),
    ],
)
def test_final_beats_open_and_a_trade_beats_filler(tmp_path, stored, coming, wins):
    lake, bars = Lake(tmp_path), walk(1)
    lake.write(BTC, bars.with_columns(**{k: pl.lit(v) for k, v in stored.items()}), "first")
    lake.write(BTC, bars.with_columns(**{k: pl.lit(v) for k, v in coming.items()}), "second")
    assert lake.read(BTC)["source"].to_list() == (["second"] if wins else ["first"])


def test_a_bar_without_volume_is_marked_filler(tmp_path):
    lake = Lake(tmp_path)
    lake.write(BTC, changed(walk(5), 2, volume=0.0), "rest")
    assert lake.read(BTC)["filler"].to_list() == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"close": float("nan")}, "close is nan"),
        ({"low": -1.0}, "low is -1.0"),
        ({"high": 1.0}, "is below low"),
        ({"ts": MARCH + 1}, "not the start of a minute"),
        ({"ts": MARCH}, "comes twice"),
    ],
)
def test_what_is_no_bar_is_refused_and_nothing_is_written(tmp_path, fault, said):
    with pytest.raises(DataError, match=f"binance:BTC/USDT.*{said}.*nothing was written"):
        Lake(tmp_path).write(BTC, changed(walk(5), 3, **fault), "rest")
    assert files_of(tmp_path) == {}


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    lake = Lake(tmp_path)
    lake.write(BTC, walk(5), "rest")
    before = files_of(tmp_path)

    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(DataError, match=r"2024-03\.parquet: could not be written.*No space left"):
        lake.write(BTC, walk(9), "rest")
    assert files_of(tmp_path) == before
    assert not list(tmp_path.rglob("*.tmp"))


def test_window_has_a_row_an_instrument_and_nan_where_a_minute_is_missing(tmp_path):
    lake, bars = Lake(tmp_path), walk(10)
    lake.write(BTC, bars.filter(pl.col("ts") != MARCH + 3 * MINUTE_MS), "rest")
    lake.write(ETH, walk(4, seed=6), "rest")
    window = lake.window((ETH, BTC), MARCH + MINUTE_MS, 6)
    assert window.shape == (2, 6, 5)
    assert window.dtype == np.float64
    assert np.isnan(window[1]).all(axis=1).tolist() == [False, False, True, False, False, False]
    assert np.isnan(window[0]).all(axis=1).tolist() == [False, False, False, True, True, True]
    assert window[1, 0].tolist() == list(bars.row(1)[1:])


def test_catalog_counts_holes_minutes_and_filler(tmp_path):
    lake = Lake(tmp_path)
    holes = pl.col("ts").is_in([MARCH + i * MINUTE_MS for i in (3, 4, 8)])
    lake.write(BTC, changed(walk(10), 2, volume=0.0).filter(~holes), "rest")
    (row,) = lake.catalog()
    assert (row.instrument, row.rows, row.gaps, row.missing, row.filler) == (BTC, 7, 2, 3, 1)
    assert (row.first, row.last) == (MARCH, MARCH + 9 * MINUTE_MS)
    assert row.synthetic is None


def test_common_span_is_where_all_have_data(tmp_path):
    lake = Lake(tmp_path)
    lake.write(BTC, walk(10), "rest")
    lake.write(ETH, walk(10, MARCH + 4 * MINUTE_MS), "rest")
    assert lake.common_span((BTC, ETH)) == (MARCH + 4 * MINUTE_MS, MARCH + 9 * MINUTE_MS)
    with pytest.raises(DataError, match=r"no bars of binance:SOL/USDT; it has binance:BTC/USDT, binance:ETH/USDT"):
        lake.common_span((BTC, Instrument("binance", "SOL/USDT")))


def test_an_absent_lake_reads_as_empty_and_is_not_created(tmp_path):
    lake = Lake(tmp_path / "none")
    assert lake.catalog() == ()
    assert lake.scan(BTC).collect().is_empty()
    assert np.isnan(lake.window((BTC,), MARCH, 3)).all()
    assert not (tmp_path / "none").exists()


def test_synthetic_bars_never_mix_with_real_ones(tmp_path):
    lake, label = Lake(tmp_path), Synthetic("demo", 7, "none")
    lake.write(BTC, walk(5), "synthetic", label)
    assert lake.synthetic(BTC) == label
    assert lake.catalog()[0].synthetic == label
    with pytest.raises(DataError, match=r"holds synthetic bars.*refused to mix in real bars"):
        lake.write(BTC, walk(9), "rest")
    with pytest.raises(DataError, match="refused to mix"):
        lake.write(BTC, walk(9), "synthetic", Synthetic("demo", 8, "none"))
    assert len(lake.read(BTC)) == 5


def test_a_lake_of_a_newer_schema_is_refused_by_file_and_version(tmp_path, monkeypatch):
    Lake(tmp_path).write(BTC, walk(5), "rest")
    path = tmp_path / "bars/v1/binance/BTC-USDT/2024-03.parquet"
    frame = pl.read_parquet(path)
    frame.write_parquet(path, metadata={META_VERSION: str(schema.SCHEMA_VERSION + 1)})
    for use in (Lake(tmp_path).read, lambda i: Lake(tmp_path).write(i, walk(9), "rest")):
        with pytest.raises(DataError, match=r"2024-03\.parquet: written by lake schema 2, this program knows up to 1"):
            use(BTC)


def test_a_newer_folder_of_bars_is_refused_even_when_it_is_all_there_is(tmp_path):
    (tmp_path / "bars" / "v3" / "binance").mkdir(parents=True)
    with pytest.raises(DataError, match=r"v3: written by lake schema 3, this program knows up to 1"):
        Lake(tmp_path).catalog()


def test_a_cut_off_file_is_named(tmp_path):
    Lake(tmp_path).write(BTC, walk(300), "rest")
    path = tmp_path / "bars/v1/binance/BTC-USDT/2024-03.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"2024-03\.parquet: not a readable Parquet file"):
        Lake(tmp_path).window((BTC,), MARCH, 3)


@pytest.mark.parametrize("symbol", ["../X/USDT", "BTC/..", "BTC/US DT", "/", "BTC"])
def test_a_symbol_can_not_climb_out_of_the_lake(tmp_path, symbol):
    with pytest.raises(DataError, match="can not name a folder"):
        Lake(tmp_path).write(Instrument("binance", symbol), walk(3), "rest")
