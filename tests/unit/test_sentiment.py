"""Mood is used only from when it was published on."""

import numpy as np
import polars as pl
import pytest

from core.errors import DataError
from core.extras import mood_at
from core.messages import Sentiment
from core.units import DAY_MS, MINUTE_MS
from data.import_report import ImportOptions
from data.importing import import_path
from data.lake import Lake
from data.sentiment import (
    PUBLICATION_DELAY_MS,
    as_of,
    daily_series,
    load_series,
    store_series,
)
from data.sources.fear_greed import parse_reading

DAY = 1_709_251_200_000  # 2024-03-01T00:00Z
NOW = DAY + 5 * 3_600_000


def body(value: object = "40", stamp: object = DAY // 1000) -> dict:
    return {"name": "Fear and Greed Index", "data": [{"value": value, "timestamp": str(stamp)}], "metadata": {}}


def test_a_days_value_is_known_from_its_publication_on_and_not_a_moment_before():
    series = daily_series(np.array([DAY, DAY + DAY_MS]), np.array([30.0, 60.0]))
    published = DAY + PUBLICATION_DELAY_MS
    assert as_of(series, published - 1) is None
    assert as_of(series, published) == Sentiment(value=30.0, knowable_ms=published)
    assert as_of(series, published + DAY_MS - 1).value == 30.0
    assert as_of(series, published + DAY_MS).value == 60.0
    assert as_of(series, published + 99 * DAY_MS).value == 60.0


@pytest.mark.parametrize("offset", range(-DAY_MS, 4 * DAY_MS, 7_919_000))
def test_no_reading_is_ever_later_than_the_moment_it_is_asked_for(offset):
    series = daily_series(DAY + np.arange(3) * DAY_MS, np.array([1.0, 2.0, 3.0]))
    reading = as_of(series, DAY + offset)
    assert reading is None or reading.knowable_ms <= DAY + offset


def test_a_series_is_stored_and_read_back(tmp_path):
    series = daily_series(np.array([DAY, DAY + DAY_MS]), np.array([30.0, 60.0]))
    store_series(tmp_path, series)
    back = load_series(tmp_path)
    assert back.knowable_ms.tolist() == series.knowable_ms.tolist()
    assert back.value.tolist() == [30.0, 60.0]
    assert len(load_series(tmp_path / "none")) == 0


def test_an_import_names_bad_values_repeats_and_missing_days(tmp_path):
    path = tmp_path / "mood.csv"
    days = ["2024-03-01", "2024-03-02", "2024-03-02", "2024-03-05", "soon", "2024-03-06", "2024-03-07"]
    pl.DataFrame({"date": days, "value": ["30", "40", "41", "50", "10", "140", "much"]}).write_csv(path)
    (report,) = import_path(Lake(tmp_path / "lake"), path, ImportOptions()).files
    said = [f"{f.severity}: {f}" for f in report.findings]
    assert "fault: line 4: 2024-03-02T00:00Z comes twice, as 40.0 and as 41.0; the first stands" in said
    assert "fault: line 6: its day can not be read" in said
    assert "fault: line 7: value 140.0 is not between 0 and 100" in said
    assert "fault: line 8: value None is not between 0 and 100" in said
    assert "warning: 2 days missing after 2024-03-02T00:00Z" in said
    assert (report.kind, report.new) == ("sentiment", 3)
    assert load_series(tmp_path / "lake").value.tolist() == [30.0, 40.0, 50.0]


def test_a_value_that_differs_is_kept_unless_told(tmp_path):
    path, lake = tmp_path / "mood.csv", Lake(tmp_path / "lake")
    path.write_text("date,value\n2024-03-01,30\n")
    import_path(lake, path, ImportOptions())
    path.write_text("date,value\n2024-03-01,31\n")
    assert import_path(lake, path, ImportOptions()).files[0].kept == 1
    assert load_series(lake.root).value.tolist() == [30.0]
    assert import_path(lake, path, ImportOptions(replace=True)).files[0].revised == 1
    assert load_series(lake.root).value.tolist() == [31.0]


def test_the_publishers_answer_is_read():
    assert parse_reading(body(), NOW) == Sentiment(value=40.0, knowable_ms=DAY + PUBLICATION_DELAY_MS)
    told = DAY + 3_600_000 + 7_000
    assert parse_reading(body(stamp=told // 1_000), NOW) == Sentiment(value=40.0, knowable_ms=told)


def test_a_live_minute_knows_the_mood_that_its_history_will_say_it_knew():
    """Three days minute by minute, a publisher that puts a value out at midnight and is asked every five minutes."""
    days = DAY + DAY_MS * np.arange(-1, 3)
    values = np.array([20.0, 30.0, 60.0, 10.0])
    series = daily_series(days, values)
    history = mood_at(list(zip(series.knowable_ms.tolist(), series.value.tolist(), strict=True)), DAY, 3 * 1_440)
    heard: list[tuple[int, float]] = []
    for number in range(3 * 1_440):
        close = DAY + (number + 1) * MINUTE_MS
        if number % 5 == 0:
            out = [
                {"value": str(v), "timestamp": str(d // 1_000)}
                for d, v in zip(days.tolist(), values.tolist(), strict=True)
                if d <= close
            ]
            reading = parse_reading({"data": out[::-1][:2]}, close)
            assert reading is not None and reading.knowable_ms <= close
            heard.append((reading.knowable_ms, reading.value))
        known = sorted(set(heard))
        np.testing.assert_array_equal(mood_at(known, close - MINUTE_MS, 1)[0], history[number])
    assert set(history.tolist()) == {20.0, 30.0, 60.0, 10.0}


def test_before_the_first_value_can_be_known_there_is_none():
    assert parse_reading(body(), DAY + PUBLICATION_DELAY_MS - 1) is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (body("140"), "not between 0 and 100"),
        (body("nan"), "not between 0 and 100"),
        (body("greedy"), "no data"),
        (body(stamp=NOW // 1000 + 60), "later than now"),
        ({"data": []}, "no data"),
        ({"data": None}, "no data"),
        ([], "no data"),
        (None, "no data"),
    ],
)
def test_nonsense_from_the_publisher_is_refused(answer, said):
    with pytest.raises(DataError, match=said):
        parse_reading(answer, NOW)
