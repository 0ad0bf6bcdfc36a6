"""The law of impact from our own fills: the prior until there are enough, then the truth, whatever the outliers."""

import json
import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from core.errors import DataError
from core.execution.calibration import LEAST_ORDERS, Observations, calibrate, observations_of
from core.execution.tca import parents_of
from core.impact import PRIOR, ImpactLaw
from data.artifacts import ArtifactStore
from data.impact_law import keep_law, newest_law, read_law
from tests.support.engines import Panel, make_forecasts, make_market, make_settings
from tune.backtest import make_backtest, make_tape
from tune.recorded_parents import touch_of
from tune.recorded_result import Touches

TRUE = ImpactLaw(1.8, 0.0, 0.9, 0.0)


def orders(count: int, seed: int = 1, wild: float = 0.0) -> Observations:
    """Orders of 0.1 to 50 % of a minute's volume at 8 bps a minute under the law ``TRUE``."""
    rng = np.random.default_rng(seed)
    part = np.exp(rng.uniform(math.log(1e-3), math.log(0.5), count))
    root, share = 8.0 * np.sqrt(part), 8.0 * part / math.sqrt(1440)
    noise = np.full(count, 1.5)
    paid = TRUE.coefficient * root + 0.5 * TRUE.permanent * share + rng.normal(0.0, noise)
    moved = TRUE.permanent * share + rng.normal(0.0, 0.02, count)
    paid[rng.random(count) < wild] += 300.0
    return Observations(root, share, paid, noise, moved, np.full(count, 0.02))


def test_too_few_orders_leave_the_prior() -> None:
    found = calibrate(orders(LEAST_ORDERS - 1))
    assert (found.law, found.learnt, found.orders) == (PRIOR, False, LEAST_ORDERS - 1)


def test_few_orders_move_it_a_little_and_many_find_the_truth() -> None:
    few, many = calibrate(orders(40)), calibrate(orders(4_000))
    assert PRIOR.coefficient_sd > few.law.coefficient_sd > many.law.coefficient_sd
    for found in (few, many):
        assert abs(found.law.coefficient - TRUE.coefficient) < 3.0 * found.law.coefficient_sd
        assert abs(found.law.permanent - TRUE.permanent) < 3.0 * found.law.permanent_sd
    assert many.law.coefficient == pytest.approx(TRUE.coefficient, rel=0.03)
    assert many.law.permanent == pytest.approx(TRUE.permanent, rel=0.1)


def test_its_bands_are_as_wide_as_they_say() -> None:
    found = [calibrate(orders(200, seed)) for seed in range(100)]
    inside = [abs(f.law.coefficient - TRUE.coefficient) < 1.96 * f.law.coefficient_sd for f in found]
    assert 85 <= sum(inside) <= 100


def test_a_few_wild_fills_do_not_decide() -> None:
    calm, wild = calibrate(orders(600, 3)), calibrate(orders(600, 3, wild=0.03))
    assert wild.law.coefficient == pytest.approx(calm.law.coefficient, rel=0.1)


def test_it_learns_the_simulated_markets_own_law() -> None:
    rules = make_settings(2, costs__impact_coefficient=2.0, costs__max_participation_pct=100.0)
    market = make_market(2, 150, money=4_000.0)
    test = make_backtest(rules, market, Panel(market, make_forecasts(market, scale=40.0), 15), cash=Decimal(10_000))
    venue = make_tape(market).default_rules(rules.rules.costs)
    touch = touch_of(Touches(market, rules.rules.costs, venue), venue)
    found = calibrate(observations_of(parents_of(list(test.run()), touch, {}), 15))
    assert found.learnt and found.orders > 30
    assert 1.5 < found.law.coefficient < 2.5 and found.law.coefficient_sd < 0.3


def test_versions_are_read_by_when_their_fills_ended(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    assert newest_law(store, 10**15, real_only=False) is None and read_law(store, None) == PRIOR
    found = calibrate(orders(100))
    keep_law(store, found, real=False, span=(0, 100), instruments=("binance:BTC/USDT",), source="a replay")
    simulated = newest_law(store, 100, real_only=False)
    assert simulated is not None and read_law(store, simulated) == found.law
    assert newest_law(store, 99, real_only=False) is None, "it has seen what is to be tested"
    assert newest_law(store, 100, real_only=True) is None, "a simulator's fills say nothing of a market"
    later = calibrate(orders(200))
    keep_law(store, later, real=True, span=(0, 200), instruments=("binance:BTC/USDT",), source="live")
    assert newest_law(store, 199, real_only=False) == simulated
    real = newest_law(store, 200, real_only=True)
    assert real is not None and newest_law(store, 200, real_only=False) == real
    assert read_law(store, real) == later.law


def test_a_law_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    bad = calibrate(orders(100))._replace(law=PRIOR._replace(coefficient=-1.0))
    kept = keep_law(store, bad, real=True, span=(0, 1), instruments=(), source="")
    with pytest.raises(DataError, match=r"law\.json.*is no law of impact"):
        read_law(store, kept.reference)
    assert json.loads((kept.path / "law.json").read_text())["coefficient"] == -1.0
