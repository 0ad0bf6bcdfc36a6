"""The folder of a backtest's result: tried before the work, and cleared of an earlier backtest's files after it.

What is cleared is what backtests write, by name. Anything else there is a person's, or another verb's, and stays.
"""

from pathlib import Path

from rich.console import Console

from core.errors import ConfigError, DataError
from data.records import forget_records
from tune.report.stored import RECORDS, RESULT, VERDICT
from tune.report_command import PAGE
from tune.result import TABLES
from tune.walkforward import FOLDS_FILE

WRITTEN = (*TABLES, PAGE, VERDICT, FOLDS_FILE)
"""Files of a backtest or a walk-forward, but for ``RESULT``, by which an earlier one is known."""


def make_room(out: Path) -> None:
    """Try ``out`` before the work and not after it; nothing in it is changed.

    Raises ConfigError where nothing can be kept there, or where it holds the records of a replay, paper or live run:
    a result among them would be taken for that run's.
    """
    if (out / RECORDS).is_dir() and not (out / RESULT).is_file():
        raise ConfigError(f"{out}: holds the records of a run that was no backtest; name another folder by --out")
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
        if new:
            out.rmdir()  # a run that is interrupted leaves no empty folder
    except OSError as error:
        raise ConfigError(f"{out}: nothing can be kept there ({error.strerror}); name a folder by --out") from error


def replace_earlier(out: Path, console: Console, *, but: tuple[str, ...] = ()) -> None:
    """Remove what an earlier backtest left in ``out``, and say so; files named in ``but`` are this run's already.

    Called once the new result is known, so that a run that is interrupted before leaves the earlier one whole. DataError
    where something cannot be removed.
    """
    if not (out / RESULT).is_file():
        return
    try:
        forget_records(out / RECORDS)
        for name in (*WRITTEN, RESULT):  # the mark of an earlier result goes last: cut off here, the next run goes on
            if name not in but:
                (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{out}: the earlier result there cannot be replaced ({error.strerror}); name a folder by --out"
        ) from error
    console.print(f"replaced the result of an earlier run in {out}", highlight=False, markup=False, soft_wrap=True)
