"""Turn whatever a file calls time into epoch milliseconds of the bar's open, and say what was assumed.

Numbers may be seconds, milliseconds, microseconds or nanoseconds (Binance's archive changed from ms to us in 2025,
so a file may hold both). Text may be ISO 8601 with or without an offset. A time without a zone is taken as UTC
unless the user names one; in a named zone, hours that daylight saving repeats or skips are faults, not guesses.
"""

from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from core.units import MINUTE_MS
from data.checks import FAULT, HALF_HOUR_MS, NOTE, WARNING, Finding, iso

FLOOR_MS = 1_230_768_000_000
"""2009-01-01: before the first coin there was no bar."""
CEILING_MS = 4_102_444_800_000
"""2100-01-01."""
UNITS = (("seconds", 1e3), ("milliseconds", 1.0), ("microseconds", 1e-3), ("nanoseconds", 1e-6))
MAX_JUMPS = 50
"""A shuffled file jumps everywhere; the first few tell."""
SHIFT_SAMPLE = 3_000
_ISO = (
    r"^\s*(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})"
    r"(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(\.\d+)?)?)?\s*(Z|UTC|[+-]\d{2}:?\d{2})?\s*$"
)


def to_epoch_ms(column: pl.Series, zone: ZoneInfo | None) -> tuple[pl.Series, list[Finding]]:
    """(T,) Int64 epoch ms, null where it is no time; and notes about units and zones."""
    kind = column.dtype
    if isinstance(kind, pl.Datetime):
        return _from_datetime(column, zone)
    if kind == pl.Date:
        return _from_datetime(column.cast(pl.Datetime("ms")), zone)
    if kind.is_numeric():
        return _from_numbers(column)
    text = column.cast(pl.String).str.strip_chars()
    numbers = text.cast(pl.Float64, strict=False)
    if numbers.is_not_null().sum() * 2 >= max(1, text.is_not_null().sum()):
        exact = text.cast(pl.Int64, strict=False)
        return _from_numbers(exact if exact.null_count() == numbers.null_count() else numbers)
    return _from_text(text, zone)


def _from_numbers(column: pl.Series) -> tuple[pl.Series, list[Finding]]:
    if column.dtype.is_float():
        column = column.set(column.is_nan() | column.is_infinite(), None)
    values = column.cast(pl.Float64)
    out = pl.Series(column.name, [None] * len(column), dtype=pl.Int64)
    used = []
    frame = pl.DataFrame({"raw": column, "value": values, "out": out})
    for name, factor in UNITS:
        inside = (pl.col("value") * factor).is_between(FLOOR_MS, CEILING_MS)
        if not frame.select(inside.sum()).item():
            continue
        used.append(name)
        if column.dtype.is_integer():
            raw = pl.col("raw").cast(pl.Int64)
            ms = raw * 1000 if factor == 1e3 else raw if factor == 1.0 else _exact_divide(raw, round(1 / factor))
        else:
            ms = (pl.col("value") * factor).round().cast(pl.Int64)
        frame = frame.with_columns(out=pl.when(inside).then(ms).otherwise(pl.col("out")))
    # Milliseconds are our own unit: nothing was assumed, nothing to say.
    notes = [Finding(NOTE, "time_unit", f"times are {used[0]} since 1970")] if used and used != ["milliseconds"] else []
    if len(used) > 1:
        notes = [
            Finding(
                WARNING,
                "time_unit",
                f"times change their unit within the file: {' and '.join(used)}; each read as such",
            )
        ]
    return frame["out"], notes


def _exact_divide(raw: pl.Expr, by: int) -> pl.Expr:
    # What lies inside a millisecond is kept visible as 1 ms, so that the minute check sees it.
    return raw // by + (raw % by != 0).cast(pl.Int64)


def _from_datetime(column: pl.Series, zone: ZoneInfo | None) -> tuple[pl.Series, list[Finding]]:
    aware = column.dtype.time_zone if isinstance(column.dtype, pl.Datetime) else None
    if aware:
        notes = [Finding(NOTE, "time_zone", f"times carry their zone ({aware})")]
        return column.dt.convert_time_zone("UTC").dt.replace_time_zone(None).dt.epoch("ms"), notes
    return _naive(column, zone)


def _naive(column: pl.Series, zone: ZoneInfo | None) -> tuple[pl.Series, list[Finding]]:
    if zone is None:
        text = "times carry no zone: taken as UTC (--timezone says otherwise)"
        return column.dt.epoch("ms"), [Finding(NOTE, "time_zone", text)]
    local = column.dt.replace_time_zone(zone.key, ambiguous="null", non_existent="null")
    notes = [Finding(NOTE, "time_zone", f"times carry no zone: taken as {zone.key}, as told")]
    lost = int(local.null_count() - column.null_count())
    if lost:
        text = (
            f"{lost} times fall into an hour that daylight saving in {zone.key} repeats or skips: they name no minute"
        )
        notes.append(Finding(WARNING, "daylight_saving", text))
    return local.dt.convert_time_zone("UTC").dt.replace_time_zone(None).dt.epoch("ms"), notes


def _from_text(text: pl.Series, zone: ZoneInfo | None) -> tuple[pl.Series, list[Finding]]:
    frame = pl.DataFrame({"text": text}).with_columns(
        pl.col("text")
        .str.extract_groups(_ISO)
        .struct.rename_fields(["Y", "M", "D", "h", "m", "s", "f", "z"])
        .alias("g")
    )
    part = {name: pl.col("g").struct.field(name) for name in "YMDhmsfz"}
    number = {name: part[name].cast(pl.Int64, strict=False) for name in "YMDhms"}
    padded = pl.concat_str(
        [number["Y"].cast(pl.String)]
        + [
            pl.lit(sign) + number[name].fill_null(0).cast(pl.String).str.zfill(2)
            for sign, name in zip("--T::", "MDhms", strict=True)
        ]
    )
    offset = part["z"].str.replace(":", "").str.replace_many(["Z", "UTC"], ["+0000", "+0000"])
    minutes = (offset.str.slice(1, 2).cast(pl.Int64) * 60 + offset.str.slice(3, 2).cast(pl.Int64)) * pl.when(
        offset.str.starts_with("-")
    ).then(-1).otherwise(1)
    frame = frame.select(
        naive=padded.str.strptime(pl.Datetime("ms"), "%Y-%m-%dT%H:%M:%S", strict=False),
        fraction=(part["f"].cast(pl.Float64, strict=False).fill_null(0.0) * 1000).round().cast(pl.Int64),
        offset=minutes,
    )
    aware = frame["offset"].is_not_null()
    utc = frame.select((pl.col("naive").dt.epoch("ms") - pl.col("offset") * MINUTE_MS).alias("t"))["t"]
    notes: list[Finding] = []
    offsets = sorted(set(frame.filter(aware & frame["naive"].is_not_null())["offset"].to_list()))
    if offsets:
        said = ", ".join(f"{'-' if o < 0 else '+'}{abs(o) // 60:02d}:{abs(o) % 60:02d}" for o in offsets)
        notes.append(Finding(NOTE, "time_zone", f"times carry their offset ({said})"))
    loose = ~aware & frame["naive"].is_not_null()
    if loose.any():
        local, more = _naive(frame["naive"].set(aware, None), zone)
        utc = utc.zip_with(aware, local)
        notes += more
        if offsets:
            slip = f"{int(loose.sum())} of {len(text)} times carry no zone while the others do: a time zone slip?"
            notes.append(Finding(WARNING, "mixed_zones", slip))
    return utc + frame["fraction"], notes


def common_offset(ts: np.ndarray) -> Finding | None:
    """All times the same distance off the minute: close times, or a clock that was wrong. Nothing to guess from."""
    rest = ts % MINUTE_MS
    if len(ts) == 0 or rest[0] == 0 or not (rest == rest[0]).all():
        return None
    what = "these look like close times; bars are named by their open" if rest[0] >= 59_000 else "the clock was off"
    text = (
        f"every time is {rest[0] / 1000:g} s past the minute (first {iso(int(ts[0]))}): {what}. "
        "Nothing was imported of this file"
    )
    return Finding(FAULT, "not_on_minute", text, ts=int(ts[0]))


def zone_steps(ts: np.ndarray, values: np.ndarray, rows: np.ndarray, unit: str) -> list[Finding]:
    """Places where the time of a file that counts up jumps by whole half hours, the trace of a changed zone or clock.

    A jump back onto minutes that were there already with other prices is a fault: which half is right can not be told.
    A hole of whole hours may be an outage: a warning.
    """
    findings = []
    step = np.diff(ts) - MINUTE_MS
    jumps = np.flatnonzero((np.abs(step) >= HALF_HOUR_MS) & (step % HALF_HOUR_MS == 0))[:MAX_JUMPS]
    for at in jumps:
        hours = abs(int(step[at])) / 3_600_000
        row, time = int(rows[at + 1]), int(ts[at + 1])
        if step[at] > 0:
            if step[at] % (2 * HALF_HOUR_MS) == 0 and step[at] <= 14 * 2 * HALF_HOUR_MS:
                text = f"a hole of exactly {hours:g} h before {iso(time)}: an outage, or a time zone slip"
                findings.append(Finding(WARNING, "zone_step", text, row, None, time, unit))
            continue
        order = np.argsort(ts[: at + 1], kind="stable")
        found = np.minimum(np.searchsorted(ts[order], ts[at + 1 :]), at)
        again = ts[order][found] == ts[at + 1 :]
        unlike = int((values[order][found] != values[at + 1 :]).any(axis=1)[again].sum())
        repeats = int(again.sum())
        if repeats >= 30 and unlike * 2 > repeats:
            text = (
                f"time goes back by exactly {hours:g} h to {iso(time)} and {unlike} minutes repeat, other "
                "prices: a time zone or daylight-saving slip. Nothing was imported of this file; "
                "--timezone or a corrected file helps"
            )
            findings.append(Finding(FAULT, "zone_slip", text, row, None, time, unit))
    return findings


def shifted_against(ts: np.ndarray, close: np.ndarray, known_ts: np.ndarray, known_close: np.ndarray) -> Finding | None:
    """Compare with bars the lake has already: when they agree only after moving by half hours, the zone is wrong."""
    ts, close = ts[:SHIFT_SAMPLE], close[:SHIFT_SAMPLE]
    minutes = min(60, len(ts))
    if minutes < 30 or len(known_ts) < minutes:
        return None
    known = dict(zip(known_ts.tolist(), known_close.tolist(), strict=True))
    best, share = 0, 0.0
    for shift in sorted(range(-28, 29), key=abs):
        meet = [
            (known[t], c)
            for t, c in zip((ts + shift * HALF_HOUR_MS).tolist(), close.tolist(), strict=True)
            if t in known
        ]
        # A flat stretch agrees with itself at any shift, so what counts are bars that move.
        moves = len({c for _, c in meet})
        equal = sum(a == b for a, b in meet) / len(meet) if len(meet) >= minutes and moves > 10 else 0.0
        if equal > share:
            best, share = shift, equal
        if shift == 0 and equal > 0.5:
            return None
    if best == 0 or share < 0.95:
        return None
    text = (
        f"times look shifted by {-best / 2:+g} h: {share:.0%} of the closes are those the lake has {abs(best) / 2:g} h "
        f"{'later' if best > 0 else 'earlier'}. Nothing was imported of this file; --timezone says what its times mean"
    )
    return Finding(FAULT, "zone_slip", text, ts=int(ts[0]))
