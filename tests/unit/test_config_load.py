"""Settings: what is read, what wins, and what each fault says."""

import argparse
import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from actors.verbs import halt_command, resume_command, status_command, stop_command
from config import keys
from config.load import ROOT, check_symbols, load_settings, resolve_var, var_of
from config.settings import Config, TradingRules
from core.errors import EXIT_CONFIG, ConfigError, NotRunning
from core.near_symbols import near_symbol


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("config.json", "trading_rules.json"):
        shutil.copy(ROOT / "config" / name, tmp_path / name)
    return tmp_path


def change(file: Path, **values: object) -> None:
    """Set top-level keys of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def fault(folder: Path, *overrides: str, environ: dict[str, str] | None = None) -> str:
    """The line that loading ends with; it is one line and exits with 4."""
    with pytest.raises(ConfigError) as caught:
        load_settings(folder, environ or {}, overrides)
    assert caught.value.exit_code == EXIT_CONFIG
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_committed_files_load_and_defaults_fill_in():
    settings = load_settings(environ={})
    assert settings.config.trade.min_order_usdt == Decimal(50)
    assert settings.config.trade.rows[0].symbol == "BTC/USDT"
    assert settings.rules.execution.unknown_requery_s == 2.0


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(folder):
    environ = {
        "MINUTEHAND__TRADE__INVEST_PCT": "20",
        "MINUTEHAND__RULES__RISK__COLLAR_BPS": "7",
        "MINUTEHAND__RISK__MAX_ORDER_PCT": "4",
        "MINUTEHAND__REDIS_URL": "unix:///run/redis.sock",
        "MINUTEHAND_VENV": "/not/a/setting",
        "PATH": "/bin",
    }
    settings = load_settings(folder, environ, ["trade.invest_pct=10", "logs.level=DEBUG"])
    assert settings.config.trade.invest_pct == 10
    assert settings.rules.risk.collar_bps == 7
    assert settings.rules.risk.max_order_pct == 4
    assert settings.config.redis_url == "unix:///run/redis.sock"
    assert settings.config.logs.level == "DEBUG"
    assert load_settings(folder, environ).config.trade.invest_pct == 20
    assert load_settings(folder, {}).config.trade.invest_pct == 30


def test_overrides_reach_list_entries_by_name_and_number_and_lists_take_commas(folder):
    settings = load_settings(
        folder,
        {"MINUTEHAND__MODELS__MEMBERS__1__DEADLINE_MS": "900"},
        ["models.members.ridge.enabled=false", "trade.instruments=binance:BTC/USDT, binance:ETH/USDT"],
    )
    ridge, tcn, *_ = settings.rules.models.members
    assert (ridge.enabled, tcn.deadline_ms) == (False, 900)
    assert settings.config.trade.instruments == ("binance:BTC/USDT", "binance:ETH/USDT")


def test_text_stays_text_even_when_it_looks_like_a_number(folder):
    assert load_settings(folder, {}, ["grafana.folder=2026"]).config.grafana.folder == "2026"
    assert load_settings(folder, {}, ["grafana.url=null"]).config.grafana.url is None


def test_the_folder_may_come_from_the_environment(folder):
    change(folder / "config.json", var_dir="elsewhere")
    settings = load_settings(environ={"MINUTEHAND_CONFIG_DIR": str(folder)})
    assert resolve_var(settings) == ROOT / "elsewhere"


def test_an_absolute_var_dir_stays(folder, tmp_path):
    assert resolve_var(load_settings(folder, {}, [f"var_dir={tmp_path}/var"])) == tmp_path / "var"


def test_no_section_stands_in_both_files():
    """Overrides without a file's name rely on it."""
    assert not set(keys.names(Config, ())) & set(keys.names(TradingRules, ()))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trade.invest_pct=250", "= 250: out of range; allowed: 0 to 100 per cent"),
        ("trade.invest_pct=NaN", "allowed: 0 to 100 per cent"),
        ("trade.invest_pct=true", "= true: must be a number, without quotes, 0 to 100 per cent"),
        ('trade.invest_pct="20"', '= "20": must be a number'),
        ("trade.invest_fraction=0.3", "the key is 'trade.invest_pct', in per cent"),
        ("trade.invest_bps=300", "the key is 'trade.invest_pct', in per cent"),
        ("trade.invest_percent=30", "the key is 'trade.invest_pct', in per cent"),
        ("trade.min_order=50", "the key is 'trade.min_order_usdt', in USDT"),
        ("risk.collar_pct=1", "the key is 'risk.collar_bps', in basis points"),
        ("trade.instrumets=1", "did you mean 'trade.instruments'?"),
        ("trade.max_order_pct=3", "did you mean 'risk.max_order_pct' in trading_rules.json?"),
        ("risk.redis_url=x", "did you mean 'redis_url' in config.json?"),
        ("trade.zzz=1", "known here: instruments, invest_pct, min_order_usdt"),
        ("tarde.invest_pct=1", "there is no section 'tarde'; did you mean 'trade'?"),
        ("exchanges.binanse.timeout_ms=900", "did you mean 'exchanges.binance'?"),
        ("logs.level=debug", 'did you mean "DEBUG"? allowed: "DEBUG", "INFO"'),
        ("models.members.0.family=rigde", 'did you mean "ridge"? allowed: "ridge", "tcn"'),
        ("models.members.rigde.enabled=false", "models.members has no entry 'rigde'; did you mean 'ridge'?"),
        ("models.members.9.enabled=false", "models.members has no entry '9'; entries: ridge, tcn"),
        ("models.members=[]", "needs at least 1 entry"),
        ("trade.instruments=binance:BTCUSDT", "'binance:BTCUSDT' is not venue:BASE/QUOTE, e.g. binance:BTC/USDT"),
        ('exchanges={"upbit":{}}', "exchanges has no 'binance'"),
        ("trade.instruments=binance:A/B,binance:A/B", "binance:A/B is listed twice"),
        ("execution.slices=9", "slices × slice_seconds is 135 s"),
        ("dashboard.port=70000", "allowed: 0 to 65,535"),
        ("dashboard=3", "must be an object { }"),
        ("logs.keep=2.5", "must be a whole number, without quotes, 1 to 100"),
        ("ray.address.host=x", "ray.address is a single value"),
        ("trade.invest_pct", "write it as key=value"),
    ],
)
def test_a_fault_names_key_value_and_the_near_right_one(folder, override, said):
    change(folder / "config.json", ray={"address": "local"})
    line = fault(folder, override)
    assert said in line
    assert line.startswith(f"--set {override.partition('=')[0]}")


def test_a_fault_names_where_the_value_came_from(folder):
    environ = {"MINUTEHAND__TRADE__INVEST_PCT": "250"}
    assert fault(folder, environ=environ).startswith(
        "environment MINUTEHAND__TRADE__INVEST_PCT: trade.invest_pct = 250"
    )
    change(folder / "config.json", redis_ulr="embedded")
    assert fault(folder) == f"{folder}/config.json: redis_ulr = \"embedded\": unknown key; did you mean 'redis_url'?"


def test_several_faults_are_counted_and_the_first_is_told(folder):
    change(folder / "trading_rules.json", risk={"max_order_pct": -1, "collar_bps": -1, "daily_loss_pct": 101})
    assert fault(folder).endswith(
        "risk.max_order_pct = -1: out of range; allowed: 0 to 100 per cent (and 2 more faults)"
    )


def test_a_missing_section_says_what_it_needs(folder):
    rules = json.loads((folder / "trading_rules.json").read_text())
    del rules["models"]
    (folder / "trading_rules.json").write_text(json.dumps(rules))
    assert "models is missing; an object with the keys members, horizon_minutes" in fault(folder)


def test_a_password_in_an_address_is_not_shown(folder):
    line = fault(folder, 'grafana={"url": "https://me:hunter2@host", "folder": 3}')
    assert "hunter2" not in line
    line = fault(
        folder, "dashboard.host=redis://:hunter2@host", "dashboard.port=x", "dashboard.extra=redis://:hunter2@host"
    )
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "trade": {},\n}', "line 3 column 1: a comma stands before the end of the list or object"),
        ('{\n  "trade": {"invest_pct" 30}\n}', "line 2 column 26: Expecting ':' delimiter"),
        ('{\n  // what to trade\n  "trade": {}\n}', "line 2 column 3: JSON has no comments"),
        ("", "the file is empty"),
        ("[1]", "must hold one object { }, not a list"),
        ('{"trade": {}, "trade": {}}', "the key 'trade' stands twice"),
        ('{"trade": {"invest_pct": NaN}}', "NaN is not a JSON number"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_broken_json_is_told_with_its_place(folder, text, said):
    (folder / "config.json").write_text(text)
    line = fault(folder)
    assert line.startswith(f"{folder}/config.json: ")
    assert said in line


def test_a_file_that_is_missing_or_not_text_says_so(folder):
    (folder / "config.json").write_bytes(b'{"trade": "\xff"}')
    assert "byte 11 is not UTF-8" in fault(folder)
    (folder / "config.json").unlink()
    assert "this folder has to hold config.json and trading_rules.json: copy them from config/" in fault(folder)
    (folder / "config.json").mkdir()
    assert "cannot be read" in fault(folder)


def test_a_folder_that_is_not_there_is_no_matter_of_git(tmp_path):
    said = fault(tmp_path / "nope")
    assert f"there is no folder {tmp_path / 'nope'} either: give --config-dir" in said
    assert "git" not in said


def test_an_editor_on_windows_may_put_a_byte_order_mark(folder):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text, encoding="utf-8-sig")
    assert load_settings(folder, {}).config.trade.invest_pct == 30


def test_a_symbol_no_exchange_lists_is_named_with_the_near_one(folder):
    listed = {"binance": {"BTC/USDT", "ETH/USDT", "BNB/USDT", "SOL/USDT", "XRP/USDT"}}
    check_symbols(load_settings(folder, {}), listed)
    for wrong, right in (("BTC/USTD", "BTC/USDT"), ("USDT/ETH", "ETH/USDT"), ("btc/usdt", "BTC/USDT")):
        settings = load_settings(folder, {}, [f"trade.instruments=binance:{wrong}"])
        with pytest.raises(ConfigError, match=f"binance lists no {wrong}; did you mean binance:{right}"):
            check_symbols(settings, listed)
    with pytest.raises(ConfigError, match="binance was not reached"):
        check_symbols(load_settings(folder, {}), {})


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("btc/usdt", "BTC/USDT"),
        ("USDT/ETH", "ETH/USDT"),
        ("BTC/EUR", "BTC/USDT"),
        ("ETH/KWR", "ETH/KRW"),
        ("ETHH/USDT", "ETH/USDT"),
        ("XPR/USDT", "XRP/USDT"),
        ("FOO/USDT", None),
        ("ETC/USDT", None),
        ("LUNA/BTC", None),
    ],
)
def test_a_symbol_is_suggested_only_where_it_is_close(wrong, meant):
    assert near_symbol(wrong, ("BTC/USDT", "ETH/USDT", "XRP/USDT", "ETH/KRW", "ETH/BTC")) == meant


@pytest.mark.parametrize(
    ("key", "value", "form"),
    [
        ("rest_url", "foo", "http://127.0.0.1:8500"),
        ("rest_url", "http://", "http://127.0.0.1:8500"),
        ("rest_url", "http://127.0.0.1:99999", "http://127.0.0.1:8500"),
        ("rest_url", "http://127.0.0.1:8500/api/v3", "must end with the port"),
        ("rest_url", "ftp://127.0.0.1:8500", "http://127.0.0.1:8500"),
        ("rest_url", "http://127.0.0.1:8500?x=1", "more than an address"),
        ("stream_url", "http://127.0.0.1:8500/stream", "ws://127.0.0.1:8500/stream"),
        ("stream_url", "ws://127.0.0.1:8500", "ends too early"),
        ("user_stream_url", "ws://127.0.0.1 :8500/x", "ws://127.0.0.1:8500/stream"),
    ],
)
def test_an_address_of_an_exchange_is_judged_with_the_settings(folder, key, value, form):
    with pytest.raises(ConfigError) as told:
        load_settings(folder, {}, [f"exchanges.binance.{key}={value}"])
    assert (f'exchanges.binance.{key} = "{value}"' in str(told.value), form in str(told.value)) == (True, True), (
        told.value
    )


def test_who_looks_at_a_running_bot_finds_its_folder_though_the_file_was_broken(tmp_path, capsys):
    for name in ("config.json", "trading_rules.json"):
        shutil.copy(ROOT / "config" / name, tmp_path / name)
    args = argparse.Namespace(config_dir=tmp_path, overrides=[])
    path = tmp_path / "config.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    tree["trade"]["invest_pct"], tree["var_dir"] = "lots", str(tmp_path / "elsewhere")
    path.write_text(json.dumps(tree), encoding="utf-8")
    assert var_of(args) == tmp_path / "elsewhere"
    assert "trade.invest_pct" in capsys.readouterr().err
    args.overrides = [f"var_dir={tmp_path / 'named'}"]
    assert var_of(args) == tmp_path / "named"
    path.write_text("{", encoding="utf-8")
    args.overrides = []
    assert var_of(args) == (ROOT / "var").resolve()
    for verb in (status_command, stop_command, halt_command, resume_command):
        told = argparse.Namespace(**vars(args), json=False, timeout=1.0, reason="")
        told.overrides = [f"var_dir={tmp_path}"]
        with pytest.raises(NotRunning):
            verb.main(told)
