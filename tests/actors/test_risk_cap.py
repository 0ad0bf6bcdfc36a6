"""Risk as an actor keeps the starting cap of live trading: over a restart, and for nobody but live."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest

from actors.plan import RunPlan
from actors.risk import RiskActor
from config.load import load_settings
from core.starting_cap import LiveDay
from core.units import DAY_MS
from data.starting_caps import JOURNAL, read_cap
from tests.support.markets import BTC, ETH, SOL, intents, market, rules

ROWS = (BTC, ETH, SOL)
SETTINGS = load_settings(environ={}, overrides=["live.clean_days=1", "live.clean_day_minutes=1"])
SEEN = market(ROWS, mids=(100.0, 50.0, 20.0), held=(0.0, 0.0, 0.0))
NAN = float("nan")


@pytest.fixture
def born(tmp_path, monkeypatch):
    """Actors of one run's folder; the executor, whom risk asks for the markets' rules, is this test."""
    known = {instrument: rules(instrument) for instrument in ROWS}
    executor = SimpleNamespace(rules=SimpleNamespace(remote=lambda: known))
    monkeypatch.setattr("actors.risk.ray", SimpleNamespace(get_actor=lambda *_, **__: executor, get=lambda v, **__: v))
    handlers = list(logging.getLogger().handlers)
    made = []

    def bear(mode="live") -> RiskActor:
        # The one before it has died, and holds its files no longer.
        for actor in made:
            actor._journal.close()
            if actor._caps is not None:
                actor._caps.close()
        made.clear()
        plan = RunPlan(
            run_id="r",
            mode=mode,
            settings=SETTINGS,
            root=tmp_path,
            run_dir=tmp_path / mode,
            log_dir=tmp_path / "logs",
            artifacts_dir=tmp_path,
            redis_url="",
            keys_path=tmp_path / "keys",
            instance="live",
            clock="wall",
        )
        plan.run_dir.mkdir(exist_ok=True)
        made.append(RiskActor(plan))
        made[-1].start()
        return made[-1]

    yield bear
    for actor in made:
        actor._journal.close()
        if actor._caps is not None:
            actor._caps.close()
    logging.getLogger().handlers[:] = handlers


def size(actor: RiskActor, seen=SEEN) -> tuple[str, ...]:
    (order,) = actor.review(seen, intents(seen, (0.3, NAN, NAN))).approved
    return order.arithmetic


def test_the_cap_that_clean_days_raised_outlives_the_actor(born):
    first = born()
    assert size(first)[0] == "starting cap 25% of 30% = 7.5%"
    said = first.day_over(LiveDay(day=SEEN.minute // DAY_MS, minutes=1, fills=1))
    assert said.startswith("starting cap: 50 % of trade.invest_pct")
    again = born()
    assert again.health()["starting_cap"] == said
    assert size(again)[0] == "starting cap 50% of 30% = 15%"


def test_a_breach_takes_the_steps_back_before_the_verdict_leaves(born, tmp_path):
    actor = born()
    actor.day_over(LiveDay(day=SEEN.minute // DAY_MS, minutes=1, fills=1))
    actor.review(SEEN, intents(SEEN, (NAN, NAN, NAN)))
    poorer = replace(SEEN, equity=SEEN.equity * 0.9)
    actor.review(poorer, intents(poorer, (NAN, NAN, NAN)))
    kept = read_cap(tmp_path / "live", SETTINGS.config.live)
    assert (kept.level_pct, kept.state.steps) == (25, 0)
    assert "daily_loss_pct" in kept.state.reason


def test_paper_has_no_cap(born, tmp_path):
    actor = born("paper")
    assert size(actor)[0].startswith("target 0.3000 of 30% of")
    assert "starting_cap" not in actor.health()
    assert not (tmp_path / "paper" / JOURNAL).exists()
