"""Binance spot's account events over the WebSocket API: orders, fills, balances.

The subscription is signed by itself (``userDataStream.subscribe.signature``), which works with HMAC and Ed25519 keys.
Events missed while disconnected are never sent again.
"""

import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from config.settings import ExchangeSettings
from core.errors import ConfigError, DataError, ExchangeRefused
from core.messages import Balance, OrderSnapshot
from core.units import Instrument
from exchanges.binance.signing import KeyPair
from exchanges.binance.wire import (
    EventKind,
    Subscription,
    UserFrame,
    VenueError,
    WirePause,
    decode,
    decode_position,
    decode_report,
    reader,
)
from exchanges.faults import clean
from exchanges.limits.gate import Gate
from exchanges.limits.priority import Priority
from exchanges.link import Leave, Link, LinkPolicy, LinkState

log = logging.getLogger(__name__)

USER_STREAM_URL = "wss://ws-api.binance.com:443/ws-api/v3"
FATAL = frozenset({-1022, -2008, -2014, -2015})
"""Signature, key or permission is wrong: trying again cannot help."""
REMEMBERED = 4_096

_FRAME, _KIND, _SUBSCRIPTION, _PAUSE = map(reader, (UserFrame, EventKind, Subscription, WirePause))


class UserStream:
    """What happens on the account.

    ``on_order(snapshot)``: an order after one execution, with the fill in ``snapshot.fills`` when it was a trade;
    each execution once, in the order the venue sent them. ``on_balances(balances)``: those that changed.
    ``on_reconnect(reason)``: subscribed again after an interruption; the caller must reconcile (open orders, account,
    fills). ``now_ms`` gives the venue's time (``BinanceGateway.now_ms``) and ``resync`` corrects it when the venue
    turns down our stamp (``BinanceGateway.sync_clock``). ``run`` raises ``ExchangeRefused`` when the key is refused.
    """

    def __init__(
        self,
        settings: ExchangeSettings,
        keys: Any,
        instruments: Sequence[Instrument],
        on_order: Callable[[OrderSnapshot], None],
        on_balances: Callable[[tuple[Balance, ...]], None] | None = None,
        on_reconnect: Callable[[str], None] | None = None,
        *,
        now_ms: Callable[[], int],
        resync: Callable[[], Awaitable[None]] | None = None,
        policy: LinkPolicy | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.instruments = {i.symbol.replace("/", ""): i for i in instruments}
        self.faults: Counter[str] = Counter()
        """Frames not used, by kind: ``malformed``, ``foreign`` (another symbol or event), ``repeated``."""
        self.last_fault = ""
        self._settings, self._keys = settings, KeyPair.of(keys)
        self._on_order, self._on_balances, self._on_reconnect = on_order, on_balances, on_reconnect
        self._now_ms, self._resync, self._gate = now_ms, resync, gate
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._clock_refused = False
        self._requests = 0
        if (settings.rest_url is None) != (settings.user_stream_url is None):
            # Else a simulator's key would be shown to the venue, or the venue's to a simulator.
            raise ConfigError("exchanges.binance: set rest_url and user_stream_url both, or leave both out")
        url = settings.user_stream_url or USER_STREAM_URL
        policy = policy or LinkPolicy(silence_s=None)
        self._link = Link(
            "binance user stream", url, policy, self._subscribe, self.take, gate=gate, priority=Priority.ACCOUNT
        )

    def __repr__(self) -> str:
        return f"UserStream({len(self.instruments)} instruments, {self._keys!r})"

    @property
    def state(self) -> LinkState:
        return self._link.state

    async def run(self) -> None:
        """Stream until ``close``."""
        if not self._keys.present:
            raise ConfigError("binance user stream: needs an API key; put one for binance into config/api_keys.json")
        await self._link.run()

    async def close(self) -> None:
        await self._link.close()

    async def subscribed(self) -> None:
        """Returns when the venue has confirmed the subscription of the current connection."""
        await self._link.confirmed.wait()

    def take(self, frame: bytes) -> Leave | None:
        """One frame of the stream; a reason to leave, or None. Raises ``ExchangeRefused`` for a refused key."""
        try:
            return self._take(frame)
        except DataError as error:
            self._count("malformed", str(error))
            return None

    def _take(self, frame: bytes) -> Leave | None:
        envelope: UserFrame = decode(_FRAME, frame, "user frame")
        if not envelope.event:
            return self._answer(envelope)
        kind = decode(_KIND, envelope.event, "user event").e
        if kind == "executionReport":
            self._report(envelope.event)
        elif kind == "outboundAccountPosition":
            changed = decode_position(envelope.event)
            if self._on_balances is not None:
                self._on_balances(changed)
        elif kind in ("serverShutdown", "eventStreamTerminated"):
            return Leave(f"the venue sent {kind}", planned=True)
        elif kind not in ("balanceUpdate", "listStatus", "externalLockUpdate"):
            self._count("foreign", f"event {kind[:40]!r}")
        return None

    def _report(self, event: msgspec.Raw) -> None:
        report = decode_report(event, self.instruments)
        if report is None:
            self._count("foreign", "order of a symbol that is not ours")
            return
        snapshot, execution = report
        key = (snapshot.venue_id, execution)
        if execution >= 0 and key in self._seen:
            self._count("repeated", f"execution {execution} of order {snapshot.venue_id}")
            return
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        self._on_order(snapshot)

    def _answer(self, envelope: UserFrame) -> Leave | None:
        """The venue's answer to our subscription."""
        if envelope.id is None:
            self._count("foreign", "neither event nor answer")
            return None
        if envelope.error is None and envelope.status == 200:
            if decode(_SUBSCRIPTION, envelope.result, "subscription").subscriptionId is None:
                return Leave("the subscription was answered without an id", planned=False)
            self._link.confirmed.set()
            if self._link.state.lives > 1 and self._on_reconnect is not None:
                self._on_reconnect(self._link.state.last_end)
            return None
        if envelope.status in (418, 429) and self._gate is not None:
            # Said on this connection, meant for all that this address sends.
            self._gate.turned_away(envelope.status, _pause_s(envelope.error))
        code = envelope.error.code if envelope.error else 0
        reason = clean(envelope.error.msg) if envelope.error else "no reason given"
        text = f"binance user stream: {reason} (code {code}, status {envelope.status})"
        if code in FATAL:
            raise ExchangeRefused(text, code=str(code))
        self._clock_refused = code == -1021
        return Leave(text, planned=self._clock_refused)

    async def _subscribe(self, link: Link) -> None:
        if self._clock_refused and self._resync is not None:
            await self._resync()
            self._clock_refused = False
        params: dict[str, Any] = {
            "apiKey": self._keys.api_key,
            "recvWindow": self._settings.recv_window_ms,
            "timestamp": self._now_ms(),
        }
        params["signature"] = self._keys.sign(params)
        self._requests += 1
        request = {"id": str(self._requests), "method": "userDataStream.subscribe.signature", "params": params}
        await link.send(msgspec.json.encode(request).decode())

    def _count(self, kind: str, reason: str) -> None:
        self.faults[kind] += 1
        self.last_fault = reason
        if self.faults[kind] in (1, 10, 100) or self.faults[kind] % 1_000 == 0:
            log.warning("binance user stream: %s frame no. %d: %s", kind, self.faults[kind], reason)


def _pause_s(error: VenueError | None) -> float | None:
    """How long a refusal asks to stay away; None where it does not say so sensibly."""
    if error is None or not error.data:
        return None
    try:
        pause: WirePause = decode(_PAUSE, error.data, "pause")
    except DataError:
        return None
    if not 0 < pause.serverTime <= pause.retryAfter < 2**53:
        return None
    return (pause.retryAfter - pause.serverTime) / 1_000
