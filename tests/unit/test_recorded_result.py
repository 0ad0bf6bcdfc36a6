"""Records of the live parts as a result: equal to what the compiled engine says of the same run, to the cent and further."""

from dataclasses import replace

import numpy as np
import pytest

from core.messages import MinuteRecord
from tests.support.engines import Pair, make_forecasts, make_market, make_settings, run_both
from tests.support.minute_records import MadeUpRun
from tune.backtest import make_tape
from tune.recorded_result import NOT_OURS, UNSPLIT, Touches, result_of_records
from tune.report.findings import findings_of
from tune.report.page import write_page
from tune.result import Result

COSTS = ("fee_usdt", "spread_usdt", "impact_usdt", "delay_usdt")


@pytest.fixture(scope="module")
def pair() -> Pair:
    market = make_market(3, 400, seed=4, gaps=0.01)
    return run_both(make_settings(3), market, make_forecasts(market, seed=2, silent=0.05))


@pytest.fixture(scope="module")
def recorded(pair) -> Result:
    settings, market = make_settings(3), make_market(3, 400, seed=4, gaps=0.01)
    costs = settings.rules.costs
    touches = Touches(market, costs, make_tape(market).default_rules(costs))
    return result_of_records(pair.records, name="desk", market="", synthetic=True, cash=10_000.0, touches=touches)


def test_columns_are_the_engines(pair, recorded):
    engine = pair.result
    assert len(engine.fills) > 50, "nothing was compared"
    for name in ("minute", "equity", "regime", "state", "grid", "close", "edge_bps", "weights"):
        np.testing.assert_array_equal(getattr(recorded, name), getattr(engine, name), err_msg=name)
    assert recorded.members == engine.members
    assert recorded.instruments == engine.instruments


def test_fills_lost_what_the_engine_says_they_lost(pair, recorded):
    ours, theirs = recorded.fills, pair.result.fills
    for name in ("order", "minute", "at_ms", "symbol", "side"):
        assert ours[name].to_list() == theirs[name].to_list(), name
    for name in ("quantity", "price", *COSTS):
        np.testing.assert_allclose(ours[name].to_numpy(), theirs[name].to_numpy(), rtol=1e-9, atol=1e-9, err_msg=name)


def test_orders_and_their_why_are_the_engines(pair, recorded):
    for name in ("order", "minute", "symbol", "side", "quantity", "limit_price", "mid", "equity", "why"):
        assert recorded.orders[name].to_list() == pair.result.orders[name].to_list(), name
    np.testing.assert_allclose(recorded.orders["executed"].to_numpy(), pair.result.orders["executed"].to_numpy())


def test_the_money_went_the_same_ways(pair, recorded):
    assert recorded.costs.cents() == pair.result.costs.cents()
    np.testing.assert_allclose(recorded.contribution, pair.result.contribution, rtol=1e-6, atol=1e-6)


def test_without_the_market_the_costs_beside_fees_are_not_told_apart(pair, recorded):
    plain = result_of_records(pair.records, name="desk", market="", synthetic=True, cash=10_000.0)
    assert UNSPLIT in plain.notes
    assert plain.costs.spread == plain.costs.impact == 0.0
    split = recorded.costs
    assert plain.costs.delay == pytest.approx(split.spread + split.impact + split.delay)
    assert plain.costs.gross == pytest.approx(split.gross)
    assert plain.costs.net == split.net


def test_a_run_of_the_whole_system_with_all_kinds_of_trouble_has_a_page(tmp_path):
    records = MadeUpRun().many(400)
    result = result_of_records(records, name="run", market="", synthetic=True)
    assert int(np.isnan(result.equity).sum()) == sum(r.status == "missed" for r in records) > 0
    assert len(result.fills) == sum(len(r.fills) for r in records) > 0
    assert write_page(tmp_path / "report.html", findings_of(result)).stat().st_size > 100_000


def test_fills_of_nobodys_order_are_told(pair):
    records = [replace(r, orders=()) for r in pair.records]
    result = result_of_records(records, name="run", market="", synthetic=True)
    assert NOT_OURS.format(len(result.fills)) in result.notes
    assert (result.fills["order"] == -1).all()


@pytest.mark.parametrize("records", [[], [MinuteRecord(minute=60_000, trace="", status="missed", reason="late")]])
def test_a_run_without_a_decision_is_empty_or_all_missed(records, tmp_path):
    result = result_of_records(records, name="run", market="", synthetic=False)
    assert result.minutes == len(records)
    assert result.cash == 0.0
    write_page(tmp_path / "report.html", findings_of(result))
