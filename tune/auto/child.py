"""The process of a trial: reads a line of JSON that says what to do, does it, answers with one; until its input ends.

Apart from Ray's process, so that its memory is its own: held by a limit of the kernel on what it allocates, measured from
outside, and ended without anybody else being hurt. ``python -m tune.auto.child FOLDER LIMIT_BYTES NICENESS``.
"""

import contextlib
import ctypes
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import BotError, DataError
from core.features import SEQUENCE
from core.messages import FloatArray
from serve.models.base import Member, TrainingSet
from serve.models.registry import new_member
from serve.panel import HISTORY_BATCH, forecast_history
from tune.auto.judging import Judged, judge, together, yardstick
from tune.auto.space import ALL_DAYS, WINDOW, Value, split
from tune.auto.table import Table, prepare
from tune.auto.task import NINTHS, Task
from tune.folds import Fold
from tune.train import fit_on, lower_priority

DAY_MINUTES = 1_440
PIECE = 20_000
"""Minutes of the held-out part that are forecast at a time."""
BESIDE_BYTES = 400_000_000
"""Allocated and hardly ever touched: libraries' tables, thread stacks. Measured with torch and LightGBM loaded."""
Say = Callable[[float], None]


def windowed(fold: Fold, days: float) -> Fold:
    """The fold with no more than the last ``days`` days to learn from."""
    if days == ALL_DAYS:
        return fold
    return replace(fold, train_first=max(fold.train_first, fold.train_end - int(days * DAY_MINUTES)))


def asked(member: Member, data: TrainingSet) -> tuple[FloatArray, FloatArray]:
    """What a member says of each sample: mean and stdev (N,), basis points."""
    mean, stdev = np.full(data.size, np.nan), np.full(data.size, np.nan)
    for first in range(0, data.size, HISTORY_BATCH):
        some = np.arange(first, min(first + HISTORY_BATCH, data.size))
        mean[some], stdev[some] = member.forecast(data.windows(some, member.depth))
    return mean, stdev


def learned(
    table: Table, fold: Fold, family: str, hyper: dict[str, Value], samples: int
) -> tuple[Member, TrainingSet, dict[str, float]]:
    """A member that learned on a fold's past, that past, and what it noted."""
    about_data, own = split(hyper)
    seed = table.task.seed
    data = table.learn(windowed(fold, float(about_data.get(WINDOW, ALL_DAYS))), samples, seed)
    member, notes = fit_on(family, data, seed, own)
    return member, data, notes


def rung(folder: Path, ask: dict[str, Any], say: Say) -> dict[str, Any]:
    """Learn and be judged on every fold, with ``ninths`` ninths of the samples."""
    task = Task.load(folder)
    table = Table.of(folder, task)
    parts = []
    for number, fold in enumerate(task.folds):
        say(number / len(task.folds))
        member, data, _ = learned(table, fold, ask["family"], ask["hyper"], task.samples * ask["ninths"] // NINTHS[-1])
        width = yardstick(data)
        # What was learned from is not needed any more; the test part takes its place.
        del data
        test = table.test(fold, task.judged)
        parts.append(judge(*asked(member, test), test, width))
    whole = together(parts)
    _keep_series(folder, f"{ask['key']}-{ask['ninths']}", whole)
    return _told(whole) | {"folds": [p.gain for p in parts]}


def final(folder: Path, ask: dict[str, Any], say: Say) -> dict[str, Any]:
    """Learn on all that was searched and keep the member under ``into``; what it says of the held-out part beside."""
    task = Task.load(folder)
    table = Table.of(folder, task)
    fold, into = task.final, Path(ask["into"])
    member, data, notes = learned(table, fold, ask["family"], ask["hyper"], task.samples)
    width, size, span = yardstick(data), data.size, (int(data.rows[:, 1].min()), int(data.rows[:, 1].max()))
    horizons = data.horizons
    del data
    say(0.5)
    (into / "model").mkdir(parents=True, exist_ok=True)
    member.save(into / "model")
    shape = (len(task.rows), fold.test_end - fold.test_first)
    mean, stdev = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    for row in range(shape[0]):
        for first in range(fold.test_first, fold.test_end, PIECE):
            end = min(first + PIECE, fold.test_end)
            features, whole = table.history(row, first, end)
            said = forecast_history(member, features, SEQUENCE - 1, len(features))
            at = slice(first - fold.test_first, end - fold.test_first)
            mean[row, at], stdev[row, at] = (np.where(whole, one, np.nan) for one in said)
    np.save(into / "mean.npy", mean)
    np.save(into / "stdev.npy", stdev)
    test = table.test(fold, task.judged)
    judged = judge(*asked(member, test), test, width)
    _keep_series(folder, f"{ask['key']}-final", judged)
    settings = asdict(new_member(ask["family"], **split(ask["hyper"])[1]).settings)
    return _told(judged) | {"notes": notes, "samples": size, "learned": span, "horizons": horizons, "hyper": settings}


def ready(folder: Path, ask: dict[str, Any], say: Say) -> dict[str, Any]:
    """Compute the features of the search."""
    prepare(Task.load(folder), folder, say)
    return {}


JOBS = {"rung": rung, "final": final, "prepare": ready}


def _told(judged: Judged) -> dict[str, Any]:
    return {"gain": judged.gain, "stdev_gain": judged.stdev_gain, "figures": judged.figures}


def _keep_series(folder: Path, name: str, judged: Judged) -> None:
    path = series_path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp.npy")
    np.save(draft, np.stack([judged.hour.astype(np.float64), judged.series]))
    draft.replace(path)


def series_path(folder: Path, name: str) -> Path:
    """(2, H): hours and mean gains of a judged trial."""
    return folder / "series" / f"{name}.npy"


def hold(limit: int) -> None:
    """Let the kernel refuse what would go beyond ``limit`` bytes at once; smaller steps are watched from outside."""
    if sys.platform != "win32":
        resource = import_module("resource")  # not on Windows
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (limit + BESIDE_BYTES, limit + BESIDE_BYTES))


def fresh_peak() -> None:
    """Give back what is free, and measure the peak anew (Linux)."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak() -> int:
    """Most resident memory since ``fresh_peak``, bytes; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def answer(folder: Path, ask: dict[str, Any], say: Say) -> dict[str, Any]:
    """Do what is asked; what goes wrong in it is an answer, too."""
    fresh_peak()
    began = time.perf_counter()
    try:
        told = {"status": "ok", "reason": ""} | JOBS[ask["do"]](folder, ask, say)
    except MemoryError:
        told = {"status": "memory", "reason": "the memory it asked for at once was refused: beyond a trial's share"}
    except (BotError, DataError) as error:
        told = {"status": "error", "reason": str(error)}
    # A model may fail in any way its library can; the search goes on, and the leaderboard names what it said.
    except Exception as error:
        text = (str(error).strip().splitlines() or [""])[0][:300]
        refused = "allocate" in text.lower() or "bad_alloc" in text.lower()
        told = {"status": "memory" if refused else "error", "reason": f"{type(error).__name__}: {text}"}
    return told | {"seconds": time.perf_counter() - began, "peak": peak()}


def main(argv: list[str]) -> int:
    folder, limit, niceness = Path(argv[0]), int(argv[1]), int(argv[2])
    # Ctrl-C is for whoever asked; this process ends with them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lower_priority(niceness)
    hold(limit)
    # Libraries print to stdout; answers need it for themselves.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    for line in sys.stdin:
        ask = json.loads(line)
        tell({"done": answer(folder, ask, lambda share: tell({"share": share}))})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
