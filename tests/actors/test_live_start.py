"""``run.py live`` up to its consent, against a served exchange: what it says, and every reason it refuses for."""

import argparse
import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from actors.runs.arming import bind_account
from actors.runs.findings import NotArmed
from actors.runs.only_one import AccountLock
from actors.runs.reach import ReachedAll
from actors.verbs import live_command
from config.changes import keep_settings
from config.load import load_settings
from core.errors import ConfigError
from core.standing import ClockReading
from core.starting_cap import CapState, StartingCap
from core.units import MINUTE_MS, Side
from data.records import RecordStore
from data.starting_caps import CapKeeper, read_cap
from exchanges.simulated.orders import OrderRequest, OrderType
from exchanges.simulated.server import serve_exchange
from tests.sim.conftest import BEGIN, KEY, SECRET, make_exchange
from tests.unit.test_starting_cap import minute

NOT_YET = {"models_missing", "no_paper_run", "no_proven_edge", "stale_lake"}
"""Of a folder in which nothing was done before."""


class Place:
    """A folder with settings, a simulated exchange, and a terminal at which nobody sits."""

    def __init__(self, folder: Path, server, monkeypatch, capsys) -> None:
        self.folder, self.server, self.capsys = folder, server, capsys
        self.var = folder / "var"
        self.live = self.var / "live" / "stand-in-live"
        (folder / "config").mkdir()
        trade = {"instruments": ["binance:BTC/USDT", "binance:ETH/USDT"]}
        exchange = {
            "rest_url": server.url,
            "stream_url": server.stream_url,
            "user_stream_url": server.ws_api_url,
            "recv_window_ms": 60_000,
        }
        config = {"trade": trade, "var_dir": str(self.var), "exchanges": {"binance": exchange}}
        (folder / "config" / "config.json").write_text(json.dumps(config))
        members = {"models": {"members": [{"name": "ridge", "family": "ridge"}]}}
        (folder / "config" / "trading_rules.json").write_text(json.dumps(members))
        (folder / "keys.json").touch(mode=0o600)
        (folder / "keys.json").write_text(json.dumps({"binance": {"api_key": KEY, "api_secret": SECRET}}))
        monkeypatch.setattr("actors.runs.only_one.tempfile.gettempdir", lambda: str(folder))

    def lock(self) -> AccountLock:
        return AccountLock()

    async def start(self, *words: str) -> tuple[set[str], str]:
        """The names of the reasons it refused for, and all it said."""
        parser = argparse.ArgumentParser()
        live_command.arguments(parser)
        where = ["--config-dir", str(self.folder / "config"), "--keys", str(self.folder / "keys.json")]
        try:
            await asyncio.to_thread(live_command.main, parser.parse_args([*where, *words]))
        except NotArmed as refused:
            return set(refused.names), self.capsys.readouterr().out
        raise AssertionError("it started")


@pytest.fixture
async def place(tmp_path, monkeypatch, capsys):
    running = await serve_exchange(make_exchange(), credentials={KEY: SECRET}, mode="speed", speed=1.0)
    yield Place(tmp_path, running, monkeypatch, capsys)
    await running.close()


async def test_it_says_what_would_be_traded_before_it_refuses(place):
    names, said = await place.start("--account", "1")
    assert names == NOT_YET
    for part in (
        "LIVE: no real money, the exchange is a simulator; account 1, instance live",
        "verdict on these settings: never judged",
        "trades: binance:BTC/USDT, binance:ETH/USDT",
        "key: trade YES, withdraw no, bound to IPs no",
        "starting cap: 25 % of trade.invest_pct",
        "3 more clean days in a row raise it to 50 %",
        "risk.daily_loss_pct = 5 %",
    ):
        assert part in said
    assert not place.live.exists()


async def test_orders_of_the_owner_and_what_they_lock_are_told(place):
    exchange = place.server.state.exchange
    for name, quantity in (("mine-1", "0.01"), ("mine-2", "0.02")):
        exchange.place(
            OrderRequest(
                instrument=exchange.instruments[0],
                side=Side.SELL,
                type=OrderType.LIMIT,
                quantity=Decimal(quantity),
                price=(exchange.top(0).ask * Decimal("1.1")).quantize(Decimal("0.01")),
                client_id=name,
            )
        )
    names, said = await place.start("--account", "1")
    assert names == NOT_YET
    assert "BTC, of it 0.03 locked in open orders" in said
    assert "2 open orders that are not the bot's: left alone" in said


async def test_a_wrong_secret_is_told_of_the_file_that_was_named(place):
    file = place.folder / "keys.json"
    file.write_text(json.dumps({"binance": {"api_key": KEY, "api_secret": "-----BEGIN PRIVATE KEY-----"}}))
    with pytest.raises(ConfigError) as refused:
        await place.start("--account", "1")
    assert str(file) in str(refused.value)
    assert "config/api_keys.json" not in str(refused.value)


async def test_the_cap_of_the_last_run_is_told(place):
    cap = StartingCap(load_settings(place.folder / "config", environ={}).config.live)
    keeper = CapKeeper(place.live, cap.settings)
    keeper.keep(
        StartingCap(cap.settings, CapState(steps=1, judged=BEGIN // 86_400_000, reason="3 clean days in a row"))
    )
    keeper.close()
    _, said = await place.start("--account", "1")
    assert "starting cap: 50 % of trade.invest_pct" in said
    assert "because 3 clean days in a row" in said


async def test_what_changed_since_the_last_live_run_is_told(place):
    place.live.mkdir(parents=True)
    old = load_settings(place.folder / "config", environ={}, overrides=["live.starting_cap_pct=10"])
    keep_settings(place.live, old, "live", "live-1", 1)
    _, said = await place.start("--account", "1")
    assert "changed since the live run live-1, allows MORE than before: live.starting_cap_pct: 10 % → 25 %" in said


async def test_each_fault_of_key_and_account_is_named(place):
    place.server.state.key_rights = frozenset({"withdraw"})
    bind_account(place.live, "77")
    names, _ = await place.start("--account", "12345678")
    assert names - NOT_YET == {"withdraw_right", "cannot_trade", "other_account", "wrong_account"}


async def test_a_clock_that_is_off_is_named(place, monkeypatch):
    reach_all = live_command.reach_all

    def off(*given):
        found = reach_all(*given)
        reading = ClockReading(offset_ms=4_000.0, round_trip_ms=5.0, within=False)
        return ReachedAll({venue: replace(part, offset=reading) for venue, part in found.parts.items()})

    monkeypatch.setattr(live_command, "reach_all", off)
    names, said = await place.start("--account", "1")
    assert names - NOT_YET == {"clock_off"}
    assert "its clock is +4000 ms from ours" in said


@pytest.mark.parametrize(
    ("text", "mode", "name"),
    [
        ('{"binance": {"api_key": "a", "api_secret": "b"}}', 0o644, "key_file_open"),
        ('{"binance": {"api_key": "a", "api_secret": "hush" "x"}}', 0o600, "key_file_wrong"),
        ('{"binance": {"api_key": "a"}}', 0o600, "key_file_wrong"),
        ('{"binance": {"api_key": 5, "api_secret": "b"}}', 0o600, "key_file_wrong"),
        ('{"binance": {"api_key": "a\\u0000b", "api_secret": "b"}}', 0o600, "key_file_wrong"),
        ("", 0o600, "key_file_wrong"),
        ("{}", 0o600, "no_keys"),
    ],
)
async def test_a_fault_of_the_key_file_is_named_before_anybody_is_asked(place, monkeypatch, text, mode, name):
    def asked(*_):
        raise AssertionError("the network was asked first")

    monkeypatch.setattr(live_command, "reach_all", asked)
    path = place.folder / "keys.json"
    path.write_text(text)
    path.chmod(mode)
    parser = argparse.ArgumentParser()
    live_command.arguments(parser)
    words = ["--config-dir", str(place.folder / "config"), "--keys", str(path), "--account", "1"]
    with pytest.raises(NotArmed) as refused:
        live_command.main(parser.parse_args(words))
    assert refused.value.names == (name,)
    assert ("chmod 600" in str(refused.value)) == (name != "key_file_wrong")
    assert "hush" not in str(refused.value)


async def test_a_second_bot_on_the_account_is_named(place):
    other = place.lock()
    assert other.take("binance", "1", place.server.url) == []
    names, _ = await place.start("--account", "1")
    other.release()
    assert names - NOT_YET == {"account_in_use"}
    assert (await place.start("--account", "1"))[0] == NOT_YET


async def test_records_later_than_the_exchanges_time_are_named(place):
    store = RecordStore(place.live / "records")
    store.append(replace(minute(0), minute=BEGIN + 1_000 * MINUTE_MS))
    store.close()
    names, _ = await place.start("--account", "1")
    assert names - NOT_YET == {"records_ahead"}


async def test_a_journal_of_paper_is_never_gone_on_from(place):
    place.live.mkdir(parents=True)
    keep_settings(place.live, load_settings(environ={}), "paper", "x", 1)
    with pytest.raises(ConfigError, match="holds a paper run, and live never"):
        await place.start("--account", "1")


async def test_a_cap_that_cannot_be_read_stops_the_start(place):
    place.live.mkdir(parents=True)
    (place.live / "starting_cap.sqlite").write_bytes(b"not a journal at all, but long enough to be one")
    with pytest.raises(Exception, match=r"starting_cap\.sqlite"):
        await place.start("--account", "1")


# Consent


class Terminal:
    def __init__(self, said: str | None) -> None:
        self.said = said

    def isatty(self) -> bool:
        return self.said is not None


@pytest.mark.parametrize(("said", "armed"), [("trade 77", True), ("yes", False), ("trade 78", False), (None, False)])
def test_only_the_phrase_that_names_the_account_arms(monkeypatch, capsys, said, armed):
    monkeypatch.setattr("sys.stdin", Terminal(said))
    monkeypatch.setattr("builtins.input", lambda _: said)
    account = SimpleNamespace(name="77", venue="binance")
    if armed:
        live_command._consent(Console(), [account], None)
        assert 'Type "trade 77"' in capsys.readouterr().out
        return
    with pytest.raises(NotArmed) as refused:
        live_command._consent(Console(), [account], None)
    assert refused.value.names == ("no_consent",)


@pytest.mark.parametrize("name", ["paper", "replay", "UPPER", "", "sevenish"])
def test_an_instance_never_bears_the_name_of_paper_or_replay(name, capsys):
    parser = argparse.ArgumentParser()
    live_command.arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--instance", name])
    assert "is not 1 to 6 of a-z0-9" in capsys.readouterr().err


# Where the cap is kept


def test_the_cap_outlives_the_process_and_every_change_stays(tmp_path):
    settings = load_settings(environ={}).config.live
    keeper = CapKeeper(tmp_path, settings)
    for steps in (1, 1, 2):
        keeper.keep(StartingCap(settings, CapState(steps=steps)))
    keeper.close()
    assert read_cap(tmp_path, settings).state.steps == 2
    assert read_cap(tmp_path / "absent", settings) == StartingCap(settings)
