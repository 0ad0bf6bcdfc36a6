"""Serving a simulated exchange on loopback, in one venue's wire: one port for REST, market streams and account events.

In lockstep time moves when ``POST /sim/advance`` says so; in speed mode it follows the monotonic clock, ``speed``
times as fast, until the market ends; in follow mode it is the time of the market that is watched.
"""

import asyncio
import errno
import ipaddress
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from core.errors import BotError, ConfigError, Defect
from exchanges.simulated import control
from exchanges.simulated.answers import json_answer
from exchanges.simulated.binance import lists, private, public, trading
from exchanges.simulated.binance import state as binance
from exchanges.simulated.binance.auth import Keyring, VenueTime
from exchanges.simulated.binance.budget import Allowance, Budget
from exchanges.simulated.binance.streams import market_streams
from exchanges.simulated.binance.user_stream import websocket_api
from exchanges.simulated.chaos.install import install, interrupt
from exchanges.simulated.chaos.plan import Chaos
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.served import SERVED, TRADES_ONLY, Mode, Served
from exchanges.simulated.upbit import budget as upbit_limits
from exchanges.simulated.upbit import private as upbit_private
from exchanges.simulated.upbit import public as upbit_public
from exchanges.simulated.upbit import state as upbit
from exchanges.simulated.upbit import streams as upbit_streams
from exchanges.simulated.upbit.auth import Keyring as UpbitKeyring
from exchanges.simulated.upbit.errors import not_served

TICK_S = 0.1
KLINE_EVERY_MS = 2_000
"""How often an open bar is shown, on the simulated clock."""
SHUTDOWN_S = 2.0
VENUES = ("binance", "upbit")
STREAMS = {"binance": ("/stream", "/ws-api/v3"), "upbit": ("/websocket/v1", "/websocket/v1/private")}
"""Paths of market streams and of the account's own events."""


@dataclass(slots=True)
class RunningServer:
    """A server that is up. ``close`` ends it; it may be called twice."""

    state: Any
    """The venue's own ``Served``."""
    url: str
    _runner: web.AppRunner
    _pace: asyncio.Task | None

    @property
    def stream_url(self) -> str:
        return self.url.replace("http", "ws", 1) + STREAMS[self.state.venue][0]

    @property
    def user_stream_url(self) -> str:
        """Where the account's own events are: Binance's WebSocket API, Upbit's private stream."""
        return self.url.replace("http", "ws", 1) + STREAMS[self.state.venue][1]

    @property
    def ws_api_url(self) -> str:
        return self.user_stream_url

    async def close(self) -> None:
        if self._pace is not None:
            self._pace.cancel()
            with suppress(asyncio.CancelledError):
                await self._pace
        for connection in (*self.state.hub.connections, *self.state.users.connections):
            connection.abandon()
        await self._runner.cleanup()


async def serve_exchange(
    exchange: SimulatedExchange,
    host: str = "127.0.0.1",
    port: int = 0,
    mode: Mode = "lockstep",
    speed: float = 1.0,
    credentials: Mapping[str, str] | None = None,
    wall_ms: Callable[[], int] | None = None,
    allowance: Allowance | upbit_limits.Allowance | None = None,
    *,
    paused: bool = False,
    market_ms: Callable[[], int] | None = None,
    on_account: Callable[[], None] | None = None,
    key_rights: frozenset[str] = TRADES_ONLY,
    venue: str = "binance",
    chaos: Chaos | None = None,
) -> RunningServer:
    """Serve ``exchange`` in the wire of ``venue``; port 0 takes a free one. ``credentials`` are API key: secret.

    ``wall_ms`` admits clients that stamp their requests with the time of day (``auth.VenueTime``). ``paused`` (speed
    mode) lets the clock stand until ``POST /sim/run``. ``market_ms`` (follow mode) tells the watched market's time,
    which runs at about ``speed``. ``on_account`` is called after every change of the account, before it is told to
    anybody. ``key_rights``: what every key may do, of ``trade`` and ``withdraw``. ``allowance``: the venue's own kind.
    ``chaos``: what goes wrong, and when. Raises ConfigError for a host that is not this machine, a speed that is none or
    a venue there is no wire for, BotError for a port in use.
    """
    if not _is_loopback(host):
        raise ConfigError(
            f"the simulated exchange serves this machine only; host {host!r} is not loopback, use 127.0.0.1"
        )
    if not 0 < speed <= 100_000:
        raise ConfigError(f"speed {speed} must be above 0 and at most 100000")
    if (mode == "follow") != (market_ms is not None):
        raise Defect("serve_exchange: a watched market's time goes with follow mode, and only with it")
    if venue not in VENUES:
        raise ConfigError(f"venue {venue!r} has no simulated wire; there are {', '.join(VENUES)}")
    if chaos is not None:
        interrupt(exchange, chaos)
    how = (mode, speed, paused, on_account, key_rights)
    state: Served
    if venue == "upbit":
        state = _upbit(exchange, credentials or {}, allowance, how)
    else:
        state = _binance(exchange, credentials or {}, allowance, how, wall_ms, chaos)
    app = make_app(state)
    if chaos is not None:
        install(app, exchange, ((state.hub, "market"), (state.users, "user")), chaos)
    close_off(app, chaos)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        if error.errno == errno.EADDRINUSE:
            raise BotError(
                f"port {port} on {host} is in use; choose another with --port, or --port 0 for a free one"
            ) from None
        raise BotError(f"cannot serve on {host}:{port}: {error.strerror or error}") from error
    bound = runner.addresses[0]
    url = f"http://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}"
    pace = None if mode == "lockstep" else asyncio.create_task(_pace(state, market_ms))
    return RunningServer(state, url, runner, pace)


def _binance(
    exchange: SimulatedExchange,
    credentials: Mapping[str, str],
    allowance: Any,
    how: tuple,
    wall_ms: Callable[[], int] | None,
    chaos: Chaos | None,
) -> binance.ServerState:
    mode, speed, paused, *_ = how
    loop = asyncio.get_running_loop()
    began = loop.time()
    time = VenueTime(
        now_ms=lambda: exchange.now_ms + (chaos.clock_offset_ms(exchange.now_ms) if chaos is not None else 0),
        elapsed_ms=lambda: int((loop.time() - began) * 1000),
        steady=mode != "lockstep" and speed == 1.0 and not paused,
        wall_ms=wall_ms,
    )
    budget = Budget(lambda: exchange.now_ms, 1.0 if mode == "lockstep" else speed, allowance)
    return binance.ServerState(exchange, Keyring(credentials, time), budget, *how)


def _upbit(exchange: SimulatedExchange, credentials: Mapping[str, str], allowance: Any, how: tuple) -> upbit.UpbitState:
    # No wall clock: a token carries no time, and requests are counted in seconds of whoever sends them.
    budget = upbit_limits.GroupBudget(asyncio.get_running_loop().time, allowance)
    return upbit.UpbitState(exchange, UpbitKeyring(credentials), budget, *how)


def make_app(state: Served) -> web.Application:
    """Everything that is served, on one application."""
    app = web.Application(client_max_size=1 << 16)
    app[SERVED] = state
    app.add_routes(control.ROUTES)
    if isinstance(state, upbit.UpbitState):
        app[upbit.STATE] = state
        app.add_routes([*upbit_public.ROUTES, *upbit_private.ROUTES, *upbit_streams.ROUTES])
    elif isinstance(state, binance.ServerState):
        app[binance.STATE] = state
        app.add_routes([*public.ROUTES, *private.ROUTES, *trading.ROUTES, *lists.ROUTES])
        for path in ("/ws", "/ws/{streams:.+}", "/stream", "/stream/ws", "/stream/ws/{streams:.+}"):
            app.router.add_get(path, market_streams)
        app.router.add_get("/ws-api/v3", websocket_api)
    return app


def close_off(app: web.Application, chaos: Chaos | None) -> None:
    """Answer whatever else is asked for. After all other routes."""
    if chaos is None:
        app.router.add_get("/sim/chaos", control.no_chaos)
    app.add_routes(control.UNKNOWN)
    app.router.add_route("*", "/{anything:.*}", _not_served)


async def _not_served(request: web.Request) -> web.Response:
    if request.app[SERVED].venue == "upbit":
        refusal = not_served(request.method, request.path)
        return json_answer(refusal.body(), refusal.status)
    return json_answer({"code": -1000, "msg": f"The simulator does not serve {request.method} {request.path}."}, 404)


async def _pace(state: Served, market_ms: Callable[[], int] | None) -> None:
    """Let simulated time follow the market that is watched, or the monotonic clock, until the market ends."""
    loop = asyncio.get_running_loop()
    await state.running.wait()
    began, start = loop.time(), state.exchange.now_ms
    shown = start
    while not state.ended:
        await asyncio.sleep(TICK_S)
        async with state.lock:
            ms = start + int((loop.time() - began) * 1000 * state.speed) if market_ms is None else market_ms()
            # A watched clock may be set back a little; here time only waits then.
            await state.advance(max(ms, state.exchange.now_ms))
            if state.exchange.now_ms - shown >= KLINE_EVERY_MS and state.exchange.now_ms % 60_000:
                shown = state.exchange.now_ms
                await state.show_running_bars()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
