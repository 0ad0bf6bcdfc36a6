"""How many symbols a venue's limits allow, worked out before the start rather than found out by a ban.

Three things grow with the number of symbols: streams on a connection, the requests that catch up after an outage, and
what is left for them beside the account's own calls each minute. Facts: binance-spot-api-docs (web-socket-streams.md:
1,024 streams a connection; rest-api.md: weights), docs.upbit.com (groups a second). Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import ConfigError
from exchanges.limits.priority import Priority, ceiling
from exchanges.limits.tables import UPBIT_GROUPS, WEIGHT

SECONDS = 60
PAGES = 1
"""Pages of bars a symbol needs after an outage of up to ``Facts.page_minutes``."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What one venue takes for one symbol, and what it gives."""

    budget: str
    """What is spent, in words."""
    limit: int
    """Of it in a minute, for everybody."""
    page_cost: int
    """Of one page of a symbol's bars."""
    page_minutes: int
    account_cost: int
    """Of the account's calls in a minute, where they come out of the same budget."""
    streams: int
    """Streams of one symbol on the market connection."""
    paper_streams: int
    """The same of the paper venue, which sees every trade and the displayed book, on connections of its own."""
    most_streams: int | None
    """On one connection; None where the venue states no limit."""


FACTS: Mapping[str, Facts] = {
    "binance": Facts(
        budget="request weight",
        limit=6_000,
        page_cost=3,  # klines 2, and the server's time before them
        page_minutes=1_000,
        account_cost=100,  # open orders 80, account 20
        streams=2,  # klines and best quotes
        paper_streams=4,  # trades and changes of the book too
        most_streams=1_024,
    ),
    "upbit": Facts(
        budget="candle requests",
        limit=UPBIT_GROUPS["candle"][0] * SECONDS,
        page_cost=1,
        page_minutes=200,
        account_cost=0,  # a group of its own
        streams=2,  # trades and order books, from which bars and quotes are made as well
        paper_streams=2,
        most_streams=None,
    ),
}


@dataclass(frozen=True, slots=True)
class Bound:
    """One limit and the number of symbols it allows."""

    most: int
    text: str


@dataclass(frozen=True, slots=True)
class Room:
    """How many symbols fit at one venue."""

    venue: str
    symbols: int
    bounds: tuple[Bound, ...]

    @property
    def most(self) -> int:
        return min(bound.most for bound in self.bounds)

    @property
    def fits(self) -> bool:
        return self.symbols <= self.most

    def words(self) -> str:
        """One line for people."""
        tight = min(self.bounds, key=lambda bound: bound.most)
        return f"{self.venue}: {self.symbols} of at most {self.most} symbols; {tight.text}"


def room_of(venue: str, symbols: int, limits: Mapping[str, int] | None = None, *, paper: bool = False) -> Room:
    """``limits``: what the venue itself stated, by counter (a minute's weight, a second's candles), where known.
    ``paper``: a paper venue watches as well."""
    facts = FACTS[venue]
    stated = limits or {}
    limit = stated.get(WEIGHT, facts.limit) if venue == "binance" else stated.get("candle", 0) * SECONDS or facts.limit
    share = ceiling(limit, Priority.HISTORY)
    left = max(0, share - facts.account_cost)
    cost = facts.page_cost * PAGES
    taken = f" less {facts.account_cost} for the account" if facts.account_cost else ""
    caught_up = Bound(
        left // cost,
        f"catching up within a minute after up to {facts.page_minutes:,} minutes away takes {cost} {facts.budget} a "
        f"symbol, of {share:,} a minute{taken} (half of the venue's {limit:,}; the rest is kept for trading)",
    )
    if facts.most_streams is None:
        return Room(venue, symbols, (caught_up,))
    taken_streams = max(facts.streams, facts.paper_streams) if paper else facts.streams
    streams = Bound(
        facts.most_streams // taken_streams,
        f"{taken_streams} streams a symbol{' on paper' if paper else ''} on a connection that takes "
        f"{facts.most_streams:,}",
    )
    return Room(venue, symbols, (caught_up, streams))


def require_room(venue: str, symbols: int, limits: Mapping[str, int] | None = None, *, paper: bool = False) -> Room:
    """The room; ConfigError with the numbers when the symbols do not fit."""
    room = room_of(venue, symbols, limits, paper=paper)
    if not room.fits:
        raise ConfigError(
            f"trade.instruments: {symbols} symbols at {venue}, but its limits allow {room.most}: "
            f"{min(room.bounds, key=lambda bound: bound.most).text}; take out {symbols - room.most}"
        )
    return room
