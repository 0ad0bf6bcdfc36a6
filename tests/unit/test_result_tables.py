"""A result's tables are made when somebody looks, once, and are the same wherever they are looked at."""

import math
import pickle
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.support.engines import make_forecasts, make_market, make_settings
from tune.prepared import prepare
from tune.result import Counts, Result, Tables, empty_fills, empty_orders
from tune.simulate import simulate, simulate_targets


def traded() -> Result:
    market = make_market(2, 500, gaps=0.02)
    return simulate(make_settings(2), market, make_forecasts(market, scale=40.0), cash=Decimal(10_000))


def test_a_table_is_made_when_it_is_looked_at_and_only_once() -> None:
    made: list[str] = []

    def fills() -> pl.DataFrame:
        made.append("fills")
        return empty_fills()

    def orders() -> pl.DataFrame:
        made.append("orders")
        return empty_orders()

    tables = Tables(fills, orders, Counts(orders=3, buys=2, fills=5))
    assert tables.counts == Counts(orders=3, buys=2, fills=5) and made == []
    assert tables.fills is tables.fills and made == ["fills"]
    assert tables.orders is tables.orders and made == ["fills", "orders"]


def test_the_numbers_of_a_run_cost_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(found: object) -> pl.DataFrame:
        raise AssertionError("somebody looked")

    monkeypatch.setattr("tune.simulated_result.fills_of", never)
    monkeypatch.setattr("tune.simulated_result.orders_of", never)
    found = replace(traded(), name="another name")
    assert found.counts.orders > found.counts.buys > 0 and found.counts.fills > 0
    assert np.isfinite(found.equity).all() and found.costs.fees > 0.0 and found.contribution.any()
    with pytest.raises(AssertionError, match="looked"):
        found.fills  # noqa: B018


def test_counts_and_costs_are_those_of_the_tables() -> None:
    found = traded()
    assert found.counts == Tables(found.fills, found.orders).counts
    assert found.counts.buys == found.orders.filter(side="buy").height
    booked = found.fills.filter(pl.col("minute") < int(found.minute[-1]))
    for name in ("fees", "spread", "impact", "delay"):
        column = booked[f"{name.removesuffix('s')}_usdt"]
        assert getattr(found.costs, name) == math.fsum(column), name
    executed = found.fills.group_by("order").agg(pl.col("quantity").sum()).sort("order")
    filled = found.orders.filter(pl.col("order").is_in(executed["order"].implode()))
    assert filled["executed"].to_list() == pytest.approx(executed["quantity"].to_list(), rel=1e-12)


def test_where_compiled_sums_are_in_doubt_the_costs_are_added_up_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    certain = traded().costs
    monkeypatch.setattr("tune.found._lost", lambda *given: (math.nan, math.nan, math.nan, math.nan, False))
    assert traded().costs == certain


@pytest.mark.parametrize("minutes", [45_001, 45_002])
def test_one_instrument_s_worth_is_what_is_invested(minutes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the engine writes it down row by row, which it need not do for one instrument without votes."""
    market = make_market(1, minutes, gaps=0.02)
    target = np.full((market.bars.shape[1], 1), np.nan)
    target[20::700, 0], target[300::900, 0] = 0.1, 0.0

    def run() -> Result:
        return simulate_targets(make_settings(1), market, target, cash=Decimal(10_000))

    short = run()
    monkeypatch.setattr("tune.simulate.worth_is_invested", lambda *given: False)
    whole = run()
    assert short.counts.fills > 50 and (short.worth > 0.0).any() and (short.worth == 0.0).any()
    for name in ("grid", "worth", "edge_bps", "weights", "close", "equity"):
        np.testing.assert_array_equal(getattr(short, name), getattr(whole, name), err_msg=name)


def test_the_arrays_of_settings_are_made_once_for_the_same_ones() -> None:
    market, settings = make_market(1, 60), make_settings(1)
    prepared = prepare(settings, market)
    first, other = prepared.rules(settings, 1.0), make_settings(1, risk__max_order_pct=7)
    assert prepared.rules(settings, 1.0) is first and prepared.rules(settings, 2.0).rows.rate[0] == 2.0
    assert prepared.rules(other, 1.0).account.caps.max_order == 0.07 != first.account.caps.max_order


def test_a_result_that_nobody_looked_at_is_pickled_and_saved_whole(tmp_path: Path) -> None:
    looked = traded()
    assert looked.fills.height and looked.orders.height
    pickled = pickle.loads(pickle.dumps(traded()))
    saved = Result.load(traded().save(tmp_path))
    for other in (pickled, saved):
        assert other.fills.equals(looked.fills) and other.orders.equals(looked.orders)
        assert other.counts == looked.counts and np.array_equal(other.equity, looked.equity)
