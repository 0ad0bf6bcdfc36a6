"""Values that argparse can judge: what is allowed comes back typed, what is not is exit code 2 and says what is."""

import argparse
from decimal import Decimal

import pytest

from actors.verbs import live_command, paper_command, replay_command, stop_command
from config import config_command
from config.argument_types import amount, days, minute, minutes, number, whole, won
from core.units import MINUTE_MS
from data import data_command
from exchanges import sim_command
from tune import backtest_command, train_command, tune_command

VERBS = {
    "backtest": backtest_command,
    "config": config_command,
    "data": data_command,
    "live": live_command,
    "paper": paper_command,
    "replay": replay_command,
    "sim": sim_command,
    "stop": stop_command,
    "train": train_command,
    "tune": tune_command,
}


def read(verb: str, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"run.py {verb}", allow_abbrev=False)
    VERBS[verb].arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("replay --minutes -5", "argument --minutes: '-5' is not a whole number from 1 to 5,270,400"),
        ("replay --minutes 1.5", "argument --minutes: '1.5' is not a whole number from 1"),
        ("replay --days 0", "argument --days: '0' is not a number above 0, at most 3660"),
        ("replay --days 0.0001", "argument --days: '0.0001' days is less than a minute"),
        ("replay --days nan", "argument --days: 'nan' is not a number"),
        ("replay --days 1 --minutes 5", "argument --minutes: not allowed with argument --days"),
        ("replay --data x --market y", "argument --market: not allowed with argument --data"),
        ("replay --start yesterday", "argument --start: 'yesterday' is not a time like 2026-04-21T00:00"),
        ("replay --cash abc", "argument --cash: 'abc' is not an amount of USDT above 0"),
        ("replay --cash 0", "argument --cash: '0' is not an amount of USDT above 0"),
        ("replay --cash inf", "argument --cash: 'inf' is not an amount of USDT above 0"),
        ("replay --speed 0.5", "argument --speed: '0.5' is not a number from 1 to 1000"),
        ("replay --speed 60 --lockstep", "argument --lockstep: not allowed with argument --speed"),
        ("paper --minutes 0", "argument --minutes: '0' is not a whole number from 1"),
        ("paper --cash -3", "argument --cash: '-3' is not an amount"),
        ("live --minutes 0", "argument --minutes: '0' is not a whole number from 1"),
        ("live --instance Money", "argument --instance: 'Money' is not 1 to 6 of a-z0-9"),
        ("live --instance paper", "argument --instance: 'paper' is not 1 to 6 of a-z0-9, or is one of paper"),
        ("stop --timeout -1", "argument --timeout: '-1' is not a number from 0"),
        ("sim --port 70000", "argument --port: '70000' is not a whole number from 0 to 65,535"),
        ("sim --speed 0", "argument --speed: '0' is not a number above 0"),
        ("sim --minutes 0", "argument --minutes: '0' is not a whole number from 1"),
        ("sim --balances USDT=x", "argument --balances: 'USDT=x': write ASSET=AMOUNT"),
        ("sim --key-rights steal", "argument --key-rights: 'steal': known are trade, withdraw"),
        ("data synth x --days 0", "argument --days: '0' is not a whole number from 1 to 3,660"),
        ("data synth x --edge-bps -1", "argument --edge-bps: '-1' is not a number from 0 to 1000"),
        ("backtest --cash abc", "argument --cash: 'abc' is not an amount of USDT above 0"),
        ("replay --cash 90000000", "is not an amount of USDT above 0 (and below 90,000,000 in one exchange's account)"),
        ("replay --krw -1", "argument --krw: '-1' is not an amount of KRW above 0"),
        ("backtest --minutes -5", "argument --minutes: '-5' is not a whole number from 1"),
        ("train --days 0", "argument --days: '0' is not a number above 0"),
        ("train --market x --data y", "argument --data: not allowed with argument --market"),
        ("tune --trials 0", "argument --trials: '0' is not a whole number from 1 on"),
        ("tune --minutes 0", "argument --minutes: '0' is not a number above 0"),
        ("config check --equity none", "argument --equity: 'none' is not an amount of USDT above 0"),
    ],
)
def test_a_value_that_cannot_be_is_a_usage_error_that_says_what_can(words, said, capsys):
    with pytest.raises(SystemExit) as stop:
        read(*words.split())
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_values_come_typed_and_defaults_too():
    args = read("replay", "--days", "0.5", "--start", "2026-04-21T00:00")
    assert (args.days, args.minutes, args.cash, args.speed) == (0.5, None, Decimal(10_000), 60.0)
    assert read("paper").cash is None
    assert read("sim", "--balances", "USDT=5").balances == {"USDT": Decimal(5)}
    assert read("sim").key_rights == {"trade"}
    assert read("config", "--equity", "10,000").equity == 10_000


def test_the_ends_belong_to_what_is_allowed():
    assert (whole(0)("0"), whole(1, 3)("3"), number(1, 1000)("1"), minutes("1")) == (0, 3, 1.0, 1)
    assert number(0, 5, above=True)("5") == 5.0
    assert days("0.0007") == 0.0007
    assert amount("1_000.50") == Decimal("1000.50")
    assert won("100,000,000") == 100_000_000


def test_a_time_is_utc_unless_it_says_otherwise_and_names_its_minute():
    assert minute("1970-01-01T00:02:59") == 2 * MINUTE_MS
    assert minute("1970-01-01T09:01+09:00") == MINUTE_MS
