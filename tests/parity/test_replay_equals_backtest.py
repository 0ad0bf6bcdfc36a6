"""The promise of this project: a replay through Ray, the wire and the exchange decides as the backtest does."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.messages import MinuteRecord
from tests.support.replays import ROOT, Finished, left_behind, run_replay
from tune.parity import Replayed, backtest_of, first_difference, open_replay
from tune.parity_engine import engine_difference, engine_of

REAL = ROOT.parent / "shared" / "data" / "binance_2026-03"
MARKETS = ["demo", *(["real"] if REAL.exists() else [])]
REAL_SETTINGS = (
    "rules.selection.entry_edge_bps=0.005",
    "rules.selection.exit_edge_bps=0",
    "rules.selection.full_edge_bps=0.05",
    "rules.execution.cost_gate=off",
)
MINUTES = 90

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]


@pytest.fixture(scope="module", params=MARKETS)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    var = tmp_path_factory.mktemp(f"var-{request.param}")
    if request.param == "demo":
        yield run_replay(var, "--lockstep", f"--minutes={MINUTES}")
        return
    importing = [sys.executable, str(ROOT / "run.py"), "data", "import", str(REAL), "--lake", str(var / "lake")]
    subprocess.run(importing, check=True, stdout=subprocess.DEVNULL, timeout=120, cwd=ROOT)
    yield run_replay(var, "--lockstep", f"--minutes={MINUTES}", "--exchange=binance", settings=REAL_SETTINGS)


@pytest.fixture(scope="module")
def replayed(finished: Finished) -> Replayed:
    assert finished.code == 0, finished.stderr[-3000:]
    return open_replay(finished.run_dir)


def test_every_minute_ran_and_orders_went_over_the_wire(finished: Finished) -> None:
    assert finished.code == 0, finished.stderr[-3000:]
    assert finished.summary["done"] == MINUTES
    assert finished.summary["missed"] == 0
    assert finished.summary["orders"] > 5, "too few orders to say anything"


def test_journal_records_and_the_exchange_agree(finished: Finished) -> None:
    assert finished.summary["differences"] == []
    assert finished.summary["trades"] > 5


def test_decisions_are_equal_given_the_votes_that_were_cast(replayed: Replayed) -> None:
    assert first_difference(replayed.records, backtest_of(replayed, recorded_votes=True)) is None


def test_the_compiled_engine_makes_the_same_of_the_votes(replayed: Replayed) -> None:
    assert engine_difference(replayed, engine_of(replayed)) is None


def test_forecasts_computed_afresh_agree(replayed: Replayed) -> None:
    again = backtest_of(replayed, recorded_votes=False)
    for left, right in zip(replayed.records, again, strict=True):
        for mine, other in zip(left.votes, right.votes, strict=True):
            assert (mine.member, mine.version, mine.spoke) == (other.member, other.version, other.spoke)
            np.testing.assert_allclose(mine.mean_bps, other.mean_bps, rtol=0, atol=1e-6)
            np.testing.assert_allclose(mine.stdev_bps, other.stdev_bps, rtol=0, atol=1e-6)


def test_a_difference_in_the_last_bit_is_found(replayed: Replayed) -> None:
    def nudged(record: MinuteRecord) -> MinuteRecord:
        return replace(record, equity=float(np.nextafter(record.equity, np.inf)))

    told = list(replayed.records)
    told[3] = nudged(told[3])
    found = first_difference(told, replayed.records)
    assert found is not None
    assert (found.minute, found.field) == (told[3].minute, "equity")


def test_nothing_is_left_behind(finished: Finished) -> None:
    var: Path = finished.run_dir.parent.parent
    assert left_behind(str(var)) == []
    assert not (var / "runs" / "current.json").exists()
