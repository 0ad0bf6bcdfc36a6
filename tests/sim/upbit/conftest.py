"""A simulated Upbit on loopback for every test that asks, a hand-written caller of its REST, and ccxt pointed at it."""

import base64
import hashlib
import hmac
import json
import uuid
from decimal import Decimal
from urllib.parse import unquote, urlencode

import aiohttp
import ccxt.pro
import numpy as np
import pytest

from core.params import CostSettings
from core.units import MINUTE_MS, Instrument
from exchanges.simulated.server import RunningServer, serve_exchange
from exchanges.simulated.tape import Tape
from exchanges.simulated.upbit.budget import Allowance
from exchanges.simulated.upbit.market import UpbitExchange
from exchanges.simulated.upbit.walk import krw_walk_tape

START = 1_767_225_600_000
BEGIN = START + 60 * MINUTE_MS
MARKETS = ("BTC/KRW", "DOGE/KRW", "USDT/KRW")
MONEY = {"KRW": Decimal(100_000_000), "BTC": Decimal(2)}
KEY, SECRET = "test-access-key", "test-secret-key"
AT_ONCE = CostSettings(latency=False, participation=False)
"""What is shown is what is met."""
UNHURRIED = Allowance(groups=dict.fromkeys(("order", "default", "market", "candle", "trade"), (1000, 1.0)))
"""For stories that are not of limits."""


def make_exchange(minutes: int = 180, costs: CostSettings = AT_ONCE, money=MONEY) -> UpbitExchange:
    return UpbitExchange(krw_walk_tape(MARKETS, START, minutes, seed=5), money, BEGIN, costs)


def flat_exchange(price: float, symbol: str = "BTC/KRW", minutes: int = 120, volume: float = 50.0, **money):
    """A market that stands at a price, so that what is tried is the price."""
    bars = np.tile([price, price, price, price, volume], (1, minutes, 1))
    tape = Tape((Instrument("upbit", symbol),), START, bars, synthetic=True)
    return UpbitExchange(tape, money or {"KRW": Decimal(100_000_000)}, BEGIN, AT_ONCE)


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def token(text: str = "", key: str = KEY, secret: str = SECRET, algorithm: str = "HS512", **claims) -> str:
    """A JSON web token made by hand; ``text`` is what the query hash is of. A claim of None is left out."""
    claims = {"access_key": key, "nonce": str(uuid.uuid4())} | claims
    if text:
        claims = {"query_hash": hashlib.sha512(text.encode()).hexdigest(), "query_hash_alg": "SHA512"} | claims
    claims = {name: value for name, value in claims.items() if value is not None}
    signed = ".".join(encoded(json.dumps(p).encode()) for p in ({"alg": algorithm, "typ": "JWT"}, claims))
    digest = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}.get(algorithm, hashlib.sha256)
    return f"{signed}.{encoded(hmac.new(secret.encode(), signed.encode(), digest).digest())}"


class Caller:
    """Calls the REST of one server, signed."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url
        self.headers: dict[str, str] = {}
        """Of the newest answer."""

    async def _call(self, method: str, path: str, text: str = "", body: dict | None = None, **headers):
        auth = {"Authorization": f"Bearer {token(text)}"} | headers
        url = f"{self.url}/v1/{path}"
        async with self.session.request(method, url, headers=auth, json=body) as answer:
            self.headers = dict(answer.headers)
            return answer.status, await answer.json()

    async def get(self, path: str, *lists: tuple[str, str], **params):
        query = urlencode([*params.items(), *lists])
        return await self._call("GET", f"{path}?{query}" if query else path, unquote(query))

    async def delete(self, path: str, *lists: tuple[str, str], **params):
        query = urlencode([*params.items(), *lists])
        return await self._call("DELETE", f"{path}?{query}" if query else path, unquote(query))

    async def post(self, path: str, **body):
        return await self._call("POST", path, "&".join(f"{k}={v}" for k, v in body.items()), body)

    async def order(self, **body) -> dict:
        """A new order that must be taken, as it stands afterwards."""
        status, answer = await self.post("orders", **({"market": "KRW-BTC"} | body))
        assert status == 201, answer
        status, found = await self.get("order", uuid=answer["uuid"])
        assert status == 200
        return found

    async def refused(self, **body) -> tuple[int, str]:
        """Status and name of what an order is refused with."""
        status, answer = await self.post("orders", **({"market": "KRW-BTC"} | body))
        return status, answer.get("error", {}).get("name", f"taken: {answer}")


async def serve(exchange, **how) -> RunningServer:
    return await serve_exchange(exchange, credentials={KEY: SECRET}, venue="upbit", **({"allowance": UNHURRIED} | how))


@pytest.fixture
async def server():
    """In lockstep."""
    running = await serve(make_exchange())
    yield running
    await running.close()


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


@pytest.fixture
def api(server, http):
    return Caller(http, server.url)


def point(client, server: RunningServer):
    """Point a ccxt client at the simulator by URL alone."""
    client.urls["api"]["public"] = client.urls["api"]["private"] = server.url
    if "ws" in client.urls["api"]:
        client.urls["api"]["ws"] = server.stream_url
    return client


@pytest.fixture
async def client(server):
    """Unmodified ccxt.pro (its REST half is ccxt.async_support)."""
    made = point(ccxt.pro.upbit({"apiKey": KEY, "secret": SECRET}), server)
    yield made
    await made.close()


async def advance(server: RunningServer, to_ms: int) -> None:
    async with server.state.lock:
        await server.state.advance(to_ms)
