"""The lake bench's jobs in Dask's data frames, on its threads: the same files, columns, filters and answers.

``python dask_lake.py JOB ROOT SYMBOLS FIRST END``; jobs as in tests/bench/support/lake_jobs.py.
"""

import math
from pathlib import Path

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
from protocol import arguments, peak_mb, report, timed

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
CHUNK_MS = 14 * 24 * HOUR_MS
VALUES = ["open", "high", "low", "close", "volume"]


def folders_of(root: Path, symbols: int) -> list[Path]:
    return sorted((root / "bars" / "v1" / "binance").iterdir())[:symbols]


def frame_of(folder: Path, first: int, end: int, columns: list[str]) -> dd.DataFrame | None:
    """The months of a symbol that can hold the span, filtered by time (row groups by their statistics)."""
    low, high = (str(np.datetime64(ms, "ms").astype("datetime64[M]")) for ms in (first, end - 1))
    files = sorted(str(path) for path in folder.glob("*.parquet") if low <= path.stem <= high)
    inside = [("ts", ">=", first), ("ts", "<", end)]
    return dd.read_parquet(files, columns=columns, filters=inside, index=False) if files else None


def window(folders: list[Path], first: int, end: int) -> np.ndarray:
    bars = np.full((len(folders), (end - first) // MINUTE_MS, 5), np.nan)
    frames = [frame_of(folder, first, end, ["ts", *VALUES]) for folder in folders]
    for row, found in enumerate(dask.compute(*frames)):
        if found is not None:
            bars[row, (found["ts"].to_numpy() - first) // MINUTE_MS] = found[VALUES].to_numpy()
    return bars


def walk(folders: list[Path], first: int, end: int) -> list[float]:
    count, total = 0, 0.0
    for start in range(first, end, CHUNK_MS):
        close = window(folders, start, min(start + CHUNK_MS, end))[:, :, 3]
        known = ~np.isnan(close)
        count += int(known.sum())
        total += float(close[known].sum())
    return [count, total]


def hours(folders: list[Path], first: int, end: int) -> list[list[float]]:
    frames = []
    for number, folder in enumerate(folders):
        frame = frame_of(folder, first, end, ["ts", *VALUES])
        if frame is not None:
            frames.append(frame.assign(symbol=number, hour=frame["ts"] // HOUR_MS))
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    found = dd.concat(frames).groupby(["symbol", "hour"]).agg(how).compute().sort_index()
    rows = []
    for _, one in found.groupby(level="symbol"):
        change = np.diff(np.log(one["close"].to_numpy()))
        rows.append([len(one), float(change.mean()), float(change.std(ddof=1)), float(one["volume"].sum())])
    return rows


def job(name: str, folders: list[Path], first: int, end: int) -> list:
    if name == "day":
        start = first + (end - first) // 2 // HOUR_MS * HOUR_MS
        bars = window(folders, start, start + 24 * HOUR_MS)
        return [int((~np.isnan(bars)).sum()), math.fsum(bars[~np.isnan(bars)])]
    return walk(folders, first, end) if name == "walk" else hours(folders, first, end)


if __name__ == "__main__":
    args = arguments("job", "root", "symbols", "first", "end")
    before = peak_mb()
    folders = folders_of(Path(args.root), int(args.symbols))
    seconds, answer = timed(lambda: job(args.job, folders, int(args.first), int(args.end)), args.repeat)
    version = f"{dask.__version__}, pandas {pd.__version__}"
    report(seconds=seconds, answer=answer, before_mb=before, version=version)
