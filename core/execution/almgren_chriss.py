"""Optimal execution after Almgren & Chriss (2000), "Optimal execution of portfolio transactions", Journal of Risk 3.

A holding of X units is sold (a purchase is the same under a change of sign) in N equal intervals of tau = T / N. Their
model: the price moves by ``sigma`` a unit of time, by ``permanent`` for good a unit of rate (gamma), and each trade of n
units in an interval pays ``fixed`` (epsilon) and ``temporary`` (eta) times its rate n / tau. Equations are numbered as
there. Times are in one unit throughout (days in their example), prices in one currency.
"""

import math
from typing import NamedTuple

import numpy as np

from core.errors import Defect
from core.messages import FloatArray


class Problem(NamedTuple):
    """What is to be liquidated, and in which market."""

    quantity: float
    """X, units."""
    horizon: float
    """T, time."""
    intervals: int
    """N."""
    sigma: float
    """Price a sqrt(time)."""
    permanent: float
    """gamma, price a unit."""
    temporary: float
    """eta, price a (unit a time)."""
    fixed: float = 0.0
    """epsilon, price: half the spread, and fees."""

    @property
    def tau(self) -> float:
        return self.horizon / self.intervals

    @property
    def eta_tilde(self) -> float:
        """eta (1 - gamma tau / 2 eta): the part of the temporary impact that an interval's own permanent one leaves."""
        return self.temporary - 0.5 * self.permanent * self.tau


def kappa(problem: Problem, risk_aversion: float) -> float:
    """The urgency a unit of time: 2 (cosh(kappa tau) - 1) / tau² = lambda sigma² / eta~ (equation 16).

    Raises Defect where temporary impact does not outweigh the permanent one within an interval: there is no optimum.
    """
    if not problem.eta_tilde > 0.0:
        raise Defect(
            f"temporary impact {problem.temporary:g} is below half the permanent one over an interval "
            f"({0.5 * problem.permanent * problem.tau:g}); take more intervals"
        )
    squared = risk_aversion * problem.sigma**2 / problem.eta_tilde
    return math.acosh(0.5 * squared * problem.tau**2 + 1.0) / problem.tau


def half_life(problem: Problem, risk_aversion: float) -> float:
    """1 / kappa: the time in which an unbounded liquidation falls by a factor e (section 2.4); inf without aversion."""
    found = kappa(problem, risk_aversion)
    return 1.0 / found if found > 0.0 else math.inf


def trajectory(problem: Problem, risk_aversion: float) -> FloatArray:
    """(N + 1,) units still held at each interval's beginning, and 0 at the end: equation 17,
    sinh(kappa (T - t)) / sinh(kappa T) X."""
    urgency, left = kappa(problem, risk_aversion), problem.horizon - problem.tau * np.arange(problem.intervals + 1)
    left[-1] = 0.0
    if urgency * problem.horizon < 1e-9:
        return problem.quantity * left / problem.horizon
    grown = np.exp(urgency * (left - problem.horizon)) * -np.expm1(-2.0 * urgency * left)
    return problem.quantity * grown / -math.expm1(-2.0 * urgency * problem.horizon)


def expected_cost(problem: Problem, held: FloatArray) -> float:
    """E of a trajectory (N + 1,), money: equation 8, with gamma X² / 2 for good, epsilon a unit, eta~ / tau a trade²."""
    trades = -np.diff(held)
    return float(
        0.5 * problem.permanent * problem.quantity**2
        + problem.fixed * np.abs(trades).sum()
        + problem.eta_tilde / problem.tau * (trades**2).sum()
    )


def variance(problem: Problem, held: FloatArray) -> float:
    """V of a trajectory, money²: sigma² times the sum of tau x², the units that wait through each interval (equation 5)."""
    return float(problem.sigma**2 * problem.tau * (np.asarray(held)[1:] ** 2).sum())


def frontier(problem: Problem, risk_aversions: FloatArray) -> FloatArray:
    """(K, 2) standard deviation and expected cost of the optimal trajectory at each risk aversion: the efficient
    frontier."""
    held = [trajectory(problem, float(risk_aversion)) for risk_aversion in risk_aversions]
    return np.array([[math.sqrt(variance(problem, x)), expected_cost(problem, x)] for x in held])
