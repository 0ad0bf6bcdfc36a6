"""A folder of bars as a market: a lake as it is, raw files brought once into a lake of their own.

What is imported lies under ``var/markets/<folder>-<digest>``. The digest is over the raw files' names and bytes, so that
other files of the same name are another market, and equal ones are never imported twice.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import DataError, TimedOut
from core.units import plural
from data.checks import FAULT, WARNING
from data.import_report import FileReport, ImportOptions, ImportReport
from data.importing import import_path
from data.lake import Lake
from data.market import MarketSource
from data.reading import kind_of
from data.verify import MARKET_FILE

MARK = "source.json"
"""Written last: a folder without it is an import that was cut off."""
SHOWN = 3
"""Faults, files or warnings that are named one by one."""
REPEATED = "duplicate"
"""Counted, not listed: an import finds it once a row."""
TYPO = "price_jump"
"""An import only points at a price of a thousand times its neighbours'; a test over it would be about nothing else."""
UNNAMED = {"no_exchange": "--exchange binance", "no_symbol": "--symbol BTC/USDT"}
"""What an import must be told where neither folder nor file says it."""
WAIT_S = 600.0
_READ = 1 << 20

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0..1."""


def folder_source(var: Path, path: Path, progress: Progress = lambda text, share: None) -> MarketSource:
    """The market in ``path``: a lake's root, or raw bar files as ``data import`` takes them.

    Raises DataError when there is no such folder, when no bars are in it, or when any of its rows is faulty: a
    test on what is left of a broken file would be a test on other data than was named.
    """
    path = path.expanduser()
    if not path.exists():
        raise DataError(f"--data {path}: there is no such file or folder")
    if _is_lake(path):
        lake = Lake(path)
        if not lake.instruments():
            raise DataError(f"--data {path}: is a lake without bars")
        # Models and results must not be written into somebody's data folder.
        return MarketSource(
            name=path.resolve().name, root=var / "markets" / _slug(path), lake=lake, synthetic=_synthetic(lake)
        )
    files = _raw_files(path)
    digest = _digest(path, files, progress)
    name = f"{_slug(path)}-{digest[:8]}"
    root = var / "markets" / name
    root.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Two backtests of the same new folder at once: the second waits for the first one's import.
        with FileLock(root.with_name(f".{name}.lock"), timeout=WAIT_S):
            if not (root / MARK).exists():
                _import(root, path, files, digest, progress)
    except Timeout as error:
        raise TimedOut(f"{root}: another process is importing {path} since {WAIT_S:.0f} s") from error
    lake = Lake(root)
    return MarketSource(name=name, root=root, lake=lake, synthetic=_synthetic(lake), notes=_kept_notes(root))


def _is_lake(path: Path) -> bool:
    return path.is_dir() and any((path / "bars").glob("v*"))


def _synthetic(lake: Lake) -> bool:
    return (lake.root / MARKET_FILE).exists() or any(lake.synthetic(i) is not None for i in lake.instruments())


def _slug(path: Path) -> str:
    """The folder's name as a name of ours."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", path.resolve().name).strip(".-") or "market"


def _raw_files(path: Path) -> list[Path]:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    known = [p for p in files if not p.name.startswith(".") and kind_of(p)]
    if not known:
        raise DataError(
            f"--data {path}: no bars in it; wanted are Parquet, CSV or Feather files of one-minute bars in a folder named "
            "after the exchange (binance/BTCUSDT.parquet), or the folder of a lake"
        )
    return known


def _digest(path: Path, files: list[Path], progress: Progress) -> str:
    """SHA-256 over relative names and bytes."""
    base = path if path.is_dir() else path.parent
    whole, done = hashlib.sha256(), 0
    total = sum(f.stat().st_size for f in files) or 1
    for file in files:
        whole.update(f"{file.relative_to(base).as_posix()}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(_READ):
                whole.update(block)
                done += len(block)
                progress(f"reading {file.name}", done / total)
    return whole.hexdigest()


def _import(root: Path, path: Path, files: list[Path], digest: str, progress: Progress) -> None:
    """Into a draft beside ``root``, renamed when it is whole: a lake that is there can be trusted."""
    draft = root.with_name(f".{root.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)
    lake, options = Lake(draft), ImportOptions()
    reports: list[FileReport] = []
    for at, file in enumerate(files):
        progress(f"importing {file.name}", at / len(files))
        report = import_path(lake, file, options)
        _refuse_faults(path, report)
        reports.extend(report.files)
    if not lake.instruments():
        shutil.rmtree(draft, ignore_errors=True)
        raise DataError(f"--data {path}: no one-minute bars in its {len(files)} files")
    told = {"path": str(path.resolve()), "sha256": digest, "files": len(files), "notes": _notes(reports)}
    (draft / MARK).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, root)
    progress("imported", 1.0)


def _notes(reports: list[FileReport]) -> list[str]:
    """What an import without faults did to the rows, and what else it warns of; all files together, a sentence each."""
    notes = []
    repeated = [
        (one, one.duplicates + one.unchanged)
        for one in reports
        if one.kind == "bars" and one.duplicates + one.unchanged
    ]
    if repeated:
        count = sum(n for _, n in repeated)
        verb = "repeats" if count == 1 else "repeat"
        notes.append(
            f"Bars: {plural(count, 'row')} {verb} another exactly and {'was' if count == 1 else 'were'} left out "
            f"({_named([(one, f'{n:,}') for one, n in repeated])})."
        )
    warned = [(one, f) for one in reports for f in one.findings if f.severity == WARNING and f.code != REPEATED]
    if warned:
        notes.append(
            f"Files: {plural(len(warned), 'warning')} ({_named(warned)}); "
            "all of them: python3 run.py data import PATH --lake FOLDER --dry-run."
        )
    return notes


def _named(said: Sequence[tuple[FileReport, object]]) -> str:
    """The first few, by file."""
    shown = "; ".join(f"{one.path.name}: {what}" for one, what in said[:SHOWN])
    return f"{shown}; and {len(said) - SHOWN} more" if len(said) > SHOWN else shown


def _kept_notes(root: Path) -> tuple[str, ...]:
    """What was said when it was imported: every run over these bars says it again."""
    # Imports of before kept none.
    return tuple(json.loads((root / MARK).read_text(encoding="utf-8")).get("notes", ()))


def _refuse_faults(path: Path, report: ImportReport) -> None:
    found = [
        (finding.code, f"{one.path.name}: {finding}")
        for one in report.files
        for finding in one.findings
        if finding.severity == FAULT or finding.code == TYPO
    ]
    if not found:
        return
    shown = "; ".join(text for _, text in found[:SHOWN])
    if len(found) > SHOWN:
        shown += f"; and {len(found) - SHOWN} more"
    unnamed = UNNAMED.get(found[0][0])
    command = f"python3 run.py data import {path} {unnamed or '--allow-bad'} --lake FOLDER, then --data FOLDER"
    what = "Name it" if unnamed else "Mend or remove them, or import knowingly what is good, then use that lake"
    raise DataError(f"--data {path}: faults in its bars: {shown.rstrip('.?')}. {what}: {command}")
