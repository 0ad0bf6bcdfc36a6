"""What people are told of the limits: at the start, and by ``status``."""

import argparse
import re
from dataclasses import asdict

import pytest

from actors.limits import Standing, folders_of, rooms, standings, venue_gate
from actors.verbs import doctor_checks, status_command
from config.settings import ExchangeSettings
from core.errors import ConfigError, NotRunning
from core.units import Instrument
from exchanges.limits import Priority
from exchanges.limits.tables import binance_costs


def coins(venue: str, quote: str, count: int) -> tuple[Instrument, ...]:
    return tuple(Instrument(venue, f"C{n}/{quote}") for n in range(count))


def test_status_shows_what_is_used_who_waits_and_a_pause(tmp_path):
    gate = venue_gate(tmp_path, "binance", ExchangeSettings())
    assert gate.shared
    gate.look(lambda line, now: line.counters["weight"].finish(now, now, 4_000, 0, None))
    gate.look(lambda line, now: line.enter(now, 1, Priority.HISTORY, binance_costs(2)))
    gate.look(lambda line, now: line.turned_away(now, 418, 300.0))
    (standing,) = standings(folders_of(tmp_path, "run-1"))
    weight = standing.spending[0]
    assert (weight.name, weight.limit, weight.known) == ("weight", 6_000, False)
    assert weight.used >= 4_000
    assert (standing.waiting, standing.refusals) == ({"history": 1}, 1)
    assert standing.paused[""] == pytest.approx(300, abs=5)
    first, second = standing.words()
    assert "of 6,000 (assumed)" in first
    assert "waiting: 1 history; turned away 1 times" in first
    assert "asked for a pause (everything)" in second
    assert asdict(standing)["venue"] == "binance"


def test_a_simulator_has_a_line_of_its_own(tmp_path):
    assert not venue_gate(tmp_path, "upbit", ExchangeSettings(rest_url="http://127.0.0.1:1")).shared
    assert standings(folders_of(tmp_path, "run-1")) == []


def test_nothing_used_says_so():
    (line,) = Standing("upbit", "the exchange itself", (), {}, {}, 0).words()
    assert "waiting: nobody" in line


def test_too_many_symbols_are_refused_before_anything_starts():
    assert [room.most for room in rooms((*coins("binance", "USDT", 50), *coins("upbit", "KRW", 20)))] == [512, 300]
    with pytest.raises(ConfigError, match=r"301 symbols at upbit.*allow 300.*take out 1$"):
        rooms(coins("upbit", "KRW", 301))


def test_the_doctor_says_how_many_fit():
    told = doctor_checks.limits(coins("binance", "USDT", 50), "binance").text
    assert told.startswith("50 of at most 512 symbols")
    assert told.endswith("(on paper 256); 100 new orders in 10 s")
    assert doctor_checks.limits(coins("binance", "USDT", 300), "binance").state == "warn"
    assert doctor_checks.limits(coins("binance", "USDT", 600), "binance").state == "fail"
    # Also of one that nothing is traded at yet.
    assert doctor_checks.limits(coins("binance", "USDT", 50), "upbit").text.startswith("0 of at most 300 symbols")
    assert doctor_checks.limits((), "upbit").text.endswith("12 new orders in 1 s")


def test_status_without_a_bot_still_shows_what_a_download_spends(tmp_path, capsys):
    gate = venue_gate(tmp_path, "binance", ExchangeSettings())
    gate.look(lambda line, now: line.counters["weight"].finish(now, now, 70, 0, None))
    args = argparse.Namespace(config_dir=None, overrides=[f"var_dir={tmp_path}"], json=False)
    with pytest.raises(NotRunning, match="no bot is running"):
        status_command.main(args)
    assert re.search(r"limits of binance \(the exchange itself\): weight [\d,]+ of 6,000", capsys.readouterr().out)
    with pytest.raises(NotRunning):
        status_command.main(argparse.Namespace(**{**vars(args), "json": True}))
    assert capsys.readouterr().out == ""
