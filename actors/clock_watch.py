"""How far the venues' clocks stand from this machine's, asked anew every minute beside the minute.

Nothing waits for an answer: what is told is the newest reading, and the next one is asked for meanwhile. A venue that
does not answer keeps its last one; that it is silent stops buying by itself.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from actors.clock import MarketTime
from config.settings import ExchangeSettings
from core.errors import BotError
from core.messages import AccountState
from core.ports import Clock
from core.standing import ClockReading


class Measured(Protocol):
    """A gateway, as far as its clock goes."""

    async def measure_clock(self, clock: Clock | None = None, samples: int = 1) -> ClockReading: ...


class ClockWatch:
    """Of ``gateways`` by venue; what they may differ is in their ``settings``."""

    def __init__(self, gateways: Mapping[str, Measured], settings: Mapping[str, ExchangeSettings]) -> None:
        self._gateways = dict(gateways)
        self._allowed = {venue: float(settings[venue].max_clock_offset_ms) for venue in gateways}
        self._offsets: dict[str, float] = {}
        self._asking: asyncio.Task[None] | None = None

    def told(self, account: AccountState) -> AccountState:
        """``account`` with the worst of the newest readings; asks for the next ones."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self.ask())
        if not self._offsets:
            return account
        worst = max(self._offsets, key=lambda venue: abs(self._offsets[venue]) / self._allowed[venue])
        return replace(account, clock_offset_ms=self._offsets[worst], clock_allowed_ms=self._allowed[worst])

    async def ask(self) -> None:
        """Read every venue's clock now."""
        for venue, gateway in self._gateways.items():
            try:
                reading = await gateway.measure_clock(MarketTime(1.0, wall=True), 1)
            except BotError:
                continue
            # What the way there and back took is not known to lie on one side of it.
            beyond = max(0.0, abs(reading.offset_ms) - reading.round_trip_ms / 2)
            self._offsets[venue] = beyond if reading.offset_ms > 0 else -beyond
