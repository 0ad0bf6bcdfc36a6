"""A WebSocket handshake that stands in the line of the venue's limits."""

from collections.abc import Awaitable, Callable

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from exchanges.limits.gate import Gate, Turn
from exchanges.limits.priority import Priority
from exchanges.limits.tables import CONNECTS, retry_after

Connect = Callable[[], Awaitable[ClientConnection]]


async def shake_hands(
    connect: Connect, gate: Gate, priority: Priority, patience_ms: float, where: str
) -> ClientConnection:
    """The connection that ``connect`` makes, when it is our turn. Raises what it raises, and ExchangeUnavailable when
    the turn does not come within ``patience_ms``: nothing was sent then."""
    async with gate.turn({CONNECTS: 1}, priority, patience_ms, where) as turn:
        try:
            socket = await connect()
        except InvalidStatus as error:
            _obey(turn, error)
            raise
        if socket.response is not None:
            turn.heard(dict(socket.response.headers.raw_items()))
        return socket


def _obey(turn: Turn, error: InvalidStatus) -> None:
    """A handshake refused for rate: a 429 and a firewall's 403 are about connects, a 418 about all this address does."""
    status, headers = error.response.status_code, dict(error.response.headers.raw_items())
    turn.heard(headers)
    if status in (403, 418, 429):
        turn.turned_away(status, retry_after(headers), "" if status == 418 else CONNECTS)
