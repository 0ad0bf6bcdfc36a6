"""``run.py parity``: is a replay what the backtest of its minutes says, to the last digit, and if not, why?"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from rich.console import Console

from config import load
from core.errors import EXIT_FAILURE, EXIT_OK, DataError
from core.messages import MinuteRecord
from core.units import plural
from data.progress import stage
from tune.parity import (
    Difference,
    Replayed,
    backtest_of,
    comparable,
    first_difference,
    largest_gap,
    newest_replay,
    open_replay,
    utc,
)
from tune.parity_cause import FORECAST_TOLERANCE_BPS, cause_of, forecast_difference
from tune.parity_engine import engine_difference, engine_of

HELP = "hold a replay against the backtest of the same minutes; print the first difference and its cause"
EXAMPLE = "python3 run.py replay --exchange binance --minutes 120 --lockstep && python3 run.py parity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One comparison."""

    against: str
    difference: Difference | None
    cause: str
    note: str
    seconds: float
    possible: bool = True
    """False when something it needs is gone; the note says what."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", nargs="?", type=Path, metavar="RUN_FOLDER", help="default: the newest replay in var/runs"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line, nothing else")
    load.arguments(parser)


def main(args: argparse.Namespace) -> int:
    settings = load.from_arguments(args)
    console = Console(stderr=args.json)
    replayed = open_replay(args.run or newest_replay(load.resolve_var(settings) / "runs"))
    orders, fills = (sum(len(getattr(r, name)) for r in replayed.records) for name in ("approved", "fills"))
    missed = sum(r.status == "missed" for r in replayed.records)
    market = replayed.market
    of_all = f" of {replayed.planned:,} (it was interrupted)" if market.minutes < replayed.planned else ""
    console.print(
        f"replay {replayed.name} of {replayed.source}: {plural(market.minutes, 'minute')}{of_all} from {utc(market.first_minute)}, "
        f"{plural(len(market.instruments), 'instrument')}, {plural(orders, 'order')}, {plural(fills, 'fill')}, {plural(missed, 'minute')} missed",
        highlight=False,
        soft_wrap=True,
    )
    found = []
    for against, hold in Comparisons(replayed).all().items():
        with stage(console, f"{against} …"):
            one = _held(against, hold)
        found.append(one)
        difference, note = one.difference, one.note
        verdict = "DIFFERS" if difference else "equal" if one.possible else "NOT POSSIBLE"
        console.print(f"{against}: {verdict} ({note}, {one.seconds:.1f} s)", highlight=False, soft_wrap=True)
        if difference:
            console.print(f"  {_told(difference)}", highlight=False, soft_wrap=True)
            console.print(f"  cause: {difference.stage}: {one.cause}", highlight=False, soft_wrap=True)
    differing = [one for one in found if one.difference]
    if args.json:
        print(json.dumps({"run": replayed.name, "equal": not differing, "compared": [_plain(one) for one in found]}))
    elif not differing:
        console.print(
            "OK: no difference" if all(one.possible for one in found) else "no difference in what could be held"
        )
    return EXIT_FAILURE if differing else EXIT_OK


def _held(against: str, hold: Callable[[], "Found"]) -> Held:
    began = time.perf_counter()
    try:
        difference, cause, note = hold()
    except DataError as error:
        return Held(
            against=against,
            difference=None,
            cause="",
            note=str(error),
            seconds=time.perf_counter() - began,
            possible=False,
        )
    return Held(against=against, difference=difference, cause=cause, note=note, seconds=time.perf_counter() - began)


Found = tuple[Difference | None, str, str]
"""The first difference, its likely cause, and what was compared."""


class Comparisons:
    """What a replay is held against. The minutes are run afresh at most once."""

    def __init__(self, replayed: Replayed) -> None:
        self._replayed = replayed

    def all(self) -> dict[str, Callable[[], Found]]:
        return {
            "backtest on a LocalDesk, votes as recorded": self.as_recorded,
            "compiled engine, votes as recorded": self.engine,
            "forecasts computed afresh": self.afresh,
        }

    def as_recorded(self) -> Found:
        found, note = self._desk
        if found is None:
            return None, "", note
        agree = self._features_agree(found)
        cause = cause_of(found, agree, self._replayed.clock, self._changed_before(found.minute))
        return replace(found, stage="book") if agree else found, cause, note

    def _changed_before(self, minute: int) -> list[str]:
        told = (line for record in self._replayed.records if record.minute <= minute for line in record.settings)
        return [line for line in told if " -> " in line]

    def engine(self) -> Found:
        result = engine_of(self._replayed)
        note = f"{plural(len(result.orders), 'order')}, {plural(len(result.fills), 'fill')}, to the last digit"
        found = engine_difference(self._replayed, result)
        if found is None:
            return None, "", note
        desk, _ = self._desk
        if desk is None:
            cause = "a LocalDesk says what the replay says, so the engine is wrong: a defect of ours"
        else:
            cause = f"a LocalDesk parts from the replay as well, at {utc(desk.minute)} ({desk.field}); see its cause"
        return found, cause, note

    @cached_property
    def _desk(self) -> tuple[Difference | None, str]:
        backtest = backtest_of(self._replayed, recorded_votes=True)
        note = f"{plural(len(backtest), 'record')}, {plural(sum(len(r.fills) for r in backtest), 'fill')}, to the last digit"
        return first_difference(*(comparable(self._replayed, r) for r in (self._replayed.records, backtest))), note

    def afresh(self) -> Found:
        again = self._again
        gap = largest_gap(self._replayed.records, again)
        note = f"largest difference {gap:.2g} bps, {FORECAST_TOLERANCE_BPS:g} is allowed"
        found = forecast_difference(self._replayed.records, again)
        return (*found, note) if found else (None, "", note)

    @cached_property
    def _again(self) -> list[MinuteRecord]:
        return backtest_of(self._replayed, recorded_votes=False)

    def _features_agree(self, found: Difference) -> bool | None:
        """Whether the members, asked afresh, say the same about this minute, so that they were shown the same; None
        when that cannot be told."""
        if found.stage != "features":
            return None
        try:
            again = [r for r in self._again if r.minute == found.minute]
        except DataError:
            return None
        here = [r for r in self._replayed.records if r.minute == found.minute]
        spoke = any(vote.spoke for r in here for vote in r.votes)
        return forecast_difference(here, again) is None if spoke else None


def _told(difference: Difference, most: int = 300) -> str:
    """The difference with both values cut to where they begin to differ."""
    left, right = difference.left, difference.right
    if max(len(left), len(right)) > most:
        same = next(
            (k for k, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
        )
        start = max(0, same - most // 3)
        left, right = (
            f"{'…' if start else ''}{text[start : start + most]}{'…' if len(text) > start + most else ''}"
            for text in (left, right)
        )
    return (
        f"first at {utc(difference.minute)} (minute {difference.minute}): {difference.field}\n"
        f"    replay:   {left}\n    backtest: {right}"
    )


def _plain(one: Held) -> dict:
    found = one.difference
    told = {
        "against": one.against,
        "equal": found is None if one.possible else None,
        "note": one.note,
        "seconds": round(one.seconds, 2),
    }
    if found is not None:
        told |= {
            "minute": found.minute,
            "stage": found.stage,
            "field": found.field,
            "replay": found.left,
            "backtest": found.right,
            "cause": one.cause,
        }
    return told
