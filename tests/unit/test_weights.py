"""The search for weights judges by the selector's own rule and keeps equal weights unless others earn more."""

import numpy as np
import pytest

from config.load import load_settings
from core.events import REGIMES
from core.messages import Regime
from core.params import SelectionSettings
from core.selection import Selector, WeightTable
from tests.support.histories import MEMBERS, history
from tests.support.markets import BTC, ETH, detected, market, votes
from tune.history import History
from tune.scoring import as_array, edges, exposures, net_bps, score
from tune.weights import decide, parameter, proposal, variations

RULES = SelectionSettings()


def test_exposures_are_what_the_selector_asks_for_minute_by_minute() -> None:
    past = history(90)
    table = WeightTable("t", {r.value: {"good": 0.7 + 0.1 * k, "bad": 0.3} for k, r in enumerate(Regime)})
    invest = 0.3
    batched = exposures(as_array(table, MEMBERS), past, RULES, invest)[0]
    selector = Selector(RULES, table, MEMBERS)
    held = np.zeros(2)
    for t in range(90):
        if t and past.fold[t] != past.fold[t - 1]:
            held = np.zeros(2)
        seen = market(
            (BTC, ETH),
            mids=(100.0, 50.0),
            held=tuple(held * invest * 10_000 / np.array([100.0, 50.0])),
            equity=10_000.0,
        )
        seen = market(
            (BTC, ETH), mids=(100.0, 50.0), equity=10_000.0, position=seen.position, fresh=past.fresh[:, t].copy()
        )
        events = detected(seen, REGIMES[past.regime[t]])
        said = votes(seen, {m: tuple(past.mean_bps[k, :, t]) for k, m in enumerate(MEMBERS)})
        intents = selector.choose(seen, events, said)
        target = selector.targets(seen, intents.edge_bps)
        target = np.where(past.shock[:, t] & (target > held), np.maximum(held, RULES.shock_scale * target), target)
        held = np.where(np.isnan(target), held, target)
        np.testing.assert_allclose(batched[:, t], held, rtol=0, atol=1e-12, err_msg=f"minute {t}")


def test_a_silent_members_weight_is_shared_out() -> None:
    past = history(60)
    past.mean_bps[1, :, 10:20] = np.nan
    past.mean_bps[:, :, 30] = np.nan
    edge = edges(np.full((1, 3, 2), 0.5), past)[0]
    np.testing.assert_allclose(edge[:, 12], past.mean_bps[0, :, 12])
    np.testing.assert_allclose(edge[:, 40], 0.0, atol=1e-12)
    assert np.isnan(edge[:, 30]).all()


def test_turnover_costs() -> None:
    past = history(3)
    flat = History(
        **{f: getattr(past, f) for f in past.__slots__} | {"next_bps": np.zeros((2, 3)), "fold": np.zeros(3)}
    )
    held = np.array([[[0.5, 0.5, 0.0], [0.0, 0.25, 0.25]]])
    np.testing.assert_allclose(net_bps(held, flat, cost_bps=10.0)[0], [-5.0, -2.5, -5.0])


def test_the_member_that_knows_scores_above_the_one_that_errs() -> None:
    past = history()
    good, bad = np.zeros((1, 3, 2)), np.zeros((1, 3, 2))
    good[..., 0], bad[..., 1] = 1.0, 1.0
    assert score(good, past, RULES, 0.3)[0] > 0 > score(bad, past, RULES, 0.3)[0]


def test_a_proposal_is_proportions_and_its_variations_start_with_itself() -> None:
    config = {parameter(r, m): 0.2 + 0.1 * r for r in range(3) for m in MEMBERS}
    centre = proposal(config, MEMBERS)
    np.testing.assert_allclose(centre, 0.5)
    many = variations(centre, np.random.default_rng(0), 8)
    np.testing.assert_array_equal(many[0], centre)
    np.testing.assert_allclose(many.sum(axis=2), 1.0)
    assert len(np.unique(many[:, 0, 0])) == 8


def test_better_weights_stand_and_worse_do_not() -> None:
    past, settings = history(), load_settings(environ={})
    table, metrics = decide(np.tile([0.95, 0.05], (3, 1)), past, settings)
    assert table.version.startswith("tuned-")
    assert table.by_regime["calm"] == {"good": 0.95, "bad": 0.05}
    assert metrics["score"] > metrics["equal_score"]
    assert metrics["holdout_score"] > metrics["holdout_equal_score"]
    table, _ = decide(np.tile([0.05, 0.95], (3, 1)), past, settings)
    assert table.version.startswith("equal-")
    assert table.by_regime["trend"] == {"good": 0.5, "bad": 0.5}


def test_a_regime_that_never_occurred_keeps_equal_weights() -> None:
    past = history()
    past.regime[past.regime == REGIMES.index(Regime.TURBULENT)] = REGIMES.index(Regime.CALM)
    table, _ = decide(np.tile([0.95, 0.05], (3, 1)), past, load_settings(environ={}))
    assert table.by_regime["turbulent"] == {"good": 0.5, "bad": 0.5}
    assert table.by_regime["calm"]["good"] == 0.95


def test_history_survives_the_disk(tmp_path: pytest.TempPathFactory) -> None:
    past = history(30)
    past.save(tmp_path / "h.npz")
    again = History.load(tmp_path / "h.npz")
    assert again.members == past.members
    np.testing.assert_array_equal(again.mean_bps, past.mean_bps)
    np.testing.assert_array_equal(again.fresh, past.fresh)
