"""The end of a search: the finalists learn on all that was searched and are judged, once, on what was held out.

Each becomes a candidate of the registry: the very member that was judged. Each trades the held-out part on an account of
its own, by the compiled engine with all costs and limits; all of them together, with equal votes, give the search's verdict.
Who the finalists are was decided before, by the folds alone; nothing is chosen by what is found here.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from config.settings import Settings
from core.errors import DataError
from core.features import schema_hash
from core.params import MemberSettings
from core.selection import WeightTable
from core.units import MINUTE_MS
from data.artifacts import Artifact, ArtifactStore
from data.market import MarketSource
from data.model_registry import CANDIDATE
from tune.auto.leaderboard import Finalist, Leaderboard, Row
from tune.auto.space import split
from tune.auto.task import NINTHS, Task
from tune.auto.worker import Worker
from tune.candidates import annual_sharpe
from tune.fold_work import HISTORY, growth_of, whole
from tune.pieces import Pieces
from tune.prepared import mapped_cut, prepare, store_of
from tune.result import Result
from tune.simulate import Forecasts, simulate
from tune.stats.sharpe import Trials
from tune.stats.trades import trips_of
from tune.train import CODE, KIND
from tune.trials import Trial, TrialLog, key_of
from tune.verdict import Verdict, judge
from tune.walk_outcome import prices_of

ANSWER, VERSION = "answer.json", "version.txt"
CASH = Decimal(10_000)
Say = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A finalist that has learned, with what it said of the held-out part."""

    row: Row
    member: MemberSettings
    folder: Path
    told: dict[str, Any]
    artifact: Artifact


def learn(
    rows: Sequence[Row],
    folder: Path,
    worker: Worker,
    task: Task,
    settings: Settings,
    store: ArtifactStore,
    board: Leaderboard,
    *,
    source: str,
    deadline: float,
    seconds: float,
    say: Say,
) -> list[Learned]:
    """Each of ``rows`` as a member in the registry; what an earlier start did is not done again. One that fails is left out,
    with a word to ``say``; DataError when none is left."""
    made, lost = [], []
    for number, row in enumerate(rows):
        into = folder / "final" / row.key

        def part(share: float, number: int = number, row: Row = row) -> None:
            say(f"{row.family} learns from all that was searched", (number + share) / len(rows))

        part(0.0)
        answer = into / ANSWER
        if not answer.exists():
            shutil.rmtree(into, ignore_errors=True)
            ask = {"do": "final", "key": row.key, "family": row.family, "hyper": row.hyper, "into": str(into)}
            told = worker.ask(ask, deadline=deadline, seconds=seconds, say=part)
            if told["status"] != "ok":
                lost.append(f"{row.family}: {told['reason']}")
                say(f"{row.family} is left out: {told['reason']}", (number + 1) / len(rows))
                continue
            _write(answer, json.dumps(told))
        told = json.loads(answer.read_text(encoding="utf-8"))
        member = member_of(row.family, settings)
        artifact = _registered(row, member.name, into, told, task, store, board, source)
        made.append(Learned(row=row, member=member, folder=into, told=told, artifact=artifact))
    if not made:
        raise DataError(f"no finalist could learn from all that was searched: {'; '.join(lost)}")
    return made


def member_of(family: str, settings: Settings) -> MemberSettings:
    """The configured member of a family; one named after it where none is."""
    for member in settings.rules.models.members:
        if member.family == family:
            return member.model_copy(update={"enabled": True})
    return MemberSettings.model_validate({"name": family, "family": family})


def _registered(
    row: Row,
    name: str,
    into: Path,
    told: dict[str, Any],
    task: Task,
    store: ArtifactStore,
    board: Leaderboard,
    source: str,
) -> Artifact:
    """The candidate's version in the registry; made once."""
    noted = into / VERSION
    if noted.exists():
        return store.load(noted.read_text(encoding="utf-8"), schema=schema_hash())
    fold, about_data, folder_name = task.final, split(row.hyper)[0], into.parent.parent.name
    figures = dict(told["figures"])
    judged = {name: figures[name] for name in ("ic", "mse_vs_zero", "coverage_80")}
    searched = {f"search_{name}": row.figures[name] for name in judged if name in row.figures}
    chance = {} if row.deflated is None else {"deflated": row.deflated}
    artifact = store.save(
        KIND,
        name,
        lambda folder: shutil.copytree(into / "model", folder, dirs_exist_ok=True) and None,
        family=row.family,
        schema=schema_hash(),
        span=(task.ms(told["learned"][0]), task.ms(fold.train_end + task.purge)),
        instruments=task.instruments,
        seed=task.seed,
        code=CODE,
        source=source,
        metrics={
            **judged,
            "gain": told["gain"],
            **searched,
            "search_gain": row.gain or 0.0,
            **chance,
            **told["notes"],
        },
        extra={
            "horizon": task.horizon,
            "samples": told["samples"],
            "folds": len(task.folds),
            "hyper": told["hyper"],
            **about_data,
            "horizons": told["horizons"],
            "data": folder_name,
            "trials": board.trials,
            "seconds": row.seconds,
            "peak_bytes": row.peak,
            CANDIDATE: True,
        },
    )
    _write(noted, artifact.reference)
    return artifact


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    draft = path.with_suffix(".tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def trade(
    learned: Sequence[Learned], source: MarketSource, settings: Settings, task: Task, board: Leaderboard, say: Say
) -> Leaderboard:
    """The leaderboard with its finalists, their accounts on the held-out part, and the verdict."""
    fold, rows = task.final, task.rows
    minutes, noted = fold.test_end - fold.test_first, list[str]()
    say("the market of the held-out part", 0.0)
    market = mapped_cut(source, rows, task.ms(fold.test_first), minutes, HISTORY, store_of(source), noted)
    prepared = prepare(settings, market, store_of(source), noted)
    voting: list[tuple[Learned, ...]] = [(one,) for one in learned]
    if len(learned) > 1:
        voting.append(tuple(learned))
    results = []
    for number, group in enumerate(voting):
        names = " and ".join(one.member.name for one in group)
        say(f"an account that follows {names}", number / len(voting))
        own, forecasts = _of(group, settings)
        weights = WeightTable.equal(tuple(m.name for m in own.rules.models.members))
        result = simulate(own, market, forecasts, cash=CASH, weights=weights, name=names, prepared=prepared)
        results.append(whole(result, minutes))
    log = TrialLog(source.root)
    log.append([*trials_of(board, task), *_accounts(voting, results, task)])
    sharpes = log.sharpes(task.instruments)
    trials = Trials.of(sharpes)
    verdicts = [
        judge(result, trials=trials, pbo=board.pbo, prices=prices_of(market), seed=task.seed) for result in results
    ]
    finalists = tuple(_finalist(*three) for three in zip(learned, results, verdicts[: len(learned)], strict=False))
    return replace(
        board,
        finalists=finalists,
        verdict=verdicts[-1].word,
        reasons=verdicts[-1].reasons,
        net_pct=_net_pct(results[-1]),
    )


def _of(group: Sequence[Learned], settings: Settings) -> tuple[Settings, Forecasts]:
    """Settings in which these alone vote, and what they said."""
    members = tuple(_distinct(group))
    models = settings.rules.models.model_copy(update={"members": members})
    rules = settings.rules.model_copy(update={"models": models})
    mean, stdev = (
        np.stack([np.load(one.folder / f"{what}.npy", allow_pickle=False) for one in group])
        for what in ("mean", "stdev")
    )
    forecasts = Forecasts(
        members=tuple(m.name for m in members),
        versions=tuple(one.artifact.version for one in group),
        mean_bps=Pieces([mean], HISTORY),
        stdev_bps=Pieces([stdev], HISTORY),
    )
    return settings.model_copy(update={"rules": rules}), forecasts


def _distinct(group: Sequence[Learned]) -> list[MemberSettings]:
    """Two finalists may be of one family: the second votes under another name."""
    names: list[str] = []
    found = []
    for one in group:
        name = one.member.name
        while name in names:
            name += "-2"
        names.append(name)
        found.append(one.member.model_copy(update={"name": name}))
    return found


def trials_of(board: Leaderboard, task: Task) -> list[Trial]:
    """Every trial as a line of the market's tuning log: judged by its forecasts, it counts, without a Sharpe ratio."""
    return [
        Trial(
            kind="model",
            what=f"{row.family} in a search, horizon {task.horizon}, gain {0.0 if row.gain is None else row.gain:.2e}",
            key=key_of("auto", row.family, row.hyper, task.horizon, task.seed, schema_hash(), CODE),
            instruments=task.instruments,
            first=task.ms(task.folds[0].test_first),
            end=task.ms(task.searched),
        )
        for row in board.rows
        if row.ninths == NINTHS[-1] or row.gain is not None
    ]


def _accounts(voting: Sequence[Sequence[Learned]], results: Sequence[Result], task: Task) -> list[Trial]:
    return [
        Trial(
            kind="finalist",
            what=f"finalists {', '.join(one.artifact.reference for one in group)} on the held-out part",
            key=key_of("finalist", [one.row.key for one in group], task.horizon, schema_hash(), CODE),
            annual_sharpe=annual_sharpe(result.minute, growth_of(result)),
            instruments=task.instruments,
            first=int(result.minute[0]),
            end=int(result.minute[-1]) + MINUTE_MS,
        )
        for group, result in zip(voting, results, strict=True)
    ]


def _finalist(one: Learned, result: Result, verdict: Verdict) -> Finalist:
    return Finalist(
        key=one.row.key,
        member=one.artifact.name,
        version=one.artifact.version,
        held_out={"gain": one.told["gain"], **one.told["figures"]},
        net_pct=_net_pct(result),
        trades=sum(not trip.open for trip in trips_of(result)) if len(result.fills) else 0,
        verdict=verdict.word,
        seconds=one.told["seconds"],
        peak=one.told["peak"],
    )


def _net_pct(result: Result) -> float:
    return float((growth_of(result)[-1] - 1.0) * 100.0)
