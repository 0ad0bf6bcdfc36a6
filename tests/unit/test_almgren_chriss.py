"""The example of Almgren & Chriss (2000), section 4, and the optimum found again without their formula."""

import math

import numpy as np
import pytest

from core.errors import Defect
from core.execution.almgren_chriss import (
    Problem,
    expected_cost,
    frontier,
    half_life,
    kappa,
    trajectory,
    variance,
)
from core.execution.schedules.rule import still_to_come

# A share of 50 with 30 % volatility a year (0.95 a day), a million shares in five days; spread 1/8; trading 10 % of the
# daily 5 million moves it by one spread for good, every 1 % taken costs one spread for a while.
DAILY, SPREAD = 5e6, 1 / 8
PAPER = Problem(
    quantity=1e6,
    horizon=5.0,
    intervals=5,
    sigma=0.95,
    permanent=SPREAD / (0.1 * DAILY),
    temporary=SPREAD / (0.01 * DAILY),
    fixed=SPREAD / 2,
)
AVERSION = 1e-6


def test_the_parameters_are_those_of_table_1():
    assert PAPER.permanent == pytest.approx(2.5e-7)
    assert PAPER.temporary == pytest.approx(2.5e-6)
    assert PAPER.fixed == pytest.approx(0.0625)


def test_urgency_and_half_life():
    assert kappa(PAPER, AVERSION) == pytest.approx(0.61, abs=0.005)
    assert half_life(PAPER, AVERSION) == pytest.approx(1.6, abs=0.05)
    assert half_life(PAPER, 0.0) == math.inf


def minimise(problem: Problem, risk_aversion: float) -> np.ndarray:
    """The trajectory that minimises E + lambda V, from the definitions: a quadratic in the holdings between."""
    n, tau = problem.intervals, problem.tau
    # Price paid is simulated trade by trade, not by the closed sum: an impact matrix of all trades.
    permanent = np.tril(np.full((n, n), problem.permanent), -1)
    impact = permanent + np.eye(n) * problem.temporary / tau
    held_after = -np.tril(np.ones((n, n)))  # holdings = X + this @ trades
    risk = risk_aversion * problem.sigma**2 * tau * held_after.T @ held_after
    pull = 2.0 * risk_aversion * problem.sigma**2 * tau * problem.quantity * held_after.T @ np.ones(n)
    quadratic = impact + impact.T + 2.0 * risk
    # Lagrange: all trades add up to X.
    system = np.block([[quadratic, np.ones((n, 1))], [np.ones((1, n)), np.zeros((1, 1))]])
    trades = np.linalg.solve(system, np.append(-pull, problem.quantity))[:n]
    return problem.quantity - np.concatenate([[0.0], np.cumsum(trades)])


@pytest.mark.parametrize("aversion", [0.0, 1e-7, 1e-6, 1e-5])
@pytest.mark.parametrize("intervals", [5, 50])
def test_the_closed_form_is_the_optimum(aversion, intervals):
    problem = PAPER._replace(intervals=intervals)
    found = trajectory(problem, aversion)
    np.testing.assert_allclose(found, minimise(problem, aversion), rtol=0, atol=1e-3)
    assert found[0] == problem.quantity and found[-1] == 0.0


def simulated(problem: Problem, held: np.ndarray, paths: int, seed: int) -> np.ndarray:
    """Shortfall of each of so many random prices, by the model's own price rule (equations 1 and 2)."""
    trades, tau = -np.diff(held), problem.tau
    shocks = np.random.default_rng(seed).normal(size=(paths, len(trades))) * problem.sigma * math.sqrt(tau)
    before = np.cumsum(shocks, axis=1) - shocks - problem.permanent * (np.cumsum(trades) - trades)
    paid = before - problem.fixed - problem.temporary * trades / tau
    return -(paid * trades).sum(axis=1)


def test_cost_and_variance_are_those_of_the_model_simulated():
    held = trajectory(PAPER, AVERSION)
    cost, spread = expected_cost(PAPER, held), math.sqrt(variance(PAPER, held))
    drawn = simulated(PAPER, held, 400_000, 1)
    assert drawn.mean() == pytest.approx(cost, rel=3e-3)
    assert drawn.std() == pytest.approx(spread, rel=5e-3)
    # Slower than nothing, dearer than an even sale; both by the paper's figure 1.
    even = trajectory(PAPER, 0.0)
    assert expected_cost(PAPER, even) < cost
    assert variance(PAPER, even) > spread**2
    np.testing.assert_allclose(even, np.linspace(1e6, 0, 6))


def test_known_ends_of_the_frontier():
    # Even trading: E = gamma X²/2 + epsilon X + (eta - gamma tau / 2) X²/T, V = sigma² X² T (1 - 1/N)(1 - 1/2N) / 3.
    even = trajectory(PAPER, 0.0)
    assert expected_cost(PAPER, even) == pytest.approx(0.125e6 + 0.0625e6 + (2.5e-6 - 1.25e-7) * 1e12 / 5)
    assert variance(PAPER, even) == pytest.approx(0.95**2 * 1e12 * 5 / 3 * 0.8 * 0.9)
    # At once: all in the first interval, no risk, E = epsilon X + eta X²/tau.
    at_once = np.array([1e6, 0, 0, 0, 0, 0])
    assert variance(PAPER, at_once) == 0.0
    assert expected_cost(PAPER, at_once) == pytest.approx(0.0625e6 + 2.5e-6 * 1e12)
    points = frontier(PAPER, np.array([0.0, 1e-7, 1e-6, 1e-5, 1e-4]))
    assert (np.diff(points[:, 0]) < 0).all() and (np.diff(points[:, 1]) > 0).all()
    # Convex: each further bit of certainty costs more.
    slopes = np.diff(points[:, 1]) / np.diff(points[:, 0])
    assert (np.diff(slopes) < 0).all()


def test_the_schedules_rule_is_this_trajectory():
    found = trajectory(PAPER, AVERSION) / PAPER.quantity
    urgency = kappa(PAPER, AVERSION)
    assert [still_to_come(urgency, 5.0, float(t)) for t in range(6)] == pytest.approx(found.tolist(), abs=1e-12)
    assert still_to_come(1e6, 5.0, 1.0) == 0.0
    assert still_to_come(0.0, 5.0, 1.0) == pytest.approx(0.8)


def test_no_optimum_where_the_permanent_impact_is_the_larger():
    with pytest.raises(Defect, match="more intervals"):
        kappa(PAPER._replace(permanent=1e-5), AVERSION)
