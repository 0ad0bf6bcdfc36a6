"""The venues by name: the one place that knows all of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.settings import ExchangeSettings
from core.errors import ConfigError
from core.messages import Balance, Bar, OrderSnapshot, Top
from core.ports import AccountFeed, Clock, Gateway, MarketFeed
from core.units import Instrument
from exchanges.binance.gateway import BinanceGateway
from exchanges.binance.names import venue_symbol as binance_symbol
from exchanges.binance.stream import MarketStream as BinanceMarket
from exchanges.binance.user_stream import UserStream as BinanceUser
from exchanges.book import Level, OrderBook
from exchanges.limits import Gate
from exchanges.link import LinkPolicy
from exchanges.trade import Trade
from exchanges.upbit.gateway import UpbitGateway
from exchanges.upbit.names import market_code as upbit_symbol
from exchanges.upbit.stream import MarketStream as UpbitMarket
from exchanges.upbit.user_stream import UserStream as UpbitUser

OnBar = Callable[[Instrument, Bar], None]
OnTop = Callable[[Instrument, Top | None], None]
OnOrder = Callable[[OrderSnapshot], None]
OnBalances = Callable[[tuple[Balance, ...]], None]
OnBreak = Callable[[str], None]
OnTrade = Callable[[Instrument, Trade], None]
OnLevels = Callable[[Instrument, tuple[Sequence[Level], Sequence[Level]] | None], None]
"""Displayed (bids, asks), best first, or None when they are not known any more."""
LEVELS_TOLD = 20
"""Of each side, at most."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What one venue is made of."""

    gateway: type[Any]
    market: type[Any]
    user: type[Any]
    symbol: Callable[[Instrument], str]
    url: str
    """Of its REST, for people."""
    rest_confirms: bool
    """Its market stream asks REST about minutes that nothing else closes."""


VENUES: Mapping[str, Parts] = {
    "binance": Parts(
        BinanceGateway, BinanceMarket, BinanceUser, binance_symbol, "https://api.binance.com", rest_confirms=False
    ),
    "upbit": Parts(UpbitGateway, UpbitMarket, UpbitUser, upbit_symbol, "https://api.upbit.com", rest_confirms=True),
}


def parts_of(venue: str) -> Parts:
    """``ConfigError`` for a venue nobody here knows."""
    if venue not in VENUES:
        raise ConfigError(f"exchanges: there is no venue {venue!r}; known: {', '.join(VENUES)}")
    return VENUES[venue]


def gateway_of(
    venue: str,
    settings: ExchangeSettings,
    keys: Any,
    instruments: Sequence[Instrument],
    *,
    clock: Clock | None = None,
    ledger: Gate | None = None,
) -> Gateway:
    """A gateway of the venue. ``ledger``: where to stand in line (``exchanges.limits.sharing``); None counts alone."""
    return parts_of(venue).gateway(settings, keys, own(venue, instruments), clock=clock, ledger=ledger)


def market_stream_of(
    venue: str,
    settings: ExchangeSettings,
    instruments: Sequence[Instrument],
    on_bar: OnBar,
    on_top: OnTop | None = None,
    on_gap: OnBreak | None = None,
    *,
    now_ms: Callable[[], int],
    gateway: Gateway,
    policy: LinkPolicy | None = None,
    **more: Any,
) -> MarketFeed:
    """The venue's market stream. ``gateway`` is what it may ask about minutes; ``more`` goes to the venue's class."""
    parts = parts_of(venue)
    if parts.rest_confirms:
        more["rest"] = gateway
    return parts.market(settings, own(venue, instruments), on_bar, on_top, on_gap, now_ms=now_ms, policy=policy, **more)


def whole_market_stream_of(
    venue: str,
    settings: ExchangeSettings,
    instruments: Sequence[Instrument],
    on_bar: OnBar,
    on_top: OnTop,
    on_levels: OnLevels,
    on_trade: OnTrade,
    *,
    now_ms: Callable[[], int],
    gateway: Any,
    gate: Gate | None = None,
) -> MarketFeed:
    """The venue's market stream with everything it shows: displayed levels and every trade too. Binance's books begin
    with a snapshot that ``gateway`` is asked for."""

    def on_book(instrument: Instrument, book: OrderBook | None) -> None:
        on_levels(instrument, None if book is None else book.levels(LEVELS_TOLD))

    more: dict[str, Any] = {"on_trade": on_trade, "gate": gate}
    if venue == "upbit":
        more["on_levels"] = lambda instrument, bids, asks: on_levels(instrument, (bids, asks))
    else:
        more |= {"trades": True, "depth": True, "on_book": on_book, "snapshot": gateway.depth}
    return market_stream_of(venue, settings, instruments, on_bar, on_top, now_ms=now_ms, gateway=gateway, **more)


def user_stream_of(
    venue: str,
    settings: ExchangeSettings,
    keys: Any,
    instruments: Sequence[Instrument],
    on_order: OnOrder,
    on_balances: OnBalances | None = None,
    on_reconnect: OnBreak | None = None,
    *,
    now_ms: Callable[[], int],
    resync: Callable[[], Awaitable[None]] | None = None,
    policy: LinkPolicy | None = None,
    gate: Gate | None = None,
) -> AccountFeed:
    """The venue's account stream. ``gate``: the line each connect stands in; None counts nowhere."""
    return parts_of(venue).user(
        settings,
        keys,
        own(venue, instruments),
        on_order,
        on_balances,
        on_reconnect,
        now_ms=now_ms,
        resync=resync,
        policy=policy,
        gate=gate,
    )


def symbol_of(venue: str, instrument: Instrument) -> str:
    """The instrument's name as the venue writes it."""
    return parts_of(venue).symbol(instrument)


def own(venue: str, instruments: Sequence[Instrument]) -> tuple[Instrument, ...]:
    """Those of the instruments that are this venue's, in their order."""
    return tuple(i for i in instruments if i.venue == venue)
