"""The WebSocket API of the simulated Binance, as far as sessions and the user-data stream need it.

Since February 2026 a spot account's events are had by ``userDataStream.subscribe.signature``, whose params, sorted by
name, are signed, or by ``userDataStream.subscribe`` in a session that was opened by ``session.logon`` with an Ed25519
key. Events come as {subscriptionId, event} (binance-spot-api-docs, web-socket-api.md and user-data-stream.md).
"""

import asyncio
from itertools import count

import orjson
from aiohttp import WSMsgType, web

from exchanges.simulated.binance.rest import refused
from exchanges.simulated.binance.state import STATE, USER, ServerState
from exchanges.simulated.hub import Connection, RateGuard
from exchanges.simulated.refusals import VenueRefusal, no_permission

PING_S = 20.0
MESSAGES_PER_SECOND = 50
"""The WebSocket API counts request weight rather than messages; this only stops a runaway client."""


class UserConnection(Connection):
    """A WebSocket API connection: who is logged on, and the stream that is told it, under its subscription's id."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.BaseTransport | None, now_ms: int) -> None:
        super().__init__(socket, transport)
        self.subscription: int | None = None
        self.by_session = False
        """The subscription ends with the session."""
        self.api_key: str | None = None
        self.since_ms: int | None = None
        self.connected_ms = now_ms
        self.numbers = count()

    def add(self, stream: str, text: str) -> None:
        self.answer(f'{{"subscriptionId":{self.subscription},"event":{text}}}')


async def websocket_api(request: web.Request) -> web.StreamResponse:
    """``/ws-api/v3``."""
    state = request.app[STATE]
    try:
        state.budget.connect()
    except VenueRefusal as refusal:
        return refused(state, refusal)
    socket = web.WebSocketResponse(heartbeat=PING_S, compress=False, max_msg_size=1 << 16)
    await socket.prepare(request)
    connection = UserConnection(socket, request.transport, state.exchange.now_ms)
    state.users.join(connection)
    guard, loop = RateGuard(MESSAGES_PER_SECOND), asyncio.get_running_loop()
    try:
        async for message in socket:
            if message.type is not WSMsgType.TEXT or not guard.allow(loop.time()):
                break
            async with state.lock:
                connection.answer(orjson.dumps(_answer(state, connection, message.data)).decode())
                await connection.flush()
    finally:
        state.users.drop(connection)
    return socket


def _answer(state: ServerState, connection: UserConnection, text: str) -> dict:
    number: object = None
    rates = True
    try:
        try:
            ask = orjson.loads(text)
            number, method, params = ask.get("id"), ask["method"], ask.get("params") or {}
            if not isinstance(method, str) or not isinstance(params, dict):
                raise ValueError
            rates = params.get("returnRateLimits", True) is not False
        except (ValueError, KeyError, AttributeError):
            raise VenueRefusal(-1135, "Invalid JSON Request") from None
        state.budget.spend(2)
        answer = {"id": number, "status": 200, "result": _do(state, connection, method, params)}
    except VenueRefusal as refusal:
        error: dict = {"code": refusal.number, "msg": refusal.text}
        if refusal.status in (418, 429):
            error["data"] = state.budget.pause(refusal)
        answer = {"id": number, "status": refusal.status, "error": error}
    return answer | {"rateLimits": [state.budget.weight_used()]} if rates else answer


def _do(state: ServerState, connection: UserConnection, method: str, params: dict) -> object:
    if method == "ping":
        return {}
    if method == "time":
        return {"serverTime": state.exchange.now_ms}
    if method == "session.logon":
        key = _signer(state, params)
        if not state.keyring.has_public(key):
            raise VenueRefusal(-4056, "HMAC_SHA256 API key is not supported.")
        connection.api_key, connection.since_ms = key, state.exchange.now_ms
        return _session(state, connection)
    if method == "session.status":
        return _session(state, connection)
    if method == "session.logout":
        connection.api_key = connection.since_ms = None
        if connection.by_session:
            _terminate(state, connection)
        return _session(state, connection)
    if method == "session.subscriptions":
        return [] if connection.subscription is None else [{"subscriptionId": connection.subscription}]
    if method == "userDataStream.subscribe":
        if connection.api_key is None:
            raise no_permission()
        return _subscribe(state, connection, by_session=True)
    if method == "userDataStream.subscribe.signature":
        _signer(state, params)
        return _subscribe(state, connection, by_session=False)
    if method == "userDataStream.unsubscribe":
        _terminate(state, connection)
        return {}
    raise VenueRefusal(
        -1000,
        f"The simulator's WebSocket API does not serve {method[:60]!r}, only sessions and the user stream; "
        "place and cancel orders by REST.",
    )


def _signer(state: ServerState, params: dict) -> str:
    """The API key that signed ``params``."""
    texts = {name: str(value) for name, value in params.items()}
    payload = "&".join(f"{name}={texts[name]}" for name in sorted(texts) if name != "signature")
    return state.keyring.verify(texts.get("apiKey"), payload, texts)


def _subscribe(state: ServerState, connection: UserConnection, by_session: bool) -> dict:
    if connection.subscription is not None:
        raise VenueRefusal(-2035, "User Data Stream subscription already active.")
    connection.subscription, connection.by_session = next(connection.numbers), by_session
    state.users.subscribe(connection, [USER])
    return {"subscriptionId": connection.subscription}


def _terminate(state: ServerState, connection: UserConnection) -> None:
    """End a subscription, and say so on it."""
    if connection.subscription is None:
        return
    ended = {"e": "eventStreamTerminated", "E": state.exchange.now_ms}
    connection.add(USER, orjson.dumps(ended).decode())
    state.users.unsubscribe(connection, [USER])
    connection.subscription, connection.by_session = None, False


def _session(state: ServerState, connection: UserConnection) -> dict:
    return {
        "apiKey": connection.api_key,
        "authorizedSince": connection.since_ms,
        "connectedSince": connection.connected_ms,
        "returnRateLimits": True,
        "serverTime": state.exchange.now_ms,
        "userDataStream": connection.subscription is not None,
    }
