"""``data verify`` reads every row again, names file, row and fault, and changes nothing."""

import random
from pathlib import Path

import polars as pl
import pytest

from core.units import MINUTE_MS, Instrument
from data.lake import Lake
from data.schema import META_CONTENT, META_VERSION, content_hash
from data.verify import VerifyReport, verify
from tests.support.bar_files import MARCH, changed, walk

BTC = Instrument("binance", "BTC/USDT")
MONTH = "bars/v1/binance/BTC-USDT/2024-03.parquet"


@pytest.fixture
def lake(tmp_path) -> Lake:
    lake = Lake(tmp_path)
    lake.write(BTC, walk(300), "rest")
    return lake


def rewrite(lake: Lake, frame: pl.DataFrame, **metadata: str) -> None:
    """Put bars there as a program with a fault (or a person) would: the lake itself refuses to."""
    said = {META_VERSION: "1", META_CONTENT: content_hash(frame) if not frame.null_count().sum_horizontal()[0] else ""}
    frame.write_parquet(lake.root / MONTH, metadata={**said, **metadata})


def said(report: VerifyReport) -> str:
    return "\n".join(f"{check.path.name}: {f.severity}: {f}" for check in report.files for f in check.findings)


def test_a_good_lake_has_no_findings(lake):
    report = verify(lake)
    assert said(report) == ""
    assert [check.rows for check in report.files] == [300]


@pytest.mark.parametrize(
    ("row", "fault", "text"),
    [
        (7, {"close": 0.0}, "row 7: close is 0.0; prices are positive"),
        (7, {"low": -2.0}, "row 7: low is -2.0; prices are positive"),
        (7, {"open": float("nan")}, "row 7: open is nan"),
        (7, {"high": 1.0}, "row 7: high 1.0 is below low"),
        (7, {"close": 200.0}, "row 7: close 200.0 lies outside"),
        (7, {"volume": -1.0}, "row 7: volume is -1.0"),
        (7, {"ts": MARCH + 5 * MINUTE_MS}, "row 7: 2024-03-01T00:05Z comes twice"),
        (7, {"ts": MARCH + 2 * MINUTE_MS}, "row 7: 2024-03-01T00:02Z stands after 2024-03-01T00:05Z"),
        (7, {"ts": MARCH + 6 * MINUTE_MS + 500}, "row 7: time 2024-03-01T00:06:00.500Z is not the start of a minute"),
        (300, {"ts": MARCH + 40 * 86_400_000}, "row 300: 2024-04-10T00:00Z is not of 2024-03"),
        (7, {"filler": True}, "row 7: filler mark and volume"),
        (7, {"close": None}, "row 7: close is missing"),
    ],
)
def test_each_fault_is_named_by_file_and_row(lake, row, fault, text):
    rewrite(lake, changed(lake.read(BTC), row, **fault))
    before = (lake.root / MONTH).read_bytes()
    report = verify(lake)
    assert f"2024-03.parquet: fault: {text}" in said(report)
    assert report.faults >= 1
    assert (lake.root / MONTH).read_bytes() == before


def test_a_price_changed_to_another_good_price_is_caught_by_the_content_hash(lake):
    frame = lake.read(BTC)
    frame = changed(frame, 7, volume=frame["volume"][6] + 1)
    rewrite(lake, frame, **{META_CONTENT: content_hash(lake.read(BTC))})
    assert "fault: its bars are not those that were written" in said(verify(lake))


def test_a_thousandfold_price_is_a_warning_with_its_row(lake):
    frame = lake.read(BTC)
    rewrite(lake, changed(frame, 90, high=frame["high"][89] * 1000))
    report = verify(lake)
    assert report.faults == 0
    assert "warning: row 90: high" in said(report)
    assert "1,000 times the price around it" in said(report)


def test_no_damage_to_a_file_passes_or_crashes(lake):
    path = lake.root / MONTH
    whole, good, dice = path.read_bytes(), lake.read(BTC), random.Random(3)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        report = verify(Lake(lake.root))
        if not report.faults:
            assert Lake(lake.root).read(BTC).drop("source").equals(good.drop("source"))


@pytest.mark.parametrize("cut", [0, 3, 200, -30])
def test_cut_off_and_empty_files_are_named(lake, cut):
    path = lake.root / MONTH
    path.write_bytes(path.read_bytes()[:cut])
    assert "2024-03.parquet: fault: not a readable Parquet file" in said(verify(lake))


def test_a_newer_file_and_a_newer_folder_are_named_with_both_versions(lake):
    rewrite(lake, lake.read(BTC), **{META_VERSION: "9"})
    other = lake.root / "bars/v2/binance/BTC-USDT/2024-04.parquet"
    other.parent.mkdir(parents=True)
    walk(3).write_parquet(other)
    text = said(verify(lake))
    assert "2024-03.parquet: fault: written by lake schema 9, this program knows up to 1" in text
    assert "2024-04.parquet: fault: written by lake schema 2, this program knows up to 1" in text


def test_files_that_do_not_belong_are_named_and_left_alone(lake):
    stray = lake.root / "bars/v1/binance/notes.txt"
    stray.write_text("mine")
    half = lake.root / "bars/v1/binance/BTC-USDT/.2024-03.parquet.77.tmp"
    half.write_bytes(b"PAR1")
    text = said(verify(lake))
    assert "notes.txt: fault: does not stand where bars stand" in text
    assert ".tmp: warning: left by a write that was cut off" in text
    assert stray.exists()
    assert half.exists()


def test_one_bar_is_worth_a_warning(tmp_path):
    lake = Lake(tmp_path)
    lake.write(BTC, walk(1), "rest")
    report = verify(lake)
    assert report.faults == 0
    assert "warning: row 1: holds one bar only" in said(report)


def test_an_absent_lake_has_nothing_to_verify(tmp_path: Path):
    assert verify(Lake(tmp_path / "none")) == VerifyReport(tmp_path / "none", ())
