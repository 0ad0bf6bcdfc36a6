"""The lake bench's jobs done by the project's own ways: ``python -m tests.bench.support.lake_jobs TOOL JOB ...``.

Tools: ``lake`` (``Lake.window`` and ``Lake.chunks``), ``polars`` (lazy scans, streaming), ``pyarrow`` (datasets).
Jobs: ``day`` (all symbols of one day as an array), ``walk`` (everything in pieces of two weeks, adding up the closes),
``hours`` (minutes to hours, then mean and deviation of hourly log returns and the volume of each symbol).
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from core.units import MINUTE_MS, Instrument
from data.lake import CHUNK, Lake
from data.schema import VALUES
from tests.bench.peers.protocol import arguments, peak_mb, report, timed

HOUR_MS = 60 * MINUTE_MS
Window = Callable[[Lake, tuple[Instrument, ...], int, int], np.ndarray]


def by_lake(lake: Lake, instruments: tuple[Instrument, ...], first: int, end: int) -> np.ndarray:
    return lake.window(instruments, first, (end - first) // MINUTE_MS)


def by_polars(lake: Lake, instruments: tuple[Instrument, ...], first: int, end: int) -> np.ndarray:
    bars = np.full((len(instruments), (end - first) // MINUTE_MS, 5), np.nan)
    scans = [lake.scan(one, first, end, ("ts", *VALUES)) for one in instruments]
    for row, frame in enumerate(pl.collect_all(scans, engine="streaming")):
        bars[row, (frame["ts"].to_numpy() - first) // MINUTE_MS] = frame.select(VALUES).to_numpy()
    return bars


def by_pyarrow(lake: Lake, instruments: tuple[Instrument, ...], first: int, end: int) -> np.ndarray:
    bars = np.full((len(instruments), (end - first) // MINUTE_MS, 5), np.nan)
    inside = (ds.field("ts") >= first) & (ds.field("ts") < end)
    for row, one in enumerate(instruments):
        files = [str(path) for path in lake.files(one, first, end)]
        if files:
            table = ds.dataset(files, format="parquet").to_table(columns=["ts", *VALUES], filter=inside)
            at = (table["ts"].to_numpy() - first) // MINUTE_MS
            bars[row, at] = np.stack([table[name].to_numpy() for name in VALUES], axis=1)
    return bars


WINDOWS: dict[str, Window] = {"lake": by_lake, "polars": by_polars, "pyarrow": by_pyarrow}


def walk(tool: str, lake: Lake, instruments: tuple[Instrument, ...], first: int, end: int) -> list[float]:
    """How many closes there are and what they add up to, piece by piece."""
    count, total = 0, 0.0
    if tool == "lake":
        pieces = (bars for _, bars in lake.chunks(instruments, first, end))
    else:
        step = CHUNK * MINUTE_MS
        pieces = (WINDOWS[tool](lake, instruments, start, min(start + step, end)) for start in range(first, end, step))
    for bars in pieces:
        close = bars[:, :, 3]
        known = ~np.isnan(close)
        count += int(known.sum())
        total += float(close[known].sum())
    return [count, total]


def hours_by_polars(lake: Lake, instruments: tuple[Instrument, ...], first: int, end: int) -> list[list[float]]:
    """A lazy query a symbol; the minutes lie in order, so that hours are cut without a hash table."""
    change = (pl.col("close") / pl.col("close").shift(1)).log()
    queries = [
        lake.scan(one, first, end, ("ts", *VALUES))
        .with_columns(pl.from_epoch("ts", time_unit="ms").set_sorted())
        .group_by_dynamic("ts", every="1h")
        .agg(
            *(pl.col("open").first(), pl.col("high").max(), pl.col("low").min()),
            *(pl.col("close").last(), pl.col("volume").sum()),
        )
        .select(hours=pl.len(), mean=change.mean(), deviation=change.std(), volume=pl.col("volume").sum())
        for one in instruments
    ]
    return pl.concat(pl.collect_all(queries)).to_numpy().tolist()


def hours_by_pyarrow(lake: Lake, instruments: tuple[Instrument, ...], first: int, end: int) -> list[list[float]]:
    """A dataset a symbol, so that only one symbol's minutes are in memory."""
    inside = (ds.field("ts") >= first) & (ds.field("ts") < end)
    columns = {"hour": pc.divide(ds.field("ts"), pa.scalar(HOUR_MS)), **{name: ds.field(name) for name in VALUES}}
    rows = []
    for one in instruments:
        files = [str(path) for path in lake.files(one, first, end)]
        minutes = ds.dataset(files, format="parquet").to_table(columns=columns, filter=inside)
        how = [("open", "first"), ("high", "max"), ("low", "min"), ("close", "last"), ("volume", "sum")]
        hours = minutes.group_by("hour", use_threads=False).aggregate(how).sort_by("hour")
        change = np.diff(np.log(hours["close_last"].to_numpy()))
        rows.append([len(hours), float(change.mean()), float(change.std(ddof=1)), pc.sum(hours["volume_sum"]).as_py()])
    return rows


def hours_by_lake(lake: Lake, instruments: tuple[Instrument, ...], first: int, end: int) -> list[list[float]]:
    """In pieces of whole days, with numpy: what a rule of the engine would do."""
    hours: list[list[np.ndarray]] = [[] for _ in instruments]
    volume = np.zeros(len(instruments))
    for _, bars in lake.chunks(instruments, first, end):
        blocks = bars.reshape(len(instruments), -1, 60, 5)
        known = ~np.isnan(blocks[:, :, :, 3])
        last = 59 - np.argmax(known[:, :, ::-1], axis=2)
        close = np.take_along_axis(blocks[:, :, :, 3], last[:, :, None], axis=2)[:, :, 0]
        volume += np.nansum(blocks[:, :, :, 4], axis=(1, 2))
        for row in range(len(instruments)):
            hours[row].append(close[row][known[row].any(axis=1)])
    rows = []
    for row, parts in enumerate(hours):
        close = np.concatenate(parts)
        change = np.diff(np.log(close))
        rows.append([len(close), float(change.mean()), float(change.std(ddof=1)), float(volume[row])])
    return rows


HOURS = {"lake": hours_by_lake, "polars": hours_by_polars, "pyarrow": hours_by_pyarrow}


def job(tool: str, name: str, lake: Lake, instruments: tuple[Instrument, ...], first: int, end: int) -> list:
    """A job's answer as plain numbers, to be compared between tools."""
    if name == "day":
        start = first + (end - first) // 2 // HOUR_MS * HOUR_MS
        bars = WINDOWS[tool](lake, instruments, start, start + 24 * HOUR_MS)
        return [int((~np.isnan(bars)).sum()), math.fsum(bars[~np.isnan(bars)])]
    if name == "walk":
        return walk(tool, lake, instruments, first, end)
    return HOURS[tool](lake, instruments, first, end)


if __name__ == "__main__":
    args = arguments("tool", "job", "root", "symbols", "first", "end")
    before = peak_mb()
    lake = Lake(Path(args.root))
    chosen = lake.instruments()[: int(args.symbols)]
    # The first call is timed too: what is read for the first time in a process is what a user waits for.
    seconds, answer = timed(lambda: job(args.tool, args.job, lake, chosen, int(args.first), int(args.end)), args.repeat)
    report(seconds=seconds, answer=answer, before_mb=before)
