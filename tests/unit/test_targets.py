"""Targets of those minutes alone in which something is wanted: the same run as by those of every minute."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from core.errors import DataError
from core.messages import FloatArray
from tests.support.engines import make_market, make_settings
from tune import simulate as simulation
from tune.result import Result
from tune.simulate import simulate_targets
from tune.targets import Targets, Wanted

MINUTES, ROWS = 300, 3


def asked_of(target: FloatArray, share: float, rng: np.random.Generator) -> list[Targets]:
    """Of each row what is asked for, and a ``share`` of the minutes in which nothing is, said as NaN."""
    told = np.isfinite(target) | (rng.random(target.shape) < share)
    return [Targets(np.flatnonzero(told[:, row]), target[told[:, row], row]) for row in range(target.shape[1])]


def run(wanted: Wanted, **changes: Any) -> Result:
    market = make_market(ROWS, MINUTES, gaps=0.05)
    return simulate_targets(make_settings(ROWS, **changes), market, wanted, cash=Decimal(10_000))


def length() -> int:
    return make_market(ROWS, MINUTES).bars.shape[1]


def dense(rng: np.random.Generator, chance: float) -> FloatArray:
    target = np.full((length(), ROWS), np.nan)
    changes = rng.random(target.shape) < chance
    target[changes] = rng.choice([0.0, 0.0, 0.1, 0.3], int(changes.sum()))
    return target


@pytest.mark.parametrize("chance", [0.0, 0.01, 0.2, 1.0])
@pytest.mark.parametrize("pieces", [False, True])
def test_they_trade_as_those_of_every_minute_do(chance: float, pieces: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    traded = 0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        target = dense(rng, chance)
        protected = {"protection__stop_loss_pct": 0.2} if seed == 1 else {}
        with monkeypatch.context() as patched:
            whole = run(target, **protected)
            if pieces:
                patched.setattr(simulation, "MOST_CHUNK", 64)
                patched.setattr("tune.run_rules.LOGGED", 1)
            found = run(asked_of(target, 0.1 * seed, rng), **protected)
        assert found.equity.tobytes() == whole.equity.tobytes()
        assert found.orders.equals(whole.orders) and found.fills.equals(whole.fills)
        traded += found.counts.fills
    assert traded > 50 if chance else traded == 0


def test_the_first_and_the_last_minute_may_be_asked_for_and_any_width_of_numbers() -> None:
    end = length()
    target = np.full((end, ROWS), np.nan)
    target[0], target[end - MINUTES], target[end - 1] = 0.3, 0.2, 0.1
    index = np.array([0, end - MINUTES, end - 1], dtype=np.int32)
    found = run([Targets(index, np.array([0.3, 0.2, 0.1]))] * ROWS)
    assert found.orders.equals(run(target).orders)
    # Of a minute before the first decision nothing is traded; where the last ones have no bar, neither.
    assert len(found.orders["minute"].unique()) == 2


@pytest.mark.parametrize(
    ("index", "target", "said"),
    [
        ([5, 5], [0.1, 0.2], "targets of instrument 1: minute 5 comes after minute 5; they must increase"),
        ([7, 9, 8, 12], [0.1] * 4, "instrument 1: minute 8 comes after minute 9"),
        ([-1, 5], [0.1, 0.2], "instrument 1: minutes -1 to 5, the market has 0 to "),
        ([5, 10**9], [0.1, 0.2], "instrument 1: minutes 5 to 1000000000, the market has 0 to "),
        ([5, 6], [0.1], r"int64 indices \(2,\) and float64 targets \(1,\); as many whole indices as numbers"),
        ([5], ["0.1"], r"and <U3 targets \(1,\)"),
        ([[5, 6]], [[0.1, 0.2]], r"indices \(1, 2\)"),
        ([5.0, 6.0], [0.1, 0.2], "float64 indices"),
    ],
)
def test_what_is_no_row_of_minutes_is_refused(index: list[Any], target: list[Any], said: str) -> None:
    fine, wrong = Targets(np.array([5]), np.array([0.1])), Targets(np.array(index), np.array(target))
    with pytest.raises(DataError, match=said):
        run([fine, wrong, fine])


def test_of_every_instrument_something_is_said() -> None:
    with pytest.raises(DataError, match="targets of 1 instrument, the market has 3"):
        run([Targets(np.array([5]), np.array([0.1]))])
    assert run([Targets(np.zeros(0, dtype=np.int64), np.zeros(0))] * ROWS).counts.orders == 0


def test_lists_will_do() -> None:
    end = length()
    told = run([Targets([end - 200, end - 100], [0.2, 0]), Targets([], []), Targets(range(end), [0.1] * end)])  # type: ignore[arg-type]
    target = np.full((end, ROWS), np.nan)
    target[end - 200, 0], target[end - 100, 0], target[:, 2] = 0.2, 0.0, 0.1
    assert told.counts.orders > 2 and told.orders.equals(run(target).orders)


def test_of_a_masked_table_what_is_hidden_is_not_asked_for() -> None:
    target = dense(np.random.default_rng(5), 0.05)
    hidden = np.random.default_rng(6).random(target.shape) < 0.5
    told = run(np.ma.masked_array(np.nan_to_num(target, nan=0.3), mask=np.isnan(target) | hidden))
    shown = np.where(hidden, np.nan, target)
    assert told.counts.orders and told.orders.equals(run(shown).orders)


@pytest.mark.parametrize("kind", ["U3", "complex128", "m8[s]", "O"])
def test_a_table_of_no_numbers_is_refused(kind: str) -> None:
    with pytest.raises(DataError, match="numbers are wanted"):
        run(np.zeros((length(), ROWS)).astype(kind))


@pytest.mark.parametrize(("asked", "does"), [(7.0, 1.0), (-0.5, 0.0), (np.inf, np.nan), (-np.inf, np.nan)])
def test_a_fraction_beyond_its_bounds_is_the_bound_and_what_is_not_finite_keeps(asked: float, does: float) -> None:
    end = length()
    one, other = ([Targets(np.array([end - 250, end - 100]), np.array([0.2, last]))] * ROWS for last in (asked, does))
    told = run(one)
    assert told.counts.orders and told.equity.tobytes() == run(other).equity.tobytes()
