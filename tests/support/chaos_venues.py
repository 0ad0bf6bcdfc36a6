"""The two venues of the chaos run: a simulated exchange, its wire, our gateway and stream at it."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from exchanges.limits.groups import Group, GroupLedger

from config.settings import ExchangeSettings
from core.grid import upbit_tick
from core.messages import OrderState
from core.units import MINUTE_MS, Instrument, MarketRules, Side
from exchanges.binance.gateway import BinanceGateway
from exchanges.simulated.chaos.plan import Chaos
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.local import STATES
from exchanges.simulated.orders import OrderRequest, OrderType, SimOrder, Trade
from exchanges.simulated.server import RunningServer, serve_exchange
from exchanges.simulated.upbit.budget import GROUPS, Allowance
from exchanges.simulated.upbit.market import upbit_exchange
from exchanges.simulated.upbit.sheets import trade_name
from exchanges.simulated.upbit.walk import krw_walk_tape
from exchanges.simulated.walk import random_walk_tape
from exchanges.upbit.gateway import UpbitGateway
from exchanges.upbit.names import client_id_of
from exchanges.venues import user_stream_of
from tests.support.binance_stub import API_KEY, SECRET

START = 1_767_225_600_000
PAST = 60
"""Minutes before the first order."""
MINUTES = 240
MANY = 100_000
"""A second, in every group of Upbit's limits: the run is not about them, and a second of ours is minutes there."""


@dataclass(frozen=True)
class ChaosVenue:
    """What differs between the venues."""

    name: str
    balances: dict[str, Decimal]
    money: float
    """Usual worth of an order, quote units."""
    make: Callable[[int], SimulatedExchange]
    """The exchange of a seed."""

    async def serve(self, exchange: SimulatedExchange, chaos: Chaos) -> RunningServer:
        allowance = Allowance(groups=dict.fromkeys(GROUPS, (MANY, 1.0))) if self.name == "upbit" else None
        credentials = {API_KEY: SECRET}
        return await serve_exchange(
            exchange, credentials=credentials, venue=self.name, chaos=chaos, allowance=allowance
        )

    def settings(self, server: RunningServer) -> ExchangeSettings:
        return ExchangeSettings(
            rest_url=server.url, stream_url=server.stream_url, user_stream_url=server.user_stream_url, timeout_ms=500
        )

    def gateway(self, settings: ExchangeSettings, instruments: tuple[Instrument, ...]) -> Any:
        if self.name == "upbit":
            ledger = GroupLedger(groups={name: Group(MANY, 1_000) for name in GROUPS})
            return UpbitGateway(settings, (API_KEY, SECRET), instruments, ledger=ledger)
        return BinanceGateway(settings, (API_KEY, SECRET), instruments)

    def user_stream(self, settings: ExchangeSettings, instruments: tuple[Instrument, ...], *calls: Any, **more: Any):
        return user_stream_of(self.name, settings, (API_KEY, SECRET), instruments, *calls, **more)

    def tick(self, rule: MarketRules, price: Decimal) -> Decimal:
        return upbit_tick(rule.instrument.symbol, float(price)) if self.name == "upbit" else rule.tick

    def trade_id(self, order: SimOrder, trade: Trade) -> str:
        return trade_name(order, trade) if self.name == "upbit" else str(trade.trade_id)

    def orders(self, server: RunningServer) -> list[tuple[str, SimOrder]]:
        """(name as its owner knows it, order) of every order the venue ever took."""
        if self.name == "upbit":
            # Among them those that the venue took and cancelled without working them.
            return [(client_id_of(sheet.identifier or ""), sheet.order) for sheet in server.state.desk.all()]
        return [(order.client_id, order) for order in server.state.exchange.orders.values()]

    def state_of(self, order: SimOrder) -> OrderState:
        """What the wire can tell of an order's end: Upbit says ``cancel`` for whatever ended it but a fill."""
        state = STATES[order.status]
        return OrderState.CANCELLED if self.name == "upbit" and state is OrderState.EXPIRED else state

    def by_hand(
        self, server: RunningServer, instrument: Instrument, side: Side, quantity: Decimal, price: Decimal, **how: str
    ) -> SimOrder:
        """Somebody else's order in the same account. Hold the lock; the venue's refusals come through."""
        exchange, resting = server.state.exchange, how["force"] == "GTC"
        if self.name == "upbit":
            wanted = server.state.desk.read(
                {
                    "market": f"{instrument.quote}-{instrument.base}",
                    "side": "bid" if side is Side.BUY else "ask",
                    "ord_type": "limit",
                    "volume": f"{quantity:f}",
                    "price": f"{price:f}",
                    "identifier": how["name"],
                    **({} if resting else {"time_in_force": "ioc"}),
                }
            )
            server.state.desk.check(wanted)
            return server.state.desk.place(wanted).order
        return exchange.place(
            OrderRequest(
                instrument=instrument,
                side=side,
                type=OrderType.LIMIT,
                quantity=quantity,
                price=price,
                time_in_force=how["force"],
                client_id=how["name"],
            )
        )


def _binance(seed: int) -> SimulatedExchange:
    tape = random_walk_tape(("BTC/USDT", "ETH/USDT", "SOL/USDT"), START, PAST + MINUTES, seed=seed)
    return SimulatedExchange(tape, tape.default_rules(), BINANCE.balances, START + PAST * MINUTE_MS)


def _upbit(seed: int) -> SimulatedExchange:
    tape = krw_walk_tape(("BTC/KRW", "ETH/KRW", "XRP/KRW"), START, PAST + MINUTES, seed=seed)
    return upbit_exchange(tape, UPBIT.balances, START + PAST * MINUTE_MS)


BINANCE = ChaosVenue(
    "binance",
    {"USDT": Decimal(60_000), "BTC": Decimal("0.5"), "ETH": Decimal(10), "SOL": Decimal(200)},
    400.0,
    _binance,
)
UPBIT = ChaosVenue(
    "upbit",
    {"KRW": Decimal(80_000_000), "BTC": Decimal("0.5"), "ETH": Decimal(10), "XRP": Decimal(10_000)},
    500_000.0,
    _upbit,
)
VENUES = {venue.name: venue for venue in (BINANCE, UPBIT)}
