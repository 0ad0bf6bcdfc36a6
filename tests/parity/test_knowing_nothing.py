"""The whole chain with learned members, on markets of which the truth is known: it stays out where nothing can be earned,
and trades what is there."""

from decimal import Decimal
from pathlib import Path

import pytest

from config.load import load_settings
from data.market import synthetic_source
from data.synthetic import SyntheticSpec, make_market, write_market
from tune.walkforward import Plan, Walked, run_walk_forward

pytestmark = pytest.mark.timeout(300)
SETTINGS = load_settings(
    environ={},
    overrides=[
        'trade.instruments=["binance:BTC/USDT","binance:ETH/USDT"]',
        'rules.models.members=[{"name":"ridge","family":"ridge"},{"name":"rules","family":"rules"},'
        '{"name":"lightgbm","family":"lightgbm","hyper":{"trees":60}},'
        '{"name":"tcn","family":"tcn","hyper":{"steps":60}},{"name":"gru","family":"gru","hyper":{"steps":60}},'
        '{"name":"patch","family":"patch","hyper":{"steps":60}}]',
    ],
)


def walk(tmp_path: Path, spec: SyntheticSpec, plan: Plan) -> Walked:
    write_market(make_market(spec), tmp_path / "synth" / spec.name)
    source = synthetic_source(tmp_path, spec.name)
    return run_walk_forward(source, SETTINGS, plan, tmp_path / "out" / spec.name, cash=Decimal(10_000))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_where_nothing_can_be_earned_all_families_stay_out(seed: int, tmp_path: Path) -> None:
    """With the rules as they are delivered: nothing is bought, and the word is none."""
    spec = SyntheticSpec(name=f"none-{seed}", seed=seed, days=4, edge="none", binance=("BTC", "ETH"), upbit=())
    walked = walk(tmp_path, spec, Plan(folds=1, candidates=1))
    assert len(walked.result.fills) == 0
    assert walked.verdict.word == "none", walked.verdict.reasons


def test_where_something_can_it_is_traded(tmp_path: Path) -> None:
    spec = SyntheticSpec(
        name="planted", seed=0, days=8, edge="planted", edge_bps=150.0, binance=("BTC", "ETH"), upbit=()
    )
    walked = walk(tmp_path, spec, Plan(folds=1, candidates=1))
    assert len(walked.result.fills) > 20
    assert walked.result.equity[-1] > walked.result.cash
