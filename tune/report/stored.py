"""Results read back: from the folder of a backtest, or made from the records of a replay, paper or live run."""

import json
from pathlib import Path

from pydantic import ValidationError

from config.settings import Settings
from core.errors import DataError
from data.records import read_records
from exchanges.simulated.tape import Tape
from tune.recorded_result import Touches, result_of_records
from tune.report.frame import Judged
from tune.result import Result
from tune.simulated_result import settings_of
from tune.verdict import Verdict

VERDICT = "verdict.json"
RECORDS = "records"
RUN = "run.json"
RESULT = "result.json"
TAPE = "tape.npz"


def read_stored(folder: Path) -> Result:
    """The result in ``folder``; DataError says what is missing."""
    if (folder / RESULT).is_file():
        return Result.load(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; backtests are in var/backtests, replays in var/runs")
    if not (folder / RECORDS).is_dir():
        raise DataError(f"{folder}: neither a result of a backtest (result.json) nor records of a run (records/) in it")
    return _read_run(folder)


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


def _read_run(folder: Path) -> Result:
    """A run of the whole system: its records, and where it kept them its settings and the market it played."""
    records = list(read_records(folder / RECORDS))
    told = read_run_json(folder)
    settings = settings_in(told)
    tape = Tape.load(folder / TAPE) if (folder / TAPE).is_file() else None
    touches = None
    # A run from before there was one cost model had another book: what it lost is not taken apart by today's.
    if tape is not None and settings is not None and "costs" in told["settings"]["rules"]:
        costs = settings.rules.costs
        touches = Touches(tape, costs, tape.default_rules(costs))
    cash = told.get("cash")
    return result_of_records(
        records,
        name=f"Run {folder.name}",
        market=f"market {told['market']}" if "market" in told else "",
        synthetic=tape is not None and tape.synthetic,
        cash=float(cash) if cash is not None else None,
        settings=settings_of(settings) if settings is not None else {},
        touches=touches,
    )


def read_run_json(folder: Path) -> dict:
    """What a run kept of itself, or the head of a backtest's result; empty where there is nothing of the kind."""
    for name in (RUN, RESULT):
        try:
            kept = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return kept if isinstance(kept, dict) else {}
    return {}


def settings_in(told: dict) -> Settings | None:
    """The settings of a run; None where they are of a version that had other keys."""
    try:
        return Settings.model_validate(told["settings"])
    except (KeyError, ValidationError):
        return None
