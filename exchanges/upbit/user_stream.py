"""Upbit's account events over its private WebSocket: orders, fills, balances.

The token goes with the handshake; one connection carries both kinds. The venue confirms no subscription and sends
nothing until something happens: that the request has arrived, a ping tells, whose answer comes after it. Events missed
while disconnected are never sent again.
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
from exchanges.faults import clean
from exchanges.limits.gate import Gate
from exchanges.limits.priority import Priority
from exchanges.link import Leave, Link, LinkPolicy, LinkState
from exchanges.upbit.names import market_code
from exchanges.upbit.signing import KeyPair, new_nonce
from exchanges.upbit.standing import ADVICE
from exchanges.upbit.wire import WireError, decode_assets, decode_order, frame_of

log = logging.getLogger(__name__)

USER_STREAM_URL = "wss://api.upbit.com/websocket/v1/private"
PING_S = 30.0
"""The venue cuts a connection that is idle for 120 s."""
FATAL = frozenset({"INVALID_AUTH", *ADVICE})
"""Key, token or right is wrong: trying again cannot help."""
REMEMBERED = 4_096


class UserStream:
    """What happens on the account.

    ``on_order(snapshot)``: an order after one event, with the fill in ``snapshot.fills`` when it was a trade; each trade
    once, in the order the venue sent them. ``on_balances(balances)``: those that changed. ``on_reconnect(reason)``:
    subscribed again after an interruption; the caller must reconcile (open orders, account, fills). ``now_ms`` and
    ``resync`` are taken for the same face as other venues': no time goes into a token. ``run`` raises ``ExchangeRefused``
    when the key is refused.
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
        now_ms: Callable[[], int] | None = None,
        resync: Callable[[], Awaitable[None]] | None = None,
        policy: LinkPolicy | None = None,
        nonce: Callable[[], str] = new_nonce,
        gate: Gate | None = None,
    ) -> None:
        self.instruments = {market_code(i): i for i in instruments}
        self.faults: Counter[str] = Counter()
        """Frames not used, by kind: ``malformed``, ``foreign`` (another market or type), ``repeated``."""
        self.last_fault = ""
        self._keys, self._nonce = KeyPair.of(keys), nonce
        self._on_order, self._on_balances, self._on_reconnect = on_order, on_balances, on_reconnect
        self._seen: OrderedDict[str, None] = OrderedDict()
        if (settings.rest_url is None) != (settings.user_stream_url is None):
            # Else a simulator's key would be shown to the venue, or the venue's to a simulator.
            raise ConfigError("exchanges.upbit: set rest_url and user_stream_url both, or leave both out")
        url = settings.user_stream_url or USER_STREAM_URL
        self._link = Link(
            "upbit user stream",
            url,
            policy or LinkPolicy(silence_s=None, ping_s=PING_S),
            self._subscribe,
            self.take,
            headers=self._headers,
            on_rejected=self._rejected,
            gate=gate,
            priority=Priority.ACCOUNT,
        )

    def __repr__(self) -> str:
        return f"UserStream({len(self.instruments)} instruments, {self._keys!r})"

    @property
    def state(self) -> LinkState:
        return self._link.state

    async def run(self) -> None:
        """Stream until ``close``."""
        if not self._keys.present:
            raise ConfigError("upbit user stream: needs an API key; put one for upbit into config/api_keys.json")
        await self._link.run()

    async def close(self) -> None:
        await self._link.close()

    async def subscribed(self) -> None:
        """Returns when the request of the current connection has arrived."""
        await self._link.confirmed.wait()

    def take(self, frame: bytes) -> Leave | None:
        """One frame of the stream; a reason to leave, or None. Raises ``ExchangeRefused`` for a refused key."""
        try:
            return self._take(frame)
        except DataError as error:
            self._count("malformed", str(error))
            return None

    def _take(self, frame: bytes) -> Leave | None:
        head = frame_of(frame)
        if head.error is not None:
            return self._refused(head.error, "")
        if head.type == "myOrder":
            self._order(frame)
        elif head.type == "myAsset":
            changed = decode_assets(frame)
            if self._on_balances is not None:
                self._on_balances(changed)
        elif head.status is None:
            self._count("foreign", f"type {head.type[:40]!r}")
        return None

    def _order(self, frame: bytes) -> None:
        snapshot = decode_order(frame, self.instruments)
        if snapshot is None:
            self._count("foreign", "order of a market or a type that is not ours")
            return
        for fill in snapshot.fills:
            if fill.trade_id in self._seen:
                self._count("repeated", f"trade {fill.trade_id[:40]} of order {snapshot.venue_id[:40]}")
                return
            self._seen[fill.trade_id] = None
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        self._on_order(snapshot)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._keys.token(nonce=self._nonce)}"}

    def _rejected(self, status: int, body: bytes) -> None:
        """The handshake was refused. Where the venue names the key as the reason, it is over."""
        try:
            error = frame_of(body).error or WireError()
        except DataError:
            error = WireError()
        if status == 401 or str(error.name) in FATAL:
            self._refused(WireError(name=str(error.name) or "INVALID_AUTH", message=error.message), f", HTTP {status}")

    def _refused(self, error: WireError, how: str) -> Leave:
        name = str(error.name)
        text = f"upbit user stream: {clean(error.message) or 'no reason given'} ({clean(name)}{how})"
        if name in FATAL:
            raise ExchangeRefused(f"{text}; {ADVICE.get(name, ADVICE['jwt_verification'])}", code=name)
        return Leave(text, planned=False)

    async def _subscribe(self, link: Link) -> None:
        codes = list(self.instruments)
        request = [
            {"ticket": new_nonce()},
            {"type": "myOrder", "codes": codes},
            {"type": "myAsset"},
            {"format": "DEFAULT"},
        ]
        await link.send(msgspec.json.encode(request).decode())
        await link.ping()
        again = link.state.lives > 1 and not link.confirmed.is_set()
        link.confirmed.set()
        if again and self._on_reconnect is not None:
            self._on_reconnect(link.state.last_end)

    def _count(self, kind: str, reason: str) -> None:
        self.faults[kind] += 1
        self.last_fault = reason
        if self.faults[kind] in (1, 10, 100) or self.faults[kind] % 1_000 == 0:
            log.warning("upbit user stream: %s frame no. %d: %s", kind, self.faults[kind], reason)
