"""One WebSocket that is kept up, for any venue: reconnect with back-off, a watchdog, and renewal with overlap.

A *life* is one connection. Before the venue ends it (24 h) or when it says that it will (a server going down), the
next life is opened, subscribed and heard before the last one is dropped: both speak for a moment, and the streams drop
what comes twice. Where that is not possible a life simply ends, and the next begins after a pause.

What is said on a link is the business of the streams; this module only knows lives and the reasons they end.
"""

import asyncio
import logging
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException

from core.errors import ConfigError, ExchangeUnavailable
from exchanges.handshake import shake_hands
from exchanges.limits.gate import Gate
from exchanges.limits.priority import Priority

log = logging.getLogger(__name__)

QUIET = logging.getLogger("minutehand.vendor")
QUIET.setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPolicy:
    """Times of one link, seconds."""

    silence_s: float | None = 30.0
    """Reconnect when nothing came for this long; None = only pings tell (streams that are silent by nature)."""
    renew_s: float = 23.5 * 3_600
    """Renew on our own terms before the venue ends the connection at 24 h."""
    stagger_s: float = 600.0
    """Each link of a process renews this much earlier than the one before it, and nobody at the same second."""
    overlap_s: float = 5.0
    """A new life that is subscribed but not heard yet takes over after this long (quiet streams)."""
    confirm_s: float = 10.0
    """Reconnect when a subscription is not confirmed by then."""
    first_delay_s: float = 0.25
    longest_delay_s: float = 15.0
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
    """Why the last life ended, or is being replaced."""


def joined(states: Sequence[LinkState]) -> LinkState:
    """Of several links: connected when all are; the counts summed; the last reason of any."""
    if len(states) == 1:
        return states[0]
    return LinkState(
        connected=all(s.connected for s in states),
        lives=sum(s.lives for s in states),
        frames=sum(s.frames for s in states),
        heard=min((s.heard for s in states), default=0.0),
        last_end=next((s.last_end for s in states if s.last_end), ""),
    )


def renew_after(policy: LinkPolicy, name: str, place: int) -> float:
    """Age in seconds at which link number ``place`` of that name is renewed: links of one process must not all be
    new at once. At least half of ``renew_s``."""
    share = zlib.crc32(name.encode()) % 1_000 / 1_000
    return max(policy.renew_s / 2, policy.renew_s - policy.stagger_s * (place + share))


@dataclass(frozen=True, slots=True)
class Leave:
    """Told by a stream's frame handler: leave this life. ``planned``: the next one is opened at once, beside it if it
    can go on that long; else it ends now, and the next comes after a pause."""

    reason: str
    planned: bool


@dataclass(slots=True, eq=False)
class _Life:
    """One connection."""

    born: float
    task: asyncio.Task[Leave] = field(init=False)
    socket: ClientConnection | None = None
    heard: float = 0.0
    frames: int = 0
    confirmed_at: float | None = None
    frames_confirmed: int = 0
    """Frames that had come when it was confirmed."""
    leaving: str = ""
    """Why it is to be replaced; it speaks until then."""
    verdict: Leave | None = None
    """Why we ended it."""
    closer: asyncio.Task[None] | None = None

    def end(self, verdict: Leave) -> None:
        if self.verdict is None:
            self.verdict = verdict
            if self.socket is not None:
                self.closer = asyncio.create_task(self.socket.close())

    def ready(self, now: float, overlap_s: float) -> bool:
        """It may take over: subscribed, and heard (or silent for ``overlap_s``)."""
        if self.confirmed_at is None or self.socket is None:
            return False
        return self.frames > self.frames_confirmed or now - self.confirmed_at >= overlap_s


class Link:
    """Runs lives of a WebSocket until closed. ``on_open`` subscribes; ``on_frame`` returns None or ``Leave``;
    ``on_down`` is told when no life is left. ``place``: number of this link among those of its stream. ``headers`` makes
    those of each handshake; ``on_rejected`` is told status and body of an answer that refused one, and may raise where
    trying again cannot help. ``gate``: the line in which each connect waits for its turn, with ``priority``; None counts
    nowhere."""

    def __init__(
        self,
        name: str,
        url: str,
        policy: LinkPolicy,
        on_open: Callable[["Link"], Awaitable[None]],
        on_frame: Callable[[bytes], Leave | None],
        on_down: Callable[[], None] | None = None,
        *,
        place: int = 0,
        headers: Callable[[], dict[str, str]] | None = None,
        on_rejected: Callable[[int, bytes], None] | None = None,
        gate: Gate | None = None,
        priority: Priority = Priority.MARKET,
    ) -> None:
        self._gate, self._priority = gate, priority
        self._headers, self._on_rejected = headers, on_rejected
        self.name, self.url, self.policy, self.state = name, url, policy, LinkState()
        self._on_open, self._on_frame, self._on_down = on_open, on_frame, on_down
        self._renew_s = renew_after(policy, name, place)
        self._closing = False
        self._news = asyncio.Event()
        self._lives: list[_Life] = []
        """The one that speaks, and while it is being replaced the next one."""
        self._not_before = 0.0
        self._failures, self._hurried = 0, False
        self.confirmed = asyncio.Event()
        """Set by the stream when the venue has confirmed what the newest life subscribed to."""

    @property
    def overlapping(self) -> bool:
        """An older life still speaks beside the newest."""
        return len(self._lives) > 1 and self._lives[0].socket is not None

    async def run(self) -> None:
        """Connect, and connect again, until ``close``. An error of a handler is ours and ends it."""
        try:
            while not self._closing:
                now = time.monotonic()
                self._reap(now)
                for life in self._lives:
                    self._watch(life, now)
                if len(self._lives) > 1 and self._lives[1].ready(now, self.policy.overlap_s):
                    self._lives[0].end(Leave(self._lives[0].leaving, planned=True))
                wanted = not self._lives or (len(self._lives) == 1 and bool(self._lives[0].leaving))
                if wanted and now >= self._not_before:
                    self._begin(now)
                await self._wait(self._not_before - now if wanted and now < self._not_before else self._beat())
        finally:
            await self._end_all()

    async def send(self, text: str) -> None:
        """To the newest life."""
        socket = self._lives[-1].socket if self._lives else None
        if socket is not None:
            await socket.send(text)

    async def ping(self) -> None:
        """Returns when the other end has answered a ping: what was sent before has arrived there."""
        socket = self._lives[-1].socket if self._lives else None
        if socket is not None:
            await (await socket.ping())

    def renew(self, reason: str) -> None:
        """Open the next life beside this one, as for a planned renewal. Nothing where one is under way already."""
        life = self._lives[-1] if self._lives else None
        if life is not None and life.socket is not None and life.verdict is None:
            self._leave(life, Leave(reason, planned=True))

    async def close(self) -> None:
        """End what lives and let ``run`` return."""
        self._closing = True
        self._news.set()
        sockets = [life.socket for life in self._lives if life.socket is not None]
        await asyncio.gather(*(socket.close() for socket in sockets))

    # --- the order of lives -------------------------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        self.confirmed.clear()
        life = _Life(now)
        self._lives.append(life)
        life.task = asyncio.create_task(self._live(life))
        life.task.add_done_callback(lambda _: self._news.set())

    def _reap(self, now: float) -> None:
        """Take away what has ended; decide when the next may begin."""
        for life in [one for one in self._lives if one.task.done()]:
            end = life.task.result()
            replaced = len(self._lives) > 1 and life is self._lives[0]
            self._lives.remove(life)
            if not self._lives:
                self.state.connected = False
                self.confirmed.clear()
                if self._on_down is not None:
                    self._on_down()
            if replaced:
                log.info("%s: renewed (%s)", self.name, life.leaving)
            elif not life.leaving:
                self.state.last_end = end.reason
                self._next_life(end, now - life.born, now)

    def _next_life(self, end: Leave, lived: float, now: float) -> None:
        if lived >= self.policy.stable_s:
            self._failures, self._hurried = 0, False
        at_once = end.planned and not self._hurried
        self._hurried = at_once
        policy = self.policy
        delay = 0.0 if at_once else min(policy.longest_delay_s, policy.first_delay_s * 2**self._failures)
        self._failures = self._failures if at_once else min(self._failures + 1, 16)
        self._not_before = now + delay
        log.warning("%s: %s after %.1f s; connecting again in %.2f s", self.name, end.reason, lived, delay)

    def _watch(self, life: _Life, now: float) -> None:
        """Notice a life that is confirmed, silent, unconfirmed or old."""
        policy = self.policy
        if life is self._lives[-1] and life.confirmed_at is None and self.confirmed.is_set():
            life.confirmed_at, life.frames_confirmed = now, life.frames
        if life.socket is None:
            return
        if policy.silence_s is not None and now - life.heard > policy.silence_s:
            life.end(Leave(f"nothing heard for {policy.silence_s:g} s", planned=False))
        elif life.confirmed_at is None and now - life.born > policy.confirm_s:
            life.end(Leave(f"subscription not confirmed in {policy.confirm_s:g} s", planned=False))
        elif now - life.born > self._renew_s:
            self._leave(life, Leave("planned renewal", planned=True))

    def _leave(self, life: _Life, verdict: Leave) -> bool:
        """Whether the life must end now; else it goes on until the next one has taken over."""
        if not verdict.planned or (life.confirmed_at is None and not self.confirmed.is_set()):
            return True
        if not life.leaving and life is self._lives[-1]:
            now = time.monotonic()
            life.confirmed_at = life.confirmed_at or now
            life.leaving = self.state.last_end = verdict.reason
            self._next_life(verdict, now - life.born, now)
            self._news.set()
        return False

    def _beat(self) -> float:
        policy = self.policy
        if len(self._lives) > 1:
            return min(0.02, policy.overlap_s / 4)
        return min(1.0, policy.confirm_s / 4, self._renew_s / 4, (policy.silence_s or 4.0) / 4)

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return
        self._news.clear()

    async def _end_all(self) -> None:
        lives = self._lives[:]
        self._lives.clear()
        for life in lives:
            life.task.cancel()
        closers = [life.closer for life in lives if life.closer is not None]
        await asyncio.gather(*(life.task for life in lives), *closers, return_exceptions=True)
        self.state.connected = False
        self.confirmed.clear()
        if self._on_down is not None:
            self._on_down()

    # --- one life -----------------------------------------------------------------------------------------------

    async def _live(self, life: _Life) -> Leave:
        try:
            socket = await self._open(life)
            try:
                return await self._converse(life, socket)
            finally:
                await socket.close()
        except InvalidURI:
            raise ConfigError(
                f"{self.name} has no usable address: {self.url!r}; mend it under exchanges in config.json"
            ) from None
        except InvalidStatus as error:
            rejection = error.response.status_code, bytes(error.response.body or b"")
            end = Leave(f"the handshake was refused with HTTP {rejection[0]}", planned=False)
        except ExchangeUnavailable as error:
            return Leave(str(error), planned=False)
        except (OSError, TimeoutError, WebSocketException) as error:
            return life.verdict or Leave(f"{type(error).__name__}: {str(error)[:120]}", planned=False)
        finally:
            life.socket = None
        if self._on_rejected is not None:
            # Outside of the except block: the library's error, which holds our headers, is not chained.
            self._on_rejected(*rejection)
        return end

    async def _open(self, life: _Life) -> ClientConnection:
        if self._gate is None:
            return await self._connect()

        def begin() -> Awaitable[ClientConnection]:
            life.born = time.monotonic()  # waiting in line is no part of its age
            return self._connect()

        patience_ms = self.policy.confirm_s * 1_000
        return await shake_hands(begin, self._gate, self._priority, patience_ms, f"connect of {self.name}")

    async def _connect(self) -> ClientConnection:
        local = self.url.startswith("ws://")
        return await connect(
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
        )

    async def _converse(self, life: _Life, socket: ClientConnection) -> Leave:
        state, lives, on_frame, recv, clock = self.state, self._lives, self._on_frame, socket.recv, time.monotonic
        life.socket, life.heard = socket, clock()
        state.connected, state.lives, state.heard = True, state.lives + 1, life.heard
        greet = asyncio.create_task(self._greet(life))
        try:
            while life.verdict is None:
                frame = await recv(decode=False)
                life.heard = state.heard = clock()
                life.frames += 1
                state.frames += 1
                verdict = on_frame(frame) if life is lives[-1] else self._hear_old(frame)
                if verdict is not None and self._leave(life, verdict):
                    return verdict
            return life.verdict
        finally:
            greet.cancel()
            await asyncio.gather(greet, return_exceptions=True)

    def _hear_old(self, frame: bytes) -> Leave | None:
        """A frame of a life that is being replaced: what it says confirms nothing that the next one asked for."""
        known = self.confirmed.is_set()
        verdict = self._on_frame(frame)
        if not known:
            self.confirmed.clear()
        return verdict

    async def _greet(self, life: _Life) -> None:
        try:
            await self._on_open(self)
        except ExchangeUnavailable as error:
            life.end(Leave(f"could not subscribe: {error}", planned=False))
        except (OSError, WebSocketException) as error:
            log.debug("%s: the connection broke while subscribing (%s)", self.name, type(error).__name__)


async def run_all(links: Sequence[Link], beside: Coroutine[None, None, None] | None = None) -> None:
    """Run links, and something beside them, until all links have ended; what one raises ends them all."""
    tasks = [asyncio.create_task(link.run()) for link in links]
    extra = [] if beside is None else [asyncio.create_task(beside)]
    try:
        waiting = set(tasks)
        while waiting:
            done, _ = await asyncio.wait({*waiting, *extra}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            waiting -= done
    finally:
        for task in (*tasks, *extra):
            task.cancel()
        await asyncio.gather(*tasks, *extra, return_exceptions=True)
