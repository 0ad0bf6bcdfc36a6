"""Putting a plan of faults round a served exchange, and telling what it did (GET /sim/chaos)."""

from collections.abc import Callable, Sequence

import orjson
from aiohttp import web

from core.errors import ConfigError
from exchanges.simulated.chaos.binance import BinanceWording
from exchanges.simulated.chaos.frames import Meddler
from exchanges.simulated.chaos.market import InterruptedMarket
from exchanges.simulated.chaos.plan import Chaos
from exchanges.simulated.chaos.rest import FrontDoor
from exchanges.simulated.chaos.upbit import UpbitWording
from exchanges.simulated.chaos.wording import Wording
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.hub import Connection, Hub

WORDINGS: dict[str, Callable[[], Wording]] = {"binance": BinanceWording, "upbit": UpbitWording}


def interrupt(exchange: SimulatedExchange, chaos: Chaos) -> None:
    """Lay the plan's halts and quiet minutes over the exchange's market. Before it is served."""
    market = exchange.market
    bounds = (len(market.instruments), exchange.start_ms, market.end_ms)
    halts, quiet = chaos.windows("halt", *bounds), chaos.windows("quiet", *bounds)
    if halts or quiet:
        exchange.trade_on(InterruptedMarket(market, halts, quiet, flat=chaos.venue == "binance"))
        for name, windows in (("halt", halts), ("quiet", quiet)):
            if windows:
                chaos.done[name] += len(windows)


def install(app: web.Application, exchange: SimulatedExchange, hubs: Sequence[tuple[Hub, str]], chaos: Chaos) -> None:
    """Act on ``chaos`` in an application that is not running yet. ``hubs``: each with ``user`` or ``market``."""
    if chaos.venue not in WORDINGS:
        raise ConfigError(f"chaos: no venue {chaos.venue!r}; known are {', '.join(WORDINGS)}")
    wording = WORDINGS[chaos.venue]()

    def now_ms() -> int:
        return exchange.now_ms

    app.middlewares.append(FrontDoor(chaos, wording, now_ms).middleware)
    for hub, like in hubs:
        hub.on_join = _meddle_in(chaos, wording, now_ms, like)

    async def told(request: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(chaos.describe()), content_type="application/json")

    app.router.add_get("/sim/chaos", told)


def _meddle_in(chaos: Chaos, wording: Wording, now_ms: Callable[[], int], like: str) -> Callable[[Connection], None]:
    def join(connection: Connection) -> None:
        kind = like if like == "user" else "combined" if connection.combined else "raw"
        connection.meddle = Meddler(chaos, wording, now_ms, connection, kind)

    return join
