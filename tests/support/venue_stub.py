"""A loopback server that answers as a test tells it to: what the wires of all venues share."""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from config.settings import ExchangeSettings


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


class VenueStub:
    """``async with`` a venue's stub; script with ``on``; look at ``requests`` and ``sockets``."""

    stream_path = "/"
    user_path = "/"

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.server_ms = 1_772_000_000_000
        self.port = 0
        self._scripts: dict[tuple[str, str], deque[Reply]] = defaultdict(deque)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get(self.stream_path, self._socket)
        app.router.add_get(self.user_path, self._socket)
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

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError

    def settings(self, **changes: Any) -> ExchangeSettings:
        base = f"127.0.0.1:{self.port}"
        urls = {
            "rest_url": f"http://{base}",
            "stream_url": f"ws://{base}{self.stream_path}",
            "user_stream_url": f"ws://{base}{self.user_path}",
            "timeout_ms": 2_000,
        }
        return ExchangeSettings(**{**urls, **changes})

    def on(self, method: str, path: str, *replies: Reply) -> None:
        """Answer the next requests like this; the last reply stays."""
        self._scripts[method, path] = deque(replies)

    def calls(self, method: str, path: str) -> list[Request]:
        return [r for r in self.requests if (r.method, r.path) == (method, path)]

    async def answer(
        self, request: web.Request, otherwise: Reply, headers: dict[str, str] | None = None
    ) -> web.Response:
        """The next scripted answer, or ``otherwise``; ``headers`` go with each."""
        script = self._scripts.get((request.method, request.path))
        reply = otherwise if not script else script.popleft() if len(script) > 1 else script[0]
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        if reply.drop:
            request.transport.abort()
            return web.Response()
        text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        told = (headers or {}) | reply.headers
        return web.Response(text=text, status=reply.status, headers=told, content_type=reply.content_type)

    def cut(self) -> None:
        """Drop the newest connection without a word."""
        self.sockets[-1]._req.transport.abort()

    async def until(self, truth: Callable[[], Any], within_s: float = 5.0) -> None:
        """Wait for a condition of the test."""
        async with asyncio.timeout(within_s):
            while not truth():
                await asyncio.sleep(0.005)
