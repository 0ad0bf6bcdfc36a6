"""What risk keeps over a restart: the newest of each part, and no more written than what changed."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

from actors.plan import RunPlan
from actors.risk import RiskActor, in_parts, taken_up
from config.load import ROOT
from config.watch import ConfigSource
from core.messages import ClosedTrip, TradingState
from core.params import RiskSettings, TradeSettings
from core.risk import Risk, RiskState
from tests.support.markets import BTC, intents, market, rules


def desk() -> Risk:
    return Risk(TradeSettings(instruments=(str(BTC),)), RiskSettings(), {BTC: rules(BTC)})


def test_nothing_kept_is_a_fresh_state():
    assert taken_up([]) == (RiskState(), {})


def test_a_state_comes_back_from_its_parts_as_it_was():
    risk = desk()
    now = market((BTC,))
    trip = ClosedTrip(number=1, instrument=BTC, at_ms=now.minute, result_pct=-1.0)
    now = replace(now, account=replace(now.account, closed=(trip,)))
    risk.review(now, intents(now, (0.2,)))
    risk.halt("anna", "looking", 5)
    parts = in_parts(risk.state)
    entries = [("risk_history", b'{"history": []}'), *((kind, text.encode()) for kind, text in parts.items())]
    state, kept = taken_up(entries)
    assert state == risk.state
    assert kept == parts
    assert state.state is TradingState.HALTED
    assert state.guards["losses_in_a_row"] == 1


def test_a_quiet_minute_changes_the_small_part_alone():
    risk = desk()
    now = market((BTC,))
    risk.review(now, intents(now, (float("nan"),)))
    before = in_parts(risk.state)
    now = replace(now, minute=now.minute + 60_000, now_ms=now.now_ms + 60_000)
    risk.review(now, intents(now, (float("nan"),)))
    after = in_parts(risk.state)
    assert [kind for kind in after if after[kind] != before[kind]] == ["risk_state"]
    assert len(after["risk_state"]) < 500


def test_a_journal_of_the_first_version_is_taken_up():
    old = {name: value for name, value in RiskState().to_json().items() if name not in ("guards", "history")}
    for added in ("day_money", "orders_day", "orders_today"):
        del old[added]
    state, _ = taken_up([("risk_state", json.dumps(old | {"state": "halted"}).encode())])
    assert state.state is TradingState.HALTED


def invest(folder: Path, percent: int | str) -> None:
    tree = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tree["trade"] |= {"invest_pct": percent, "instruments": [str(BTC)]}
    (folder / "config.json").write_text(json.dumps(tree), encoding="utf-8")
    stamp = (folder / "config.json").stat().st_mtime_ns + 1_000_000 * (percent if isinstance(percent, int) else 99)
    os.utime(folder / "config.json", ns=(stamp, stamp))


def started(folder: Path) -> RiskActor:
    source = ConfigSource(folder=folder)
    plan = RunPlan(
        run_id="r",
        mode="replay",
        settings=source.load(),
        config_source=source,
        root=folder,
        run_dir=folder,
        log_dir=folder,
        artifacts_dir=folder,
        redis_url="",
        keys_path=folder / "keys.json",
        instance="one",
        clock="lockstep",
    )
    risk = RiskActor(plan)
    risk.take_up({BTC: rules(BTC)})
    return risk


def test_the_minute_after_invest_pct_was_changed_sizes_by_it_and_says_why(tmp_path: Path) -> None:
    for name in ("config.json", "trading_rules.json"):
        shutil.copy(ROOT / "config" / name, tmp_path / name)
    invest(tmp_path, 10)
    risk = started(tmp_path)
    now = market((BTC,))
    first = risk.review(now, intents(now, (0.8,)))
    invest(tmp_path, 20)
    later = replace(now, minute=now.minute + 60_000, now_ms=now.now_ms + 60_000)
    second = risk.review(later, intents(later, (0.8,)))
    again = replace(later, minute=later.minute + 60_000, now_ms=later.now_ms + 60_000)
    third = risk.review(again, intents(again, (0.8,)))
    assert [v.settings for v in (first, second, third)] == [(), ("trade.invest_pct 10 → 20",), ()]
    said = [v.approved[0].arithmetic[0] for v in (first, second, third)]
    assert said == ["target 0.8000 of 10% of 10000.00 = 800.00"] + ["target 0.8000 of 20% of 10000.00 = 1600.00"] * 2
    assert second.approved[0].quantity > first.approved[0].quantity
    assert "trading is active" in risk.health()["trading"][0]
    told = risk.health()["settings"]
    assert (told["minute"], told["lines"], told["refused"]) == (later.minute, ["trade.invest_pct 10 → 20"], False)
    assert json.loads((tmp_path / "changed.json").read_text())["trade"]["invest_pct"] == 20
    invest(tmp_path, "lots")
    last = replace(again, minute=again.minute + 60_000, now_ms=again.now_ms + 60_000)
    (line,) = risk.review(last, intents(last, (0.8,))).settings
    assert "trade.invest_pct" in line
    assert risk.health()["settings"] == {"minute": last.minute, "lines": [line], "refused": True}
