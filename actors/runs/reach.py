"""Are the exchanges there, whose clock do they keep, and how does ours stand to it? Asked before anything is started."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from actors.clock import MarketTime, SimulatorControl, SimulatorsControl
from actors.limits import venue_gate
from actors.plan import ClockMode
from actors.runs.brief import run_briefly
from config.settings import Config, ExchangeSettings
from core.currency import OWN_MARKETS
from core.errors import BotError, ConfigError, Defect, ExchangeRefused, ExchangeUnavailable
from core.standing import ClockReading
from core.units import Instrument
from exchanges.venues import gateway_of, own, parts_of

PATIENCE_S = 10.0
CONTROL_S = 3.0
APART_MS, ASKED_MS = 10_000, 1_000
"""How far the clocks of two stand-ins may be apart, market time; and how late one may be on a busy machine, real time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """The exchange answered. A *stand-in* is a simulator at its place, which keeps a time of its own."""

    venue: str
    url: str
    stand_in: bool
    synthetic: bool
    clock: ClockMode
    speed: float
    server_ms: int
    offset: ClockReading | None
    """The venue's clock against this machine's; None for a stand-in, whose clock is its own."""
    origin_ms: float = 0.0
    """A stand-in's time when this machine's monotonic clock was 0, by its pace; where it stands, the time it stands at."""
    paused: bool = False
    """A stand-in whose clock stands until it is told to run."""

    @property
    def sim_url(self) -> str | None:
        return self.url if self.stand_in else None

    def clock_fault(self, allowed_ms: int) -> str:
        """Why the clock forbids trading, and what to do; empty when it does not."""
        if self.offset is None or self.offset.within:
            return ""
        ahead = "behind" if self.offset.offset_ms > 0 else "ahead of"
        return (
            f"this machine's clock is {abs(self.offset.offset_ms) / 1000:.1f} s {ahead} {self.venue}'s, allowed are "
            f"{allowed_ms / 1000:g} s (exchanges.{self.venue}.max_clock_offset_ms); let the system set it: "
            "timedatectl set-ntp true (Linux), or Settings > Date & time > Sync now (Windows, macOS)"
        )


@dataclass(frozen=True, slots=True)
class ReachedAll:
    """The exchanges of one run, by venue: all of them real, or all of them stand-ins that keep the same time."""

    parts: Mapping[str, Reached]

    @property
    def first(self) -> Reached:
        """The venue whose time is the market's."""
        return next(iter(self.parts.values()))

    @property
    def name(self) -> str:
        """For people: ``binance``, or ``binance+upbit``."""
        return "+".join(self.parts)

    @property
    def stand_in(self) -> bool:
        return self.first.stand_in

    @property
    def synthetic(self) -> bool:
        return any(part.synthetic for part in self.parts.values())

    @property
    def clock(self) -> ClockMode:
        return self.first.clock

    @property
    def speed(self) -> float:
        return self.first.speed

    @property
    def server_ms(self) -> int:
        return self.first.server_ms

    @property
    def sim_url(self) -> str | None:
        return self.first.sim_url

    @property
    def sim_urls(self) -> tuple[str, ...]:
        return tuple(part.url for part in self.parts.values() if part.stand_in)

    def clock_faults(self, config: Config) -> list[str]:
        """Why a clock forbids trading, for each venue it is off from."""
        asked = (part.clock_fault(config.exchanges[_venue(v)].max_clock_offset_ms) for v, part in self.parts.items())
        return [fault for fault in asked if fault]


def reach_all(config: Config, var: Path | None = None) -> ReachedAll:
    """Ask every venue of ``trade.instruments``, one after the other. Raises what ``reach`` does, and ConfigError where
    not all of them can be of one market: some real and some simulated, or simulators with clocks of their own."""
    instruments = config.trade.rows
    venues = tuple(dict.fromkeys(i.venue for i in instruments))
    if not venues:
        raise Defect("reach: no instruments")
    parts = {v: reach(config.exchanges[_venue(v)], own(v, instruments), var, v) for v in venues}
    real = [v for v, part in parts.items() if not part.stand_in]
    if real and len(real) < len(parts):
        others = ", ".join(v for v in parts if v not in real)
        raise ConfigError(
            f"exchanges: {others} is a simulator and {', '.join(real)} is not; a run keeps one clock, so set all or none"
        )
    first = next(iter(parts.values()))
    for part in parts.values():
        if part.speed != first.speed:
            raise ConfigError(f"exchanges: the simulators of {first.venue} and {part.venue} run at different speeds")
        if real:
            continue
        if part.paused != first.paused:
            raise ConfigError(
                f"exchanges: the clock of the simulator of {first.venue if first.paused else part.venue} stands, that of "
                "the other runs; start both anew with --paused"
            )
        apart_ms = abs(part.origin_ms - first.origin_ms)
        if apart_ms > APART_MS + ASKED_MS * first.speed:
            # Bars and books of the one that is behind would never be those of the minute that is decided.
            raise ConfigError(
                f"exchanges: the clocks of the simulators of {first.venue} and {part.venue} are {apart_ms / 1000:,.0f} s "
                "apart; start both with the same --start, and with --paused"
            )
    return ReachedAll(parts)


def _venue(name: str) -> Literal["binance", "upbit"]:
    parts_of(name)
    return cast(Literal["binance", "upbit"], name)


def reach(
    exchange: ExchangeSettings, instruments: tuple[Instrument, ...], var: Path | None = None, venue: str = "binance"
) -> Reached:
    """Ask the exchange for its time, within ``PATIENCE_S``. ``var``: where the limits are shared; None counts alone.

    Raises ExchangeUnavailable saying what to do, ConfigError when only some of its addresses are set.
    """
    given = {name: getattr(exchange, name) for name in ("rest_url", "stream_url", "user_stream_url")}
    absent = [name for name, url in given.items() if url is None]
    if 0 < len(absent) < len(given):
        # Else one market would be watched and another one traded.
        keys = [f"exchanges.{venue}.{name}" for name in absent]
        others = [f"{name} is {url}" for name, url in given.items() if url is not None]
        raise ConfigError(
            f"{' and '.join(keys)} {'are' if len(keys) > 1 else 'is'} not set, but {' and '.join(others)}; set all three, "
            "as run.py sim prints them at its start, or none to reach the venue itself"
        )
    return run_briefly(_reach(exchange, instruments, var, venue))


async def _reach(
    exchange: ExchangeSettings, instruments: tuple[Instrument, ...], var: Path | None, venue: str
) -> Reached:
    url = (exchange.rest_url or parts_of(venue).url).rstrip("/")
    gateway = gateway_of(venue, exchange, None, instruments, ledger=venue_gate(var, venue, exchange))
    try:
        async with asyncio.timeout(PATIENCE_S):
            state = await _simulator(url) if exchange.rest_url is not None else None
            asked_s = time.monotonic()
            server_ms = await gateway.server_time_ms()
            offset = None if state is not None else await gateway.measure_clock(MarketTime(1.0, wall=True))
    except (TimeoutError, ExchangeUnavailable) as error:
        reason = f"no answer within {PATIENCE_S:g} s" if isinstance(error, TimeoutError) else str(error)
        raise ExchangeUnavailable(
            f"the exchange cannot be reached at {url}: {reason}. {_advice(venue, exchange)}"
        ) from None
    finally:
        await gateway.close()
    if state is None:
        return Reached(
            venue=venue,
            url=url,
            stand_in=False,
            synthetic=False,
            clock="wall",
            speed=1.0,
            server_ms=server_ms,
            offset=offset,
        )
    if state["mode"] == "lockstep":
        raise ConfigError(
            f"exchanges.{venue}.rest_url: the simulator at {url} runs in lockstep, where nobody would move its time; "
            "start it with --speed"
        )
    return Reached(
        venue=venue,
        url=url,
        stand_in=True,
        synthetic=bool(state["synthetic"]),
        clock="speed",
        speed=float(state["speed"]),
        # To the millisecond, where Upbit's wire tells whole seconds.
        server_ms=int(state["now_ms"]),
        offset=None,
        origin_ms=float(state["now_ms"]) - (0.0 if state["paused"] else asked_s * 1_000 * float(state["speed"])),
        paused=bool(state["paused"]),
    )


def let_run(reached: ReachedAll) -> None:
    """Start the clocks of stand-ins that stand, all at once, so that they keep one time. Raises ExchangeUnavailable."""
    if reached.sim_urls:
        asyncio.run(_let_run(reached.sim_urls))


async def _let_run(urls: tuple[str, ...]) -> None:
    control = SimulatorsControl(urls)
    try:
        await control.run()
    finally:
        await control.close()


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


def won_a_usdt(exchange: ExchangeSettings, var: Path | None = None) -> float:
    """KRW that one USDT costs at Upbit now. Raises ExchangeUnavailable when that cannot be asked."""
    return run_briefly(_won_a_usdt(exchange, var))


async def _won_a_usdt(exchange: ExchangeSettings, var: Path | None) -> float:
    market = OWN_MARKETS["KRW"]
    gateway: Any = gateway_of(market.venue, exchange, None, (market,), ledger=venue_gate(var, market.venue, exchange))
    try:
        async with asyncio.timeout(PATIENCE_S):
            newest = await gateway.newest_trades()
    except (TimeoutError, ExchangeRefused, ExchangeUnavailable) as error:
        raise ExchangeUnavailable(f"the price of {market} cannot be asked: {error!s:.200}") from None
    finally:
        await gateway.close()
    if market not in newest:
        raise ExchangeUnavailable(f"{market} has no price")
    return float(newest[market][1])


def _advice(venue: str, exchange: ExchangeSettings) -> str:
    if exchange.rest_url is not None:
        return (
            f"Is it running? exchanges.{venue}.rest_url names it (config.json, or "
            f"MINUTEHAND__EXCHANGES__{venue.upper()}__…)"
        )
    return (
        f"Check the network, the proxy (HTTPS_PROXY), and whether {venue.capitalize()} serves your country. To try the bot without "
        "the exchange: python3 run.py replay"
    )
