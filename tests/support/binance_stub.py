"""A loopback server that answers as a test tells it to: the wire of Binance spot without an exchange behind it."""

import json
from typing import Any

from aiohttp import WSMsgType, web

from tests.support.venue_stub import Reply, Request, VenueStub

API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
"""The example pair of Binance's public documentation."""


class BinanceStub(VenueStub):
    """``async with BinanceStub() as stub``; script with ``stub.on``; look at ``stub.requests``."""

    stream_path = "/stream"
    user_path = "/ws-api/v3"

    def __init__(self) -> None:
        super().__init__()
        self.handshakes = 0
        self.inbox: list[dict[str, Any]] = []
        """JSON messages clients sent over WebSocket."""
        self.greeting: list[str] = []
        """Frames sent to every socket right after its first subscription was confirmed."""
        self.confirm = True

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        raw = request.rel_url.raw_query_string or await request.text()
        params = dict(request.query) | dict(await request.post())
        self.requests.append(Request(request.method, request.path, params, dict(request.headers), raw))
        if request.path == "/api/v3/time":
            otherwise = Reply({"serverTime": self.server_ms})
        else:
            otherwise = Reply({"code": -1000, "msg": f"stub: nothing scripted for {request.path}"}, status=500)
        return await self.answer(request, otherwise)

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
