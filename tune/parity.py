"""Parity: a replay through Ray and the wire against the backtest of the same minutes, to the last digit."""

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from config.settings import Settings
from core.currency import REPORTING_CURRENCY
from core.errors import DataError
from core.messages import MinuteRecord
from core.ports import ModelsPart
from core.units import MINUTE_MS
from data.artifacts import ArtifactStore
from data.impact_law import read_law
from data.kept_curves import kept
from data.market import MarketCut
from data.records import read_records
from data.weights import read_weights
from exchanges.simulated.tape import Tape
from serve.models.base import Member
from serve.models.registry import load_member
from serve.panel import LocalPanel, RecordedPanel, ReigningPanel
from tune.backtest import make_backtest

COMPARED = tuple(f.name for f in fields(MinuteRecord) if f.compare and f.name != "trace")

STAGES: dict[str, tuple[str, ...]] = {
    "minute": ("minute", "status", "reason", "instruments"),
    "fills": ("fills",),
    "exits": ("exits", "dust"),
    "orders": ("orders",),
    "bars": ("close", "fresh"),
    "account": ("position", "equity"),
    "features": ("input_hash",),
    "votes": ("votes",),
    "events": ("regime", "events"),
    "intents": ("weights_version", "weights", "edge_bps", "target"),
    "verdicts": ("state", "state_reason", "approved", "refused", "coins"),
}
"""Stage → the fields of a record that show it, in the order in which one causes the next. A record's orders and fills
are split by their time: those of before its decision come where they stand here, those of after it come last. The
weights, which the record keeps with the votes, are the selector's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first place where two runs part: the earliest stage of the earliest minute."""

    minute: int
    stage: str
    field: str
    left: str
    right: str
    records: tuple[MinuteRecord | None, MinuteRecord | None] = (None, None)

    def __str__(self) -> str:
        return f"minute {utc(self.minute)}: {self.field} is {self.left} in the replay, {self.right} in the backtest"


def first_difference(replay: Sequence[MinuteRecord], backtest: Sequence[MinuteRecord]) -> Difference | None:
    """Compare minute by minute, stage by stage; None when all are equal to the last bit."""
    one, two = ({r.minute: r for r in records} for records in (replay, backtest))
    for minute in sorted(one.keys() | two.keys()):
        left, right = one.get(minute), two.get(minute)
        if left is None or right is None:
            return Difference(
                minute=minute,
                stage="minute",
                field="record",
                left=_there(left),
                right=_there(right),
                records=(left, right),
            )
        for stage, name, mine, other in parts(left, right):
            if mine != other:
                return Difference(minute=minute, stage=stage, field=name, left=mine, right=other, records=(left, right))
    return None


def parts(left: MinuteRecord, right: MinuteRecord) -> Iterator[tuple[str, str, str, str]]:
    """(stage, field, text of the left, text of the right) of two records of a minute, causes first."""
    decision = left.minute + MINUTE_MS
    shown = [_fields(record, decision) for record in (left, right)]
    for stage, names in STAGES.items():
        for name in names:
            yield stage, name, *(exact(one[name]) for one in shown)
    for name in ("orders", "fills"):
        yield name, name, exact(getattr(left, name)), exact(getattr(right, name))


def _fields(record: MinuteRecord, decision: int) -> dict[str, Any]:
    """By field, with the weights taken out of the votes, and orders and fills of before the decision only."""
    early = dict(zip(("orders", "fills"), _until(record, decision), strict=True))
    votes = tuple(replace(vote, weight=0.0) for vote in record.votes)
    kept = {name: getattr(record, name) for name in COMPARED}
    return kept | early | {"votes": votes, "weights": tuple(vote.weight for vote in record.votes)}


def _until(record: MinuteRecord, decision: int) -> tuple[tuple, tuple]:
    """Its (orders, fills) of before its decision: fills by their time, orders of intents that it did not make."""
    own = {approved.intent_id for approved in record.approved}
    return (
        tuple(order for order in record.orders if order.intent_id not in own),
        tuple(fill for fill in record.fills if fill.at_ms < decision),
    )


def exact(value: Any) -> str:
    """Text that differs exactly when the value does: floats to the last bit (NaN like NaN), amounts by their number."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, tuple):
        return f"({', '.join(map(exact, value))})"
    if is_dataclass(value):
        return (
            f"{type(value).__name__}({', '.join(f'{f.name}={exact(getattr(value, f.name))}' for f in fields(value))})"
        )
    return repr(value)


def largest_gap(replay: Sequence[MinuteRecord], again: Sequence[MinuteRecord]) -> float:
    """The largest absolute difference of two runs' forecasts, basis points; of what both say."""
    gap = 0.0
    later = {r.minute: r for r in again}
    for record in replay:
        other = later.get(record.minute)
        for mine, its in zip(record.votes, other.votes if other else (), strict=False):
            for ours, theirs in ((mine.mean_bps, its.mean_bps), (mine.stdev_bps, its.stdev_bps)):
                apart = np.abs(np.array(ours) - np.array(theirs))
                gap = max(gap, float(np.nanmax(apart, initial=0.0)))
    return gap


def utc(ms: int) -> str:
    """``2026-03-01T07:13``."""
    return str(np.datetime64(ms, "ms").astype("datetime64[m]"))


def _there(record: MinuteRecord | None) -> str:
    return "missing" if record is None else f"there ({record.status})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A finished replay, with all that its backtest needs."""

    name: str
    records: list[MinuteRecord]
    settings: Settings
    market: MarketCut
    """Its tape, to the last minute there is a record of."""
    planned: int
    """Minutes it was meant to run; an interrupted one has fewer."""
    source: str
    """Name of the market."""
    clock: str
    """``lockstep`` or ``speed``; empty when the run did not say."""
    cash: Decimal
    versions: dict[str, str]
    weights_version: str | None
    artifacts: Path
    impact_version: str | None = None


def newest_replay(runs: Path) -> Path:
    """Folder of the newest replay under ``runs`` that has records. DataError when there is none."""
    finished = [
        p.parent for p in runs.glob("*/run.json") if (p.parent / "tape.npz").exists() and any(_records(p.parent))
    ]
    if not finished:
        raise DataError(f"{runs}: holds no finished replay; make one: python3 run.py replay --lockstep")
    return max(finished, key=lambda folder: folder.name)


def _records(run_dir: Path) -> Iterator[Path]:
    return (run_dir / "records").glob("*")


def open_replay(run_dir: Path) -> Replayed:
    """Read what a replay left in its folder. Raises DataError when it is not a finished replay."""
    try:
        told = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{run_dir}: holds no run.json, so it is no replay of ours") from None
    except ValueError as error:
        raise DataError(f"{run_dir / 'run.json'}: cannot be read ({error})") from None
    tape = Tape.load(run_dir / "tape.npz")
    foreign = [str(i) for i in tape.instruments if i.quote != REPORTING_CURRENCY]
    if foreign:
        raise DataError(
            f"{run_dir.name}: traded {', '.join(foreign)}: a replay counts what they are paid in by the rate of each minute, and a "
            f"backtest by one rate of the whole run, so only {REPORTING_CURRENCY} markets can be held against each other to "
            "the last digit; the replay's books were held against the exchanges' own at its end"
        )
    records = list(read_records(run_dir / "records"))
    decided = [r.minute for r in records if r.status != "closed"]
    if not decided:
        raise DataError(f"{run_dir}: holds no records of minutes, so there is nothing to compare")
    planned = (tape.end_ms - told["first_minute"]) // MINUTE_MS
    curves = kept(run_dir)
    market = MarketCut(
        instruments=tape.instruments,
        start_minute=tape.start_minute,
        first_minute=told["first_minute"],
        minutes=(max(decided) - told["first_minute"]) // MINUTE_MS + 1,
        bars=tape.bars,
        synthetic=tape.synthetic,
        sentiment=tape.sentiment,
        news=tape.news,
        curves=np.stack([curves[i] for i in tape.instruments]) if curves else None,
    )
    return Replayed(
        name=run_dir.name,
        records=records,
        settings=Settings.model_validate(told["settings"]),
        market=market,
        planned=planned,
        source=told.get("market", ""),
        clock=told.get("clock", ""),
        cash=Decimal(told["cash"]),
        versions=told["versions"],
        weights_version=told["weights_version"],
        artifacts=Path(told["artifacts"]),
        impact_version=told.get("impact_version"),
    )


def backtest_of(replayed: Replayed, *, recorded_votes: bool) -> list[MinuteRecord]:
    """The backtest of the same minutes, over the votes that were cast or over forecasts computed afresh."""
    store = ArtifactStore(replayed.artifacts)
    models: ModelsPart
    if recorded_votes:
        models = RecordedPanel.from_records(replayed.records, replayed.settings.rules.models.horizon_minutes)
    else:
        names = tuple(m.name for m in replayed.settings.rules.models.enabled)
        horizon = replayed.settings.rules.models.horizon_minutes
        models = ReigningPanel(
            [
                (minute, LocalPanel(_loaded(store, versions), horizon, names=names))
                for minute, versions in reigns(replayed, {(a.name, a.version) for a in store.list("model")})
            ]
        )
    weights = None if replayed.weights_version is None else read_weights(store, replayed.weights_version)
    law = read_law(store, replayed.impact_version)
    test = make_backtest(replayed.settings, replayed.market, models, cash=replayed.cash, weights=weights, law=law)
    return list(test.run())


def reigns(replayed: Replayed, stored: Set[tuple[str, str]]) -> list[tuple[int, dict[str, str]]]:
    """(first minute, version of each member): one for each change of a champion while the run went on. A member that is
    silent has not changed, and a version that is not ``stored`` (member, version) cannot be asked."""
    found = [(0, dict(replayed.versions))]
    for record in replayed.records:
        spoke = {v.member: v.version for v in record.votes if v.member in replayed.versions}
        now = found[-1][1] | {m: v for m, v in spoke.items() if (m, v) in stored}
        if now != found[-1][1]:
            found.append((record.minute, now))
    return found


def _loaded(store: ArtifactStore, versions: Mapping[str, str]) -> dict[str, tuple[Member, str]]:
    members = {}
    for name, version in versions.items():
        artifact = store.load(f"model/{name}/{version}")
        members[name] = (load_member(artifact.family, artifact.path), artifact.version)
    return members


def comparable(replayed: Replayed, records: Sequence[MinuteRecord]) -> list[MinuteRecord]:
    """The records that can be held against another run's: of an interrupted replay only its minutes, as what was on
    its way when somebody stopped it would have gone on."""
    whole = replayed.market.minutes == replayed.planned
    return [record for record in records if whole or record.status != "closed"]
