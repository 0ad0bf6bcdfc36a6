"""The word is right where the truth is known: `edge` on a planted edge, `none` where nothing can be earned."""

from decimal import Decimal
from pathlib import Path

import pytest

from config.load import load_settings
from config.settings import Settings
from data.market import synthetic_source
from data.synthetic import SyntheticSpec, make_market, write_market
from tune.walkforward import Plan, Walked, run_walk_forward

pytestmark = pytest.mark.timeout(300)
SEEDS = 20
MOST_WRONG = 1
INSTRUMENTS = 'trade.instruments=["binance:BTC/USDT","binance:ETH/USDT"]'
MEMBERS = 'rules.models.members=[{"name":"ridge","family":"ridge"},{"name":"rules","family":"rules"}]'
EAGER = (
    "selection.entry_edge_bps=0.05",
    "selection.exit_edge_bps=0",
    "selection.full_edge_bps=1",
    "execution.cost_gate=off",
)
"""Trades on the faintest forecast: where there is nothing to find, a cautious bot would just do nothing."""


def walk(tmp_path: Path, settings: Settings, plan: Plan, spec: SyntheticSpec) -> Walked:
    root = tmp_path / "synth" / spec.name
    write_market(make_market(spec), root)
    source = synthetic_source(tmp_path, spec.name)
    return run_walk_forward(source, settings, plan, tmp_path / "out" / spec.name, cash=Decimal(10_000))


def test_a_planted_edge_is_found(tmp_path: Path) -> None:
    settings = load_settings(environ={}, overrides=[INSTRUMENTS, MEMBERS])
    spec = SyntheticSpec(
        name="planted", seed=0, days=20, edge="planted", edge_bps=150.0, binance=("BTC", "ETH"), upbit=()
    )
    walked = walk(tmp_path, settings, Plan(folds=2, candidates=4, first_share=0.25), spec)
    assert walked.verdict.word == "edge", walked.verdict.reasons
    assert walked.trials == 5, "four candidates and the run itself"
    assert walked.verdict.figures["pbo"] is not None
    assert walked.result.costs.fees > 0.0


def test_where_nothing_can_be_earned_the_word_is_none(tmp_path: Path) -> None:
    settings = load_settings(environ={}, overrides=[INSTRUMENTS, MEMBERS, *EAGER])
    words, traded = [], 0
    for seed in range(SEEDS):
        spec = SyntheticSpec(name=f"none-{seed}", seed=seed, days=5, edge="none", binance=("BTC", "ETH"), upbit=())
        walked = walk(tmp_path, settings, Plan(folds=2, candidates=3), spec)
        words.append(walked.verdict.word)
        traded += len(walked.result.fills) > 0
    assert words.count("none") >= SEEDS - MOST_WRONG, words
    assert "edge" not in words
    # Else it would be silence that is judged.
    assert traded >= SEEDS // 4
