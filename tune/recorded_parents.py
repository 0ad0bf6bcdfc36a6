"""The parent orders of a finished run, from its folder: its records, its journal, and the market it played."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from core.errors import DataError
from core.execution.codec import decode
from core.execution.stimuli import Instruction, Stimulus
from core.execution.tca import Parent, Touch, no_touch, parents_of
from core.messages import MinuteRecord, PlaceOrder
from core.units import Instrument, MarketRules
from data.journal import read_journal
from data.records import read_records
from exchanges.simulated.tape import Tape
from tune.recorded_result import Touches
from tune.report.stored import RECORDS, TAPE, read_run_json, settings_in

JOURNAL = "journal.sqlite"
NO_PRICES = (
    "No prices beside the decisions' were kept in this run: the spread is what each decision saw, and what an order "
    "moved (impact) stands under timing."
)
OTHER_FEES = "{} fills paid their fee in a coin whose price is not in the records; it is not counted."


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of the executor's journal, and the clock that it last named (epoch ms)."""

    at_ms: int
    message: Stimulus | Instruction


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedParents:
    """All parents of one run."""

    name: str
    parents: tuple[Parent, ...]
    journal: tuple[Entry, ...]
    """Empty where the run kept none (a backtest)."""
    span: tuple[int, int]
    """Open of the first recorded minute and of the one after the last."""
    instruments: tuple[str, ...]
    synthetic: bool
    notes: tuple[str, ...]
    horizon_minutes: int = 15
    """Over which the forecasts spoke."""
    real: bool = False
    """Filled by a real exchange."""
    artifacts: Path | None = None
    """Where the run's models are kept; None where it does not say."""


def read_parents(folder: Path) -> RecordedParents:
    """Read a replay's, paper or live run's folder, or that of ``backtest --exact``. Raises DataError naming what is missing."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; runs are in var/runs, backtests in var/backtests")
    if not (folder / RECORDS).is_dir():
        raise DataError(
            f"{folder}: no records of minutes in it. A compiled backtest keeps none: its report says where the money "
            "went; for every order's costs run it with --exact, or look at a replay, paper or live run"
        )
    records = list(read_records(folder / RECORDS))
    journal = entries_of(folder / JOURNAL) if (folder / JOURNAL).is_file() else ()
    told = read_run_json(folder)
    settings = settings_in(told)
    tape = Tape.load(folder / TAPE) if (folder / TAPE).is_file() else None
    touch: Touch = no_touch
    if tape is not None and settings is not None:
        rules = tape.default_rules(settings.rules.costs)
        touch = touch_of(Touches(tape, settings.rules.costs, rules), rules)
    schedule = settings.rules.execution.algorithm if settings is not None else _algorithm_of_backtest(told)
    parents = tuple(parents_of(records, touch, first_sends(journal), schedule))
    unpriced = sum(parent.unpriced for parent in parents)
    notes = (NO_PRICES,) * (tape is None and bool(parents)) + (OTHER_FEES.format(unpriced),) * bool(unpriced)
    return RecordedParents(
        name=folder.resolve().name,
        parents=parents,
        journal=journal,
        span=_span(records),
        instruments=tuple(dict.fromkeys(str(i) for record in records for i in record.instruments)),
        synthetic=tape is not None and tape.synthetic,
        notes=notes,
        horizon_minutes=settings.rules.models.horizon_minutes if settings is not None else 15,
        real=folder.resolve().parent.name == "live",
        artifacts=Path(told["artifacts"]) if "artifacts" in told else None,
    )


def _algorithm_of_backtest(told: dict) -> str:
    """What a backtest's result says of its rules; empty where it says nothing."""
    rules = told.get("settings", {}).get("rules", {})
    return str(rules.get("execution", {}).get("algorithm", ""))


def entries_of(path: Path) -> tuple[Entry, ...]:
    """The executor's journal, with the clock as each stimulus told it."""
    found, now = [], 0
    for kind, payload in read_journal(path):
        message = decode(kind, payload)
        now = max(now, getattr(message, "now_ms", 0))
        found.append(Entry(at_ms=now, message=message))
    return tuple(found)


def first_sends(journal: tuple[Entry, ...]) -> dict[str, int]:
    """Intent id → when its first order was sent, epoch ms."""
    found: dict[str, int] = {}
    for entry in journal:
        if isinstance(entry.message, PlaceOrder):
            found.setdefault(entry.message.intent_id, entry.at_ms)
    return found


def touch_of(touches: Touches, rules: dict[Instrument, MarketRules]) -> Touch:
    """The touch in exact prices."""

    def touch(instrument: Instrument, ms: int) -> tuple[Decimal, Decimal] | None:
        seen = touches.at(instrument, ms)
        if seen is None:
            return None
        tick = rules[instrument].tick
        return int(seen[0]) * tick, int(seen[1]) * tick

    return touch


def _span(records: list[MinuteRecord]) -> tuple[int, int]:
    minutes = [record.minute for record in records]
    return (min(minutes), max(minutes)) if minutes else (0, 0)
