"""``run.py sim --venue upbit`` as a process, and time that runs by itself."""

import argparse
import json
import signal
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from core.errors import ConfigError
from core.units import MINUTE_MS, Instrument
from exchanges.sim_command import arguments
from exchanges.sim_command import make_exchange as make_exchange_of
from exchanges.simulated.process import start_simulator
from exchanges.simulated.server import serve_exchange
from exchanges.simulated.tape import Tape
from tests.sim.upbit.conftest import BEGIN, START, Caller, make_exchange, serve, token
from tests.sim.upbit.test_streams import Listener, of

ROOT = Path(__file__).resolve().parents[3]


def fetch(url: str):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def test_the_built_in_market_trades_won_and_usdt_among_it():
    simulator = start_simulator(ROOT, ["--lockstep"], venue="upbit")
    try:
        assert simulator.user_stream == simulator.stream + "/private"
        markets = fetch(f"{simulator.rest}/v1/market/all")
        assert [m["market"] for m in markets] == ["KRW-BTC", "KRW-ETH", "KRW-USDT"]
        (row,) = fetch(f"{simulator.rest}/v1/candles/minutes/1?market=KRW-USDT")
        assert row["trade_price"] % 0.5 == 0
        asked = urllib.request.Request(
            f"{simulator.rest}/v1/accounts",
            headers={"Authorization": f"Bearer {token(key=simulator.api_key, secret=simulator.secret)}"},
        )
        assert [(r["currency"], r["balance"]) for r in fetch(asked)] == [("KRW", "10000000")]
        assert fetch(f"{simulator.rest}/sim/state")["venue"] == "upbit"
    finally:
        simulator.close()
    assert simulator.process.returncode == 128 + signal.SIGTERM


def tape(path: Path, *markets: str) -> Path:
    bars = np.tile([1_000.0, 1_010, 990, 1_005, 50_000], (len(markets), 90, 1))
    Tape(tuple(Instrument.parse(m) for m in markets), START, bars).save(path)
    return path


def asked_for(*words: str) -> argparse.Namespace:
    """The arguments of a simulated Upbit, as its command reads them."""
    parser = argparse.ArgumentParser()
    arguments(parser)
    return parser.parse_args(["--venue", "upbit", *words])


def test_of_a_tape_the_markets_of_the_venue_are_served(tmp_path):
    mixed = tape(tmp_path / "mixed.npz", "binance:XRP/USDT", "upbit:XRP/KRW")
    exchange = make_exchange_of(asked_for("--tape", str(mixed), "--balances", "KRW=5000"), 0)
    assert exchange.instruments == (Instrument("upbit", "XRP/KRW"),)
    assert exchange.account.free("KRW") == 5_000


def test_a_tape_without_the_venues_markets_is_named(tmp_path):
    other = tape(tmp_path / "other.npz", "binance:XRP/USDT")
    with pytest.raises(ConfigError, match="has none of its markets, only binance:XRP/USDT"):
        make_exchange_of(asked_for("--tape", str(other)), 0)


async def test_time_that_runs_by_itself_sends_frames(http):
    server = await serve(make_exchange(), mode="speed", speed=60.0)
    try:
        async with http.ws_connect(server.stream_url) as socket:
            stream = Listener(socket)
            await stream.ask(of("candle.1m", is_only_realtime=True))
            seen = [await stream.next() for _ in range(8)]
        minutes = [frame["candle_date_time_utc"] for frame in seen]
        assert minutes == sorted(minutes)
        assert minutes[0] >= "2026-01-01T01:00:00"
        status, (row,) = await Caller(http, server.url).get("candles/minutes/1", market="KRW-BTC")
        assert status == 200
        assert row["candle_date_time_utc"] >= minutes[-1]
    finally:
        await server.close()


async def test_a_venue_without_a_wire_is_refused():
    with pytest.raises(ConfigError, match="there are binance, upbit"):
        await serve_exchange(make_exchange(), venue="kraken")


async def test_an_address_that_is_not_served_says_so(server, http):
    async with http.get(f"{server.url}/v1/candles/decades?market=KRW-BTC") as answer:
        assert answer.status == 404
        error = (await answer.json())["error"]
        assert (error["name"], "GET /v1/candles/decades is not served here" in error["message"]) == ("not_found", True)
    async with http.post(f"{server.url}/sim/advance", json={"to_ms": BEGIN + MINUTE_MS}) as answer:
        assert await answer.json() == {"now_ms": BEGIN + MINUTE_MS, "ended": False}


async def test_a_deposit_shows_in_the_account(server, api, http):
    async with http.post(f"{server.url}/sim/transfer", json={"asset": "USDT", "amount": "12.5"}) as answer:
        assert answer.status == 200
    _, rows = await api.get("accounts")
    assert {r["currency"]: r["balance"] for r in rows}["USDT"] == "12.5"
