"""``data import``: good bars come in, the rest is named by file, row and fault, and nothing is changed unasked."""

import gzip
import json

import numpy as np
import polars as pl
import pytest

from core.errors import DataError
from core.units import MINUTE_MS, Instrument
from data.import_report import FileReport, ImportOptions
from data.importing import import_path
from data.lake import Lake
from data.naming import symbol_from_text
from data.schema import Synthetic
from tests.support.bar_files import MARCH, changed, save, walk

BTC = Instrument("binance", "BTC/USDT")


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake")


def one(lake: Lake, path, **options) -> FileReport:
    """Import one file; the lake must hold exactly what the report claims came in."""
    held = sum(row.rows for row in lake.catalog())
    (report,) = import_path(lake, path, ImportOptions(**options)).files
    came = 0 if options.get("dry_run") or report.kind != "bars" else report.new
    assert sum(row.rows for row in lake.catalog()) == held + came
    return report


def texts(report: FileReport, severity: str = "fault") -> list[str]:
    return [str(f) for f in report.findings if f.severity == severity]


@pytest.mark.parametrize("name", ["BTCUSDT.parquet", "BTCUSDT.csv", "BTC_USDT-1m.feather"])
def test_good_bars_come_in_to_the_last_digit_from_every_format(tmp_path, lake, name):
    bars = walk()
    report = one(lake, save(bars, tmp_path, name))
    assert (report.instrument, report.rows, report.new, report.bad) == (BTC, 300, 300, 0)
    assert texts(report) == []
    assert lake.read(BTC).select(bars.columns).equals(bars)


@pytest.mark.parametrize(
    ("venue", "text", "symbol"),
    [
        ("binance", "BTCUSDT", "BTC/USDT"),
        ("binance", "BTC_USDT-1m", "BTC/USDT"),
        ("binance", "BTCUSDT-1m-2025-01", "BTC/USDT"),
        ("binance", "BTCUSDT-1m-2025-01-31", "BTC/USDT"),
        ("binance", "ETHBTC", "ETH/BTC"),
        ("binance", "1000SATSUSDT", "1000SATS/USDT"),
        ("binance", "BTC-USDT", "BTC/USDT"),
        ("upbit", "KRW-BTC", "BTC/KRW"),
        ("upbit", "USDT-BTC", "BTC/USDT"),
        ("upbit", "KRW-USDT", "USDT/KRW"),
        ("upbit", "BTC_KRW_1m", "BTC/KRW"),
        ("binance", "prices", None),
        ("binance", "USDT", None),
    ],
)
def test_file_names_tell_the_symbol(venue, text, symbol):
    assert symbol_from_text(text, venue) == symbol


@pytest.mark.parametrize(
    "names",
    [
        ("timestamp", "open", "high", "low", "close", "volume"),
        ("open_time", "Open", "High", "Low", "Close", "Volume"),
        ("Date", "o", "h", "l", "c", "v"),
        ("unix", "open_price", "high_price", "low_price", "close_price", "Volume BTC"),
        ("time", "opening_price", "high_price", "low_price", "trade_price", "candle_acc_trade_volume"),
    ],
)
def test_usual_column_names_are_understood(tmp_path, lake, names):
    bars = walk()
    report = one(lake, save(bars.rename(dict(zip(bars.columns, names, strict=True))), tmp_path))
    assert report.new == 300
    assert lake.read(BTC)["volume"].to_list() == bars["volume"].to_list()


def test_the_archive_of_an_exchange_needs_no_header(tmp_path, lake):
    path = save(walk(), tmp_path, "BTCUSDT-1m-2024-03.csv")
    lines = path.read_text().splitlines()[1:]
    path.write_text("\n".join(line + ",1709251259999,1,2,3,4,0" for line in lines))
    report = one(lake, path)
    assert report.new == 300
    assert texts(report, "note")[0].startswith("no header: columns taken as ts, open, high, low, close, volume")


def test_semicolons_preambles_byte_marks_and_gzip_are_read(tmp_path, lake):
    path = save(walk(), tmp_path, "BTCUSDT.csv")
    text = "https://www.example.org\n" + path.read_text().replace(",", ";")
    packed = path.with_name("BTCUSDT.csv.gz")
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.encode()))
    report = one(lake, packed)
    assert report.new == 300
    assert texts(report, "note") == ["line 1: passed over, no bar: 'https://www.example.org'"]


def test_a_symbol_column_splits_a_file(tmp_path, lake):
    both = pl.concat(
        [walk().with_columns(symbol=pl.lit("BTCUSDT")), walk(seed=9).with_columns(symbol=pl.lit("ETHUSDT"))]
    )
    reports = import_path(lake, save(both, tmp_path, "all.parquet"), ImportOptions()).files
    assert [(str(r.instrument), r.new) for r in reports] == [("binance:BTC/USDT", 300), ("binance:ETH/USDT", 300)]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"close": 0.0}, "close is 0.0; prices are positive"),
        ({"low": -3.5}, "low is -3.5; prices are positive"),
        ({"open": float("nan")}, "open is nan"),
        ({"high": float("inf")}, "high is inf"),
        ({"close": None}, "close is missing"),
        ({"volume": -1.0}, "volume is -1.0; it can not be negative"),
        ({"high": 1.0}, "high 1.0 is below low"),
        ({"open": 900.0}, "open 900.0 lies outside low"),
        ({"ts": MARCH + 39 * MINUTE_MS + 30_000}, "time 2024-03-01T00:39:30.000Z is not the start of a minute"),
        ({"ts": 12}, "time 12 can not be read as a time between 2009 and 2100"),
    ],
)
@pytest.mark.parametrize(("name", "where"), [("BTCUSDT.parquet", "row 40"), ("BTCUSDT.csv", "line 41")])
def test_a_bad_row_is_named_and_stays_out_while_the_good_come_in(tmp_path, lake, fault, text, name, where):
    report = one(lake, save(changed(walk(), 40, **fault), tmp_path, name))
    (said,) = texts(report)
    assert said.startswith(f"{where}: ")
    assert text.replace("time 12 ", "") in said.replace("time '12' ", "").replace("time 12 ", "")
    assert (report.new, report.bad, report.gaps, report.missing) == (299, 1, 1, 1)
    assert MARCH + 39 * MINUTE_MS not in lake.read(BTC)["ts"].to_list()


def test_neighbouring_bad_rows_are_told_as_one_run(tmp_path, lake):
    bars = walk()
    for row in range(40, 61):
        bars = changed(bars, row, close=0.0)
    report = one(lake, save(bars, tmp_path))
    assert texts(report) == ["rows 40-60: close is 0.0; prices are positive, and so on"]
    assert report.bad == 21


def test_words_and_broken_lines_in_a_csv_are_named_by_line(tmp_path, lake):
    path = save(walk(), tmp_path, "BTCUSDT.csv")
    lines = path.read_text().splitlines()
    lines[9] = lines[9].rsplit(",", 1)[0]
    lines[19] += ",7"
    lines[29] = lines[29].rsplit(",", 1)[0] + ",many"
    lines[39] = "soon," + lines[39].split(",", 1)[1]
    lines.insert(50, "")
    path.write_text("\n".join(lines))
    report = one(lake, path)
    assert texts(report) == [
        "line 10: has 5 fields, the header has 6",
        "line 20: has 7 fields, the header has 6",
        "line 30: volume 'many' is not a number",
        "line 40: time 'soon' can not be read as a time between 2009 and 2100",
    ]
    assert report.new == 296


@pytest.mark.parametrize(
    ("one_name", "other"),
    [("high", "low"), ("open", "close"), ("low", "volume"), ("close", "volume"), ("open", "high")],
)
@pytest.mark.parametrize("price", [100.0, 0.5, 60_000.0])
def test_swapped_columns_are_recognised_and_nothing_comes_in(tmp_path, lake, one_name, other, price):
    bars = walk(price=price).with_columns(volume=pl.col("volume") * (1.0 if price > 1 else 1000.0))
    if price == 0.5:
        bars = walk().with_columns(pl.col("open", "high", "low", "close") / 200)
    swapped = bars.rename({one_name: other, other: one_name})
    report = one(lake, save(swapped, tmp_path, "BTCUSDT.csv"))
    (said,) = texts(report)
    assert said.startswith("columns look swapped: ")
    assert f"{one_name} is under {other!r}" in said
    assert f"{other} is under {one_name!r}" in said
    assert report.new == 0


def test_identical_copies_are_reported_and_stored_once(tmp_path, lake):
    bars = walk()
    report = one(lake, save(pl.concat([bars[:10], bars[8:9], bars[10:]]), tmp_path))
    assert (report.new, report.duplicates, report.conflicting) == (300, 1, 0)
    assert texts(report) == []
    assert "row 11: repeats row 9 exactly" in texts(report, "warning")


def test_two_different_bars_of_a_minute_both_stay_out(tmp_path, lake):
    bars = walk()
    report = one(lake, save(pl.concat([bars[:10], changed(bars, 9, volume=1.0)[8:9], bars[10:]]), tmp_path))
    assert (report.new, report.conflicting) == (299, 2)
    said = "2024-03-01T00:08Z comes more than once with different values; none was imported"
    assert texts(report) == [f"row 9: {said}", f"row 11: {said}"]
    assert bars["ts"][8] not in lake.read(BTC)["ts"].to_list()


def test_disordered_rows_are_named_and_stored_in_order(tmp_path, lake):
    bars = walk()
    report = one(lake, save(pl.concat([bars[:10], bars[20:30], bars[10:20], bars[30:]]), tmp_path))
    assert (report.new, report.disordered) == (300, 1)
    assert texts(report, "warning") == ["row 21: 2024-03-01T00:10Z stands after 2024-03-01T00:29Z"]
    assert lake.read(BTC).select(bars.columns).equals(bars)


def test_a_file_with_its_newest_bar_first_is_just_turned_round(tmp_path, lake):
    report = one(lake, save(walk().reverse(), tmp_path))
    assert report.new == 300
    assert texts(report) == texts(report, "warning") == []


def test_a_thousandfold_price_is_imported_with_a_warning(tmp_path, lake):
    bars = walk()
    report = one(lake, save(changed(bars, 77, high=bars["high"][76] * 1000), tmp_path))
    assert report.new == 300
    (said,) = texts(report, "warning")
    assert said.startswith("row 77: high ")
    assert "is 1,000 times the price around it" in said


def test_one_bar_silence_and_moves_without_volume_are_said(tmp_path, lake):
    report = one(lake, save(walk(1), tmp_path))
    assert report.new == 1
    assert texts(report, "warning") == ["row 1: holds one bar only"]
    bars = changed(changed(walk(seed=8), 5, volume=0.0), 6, volume=0.0, open=99.0, high=99.0, low=99.0, close=99.0)
    report = one(lake, save(bars, tmp_path, "ETHUSDT.parquet"))
    assert report.zero_volume == 2
    assert texts(report, "warning") == ["row 5: price moves, volume is 0"]


def test_numbers_of_other_kinds_are_the_decimals_they_stand_for(tmp_path, lake):
    bars = walk()
    prices = pl.col("open", "high", "low", "close")
    one(lake, save(bars.with_columns(prices.cast(pl.Float32)), tmp_path, "BTCUSDT.parquet"))
    assert lake.read(BTC).select(bars.columns).equals(bars)
    exact = bars.with_columns(prices.cast(pl.Decimal(18, 2)))
    assert one(lake, save(exact, tmp_path, "BTCUSDT.parquet")).unchanged == 300


@pytest.mark.parametrize(
    ("cells", "kind"),
    [({"close": pl.lit([1.0])}, "List"), ({"ts": pl.lit(True)}, "Boolean"), ({"ts": pl.struct("ts")}, "Struct")],
)
def test_columns_that_can_hold_no_bars_are_named(tmp_path, lake, cells, kind):
    report = one(lake, save(walk().with_columns(**cells), tmp_path))
    (said,) = texts(report)
    assert said.startswith(f"column {next(iter(cells))!r} holds {kind}")
    assert report.new == 0


def test_a_table_of_nothing_is_named_row_by_row(tmp_path, lake):
    empty = walk(5).with_columns(pl.lit(None).alias(name) for name in walk(5).columns)
    assert texts(one(lake, save(empty, tmp_path)))[-1] == "rows 1-5: time is missing, and so on"


def test_five_minute_bars_are_not_taken(tmp_path, lake):
    report = one(lake, save(walk(600).gather_every(5), tmp_path))
    assert texts(report) == ["bars are 5 minutes apart, not one. Nothing was imported of this file"]
    assert report.new == 0


@pytest.mark.parametrize("name", ["BTCUSDT.parquet", "BTCUSDT.feather", "BTCUSDT.csv.gz"])
def test_corrupt_files_are_named_and_the_others_come_in(tmp_path, lake, name):
    save(walk(), tmp_path / "in", "ETHUSDT.parquet")
    whole = save(walk(), tmp_path / "in", "BTCUSDT.feather" if name.endswith("feather") else "BTCUSDT.parquet")
    content = gzip.compress(walk().write_csv().encode()) if name.endswith("gz") else whole.read_bytes()
    whole.unlink()
    (tmp_path / "in/binance" / name).write_bytes(content[: len(content) // 2])
    report = import_path(lake, tmp_path / "in", ImportOptions())
    broken, good = report.files
    assert broken.path.name == name
    assert texts(broken)[0].startswith("can not be read (")
    assert (report.faults, good.new) == (1, 300)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("BTCUSDT.csv", b"", "is an empty file (0 bytes)"),
        ("BTCUSDT.parquet", b"", "is an empty file (0 bytes)"),
        ("BTCUSDT.csv", b"\n\n", "holds no line of text"),
        ("BTCUSDT.csv", b"ts,open,high,low,close,volume\n", "holds no bar at all"),
        (
            "BTCUSDT.csv",
            b"ts,open,high\n1,2,3\n",
            "holds no bars: no column for low, close, volume among ts, open, high",
        ),
        ("BTCUSDT.csv", b"ts,open,high,low,close,vol\xff\n", "line 1: is not UTF-8 text (byte 26)"),
    ],
)
def test_files_without_bars_say_what_is_missing(tmp_path, lake, name, content, text):
    path = save(walk(3), tmp_path, name)
    path.write_bytes(content)
    assert texts(one(lake, path))[0].startswith(text)


def test_an_empty_folder_and_a_missing_path_are_clear_errors(tmp_path, lake):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no Parquet, CSV or Feather file here"):
        import_path(lake, tmp_path / "empty", ImportOptions())
    with pytest.raises(DataError, match="there is no such file or folder"):
        import_path(lake, tmp_path / "nowhere", ImportOptions())
    assert not lake.root.exists()


def test_other_files_are_passed_over_out_loud(tmp_path, lake):
    save(walk(), tmp_path / "in")
    (tmp_path / "in/binance/readme.md").write_text("hello")
    reports = import_path(lake, tmp_path / "in", ImportOptions()).files
    assert {r.path.name: texts(r, "note") for r in reports}["readme.md"] == [
        "passed over: not a Parquet, CSV or Feather file"
    ]


def test_exchange_and_symbol_are_asked_for_where_nothing_tells_them(tmp_path, lake):
    path = save(walk(), tmp_path, "prices.parquet", venue="misc")
    assert "say which with --exchange" in texts(one(lake, path))[0]
    assert "say which with --symbol" in texts(one(lake, path, venue="binance"))[0]
    assert one(lake, path, venue="binance", symbol="BTC/USDT").new == 300


def test_importing_twice_changes_nothing(tmp_path, lake):
    path = save(walk(), tmp_path)
    one(lake, path)
    report = one(lake, path)
    assert (report.new, report.unchanged, report.revised, report.kept) == (0, 300, 0, 0)


def test_a_bar_that_differs_from_the_lake_is_named_kept_and_replaced_only_when_told(tmp_path, lake):
    bars = walk()
    one(lake, save(bars, tmp_path))
    path = save(changed(bars, 40, volume=1.0), tmp_path)
    report = one(lake, path)
    assert (report.kept, report.unchanged) == (1, 299)
    assert texts(report)[0].startswith("row 40: 2024-03-01T00:39Z differs from the bar the lake has")
    assert lake.read(BTC)["volume"][39] == bars["volume"][39]
    report = one(lake, path, replace=True)
    assert (report.revised, texts(report)) == (1, [])
    assert lake.read(BTC)["volume"][39] == 1.0


def test_even_replace_does_not_put_silence_where_the_lake_has_a_trade(tmp_path, lake):
    bars = walk()
    one(lake, save(bars, tmp_path))
    report = one(lake, save(changed(bars, 40, volume=0.0), tmp_path), replace=True)
    assert texts(report)[0].endswith("the lake's was kept (it traded, the file's has no volume)")
    assert lake.read(BTC)["volume"][39] == bars["volume"][39]


def test_a_dry_run_reports_the_same_and_writes_nothing(tmp_path, lake):
    path = save(changed(walk(), 40, close=0.0), tmp_path)
    dry = one(lake, path, dry_run=True)
    assert not lake.root.exists()
    wet = one(lake, path)
    assert dry == wet


def test_a_file_of_a_synthetic_lake_does_not_pass_for_real_bars(tmp_path, lake):
    made = Lake(tmp_path / "synth")
    made.write(BTC, walk(), "synthetic", Synthetic("demo", 7, "none"))
    report = one(lake, made.root)
    assert texts(report)[0].startswith("is a synthetic market")
    assert json.loads(texts(report)[0].split("(")[1].split(")")[0])["seed"] == 7


def test_a_file_or_lake_of_a_newer_schema_is_refused_before_anything_is_written(tmp_path, lake):
    path = save(walk(), tmp_path)
    walk().write_parquet(path, metadata={"minutehand.schema_version": "4"})
    assert texts(one(lake, path))[0].startswith("written by lake schema 4, this program knows up to 1")
    (lake.root / "bars/v2").mkdir(parents=True)
    with pytest.raises(DataError, match="v2: written by lake schema 2"):
        import_path(lake, path, ImportOptions())


def test_volume_in_the_wrong_place_is_not_confused_with_a_quiet_coin(tmp_path, lake):
    """A coin whose price stands still has bars that fit any naming: it must come in."""
    flat = walk().with_columns(pl.lit(1.0).alias(c) for c in ("open", "high", "low", "close"))
    assert one(lake, save(flat, tmp_path, "USDCUSDT.parquet")).new == 300


def test_a_month_and_more_comes_in_whole_across_its_files(tmp_path, lake):
    bars = walk(50_000)
    report = one(lake, save(bars, tmp_path, "BTCUSDT.csv"))
    assert report.new == 50_000
    assert [path.stem for path in lake.files(BTC)] == ["2024-03", "2024-04"]
    assert np.array_equal(lake.read(BTC)["close"].to_numpy(), bars["close"].to_numpy())
