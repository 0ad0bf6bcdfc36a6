"""The promise of this project: a replay through Ray, the wire and the exchange decides as the backtest does."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.execution.tca import CENT, PARTS, shortfall_of, sum_of
from core.messages import MinuteRecord
from core.units import DAY_MS, MINUTE_MS
from tests.support.bad_days import HALT_DAY, HALTED
from tests.support.exposure_checker import check_run, trades_of
from tests.support.outspoken import BOLD, FOLLOWER, keep_untrained
from tests.support.replays import ROOT, Finished, left_behind, run_replay
from tune.parity import Replayed, backtest_of, first_difference, open_replay
from tune.parity_engine import engine_difference, engine_of
from tune.recorded_parents import read_parents

REAL = ROOT.parent / "shared" / "data" / "binance_2023-03"
MARKETS = ["demo", *(["halt"] if REAL.exists() else [])]
MEMBERS = ("ridge", "tcn", "rules", "follower")
HALT = (
    *BOLD,
    "trade.instruments=" + json.dumps([f"binance:{symbol}" for symbol in HALTED]),
    "rules.models.members="
    + json.dumps([{"name": name, "family": name if name != "follower" else "rules"} for name in MEMBERS]),
)
"""The delivered members, trained on the week before, forecast next to nothing there; the untrained follower is loud enough to trade."""
MINUTES = {"demo": 90, "halt": 170}
"""The halt: 11:17 to 14:06, with 72 minutes in which nothing was traded and 80 of which there is no bar."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]


@pytest.fixture(scope="module", params=MARKETS)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    var = tmp_path_factory.mktemp(f"var-{request.param}")
    if request.param == "demo":
        yield run_replay(var, "--lockstep", f"--minutes={MINUTES['demo']}")
        return
    importing = [sys.executable, str(ROOT / "run.py"), "data", "import", str(REAL), "--lake", str(var / "lake")]
    subprocess.run(importing, check=True, stdout=subprocess.DEVNULL, timeout=120, cwd=ROOT)
    keep_untrained(var, name="follower", coefficients=FOLLOWER)
    span = (f"--minutes={MINUTES['halt']}", "--start=2023-03-24T11:17", "--exchange=binance")
    yield run_replay(var, "--lockstep", *span, settings=HALT)


@pytest.fixture(scope="module")
def replayed(finished: Finished) -> Replayed:
    assert finished.code == 0, finished.stderr[-3000:]
    return open_replay(finished.run_dir)


def test_every_minute_ran_and_orders_went_over_the_wire(finished: Finished) -> None:
    assert finished.code == 0, finished.stderr[-3000:]
    assert finished.summary["done"] in MINUTES.values()
    assert finished.summary["missed"] == 0
    assert finished.summary["orders"] > 5, "too few orders to say anything"


def test_journal_records_and_the_exchange_agree(finished: Finished) -> None:
    assert finished.summary["differences"] == []
    assert finished.summary["trades"] > 5


def test_no_limit_was_crossed_at_any_minute(finished: Finished) -> None:
    """Added up again from what the exchange says was traded, by code that shares nothing with risk."""
    found = check_run(finished.run_dir)
    assert found.crossings == [], found.text()
    assert found.minutes == finished.summary["done"]
    assert found.buys > 5 and found.sells > 2, found.text()
    assert found.nearest["max_order_pct"] > 0.3, found.text()


def test_nothing_is_filled_while_the_exchange_stands_still_and_all_goes_on_after_it(finished: Finished) -> None:
    (statement,) = (json.loads(path.read_text()) for path in finished.run_dir.glob("statement-*.json"))
    times = [trade.at_ms for trade in trades_of(statement)]
    still = range(HALT_DAY + 689 * MINUTE_MS, HALT_DAY + 840 * MINUTE_MS)
    assert not [at for at in times if at in still]
    assert max(times) > still.stop or min(times) > HALT_DAY + DAY_MS


def test_what_every_order_lost_adds_up_to_the_exchanges_own_fees_and_fills(finished: Finished) -> None:
    (statement,) = (json.loads(path.read_text()) for path in finished.run_dir.glob("statement-*.json"))
    told = trades_of(statement)
    losses = [shortfall_of(parent) for parent in read_parents(finished.run_dir).parents]
    total = sum_of(losses)
    for one in (*losses, total):
        cents = one.cents()
        assert sum(cents[name] for name in PARTS) == cents["total"] == one.total.quantize(CENT)
        assert sum(getattr(one, name) for name in PARTS) == one.total
    fees = sum(trade.fee * (1 if trade.fee_asset == "USDT" else trade.price) for trade in told)
    assert total.fees == fees > 0


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
