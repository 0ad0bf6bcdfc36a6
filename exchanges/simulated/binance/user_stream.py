"""The WebSocket API of the simulated Binance, as far as the user-data stream needs it.

Since February 2026 ``userDataStream.subscribe.signature`` is how a spot account's events are had: the params, sorted by
name, are signed; events come as {subscriptionId, event} (binance-spot-api-docs, web-socket-api.md and
user-data-stream.md).
"""

import asyncio

import orjson
from aiohttp import WSMsgType, web

from exchanges.simulated.binance.state import STATE, USER, ServerState
from exchanges.simulated.hub import Connection, RateGuard
from exchanges.simulated.refusals import VenueRefusal

PING_S = 20.0
MESSAGES_PER_SECOND = 50
"""The WebSocket API counts request weight rather than messages; this only stops a runaway client."""


class UserConnection(Connection):
    """A WebSocket API connection; events go out under its subscription's id."""

    subscription: int | None = None

    def add(self, stream: str, text: str) -> None:
        self.answer(f'{{"subscriptionId":{self.subscription},"event":{text}}}')


async def websocket_api(request: web.Request) -> web.WebSocketResponse:
    """``/ws-api/v3``."""
    state = request.app[STATE]
    socket = web.WebSocketResponse(heartbeat=PING_S, compress=False, max_msg_size=1 << 16)
    await socket.prepare(request)
    connection = UserConnection(socket, request.transport)
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
    try:
        try:
            ask = orjson.loads(text)
            number, method, params = ask.get("id"), ask["method"], ask.get("params") or {}
        except (ValueError, KeyError, AttributeError):
            raise VenueRefusal(-1135, "Invalid JSON Request") from None
        state.budget.spend(2)
        return {"id": number, "status": 200, "result": _do(state, connection, method, params), "rateLimits": []}
    except VenueRefusal as refusal:
        error = {"code": refusal.number, "msg": refusal.text}
        return {"id": number, "status": refusal.status, "error": error, "rateLimits": []}


def _do(state: ServerState, connection: UserConnection, method: str, params: dict) -> dict:
    if method == "ping":
        return {}
    if method == "time":
        return {"serverTime": state.exchange.now_ms}
    if method == "userDataStream.subscribe.signature":
        texts = {name: str(value) for name, value in params.items()}
        payload = "&".join(f"{name}={texts[name]}" for name in sorted(texts) if name != "signature")
        state.keyring.verify(texts.get("apiKey"), payload, texts)
        if connection.subscription is not None:
            raise VenueRefusal(-2035, "User Data Stream subscription already active.")
        connection.subscription = 0
        state.users.subscribe(connection, [USER])
        return {"subscriptionId": 0}
    if method == "userDataStream.unsubscribe":
        state.users.unsubscribe(connection, [USER])
        connection.subscription = None
        return {}
    raise VenueRefusal(-1000, f"The simulator does not serve {method[:60]!r}.")
