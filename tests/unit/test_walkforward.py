"""Walk-forward: everything is learned in the past, nothing is done twice, and what is missing has a defined answer."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from actors.runs.edge import judge_edge
from config.load import load_settings
from config.settings import Settings
from core.bars import fill_gaps
from core.errors import ConfigError, DataError, TimedOut
from core.features import HISTORY, SEQUENCE
from core.selection import WeightTable
from core.units import MINUTE_MS, Instrument
from data.lake import Lake
from data.market import MarketSource
from data.schema import VALUES
from data.synthetic import SyntheticMarket, SyntheticSpec, make_market
from tests.support.results import made_up_result
from tune import walkforward_command
from tune.candidates import Track, candidates, choose, stitched
from tune.dataset import tables
from tune.fold_store import FoldStore
from tune.result import Result, Tables, empty_fills, empty_orders
from tune.walk_outcome import net_of_folds
from tune.walkforward import FOLDS_FILE, Plan, Progress, Walked, make_folds, run_walk_forward

BTC, ETH = Instrument("binance", "BTC/USDT"), Instrument("binance", "ETH/USDT")
MEMBERS = '[{"name":"ridge","family":"ridge"},{"name":"rules","family":"rules"}]'
DAYS = 5
PLAN = Plan(folds=2, candidates=3)
CASH = Decimal(10_000)


def settings(*instruments: Instrument, members: str = MEMBERS, **_: object) -> Settings:
    names = json.dumps(list(map(str, instruments or (BTC, ETH))))
    return load_settings(
        environ={},
        overrides=[
            f"trade.instruments={names}",
            f"rules.models.members={members}",
            # So low that both members' forecasts are traded.
            "selection.entry_edge_bps=5",
            "selection.exit_edge_bps=0",
            "selection.full_edge_bps=20",
            "execution.cost_gate=off",
        ],
    )


@pytest.fixture(scope="module")
def made() -> SyntheticMarket:
    return make_market(
        SyntheticSpec(name="w", seed=4, days=DAYS, edge="planted", edge_bps=150.0, binance=("BTC", "ETH"), upbit=())
    )


def store(root: Path, made: SyntheticMarket, bars: dict[Instrument, np.ndarray] | None = None) -> MarketSource:
    """The market, or a changed one, as a lake."""
    lake = Lake(root)
    ts = made.spec.start_ms + np.arange(made.spec.minutes, dtype=np.int64) * MINUTE_MS
    for instrument, values in (bars or made.bars).items():
        there = np.isfinite(values[:, 0])
        columns = {name: values[there, at] for at, name in enumerate(VALUES)}
        lake.write(instrument, pl.DataFrame({"ts": ts[there], **columns}), "test", made.spec.label)
    return MarketSource(name=root.name, root=root, lake=lake, synthetic=True)


def walk(
    source: MarketSource, out: Path, plan: Plan = PLAN, said: list[str] | None = None, **changes: object
) -> Walked:
    progress = Progress(say=said.append) if said is not None else None
    return run_walk_forward(source, settings(**changes), plan, out, cash=CASH, progress=progress)


@pytest.fixture(scope="module")
def run(made: SyntheticMarket, tmp_path_factory: pytest.TempPathFactory) -> tuple[MarketSource, Walked, Path]:
    root = tmp_path_factory.mktemp("walk")
    source = store(root / "market", made)
    return source, walk(source, root / "out"), root / "out"


def same(one: Result, other: Result) -> None:
    np.testing.assert_array_equal(one.minute, other.minute)
    np.testing.assert_array_equal(one.equity, other.equity)
    assert one.fills.equals(other.fills)


# One account over minutes that nothing was learned from


def test_the_test_parts_are_one_account_without_a_gap(run: tuple[MarketSource, Walked, Path]) -> None:
    _, walked, _ = run
    result, folds, origin = walked.result, walked.folds, walked.span[0]
    first, end = origin + folds[0].test_first * MINUTE_MS, origin + folds[-1].test_end * MINUTE_MS
    np.testing.assert_array_equal(result.minute, np.arange(first, end, MINUTE_MS))
    assert result.equity[0] == float(CASH)
    assert len(result.fills) > 20
    border = int(np.searchsorted(result.minute, origin + folds[1].test_first * MINUTE_MS))
    assert result.equity[border - 1] != float(CASH), "the second fold goes on with what the first made"
    assert walked.verdict.figures["folds"] == 2
    assert any("SYNTHETIC" in note for note in result.notes)


def test_every_fold_says_when_it_learned_and_who_its_members_are(run: tuple[MarketSource, Walked, Path]) -> None:
    _, walked, out = run
    listed = json.loads((out / FOLDS_FILE).read_text())
    assert [sorted(fold["members"]) for fold in listed] == [["ridge", "rules"]] * 2
    assert listed[0]["members"] != listed[1]["members"], "each fold learns anew"
    assert all((Path(fold["folder"]) / "ridge" / "ridge.npz").exists() for fold in listed)
    horizon_ms = 15 * MINUTE_MS
    assert all(fold["learned_ms"][1] + horizon_ms <= fold["test_ms"][0] for fold in listed)
    assert listed[0]["weights"]["version"] == "equal", "the first fold has no past to choose on"
    notes = [note for note in walked.result.notes if note.startswith("fold ")]
    assert len(notes) == 2
    assert listed[0]["members"]["ridge"] in notes[0]


def test_a_finished_fold_is_not_done_again_and_a_repeated_run_is_no_new_trial(
    run: tuple[MarketSource, Walked, Path], tmp_path: Path
) -> None:
    source, walked, _ = run
    said: list[str] = []
    again = walk(source, tmp_path / "elsewhere", said=said)
    same(again.result, walked.result)
    assert again.verdict == walked.verdict
    assert [text for text in said if "learns" in text or "weights" in text] == []
    assert (walked.new_trials, again.new_trials, again.trials) == (4, 0, walked.trials)


def test_other_rules_reuse_what_was_learned_but_are_new_trials(
    run: tuple[MarketSource, Walked, Path], made: SyntheticMarket, tmp_path: Path
) -> None:
    source, walked, _ = run
    said: list[str] = []
    changed = settings().model_copy(
        update={
            "rules": settings().rules.model_copy(
                update={"risk": settings().rules.risk.model_copy(update={"max_order_pct": 9})}
            )
        }
    )
    other = run_walk_forward(source, changed, PLAN, tmp_path, cash=CASH, progress=Progress(say=said.append))
    assert "fold 1 of 2: done before" in said
    assert "fold 1 of 2: weights 1 of 3" in said
    assert (other.new_trials, other.trials) == (4, walked.trials + 4)


def test_interrupted_in_the_second_fold_it_goes_on_there_and_ends_the_same(
    run: tuple[MarketSource, Walked, Path], made: SyntheticMarket, tmp_path: Path
) -> None:
    source = store(tmp_path / "market", made)

    def ctrl_c(text: str) -> None:
        if text.startswith("fold 2 of 2: rules learns"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_walk_forward(source, settings(), PLAN, tmp_path / "out", cash=CASH, progress=Progress(say=ctrl_c))
    said: list[str] = []
    same(walk(source, tmp_path / "out", said=said).result, run[1].result)
    assert "fold 1 of 2: done before" in said
    assert not [text for text in said if text.startswith("fold 1 of 2: ridge learns")]
    assert [text for text in said if text.startswith("fold 2 of 2: ridge learns")]


def test_a_damaged_fold_is_said(made: SyntheticMarket, tmp_path: Path) -> None:
    source = store(tmp_path / "market", made)
    alone = replace(PLAN, candidates=1)
    walk(source, tmp_path, alone)
    path = next((source.root / "folds").glob("fold-00-*/mean_bps.npy"))
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(DataError, match=r"mean_bps\.npy: damaged; delete .*fold-00"):
        walk(source, tmp_path, alone)


def test_two_walk_forwards_of_one_market_at_once_are_one_too_many(tmp_path: Path) -> None:
    folds = FoldStore(tmp_path / "folds")
    with folds.lock(), pytest.raises(TimedOut, match="another walk-forward of this market"):  # noqa: SIM117
        with FoldStore(tmp_path / "folds").lock():
            pass
    with FoldStore(tmp_path / "folds").lock():
        pass


# The past only


def test_changing_the_future_changes_nothing_before_it(
    run: tuple[MarketSource, Walked, Path], made: SyntheticMarket, tmp_path: Path
) -> None:
    _, walked, out = run
    border = walked.folds[1].test_first
    bars = {i: values.copy() for i, values in made.bars.items()}
    rng = np.random.default_rng(5)
    for values in bars.values():
        wild = np.exp(np.cumsum(rng.normal(0.0, 2e-3, len(values) - border)))
        values[border:, :4] *= wild[:, None]
    changed = walk(store(tmp_path / "market", made, bars), tmp_path / "out")
    before = np.s_[: walked.folds[0].test_end - walked.folds[0].test_first]
    np.testing.assert_array_equal(changed.result.equity[before], walked.result.equity[before])
    one, other = (json.loads((place / FOLDS_FILE).read_text()) for place in (out, tmp_path / "out"))
    # Folds learned before the border: the second one's members and weights saw nothing of its own test part either.
    for key in ("members", "weights", "training"):
        assert [fold[key] for fold in one] == [fold[key] for fold in other], key
    assert changed.result.equity[-1] != walked.result.equity[-1]


def test_weights_are_chosen_by_what_was_earned_before() -> None:
    from_equal = candidates(("a", "b"), settings_table(("a", "b")), 5, seed=1)
    assert [t.version for t in from_equal[:3]] == ["equal", "only-a", "only-b"]
    assert len({json.dumps(t.to_json()) for t in from_equal}) == 5
    assert from_equal == candidates(("a", "b"), settings_table(("a", "b")), 5, seed=1)
    assert len(candidates(("a",), settings_table(("a",)), 5, seed=1)) == 1, "one member leaves nothing to choose"
    minute = np.arange(3_000, dtype=np.int64) * MINUTE_MS
    rng = np.random.default_rng(0)
    noise = rng.normal(0.0, 1e-4, (3, 3_000))
    growth = np.exp(np.cumsum(noise + np.array([[0.0], [2e-5], [-2e-5]]), axis=1))
    good, bad = Track(minute=minute, growth=growth), Track(minute=minute, growth=growth[[0, 2, 1]])
    assert choose(from_equal[:3], [])[0].version == "equal"
    assert choose(from_equal[:3], [good])[0].version == "only-a"
    assert choose(from_equal[:3], [bad])[0].version == "only-b"
    lazy = Track(minute=minute, growth=np.stack([growth[2], np.ones(3_000), growth[2]]))
    table, why = choose(from_equal[:3], [lazy])
    assert (table.version, "never traded" in why) == ("only-a", True), "not trading beats losing"


def settings_table(members: Sequence[str]) -> WeightTable:
    return WeightTable.equal(members)


def test_stitched_candidates_go_on_from_where_they_ended() -> None:
    minute = np.arange(2, dtype=np.int64)
    tracks = [
        Track(minute=minute, growth=np.array([[1.0, 2.0]])),
        Track(minute=minute + 2, growth=np.array([[1.0, 0.5]])),
    ]
    joined, growth = stitched(tracks)
    assert joined.tolist() == [0, 1, 2, 3]
    assert growth.tolist() == [[1.0, 2.0, 2.0, 1.0]]


# Bad input


def test_listed_in_the_middle_delisted_and_an_outage_of_284_minutes(made: SyntheticMarket, tmp_path: Path) -> None:
    bars = {i: values.copy() for i, values in made.bars.items()}
    size, start = made.spec.minutes, made.spec.start_ms
    listed, delisted, gone = int(size * 0.55), int(size * 0.9), int(size * 0.75)
    bars[ETH][:listed] = np.nan
    bars[BTC][delisted:] = np.nan
    for values in bars.values():
        values[gone : gone + 284] = np.nan
    walked = walk(store(tmp_path / "market", made, bars), tmp_path / "out", replace(PLAN, candidates=1))
    result = walked.result
    assert result.minutes == walked.folds[-1].test_end - walked.folds[0].test_first
    assert np.isfinite(result.equity).all()
    filled, filler = fill_gaps(np.stack([bars[BTC], bars[ETH]]))
    known = np.isfinite(tables((BTC, ETH), filled, filler, start)[1]).all(axis=1)
    whole = int(np.flatnonzero(np.convolve(known, np.ones(SEQUENCE))[: len(known)] == SEQUENCE)[0])
    assert whole > listed
    minutes = {
        instrument.symbol: (result.fills.filter(pl.col("symbol") == instrument.symbol)["minute"] - start) // MINUTE_MS
        for instrument in (BTC, ETH)
    }
    assert minutes["ETH/USDT"].min() >= whole, "not before every feature of its look-back is known"
    assert minutes["BTC/USDT"].max() < delisted
    both = pl.concat(minutes.values())
    assert ((both >= gone) & (both < gone + 283)).sum() == 0, "nothing is traded while nobody trades"
    assert (both > gone + 284).sum() > 0
    (told,) = (note for note in result.notes if note.startswith("Minutes without a bar"))
    assert f"BTC/USDT {size - delisted + 284:,}" in told


def test_a_fold_shorter_than_the_look_back_says_how_many_would_do() -> None:
    with pytest.raises(DataError, match=rf"shorter than the look-back of {HISTORY} minutes.*at most 4 folds"):
        make_folds(8_000, Plan(folds=20), 15)
    with pytest.raises(DataError, match="at most 0 folds"):
        make_folds(500, PLAN, 15)
    assert len(make_folds(8_000, Plan(folds=4), 15)) == 4


def test_a_purge_below_the_horizon_and_a_window_too_short_are_refused() -> None:
    with pytest.raises(ConfigError, match="--purge 14"):
        make_folds(20_000, Plan(purge=14), 15)
    with pytest.raises(ConfigError, match="rolling window of 100"):
        make_folds(20_000, Plan(window=100), 15)


def test_folds_of_a_stated_length_roll() -> None:
    folds = make_folds(20_000, Plan(test=2_000, window=5_000, embargo=60), 15)
    assert len(folds) == 4
    assert all(f.train_end - f.train_first <= 5_000 for f in folds)
    assert all(f.test_end - f.test_first >= 2_000 for f in folds)


def test_an_ensemble_that_cannot_be_trained_in_folds_is_refused(made: SyntheticMarket, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none is enabled that a walk-forward can train"):
        walk(store(tmp_path / "market", made), tmp_path, members='[{"name":"rl","family":"rl"}]')


# The command


def asked(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    walkforward_command.arguments(parser)
    for name in ("--days", "--minutes", "--start"):
        parser.add_argument(name, type=None if name == "--start" else float)
    parser.add_argument("--cash", default="10000")
    return parser.parse_args(["--walk-forward", *words])


def test_the_command_keeps_result_and_verdict_where_live_looks_for_it(
    run: tuple[MarketSource, Walked, Path], tmp_path: Path
) -> None:
    source, walked, _ = run
    rules = settings().model_copy(
        update={"config": settings().config.model_copy(update={"var_dir": str(tmp_path / "var")})}
    )
    shown = Console(file=StringIO(), width=200)
    result, verdict = walkforward_command.run(
        asked("--folds", "2", "--candidates", "3"), rules, source, tmp_path / "out", shown
    )
    same(result, walked.result)
    same(Result.load(tmp_path / "out"), result)
    text = shown.file.getvalue()
    assert f"verdict: {verdict.word}" in text
    assert all(reason in text for reason in verdict.reasons)
    found, said = judge_edge(tmp_path / "var", rules, stand_in=True, sentence=None)
    assert said.startswith(verdict.word)
    assert bool(found) == (verdict.word != "edge")
    assert [f.name for f in judge_edge(tmp_path / "var", rules, stand_in=False, sentence=None)[0]] == ["no_proven_edge"]


def test_a_span_that_the_market_has_not_is_refused(run: tuple[MarketSource, Walked, Path]) -> None:
    source, walked, _ = run
    whole = walkforward_command.span_of(asked(), source, (BTC, ETH))
    assert whole is None
    assert walkforward_command.span_of(asked("--days", "2"), source, (BTC, ETH)) == (
        walked.span[1] - 2 * 1_440 * MINUTE_MS,
        walked.span[1],
    )
    with pytest.raises(ConfigError, match="--start 2020-01-01"):
        walkforward_command.span_of(asked("--start", "2020-01-01"), source, (BTC, ETH))


def test_what_dust_gained_in_a_fold_is_no_profit_of_it() -> None:
    """Four folds of ten minutes: traded, held from before, empty but for dust, and empty."""
    minute = MINUTE_MS * np.arange(40, dtype=np.int64)
    invested = np.repeat([500.0, 500.0, 3.0, 0.0], 10)
    equity = 1_000.0 + np.arange(40) * np.repeat([1.0, 1.0, 0.001, 0.0], 10)
    fills = empty_fills().clear(1).with_columns(minute=pl.Series([int(minute[4])]))
    result = replace(
        made_up_result(40, 1, 0), cash=1_000.0, minute=minute, equity=equity, invested=invested,
        tables=Tables(fills, empty_orders()),
    )  # fmt: skip
    work = SimpleNamespace(ms=lambda index: int(index) * MINUTE_MS, settings=settings())
    nets = net_of_folds(work, result, [SimpleNamespace(test_end=end) for end in (10, 20, 30, 40)])  # type: ignore[arg-type, list-item]
    assert nets[0] > 0.0 and nets[1] > 0.0 and np.isnan(nets[2]) and np.isnan(nets[3])
