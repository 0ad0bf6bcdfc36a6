"""Market streams of the simulated Binance: connecting, subscribing, unsubscribing.

Format and manners from binance-spot-api-docs, web-socket-streams.md: raw payloads on ``/ws``, wrapped ones on
``/stream?streams=``, SUBSCRIBE and UNSUBSCRIBE by JSON, at most 5 messages a second from a client, a ping every 20 s, 300
connects in 5 minutes.
"""

import asyncio

import orjson
from aiohttp import WSMsgType, web

from exchanges.simulated.binance.rest import refused
from exchanges.simulated.binance.state import STATE
from exchanges.simulated.hub import Connection, Hub, RateGuard
from exchanges.simulated.refusals import VenueRefusal

PING_S = 20.0
MAX_STREAMS = 1_024
POLICY_VIOLATION = 1008
METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


async def market_streams(request: web.Request) -> web.StreamResponse:
    """``/ws``, ``/ws/<streams>``, ``/stream?streams=`` and ``/stream/ws/<n>`` (ccxt.pro's way of counting)."""
    state = request.app[STATE]
    try:
        state.budget.connect()
    except VenueRefusal as refusal:
        return refused(state, refusal)
    return await serve_streams(request, state.hub, state.lock)


async def serve_streams(request: web.Request, hub: Hub, lock: asyncio.Lock) -> web.WebSocketResponse:
    """One client of market streams until it goes. ``lock`` is held while it is answered."""
    named = request.query.get("streams", "") or request.match_info.get("streams", "")
    streams = [] if named.isdecimal() else [name for name in named.split("/") if name]
    socket = web.WebSocketResponse(heartbeat=PING_S, compress=False, max_msg_size=1 << 16)
    await socket.prepare(request)
    connection = Connection(socket, request.transport, combined=request.path.rstrip("/") == "/stream")
    hub.join(connection)
    try:
        hub.subscribe(connection, streams)
        await _listen(lock, hub, connection)
    finally:
        hub.drop(connection)
    return socket


async def _listen(lock: asyncio.Lock, hub: Hub, connection: Connection) -> None:
    guard = RateGuard()
    loop = asyncio.get_running_loop()
    async for message in connection.socket:
        if not guard.allow(loop.time()):
            await connection.socket.close(code=POLICY_VIOLATION, message=b"Too many requests")
            return
        if message.type is not WSMsgType.TEXT:
            continue
        async with lock:
            connection.answer(_answer(hub, connection, message.data))
            await connection.flush()


def _answer(hub: Hub, connection: Connection, text: str) -> str:
    """Do what a client's message asks and return the answer."""
    try:
        ask = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return _error(None, 3, f"Invalid JSON: expected value at line {error.lineno} column {error.colno}")
    wrong = _wrong(ask, text)
    if wrong:
        return _error(ask.get("id") if isinstance(ask, dict) else None, 2, f"Invalid request: {wrong}")
    method, number, given = ask["method"], ask.get("id"), ask.get("params") or []
    if method == "SUBSCRIBE":
        if len(connection.streams) + len(given) > MAX_STREAMS:
            return _error(number, 2, f"Invalid request: too many streams, at most {MAX_STREAMS}")
        # The venue takes names it does not know and simply never sends anything on them.
        hub.subscribe(connection, given)
        return _result(number, None)
    if method == "UNSUBSCRIBE":
        hub.unsubscribe(connection, given)
        return _result(number, None)
    if method == "LIST_SUBSCRIPTIONS":
        return _result(number, sorted(connection.streams))
    return _property(connection, method, number, given)


def _wrong(ask: object, text: str) -> str:
    """What is wrong with a message that is JSON; empty when nothing is. Words of web-socket-streams.md, "Error Messages";
    for ``params`` that are missing or no list of names it has none, here they are as for a missing ``method``."""
    end = f"at line 1 column {len(text)}"
    if not isinstance(ask, dict):
        return f"invalid type, expected a request object {end}"
    if "method" not in ask:
        return f"missing field `method` {end}"
    method, given, number = ask["method"], ask.get("params"), ask.get("id")
    if method not in METHODS:
        return f"unknown variant `{str(method)[:40]}`, expected one of {', '.join(f'`{m}`' for m in METHODS)} {end}"
    if ask.keys() - {"method", "params", "id"}:
        return "too many parameters"
    whole = isinstance(number, int) and not isinstance(number, bool)
    if "id" not in ask or not (number is None or whole or (isinstance(number, str) and len(number) <= 36)):
        return "request ID must be an unsigned integer"
    if method in ("SUBSCRIBE", "UNSUBSCRIBE") and given is None:
        return f"missing field `params` {end}"
    if given is not None and not isinstance(given, list):
        return f"invalid type, expected a sequence {end}"
    if method.endswith("PROPERTY"):
        return "" if given and isinstance(given[0], str) else "property name must be a string"
    if not all(isinstance(name, str) for name in given or ()):
        return f"invalid type, expected a string {end}"
    return ""


def _property(connection: Connection, method: str, number: object, given: list) -> str:
    """Whether payloads are wrapped, the one property there is."""
    if given[0] != "combined":
        return _error(number, 0, "Unknown property")
    if method == "GET_PROPERTY":
        return _result(number, connection.combined)
    if len(given) != 2 or not isinstance(given[1], bool):
        return _error(number, 1, "Invalid value type: expected Boolean")
    connection.combined = given[1]
    return _result(number, None)


def _result(number: object, result: object) -> str:
    return orjson.dumps({"result": result, "id": number}).decode()


def _error(number: object, code: int, text: str) -> str:
    told: dict = {"error": {"code": code, "msg": text}}
    return orjson.dumps(told if number is None else told | {"id": number}).decode()
