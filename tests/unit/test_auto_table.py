"""The prepared features of a search are those of the whole history, and a trial learns of its own past alone."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.errors import DataError
from core.units import MINUTE_MS
from data.lake import Lake
from data.schema import VALUES
from data.synthetic import make_market, write_market
from data.synthetic_spec import SyntheticSpec
from tune.auto import child
from tune.auto.judging import yardstick
from tune.auto.space import ALL_DAYS, FAMILIES, Space
from tune.auto.table import Table, drop, is_there, prepare
from tune.auto.task import NINTHS, Task, cut, key_of
from tune.dataset import also_of, training_set
from tune.folds import leaks

HORIZON = 15
SPEC = SyntheticSpec(name="searched", seed=3, days=3, binance=("BTC", "ETH"), upbit=(), edge_bps=150.0)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Task, Lake]:
    root = tmp_path_factory.mktemp("searched")
    lake = write_market(make_market(SPEC), root / "market")
    instruments = lake.instruments()
    first, last = lake.common_span(instruments)
    minutes = (last - first) // MINUTE_MS + 1
    task = cut(lake.root, instruments, first, minutes, horizon=HORIZON, purge=HORIZON, seed=5)
    folder = root / "search"
    task.save(folder)
    prepare(task, folder)
    return folder, task, lake


def test_the_cut_holds_out_the_end_and_nothing_leaks(searched: tuple[Path, Task, Lake]):
    _, task, _ = searched
    assert Task.load(searched[0]) == task
    for fold in (*task.folds, task.final):
        assert list(leaks(fold, HORIZON)) == []
    assert max(fold.test_end for fold in task.folds) == task.searched == task.final.test_first
    assert 0.15 < (task.minutes - task.searched) / task.minutes < 0.25


def test_features_targets_and_samples_are_those_of_the_whole_history(searched: tuple[Path, Task, Lake]):
    folder, task, lake = searched
    assert is_there(folder)
    whole = training_set(lake, task.rows, task.origin, task.minutes + HORIZON, HORIZON, also_of(HORIZON))
    data = Table.of(folder, task).learn(task.final, 10**9, 5)
    every = np.arange(data.size)
    # The minutes that the pieces begin later than the whole history does are not samples of either.
    same = whole.between(task.final.train_first, task.final.train_end)
    np.testing.assert_array_equal(data.rows, same.rows)
    np.testing.assert_allclose(data.y, same.y)
    assert data.horizons == same.horizons == (5, 15, 60)
    # Of the longer horizon nothing is known that would tell of the held-out part.
    np.testing.assert_allclose(data.ahead(every), same.ahead(every))
    assert np.isnan(data.ahead(every)[-1, 2])
    some = np.linspace(0, data.size - 1, 50).astype(int)
    np.testing.assert_allclose(data.windows(some), same.windows(some), rtol=2e-6, atol=1e-6)


def test_fewer_samples_are_spread_over_the_whole_past(searched: tuple[Path, Task, Lake]):
    folder, task, _ = searched
    table, fold = Table.of(folder, task), task.folds[-1]
    every = table.learn(fold, 10**9, 5)
    few = table.learn(fold, every.size // 6, 5)
    assert every.size / 10 < few.size < every.size / 4
    assert few.rows[:, 1].min() < fold.train_first + (fold.train_end - fold.train_first) / 5
    assert few.rows[:, 1].max() > fold.train_end - (fold.train_end - fold.train_first) / 5
    assert few.rows[:, 1].max() < fold.train_end <= fold.test_first - HORIZON
    np.testing.assert_array_equal(few.rows, table.learn(fold, every.size // 6, 5).rows)


def test_a_window_of_days_learns_of_no_older_minute(searched: tuple[Path, Task, Lake]):
    fold = searched[1].folds[-1]
    assert child.windowed(fold, ALL_DAYS) == fold
    assert child.windowed(fold, 1).train_first == fold.train_end - 1_440
    assert child.windowed(fold, 400) == fold


def test_a_test_part_is_thinned_evenly(searched: tuple[Path, Task, Lake]):
    folder, task, _ = searched
    data = Table.of(folder, task).test(task.folds[0], 60)
    assert 30 <= data.size <= 60
    assert data.rows[:, 1].min() >= task.folds[0].test_first
    assert data.rows[:, 1].max() < task.folds[0].test_end


def test_a_rung_and_a_final_of_the_same_settings(searched: tuple[Path, Task, Lake], tmp_path: Path):
    folder, task, _ = searched
    ask = {"key": "k", "family": "rules", "hyper": {"penalty": 0.01}}
    said: list[float] = []
    told = child.answer(folder, ask | {"do": "rung", "ninths": NINTHS[-1]}, said.append)
    assert told["status"] == "ok", told["reason"]
    assert told["gain"] > 0.01, "the edge is planted"
    assert len(told["folds"]) == len(task.folds) == len(said)
    assert np.load(child.series_path(folder, f"k-{NINTHS[-1]}")).shape[0] == 2
    into = tmp_path / "final"
    last = child.answer(folder, ask | {"do": "final", "into": str(into)}, said.append)
    assert last["status"] == "ok", last["reason"]
    assert last["hyper"]["penalty"] == 0.01
    mean = np.load(into / "mean.npy")
    assert mean.shape == (2, task.minutes - task.searched)
    assert np.isfinite(mean).mean() > 0.9
    assert last["learned"][1] < task.searched - HORIZON
    # What the account trades on is what the judged minutes were judged by.
    table = Table.of(folder, task)
    test = table.test(task.final, task.judged)
    member, data, _ = child.learned(table, task.final, "rules", {"penalty": 0.01}, task.samples)
    asked, _ = child.asked(member, test)
    np.testing.assert_allclose(mean[test.rows[:, 0], test.rows[:, 1] - task.searched], asked, rtol=1e-4, atol=1e-4)
    assert yardstick(data) > 0.0


def test_a_coin_that_was_listed_late_gives_the_samples_it_has_and_the_others_all_of_theirs(tmp_path: Path):
    """What a search does with it from the table to the account of its finals: no error, and no number that is none."""
    made, listed = make_market(SPEC), 3_200
    lake = Lake(tmp_path / "market")
    rows = tuple(made.bars)
    for number, instrument in enumerate(rows):
        bars = made.bars[instrument][listed if number else 0 :]
        stamps = SPEC.start_ms + MINUTE_MS * np.arange(SPEC.minutes - len(bars), SPEC.minutes)
        known = np.isfinite(bars[:, 0])
        lake.write(
            instrument, pl.DataFrame({"ts": stamps[known]} | dict(zip(VALUES, bars[known].T, strict=True))), "test"
        )
    first, last = lake.whole_span(rows)
    task = cut(lake.root, rows, first, (last - first) // MINUTE_MS + 1, horizon=HORIZON, purge=HORIZON, seed=5)
    folder = tmp_path / "search"
    task.save(folder)
    prepare(task, folder)
    table = Table.of(folder, task)
    learned = np.bincount(table.learn(task.final, 10**9, 5).rows[:, 0], minlength=2)
    assert learned[0] > 2_000 > 200 > learned[1]
    assert (np.bincount(table.test(task.final, 10**9).rows[:, 0], minlength=2) > 100).all()
    ask = {"key": "k", "family": "rules", "hyper": {"penalty": 0.01}}
    told = child.answer(folder, ask | {"do": "rung", "ninths": NINTHS[-1]}, lambda share: None)
    assert told["status"] == "ok", told["reason"]
    assert np.isfinite([told["gain"], told["stdev_gain"], *told["folds"]]).all()
    into = tmp_path / "final"
    last_one = child.answer(folder, ask | {"do": "final", "into": str(into)}, lambda share: None)
    assert last_one["status"] == "ok", last_one["reason"]
    known_at = np.isfinite(np.load(into / "mean.npy"))
    assert known_at[0].mean() > 0.9
    assert 0 < known_at[1].sum() < known_at[0].sum()


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        (DataError("too few"), "error", "too few"),
        (MemoryError(), "memory", "refused"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "memory", "allocate"),
        (RuntimeError("shapes differ\nmore"), "error", "RuntimeError: shapes differ"),
    ],
)
def test_what_goes_wrong_in_a_trial_is_an_answer(
    fault: Exception, status: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def broken(*args: object) -> dict:
        raise fault

    monkeypatch.setitem(child.JOBS, "rung", broken)
    told = child.answer(tmp_path, {"do": "rung"}, lambda share: None)
    assert told["status"] == status
    assert said in told["reason"]
    assert told["seconds"] >= 0.0


def test_too_short_a_market_says_how_much_is_needed_and_that_is_enough(searched: tuple[Path, Task, Lake]):
    _, task, lake = searched

    def of(minutes: int) -> Task:
        return cut(lake.root, task.rows, task.origin, minutes, horizon=HORIZON, purge=HORIZON, seed=0)

    with pytest.raises(DataError, match=r"1,440 minutes of binance:BTC/USDT.* are too few for a search") as refused:
        of(1_440)
    needed = int(str(refused.value).partition("it needs ")[2].partition(" ")[0].replace(",", ""))
    assert of(needed).folds
    with pytest.raises(DataError, match="too few"):
        of(needed - 20)


def test_another_seed_span_or_family_is_another_search(searched: tuple[Path, Task, Lake]):
    _, task, lake = searched
    space = Space(tuple(FAMILIES), 1.0)
    shorter = cut(lake.root, task.rows, task.origin, 4_000, horizon=HORIZON, purge=HORIZON, seed=5)
    other_seed = cut(lake.root, task.rows, task.origin, task.minutes + HORIZON, horizon=HORIZON, purge=HORIZON, seed=6)
    keys = {
        key_of(task, space, "1"),
        key_of(shorter, space, "1"),
        key_of(other_seed, space, "1"),
        key_of(task, Space(("ridge",), 1.0), "1"),
        key_of(task, space, "2"),
    }
    assert len(keys) == 5
    assert key_of(task, space, "1") in keys


def test_a_table_that_was_not_finished_or_is_dropped_is_not_read(tmp_path: Path, searched: tuple[Path, Task, Lake]):
    for name in ("table.json", "features.npy", "ahead-60.npy", "steps.jsonl"):
        (tmp_path / name).touch()
    drop(searched[1], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["steps.jsonl"]
    with pytest.raises(DataError, match="not there or not whole"):
        Table.of(tmp_path, searched[1])
