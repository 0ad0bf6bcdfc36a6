"""`config show|check|schema`, run as the user runs them."""

import argparse
import json
import shutil
from pathlib import Path

import jsonschema
import pytest

from config import config_command, schema
from config.load import ROOT, load_settings
from config.money import doubts, in_money
from core.errors import ConfigError


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    config_command.arguments(parser)
    return config_command.main(parser.parse_args(words))


def test_show_prints_everything_but_secrets(tmp_path, capsys):
    keys = tmp_path / "api_keys.json"
    keys.touch(mode=0o600)
    keys.write_text(
        json.dumps(
            {"binance": {"api_key": "k-123456", "api_secret": "s-123456"}, "notification_urls": ["a://b-123456"]}
        )
    )
    assert run("show", "--keys", str(keys), "--set", "redis_url=redis://me:p-123456@host/0") == 0
    text = capsys.readouterr().out
    shown = json.loads(text)
    assert "123456" not in text
    assert shown["secrets"]["binance"]["api_key"] == "<secret>"
    assert shown["config"]["redis_url"] == "redis://me:…@host/0"
    assert shown["rules"]["risk"]["max_order_pct"] == 10
    assert shown["var"].endswith("var")


def test_check_tells_what_limits_mean_in_money(tmp_path, capsys):
    assert run("check", "--equity", "10,000", "--keys", str(tmp_path / "none")) == 0
    text = capsys.readouterr().out
    assert "one order is at most" in text
    assert "1,000.00 USDT   risk.max_order_pct = 10 %" in text
    assert "careful" not in text
    assert text.splitlines()[0].startswith("The settings are valid: no warnings.")
    assert "selection.entry_edge_bps = 25 bps of the largest order (1,000.00 USDT)" in text
    assert "active: buys up to 3,000.00 USDT in all (trade.invest_pct)" in text


def test_warnings_are_counted_first_and_the_smaller_of_two_limits_is_the_one_that_is_said(tmp_path, capsys):
    assert run("check", "--keys", str(tmp_path / "none"), "--set", "risk.max_gross_pct=10") == 0
    lines = capsys.readouterr().out.splitlines()
    warnings = [line for line in lines if line.startswith("  careful: ")]
    assert lines[0].startswith(f"The settings are valid: {len(warnings)} warning, see the end.")
    assert len(warnings) == 1
    assert "active: buys up to 1,000.00 USDT in all (risk.max_gross_pct), and sells" in lines
    assert run("check", "--equity", "100000", "--keys", str(tmp_path / "none")) == 0
    assert "25 bps of the largest order (5,000.00 USDT)" in capsys.readouterr().out, "risk.max_order_usdt holds first"


def test_check_tells_each_exchanges_money_its_least_order_and_the_gate_on_premiums(tmp_path, capsys):
    words = ("check", "--keys", str(tmp_path / "none"))
    both = 'trade.instruments=["binance:BTC/USDT","binance:ETH/USDT","upbit:BTC/KRW"]'
    assert run(*words, "--set", both, "--set", "rules.risk.max_premium_bps=300") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "binance: BTC/USDT, ETH/USDT; paid in USDT" in lines
    (upbit,) = [line for line in lines if line.startswith("upbit: ")]
    assert "paid in KRW, which the limits above count in USDT at the rate of upbit:USDT/KRW" in upbit
    assert upbit.endswith("the exchange takes no order below 5,000 KRW")
    assert any(line.startswith("premium: no BTC is bought where it costs 3.00% more") for line in lines)
    assert run(*words, "--set", 'trade.instruments=["binance:ETH/USDT","upbit:BTC/KRW"]') == 0
    assert "no coin is traded at both exchanges" in capsys.readouterr().out
    assert run(*words) == 0
    assert "\npremium: " not in capsys.readouterr().out


def test_check_as_json(tmp_path, capsys):
    assert run("check", "--json", "--equity", "400", "--keys", str(tmp_path / "none")) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["in_usdt"]["trade.invest_pct"] == 120.0
    assert [line.partition(":")[0] for line in said["states"][:3]] == ["active", "reducing", "halted"]
    assert "nothing can be traded" in said["warnings"][0]


def test_check_ends_with_one_line_when_something_is_wrong(tmp_path):
    with pytest.raises(ConfigError, match="allowed: 0 to 100 per cent"):
        run("check", "--set", "trade.invest_pct=250", "--keys", str(tmp_path / "none"))


@pytest.mark.parametrize("amount", ["0", "-5", "nan", "ten", "inf"])
def test_an_equity_that_is_none_is_a_usage_fault(amount):
    with pytest.raises(SystemExit, match="2"):
        run("check", f"--equity={amount}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("trade.invest_pct=0.3", "less than one per cent"),
        ("trade.invest_pct=0", "nothing will be bought"),
        ("trade.invest_pct=80", "above risk.max_gross_pct"),
        ("live.starting_cap_pct=5", "days without a trade do not raise the cap"),
        ("risk.max_order_pct=0.1", "nothing can be traded"),
        ("risk.max_order_usdt=20", "below trade.min_order_usdt = 50: nothing can be traded"),
        ("risk.max_order_pct=50", "above risk.max_position_pct"),
        ("risk.daily_loss_pct=0", "0 is not off: the first cent that is lost sells all"),
        ("risk.max_drawdown_pct=0", "100 is as good as off"),
        ("protection.take_profit_pct=0.05", "fees of 20 bps in and out leave nothing"),
        ("risk.max_order_pct=1", "one slice of the largest order is 33.33 USDT"),
        ("execution.algorithm=adaptive", "may cancel up to 295 orders a minute"),
        ("execution.algorithm=vwap", "is twap: the volume curve is of minutes"),
        ("selection.exit_edge_bps=25", "not below entry_edge_bps"),
        ("selection.full_edge_bps=12", "not above entry_edge_bps"),
        ('models.members=[{"name": "a", "family": "rules", "enabled": false}]', "nobody votes"),
    ],
)
def test_settings_that_are_allowed_but_hardly_meant(change, said):
    assert any(said in line for line in doubts(load_settings(environ={}, overrides=[change]), 10_000))


@pytest.mark.parametrize("key", ["risk.max_order_usdt", "risk.daily_loss_usdt"])
def test_limits_in_money_are_on_and_a_large_account_is_told_that_they_hold_first(key):
    shipped = load_settings(environ={})
    assert not any(key in line for line in doubts(shipped, 50_000))
    assert any(line.startswith(f"{key} = ") and "holds before" in line for line in doubts(shipped, 50_100))
    off = load_settings(environ={}, overrides=[f"{key}=null"])
    assert not any(key in line for line in doubts(off, 1e6))


def test_forecasts_that_never_pay_their_fees_are_doubted():
    dear = load_settings(environ={}, overrides=['trade.instruments=["upbit:ETH/BTC"]', "selection.full_edge_bps=40"])
    assert any("fees alone cost 50 bps" in line for line in doubts(dear, 10_000))


def test_the_shipped_settings_raise_no_doubt():
    assert doubts(load_settings(environ={}), 10_000) == []


def test_money_is_per_cent_of_the_equity():
    rows = {key.partition(" ")[0]: usdt for _, key, usdt in in_money(load_settings(environ={}), 2_000)}
    assert rows["risk.daily_loss_pct"] == 100.0
    assert rows["trade.min_order_usdt"] == 50.0


@pytest.mark.parametrize("name", schema.SCHEMAS)
def test_the_committed_schemas_are_those_of_the_types(name):
    committed = (ROOT / "config" / name).read_text(encoding="utf-8")
    assert committed == schema.text(schema.SCHEMAS[name]), "run: python3 run.py config schema"


def test_schema_writes_both_files(tmp_path, capsys):
    assert run("schema", "--config-dir", str(tmp_path)) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(schema.SCHEMAS)
    with pytest.raises(ConfigError, match="cannot be written"):
        run("schema", "--config-dir", str(tmp_path / "absent"))


@pytest.mark.parametrize("file", ["config.json", "trading_rules.json"])
def test_the_schemas_accept_the_shipped_files_and_refuse_faults(file):
    # jsonschema is what editors implement; pydantic is what we run.
    checker = jsonschema.Draft202012Validator(schema.generate(schema.SCHEMAS[file.replace(".json", ".schema.json")]))
    shipped = json.loads((ROOT / "config" / file).read_text(encoding="utf-8"))
    assert list(checker.iter_errors(shipped)) == []
    assert list(checker.iter_errors({**shipped, "surprise": 1})) != []


def test_descriptions_reach_the_editor():
    properties = schema.generate(schema.SCHEMAS["config.schema.json"])["$defs"]["TradeSettings"]["properties"]
    assert properties["invest_pct"]["description"].startswith("Gross exposure")


def test_example_command_lines_stay_valid(tmp_path, capsys):
    words = config_command.EXAMPLE.split()[3:]
    shutil.copytree(ROOT / "config", tmp_path / "config", ignore=shutil.ignore_patterns("*.py", "api_keys.json"))
    assert run(*words, "--config-dir", str(tmp_path / "config"), "--keys", str(tmp_path / "none")) == 0
    assert "2,000.00 USDT   trade.invest_pct = 20 %" in capsys.readouterr().out
    assert Path(ROOT / "config" / "api_keys.example.json").exists()
