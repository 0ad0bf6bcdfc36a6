"""What stands between a bot and real money, asked of a served exchange: each reason by its name."""

import asyncio
import threading
import time
from decimal import Decimal as D

import pytest

from actors.runs.arming import (
    JournalState,
    ask_account,
    bind_account,
    find_keys,
    find_models,
    foreign_orders,
    judge_account,
    judge_paper,
    judge_past,
    read_past,
)
from actors.runs.findings import NotArmed
from actors.runs.reach import reach
from config.load import load_settings
from config.settings import ExchangeSettings
from core.errors import ConfigError, ExchangeUnavailable
from core.messages import PlaceOrder, TimeInForce
from core.orders import client_id
from core.units import Instrument, Side
from data.artifacts import ArtifactStore
from exchanges.binance.gateway import BinanceGateway
from exchanges.simulated.server import serve_exchange
from tests.sim.conftest import BEGIN, KEY, SECRET, make_exchange
from tests.support.binance_stub import BinanceStub
from tests.support.venue_stub import Reply

BTC, ETH = Instrument("binance", "BTC/USDT"), Instrument("binance", "ETH/USDT")
BOTH = (BTC, ETH)


@pytest.fixture
async def server():
    running = await serve_exchange(make_exchange(), credentials={KEY: SECRET})
    yield running
    await running.close()


def where(server) -> ExchangeSettings:
    return ExchangeSettings(
        rest_url=server.url, stream_url=server.stream_url, user_stream_url=server.ws_api_url, recv_window_ms=60_000
    )


async def ask(server, secret: str = SECRET):
    return await asyncio.to_thread(ask_account, where(server), (KEY, secret), BOTH, BEGIN)


def names(findings) -> list[str]:
    return [finding.name for finding in findings]


async def test_an_account_with_a_trading_key_is_fit_and_worth_what_it_holds(server, tmp_path):
    account, found = await ask(server)
    assert found == []
    price = server.state.exchange.market.bar(0, BEGIN - 60_000, BEGIN).close
    assert account.equity == pytest.approx(100_000 + price)
    assert judge_account(account, JournalState(), "live", tmp_path) == []


async def test_a_key_that_withdraws_or_may_not_trade_is_refused(server, tmp_path):
    server.state.key_rights = frozenset({"withdraw"})
    account, _ = await ask(server)
    found = judge_account(account, JournalState(), "live", tmp_path)
    assert names(found) == ["withdraw_right", "cannot_trade"]
    refused = NotArmed(found)
    assert (refused.exit_code, refused.names) == (4, ("withdraw_right", "cannot_trade"))
    assert "[withdraw_right] this key may withdraw" in str(refused)


async def test_a_wrong_secret_is_told_and_not_shown(server):
    account, found = await ask(server, "not-the-secret")
    assert account is None
    assert names(found) == ["keys_refused"]
    assert "not-the-secret" not in found[0].text


async def test_open_orders_of_another_run_are_named_and_those_of_people_are_not_ours(server, tmp_path):
    gateway = BinanceGateway(where(server), (KEY, SECRET), BOTH)
    other = client_id("other", "ens", BEGIN, "BTC/USDT", 0)
    try:
        for name in (other, "by-hand-1"):
            price = server.state.exchange.top(0).bid * D("0.9")
            order = PlaceOrder(
                client_id=name,
                intent_id="i",
                instrument=BTC,
                side=Side.BUY,
                quantity=D("0.001"),
                price=price.quantize(D("0.01")),
                time_in_force=TimeInForce.GTC,
            )
            await gateway.place(order)
    finally:
        await gateway.close()
    account, _ = await ask(server)
    assert set(account.open_orders) == {other, "by-hand-1"}
    found = judge_account(account, JournalState(), "live", tmp_path)
    assert names(found) == ["open_orders"]
    assert other in found[0].text
    assert "by-hand" not in found[0].text


def test_an_open_order_that_the_journal_knows_is_no_stranger():
    ours = client_id("live", "ens", BEGIN, "BTC/USDT", 0)
    assert foreign_orders([ours], JournalState(orders=frozenset({ours})), "live") == []
    assert foreign_orders([ours], JournalState(), "live") == [ours]
    assert foreign_orders([ours], JournalState(orders=frozenset({ours})), "two") == [ours]


async def test_a_folder_of_another_account_and_a_broken_journal_are_named(server, tmp_path):
    bind_account(tmp_path, "77")
    (tmp_path / "journal.sqlite").write_bytes(b"not a journal at all, but long enough to look like a file")
    past = read_past(tmp_path, load_settings(environ={}), "live")
    account, _ = await ask(server)
    assert names([*judge_account(account, past, "live", tmp_path), *judge_past(past)]) == [
        "other_account",
        "unreconciled",
    ]
    assert str(tmp_path) in past.fault


def test_keys_are_found_or_the_reason_is(tmp_path):
    path = tmp_path / "api_keys.json"
    assert names(find_keys(path, {})[1]) == ["no_keys"]
    path.write_text('{"binance": {"api_key": "kkkkkk", "api_secret": "ssssss"}}')
    path.chmod(0o644)
    assert names(find_keys(path, {})[1]) == ["key_file_open"]
    path.chmod(0o600)
    keys, found = find_keys(path, {})
    assert (found, keys.api_key.reveal()) == ([], "kkkkkk")


def test_models_and_paper_runs_that_are_missing_are_named(tmp_path):
    versions, found = find_models(ArtifactStore(tmp_path), load_settings(environ={}))
    assert (versions, names(found)) == ({}, ["models_missing"])
    assert "ridge, tcn, rules" in found[0].text
    assert names(judge_paper(tmp_path, "abc", stand_in=False, accepted=False)) == ["no_paper_run"]
    assert judge_paper(tmp_path, "abc", stand_in=False, accepted=True) == []


# Reaching the exchange


async def test_a_running_simulator_is_a_stand_in_with_its_own_clock():
    running = await serve_exchange(make_exchange(), mode="speed", speed=30.0)
    try:
        reached = await asyncio.to_thread(reach, where(running), BOTH)
    finally:
        await running.close()
    assert (reached.stand_in, reached.synthetic, reached.clock, reached.speed) == (True, True, "speed", 30.0)
    assert (reached.sim_url, reached.clock_fault(1_000)) == (running.url, "")


async def test_a_market_that_nobody_moves_is_refused(server):
    with pytest.raises(ConfigError, match="--speed"):
        await asyncio.to_thread(reach, where(server), BOTH)


def test_some_addresses_but_not_all_are_refused():
    with pytest.raises(
        ConfigError,
        match=r"exchanges\.binance\.user_stream_url is not set, but rest_url is http.* as run\.py sim prints them",
    ):
        reach(ExchangeSettings(rest_url="http://127.0.0.1:9", stream_url="ws://127.0.0.1:9/stream"), BOTH)


def test_an_exchange_that_is_away_is_named_with_what_to_do():
    nowhere = dict.fromkeys(("stream_url", "user_stream_url"), "ws://127.0.0.1:9/x") | {
        "rest_url": "http://127.0.0.1:9"
    }
    with pytest.raises(ExchangeUnavailable, match=r"cannot be reached at http://127.0.0.1:9: .*Is it running\?"):
        reach(ExchangeSettings(**nowhere), BOTH)


def test_a_resolver_that_does_not_answer_keeps_nobody_waiting(monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: answered.wait(60))
    monkeypatch.setattr("actors.runs.reach.PATIENCE_S", 0.2)
    streams = dict.fromkeys(("stream_url", "user_stream_url"), "ws://exchange.invalid:9/x")
    nowhere = streams | {"rest_url": "http://exchange.invalid:9"}
    began = time.monotonic()
    with pytest.raises(ExchangeUnavailable, match=r"no answer within 0.2 s"):
        reach(ExchangeSettings(**nowhere), BOTH)
    assert time.monotonic() - began < 30
    # Still asking, and no reason for the process to stay.
    asking = [thread for thread in threading.enumerate() if thread.name == "look up exchange.invalid"]
    assert asking
    assert all(thread.daemon for thread in asking)
    answered.set()


async def test_a_clock_that_is_off_is_measured_and_told():
    async with BinanceStub() as stub:
        for _ in range(4):
            stub.on("GET", "/api/v3/time", Reply({"serverTime": stub.server_ms}))
        reached = await asyncio.to_thread(reach, stub.settings(), BOTH)
    assert (reached.stand_in, reached.clock) == (False, "wall")
    assert "max_clock_offset_ms" in reached.clock_fault(1_000)


def test_advice_of_a_synthetic_market_names_it(tmp_path):
    _, found = find_models(ArtifactStore(tmp_path / "artifacts"), load_settings(environ={}), "demo")
    assert found[0].text.endswith("python3 run.py train --market demo")
