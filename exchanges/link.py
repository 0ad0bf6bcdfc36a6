"""One WebSocket that is kept up: reconnect with back-off, a watchdog, and a planned renewal before the venue's 24 h.

What is said on it is the business of the streams; this module only knows lives and the reasons they end.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException

from core.errors import ConfigError, ExchangeUnavailable

log = logging.getLogger(__name__)

QUIET = logging.getLogger("minutehand.vendor")
QUIET.setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPolicy:
    """Times of one link, seconds."""

    silence_s: float | None = 30.0
    """Reconnect when nothing came for this long; None = only pings tell (streams that are silent by nature)."""
    renew_s: float = 23.5 * 3_600
    """Reconnect on our own terms before the venue ends the connection at 24 h."""
    confirm_s: float = 10.0
    """Reconnect when a subscription is not confirmed by then."""
    first_delay_s: float = 0.25
    longest_delay_s: float = 15.0
    """300 connections in 5 minutes are allowed per IP; 15 s stays far below."""
    stable_s: float = 5.0
    """A life this long resets the back-off."""
    ping_s: float = 20.0


@dataclass(slots=True)
class LinkState:
    """What became of a link so far."""

    connected: bool = False
    lives: int = 0
    frames: int = 0
    heard: float = 0.0
    """Monotonic time of the last frame."""
    last_end: str = ""
    """Why the last life ended."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Told by a stream's frame handler: end this life. ``planned`` reconnects at once, else with back-off."""

    reason: str
    planned: bool


class Link:
    """Runs lives of a WebSocket until closed. ``on_open`` subscribes; ``on_frame`` returns None or ``Leave``;
    ``on_down`` is told when a life has ended. ``headers`` makes those of each handshake; ``on_rejected`` is told status
    and body of an answer that refused one, and may raise where trying again cannot help."""

    def __init__(
        self,
        name: str,
        url: str,
        policy: LinkPolicy,
        on_open: Callable[["Link"], Awaitable[None]],
        on_frame: Callable[[bytes], Leave | None],
        on_down: Callable[[], None] | None = None,
        *,
        headers: Callable[[], dict[str, str]] | None = None,
        on_rejected: Callable[[int, bytes], None] | None = None,
    ) -> None:
        self._headers, self._on_rejected = headers, on_rejected
        self.name, self.url, self.policy, self.state = name, url, policy, LinkState()
        self._on_open, self._on_frame, self._on_down = on_open, on_frame, on_down
        self._socket: ClientConnection | None = None
        self._closing = asyncio.Event()
        self._verdict: Leave | None = None
        self.confirmed = asyncio.Event()
        """Set by the stream when the venue has confirmed what this life subscribed to."""

    async def run(self) -> None:
        """Connect, and connect again, until ``close``. An error of a handler is ours and ends it."""
        failures, hurried = 0, False
        while not self._closing.is_set():
            born = time.monotonic()
            end = await self._live()
            lived = time.monotonic() - born
            self.state.connected = False
            self.confirmed.clear()
            if self._on_down is not None:
                self._on_down()
            if self._closing.is_set():
                return
            self.state.last_end = end.reason
            if lived >= self.policy.stable_s:
                failures, hurried = 0, False
            at_once = end.planned and not hurried
            hurried = at_once
            delay = 0.0 if at_once else min(self.policy.longest_delay_s, self.policy.first_delay_s * 2**failures)
            failures = failures if at_once else min(failures + 1, 16)
            log.warning("%s: %s after %.1f s; connecting again in %.2f s", self.name, end.reason, lived, delay)
            await self._pause(delay)

    async def send(self, text: str) -> None:
        if self._socket is not None:
            await self._socket.send(text)

    async def ping(self) -> None:
        """Returns when the other end has answered a ping: what was sent before has arrived there."""
        if self._socket is not None:
            await (await self._socket.ping())

    async def close(self) -> None:
        """End the current life and let ``run`` return."""
        self._closing.set()
        if self._socket is not None:
            await self._socket.close()

    async def _live(self) -> Leave:
        self._verdict = None
        local = self.url.startswith("ws://")
        try:
            async with connect(
                self.url,
                additional_headers=self._headers() if self._headers is not None else None,
                proxy=None if local else True,
                compression=None,
                open_timeout=self.policy.confirm_s,
                ping_interval=self.policy.ping_s,
                ping_timeout=self.policy.ping_s,
                close_timeout=1.0,
                max_queue=1_024,
                logger=QUIET,
            ) as socket:
                return await self._converse(socket)
        except InvalidURI:
            raise ConfigError(
                f"{self.name} has no usable address: {self.url!r}; mend it under exchanges in config.json"
            ) from None
        except InvalidStatus as error:
            rejection = error.response.status_code, bytes(error.response.body or b"")
            end = Leave(f"the handshake was refused with HTTP {rejection[0]}", planned=False)
        except (OSError, TimeoutError, WebSocketException) as error:
            return self._verdict or Leave(f"{type(error).__name__}: {str(error)[:120]}", planned=False)
        finally:
            self._socket = None
        if self._on_rejected is not None:
            # Outside of the except block: the library's error, which holds our headers, is not chained.
            self._on_rejected(*rejection)
        return end

    async def _converse(self, socket: ClientConnection) -> Leave:
        self._socket, state = socket, self.state
        state.connected, state.lives, state.heard = True, state.lives + 1, time.monotonic()
        watch = asyncio.create_task(self._watch(socket))
        greet = asyncio.create_task(self._greet(socket))
        try:
            while not self._closing.is_set():
                frame = await socket.recv(decode=False)
                state.heard, state.frames = time.monotonic(), state.frames + 1
                verdict = self._on_frame(frame)
                if verdict is not None:
                    return verdict
            return Leave("closed by us", planned=True)
        finally:
            watch.cancel()
            greet.cancel()
            await asyncio.gather(watch, greet, return_exceptions=True)

    async def _greet(self, socket: ClientConnection) -> None:
        try:
            await self._on_open(self)
        except ExchangeUnavailable as error:
            self._verdict = Leave(f"could not subscribe: {error}", planned=False)
            await socket.close()
        except (OSError, WebSocketException) as error:
            log.debug("%s: the connection broke while subscribing (%s)", self.name, type(error).__name__)

    async def _watch(self, socket: ClientConnection) -> None:
        """End the life when it is silent, unconfirmed or old."""
        policy, born = self.policy, time.monotonic()
        beat = min(1.0, policy.confirm_s / 4, policy.renew_s / 4, (policy.silence_s or 4.0) / 4)
        while self._verdict is None:
            await asyncio.sleep(beat)
            now = time.monotonic()
            if policy.silence_s is not None and now - self.state.heard > policy.silence_s:
                self._verdict = Leave(f"nothing heard for {policy.silence_s:g} s", planned=False)
            elif not self.confirmed.is_set() and now - born > policy.confirm_s:
                self._verdict = Leave(f"subscription not confirmed in {policy.confirm_s:g} s", planned=False)
            elif now - born > policy.renew_s:
                self._verdict = Leave("planned renewal", planned=True)
        await socket.close()

    async def _pause(self, delay: float) -> None:
        if delay:
            try:
                await asyncio.wait_for(self._closing.wait(), delay)
            except TimeoutError:
                return
