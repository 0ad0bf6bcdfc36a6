"""A running bot follows what is changed in the file, a minute later; what it may not follow waits, and is told."""

import argparse
import json
import os
from dataclasses import replace

import pytest

from config.load import ROOT, load_settings
from config.watch import ConfigSource, TradeWatch
from core.params import RiskSettings
from core.risk import Risk
from core.units import MINUTE_MS
from tests.support.markets import BTC, intents, market, rules


@pytest.fixture
def folder(tmp_path):
    for name in ("config.json", "trading_rules.json"):
        (tmp_path / name).write_text((ROOT / "config" / name).read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def write(folder, **trade) -> None:
    path = folder / "config.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    tree["trade"].update(trade)
    path.write_text(json.dumps(tree), encoding="utf-8")
    # A file written twice within the file system's tick still counts as changed.
    stamp = path.stat().st_mtime_ns + 1_000_000
    os.utime(path, ns=(stamp, stamp))


def watch(folder, **more) -> TradeWatch:
    source = ConfigSource(folder=folder, **more)
    watching = TradeWatch(source, source.load().config.trade)
    assert watching.look() is None, "nothing has changed yet"
    return watching


def test_a_change_of_invest_pct_is_taken_over_at_the_next_look(folder):
    watching = watch(folder)
    write(folder, invest_pct=20)
    change = watching.look()
    assert change is not None
    assert change.lines == ("trade.invest_pct 30 → 20",)
    assert change.trade.invest_pct == 20
    assert watching.look() is None, "told once"


def test_the_next_minutes_sizes_follow(folder):
    watching = watch(folder)
    trade = load_settings(folder, {}).config.trade
    desk = Risk(trade, RiskSettings(max_order_pct=50, max_position_pct=50), {BTC: rules(BTC)})
    now = market((BTC,))
    (before,) = desk.review(now, intents(now, (1.0,))).approved
    write(folder, invest_pct=15, max_pct={"binance:BTC/USDT": 12})
    change = watching.look()
    assert change is not None
    assert change.lines == ("trade.invest_pct 30 → 15", "trade.max_pct none → binance:BTC/USDT 12")
    desk.set_trade(change.trade)
    now = replace(now, minute=now.minute + MINUTE_MS, now_ms=now.now_ms + MINUTE_MS)
    (after,) = desk.review(now, intents(now, (1.0,))).approved
    assert before.arithmetic[0] == "target 1.0000 of 30% of 10000.00 = 3000.00"
    assert after.arithmetic[0] == "target 1.0000 of 15% of 10000.00 = 1500.00"
    assert float(after.quantity) * 100 == pytest.approx(1_200.0, abs=0.01)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "config.json"),
        (None, "config.json"),
        ({"invest_pct": 250}, "trade.invest_pct = 250: out of range"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing_and_is_told(folder, text, said):
    watching = watch(folder)
    if text is None:
        (folder / "config.json").unlink()
    elif isinstance(text, str):
        (folder / "config.json").write_text(text, encoding="utf-8")
    else:
        write(folder, **text)
    change = watching.look()
    assert change is not None
    (line,) = change.lines
    assert line.startswith("the new settings are not used, the old ones hold: ")
    assert said in line
    assert change.trade.invest_pct == 30
    assert change.refused
    assert watching.look() is None


def test_what_a_running_bot_may_not_follow_waits_for_a_restart(folder):
    watching = watch(folder)
    write(folder, instruments=["binance:BTC/USDT"], invest_pct=25)
    change = watching.look()
    assert change is not None
    assert change.lines == (
        "trade.invest_pct 30 → 25",
        "trade.instruments waits for a restart",
    )
    assert len(change.trade.instruments) == 5


def test_what_the_command_line_set_wins_over_the_file(folder):
    watching = watch(folder, overrides=("trade.invest_pct=10",))
    write(folder, invest_pct=20)
    assert watching.look() is None


def test_a_process_that_was_started_again_takes_over_what_its_forerunner_had(folder):
    planned = load_settings(folder, {}).config.trade
    write(folder, invest_pct=20)
    change = TradeWatch(ConfigSource(folder=folder), planned).look()
    assert change is not None
    assert change.trade.invest_pct == 20


def test_the_source_is_where_the_verb_found_its_settings(folder):
    args = argparse.Namespace(config_dir=folder, overrides=["trade.invest_pct=12"])
    source = ConfigSource.from_arguments(args, {"MINUTEHAND__TRADE__MIN_ORDER_USDT": "60", "HOME": "/x"})
    assert source.environ == {"MINUTEHAND__TRADE__MIN_ORDER_USDT": "60"}
    trade = source.load().config.trade
    assert (trade.invest_pct, trade.min_order_usdt) == (12, 60)


def test_the_same_fault_saved_again_is_told_once_and_mending_it_is_told(folder):
    watching = watch(folder)
    write(folder, invest_pct="lots")
    change = watching.look()
    assert change is not None
    assert all(part in change.lines[0] for part in ("config.json", "trade.invest_pct", "lots")), change.lines
    write(folder, invest_pct="lots", min_order_usdt=60)
    assert watching.look() is None
    write(folder, invest_pct=30, min_order_usdt=50)
    change = watching.look()
    assert change is not None
    assert change.lines == ("back to what holds, the files can be used again",)
    assert not change.refused


def test_the_file_of_the_rules_is_looked_at_too(folder):
    watching = watch(folder)
    path = folder / "trading_rules.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    tree["risk"]["max_order_pct"] = "much"
    path.write_text(json.dumps(tree), encoding="utf-8")
    change = watching.look()
    assert change is not None
    assert "trading_rules.json" in change.lines[0]
    assert "risk.max_order_pct" in change.lines[0]
    assert change.refused
    tree["risk"]["max_order_pct"] = 3
    path.write_text(json.dumps(tree, indent=1), encoding="utf-8")
    change = watching.look()
    assert change is not None
    assert change.lines == ("risk.max_order_pct waits for a restart",)
