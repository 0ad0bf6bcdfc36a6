"""What every served exchange has, whichever venue's wire it speaks: the exchange, its clock, and who is connected."""

import asyncio
from collections.abc import Callable
from typing import Literal

from aiohttp import web

from exchanges.simulated.events import AccountMoved, BookMoved, Event
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.hub import Hub
from exchanges.simulated.orders import SimOrder

Mode = Literal["lockstep", "speed", "follow"]
"""Who moves time: ``POST /sim/advance``, the monotonic clock, or the market that is watched."""
TRADES_ONLY = frozenset({"trade"})
"""What the key may do beside reading: ``trade``, ``withdraw``."""
USER = "user"
"""Name under which connections listen for the account's own events."""


class Served:
    """One served exchange. Whatever changes it or writes frames holds ``lock``, so frames keep their order.

    A venue's wire derives from it and says in ``announce`` what each event looks like there.
    """

    venue = ""

    def __init__(
        self,
        exchange: SimulatedExchange,
        mode: Mode,
        speed: float,
        paused: bool = False,
        on_account: Callable[[], None] | None = None,
        key_rights: frozenset[str] = TRADES_ONLY,
    ) -> None:
        self.exchange = exchange
        self.mode = mode
        self.speed = speed
        self.running = asyncio.Event()
        """Set once the clock may run; a paused exchange serves, and time stands."""
        if not paused:
            self.running.set()
        self._on_account = on_account
        self.key_rights = key_rights
        self.lock = asyncio.Lock()
        self.hub = Hub()
        self.users = Hub()

    @property
    def ended(self) -> bool:
        return self.exchange.now_ms >= self.exchange.market.end_ms

    def describe(self) -> dict:
        """GET /sim/state."""
        exchange = self.exchange
        return {
            "venue": self.venue,
            "now_ms": exchange.now_ms,
            "start_ms": exchange.start_ms,
            "end_ms": exchange.market.end_ms,
            "mode": self.mode,
            "speed": self.speed,
            "paused": not self.running.is_set(),
            "ended": self.ended,
            "synthetic": exchange.market.synthetic,
            "symbols": [i.symbol for i in exchange.instruments],
            "open_orders": len(exchange.open_orders()),
            "connections": len(self.hub.connections) + len(self.users.connections),
        }

    async def advance(self, to_ms: int) -> None:
        """Move the exchange and write every frame that belongs to it. Hold the lock."""
        await self.publish(self.exchange.advance_to(to_ms))

    async def publish(self, events: list[Event]) -> None:
        """Turn events into frames and write them. Hold the lock.

        Whoever keeps the account is told before anybody hears of a change.
        """
        if self._on_account is not None and any(isinstance(event, AccountMoved) for event in events):
            self._on_account()
        self.announce(events)
        await self.users.flush()
        await self.hub.flush()

    async def traded(self, order: SimOrder | None) -> None:
        """Write the frames of what an order request caused, its market's book included. Hold the lock."""
        events = self.exchange.take_events()
        if order is not None:
            events.append(BookMoved(order.row, self.exchange.now_ms))
        await self.publish(events)

    def announce(self, events: list[Event]) -> None:
        """Queue the frames of ``events``."""
        raise NotImplementedError

    async def show_running_bars(self) -> None:
        """Called now and then while time runs by itself: write what a venue shows of a bar that is still open."""


SERVED = web.AppKey("served", Served)
