"""Walk-forward: learn on the past, trade what follows, go on; one account through all of what was never learned from.

Fold by fold, in pieces of time: memory is that of the samples a fold learns from and of its forecasts. The bars that are
traded, and what is prepared from them, are mapped from files, so the one account needs a few numbers a minute. A finished fold is kept on disk, so an interrupted run goes on where it was.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from config.settings import Settings
from core.errors import ConfigError, DataError
from core.features import HISTORY as FEATURE_HISTORY
from core.params import MemberSettings
from core.selection import WeightTable
from core.units import MINUTE_MS, Instrument, plural
from data.market import MarketSource
from tune.candidates import Track, candidates, choose
from tune.fold_store import FoldStore, Forecast
from tune.fold_work import TRADING, FoldWork, Plan, Progress, whole
from tune.folds import Fold, walk_forward
from tune.gaps import gaps_of
from tune.result import Result
from tune.samples import LOOK_BACK
from tune.simulate import compile_engine, simulate
from tune.stats.sharpe import Trials
from tune.train import LEAST_SAMPLES
from tune.trials import TrialLog
from tune.verdict import Verdict, judge
from tune.walk_outcome import caveats, net_of_folds, note_of, pbo_of, prices_of, trials_of

FOLDS_FILE = "folds.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walked:
    """A finished walk-forward."""

    result: Result
    verdict: Verdict
    settings: Settings
    """As it ran: without the members that cannot be trained here."""
    folds: tuple[Fold, ...]
    versions: tuple[tuple[str, ...], ...]
    """Member versions of each fold."""
    span: tuple[int, int]
    """Of the bars that were looked at: open of the first, close of the last, epoch ms."""
    new_trials: int
    trials: int


def run_walk_forward(
    source: MarketSource,
    settings: Settings,
    plan: Plan,
    out: Path,
    *,
    cash: Decimal,
    span: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Walked:
    """Run it over ``span`` (open of the first minute, close of the last; default: all that the market has), keeping
    finished folds beside the market, and under ``out`` a list of them. Raises ConfigError or DataError with what to
    change."""
    progress = progress or Progress()
    settings, left_out = trainable(settings)
    models, instruments = settings.rules.models, settings.config.trade.rows
    names = tuple(m.name for m in models.enabled)
    configured = WeightTable.default(names, settings.rules.selection.default_weights)
    origin, end = span or whole_span(source, instruments)
    work = FoldWork(
        source=source,
        settings=settings,
        plan=plan,
        # Beside the market, not under ``out``: whoever keeps this run apart need not learn everything again.
        store=FoldStore(source.root / "folds"),
        origin=origin,
        tables=candidates(names, configured, plan.candidates, plan.seed),
        cash=cash,
        progress=progress,
    )
    folds = make_folds((end - origin) // MINUTE_MS, plan, models.horizon_minutes)
    traded = folds[-1].test_end - folds[0].test_first
    progress.plan(work.work_of(folds))
    compile_engine(progress.say)
    with work.store.lock():
        found, tracks, schedule, notes = _fold_by_fold(work, folds)
    progress.say("one account over all test parts")
    market, prepared = work.market(folds[0].test_first, folds[-1].test_end)
    progress.begin(TRADING)
    told = simulate(settings, market, work.joined(found), cash=cash, weights=schedule, name=out.name, prepared=prepared)
    result = whole(told, traded)
    progress.did(TRADING, len(instruments) * traded)
    result = replace(
        result,
        market=f"{source.name}: {traded:,} minutes out of sample in {plural(len(folds), 'fold')}",
        notes=(*result.notes, *gaps_of(market), *caveats(work, left_out), *notes),
    )
    log = TrialLog(source.root)
    new = log.append(trials_of(work, result, tracks))
    sharpes = log.sharpes(tuple(map(str, instruments)))
    progress.say("statistics")
    verdict = judge(
        result,
        trials=Trials.of(sharpes),
        pbo=pbo_of(tracks),
        folds=net_of_folds(work, result, folds),
        prices=prices_of(market),
        seed=plan.seed,
    )
    # Last: a walk that is interrupted leaves ``out`` as it was, and its folds beside the market.
    _list_folds(out, work, folds, found, schedule)
    return Walked(
        result=result,
        verdict=verdict,
        settings=settings,
        folds=folds,
        versions=tuple(f.versions for f in found),
        span=(origin, end),
        new_trials=new,
        trials=len(sharpes),
    )


def _fold_by_fold(
    work: FoldWork, folds: Sequence[Fold]
) -> tuple[list[Forecast], list[Track], list[tuple[int, WeightTable]], list[str]]:
    """Forecasts, candidates' tracks (none where there is nothing to choose), weights by first minute, notes."""
    found: list[Forecast] = []
    tracks: list[Track] = []
    schedule: list[tuple[int, WeightTable]] = []
    notes: list[str] = []
    for number, fold in enumerate(folds):
        where = f"fold {number + 1} of {len(folds)}"
        said = work.learn(number, fold, where)
        # Chosen on the folds before this one, so before its own candidates are looked at.
        table, why = choose(work.tables, tracks)
        if len(work.tables) > 1:
            tracks.append(work.track(number, fold, said, where))
        found.append(said)
        schedule.append((work.ms(fold.test_first), table))
        notes.append(note_of(work, number, fold, said, why))
    return found, tracks, schedule, notes


def _list_folds(
    out: Path,
    work: FoldWork,
    folds: Sequence[Fold],
    found: Sequence[Forecast],
    schedule: Sequence[tuple[int, WeightTable]],
) -> None:
    """Which fold is kept where, who its members are, and what they were weighed by."""
    names = [m.name for m in work.settings.rules.models.enabled]
    listed = [
        {
            "folder": str(work.store.folder(number, work.key(fold))),
            "learned_ms": [work.ms(fold.train_first), work.ms(fold.train_end)],
            "left_out_ms": [list(map(work.ms, pair)) for pair in fold.left_out],
            "test_ms": [work.ms(fold.test_first), work.ms(fold.test_end)],
            "members": dict(zip(names, said.versions, strict=True)),
            "training": said.notes,
            "weights": table.to_json(),
        }
        for number, (fold, said, (_, table)) in enumerate(zip(folds, found, schedule, strict=True))
    ]
    out.mkdir(parents=True, exist_ok=True)
    (out / FOLDS_FILE).write_text(json.dumps(listed, indent=1), encoding="utf-8")


def trainable(settings: Settings) -> tuple[Settings, tuple[MemberSettings, ...]]:
    """The settings with only those members enabled that every fold can train anew; and the ones that were left out."""
    models = settings.rules.models
    out = tuple(m for m in models.enabled if m.family == "rl")
    if len(out) == len(models.enabled):
        raise ConfigError(
            "trading_rules.json: models.members: none is enabled that a walk-forward can train in each fold"
        )
    if not out:
        return settings, ()
    members = tuple(m.model_copy(update={"enabled": m.enabled and m not in out}) for m in models.members)
    rules = settings.rules.model_copy(update={"models": models.model_copy(update={"members": members})})
    return settings.model_copy(update={"rules": rules}), out


def whole_span(source: MarketSource, instruments: tuple[Instrument, ...]) -> tuple[int, int]:
    """From the first bar of the earliest instrument to the last of the latest: who is listed later, or delisted, has no
    bars for a while, and nobody is asked about it then."""
    first, last = source.lake.whole_span(instruments)
    return first, last + MINUTE_MS


def make_folds(minutes: int, plan: Plan, horizon: int) -> tuple[Fold, ...]:
    """Folds by the plan; DataError says which of its numbers cannot be had from so many minutes."""
    purge = horizon if plan.purge is None else plan.purge
    embargo = horizon if plan.embargo is None else plan.embargo
    if purge < horizon:
        raise ConfigError(
            f"--purge {purge}: forecasts reach {horizon} minutes ahead, so with less than that the last learned targets "
            "lie in the test part"
        )
    usable = minutes - LOOK_BACK
    count = plan.folds
    if plan.test is not None:
        count = max(1, int(usable * (1.0 - plan.first_share)) // max(1, plan.test))
    if count < 1:
        raise ConfigError(f"--folds {count}: at least 1")
    size = int(usable * (1.0 - plan.first_share)) // count if usable > 0 else 0
    least = FEATURE_HISTORY
    if size < least:
        raise DataError(
            f"a fold of {max(size, 0):,} minutes is shorter than the look-back of {least} minutes that its features have: "
            f"{minutes:,} minutes of bars give at most {max(0, int(max(usable, 0) * (1.0 - plan.first_share)) // least)} folds; "
            "ask for fewer folds (--folds), a longer test part (--test-days) or more days"
        )
    if plan.window is not None and plan.window < max(LEAST_SAMPLES, 2 * horizon):
        raise ConfigError(f"a rolling window of {plan.window} minutes is too short to learn from; ask for a longer one")
    return walk_forward(
        minutes,
        count,
        purge=purge,
        first=LOOK_BACK,
        first_share=plan.first_share,
        embargo=embargo,
        window=plan.window,
    )
