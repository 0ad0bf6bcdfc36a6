"""Parity: a replay through Ray and the wire against the backtest of the same minutes, to the last digit."""

import json
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from config.settings import Settings
from core.errors import DataError
from core.messages import MinuteRecord
from core.ports import ModelsPart
from core.units import MINUTE_MS
from data.artifacts import ArtifactStore
from data.market import MarketCut
from data.records import read_records
from data.weights import read_weights
from exchanges.simulated.tape import Tape
from serve.models.registry import load_member
from serve.panel import LocalPanel, RecordedPanel
from tune.backtest import make_backtest

COMPARED = tuple(f.name for f in fields(MinuteRecord) if f.compare and f.name != "trace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first place where two runs part."""

    minute: int
    field: str
    left: str
    right: str

    def __str__(self) -> str:
        return f"minute {self.minute}: {self.field} is {self.left} in the replay, {self.right} in the backtest"


def first_difference(replay: list[MinuteRecord], backtest: list[MinuteRecord]) -> Difference | None:
    """Compare record by record, field by field; None when all are equal to the last bit."""
    for left, right in zip(replay, backtest, strict=False):
        for name in COMPARED:
            mine, other = _exact(getattr(left, name)), _exact(getattr(right, name))
            if mine != other:
                return Difference(minute=left.minute, field=name, left=mine, right=other)
    if len(replay) != len(backtest):
        longer = max(replay, backtest, key=len)
        return Difference(
            minute=longer[min(len(replay), len(backtest))].minute,
            field="records",
            left=str(len(replay)),
            right=str(len(backtest)),
        )
    return None


def _exact(value: Any) -> str:
    """Text that differs exactly when the value does: floats to the last bit (NaN like NaN), amounts by their number."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_exact, value))})"
    if is_dataclass(value):
        return f"{type(value).__name__}({', '.join(f'{f.name}={_exact(getattr(value, f.name))}' for f in fields(value))})"
    return repr(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A finished replay, with all that its backtest needs."""

    records: list[MinuteRecord]
    settings: Settings
    market: MarketCut
    cash: Decimal
    versions: dict[str, str]
    weights_version: str | None
    artifacts: Path


def open_replay(run_dir: Path) -> Replayed:
    """Read what a replay left in its folder. Raises DataError when it is not a finished replay."""
    try:
        told = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{run_dir}: holds no run.json, so it is no replay of ours") from None
    tape = Tape.load(run_dir / "tape.npz")
    market = MarketCut(
        instruments=tape.instruments,
        start_minute=tape.start_minute,
        first_minute=told["first_minute"],
        minutes=(tape.end_ms - told["first_minute"]) // MINUTE_MS,
        bars=tape.bars,
        synthetic=tape.synthetic,
        sentiment=tape.sentiment,
    )
    return Replayed(
        records=list(read_records(run_dir / "records")),
        settings=Settings.model_validate(told["settings"]),
        market=market,
        cash=Decimal(told["cash"]),
        versions=told["versions"],
        weights_version=told["weights_version"],
        artifacts=Path(told["artifacts"]),
    )


def backtest_of(replayed: Replayed, *, recorded_votes: bool) -> list[MinuteRecord]:
    """The backtest of the same minutes, over the votes that were cast or over forecasts computed afresh."""
    store = ArtifactStore(replayed.artifacts)
    models: ModelsPart
    if recorded_votes:
        models = RecordedPanel.from_records(replayed.records, replayed.settings.rules.models.horizon_minutes)
    else:
        members = {}
        for name, version in replayed.versions.items():
            artifact = store.load(f"model/{name}/{version}")
            members[name] = (load_member(artifact.family, artifact.path), artifact.version)
        names = tuple(m.name for m in replayed.settings.rules.models.enabled)
        models = LocalPanel(members, replayed.settings.rules.models.horizon_minutes, names=names)
    weights = None if replayed.weights_version is None else read_weights(store, replayed.weights_version)
    test = make_backtest(replayed.settings, replayed.market, models, cash=replayed.cash, weights=weights)
    return list(test.run())
