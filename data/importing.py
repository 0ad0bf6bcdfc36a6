"""Foreign bars into the lake: read, name, check, compare, and only then write what is good; report everything.

Nothing is repaired: a bad row is listed and stays out, two different bars of one minute both stay out, a file
whose times or columns can not be trusted stays out whole. Identical repeats and disorder lose nothing, so they
are only reported.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from core.errors import DataError
from core.messages import CLOSE
from core.units import MINUTE_MS, Instrument
from data.arrange import describe, each_minute_once, note_disorder, wrong_spacing
from data.checks import FAULT, NAMES, NOTE, WARNING, Finding, grouped, iso, row_faults, swapped_columns
from data.columns import Columns, find_columns, find_symbol_column, is_sentiment, unusable
from data.headline_scores import LEXICON, lexicon
from data.headlines import is_headlines, read_headlines, read_stored, store_headlines
from data.import_report import FileReport, ImportOptions, ImportReport
from data.lake import Lake
from data.naming import parse_symbol, symbol_from_path, venue_from_path
from data.reading import Table, kind_of, read_table
from data.schema import VALUES
from data.sentiment import SentimentSeries, load_series, read_history, store_series
from data.times import common_offset, shifted_against, to_epoch_ms, zone_steps


def import_path(lake: Lake, path: Path, options: ImportOptions) -> ImportReport:
    """Import a file, or every file of a folder and its folders. DataError when there is nothing to import at all."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    lake.instruments()  # a lake of a newer schema is refused before anything is read
    files = (
        [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    )
    known = [file for file in files if kind_of(file)]
    if not known:
        raise DataError(
            f"{path}: no Parquet, CSV or Feather file here" + (f" ({len(files)} other files)" if files else "")
        )
    reports: list[FileReport] = []
    for file in files:
        if file in known:
            reports.extend(_import_file(lake, file, options))
        else:
            note = Finding(NOTE, "not_bars", "passed over: not a Parquet, CSV or Feather file")
            reports.append(FileReport(path=file, kind="other", findings=[note]))
    return ImportReport(lake.root, options.dry_run, tuple(reports))


def _import_file(lake: Lake, path: Path, options: ImportOptions) -> Iterator[FileReport]:
    try:
        table = read_table(path)
    except DataError as error:
        text = str(error).removeprefix(f"{path}: ")
        yield FileReport(path=path, findings=[Finding(FAULT, "unreadable", text)])
        return
    if table.synthetic is not None:
        text = f"is a synthetic market ({table.synthetic}); it does not go among real bars. Use its own lake (--lake)"
        yield FileReport(path=path, rows=len(table.rows), findings=[Finding(FAULT, "synthetic", text)])
        return
    if is_headlines(table.frame.columns):
        yield _import_headlines(lake, path, table, options)
        return
    if is_sentiment(table.frame.columns):
        yield _import_sentiment(lake, path, table, options)
        return
    columns = find_columns(table.frame.columns, None)
    if len(columns.missing) > 2:
        text = f"holds no bars: no column for {', '.join(columns.missing)} among {', '.join(table.frame.columns)}"
        yield FileReport(path=path, rows=len(table.rows), findings=[*table.findings, Finding(FAULT, "no_column", text)])
        return
    venue = (options.venue or venue_from_path(path) or "").lower()
    for symbol, part in _by_symbol(path, table, venue, options):
        report = FileReport(path=path, rows=len(part.rows), findings=list(part.findings))
        if not re.fullmatch(r"[a-z0-9_]+", venue):
            text = "no folder above it is named after an exchange (binance, upbit); say which with --exchange"
            report.findings.append(Finding(FAULT, "no_exchange", text))
        elif symbol is None:
            text = "its name tells no symbol (BTCUSDT, KRW-BTC, BTC_USDT-1m); say which with --symbol BASE/QUOTE"
            report.findings.append(Finding(FAULT, "no_symbol", text))
        else:
            report.instrument = Instrument(venue, symbol)
            _import_bars(lake, part, report, options)
        report.findings.sort(key=lambda f: (f.row is not None, f.row or 0))
        yield report


def _by_symbol(path: Path, table: Table, venue: str, options: ImportOptions) -> Iterator[tuple[str | None, Table]]:
    """A file holds one symbol, or a column that says which row is whose."""
    column = find_symbol_column(table.frame.columns)
    if options.symbol:
        yield parse_symbol(options.symbol, venue), table
        return
    names = table.frame[column].cast(pl.String).fill_null("") if column else pl.Series([], dtype=pl.String)
    if column is None or names.is_empty():
        yield symbol_from_path(path, venue), table
        return
    codes = names.to_numpy()
    for index, name in enumerate(dict.fromkeys(codes.tolist())):
        mask = codes == name
        # What was found about lines that are no rows belongs to no symbol: said once.
        findings = table.findings if index == 0 else ()
        yield (
            parse_symbol(name, venue),
            replace(table, frame=table.frame.filter(pl.Series(mask)), rows=table.rows[mask], findings=findings),
        )


def _import_bars(lake: Lake, table: Table, report: FileReport, options: ImportOptions) -> None:
    """Check and store one symbol's rows; everything found goes into ``report``."""
    assert report.instrument is not None
    columns = find_columns(table.frame.columns, report.instrument.base)
    if columns.missing:
        text = f"no column for {', '.join(columns.missing)} among {', '.join(table.frame.columns)}"
        report.findings.append(Finding(FAULT, "no_column", text))
        return
    if not len(table.rows):
        report.findings.append(Finding(FAULT, "no_rows", "holds no bar at all"))
        return
    wrong = unusable(table.frame, columns)
    if wrong:
        text = f"{', '.join(wrong)}: no bars can be read from that. Nothing was imported of this file"
        report.findings.append(Finding(FAULT, "wrong_kind", text))
        return
    bars = _bars_of(table, columns, report, options)
    if bars is None:
        return
    ts, values, rows = bars
    describe(ts, values, rows, table.unit, report)
    if not len(ts):
        return
    stored = lake.read(
        report.instrument, int(ts[0]) - 30 * 30 * MINUTE_MS, int(ts[-1]) + 30 * 30 * MINUTE_MS, ("ts", "close")
    )
    shifted = shifted_against(ts, values[:, CLOSE], stored["ts"].to_numpy(), stored["close"].to_numpy())
    if shifted:
        report.findings.append(shifted)
        return
    frame = pl.DataFrame({"ts": ts, **{name: values[:, i] for i, name in enumerate(VALUES)}})
    result = lake.write(
        report.instrument,
        frame,
        options.source or f"import:{report.path.name}",
        options.synthetic,
        conflicts="newer" if options.replace else "keep",
        dry_run=options.dry_run,
    )
    report.new, report.unchanged, report.revised, report.kept = (
        result.new,
        result.unchanged,
        result.revised,
        result.kept,
    )
    at = np.searchsorted(ts, np.array(result.kept_ts, dtype=np.int64))
    texts = "differs from the bar the lake has of this minute; the lake's was kept " + (
        "(it traded, the file's has no volume)" if options.replace else "(--replace takes the file's)"
    )
    report.findings += grouped(
        [
            Finding(
                FAULT, "differs_from_lake", f"{iso(int(ts[i]))} {texts}", int(rows[i]), None, int(ts[i]), table.unit
            )
            for i in sorted(at.tolist(), key=lambda i: rows[i])
        ]
    )


def _bars_of(
    table: Table, columns: Columns, report: FileReport, options: ImportOptions
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Good rows by time (ts, values, row numbers), each minute once; None when the file can not be trusted whole."""
    assert columns.time is not None
    times, findings = to_epoch_ms(table.frame[columns.time], options.zone)
    report.findings += findings
    if columns.other_time:
        report.findings += _compare_times(times, table.frame[columns.other_time], columns, options)
    values, unread = _numbers(table, columns)
    given = table.frame[columns.time]
    unread += [(int(i), _unread_time(given[int(i)])) for i in np.flatnonzero(times.is_null().to_numpy())]
    lost = np.zeros(len(table.rows), dtype=bool)
    lost[[index for index, _ in unread]] = True
    texts = dict(unread)
    report.findings += grouped(
        [Finding(FAULT, "unread", texts[i], int(table.rows[i]), None, None, table.unit) for i in sorted(texts)]
    )
    report.bad += int(lost.sum())
    ts, values, rows = times.fill_null(0).to_numpy()[~lost], values[~lost], table.rows[~lost]

    order = np.argsort(ts, kind="stable")
    whole = [common_offset(ts), wrong_spacing(ts[order]), swapped_columns(values[order])]
    whole += zone_steps(ts, values, rows, table.unit)
    report.findings += [one for one in whole if one]
    if any(one and one.severity == FAULT for one in whole):
        report.bad += len(ts)
        return None

    bad, found = row_faults(ts, values, rows, table.unit)
    report.findings += found
    report.bad += int(bad.sum())
    ts, values, rows = ts[~bad], values[~bad], rows[~bad]
    note_disorder(ts, rows, table.unit, report)
    order = np.argsort(ts, kind="stable")
    return each_minute_once(ts[order], values[order], rows[order], table.unit, report)


def _unread_time(given: object) -> str:
    if given is None or given == "":
        return "time is missing"
    return f"time {given!r} can not be read as a time between 2009 and 2100"


def _numbers(table: Table, columns: Columns) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """(T, 5) float64, and (index, fault) of every row with a value that is missing or no number."""
    values = np.empty((len(table.rows), len(NAMES)))
    faults: dict[int, str] = {}
    for at, name in enumerate(NAMES):
        raw = table.frame[columns.values[name]]
        if not raw.dtype.is_numeric():
            raw = raw.cast(pl.String)
        text = raw.str.strip_chars() if raw.dtype == pl.String else raw
        if raw.dtype == pl.Float32:
            # 99.84 in 32 bits is 99.83999633789062 in 64: the shortest decimal is what was meant.
            text = raw.cast(pl.String)
        number = text.cast(pl.Float64, strict=False)
        for index in np.flatnonzero(number.is_null().to_numpy()):
            given = raw[int(index)]
            faults.setdefault(
                int(index), f"{name} is missing" if given in (None, "") else f"{name} {given!r} is not a number"
            )
        values[:, at] = number.fill_null(float("nan")).to_numpy()
    return values, list(faults.items())


def _compare_times(times: pl.Series, other: pl.Series, columns: Columns, options: ImportOptions) -> list[Finding]:
    """Two columns of open times that differ by whole half hours: one of them is local time."""
    second, _ = to_epoch_ms(other, options.zone)
    off = (second - times).drop_nulls()
    if len(off) < 3 or off.n_unique() != 1 or off[0] == 0 or off[0] % (30 * MINUTE_MS):
        return []
    text = (
        f"column {columns.other_time!r} is {off[0] / 3_600_000:+g} h from {columns.time!r}: a time zone slip or "
        f"local time; {columns.time!r} was used"
    )
    return [Finding(WARNING, "two_times", text)]


def _import_sentiment(lake: Lake, path: Path, table: Table, options: ImportOptions) -> FileReport:
    """A daily mood index goes beside the bars."""
    report = FileReport(path=path, kind="sentiment", rows=len(table.rows))
    read = read_history(path, table)
    report.findings = list(read.findings)
    report.bad = report.count(FAULT)
    old = load_series(lake.root)
    if old.synthetic is not None:
        text = f"the lake's mood is synthetic ({old.synthetic.name}); a real history does not go into it"
        report.findings.append(Finding(FAULT, "synthetic", text))
        return report
    stored = dict(zip(old.knowable_ms.tolist(), old.value.tolist(), strict=True))
    for at, value in zip(read.series.knowable_ms.tolist(), read.series.value.tolist(), strict=True):
        if at not in stored:
            report.new += 1
        elif stored[at] == value:
            report.unchanged += 1
            continue
        elif options.replace:
            report.revised += 1
        else:
            report.kept += 1
            report.findings.append(
                Finding(
                    FAULT, "differs_from_lake", f"{iso(at)}: the lake has {stored[at]}, the file {value}; kept", ts=at
                )
            )
            continue
        stored[at] = value
    if len(read.series):
        report.first, report.last = int(read.series.knowable_ms[0]), int(read.series.knowable_ms[-1])
    if not options.dry_run and (report.new or report.revised):
        knowable = np.array(sorted(stored), dtype=np.int64)
        store_series(lake.root, SentimentSeries(knowable, np.array([stored[int(k)] for k in knowable]), old.synthetic))
    return report


def _import_headlines(lake: Lake, path: Path, table: Table, options: ImportOptions) -> FileReport:
    """A history of headlines goes beside the bars; one that is there stays as it was first known."""
    report = FileReport(path=path, kind="headlines", rows=len(table.rows))
    if load_series(lake.root).synthetic is not None:
        text = "the lake is a synthetic market's; real headlines do not go into it"
        report.findings = [Finding(FAULT, "synthetic", text)]
        return report
    read = read_headlines(path, table, lexicon())
    report.findings, report.duplicates = list(read.findings), read.repeated
    report.bad = report.count(FAULT)
    stored = {one.key: one for one in read_stored(lake.root)}
    new = [one for one in read.headlines if one.key not in stored]
    report.new, report.unchanged = len(new), len(read.headlines) - len(new)
    if read.headlines:
        report.first, report.last = read.headlines[0].knowable_ms, read.headlines[-1].knowable_ms
    if new and not options.dry_run:
        store_headlines(lake.root, (*stored.values(), *new), LEXICON)
    return report
