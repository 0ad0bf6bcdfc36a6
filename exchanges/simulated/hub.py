"""Connections of clients, who listens to what, and frames queued for them."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

SEND_TIMEOUT_S = 5.0
MESSAGES_PER_SECOND = 5


class Connection:
    """One WebSocket of a client: its subscriptions, and frames waiting to be written."""

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.BaseTransport | None, combined: bool = False
    ) -> None:
        self.socket = socket
        self._transport = transport
        self.combined = combined
        self.streams: set[str] = set()
        self.meddle: Callable[[list[Any]], list[Any]] | None = None
        """Changes what is about to be written (``chaos.frames``)."""
        self._waiting: list[str | bytes] = []

    def add(self, stream: str, text: str) -> None:
        """Queue one frame, wrapped if this connection is a combined one."""
        self._waiting.append(f'{{"stream":"{stream}","data":{text}}}' if self.combined else text)

    def answer(self, frame: str | bytes) -> None:
        """Queue one answer, never wrapped; bytes go out as a binary frame."""
        self._waiting.append(frame)

    async def flush(self) -> None:
        """Write what waits. A client that does not read is dropped, as the venue does."""
        frames, self._waiting = self._waiting, []
        await self.write(frames if self.meddle is None else self.meddle(frames))

    async def write(self, frames: list[Any]) -> None:
        """Write these frames, past the queue."""
        if not frames or self.socket.closed:
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                for frame in frames:
                    await (self.socket.send_bytes if isinstance(frame, bytes) else self.socket.send_str)(frame)
        except (TimeoutError, ConnectionError):
            self.abandon()

    def abandon(self) -> None:
        """Cut the connection without a closing handshake."""
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()


class Hub:
    """Who listens to what."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.on_join: Callable[[Connection], None] | None = None
        """Told of each new connection before anything is written to it."""
        self._listeners: dict[str, set[Connection]] = {}
        self.heard = asyncio.Event()
        """Set once anybody listened to anything."""

    def join(self, connection: Connection) -> None:
        if self.on_join is not None:
            self.on_join(connection)
        self.connections.add(connection)

    def wanted(self, stream: str) -> bool:
        return stream in self._listeners

    def listeners(self, stream: str) -> set[Connection]:
        return self._listeners.get(stream, set())

    def add(self, stream: str, payload: dict) -> None:
        """Queue one frame for everybody who listens to ``stream``."""
        listeners = self._listeners.get(stream)
        if listeners:
            text = orjson.dumps(payload).decode()
            for connection in listeners:
                connection.add(stream, text)

    async def flush(self) -> None:
        """Write all queued frames."""
        for connection in tuple(self.connections):
            await connection.flush()

    def subscribe(self, connection: Connection, streams: list[str]) -> None:
        if streams:
            self.heard.set()
        for stream in streams:
            self._listeners.setdefault(stream, set()).add(connection)
            connection.streams.add(stream)

    def unsubscribe(self, connection: Connection, streams: list[str]) -> None:
        for stream in streams:
            connection.streams.discard(stream)
            listeners = self._listeners.get(stream)
            if listeners is not None:
                listeners.discard(connection)
                if not listeners:
                    del self._listeners[stream]

    def drop(self, connection: Connection) -> None:
        self.unsubscribe(connection, list(connection.streams))
        self.connections.discard(connection)


class RateGuard:
    """Counts a client's messages; ``allow`` is False when there were too many within ``span_s`` seconds."""

    def __init__(self, most: int = MESSAGES_PER_SECOND, span_s: float = 1.0) -> None:
        self._times: deque[float] = deque(maxlen=most + 1)
        self._span_s = span_s

    def allow(self, now: float) -> bool:
        self._times.append(now)
        return len(self._times) < (self._times.maxlen or 0) or now - self._times[0] > self._span_s
