"""Processes that know Serve go without pandas, and everything else that looks for it is told so properly."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

ASKS = """
import sys
from config.ray_environment import leave_pandas_out, without_pandas
with without_pandas():
    try:
        import pandas
    except ImportError:
        print("left out")
leave_pandas_out()
import pyarrow
print(pyarrow.array([1, 2]).to_pylist())
import polars
print(polars.DataFrame({"a": [1]}).height, "pandas" in sys.modules)
try:
    import pandas
except ImportError:
    print("left out")
"""


def test_pyarrow_and_polars_work_where_pandas_is_left_out():
    command = [sys.executable, "-c", ASKS]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.split("\n")[:4] == ["left out", "[1, 2]", "1 False", "left out"]
