"""Times of every kind become the right minute, and what was assumed or slipped is said."""

from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from core.units import MINUTE_MS, Instrument
from data.import_report import FileReport, ImportOptions
from data.importing import import_path
from data.lake import Lake
from tests.support.bar_files import MARCH, save, walk

BTC = Instrument("binance", "BTC/USDT")
SEOUL = ZoneInfo("Asia/Seoul")
NEW_YORK = ZoneInfo("America/New_York")
HOUR_MS = 3_600_000


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake")


def one(lake: Lake, path, **options) -> FileReport:
    (report,) = import_path(lake, path, ImportOptions(**options)).files
    return report


def texts(report: FileReport, severity: str = "fault") -> list[str]:
    return [str(f) for f in report.findings if f.severity == severity]


def with_times(times: pl.Expr) -> pl.DataFrame:
    return walk().with_columns(times.alias("ts"))


TS = pl.col("ts")
UTC_TIME = pl.from_epoch("ts", time_unit="ms")


@pytest.mark.parametrize(
    "times",
    [
        TS // 1000,
        TS * 1000,
        TS * 1_000_000,
        (TS // 1000).cast(pl.Float64),
        (TS // 1000).cast(pl.String),
        UTC_TIME,
        UTC_TIME.cast(pl.Datetime("ns")),
        UTC_TIME.dt.replace_time_zone("UTC"),
        UTC_TIME.dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Seoul"),
        UTC_TIME.dt.strftime("%Y-%m-%dT%H:%M:%S"),
        UTC_TIME.dt.strftime("%Y-%m-%d %H:%M:%S"),
        UTC_TIME.dt.strftime("%Y-%m-%d %H:%M"),
        UTC_TIME.dt.strftime("%Y/%m/%d %H:%M"),
        UTC_TIME.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"),
        UTC_TIME.dt.strftime("%Y-%m-%d %H:%M:%S+00:00"),
        UTC_TIME.dt.offset_by("9h").dt.strftime("%Y-%m-%dT%H:%M:%S+09:00"),
        UTC_TIME.dt.offset_by("-5h").dt.strftime("%Y-%m-%dT%H:%M:%S-0500"),
    ],
)
def test_every_usual_time_is_read_as_the_same_minutes(tmp_path, lake, times):
    report = one(lake, save(with_times(times), tmp_path))
    assert texts(report) == []
    assert lake.read(BTC)["ts"].to_list() == walk()["ts"].to_list()


def test_a_unit_that_changes_within_the_file_is_read_right_and_said(tmp_path, lake):
    mixed = with_times(pl.when(TS < MARCH + 100 * MINUTE_MS).then(TS).otherwise(TS * 1000))
    report = one(lake, save(mixed, tmp_path))
    assert report.new == 300
    assert "times change their unit within the file: milliseconds and microseconds" in texts(report, "warning")[0]


def test_a_time_without_zone_is_utc_and_that_is_said(tmp_path, lake):
    report = one(lake, save(with_times(UTC_TIME), tmp_path))
    assert texts(report, "note") == ["times carry no zone: taken as UTC (--timezone says otherwise)"]


def test_a_named_zone_is_applied_to_times_without_one(tmp_path, lake):
    report = one(lake, save(with_times(UTC_TIME.dt.offset_by("9h")), tmp_path), zone=SEOUL)
    assert report.first == MARCH
    assert texts(report, "note") == ["times carry no zone: taken as Asia/Seoul, as told"]


def test_the_hours_daylight_saving_repeats_are_named_not_guessed(tmp_path, lake):
    start = 1_730_606_400_000  # 2024-11-03T04:00Z, midnight in New York; 01:00 to 01:59 comes twice
    bars = walk(240, start)
    local = pl.from_epoch("ts", time_unit="ms").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York")
    report = one(lake, save(bars.with_columns(ts=local.dt.replace_time_zone(None)), tmp_path), zone=NEW_YORK)
    assert any(
        "120 times fall into an hour that daylight saving in America/New_York" in t for t in texts(report, "warning")
    )
    assert texts(report)[0].startswith("rows 61-180: time ")
    assert report.new == 120
    assert lake.read(BTC)["ts"].is_in(bars["ts"].implode()).all()


def test_a_file_half_in_another_zone_is_a_slip_and_stays_out(tmp_path, lake):
    bars = walk(600)
    slipped = bars.with_columns(ts=pl.when(TS < MARCH + 300 * MINUTE_MS).then(TS).otherwise(TS - HOUR_MS))
    report = one(lake, save(slipped, tmp_path))
    (said,) = texts(report)
    assert said.startswith("row 301: time goes back by exactly 1 h to 2024-03-01T04:00Z and 60 minutes repeat")
    assert "time zone or daylight-saving slip" in said
    assert report.new == 0


def test_two_downloads_that_overlap_are_no_slip(tmp_path, lake):
    bars = walk(600)
    report = one(lake, save(pl.concat([bars[:300], bars[240:]]), tmp_path))
    assert texts(report) == []
    assert (report.new, report.duplicates) == (600, 60)


def test_a_hole_of_a_whole_hour_is_worth_a_look(tmp_path, lake):
    bars = walk(600)
    report = one(lake, save(pl.concat([bars[:300], bars[360:]]), tmp_path))
    assert report.new == 540
    assert texts(report, "warning") == [
        "row 301: a hole of exactly 1 h before 2024-03-01T06:00Z: an outage, or a time zone slip"
    ]


def test_bars_the_lake_has_nine_hours_away_are_a_slip(tmp_path, lake):
    bars = walk(2_000)
    one(lake, save(bars, tmp_path))
    report = one(lake, save(bars.with_columns(TS + 9 * HOUR_MS), tmp_path))
    (said,) = texts(report)
    assert said.startswith("times look shifted by +9 h: 100% of the closes are those the lake has 9 h earlier")
    assert (report.new, report.kept) == (0, 0)
    assert len(lake.read(BTC)) == 2_000


def test_new_bars_that_follow_the_lakes_are_no_slip(tmp_path, lake):
    bars = walk(4_000)
    one(lake, save(bars[:2_000], tmp_path))
    assert one(lake, save(bars[1_500:], tmp_path)).new == 2_000


def test_local_time_beside_utc_is_noticed(tmp_path, lake):
    bars = walk().with_columns(date=UTC_TIME.dt.offset_by("9h").dt.strftime("%Y-%m-%d %H:%M:%S"))
    report = one(lake, save(bars, tmp_path))
    assert report.first == MARCH
    assert texts(report, "warning") == [
        "column 'date' is +9 h from 'ts': a time zone slip or local time; 'ts' was used"
    ]


def test_one_time_without_zone_among_others_with_one_is_noticed(tmp_path, lake):
    text = UTC_TIME.dt.strftime("%Y-%m-%dT%H:%M:%S") + pl.when(TS == MARCH).then(pl.lit("")).otherwise(pl.lit("Z"))
    report = one(lake, save(with_times(text), tmp_path))
    assert report.new == 300
    assert "1 of 300 times carry no zone while the others do: a time zone slip?" in texts(report, "warning")


@pytest.mark.parametrize(("off", "said"), [(59_999, "close times"), (7_000, "the clock was off")])
def test_times_that_are_all_off_the_minute_are_refused_as_one(tmp_path, lake, off, said):
    report = one(lake, save(walk().with_columns(TS + off), tmp_path))
    (text,) = texts(report)
    assert text.startswith(f"every time is {off / 1000:g} s past the minute")
    assert said in text
    assert report.new == 0


def test_a_fraction_of_a_millisecond_off_the_minute_is_seen(tmp_path, lake):
    odd = with_times(pl.when(TS == MARCH + 5 * MINUTE_MS).then(TS * 1000 + 1).otherwise(TS * 1000))
    report = one(lake, save(odd, tmp_path))
    assert texts(report) == ["row 6: time 2024-03-01T00:05:00.001Z is not the start of a minute"]


def test_bars_of_the_future_are_warned_of(tmp_path, lake):
    report = one(lake, save(walk(300, 4_000_000_020_000), tmp_path))
    assert any("not closed when the file was written" in text for text in texts(report, "warning"))


def test_no_text_for_a_time_crashes_the_import(tmp_path, lake):
    odd = ["", "2024-13-45 10:00", "2024-02-30", "yesterday", "0x12", "1e400", "nan", "2024-03-01T25:61:00Z", "-5"]
    bars = walk(len(odd) + 20).with_columns(TS.cast(pl.String))
    bars = bars.with_columns(ts=pl.Series(odd + bars["ts"].to_list()[len(odd) :]))
    report = one(lake, save(bars, tmp_path, "BTCUSDT.csv"))
    assert (report.new, report.bad) == (20, len(odd))
    assert np.diff(lake.read(BTC)["ts"].to_numpy()).tolist() == [MINUTE_MS] * 19
