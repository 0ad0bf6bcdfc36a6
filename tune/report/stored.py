"""Results read back: from the folder of a backtest, or made from the records of a replay, paper or live run."""

import json
from pathlib import Path

from core.errors import DataError
from tune.report.frame import Judged
from tune.result import Result
from tune.verdict import Verdict

VERDICT = "verdict.json"


def read_stored(folder: Path) -> Result:
    """The result in ``folder``; DataError says what is missing."""
    if (folder / "result.json").is_file():
        return Result.load(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; backtests are in var/backtests, replays in var/runs")
    raise DataError(f"{folder}: neither a result of a backtest (result.json) nor records of a run (records/) in it")


def read_verdict(folder: Path) -> Judged | None:
    """The verdict kept beside a result; None where none was given."""
    path = folder / VERDICT
    if not path.is_file():
        return None
    try:
        found = Verdict.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return Judged(found.word, found.reasons)


def run_settings(folder: Path) -> dict:
    """Settings that a run kept in its ``run.json``; empty where it kept none."""
    try:
        kept = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
