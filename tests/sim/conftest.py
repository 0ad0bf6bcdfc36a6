"""A simulated exchange on loopback for every test that asks, and clients pointed at it."""

from decimal import Decimal

import ccxt
import ccxt.pro
import pytest

from core.params import CostSettings
from core.units import MINUTE_MS
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.rules import DEFAULT_COSTS
from exchanges.simulated.server import RunningServer, serve_exchange
from exchanges.simulated.walk import random_walk_tape

START = 1_767_225_600_000
BEGIN = START + 60 * MINUTE_MS
MONEY = {"USDT": Decimal(100_000), "BTC": Decimal(1)}
KEY, SECRET = "test-key", "test-secret"


def make_exchange(minutes: int = 180, costs: CostSettings = DEFAULT_COSTS) -> SimulatedExchange:
    tape = random_walk_tape(("BTC/USDT", "ETH/USDT"), START, minutes, seed=5)
    return SimulatedExchange(tape, tape.default_rules(costs), MONEY, BEGIN, costs=costs)


@pytest.fixture
async def server():
    """In lockstep, admitting the time of day as unmodified libraries stamp it."""
    running = await serve_exchange(make_exchange(), credentials={KEY: SECRET}, wall_ms=ccxt.Exchange.milliseconds)
    yield running
    await running.close()


def point(client, server: RunningServer):
    """Point a ccxt client at the simulator by URL alone; every other URL leads nowhere else."""

    def onto(urls):
        return {k: onto(v) for k, v in urls.items()} if isinstance(urls, dict) else f"{server.url}/unused"

    client.urls["api"] = onto(client.urls["api"])
    client.urls["api"]["public"] = client.urls["api"]["private"] = server.url + "/api/v3"
    client.urls["api"]["sapi"] = server.url + "/sapi/v1"
    if "ws" not in client.urls["api"]:
        return client
    client.urls["api"]["ws"]["spot"] = server.stream_url + "/ws"
    client.urls["api"]["ws"]["ws-api"]["spot"] = server.ws_api_url
    return client


OPTIONS = {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False, "fetchCurrencies": False}


@pytest.fixture
async def client(server):
    """Unmodified ccxt.pro (its REST half is ccxt.async_support)."""
    made = point(ccxt.pro.binance({"apiKey": KEY, "secret": SECRET, "options": OPTIONS}), server)
    yield made
    await made.close()
