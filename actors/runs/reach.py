"""Is the exchange there, whose clock does it keep, and how does ours stand to it? Asked before anything is started."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from actors.clock import MarketTime, SimulatorControl
from actors.limits import venue_gate
from actors.plan import ClockMode
from config.settings import ExchangeSettings
from core.errors import BotError, ConfigError, ExchangeUnavailable
from core.units import Instrument
from exchanges.binance.gateway import BinanceGateway
from exchanges.binance.standing import ClockReading

VENUE_URL = "https://api.binance.com"
PATIENCE_S = 10.0
CONTROL_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """The exchange answered. A *stand-in* is a simulator at its place, which keeps a time of its own."""

    url: str
    stand_in: bool
    synthetic: bool
    clock: ClockMode
    speed: float
    server_ms: int
    offset: ClockReading | None
    """The venue's clock against this machine's; None for a stand-in, whose clock is its own."""

    @property
    def sim_url(self) -> str | None:
        return self.url if self.stand_in else None

    @property
    def sim_urls(self) -> tuple[str, ...]:
        return (self.url,) if self.stand_in else ()

    def clock_fault(self, allowed_ms: int) -> str:
        """Why the clock forbids trading, and what to do; empty when it does not."""
        if self.offset is None or self.offset.within:
            return ""
        ahead = "behind" if self.offset.offset_ms > 0 else "ahead of"
        return (
            f"this machine's clock is {abs(self.offset.offset_ms) / 1000:.1f} s {ahead} the exchange's, allowed are "
            f"{allowed_ms / 1000:g} s (exchanges.binance.max_clock_offset_ms); let the system set it: "
            "timedatectl set-ntp true (Linux), or Settings > Date & time > Sync now (Windows, macOS)"
        )


def reach(exchange: ExchangeSettings, instruments: tuple[Instrument, ...], var: Path | None = None) -> Reached:
    """Ask the exchange for its time, within ``PATIENCE_S``. ``var``: where the limits are shared; None counts alone.

    Raises ExchangeUnavailable saying what to do, ConfigError when only some of its addresses are set.
    """
    given = {name: getattr(exchange, name) for name in ("rest_url", "stream_url", "user_stream_url")}
    absent = [name for name, url in given.items() if url is None]
    if 0 < len(absent) < len(given):
        # Else one market would be watched and another one traded.
        raise ConfigError(f"exchanges.binance: {', '.join(absent)} is not set, but others are; set all three or none")
    return asyncio.run(_reach(exchange, instruments, var))


async def _reach(exchange: ExchangeSettings, instruments: tuple[Instrument, ...], var: Path | None) -> Reached:
    url = (exchange.rest_url or VENUE_URL).rstrip("/")
    gateway = BinanceGateway(exchange, None, instruments, ledger=venue_gate(var, "binance", exchange))
    try:
        async with asyncio.timeout(PATIENCE_S):
            state = await _simulator(url) if exchange.rest_url is not None else None
            server_ms = await gateway.server_time_ms()
            offset = None if state is not None else await gateway.measure_clock(MarketTime(1.0, wall=True))
    except (TimeoutError, ExchangeUnavailable) as error:
        reason = f"no answer within {PATIENCE_S:g} s" if isinstance(error, TimeoutError) else str(error)
        raise ExchangeUnavailable(f"the exchange cannot be reached at {url}: {reason}. {_advice(exchange)}") from None
    finally:
        await gateway.close()
    if state is None:
        return Reached(
            url=url, stand_in=False, synthetic=False, clock="wall", speed=1.0, server_ms=server_ms, offset=offset
        )
    if state["mode"] == "lockstep":
        raise ConfigError(
            f"exchanges.binance.rest_url: the simulator at {url} runs in lockstep, where nobody would move its time; "
            "start it with --speed"
        )
    return Reached(
        url=url,
        stand_in=True,
        synthetic=bool(state["synthetic"]),
        clock="speed",
        speed=float(state["speed"]),
        server_ms=server_ms,
        offset=None,
    )


async def _simulator(url: str) -> dict | None:
    """The state of our simulator at this address; None when something else answers there, or nothing."""
    control = SimulatorControl(url, CONTROL_S)
    try:
        return await control.state()
    except BotError:
        # Whether anything is there at all is the venue's own calls' to find out.
        return None
    finally:
        await control.close()


def _advice(exchange: ExchangeSettings) -> str:
    if exchange.rest_url is not None:
        return "Is it running? exchanges.binance.rest_url names it (config.json, or MINUTEHAND__EXCHANGES__BINANCE__…)"
    return (
        "Check the network, the proxy (HTTPS_PROXY), and whether Binance serves your country. To try the bot without "
        "the exchange: python3 run.py replay"
    )
