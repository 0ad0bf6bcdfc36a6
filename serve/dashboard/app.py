"""The dashboard's server: the page and its WebSocket (read only), alone as an ASGI application or on Ray Serve.

Serve has one proxy a node and its address cannot change while Serve runs, so whoever starts Serve first decides:
deploy the dashboard, or call ``open_serve``, before the models.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from config.settings import DashboardSettings, LogSettings
from core.errors import BotError, ConfigError
from data.hot import AsyncHot
from data.logs import configure_logs
from serve.dashboard.guard import Guard
from serve.dashboard.hub import Hub, Page
from serve.ray_serve import HTTPOptions, ray_serve, serve_client

log = logging.getLogger("dashboard")

APP = "dashboard"
STATIC = Path(__file__).parent / "static"
SLOW = 1013
"""WebSocket code "try again later": the page reconnects."""


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


class DashboardPage:
    """The deployment: one replica that holds the hub and serves the page."""

    def __init__(
        self, redis_url: str, run_id: str, hosts: tuple[str, ...], logs: tuple[LogSettings, Path] | None
    ) -> None:
        if logs is not None:
            configure_logs(logs[0], logs[1], "dashboard")
        self._app = build_app(redis_url, run_id, hosts)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return self._app


def open_serve(settings: DashboardSettings) -> int:
    """Start Serve with its proxy at the dashboard's address and give the port (a free one where settings say 0).

    Where Serve runs already its proxy stays where it is. Raises ConfigError when the port is taken.
    """
    running = _proxy()
    if running is not None and not _has_proxy():
        raise BotError("Ray Serve runs here without its HTTP proxy; deploy the dashboard before the models")
    if running is not None:
        if settings.port not in (0, running.port):
            log.warning("Serve already listens on port %d; dashboard.port %d is not used", running.port, settings.port)
        return running.port
    port = free_port(settings.host, settings.port)
    ray_serve.start(http_options=HTTPOptions(host=settings.host, port=port))
    return port


def deploy(
    settings: DashboardSettings, redis_url: str, run_id: str, logs: tuple[LogSettings, Path] | None = None
) -> str:
    """Deploy the page of a run (in place of an earlier run's) and give the address to open."""
    port = open_serve(settings)
    page = ray_serve.deployment(ray_serve.ingress()(DashboardPage)).options(
        name=APP, num_replicas=1, ray_actor_options={"num_cpus": 0.05}, max_ongoing_requests=100
    )
    ray_serve.run(page.bind(redis_url, run_id, (settings.host,), logs), name=APP, route_prefix="/")
    return address(settings.host, port)


def undeploy() -> None:
    """Take the page down; Serve and the models stay."""
    ray_serve.delete(APP)


def address(host: str, port: int) -> str:
    """What to type into a browser on this machine."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{shown}:{port}/"


def free_port(host: str, port: int) -> int:
    """``port`` if it can be listened on (any free one for 0). Raises ConfigError naming the key otherwise."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"config.json: dashboard.port: {port} is in use on {host}; set another one, or 0 for any free port"
                ) from error
            raise ConfigError(
                f"config.json: dashboard.host: cannot listen on {host}:{port} ({error.strerror})"
            ) from error
        return int(probe.getsockname()[1])


def _has_proxy(wait_s: float = 5.0) -> bool:
    """Serve has an HTTP proxy, or gets one within ``wait_s`` (it may have been started a moment ago)."""
    deadline = time.monotonic() + wait_s
    while not (found := bool(ray_serve.status().proxies)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def _proxy() -> HTTPOptions | None:
    """Serve's HTTP options when it runs in this cluster, else None (Serve has no public way to ask)."""
    client = serve_client(raise_if_no_controller_running=False)
    return None if client is None else client.http_config
