"""`config diff` and `config check`: no key without its meaning, and no change that allows more goes unsaid."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

from config import config_command, keys
from config.changes import changes, claim, keep_change, keep_settings, kept_in, newest_kept, settings_at
from config.load import ROOT, load_settings
from config.meanings import LIMITS, MEANINGS, Way, flat, meaning_of, patterns
from config.money import in_money
from config.settings import Config, Settings
from core.errors import ConfigError
from core.params import ExecutionSettings, LiveSettings, RiskSettings, TradeSettings

NOW = load_settings(environ={})


def changed(*overrides: str) -> Settings:
    return load_settings(environ={}, overrides=overrides)


def effects(*overrides: str, old: Settings = NOW) -> dict[str, str]:
    return {c.key: c.effect for c in changes(flat(old), flat(changed(*overrides)), 5_000)}


def test_every_key_has_its_meaning_and_no_meaning_is_left_over():
    # A new key fails here until config/meanings.py says what it means and whether a higher value allows more.
    assert set(patterns()) == set(MEANINGS)


@pytest.mark.parametrize(
    ("section", "model"),
    [("risk", RiskSettings), ("execution", ExecutionSettings), ("trade", TradeSettings), ("live", LiveSettings)],
)
def test_check_tells_of_every_limit(section, model):
    told = {key.partition(" ")[0] for _, key, _ in in_money(NOW, 5_000)}
    # An empty table limits nothing.
    limits = {
        name for name in model.model_fields if getattr(model.model_fields[name], "default_factory", None) is not dict
    }
    assert {f"{section}.{name}" for name in limits} <= told
    assert {key.split(".")[0] for key in told} == set(LIMITS)


def test_words_that_a_limit_may_hold_are_ranked():
    for key in patterns():
        root = "config" if key.split(".")[0] in Config.model_fields else "rules"
        kind = keys.walk(Settings, (root, *key.split(".")))
        if get_origin(kind) is Literal and MEANINGS[key].way in (Way.MORE, Way.LESS):
            assert set(get_args(kind)) == set(MEANINGS[key].ranks), key


@pytest.mark.parametrize(
    ("change", "effect"),
    [
        ("risk.max_order_pct=20", "more"),
        ("risk.max_order_pct=5", "less"),
        ("risk.collar_bps=60", "more"),
        ("selection.entry_edge_bps=10", "more"),
        ("selection.entry_edge_bps=30", "less"),
        ("trade.min_order_usdt=20", "more"),
        ("risk.on_loss_limit=hold", "more"),
        ("live.clean_days=1", "more"),
        ("live.starting_cap_usdt=100", "less"),
        ('trade.instruments=["binance:BTC/USDT"]', "less"),
        ('trade.instruments=["binance:BTC/USDT","binance:DOGE/USDT"]', "more"),
        ("risk.max_consecutive_losses=0", "more"),
        ("risk.max_consecutive_losses=3", "less"),
        ("risk.daily_loss_usdt=100", "less"),
        ("risk.cooldown_minutes=0", "more"),
        ("trade.capital_pct=50", "less"),
        ("execution.cost_gate=off", "more"),
        ("execution.slices=2", "either"),
        ("models.members.tcn.enabled=false", "either"),
        ("exchanges.binance.max_clock_offset_ms=5000", "more"),
        ("costs.fees=false", "test"),
        ("logs.keep=3", "none"),
    ],
)
def test_each_change_is_told_by_what_it_allows(change, effect):
    assert list(effects(change).values()) == [effect]


def test_a_limit_taken_away_allows_more():
    capped = changed("live.starting_cap_usdt=100")
    assert effects(old=capped) == {"live.starting_cap_usdt": "more"}


def test_money_is_that_of_the_change_alone():
    found = {c.key: c for c in changes(flat(NOW), flat(changed("risk.max_order_pct=20", "risk.collar_bps=60")), 5_000)}
    assert (found["risk.max_order_pct"].old_usdt, found["risk.max_order_pct"].new_usdt) == (500, 1_000)
    assert (found["risk.collar_bps"].old_usdt, found["risk.collar_bps"].new_usdt) == (3, 6)
    assert "10 % → 20 %" in found["risk.max_order_pct"].line()
    assert "500.00 → 1,000.00 USDT" in found["risk.max_order_pct"].line()


def test_percentages_are_of_what_the_bot_manages():
    half = changed("trade.capital_pct=50")
    assert {key.partition(" ")[0]: usdt for _, key, usdt in in_money(half, 5_000)}["risk.max_order_pct"] == 250
    little = changed("trade.capital_usdt=100")
    assert {key.partition(" ")[0]: usdt for _, key, usdt in in_money(little, 5_000)}["risk.max_order_pct"] == 10


def test_a_key_of_another_version_is_told_and_judged_by_nobody():
    old = {**flat(NOW), "risk.of_old": 1}
    del old["risk.collar_bps"]
    found = {c.key: (c.effect, c.old, c.new) for c in changes(old, flat(NOW), 5_000)}
    assert found == {"risk.of_old": ("either", "1", ""), "risk.collar_bps": ("either", "", "30 bps")}


def test_members_go_by_their_name_not_by_their_place():
    assert flat(NOW)["models.members.tcn.family"] == "tcn"
    assert meaning_of("models.members.tcn.family") is MEANINGS["models.members.*.family"]
    assert meaning_of("risk.unheard_of") is None


# Against what


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    config_command.arguments(parser)
    return config_command.main(parser.parse_args(words))


def leave(var: Path, folder: str, settings: Settings, mode: str, at_ms: int) -> Path:
    run_dir = var / folder
    run_dir.mkdir(parents=True)
    keep_settings(run_dir, settings, mode, run_dir.name, at_ms)
    return run_dir


def test_the_newest_paper_or_live_run_is_the_one_compared_with(tmp_path, capsys):
    leave(tmp_path, "runs/a", NOW, "paper", 1_000)
    leave(tmp_path, "live/live", changed("risk.max_order_pct=5"), "live", 2_000)
    leave(tmp_path, "runs/b", changed("risk.max_order_pct=1"), "replay", 3_000)
    assert newest_kept(tmp_path).name == "the live run live"
    assert newest_kept(tmp_path, ("paper",)).name == "the paper run a"
    assert run("diff", "--equity", "1000", "--set", f"var_dir={tmp_path}", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    effect = {c["key"]: (c["effect"], c["old_usdt"], c["new_usdt"]) for c in told["changes"]}
    assert effect == {"risk.max_order_pct": ("more", 50, 100), "var_dir": ("either", None, None)}
    assert run("diff", "--set", f"var_dir={tmp_path}", "--against", "a") == 0
    said = capsys.readouterr().out
    assert "Compared with the paper run a of 1970-01-01 00:00 UTC" in said
    assert "allows MORE" not in said


def test_folders_of_settings_and_files_are_compared_too(tmp_path, capsys):
    shutil.copytree(ROOT / "config", tmp_path / "old", ignore=shutil.ignore_patterns("*.py", "api_keys.json"))
    rules = tmp_path / "old" / "trading_rules.json"
    rules.write_text(rules.read_text().replace('"max_order_pct": 10', '"max_order_pct": 9'))
    for named in (rules, rules.parent):
        assert run("diff", "--against", str(named), "--set", f"var_dir={NOW.config.var_dir}") == 0
        assert "risk.max_order_pct: 9 % → 10 %" in capsys.readouterr().out
    assert run("diff", "--against", str(ROOT / "config")) == 0
    assert "nothing has changed" in capsys.readouterr().out


def test_without_paper_or_live_the_last_replay_is_the_last_run(tmp_path, capsys):
    for name, most in (("20260101-000000-1", 3), ("20260102-000000-1", 5)):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        settings = changed(f"risk.max_order_pct={most}").model_dump(mode="json")
        (folder / "run.json").write_text(json.dumps({"settings": settings}), encoding="utf-8")
    assert run("diff", "--set", f"var_dir={tmp_path}") == 0
    said = capsys.readouterr().out
    assert "Compared with the replay run 20260102-000000-1" in said
    assert "risk.max_order_pct: 5 % → 10 %" in said


def test_a_run_is_compared_by_what_it_ended_with(tmp_path, capsys):
    run_dir = leave(tmp_path, "runs/a", NOW, "paper", 1_000)
    keep_change(run_dir, changed("trade.invest_pct=20").config.trade, 60_000)
    assert run("diff", "--set", f"var_dir={tmp_path}") == 0
    said = capsys.readouterr().out
    assert "Compared with the paper run a, with what changed in mid-run" in said
    assert "trade.invest_pct: 20 % → 30 %" in said
    assert kept_in(run_dir).settings["trade.invest_pct"] == 30, "who asks what it began with is told that"
    keep_settings(run_dir, NOW, "paper", "a", 2_000)
    assert kept_in(run_dir, at_end=True).settings["trade.invest_pct"] == 30, "another run begins anew"


def test_nothing_to_compare_with_is_said(tmp_path):
    with pytest.raises(ConfigError, match="there is no run in"):
        run("diff", "--set", f"var_dir={tmp_path}")
    with pytest.raises(ConfigError, match="--against nowhere"):
        settings_at(Path("nowhere"), tmp_path)
    with pytest.raises(ConfigError, match="belongs to 'config diff'"):
        run("check", "--against", "x")


def test_the_kept_settings_hold_no_password_and_a_damaged_file_counts_for_nothing(tmp_path):
    settings = changed("redis_url=redis://me:p-123456@host/0")
    run_dir = leave(tmp_path, "runs/a", settings, "paper", 1)
    assert "123456" not in (run_dir / "settings.json").read_text()
    (run_dir / "settings.json").write_text("{")
    assert kept_in(run_dir) is None
    assert newest_kept(tmp_path) is None


@pytest.mark.parametrize(("first", "second"), [("paper", "live"), ("live", "paper"), ("replay", "live")])
def test_paper_and_live_never_share_a_journal(tmp_path, first, second):
    run_dir = leave(tmp_path, "x", NOW, first, 1)
    claim(run_dir, first)
    with pytest.raises(ConfigError, match=f"holds a {first} run"):
        keep_settings(run_dir, NOW, second, "r", 2)
    assert kept_in(run_dir).mode == first
