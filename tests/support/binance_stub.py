"""A loopback server that answers as a test tells it to: the wire of Binance spot without an exchange behind it."""

import asyncio
import json
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from config.settings import ExchangeSettings

API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
"""The example pair of Binance's public documentation."""


@dataclass
class Reply:
    """One scripted answer."""

    body: Any = None
    """JSON value, or a str sent as it is."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    drop: bool = False
    """Cut the connection instead of answering (the request was read)."""
    content_type: str = "application/json"


@dataclass
class Request:
    """What arrived."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    raw: str
    """Query string or form body, undecoded."""


class BinanceStub:
    """``async with BinanceStub() as stub``; script with ``stub.on``; look at ``stub.requests``."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.handshakes = 0
        self.inbox: list[dict[str, Any]] = []
        """JSON messages clients sent over WebSocket."""
        self.greeting: list[str] = []
        """Frames sent to every socket right after its first subscription was confirmed."""
        self.confirm = True
        self.server_ms = 1_772_000_000_000
        self._scripts: dict[tuple[str, str], deque[Reply]] = defaultdict(deque)
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def __aenter__(self) -> "BinanceStub":
        app = web.Application()
        app.router.add_get("/stream", self._socket)
        app.router.add_get("/ws-api/v3", self._socket)
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
            "stream_url": f"ws://{base}/stream",
            "user_stream_url": f"ws://{base}/ws-api/v3",
            "timeout_ms": 2_000,
        }
        return ExchangeSettings(**{**urls, **changes})

    def on(self, method: str, path: str, *replies: Reply) -> None:
        """Answer the next requests like this; the last reply stays."""
        self._scripts[method, path] = deque(replies)

    def calls(self, method: str, path: str) -> list[Request]:
        return [r for r in self.requests if (r.method, r.path) == (method, path)]

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        raw = request.rel_url.raw_query_string or await request.text()
        params = dict(request.query) | dict(await request.post())
        self.requests.append(Request(request.method, request.path, params, dict(request.headers), raw))
        script = self._scripts.get((request.method, request.path))
        if not script:
            if request.path == "/api/v3/time":
                return web.json_response({"serverTime": self.server_ms})
            return web.json_response({"code": -1000, "msg": f"stub: nothing scripted for {request.path}"}, status=500)
        reply = script.popleft() if len(script) > 1 else script[0]
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        if reply.drop:
            request.transport.abort()
            return web.Response()
        text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        return web.Response(text=text, status=reply.status, headers=reply.headers, content_type=reply.content_type)

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        self.handshakes += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._said(socket, json.loads(message.data))
        return socket

    async def _said(self, socket: web.WebSocketResponse, said: dict[str, Any]) -> None:
        self.inbox.append(said)
        if not self.confirm:
            return
        if said["method"] == "SUBSCRIBE":
            await socket.send_str(json.dumps({"result": None, "id": said["id"]}))
        else:
            answer = {"id": said["id"], "status": 200, "result": {"subscriptionId": 0}, "rateLimits": []}
            await socket.send_str(json.dumps(answer))
        for frame in self.greeting:
            await socket.send_str(frame)

    async def say(self, *frames: Any) -> None:
        """Send to the newest socket."""
        for frame in frames:
            await self.sockets[-1].send_str(frame if isinstance(frame, str) else json.dumps(frame))

    def cut(self) -> None:
        """Drop the newest connection without a word."""
        self.sockets[-1]._req.transport.abort()

    async def until(self, truth: Any, within_s: float = 5.0) -> None:
        """Wait for a condition of the test."""
        async with asyncio.timeout(within_s):
            while not truth():
                await asyncio.sleep(0.005)
