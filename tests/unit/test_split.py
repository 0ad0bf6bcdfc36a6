"""One order over two venues: never dearer than the better one alone, and the best there is."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.execution.split import (
    Quotes,
    Venues,
    lot_cost,
    lots_upto,
    order_cost,
    plan_split,
    split_order,
    split_rows,
    venues_of,
)


class Quote(NamedTuple):
    """One venue of one order."""

    prices: np.ndarray
    quantities: np.ndarray
    rate: float = 1.0
    fee: float = 0.001
    tick: float = 0.01
    volume: float = 50.0
    sigma: float = 1e-3
    latency_ms: float = 0.0
    least: float = 0.05
    most: float = 1e6


def quote(price: float = 100.0, quantity: float = 1.0, **changes: float) -> Quote:
    """A venue that displays five levels a basis point apart, and trades 50 coins a minute at 10 bps."""
    return Quote(price * (1.0 + 1e-4 * np.arange(5)), np.full(5, quantity))._replace(**changes)


def together(*orders: list[Quote]) -> Quotes:
    """Orders of as many venues each; those with fewer levels are padded."""
    deep = max(len(q.prices) for order in orders for q in order)
    padded = [
        [[np.pad(a, (0, deep - len(a)), constant_values=np.nan) for a in (q.prices, q.quantities)] for q in order]
        for order in orders
    ]
    levels = np.array(padded).transpose(2, 0, 1, 3)
    rest = np.array([[q[2:] for q in order] for order in orders], dtype=float).transpose(2, 0, 1)
    return Quotes(*(np.ascontiguousarray(a) for a in (*levels, *rest)))


def plan(quotes: list[Quote], buying: bool, quantity: float, coefficient: float = 1.0) -> list[float]:
    """Base units for each, in lots of a thousandth."""
    sides, wanted, lot = np.array([buying]), np.array([quantity]), np.array([0.001])
    return plan_split(together(quotes), sides, wanted, lot, coefficient)[0][0].tolist()


def solve(venues: Venues, want: float) -> tuple[list[float], float]:
    lots, room = np.zeros(len(venues.least)), np.zeros(len(venues.least))
    cost = split_order(venues, want, lots, room)
    return lots.tolist(), cost


def random_venues(rng: np.random.Generator, count: int, levels: int, largest: int) -> Venues:
    price = np.sort(rng.choice([0.0, 0.5, 1.0, 1.0, 2.0, 3.5, 7.0], (count, levels)), axis=1)
    upto = np.cumsum(rng.integers(0, 4, (count, levels)), axis=1).astype(float)
    scale = rng.choice([0.0, 0.3, 2.0, math.nan], count)
    most = rng.integers(0, largest + 1, count).astype(float)
    shown = upto[:, -1] if levels else np.zeros(count)
    most = np.where(np.isnan(scale), np.minimum(most, shown), most)
    least = rng.integers(0, 5, count).astype(float)
    touch = price[:, 0] if levels else rng.choice([0.0, 1.0], count)
    return Venues(price, upto, touch.copy(), scale, rng.choice([0.0, 0.25], count), least, most)


def by_hand(venues: Venues, want: int) -> tuple[float, float]:
    """(most that can be placed, least cost of placing it), by trying everything, lot by lot."""
    count = len(venues.least)
    totals = [np.cumsum([0.0] + [lot_cost(venues, v, float(n)) for n in range(want)]) for v in range(count)]
    allowed = [[n for n in range(want + 1) if n == 0 or venues.least[v] <= n <= venues.most[v]] for v in range(count)]
    best = (0.0, 0.0)
    for lots in itertools.product(*allowed):
        placed = float(sum(lots))
        if placed > want:
            continue
        cost = float(sum(totals[v][n] for v, n in enumerate(lots)))
        if math.isfinite(cost) and (placed > best[0] or (placed == best[0] and cost < best[1])):
            best = placed, cost
    return best


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(0, 4), st.integers(1, 14))
def test_nothing_that_could_be_tried_is_better(seed: int, count: int, levels: int, want: int) -> None:
    venues = random_venues(np.random.default_rng(seed), count, levels, want)
    lots, cost = solve(venues, float(want))
    placed, least = by_hand(venues, want)
    assert sum(lots) == placed
    assert cost == pytest.approx(least, abs=1e-9)
    assert cost == pytest.approx(sum(order_cost(venues, v, n) for v, n in enumerate(lots)), abs=1e-9)
    for v, n in enumerate(lots):
        assert n == 0.0 or venues.least[v] <= n <= venues.most[v]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1.0, 1e6))
def test_it_never_costs_more_than_the_better_venue_alone(seed: int, want: float) -> None:
    rng = np.random.default_rng(seed)
    quotes = [
        quote(
            100.0 * float(np.exp(rng.normal(0, 2e-3))),
            float(rng.choice([0.0, 0.01, 1.0, 100.0])),
            fee=float(rng.choice([0.0005, 0.001])),
            tick=float(rng.choice([0.01, 0.5])),
            volume=float(rng.choice([1.0, 50.0, 1e4])),
            sigma=float(rng.choice([1e-4, 1e-3])),
            latency_ms=float(rng.choice([0.0, 86.0, 400.0])),
            most=float(rng.choice([0.0, 10.0, 1e5])),
        )
        for _ in range(2)
    ]
    buying = bool(rng.integers(2))
    if not buying:
        quotes = [q._replace(prices=2.0 * q.prices[0] - q.prices) for q in quotes]
    table = venues_of(together(quotes), np.array([buying]), np.array([0.001]), 1.0)
    venues, want = Venues(*(a[0] for a in table)), math.floor(want)
    lots, cost = solve(venues, want)
    for v in range(2):
        alone = Venues(*(a[v : v + 1] for a in venues))
        (only,), single = solve(alone, want)
        assert sum(lots) >= only
        if only == sum(lots):
            assert cost <= single + 1e-9 * abs(single)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.floats(-1.0, 10.0))
def test_lots_up_to_a_price_are_those_that_cost_no_more(seed: int, levels: int, cost: float) -> None:
    venues = random_venues(np.random.default_rng(seed), 1, levels, 30)._replace(least=np.zeros(1))
    count = 0
    while count < venues.most[0] and lot_cost(venues, 0, float(count)) <= cost:
        count += 1
    assert lots_upto(venues, 0, cost) == count
    costs = [lot_cost(venues, 0, float(n)) for n in range(40)]
    assert costs == sorted(costs), "one more lot never costs less"


def test_the_cheaper_venue_is_taken_first_and_both_when_it_runs_dry() -> None:
    cheap, dear = quote(100.0, 1.0), quote(100.02, 1.0)
    assert plan([cheap, dear], True, 1.0) == [1.0, 0.0]
    some, rest = plan([cheap, dear], True, 8.0)
    assert some > rest > 2.0 and some + rest == pytest.approx(8.0)


def test_a_sale_goes_where_it_earns_more() -> None:
    low, high = (quote(p, 1.0)._replace(prices=p * (1.0 - 1e-4 * np.arange(5))) for p in (100.0, 100.05))
    assert plan([low, high], False, 1.0) == [0.0, 1.0]


def test_fee_premium_latency_and_rate_each_move_the_order() -> None:
    one = quote()
    assert plan([one._replace(fee=0.0015), one], True, 1.0) == [0.0, 1.0]
    assert plan([one._replace(latency_ms=500.0), one], True, 1.0) == [0.0, 1.0]
    won = one._replace(prices=one.prices * 1_400.0, tick=14.0, rate=1.0 / 1_400.0)
    assert plan([won._replace(rate=1.01 / 1_400.0), one], True, 1.0) == [0.0, 1.0]
    assert plan([won._replace(rate=0.99 / 1_400.0), one], True, 1.0) == [1.0, 0.0]


def test_a_wide_tick_sends_the_rest_elsewhere() -> None:
    coarse = quote(100.0, 1.0)._replace(prices=np.array([100.0]), quantities=np.array([1.0]), tick=0.35)
    fine = quote(100.0, 1.0, tick=0.01)
    here, there = plan([coarse, fine], True, 4.0, 0.1)
    assert here == pytest.approx(1.0) and there == pytest.approx(3.0)


def test_balances_and_minima_hold_and_one_venue_is_enough() -> None:
    one = quote()
    cheaper = one._replace(prices=one.prices - 0.005, most=0.4)
    assert plan([cheaper, one], True, 1.0) == pytest.approx([0.4, 0.6])
    assert plan([one._replace(most=0.4), one], True, 1.0) == [0.0, 1.0], "equal: one venue is enough"
    assert plan([one._replace(most=0.4), one._replace(most=0.3)], True, 1.0) == [0.4, 0.3]
    # Two halves would be below what each venue takes: it falls back to one.
    assert plan([one._replace(least=0.7), one._replace(least=0.7)], True, 1.0) == [1.0, 0.0]
    assert plan([one._replace(least=2.0), one._replace(least=2.0)], True, 1.0) == [0.0, 0.0]


def test_what_is_not_known_is_not_used() -> None:
    one, thin = quote(), quote(90.0, 0.1)
    assert plan([thin._replace(rate=math.nan), one], True, 1.0) == [0.0, 1.0]
    # Without a law only what is displayed.
    assert plan([thin._replace(volume=math.nan), one], True, 1.0) == pytest.approx([0.5, 0.5])
    with pytest.raises(ValueError, match="7 venues"):
        plan([one] * 7, True, 1.0)


def test_when_a_venue_fails_the_rest_goes_to_the_other() -> None:
    quotes = [quote(100.0), quote(100.0)]
    planned = plan(quotes, True, 8.0)
    assert min(planned) > 3.0
    # It filled a part before; what is left is planned anew over those that have room (tests/sim/test_split_venues.py).
    failed = quotes[0]._replace(most=0.0)
    left = 8.0 - planned[1] - 0.5
    assert plan([failed, quotes[1]], True, left) == pytest.approx([0.0, left])
    assert plan([failed, failed], True, left) == [0.0, 0.0]


def test_many_orders_are_the_single_ones() -> None:
    rng = np.random.default_rng(5)
    made = [random_venues(rng, 2, 3, 20) for _ in range(30)]
    want = rng.integers(1, 20, 30).astype(float)
    lots, cost = split_rows(*(np.stack(column) for column in zip(*made, strict=True)), want)
    for p, venues in enumerate(made):
        alone, paid = solve(venues, want[p])
        assert lots[p].tolist() == alone and cost[p] == paid
