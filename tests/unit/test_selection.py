"""Who is listened to, and what the ensemble then wants to hold."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataError, Defect
from core.messages import MarketEvent, Regime
from core.params import SelectionSettings
from core.selection import Selector, WeightTable, held_back
from tests.support.markets import BTC, ETH, MINUTE, detected, market, votes

MEMBERS = ("ridge", "tcn")
RULES = SelectionSettings(entry_edge_bps=12, exit_edge_bps=2, full_edge_bps=30, shock_scale=0.5)
PAIR = market((BTC, ETH), mids=(100.0, 50.0))
HOLDING = market((BTC, ETH), mids=(100.0, 50.0), held=(5.0, 0.0))


def choose(seen, said, *, table=None, regime=Regime.CALM, events=(), rules=RULES):
    selector = Selector(rules, table or WeightTable.equal(MEMBERS), MEMBERS)
    return selector.choose(seen, detected(seen, regime, events), votes(seen, said))


def test_the_edge_is_the_weighted_mean_and_disagreement_makes_it_uncertain():
    table = WeightTable("t", {r.value: {"ridge": 3.0, "tcn": 1.0} for r in Regime})
    found = choose(PAIR, {"ridge": (20.0, 10.0), "tcn": (0.0, 10.0)}, table=table)
    assert found.weights == (0.75, 0.25)
    assert found.edge_bps.tolist() == [15.0, 10.0]
    assert found.spread_bps[1] == pytest.approx(10.0)
    assert found.spread_bps[0] == pytest.approx(math.sqrt(100 + 0.75 * 5.0**2 + 0.25 * 15.0**2))
    assert found.weights_version == "t"


def test_weights_follow_the_regime():
    table = WeightTable(
        "t",
        {"calm": {"ridge": 1.0}, "trend": {"tcn": 1.0}, "turbulent": {"ridge": 1.0, "tcn": 1.0}},
    )
    said = {"ridge": (10.0, 0.0), "tcn": (30.0, 0.0)}
    edges = [choose(PAIR, said, table=table, regime=regime).edge_bps[0] for regime in Regime]
    assert edges == [10.0, 30.0, 20.0]


def test_a_silent_members_weight_is_shared_out():
    table = WeightTable("t", {r.value: {"ridge": 3.0, "tcn": 1.0} for r in Regime})
    found = choose(PAIR, {"ridge": None, "tcn": (40.0, 40.0)}, table=table)
    assert found.weights == (0.0, 1.0)
    assert found.edge_bps.tolist() == [40.0, 40.0]
    assert found.target.tolist() == [0.5, 0.5]


def test_when_nobody_spoke_what_is_held_is_kept():
    for said in ({"ridge": None, "tcn": None}, {"ridge": (40.0, 40.0), "tcn": None}):
        table = WeightTable("t", {r.value: {"ridge": 0.0, "tcn": 1.0} for r in Regime})
        found = choose(PAIR, said, table=table)
        assert found.weights == (0.0, 0.0)
        assert np.isnan(found.target).all()
        assert np.isnan(found.edge_bps).all()


@pytest.mark.parametrize(
    ("edge", "flat", "held"),
    [
        (-50.0, 0.0, 0.0),
        (1.9, 0.0, 0.0),
        (2.0, 0.0, math.nan),
        (11.9, 0.0, math.nan),
        (12.0, 0.2, 0.2),
        (15.0, 0.25, 0.25),
        (30.0, 0.5, 0.5),
        (1e9, 0.5, 0.5),
    ],
)
def test_positions_are_opened_above_entry_and_kept_down_to_exit(edge, flat, held):
    said = {"ridge": (edge, 0.0), "tcn": (edge, 0.0)}
    np.testing.assert_allclose(choose(PAIR, said).target[0], flat)
    np.testing.assert_allclose(choose(HOLDING, said).target[0], held)


def test_dust_is_not_a_position():
    dust = market((BTC, ETH), mids=(100.0, 50.0), held=(0.05, 0.0))
    assert choose(dust, {"ridge": (5.0, 0.0), "tcn": (5.0, 0.0)}).target[0] == 0.0
    unknown = replace(dust, equity=math.nan)
    assert math.isnan(choose(unknown, {"ridge": (5.0, 0.0), "tcn": (5.0, 0.0)}).target[0])


def test_a_shock_holds_back_what_is_bought_of_its_instrument_and_asks_for_no_sale():
    shock = MarketEvent(kind="volatility_shock", instrument=BTC, size=4.0)
    surge = MarketEvent(kind="volume_surge", instrument=ETH, size=9.0)
    found = choose(PAIR, {"ridge": (30.0, 30.0), "tcn": (30.0, 30.0)}, events=(shock, surge))
    assert found.target.tolist() == [0.5, 0.5]
    assert found.buy_scale.tolist() == [0.5, 1.0]
    everywhere = choose(PAIR, {"ridge": (30.0, 30.0), "tcn": (30.0, 30.0)}, events=(replace(shock, instrument=None),))
    assert everywhere.buy_scale.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("target", "held", "after"), [(0.5, 0.0, 0.25), (0.5, 0.1, 0.25), (0.5, 0.4, 0.4), (0.3, 0.4, 0.3), (0.0, 0.4, 0.0)]
)
def test_in_a_shock_what_is_held_stays(target, held, after):
    assert held_back(target, held, 0.5) == after
    assert math.isnan(held_back(math.nan, held, 0.5))


def test_what_is_not_fresh_has_no_target():
    stale = replace(PAIR, fresh=np.array([False, True]))
    found = choose(stale, {"ridge": (30.0, 30.0), "tcn": (30.0, 30.0)})
    assert math.isnan(found.target[0])
    assert found.target[1] == 0.5


@given(st.lists(st.tuples(*[st.floats(-1e9, 1e9)] * 2), min_size=2, max_size=2))
def test_targets_are_fractions_that_sum_to_one_at_most(said):
    target = choose(PAIR, dict(zip(MEMBERS, said, strict=True))).target
    assert ((target >= 0) & (target <= 1)).all()
    assert target.sum() <= 1.0


def test_new_weights_count_from_the_next_minute():
    selector = Selector(RULES, WeightTable.equal(MEMBERS), MEMBERS)
    said = votes(PAIR, {"ridge": (10.0, 0.0), "tcn": (30.0, 0.0)})
    assert selector.choose(PAIR, detected(PAIR), said).edge_bps[0] == 20.0
    selector.set_weights(WeightTable("new", {r.value: {"tcn": 1.0} for r in Regime}))
    after = selector.choose(PAIR, detected(PAIR), said)
    assert (after.edge_bps[0], after.weights_version) == (30.0, "new")


def test_messages_of_another_minute_or_of_strangers_are_a_defect():
    selector = Selector(RULES, WeightTable.equal(MEMBERS), MEMBERS)
    later = replace(PAIR, minute=MINUTE + 60_000)
    with pytest.raises(Defect, match="votes of"):
        selector.choose(later, detected(later), votes(PAIR, {"ridge": (0.0, 0.0)}))
    with pytest.raises(Defect, match="unknown members: oracle"):
        selector.choose(PAIR, detected(PAIR), votes(PAIR, {"oracle": (0.0, 0.0)}))


def test_a_table_survives_json_and_refuses_what_it_cannot_be():
    table = WeightTable("v3", {r.value: {"ridge": 0.1 + 0.2, "tcn": 0.0} for r in Regime})
    assert WeightTable.from_json(table.to_json()) == table
    good = table.to_json()
    for change, message in (
        ({"by_regime": {"calm": {}}}, "no weights for regime 'trend'"),
        ({"by_regime": {**good["by_regime"], "sideways": {}}}, "'sideways' is no regime"),
        ({"by_regime": {**good["by_regime"], "calm": {"ridge": -1.0}}}, "calm/ridge is -1.0"),
        ({"by_regime": {**good["by_regime"], "calm": {"ridge": math.nan}}}, "calm/ridge is nan"),
        ({"by_regime": {**good["by_regime"], "calm": {"ridge": "much"}}}, "not a weight table"),
        ({"by_regime": 3}, "not a weight table"),
    ):
        with pytest.raises(DataError, match=message):
            WeightTable.from_json({**good, **change})
    with pytest.raises(DataError, match="not a weight table"):
        WeightTable.from_json([])


def test_default_weights_are_the_configured_ones_else_equal():
    assert WeightTable.default(MEMBERS, {}) == WeightTable.equal(MEMBERS)
    table = WeightTable.default(MEMBERS, {"tcn": 2.0})
    assert table.weights(Regime.TREND, MEMBERS).tolist() == [0.0, 2.0]


def test_an_exit_above_the_entry_is_refused():
    with pytest.raises(ValueError, match="exit_edge_bps 30 is above entry_edge_bps 25"):
        SelectionSettings(exit_edge_bps=30)
