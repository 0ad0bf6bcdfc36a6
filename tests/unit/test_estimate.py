"""What an order will cost, before it is sent, and how much of it a forecast pays for."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.cost_gate import Seen, cost_gate, estimate_of
from core.execution.almgren_chriss import Problem, variance
from core.execution.estimate import (
    BAND,
    Estimate,
    estimate,
    estimate_rows,
    half_spread_of_touch,
    marginal_cost,
    most_worth,
)
from core.execution.schedules.rule import schedule_of, still_to_come, urgency_of
from core.execution.trajectory import risk_minutes
from core.impact import PRIOR, ImpactLaw, flow_at
from core.params import CostSettings, ExecutionSettings
from core.units import BPS

LAW = ImpactLaw(1.0, 0.5, 0.314, 0.1)


def test_the_parts_are_the_laws_and_add_up() -> None:
    # 1 % of a minute's volume at 10 bps a minute: 1.0 x 10 x sqrt(0.01) = 1 bps while it trades.
    found = estimate(1.0, 0.5, 10.0, 100.0, 10 / BPS, 0.25, LAW)
    assert found.temporary == pytest.approx(1.0)
    # A day's sigma is sqrt(1440) x 10 bps, its volume 144,000: half of 0.314 x 379.5 bps / 144,000.
    assert found.permanent == pytest.approx(0.5 * 0.314 * 10 * math.sqrt(1440) / 144_000)
    assert found.timing_risk == pytest.approx(10 * math.sqrt(0.25))
    assert found.total == 0.5 + found.temporary + found.permanent + 10.0
    assert found.sd == pytest.approx(math.sqrt(5.0**2 + 0.5**2), rel=1e-3)
    assert (found.low, found.high) == (found.total - BAND * found.sd, found.total + BAND * found.sd)


def test_a_market_that_is_not_known_has_no_estimate() -> None:
    for volume, sigma in ((0.0, 1e-3), (math.nan, 1e-3), (10.0, math.nan)):
        assert math.isnan(estimate(1.0, 0.5, 10.0, volume, sigma, 0.5, LAW).total)
        assert math.isnan(most_worth(50.0, 0.5, 10.0, volume, sigma, LAW, 2.0))
    assert math.isnan(most_worth(math.nan, 0.5, 10.0, 10.0, 1e-3, LAW, 2.0))
    assert math.isnan(half_spread_of_touch(math.nan, 101.0))


def test_a_still_market_takes_everything_that_pays_its_fixed_costs() -> None:
    assert most_worth(21.1, 0.5, 10.0, 10.0, 0.0, LAW, 2.0) == math.inf
    assert most_worth(21.0, 0.5, 10.0, 10.0, 0.0, LAW, 2.0) == 0.0
    assert most_worth(11.0, 0.5, 10.0, 10.0, 1e-3, LAW, 1.0) > 0.0


def waits(quantity: float = 1.0, *, sigma: float = 1e-3, half: float = 1e-4, latency: float = 0.0, **given) -> float:
    return risk_minutes(schedule_of(ExecutionSettings(**given)), quantity, 100.0, sigma, half, 5_000.0, latency)


def test_the_risk_of_an_even_schedule_is_that_of_what_still_waits() -> None:
    assert waits(algorithm="immediate") == 0.0
    assert waits(algorithm="immediate", latency=600.0) == pytest.approx(0.01)
    # Three slices: two thirds wait for a quarter of a minute, then a third.
    even = waits(algorithm="twap", slices=3, slice_seconds=15)
    assert even == pytest.approx(0.25 * (4 / 9 + 1 / 9), rel=1e-5)
    rng = np.random.default_rng(1)
    steps = rng.normal(0.0, math.sqrt(0.25), (200_000, 3))
    paid = np.cumsum(steps, axis=1)
    worked = (0.0 + paid[:, 0] + paid[:, 1]) / 3.0
    assert worked.std() == pytest.approx(math.sqrt(even), rel=0.01)
    # Over minutes: what is left after each of them, each slot at its own time.
    assert waits(algorithm="twap", slices=1, horizon_minutes=4) == pytest.approx((9 + 4 + 1) / 16, rel=1e-5)
    assert waits(algorithm="vwap", slices=1, horizon_minutes=4) == pytest.approx((9 + 4 + 1) / 16, rel=1e-5)
    late = waits(algorithm="twap", slices=3, slice_seconds=15, jitter_seconds=6)
    assert late == pytest.approx(even + 3 / 60, rel=1e-5)


def test_a_shortfall_schedule_bears_the_variance_of_its_own_trajectory() -> None:
    slices, minutes, sigma, share = 4, 10, 1e-3, 0.01 / 10
    found = waits(algorithm="is", slices=slices, slice_seconds=15, horizon_minutes=minutes, risk_aversion=0.1)
    urgency = urgency_of(1.0, 0.1, 5_000.0, sigma, share, minutes)
    held = [1.0] + [still_to_come(urgency, float(minutes), k / slices) for k in range(1, slices * minutes + 1)]
    problem = Problem(1.0, float(minutes), slices * minutes, sigma, 0.0, 1.0)
    assert found == pytest.approx(variance(problem, np.array(held)) / sigma**2, rel=1e-4)
    # In a hurry there is less of it than of even slices, which wait for a third of the time.
    assert 0.0 < found < 0.5 * waits(algorithm="twap", slices=slices, slice_seconds=15, horizon_minutes=minutes)


def test_a_share_of_the_volume_waits_with_what_it_does_not_get() -> None:
    pov = {"algorithm": "pov", "slices": 1, "horizon_minutes": 4, "participation_pct": 10}
    # 10 of 100 a minute: an order for 10 is done at once, of one for 80 half is left.
    assert waits(10.0, **pov) == 0.0
    left = np.array([70, 60, 50, 40]) / 80
    assert waits(80.0, **pov) == pytest.approx((left**2).sum(), rel=1e-4)


def test_an_adaptive_order_bears_what_its_patience_lets_it() -> None:
    adaptive = {"algorithm": "adaptive"}
    # So wild a market is crossed at once.
    assert waits(0.001, sigma=0.1, **adaptive) == 0.0
    assert 0.0 < waits(sigma=2e-4, **adaptive) < waits(20.0, sigma=2e-4, **adaptive) < 1 / 3
    assert math.isfinite(waits(sigma=math.nan, latency=600.0, **adaptive))


def test_the_gate_tells_the_band_of_the_schedule_in_force() -> None:
    one = np.array([20.0]), np.array([0.5]), np.array([100.0]), np.array([1e-3])
    sd = [
        estimate_of(cost_gate(ExecutionSettings(algorithm=name), CostSettings()), Seen(*one), 1e-3, 0, 1.0, 50.0).sd
        for name in ("immediate", "adaptive", "twap")
    ]
    assert sd == sorted(sd) and sd[0] < sd[2]


def test_rows_are_the_single_estimates() -> None:
    rng = np.random.default_rng(2)
    columns = [rng.uniform(0.1, 10.0, 20) for _ in range(6)]
    columns[4] /= 1_000.0
    table = estimate_rows(*columns, PRIOR)
    assert table.shape == (len(Estimate._fields), 20)
    for k in range(20):
        one = estimate(*(float(c[k]) for c in columns), PRIOR)
        assert tuple(table[:, k]) == tuple(one)


positive = st.floats(1e-3, 1e3)


@settings(max_examples=200, deadline=None)
@given(positive, st.floats(0, 20), st.floats(0, 20), positive, st.floats(1e-6, 0.05), st.floats(0, 5), st.floats(0, 5))
def test_where_the_forecast_is_used_up_one_more_unit_costs_what_it_earns(
    edge: float, half: float, fee: float, volume: float, sigma: float, y: float, gamma: float
) -> None:
    law = ImpactLaw(y, 0.1, gamma, 0.1)
    for sides in (1.0, 2.0):
        most = most_worth(edge, half, fee, volume, sigma, law, sides)
        if most == 0.0:
            assert marginal_cost(0.0, half, fee, volume, sigma, law, sides) >= edge
            continue
        if most < 1e200:
            assert marginal_cost(most, half, fee, volume, sigma, law, sides) == pytest.approx(edge, rel=1e-6)

        def earned(quantity: float, sides: float = sides) -> float:
            one = estimate(quantity, half, fee, volume, sigma, 0.0, law)
            return quantity * (edge - sides * (half + fee + one.temporary) - one.permanent)

        if most < 1e9:
            best = earned(most)
            assert best >= 0.0
            for other in (0.5 * most, 0.9 * most, 1.1 * most, 2.0 * most):
                assert earned(other) <= best + 1e-9 * abs(best) + 1e-12


def test_flow_is_the_same_filled_or_missing() -> None:
    rng = np.random.default_rng(3)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 1e-3, 200)))
    bars = np.column_stack([close] * 4 + [rng.uniform(1, 5, 200)])
    missing, filled = bars.copy(), bars.copy()
    missing[120:130] = np.nan
    filled[120:130, :4] = close[119]
    filled[120:130, 4] = 0.0
    assert flow_at(missing, 150, 60) == flow_at(filled, 150, 60)
    volume, sigma = flow_at(bars, 199, 60)
    assert volume == pytest.approx(bars[140:, 4].mean())
    assert sigma == pytest.approx(np.sqrt(np.mean(np.diff(np.log(close[139:])) ** 2)))
    assert all(math.isnan(v) for v in flow_at(np.full((70, 5), np.nan), 69, 60))
