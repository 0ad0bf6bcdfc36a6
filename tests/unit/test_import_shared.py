"""The real sets beside the project import as they are; where the folder is absent there is nothing to collect here."""

from pathlib import Path

import pytest

from data.import_report import ImportOptions
from data.importing import import_path
from data.lake import Lake
from data.sentiment import as_of, load_series
from data.verify import verify

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
# Set → (symbols, rows, missing minutes, bars without volume), as SOURCES.md counts them.
SETS = {
    "binance_2026-03": (5, 215_996, 0, 0),
    "binance_2023-03": (6, 373_636, 5 * 80, 365),
    "binance_2025-05": (2, 261_416, 0, 0),
    "upbit_2025-09": (4, 190_384, 16, 0),
}
PRESENT = [name for name in SETS if (SHARED / name).is_dir()]
MOOD = SHARED / "sentiment" / "fear_greed_daily.parquet"

pytestmark = pytest.mark.shared


# Defined only where there is something to read: an empty parameter list would be a skipped test.
if PRESENT:

    @pytest.mark.parametrize("real_set", PRESENT)
    def test_a_real_set_imports_without_a_fault_and_verifies(real_set, tmp_path):
        lake = Lake(tmp_path)
        report = import_path(lake, SHARED / real_set, ImportOptions())
        assert [str(f) for file in report.files for f in file.findings] == []
        rows = lake.catalog()
        assert (
            len(rows),
            sum(r.rows for r in rows),
            sum(r.missing for r in rows),
            sum(r.filler for r in rows),
        ) == SETS[real_set]
        assert all(r.instrument.venue == real_set.partition("_")[0] for r in rows)
        assert verify(lake).faults == 0
        again = import_path(lake, SHARED / real_set, ImportOptions())
        assert sum(file.unchanged for file in again.files) == SETS[real_set][1]


if MOOD.is_file():

    def test_the_real_mood_history_imports_and_is_never_known_early(tmp_path):
        report = import_path(Lake(tmp_path), MOOD, ImportOptions())
        assert report.faults == 0
        series = load_series(tmp_path)
        assert len(series) == 2_977
        first_day = 1_517_443_200_000
        assert as_of(series, first_day) is None
        assert as_of(series, first_day + 3_600_000).value == 30.0
