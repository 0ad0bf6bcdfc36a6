"""The two streams of the simulated Upbit: public ``/websocket/v1`` and the account's own ``/websocket/v1/private``.

Manners from docs.upbit.com, "WebSocket usage and errors" and "Rate limits" (v1.6.4): all frames are binary, a request
replaces every earlier one of its connection, the text PING is answered, at most 5 requests a second and 100 a minute, and
a connection on which nothing went either way for 120 s is cut. The private one is authorised by the token of the
handshake; nothing comes on it until something happens.
"""

import asyncio

import orjson
from aiohttp import WSMessage, WSMsgType, web

from exchanges.simulated.hub import Connection, Hub, RateGuard
from exchanges.simulated.upbit.errors import UpbitRefusal, too_many_requests
from exchanges.simulated.upbit.rest import refused
from exchanges.simulated.upbit.state import STATE, UpbitState, key_of
from exchanges.simulated.upbit.subscriptions import StreamError, Subscription, Topic, read

POLICY_VIOLATION = 1008
UP = b'{"status":"UP"}'
MAX_MESSAGE = 1 << 16


class UpbitConnection(Connection):
    """A WebSocket on which everything goes out as binary, in the form that its newest request asked for."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.BaseTransport | None, now: float) -> None:
        super().__init__(socket, transport)
        self.subscription: Subscription | None = None
        self.active_at = now
        """When something last went either way, by the loop's clock."""

    def add(self, stream: str, text: str) -> None:
        listed = self.subscription is not None and self.subscription.listed
        self.answer((f"[{text}]" if listed else text).encode())

    async def flush(self) -> None:
        if self._waiting:
            self.active_at = asyncio.get_running_loop().time()
        await super().flush()


async def market_stream(request: web.Request) -> web.StreamResponse:
    """``/websocket/v1``."""
    state = request.app[STATE]
    try:
        state.budget.spend("origin" if "Origin" in request.headers else "websocket-connect")
    except UpbitRefusal as refusal:
        return refused(state, refusal, "websocket-connect")
    return await _serve(request, state, state.hub, private=False)


async def private_stream(request: web.Request) -> web.StreamResponse:
    """``/websocket/v1/private``."""
    state = request.app[STATE]
    try:
        state.budget.spend("origin" if "Origin" in request.headers else "websocket-connect")
        state.keyring.verify(request.headers.get("Authorization"), "", request.remote or "")
        if len(state.users.connections) >= state.allowance.private_connections:
            raise too_many_requests()
    except UpbitRefusal as refusal:
        return refused(state, refusal, "websocket-connect")
    return await _serve(request, state, state.users, private=True)


async def _serve(request: web.Request, state: UpbitState, hub: Hub, private: bool) -> web.WebSocketResponse:
    # Pings are answered here rather than by the library: they count as life.
    socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=MAX_MESSAGE)
    await socket.prepare(request)
    loop = asyncio.get_running_loop()
    connection = UpbitConnection(socket, request.transport, loop.time())
    hub.join(connection)
    limits = state.allowance
    guards = (RateGuard(limits.messages_a_second), RateGuard(limits.messages_a_minute, 60.0))
    try:
        while not socket.closed:
            message = await _next(connection, limits.idle_s)
            if message is None or message.type not in (
                WSMsgType.TEXT,
                WSMsgType.BINARY,
                WSMsgType.PING,
                WSMsgType.PONG,
            ):
                break
            connection.active_at = loop.time()
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                if not all(guard.allow(loop.time()) for guard in guards):
                    await socket.close(code=POLICY_VIOLATION, message=b"Too many requests")
                    break
                async with state.lock:
                    _answer(state, hub, connection, message.data, private)
                    await connection.flush()
    except ConnectionResetError:
        pass  # The client went while it was being answered.
    finally:
        hub.drop(connection)
    return socket


async def _next(connection: UpbitConnection, idle_s: float) -> WSMessage | None:
    """The next message, or None (and the connection cut) after nothing went either way for ``idle_s``."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await connection.socket.receive(timeout=max(0.01, connection.active_at + idle_s - loop.time()))
        except TimeoutError:
            if loop.time() - connection.active_at >= idle_s:
                await connection.socket.close(code=1000, message=b"Idle timeout")
                return None


def _answer(state: UpbitState, hub: Hub, connection: UpbitConnection, text: str | bytes, private: bool) -> None:
    """Do what a client's message asks, and queue what it is told at once."""
    if text in ("PING", b"PING"):
        connection.answer(UP)
        return
    try:
        asked = read(text, state.codes, private)
    except StreamError as error:
        connection.answer(error.frame())
        return
    if asked.listing:
        held = connection.subscription
        listing = {"method": "LIST_SUBSCRIPTIONS", "result": list(held.asked) if held else [], "ticket": asked.ticket}
        connection.answer(orjson.dumps(listing))
        return
    hub.unsubscribe(connection, list(connection.streams))
    connection.subscription = asked
    for topic in _once(asked.snapshots):
        _show(state, connection, topic, asked.short)
    hub.subscribe(connection, [key_of(topic, asked.short) for topic in asked.realtime])


def _show(state: UpbitState, connection: UpbitConnection, topic: Topic, short: bool) -> None:
    frame = state.snapshot(topic)
    if frame is not None:
        connection.add(key_of(topic, short), state.text(frame, short))


def _once(topics: tuple[Topic, ...]) -> list[Topic]:
    return list(dict.fromkeys(topics))


ROUTES = [
    web.get("/websocket/v1", market_stream),
    web.get("/websocket/v1/private", private_stream),
]
