"""Every message that crosses an actor boundary in a minute, and nothing else.

All are frozen. Facts are named in the past tense or as nouns, commands in the imperative. Shapes:
``S`` instruments (rows, in the order of ``Market.instruments``), ``W`` minutes of window, ``L`` minutes of
features, ``F`` features, ``M`` ensemble members. Messages that carry arrays compare by identity; compare what
was decided with ``MinuteRecord.decisions()``, which is plain data. ``took_ms`` is stamped by whoever ran the
step and is never part of a decision.

Above 400 lines because every message stands in one place, each field with its unit.
"""

import math
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

import numpy as np

from core.news import News
from core.units import Instrument, MarketRules, Side

FloatArray = np.ndarray
BoolArray = np.ndarray

OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)
"""Columns of a bar row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteTick:
    """The minute ``minute`` has closed and may be decided upon."""

    minute: int
    """Open time of the closed bar, epoch ms."""
    now_ms: int
    """The market clock at the decision (close of the bar, or shortly after)."""
    trace: str
    """Follows this minute through every log line."""
    config_version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One closed minute of one instrument."""

    minute: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    """Base units."""
    filler: bool = False
    """True when nothing traded and the bar only repeats the last close (or stands in for a missing one)."""
    source: str = "stream"
    """How its finality is known: ``stream`` (the venue's final frame, or its tape heard whole), ``rest``, ``lake`` or
    ``filler``; ``unconfirmed`` is not final at all and never part of a slice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BarRevised:
    """A bar that had been given out, or was missing then, turned out to be this one."""

    instrument: Instrument
    bar: Bar
    before: Bar | None
    """What had been given out; None when the bar was missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """Best bid and ask of one instrument, quote units and base units."""

    bid: float
    bid_qty: float
    ask: float
    ask_qty: float
    at_ms: int


Levels = tuple[tuple[float, float], ...]
"""(price, base units) of one side of a book, best first."""


LEVELS_SHOWN = 20
"""Most of a side that a ``ShownBook`` holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownBook:
    """The best levels of both sides of one instrument's book; neither side is empty."""

    bids: Levels
    asks: Levels
    at_ms: int

    def __post_init__(self) -> None:
        if not self.bids or not self.asks:
            raise ValueError("a shown book has both sides")

    @property
    def top(self) -> Top:
        (bid, bid_qty), (ask, ask_qty) = self.bids[0], self.asks[0]
        return Top(bid=bid, bid_qty=bid_qty, ask=ask, ask_qty=ask_qty, at_ms=self.at_ms)

    def met_by(self, side: Side) -> Levels:
        """What an order on ``side`` would take."""
        return self.asks if side is Side.BUY else self.bids

    def beside(self, side: Side) -> Levels:
        """Where an order on ``side`` would rest."""
        return self.bids if side is Side.BUY else self.asks


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentiment:
    """A market-wide mood reading, stamped by when it could first be known."""

    value: float
    """Fear-and-greed index, 0 (fear) to 100 (greed)."""
    knowable_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteRate:
    """What one unit of a quote currency was worth, and how that was known."""

    currency: str
    usdt: float
    source: str
    """The market it was read from (``upbit:USDT/KRW``), or the other way it was found."""
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketSlice:
    """What a feed saw of one minute: per instrument a closed bar or None, a top of book or None."""

    minute: int
    instruments: tuple[Instrument, ...]
    bars: tuple[Bar | None, ...]
    tops: tuple[Top | None, ...]
    late: tuple[Instrument, ...] = ()
    """Instruments whose final bar did not come in time."""
    revised: tuple[BarRevised, ...] = ()
    """Bars of earlier minutes that the venue's history now has otherwise, oldest first."""
    sentiment: Sentiment | None = None
    news: News | None = None
    """Headlines and funding rates known by now, of the last day; None where nobody is asked for them."""
    rates: tuple[QuoteRate, ...] = ()
    """What the markets of quote currencies against USDT showed."""
    took_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One asset at one venue."""

    venue: str
    asset: str
    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        return self.free + self.locked


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedTrip:
    """A round trip of ours that ended: bought, and sold down to less than a lot."""

    number: int
    """Counts from 1 in each journal."""
    instrument: Instrument
    at_ms: int
    result_pct: float
    """What it brought, per cent of what was spent on it, with fees."""
    stopped: bool = False
    """A protective exit at a loss (stop, trailing stop) ended it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexplained:
    """A change of a balance that our fills do not account for."""

    venue: str
    asset: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """Balances as the venue states them, after reconciliation of our open orders."""

    at_ms: int
    balances: tuple[Balance, ...]
    reconciled: bool = True
    """False when the venue's and our view differ, or could not be compared."""
    difference: str = ""
    rules: tuple[MarketRules, ...] = ()
    """The venues' rules of every instrument, where they are not those that the executor started with."""
    closed: tuple[ClosedTrip, ...] = ()
    """Round trips of ours that ended, the newest ones, oldest first."""
    unexplained: tuple[Unexplained, ...] = ()
    """What the balances differ by from our fills, where it is not taken over yet."""
    transferred: tuple[Unexplained, ...] = ()
    """What was taken over with this statement as somebody else's doing: a deposit, a withdrawal, a trade by hand."""
    cancels: int = 0
    """Cancels that we sent in the last minute."""
    clock_offset_ms: float | None = None
    """How far the venues' clocks stood from ours when last asked, the worst of them; None where nobody asked."""
    clock_allowed_ms: float = math.inf
    """How far they may."""
    took_ms: float = 0.0

    def total(self, venue: str, asset: str) -> Decimal:
        return sum((b.total for b in self.balances if b.venue == venue and b.asset == asset), Decimal(0))

    def free(self, venue: str, asset: str) -> Decimal:
        return sum((b.free for b in self.balances if b.venue == venue and b.asset == asset), Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Market:
    """Everything that may be looked at to decide one minute. Made by the cache, read by all."""

    minute: int
    now_ms: int
    trace: str
    instruments: tuple[Instrument, ...]
    bars: FloatArray
    """(S, W, 5) float64: open, high, low, close, volume; the newest last. NaN where unknown."""
    filler: BoolArray
    """(S, W): the bar is a filler."""
    features: FloatArray
    """(S, L, F) float64, newest last; NaN where a feature is not defined yet."""
    bid: FloatArray
    """(S,) quote units; NaN without a book."""
    ask: FloatArray
    fresh: BoolArray
    """(S,): final bar of this minute present, not a filler stand-in, book present. False blocks new exposure."""
    account: AccountState
    equity: float
    """Whole account in the reporting currency (USDT)."""
    cash: FloatArray
    """(S,) free quote balance at each instrument's venue, quote units."""
    position: FloatArray
    """(S,) base units held (free + locked)."""
    quote_rate: FloatArray
    """(S,) reporting-currency value of one quote unit (1 for USDT)."""
    rates: tuple[QuoteRate, ...] = ()
    """How the rates were known, one a currency."""
    premium_bps: FloatArray | None = None
    """(S,) by how much the coin costs more than at the other venue that trades it; NaN where that is not known, None
    where no coin trades at two venues."""
    shown: FloatArray | None = None
    """(2, S) base units displayed at the best bid and at the best ask; None where no coin trades at two venues."""
    sentiment: Sentiment | None = None
    took_ms: float = 0.0

    @property
    def close(self) -> FloatArray:
        """(S,) last closes."""
        return self.bars[:, -1, CLOSE]

    @property
    def mid(self) -> FloatArray:
        """(S,) middle of the book."""
        return (self.bid + self.ask) / 2.0


class Regime(StrEnum):
    """What kind of market it is, from volatility and trend."""

    CALM = "calm"
    TREND = "trend"
    TURBULENT = "turbulent"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketEvent:
    """Something happened that changes who should be listened to."""

    kind: str
    """``volatility_shock``, ``volume_surge``, ``stale_market``."""
    instrument: Instrument | None
    size: float
    """How big, in the unit of the kind's threshold (multiples of normal; minutes for stale)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """The detector's reading of one minute."""

    minute: int
    trace: str
    regime: Regime
    events: tuple[MarketEvent, ...]
    took_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStep:
    """Something that happened to a version of a member; the steps of a member, in order, are its history."""

    kind: str
    """``started``, ``challenged``, ``promoted``, ``advised``, ``confirmed``, ``rolled_back``, ``rejected``, ``serving`` or
    ``refused``; what each does is in ``core/champions.py``."""
    member: str
    version: str
    """The version it is about: of a roll-back, the one that serves again."""
    before: str = ""
    """The champion when it happened."""
    by: str = ""
    """A person's name, or ``start``, ``shadow``, ``load check``, or the run that it is about."""
    why: str = ""
    at_ms: int = 0
    said: str = field(default="", compare=False)
    """What the registry keeps beside ``why`` where that is a reason of ours, so that it can be worded in any language
    (JSON of ``core.reasons.to_plain``)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Votes:
    """Every ensemble member's forecast of the log return over ``horizon`` minutes."""

    minute: int
    trace: str
    members: tuple[str, ...]
    versions: tuple[str, ...]
    mean_bps: FloatArray
    """(M, S) expected return, basis points; NaN where a member is silent."""
    stdev_bps: FloatArray
    """(M, S) its own uncertainty, basis points."""
    spoke: BoolArray
    """(M,): the member answered in time with finite numbers."""
    silence: tuple[str, ...]
    """Why each member is silent (empty when it spoke)."""
    horizon: int
    latency_ms: tuple[float, ...] = ()
    trust: FloatArray | None = None
    """(M, S) how far each was believed, 0..1, for how like its training the market is; already in the mean."""
    steps: tuple[ModelStep, ...] = ()
    """What happened to the members' versions since the last vote."""
    took_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intents:
    """What the ensemble, as weighted now, wants to hold."""

    minute: int
    trace: str
    regime: Regime
    weights: tuple[float, ...]
    """(M,) weights used this minute; 0 for the silent, sums to 1 if anyone spoke."""
    weights_version: str
    edge_bps: FloatArray
    """(S,) weighted mean forecast."""
    spread_bps: FloatArray
    """(S,) weighted stdev of the forecast."""
    target: FloatArray
    """(S,) wanted exposure as a fraction of the investable equity, 0..1. NaN = no opinion, keep what is held."""
    buy_scale: FloatArray | None = None
    """(S,) at most this part of the target is bought now, 0..1 (a volatility shock); None: all of it."""
    took_ms: float = 0.0


class TradingState(StrEnum):
    """What risk lets through. Cancels and exits always pass: only ACTIVE buys, and HALTED is a person's."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """An order that passed risk. Only ``core/risk.py`` makes one; the executor takes nothing else."""

    intent_id: str
    minute: int
    instrument: Instrument
    side: Side
    quantity: Decimal
    """Base units, on the lot grid."""
    limit_price: Decimal
    """Worst price allowed (the collar), on the tick grid."""
    reference_price: float
    """Mid at the decision."""
    arithmetic: tuple[str, ...]
    """How the size came about, line by line."""
    edge_bps: float = 0.0
    """The forecast behind it; 0 where there is none."""
    expected: tuple[float, ...] = ()
    """What it was expected to cost: the fields of ``core.execution.estimate.Estimate`` (bps), then volume (base units) and
    sigma (log return) a minute; empty where the market said too little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectiveExit:
    """A sale that protects a position. Only ``core/protection.py`` makes one; it passes in every state of trading."""

    intent_id: str
    minute: int
    """The newest minute decided when it became due."""
    at_ms: int
    instrument: Instrument
    reason: str
    """``stop_loss``, ``trailing_stop``, ``take_profit`` or ``time_stop``."""
    quantity: Decimal
    """Base units, on the lot grid."""
    limit_price: Decimal
    """Worst price allowed, on the tick grid."""
    reference_price: float
    """Mid when it became due."""
    arithmetic: tuple[str, ...]
    """Why, line by line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenOff:
    """What is left of a position and is less than the venue's smallest order: it is no position any more."""

    instrument: Instrument
    quantity: Decimal
    """Base units; it stays in the account."""
    price: float
    """At which it was valued, quote units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An intent that did not pass, with the limit that held it."""

    intent_id: str
    minute: int
    instrument: Instrument
    reason: str
    """``limit_name: what was asked, what is allowed``."""
    arithmetic: tuple[str, ...] = ()


SETTINGS_REFUSED = "the new settings are not used, the old ones hold: "
"""How a line of ``settings`` begins that says why the file was not taken over."""


def settings_words(line: str) -> str:
    """A line of ``Verdicts.settings`` as it stands alone among other news."""
    return line if line.startswith(SETTINGS_REFUSED) else f"settings changed: {line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoinDecision:
    """What was decided of a coin that is one position at several venues (``core.coin_split``)."""

    instruments: tuple[Instrument, ...]
    """Its markets."""
    edge_bps: float
    """Its forecast, by which it is bought, kept or sold; NaN without one."""
    held: float
    """USDT in all of them."""
    wanted: float
    """USDT in all of them, before what the markets have room for; NaN: what is held is kept."""
    lines: tuple[str, ...]
    """How that came about and where its order goes, line by line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """Risk's answer to one minute's intents."""

    minute: int
    trace: str
    state: TradingState
    state_reason: str
    approved: tuple[Approved, ...]
    refused: tuple[Refused, ...]
    coins: tuple[CoinDecision, ...] = ()
    """Of each coin at several venues, what was decided of it as a whole."""
    settings: tuple[str, ...] = ()
    """What changed in the settings before this minute, or why a change was not taken over (begins with
    ``SETTINGS_REFUSED`` then)."""
    took_ms: float = 0.0


class OrderState(StrEnum):
    """Life of one order at a venue; the transitions are a table in ``core/orders.py``."""

    PLANNED = "planned"
    SENT = "sent"
    UNKNOWN = "unknown"
    OPEN = "open"
    PARTIAL = "partial"
    CANCELLING = "cancelling"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class TimeInForce(StrEnum):
    """How long an order stands."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    """Instruction: send this limit order (crossing ones are marketable limits; we never send a bare market order)."""

    client_id: str
    intent_id: str
    instrument: Instrument
    side: Side
    quantity: Decimal
    price: Decimal
    time_in_force: TimeInForce = TimeInForce.IOC
    post_only: bool = False
    stop_price: Decimal | None = None
    """The venue holds the order back until a trade is at or, for a sell, below this; only where it holds stops."""
    pair: str = ""
    """Client id of the other order of a pair, of which one cancels the other; both have the same quantity."""
    pair_price: Decimal | None = None
    """With a ``stop_price``: the pair is sent as one, the other order a limit at this price (only where the venue holds
    pairs)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    """Instruction: cancel our order ``client_id``."""

    client_id: str
    instrument: Instrument


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOrder:
    """Instruction: ask the venue what became of ``client_id``."""

    client_id: str
    instrument: Instrument


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution, unique by (venue, symbol, trade_id)."""

    client_id: str
    instrument: Instrument
    trade_id: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSnapshot:
    """What a venue says of one order."""

    client_id: str
    venue_id: str
    instrument: Instrument
    side: Side
    state: OrderState
    """OPEN, PARTIAL, FILLED, CANCELLED, EXPIRED or REJECTED."""
    quantity: Decimal
    price: Decimal
    executed: Decimal
    """Base units filled so far."""
    at_ms: int
    fills: tuple[Fill, ...] = ()
    """The fills, where the answer carried them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReport:
    """Our order as it stands, for the record."""

    client_id: str
    intent_id: str
    instrument: Instrument
    side: Side
    state: OrderState
    quantity: Decimal
    price: Decimal
    executed: Decimal
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """What the executor did since its last report: orders touched, fills counted."""

    minute: int
    trace: str
    orders: tuple[OrderReport, ...]
    fills: tuple[Fill, ...]
    exits: tuple[ProtectiveExit, ...] = ()
    """What protection sent, one an order."""
    dust: tuple[WrittenOff, ...] = ()
    took_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberVote:
    """One member's vote, as kept in the record."""

    member: str
    version: str
    spoke: bool
    silence: str
    weight: float
    mean_bps: tuple[float, ...]
    stdev_bps: tuple[float, ...]
    trust: tuple[float, ...] = field(default=(), compare=False)
    """(S,) how far it was believed, already in the mean: its weight is ``weight`` times this. Empty: whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteRecord:
    """All that was seen, thought and done in one minute."""

    minute: int
    trace: str
    status: str
    """``done``, ``missed``, or ``closed`` for what came after a run's last decision."""
    reason: str = ""
    """Why it was missed."""
    input_hash: str = ""
    """SHA-256 of the market that was decided upon."""
    instruments: tuple[Instrument, ...] = ()
    equity: float = 0.0
    close: tuple[float, ...] = ()
    position: tuple[float, ...] = ()
    fresh: tuple[bool, ...] = ()
    regime: str = ""
    events: tuple[MarketEvent, ...] = ()
    votes: tuple[MemberVote, ...] = ()
    weights_version: str = ""
    edge_bps: tuple[float, ...] = ()
    target: tuple[float, ...] = ()
    state: str = ""
    state_reason: str = ""
    approved: tuple[Approved, ...] = ()
    refused: tuple[Refused, ...] = ()
    orders: tuple[OrderReport, ...] = ()
    fills: tuple[Fill, ...] = ()
    exits: tuple[ProtectiveExit, ...] = ()
    """What protection sold since the last record, one an order."""
    dust: tuple[WrittenOff, ...] = ()
    """What was left over and written off."""
    rates: tuple[QuoteRate, ...] = ()
    """What foreign quote currencies were worth; empty where all is in USDT."""
    premium_bps: tuple[float, ...] = ()
    """What each coin costs more here than at the other venue; empty where no coin trades at two."""
    coins: tuple[CoinDecision, ...] = ()
    """What was decided of each coin that is one position at several venues."""
    difference: str = field(default="", compare=False)
    """How the account differed from our books; empty when it did not."""
    settings: tuple[str, ...] = field(default=(), compare=False)
    """What changed in the settings before this minute, or why a change was not taken over."""
    models: tuple[ModelStep, ...] = field(default=(), compare=False)
    """What happened to the members' versions before this minute. The versions that voted are in the votes."""
    timings: tuple[tuple[str, float], ...] = field(default=(), compare=False)
    """(step, milliseconds), in the order of the minute."""

    def decisions(self) -> tuple:
        """Everything decided, as plain comparable data: equal in backtest, replay, paper and live."""
        return (
            self.minute,
            self.status,
            self.input_hash,
            repr(self.equity),
            tuple(map(repr, self.position)),
            self.regime,
            self.events,
            tuple(
                (v.member, v.version, v.spoke, repr(v.weight), repr(v.mean_bps), repr(v.stdev_bps)) for v in self.votes
            ),
            self.weights_version,
            tuple(map(repr, self.edge_bps)),
            tuple(map(repr, self.target)),
            self.state,
            self.approved,
            self.refused,
            tuple(map(repr, self.coins)),
            self.orders,
            self.exits,
            self.dust,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """News worth telling a person. ``key`` picks the text in each language; ``values`` fill it."""

    severity: str
    """``info``, ``warning`` or ``critical``."""
    key: str
    values: tuple[tuple[str, str], ...] = ()
    at_ms: int = 0
