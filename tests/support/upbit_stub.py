"""A loopback server that answers as a test tells it to: the wire of Upbit without an exchange behind it."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections import defaultdict, deque
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

from aiohttp import WSMsgType, web

from config.settings import ExchangeSettings
from tests.support.binance_stub import Reply, Request

ACCESS_KEY = "xxxxxxxxACCESSxxxxxxxxKEYxxxxxxxx0001"
SECRET_KEY = "yyyyyyyySECRETyyyyyyyyKEYyyyyyyyy0002"

PRIVATE = re.compile(r"/v1/(accounts|orders?(/.*)?|api_keys|withdraws/.*)")


def refusal(name: str, message: str = "왜", status: int = 400, **headers: str) -> Reply:
    return Reply({"error": {"name": name, "message": message}}, status=status, headers=headers)


def claims_of(token: str) -> dict[str, str]:
    """The claims of a token signed with ``SECRET_KEY``; AssertionError when the signature does not hold."""
    text, _, signature = token.rpartition(".")
    head, body = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in text.split("."))
    assert head == {"alg": "HS512", "typ": "JWT"}
    meant = hmac.new(SECRET_KEY.encode(), text.encode(), hashlib.sha512).digest()
    assert base64.urlsafe_b64decode(signature + "==") == meant
    return body


class UpbitStub:
    """``async with UpbitStub() as stub``; script with ``stub.on``; look at ``stub.requests``.

    Every private request is checked as the venue checks it: token, access key, nonce never used before, and the hash
    of what was sent. What does not hold is listed in ``stub.forged``, which a test expects to stay empty.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.handshakes: list[dict[str, str]] = []
        self.inbox: list[list[dict[str, Any]]] = []
        """JSON messages clients sent over WebSocket."""
        self.greeting: list[Any] = []
        """Frames sent to every socket right after its subscription."""
        self.refuse_handshake: int = 0
        self.server_ms = 1_772_000_000_000
        self.forged: list[str] = []
        self.remaining = "group=default; min=1800; sec=29"
        self._nonces: set[str] = set()
        self._scripts: dict[tuple[str, str], deque[Reply]] = defaultdict(deque)
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.on("GET", "/v1/ticker", Reply([ticker()]))

    async def __aenter__(self) -> "UpbitStub":
        app = web.Application()
        app.router.add_get("/websocket/v1", self._socket)
        app.router.add_get("/websocket/v1/private", self._socket)
        app.router.add_route("*", "/{tail:.*}", self._rest)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        for socket in self.sockets:
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()
        await self._runner.cleanup()

    def settings(self, **changes: Any) -> ExchangeSettings:
        base = f"127.0.0.1:{self.port}"
        urls = {
            "rest_url": f"http://{base}",
            "stream_url": f"ws://{base}/websocket/v1",
            "user_stream_url": f"ws://{base}/websocket/v1/private",
            "timeout_ms": 2_000,
        }
        return ExchangeSettings(**{**urls, **changes})

    def on(self, method: str, path: str, *replies: Reply) -> None:
        """Answer the next requests like this; the last reply stays."""
        self._scripts[method, path] = deque(replies)

    def calls(self, method: str, path: str) -> list[Request]:
        return [r for r in self.requests if (r.method, r.path) == (method, path)]

    def tokens(self) -> list[str]:
        """Every token that was shown, over HTTP and at handshakes."""
        shown = [r.headers.get("Authorization", "") for r in self.requests]
        shown += [h.get("Authorization", "") for h in self.handshakes]
        return [text.removeprefix("Bearer ") for text in shown if text]

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        params = json.loads(body) if body else dict(request.query)
        raw = body or request.rel_url.raw_query_string
        self.requests.append(Request(request.method, request.path, params, dict(request.headers), raw))
        if PRIVATE.fullmatch(request.path):
            sent = "&".join(f"{k}={v}" for k, v in params.items()) if body else unquote(raw)
            self._check(request.headers.get("Authorization", ""), sent, request.path)
        script = self._scripts.get((request.method, request.path))
        if not script:
            reply = refusal("stub", f"nothing scripted for {request.method} {request.path}", status=500)
        else:
            reply = script.popleft() if len(script) > 1 else script[0]
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        if reply.drop:
            request.transport.abort()
            return web.Response()
        text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        headers = {
            "Date": formatdate(self.server_ms / 1_000, usegmt=True),
            "Remaining-Req": self.remaining,
        } | reply.headers
        return web.Response(text=text, status=reply.status, headers=headers, content_type=reply.content_type)

    def _check(self, authorization: str, sent: str, where: str) -> None:
        claims = claims_of(authorization.removeprefix("Bearer "))
        faults = []
        if claims["access_key"] != ACCESS_KEY:
            faults.append("access key")
        if claims["nonce"] in self._nonces:
            faults.append("nonce used")
        self._nonces.add(claims["nonce"])
        meant = hashlib.sha512(sent.encode()).hexdigest() if sent else None
        if claims.get("query_hash") != meant:
            faults.append(f"query hash of {sent!r}")
        self.forged += [f"{where}: {fault}" for fault in faults]

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self.handshakes.append(dict(request.headers))
        if self.refuse_handshake:
            name = "invalid_access_key" if self.refuse_handshake == 401 else "server_error"
            return web.json_response({"error": {"name": name, "message": "거절"}}, status=self.refuse_handshake)
        if request.path.endswith("/private"):
            self._check(request.headers.get("Authorization", ""), "", request.path)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self.inbox.append(json.loads(message.data))
                for frame in self.greeting:
                    await send(socket, frame)
        return socket

    async def say(self, *frames: Any) -> None:
        """Send to the newest socket, as the venue does: binary."""
        for frame in frames:
            await send(self.sockets[-1], frame)

    def cut(self) -> None:
        """Drop the newest connection without a word."""
        self.sockets[-1]._req.transport.abort()

    async def until(self, truth: Any, within_s: float = 5.0) -> None:
        """Wait for a condition of the test."""
        async with asyncio.timeout(within_s):
            while not truth():
                await asyncio.sleep(0.005)


async def send(socket: web.WebSocketResponse, frame: Any) -> None:
    await socket.send_bytes(frame if isinstance(frame, bytes) else json.dumps(frame).encode())


def ticker(**changes: Any) -> dict[str, Any]:
    """One row of /v1/ticker, shortened."""
    row = {"market": "KRW-BTC", "trade_price": 150_000_000.0, "trade_timestamp": 1_771_999_999_000}
    return row | {"timestamp": 1_771_999_999_100} | changes


def order_answer(**changes: Any) -> dict[str, Any]:
    """What the venue answers to a new order."""
    answer = {
        "uuid": "cdd92199-2897-4e14-9448-f923320408ad",
        "side": "bid",
        "ord_type": "limit",
        "price": "150000000",
        "state": "wait",
        "market": "KRW-BTC",
        "created_at": "2026-02-25T15:00:00+09:00",
        "volume": "0.001",
        "remaining_volume": "0.001",
        "executed_volume": "0",
        "reserved_fee": "75",
        "remaining_fee": "75",
        "paid_fee": "0",
        "locked": "150075",
        "trades_count": 0,
        "time_in_force": "ioc",
        "identifier": "mh-1",
        "smp_type": "cancel_taker",
        "prevented_volume": "0",
        "prevented_locked": "0",
    }
    return answer | changes


def filled_answer(**changes: Any) -> dict[str, Any]:
    """The same order asked about after two trades, its rest ended."""
    trades = [
        {"market": "KRW-BTC", "uuid": "t-2", "price": "149999000", "volume": "0.0002", "funds": "29999.8"},
        {"market": "KRW-BTC", "uuid": "t-1", "price": "150000000", "volume": "0.0005", "funds": "75000"},
    ]
    for second, trade in zip((2, 1), trades, strict=True):
        trade |= {"trend": "up", "side": "bid", "created_at": f"2026-02-25T15:00:0{second}+09:00"}
    ended = {"state": "cancel", "executed_volume": "0.0007", "remaining_volume": "0.0003"}
    return order_answer(**ended | {"paid_fee": "52.4999", "trades_count": 2, "trades": trades} | changes)
