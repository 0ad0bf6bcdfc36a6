"""The dashboard's server: the page, its WebSocket, and the guard that keeps other web sites out.

Read only. It listens on this machine by default; since any page in the user's browser may try to reach it
there, requests must carry a Host that is this machine's (no DNS rebinding) and a WebSocket an Origin that is the page itself.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from data.hot import AsyncHot
from serve.dashboard.hub import Hub, Page

STATIC = Path(__file__).parent / "static"
SLOW = 1013
"""WebSocket code "try again later": the page reconnects."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def build_app(redis_url: str, run_id: str, hosts: tuple[str, ...] = ()) -> FastAPI:
    """The dashboard of one run as an ASGI application. ``hosts``: further names this machine is called by."""
    hot = AsyncHot(redis_url, run_id)
    hub = Hub(hot, run_id)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        follow = asyncio.create_task(hub.run())
        yield
        follow.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await follow
        await hot.close()

    app = FastAPI(title="Minutehand", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, hosts=hosts)

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        """200 while Redis serves us, else 503."""
        return JSONResponse({"run_id": run_id, "redis": hub.connected}, 200 if hub.connected else 503)

    @app.get("/api/snapshot")
    async def snapshot() -> Response:
        """The page's first message, for scripts."""
        return Response(hub.first(), media_type="application/json")

    @app.websocket("/ws")
    async def news(socket: WebSocket) -> None:
        await socket.accept()
        page = hub.join()
        try:
            await _serve(socket, page)
        finally:
            hub.leave(page)

    app.mount("/", StaticFiles(directory=STATIC, html=True), name="page")
    return app


async def _serve(socket: WebSocket, page: Page) -> None:
    """Send what the hub tells until the page goes away or lags too far."""

    async def send() -> None:
        while not page.slow:
            await socket.send_text(await page.next())
        await socket.close(SLOW)

    async def wait_for_end() -> None:
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass

    tasks = {asyncio.create_task(send()), asyncio.create_task(wait_for_end())}
    _, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in running:
        task.cancel()
    # A socket that breaks while we write is how pages leave.
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, (WebSocketDisconnect, RuntimeError, OSError)):
            raise result


class Guard:
    """Refuses foreign Hosts and Origins, and sets the security headers."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] = ()) -> None:
        self._app = app
        self._hosts = {"localhost", socket.gethostname().lower(), *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._ours(host) and (origin is None or origin.partition("://")[2] == host):
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            answer = Response("Open this page by its own address, e.g. http://127.0.0.1:<port>/", 403)
            await answer(scope, receive, send)

    def _ours(self, host: str) -> bool:
        """An address, or one of this machine's names: a rebinding site has a name of its own."""
        name = host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.lower() in self._hosts
        return True


def _with_headers(send: Send) -> Send:
    async def sending(message: dict) -> None:
        if message["type"] == "http.response.start":
            extra = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return sending
