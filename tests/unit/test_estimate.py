"""What an order will cost, before it is sent, and how much of it a forecast pays for."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.execution.estimate import (
    BAND,
    Estimate,
    estimate,
    estimate_rows,
    even_risk_minutes,
    half_spread_of_touch,
    marginal_cost,
    most_worth,
)
from core.impact import PRIOR, ImpactLaw, flow_at
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


def test_the_risk_of_an_even_schedule_is_that_of_what_still_waits() -> None:
    assert even_risk_minutes(1, 15_000, 0) == 0.0
    assert even_risk_minutes(1, 15_000, 600) == pytest.approx(0.01)
    # Three slices: two thirds wait for a quarter of a minute, then a third.
    assert even_risk_minutes(3, 15_000, 0) == pytest.approx(0.25 * (4 / 9 + 1 / 9))
    rng = np.random.default_rng(1)
    steps = rng.normal(0.0, math.sqrt(0.25), (200_000, 3))
    paid = np.cumsum(steps, axis=1)
    worked = (0.0 + paid[:, 0] + paid[:, 1]) / 3.0
    assert worked.std() == pytest.approx(math.sqrt(even_risk_minutes(3, 15_000, 0)), rel=0.01)


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
