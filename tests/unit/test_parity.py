"""A replay is held against its backtest: equal to the last digit, or the first difference with its cause."""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from config import load
from core.errors import EXIT_FAILURE, EXIT_OK, DataError
from core.features import HISTORY
from core.messages import MinuteRecord
from core.units import MINUTE_MS
from data.artifacts import ArtifactStore
from data.market import MarketCut
from data.records import RecordStore
from serve.models.registry import load_member
from serve.panel import LocalPanel, ReigningPanel
from tests.support.markets import BTC, ETH, MINUTE
from tests.support.trending import trending
from tune import parity_command
from tune.backtest import make_backtest, make_tape
from tune.checks.sources import CutLake
from tune.parity import backtest_of, first_difference, newest_replay, open_replay
from tune.parity_cause import cause_of
from tune.parity_engine import engine_difference, engine_of
from tune.result import Tables
from tune.train import Span, train_members

LEARNED = 900
DECIDED = 40
CASH = Decimal(10_000)
Doctor = Callable[[MinuteRecord], MinuteRecord]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a replay leaves it, made by the LocalDesk: members trained, minutes run, records and tape kept."""
    folder = tmp_path_factory.mktemp("runs") / "20260101-000000-1"
    # Seeds with which so few minutes prove enough to be traded on.
    bars = np.stack([trending(LEARNED + DECIDED, seed) for seed in ((5, 6))])
    market = MarketCut(
        instruments=(BTC, ETH),
        start_minute=MINUTE,
        first_minute=MINUTE + LEARNED * MINUTE_MS,
        minutes=DECIDED,
        bars=bars,
        synthetic=True,
        sentiment=(),
    )
    made = load.load_settings()
    members = tuple(m for m in made.rules.models.members if m.family in ("ridge", "rules"))
    eager = {"entry_edge_bps": 1.0, "exit_edge_bps": 0.0, "full_edge_bps": 5.0}
    rules = made.rules.model_copy(
        update={
            "models": made.rules.models.model_copy(update={"members": members}),
            "selection": made.rules.selection.model_copy(update=eager),
            "execution": made.rules.execution.model_copy(update={"cost_gate": "off"}),
        }
    )
    trade = made.config.trade.model_copy(update={"instruments": (str(BTC), str(ETH))})
    settings = made.model_copy(update={"rules": rules, "config": made.config.model_copy(update={"trade": trade})})
    store = ArtifactStore(folder.parent / "artifacts")
    trained = train_members(
        CutLake(market),
        market.instruments,
        Span(first_minute=MINUTE, minutes=LEARNED),
        members,
        store,
        horizon=rules.models.horizon_minutes,
    )
    panel = LocalPanel(
        {a.name: (load_member(a.family, a.path), a.version) for a in trained}, rules.models.horizon_minutes
    )
    run = replace(market, start_minute=MINUTE + (LEARNED - HISTORY) * MINUTE_MS, bars=bars[:, LEARNED - HISTORY :])
    records = list(make_backtest(settings, run, panel, cash=CASH).run())
    folder.mkdir()
    make_tape(run).save(folder / "tape.npz")
    told = {
        "settings": settings.model_dump(mode="json"),
        "market": "made up",
        "first_minute": run.first_minute,
        "cash": str(CASH),
        "versions": {a.name: a.version for a in trained},
        "weights_version": None,
        "artifacts": str(store.root),
    }
    (folder / "run.json").write_text(json.dumps(told), encoding="utf-8")
    keep(folder, records)
    return folder


def keep(folder: Path, records: list[MinuteRecord]) -> None:
    store = RecordStore(folder / "records")
    for record in records:
        store.append(record)
    store.close()


def doctored(original: Path, folder: Path, doctor: Callable[[list[MinuteRecord]], list[MinuteRecord]]) -> Path:
    """A copy of the run with other records."""
    folder.mkdir(parents=True)
    for name in ("tape.npz", "run.json"):
        (folder / name).write_bytes((original / name).read_bytes())
    keep(folder, doctor(open_replay(original).records))
    return folder


def one(where: Callable[[MinuteRecord], bool], change: Doctor) -> Callable[[list[MinuteRecord]], list[MinuteRecord]]:
    """Change the first record that fits."""

    def doctor(records: list[MinuteRecord]) -> list[MinuteRecord]:
        at = next(k for k, record in enumerate(records) if where(record))
        return [*records[:at], change(records[at]), *records[at + 1 :]]

    return doctor


def parity(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    parity_command.arguments(parser)
    code = parity_command.main(parser.parse_args([str(folder), *options]))
    return code, capsys.readouterr().out


def test_a_run_equals_its_own_backtest(original: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = parity(original, capsys)
    assert code == EXIT_OK, out
    assert out.splitlines()[-1] == "OK: no difference"
    records = open_replay(original).records
    assert sum(len(r.fills) for r in records) > 20, "too few fills to say anything"
    assert {r.status for r in records} >= {"done"}


def nudge(value: float) -> float:
    return float(np.nextafter(value, np.inf))


def first_of(values: tuple, change: Callable) -> tuple:
    return (change(values[0]), *values[1:])


def middle(record: MinuteRecord) -> bool:
    return record.minute == MINUTE + (LEARNED + 20) * MINUTE_MS


def early_fill(record: MinuteRecord) -> bool:
    return bool(record.fills) and record.fills[0].at_ms < record.minute + MINUTE_MS


def voted(change: Callable) -> Doctor:
    return lambda r: replace(r, votes=first_of(r.votes, change))


def told_mean(by: float) -> Callable:
    return lambda v: replace(v, mean_bps=first_of(v.mean_bps, lambda m: m + by))


CAUSES: dict[str, tuple[Callable[[MinuteRecord], bool], Doctor, str, str]] = {
    "missed": (
        middle,
        lambda r: MinuteRecord(minute=r.minute, trace=r.trace, status="missed", reason="late: no record within 20 s"),
        "minute",
        "a missed minute: in the replay nothing was decided (late: no record within 20 s)",
    ),
    "bar": (
        middle,
        lambda r: replace(r, close=first_of(r.close, nudge), input_hash="0" * 64),
        "bars",
        "bar differs: binance:BTC/USDT closed at",
    ),
    "late": (
        middle,
        lambda r: replace(r, fresh=(False, *r.fresh[1:]), input_hash="1"),
        "bars",
        "was not fresh in the replay",
    ),
    "book": (middle, lambda r: replace(r, input_hash="2"), "book", "the exchange was set to other costs: half spread"),
    "deposit": (
        middle,
        lambda r: replace(r, position=first_of(r.position, lambda q: q + 1.0), input_hash="3"),
        "account",
        "BTC held is",
    ),
    "equity": (middle, lambda r: replace(r, equity=nudge(r.equity)), "account", "worth another sum"),
    "rounding": (middle, voted(told_mean(3e-4)), "votes", "differs by 0.0003 bps: other torch or BLAS build"),
    "other model": (middle, voted(told_mean(4.0)), "votes", "fed other features, or a changed artifact"),
    "swapped": (middle, voted(lambda v: replace(v, version="v0099")), "votes", "was version v0099 in the replay"),
    "events": (
        middle,
        lambda r: replace(r, regime="turbulent" if r.regime != "turbulent" else "calm"),
        "events",
        "rules.events",
    ),
    "weights": (
        middle,
        lambda r: replace(r, weights_version="tuned-1"),
        "intents",
        "weights were 'tuned-1' in the replay",
    ),
    "target": (middle, lambda r: replace(r, target=first_of(r.target, lambda t: 0.123)), "intents", "rules.selection"),
    "halted": (
        middle,
        lambda r: replace(r, state="halted", state_reason="by a person: enough"),
        "verdicts",
        "trading was 'halted' in the replay and 'active' in the backtest (by a person: enough)",
    ),
    "size": (
        lambda r: bool(r.approved),
        lambda r: replace(r, approved=first_of(r.approved, lambda a: replace(a, quantity=a.quantity * 2))),
        "verdicts",
        "sized otherwise",
    ),
    "refused by the venue": (
        lambda r: bool(r.orders),
        lambda r: replace(r, orders=first_of(r.orders, lambda o: replace(o, reason="Filter failure: NOTIONAL"))),
        "orders",
        "the venue said 'Filter failure: NOTIONAL'",
    ),
    "partly filled": (
        lambda r: bool(r.orders) and r.orders[0].executed > 0,
        lambda r: replace(r, orders=first_of(r.orders, lambda o: replace(o, executed=o.executed / 2))),
        "orders",
        "depth, participation or latency",
    ),
    "price": (
        lambda r: bool(r.fills),
        lambda r: replace(r, fills=first_of(r.fills, lambda f: replace(f, price=f.price + Decimal("0.01")))),
        "fills",
        "the exchange was set to other costs (spread, impact or latency)",
    ),
    "fee": (
        lambda r: bool(r.fills),
        lambda r: replace(r, fills=first_of(r.fills, lambda f: replace(f, fee=f.fee * Decimal("0.75")))),
        "fills",
        "other costs (fee tier or fee asset)",
    ),
    "unfilled": (
        early_fill,
        lambda r: replace(r, fills=r.fills[1:]),
        "fills",
        "was filled in the backtest only, before the decision",
    ),
}


@pytest.mark.parametrize("case", CAUSES)
def test_each_cause_is_told(case: str, original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where, change, stage, said = CAUSES[case]
    folder = doctored(original, tmp_path / "run", one(where, change))
    code, out = parity(folder, capsys, "--json")
    assert code == EXIT_FAILURE
    told = json.loads(out)
    found = next(one for one in told["compared"] if one["equal"] is False)
    # Votes are played back as they were recorded, so that what follows from a changed one is found, not the vote:
    # it is told by the forecasts computed afresh.
    if stage == "votes":
        found = next(one for one in told["compared"] if one["against"] == "forecasts computed afresh")
    assert found["stage"] == stage
    assert said in found["cause"]


def test_the_earliest_stage_is_told_first(original: Path) -> None:
    """Another price of a fill is the cause of another position; the position is not told."""
    records = open_replay(original).records
    at = next(k for k, record in enumerate(records) if early_fill(record))
    changed = replace(
        records[at],
        fills=first_of(records[at].fills, lambda f: replace(f, quantity=f.quantity * 2)),
        position=first_of(records[at].position, nudge),
        equity=nudge(records[at].equity),
        target=first_of(records[at].target, lambda t: 0.5),
        input_hash="4",
    )
    later = [replace(record, equity=0.0) for record in records[at + 1 :]]
    found = first_difference([*records[:at], changed, *later], records)
    assert found is not None
    assert (found.minute, found.stage) == (records[at].minute, "fills")
    assert "depth or participation" in cause_of(found)


def test_settings_that_changed_in_mid_run_are_named_as_the_cause(original: Path) -> None:
    records = open_replay(original).records
    at = next(k for k, record in enumerate(records) if record.approved)
    larger = first_of(records[at].approved, lambda a: replace(a, quantity=2 * a.quantity))
    found = first_difference([*records[:at], replace(records[at], approved=larger), *records[at + 1 :]], records)
    assert found is not None
    told = cause_of(found, settings=["trade.invest_pct: 10 -> 20"])
    assert told.startswith("settings were changed in mid-run (trade.invest_pct: 10 -> 20)")
    assert "settings" not in cause_of(found)


def test_a_run_at_speed_is_said_to_be_one(original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = doctored(original, tmp_path / "run", one(*CAUSES["book"][:2]))
    told = json.loads((folder / "run.json").read_text())
    for clock, said in (("speed", "not in --lockstep"), ("lockstep", "half spread")):
        (folder / "run.json").write_text(json.dumps(told | {"clock": clock}))
        code, out = parity(folder, capsys)
        assert code == EXIT_FAILURE
        cause = next(line for line in out.splitlines() if "cause: book" in line)
        assert said in cause
        assert ("speed" in cause) == (clock == "speed")


def test_an_interrupted_run_is_compared_as_far_as_it_went(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was on its way when somebody stopped it, the backtest would have gone on with; that is no difference."""
    traded = [k for k, record in enumerate(open_replay(original).records) if record.approved]
    folder = doctored(original, tmp_path / "run", lambda records: records[: traded[len(traded) // 2] + 1])
    code, out = parity(folder, capsys)
    assert code == EXIT_OK, out
    assert f"of {DECIDED} (it was interrupted)" in out


def test_a_record_that_is_gone_is_told(original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = doctored(original, tmp_path / "run", lambda records: records[:10] + records[11:])
    code, out = parity(folder, capsys)
    assert code == EXIT_FAILURE
    assert "cause: minute: the replay has no record of this minute" in out


def test_a_model_that_is_gone_leaves_the_rest_to_be_compared(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = doctored(original, tmp_path / "run", list)
    told = json.loads((folder / "run.json").read_text())
    told["artifacts"] = str(tmp_path / "gone")
    (folder / "run.json").write_text(json.dumps(told))
    code, out = parity(folder, capsys)
    assert code == EXIT_OK
    assert "forecasts computed afresh: NOT POSSIBLE" in out
    assert "OK" not in out


def test_both_values_are_shown_where_they_begin_to_differ(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = doctored(original, tmp_path / "run", one(lambda r: bool(r.fills), CAUSES["fee"][1]))
    _, out = parity(folder, capsys)
    shown = [line.strip() for line in out.splitlines() if line.strip().startswith(("replay: ", "backtest: "))]
    assert len(shown) == 4, "by the desk and by the engine"
    assert all("fee=" in line for line in shown[:2])
    assert all(len(line) < 400 for line in shown)


def test_the_compiled_engine_is_held_against_it_too(original: Path) -> None:
    """The engine's own numbers, each changed in turn: the stage that shows it is named, and the minute."""
    replayed = open_replay(original)
    result = engine_of(replayed)
    assert len(result.fills) > 20
    assert engine_difference(replayed, result) is None
    equity, edge, state = np.array(result.equity), np.array(result.edge_bps), np.array(result.state)
    equity[20], edge[20, 1], state[20] = nudge(equity[20]), nudge(edge[20, 1]), 1
    dearer = result.fills.with_columns(price=pl.col("price") * 1.0001)
    taxed = result.fills.with_columns(fee_usdt=pl.col("fee_usdt") * 1.1)
    at = int(result.minute[20])
    traded = int(result.fills["at_ms"][0]) // MINUTE_MS * MINUTE_MS - MINUTE_MS
    for changed, stage, minute in (
        (replace(result, equity=equity), "account", at),
        (replace(result, edge_bps=edge), "intents", at),
        (replace(result, state=state), "verdicts", at),
        (
            replace(result, tables=Tables(result.fills, result.orders.slice(1))),
            "verdicts",
            int(result.orders["minute"][0]),
        ),
        (replace(result, tables=Tables(dearer, result.orders)), "fills", traded),
        (replace(result, tables=Tables(taxed, result.orders)), "fills", traded),
        (replace(result, tables=Tables(result.fills.slice(1), result.orders)), "fills", traded),
    ):
        found = engine_difference(replayed, changed)
        assert found is not None
        assert (found.stage, found.minute) == (stage, minute)


def test_an_engine_that_parts_from_the_desk_is_a_defect(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replayed = open_replay(original)
    other = replayed.settings.rules.model_copy(
        update={"costs": replayed.settings.rules.costs.model_copy(update={"latency_ms": 400})}
    )
    comparisons = parity_command.Comparisons(replayed)
    slower = replace(replayed, settings=replayed.settings.model_copy(update={"rules": other}))
    monkeypatch.setattr(parity_command, "engine_of", lambda _: engine_of(slower))
    found, cause, _ = comparisons.engine()
    assert found is not None
    assert found.stage == "fills"
    assert "the engine is wrong" in cause


def test_the_newest_replay_is_taken(original: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    old, new = (doctored(original, runs / name, list) for name in ("20260101-000000-1", "20260102-000000-1"))
    (runs / "20260103-000000-1").mkdir()
    assert newest_replay(runs) == new
    assert old.exists()
    with pytest.raises(DataError, match="replay --lockstep"):
        newest_replay(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"no run\.json"):
        open_replay(runs / "20260103-000000-1")


def test_a_run_that_took_over_a_new_champion_equals_its_backtest_with_both(original: Path) -> None:
    run = open_replay(original)
    store = ArtifactStore(run.artifacts)
    old = store.load(f"model/ridge/{run.versions['ridge']}")
    before = load_member(old.family, old.path)
    rules = store.load(f"model/rules/{run.versions['rules']}")
    newer = store.save(
        *("model", "ridge", load_member(rules.family, rules.path).save),
        **{"family": "rules", "schema": old.schema, "span": old.span, "instruments": (), "seed": 1, "code": "t"},
    )
    at = run.records[DECIDED // 2].minute
    horizon = run.settings.rules.models.horizon_minutes
    second = (load_member(rules.family, rules.path), rules.version)
    panels = [
        (first, LocalPanel({"ridge": ridge, "rules": second}, horizon))
        for first, ridge in (
            (0, (before, old.version)),
            (at, (load_member(newer.family, newer.path), newer.version)),
        )
    ]
    swapped = list(make_backtest(run.settings, run.market, ReigningPanel(panels), cash=CASH).run())
    assert [r.votes[0].version for r in swapped[DECIDED // 2 - 1 : DECIDED // 2 + 1]] == [old.version, newer.version]
    again = backtest_of(replace(run, records=swapped), recorded_votes=False)
    assert [r.decisions() for r in again] == [r.decisions() for r in swapped]
