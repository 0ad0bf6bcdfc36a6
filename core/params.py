"""Parameters of the core's rules: typed, frozen, closed sections that the config composes.

They stand in core because the rules are defined by them; pydantic only checks values here, it does no IO.
Units are in the names: ``_pct`` is per cent (0..100), ``_bps`` basis points, ``_ms``/``_s``/``_minutes``
times, ``_usdt`` money in the reporting currency.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from core.units import Instrument


class Section(BaseModel):
    """Base of every section: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def _instrument(text: str) -> str:
    Instrument.parse(text)
    return text


Percent = Annotated[float, Field(ge=0, le=100)]
Bps = Annotated[float, Field(ge=0, le=10_000)]
Usdt = Annotated[float, Field(gt=0, le=1e12)]
Minutes = Annotated[int, Field(ge=0, le=10_080)]
InstrumentName = Annotated[str, AfterValidator(_instrument)]


class TradeSettings(Section):
    """What is traded, and with how much of the account."""

    instruments: tuple[InstrumentName, ...] = Field(min_length=1)
    invest_pct: Percent = 30
    """Gross exposure the ensemble may use, per cent of equity."""
    min_order_usdt: Annotated[Decimal, Field(ge=1)] = Decimal(50)
    max_pct: dict[InstrumentName, Percent] = Field(default_factory=dict)
    """By instrument, the most that may be held of it, per cent of equity, where that is less than
    ``risk.max_position_pct``."""
    capital_pct: Annotated[float, Field(gt=0, le=100)] = 100
    """Per cent of the account's equity that the bot manages; every other per cent is of that part."""
    capital_usdt: Usdt | None = None
    """The bot manages no more than this, however much lies in the account."""
    own_coins: Literal["leave", "manage"] = "leave"
    """Coins in the account that the bot's own fills did not bring, live: ``leave`` neither counts nor sells them,
    ``manage`` takes them for positions of the bot's."""
    reporting_currency: Literal["USDT"] = "USDT"

    @field_validator("instruments")
    @classmethod
    def _no_twins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twins = sorted({v for v in value if value.count(v) > 1})
        if twins:
            raise ValueError(f"{twins[0]} is listed twice")
        return value

    @model_validator(mode="after")
    def _caps_are_of_what_is_traded(self) -> "TradeSettings":
        strangers = sorted(set(self.max_pct) - set(self.instruments))
        if strangers:
            raise ValueError(f"max_pct names {strangers[0]}, which is not among the instruments")
        return self

    def most_of(self, instrument: Instrument) -> float:
        """Fraction of equity that may be held of it, as far as ``max_pct`` says."""
        return float(self.max_pct.get(str(instrument), 100.0)) / 100.0

    @property
    def rows(self) -> tuple[Instrument, ...]:
        """Instruments in row order."""
        return tuple(Instrument.parse(text) for text in self.instruments)


class MemberSettings(Section):
    """One ensemble member."""

    name: str
    family: Literal["ridge", "tcn", "rules", "lightgbm", "gru", "patch", "sentiment", "rl"]
    enabled: bool = True
    deadline_ms: Annotated[int, Field(ge=10, le=60_000)] = 5_000
    """Its vote is left out when it takes longer."""
    hyper: dict[str, int | float] = Field(default_factory=dict)
    """Hyper-parameters of its training that differ from the family's own."""


class ChampionSettings(Section):
    """How versions of a member take turns while the bot runs."""

    shadow: bool = True
    """Paper and live: newer versions forecast beside the vote, and are held against the one that votes."""
    in_replay: bool = False
    """Replays too; what they find is written into the registry of their market."""
    promotion: Literal["automatic", "advise"] = "automatic"
    """Of a version that is better: it takes over by itself, or a person is told."""
    confidence_pct: Annotated[float, Field(ge=50, le=99.99)] = 95
    """How sure it must be that a version is better before it is promoted."""
    challengers: Annotated[int, Field(ge=1, le=8)] = 2
    """Newest versions of a member that are held against its champion at once."""
    watch_minutes: Annotated[int, Field(ge=1, le=525_600)] = 4_320
    """Scored minutes for which the version before goes on beside a new champion."""
    rollback_confidence_pct: Annotated[float, Field(ge=50, le=99.99)] = 80
    """How sure it must be that the version before was better when it is put back."""
    silent_minutes: Annotated[int, Field(ge=1, le=1_440)] = 10
    """A watched champion that loses its vote for so many minutes in a row is rolled back."""


class ModelSettings(Section):
    members: tuple[MemberSettings, ...] = Field(min_length=1)
    horizon_minutes: Annotated[int, Field(ge=1, le=1_440)] = 15

    @field_validator("members")
    @classmethod
    def _names_differ(cls, value: tuple[MemberSettings, ...]) -> tuple[MemberSettings, ...]:
        names = [m.name for m in value]
        if len(set(names)) < len(names):
            raise ValueError("two members have the same name")
        return value

    @property
    def enabled(self) -> tuple[MemberSettings, ...]:
        return tuple(m for m in self.members if m.enabled)


class EventSettings(Section):
    """When the detector speaks up."""

    volatility_shock: Annotated[float, Field(gt=1)] = 3.0
    """Last return's size over its usual size."""
    volume_surge: Annotated[float, Field(gt=1)] = 5.0
    """Last volume over its usual size."""
    stale_minutes: Annotated[int, Field(ge=1, le=240)] = 3
    """Minutes in a row in which nothing traded (no bar, a filler, or one without volume) after which nothing is bought."""
    turbulent_ratio: Annotated[float, Field(gt=1)] = 1.6
    """Short over long volatility above which the market is turbulent."""
    trend_ratio: Annotated[float, Field(gt=0)] = 1.25
    """|sum of returns| over their standard error above which the market trends."""


class SelectionSettings(Section):
    """From votes to wanted exposure."""

    entry_edge_bps: Bps = 25
    """A forecast above this opens or grows a position."""
    exit_edge_bps: Bps = 3
    """Held positions are closed when the forecast falls below this."""
    full_edge_bps: Annotated[float, Field(gt=0, le=10_000)] = 60
    """A forecast of this size asks for the full share."""
    shock_scale: Annotated[float, Field(ge=0, le=1)] = 0.5
    """In a volatility shock an instrument is bought up to this part of its target; what is held stays."""
    default_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Weight a member when no tuned artifact is loaded; equal when empty."""

    @model_validator(mode="after")
    def _exit_is_below_entry(self) -> "SelectionSettings":
        if self.exit_edge_bps > self.entry_edge_bps:
            raise ValueError(
                f"exit_edge_bps {self.exit_edge_bps:g} is above entry_edge_bps {self.entry_edge_bps:g}; "
                "a position would be closed as soon as it is opened"
            )
        return self


MAX_BOOK_AGE_MS = 120_000


class RiskSettings(Section):
    """Limits, all on by default. Per cent of equity unless named otherwise."""

    max_order_pct: Percent = 10
    max_position_pct: Percent = 15
    max_order_usdt: Usdt | None = 5_000
    """One order in money; holds beside ``max_order_pct``, whatever an account is said to be worth. The default is what
    ``max_order_pct`` makes of 50,000 USDT; null: off."""
    max_gross_pct: Percent = 60
    max_position_volatility_pct: Annotated[float, Field(gt=0, le=1_000)] | None = 15
    """What is bought of one instrument, times its volatility a year, stays below this; null: off."""
    target_volatility_pct: Annotated[float, Field(gt=0, le=1_000)] | None = 40
    """Volatility a year of all positions together, from their returns of the last hours: buys shrink to stay below it;
    null: off."""
    kelly_fraction: Annotated[float, Field(gt=0, le=1)] | None = 0.25
    """A position is at most this fraction of what Kelly's rule makes of the forecast's mean and spread, before costs: it
    bounds forecasts that are small beside their spread, and no others (``core.ceilings``); null: off."""
    daily_loss_pct: Percent = 5
    daily_loss_usdt: Usdt | None = 2_500
    """A day's loss in money; holds beside the one in per cent. The default is what ``daily_loss_pct`` makes of 50,000
    USDT; null: off."""
    max_drawdown_pct: Percent = 15
    """From the highest equity seen, marked to market every minute."""
    max_orders_per_minute: Annotated[int, Field(ge=1, le=1_000)] = 20
    """Approvals a minute. Sales are counted and never held back."""
    max_orders_per_day: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000
    """Approvals a UTC day; a run that trades more has gone wrong."""
    max_cancels_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 60
    """Above it nothing is bought in the next minute. Cancels themselves are never held back."""
    max_decision_delay_ms: Annotated[int, Field(ge=100, le=60_000)] = 15_000
    """A decision later than this after the minute's close buys nothing."""
    max_book_age_ms: Annotated[int, Field(ge=1_000, le=600_000)] = MAX_BOOK_AGE_MS
    """A best bid and ask that were told longer ago count as none: nothing is traded by them."""
    max_consecutive_losses: Annotated[int, Field(ge=0, le=100)] = 8
    """So many closed round trips at a loss, one after the other, and nothing is bought for a while. 0: off."""
    consecutive_losses_pause_minutes: Minutes = 60
    cooldown_minutes: Minutes = 3
    """After a position was closed its instrument is not bought for so long."""
    max_stop_outs: Annotated[int, Field(ge=0, le=16)] = 4
    """So many protective exits at a loss within ``stop_outs_within_minutes``, and nothing is bought for a while. 0: off."""
    stop_outs_within_minutes: Minutes = 60
    stop_outs_pause_minutes: Minutes = 60
    low_profit_trips: Annotated[int, Field(ge=0, le=16)] = 4
    """An instrument is not bought for a while when at least so many of its round trips closed within
    ``low_profit_within_minutes`` and their results add up to less than ``low_profit_pct``. 0: off."""
    low_profit_pct: Annotated[float, Field(ge=-100, le=100)] = -2
    """Per cent of what each trip cost, added up."""
    low_profit_within_minutes: Minutes = 360
    low_profit_pause_minutes: Minutes = 120
    collar_bps: Annotated[float, Field(ge=0, le=2_000)] = 30
    """Worst accepted distance of a limit from the mid."""
    rebalance_band_pct: Percent = 1
    """Changes of a position smaller than this share of equity are not traded. A position that prices lifted above its cap
    by more than this is sold back to the cap, also where the ensemble has no opinion."""
    max_premium_bps: Annotated[float, Field(ge=0, le=100_000)] = 500
    """Nothing is bought where a coin costs so much more than at the other venue that is traded (kimchi premium)."""
    on_loss_limit: Literal["close", "hold"] = "close"
    """When a loss limit is breached nothing is bought until a person resumes; ``close`` also sells what is held,
    ``hold`` leaves the exits to the ensemble."""


class ExecutionSettings(Section):
    """How an approved order is worked into the market."""

    algorithm: Literal["immediate", "twap", "vwap", "pov", "is", "adaptive"] = "twap"
    """``immediate``: all at once. ``twap``: even slices. ``vwap``: by the intraday volume curve. ``pov``: a share of the
    volume. ``is``: implementation shortfall (Almgren-Chriss). ``adaptive``: rests limit orders and crosses when waiting
    costs more; it has no compiled backtest (``backtest --exact``)."""
    slices: Annotated[int, Field(ge=1, le=60)] = 3
    """A minute."""
    slice_seconds: Annotated[int, Field(ge=1, le=60)] = 15
    """Time between slices. ``slices`` × ``slice_seconds`` must fit in one minute."""
    cost_gate: Literal["round_trip", "one_way", "off"] = "round_trip"
    """What a forecast must pay for before its buy is sent: getting in and out again, getting in, or nothing. A buy
    shrinks to where one more unit costs what the forecast earns."""
    split: bool = True
    """A coin that is traded at two venues is one position, by the mean of its forecasts, and its order goes where it costs
    least."""
    venue_latency_ms: dict[Literal["binance", "upbit"], Annotated[int, Field(ge=0, le=10_000)]] = Field(
        default_factory=dict
    )
    """From a decision to the match there, for the split; ``costs.latency_ms`` where not named."""
    horizon_minutes: Annotated[int, Field(ge=1, le=240)] = 1
    """How long an order is worked. Every minute the ensemble decides anew about what is left: the same direction goes
    on where the schedule stands, anything else ends it."""
    jitter_seconds: Annotated[int, Field(ge=0, le=59)] = 0
    """A slice comes up to so much late, by a number that only instance, instrument, minute and slice decide."""
    participation_pct: Annotated[float, Field(gt=0, le=50)] = 5
    """``pov``: share of the market's volume."""
    risk_aversion: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """``is``: lambda of Almgren & Chriss, per USDT: how much a variance of 1 USDT² weighs against a cost of 1 USDT."""
    urgency: Annotated[float, Field(ge=0, le=10)] = 1.0
    """``adaptive``: how much one standard deviation of waiting weighs against a certain cost; a higher one also waits
    less long."""
    reprice_seconds: Annotated[int, Field(ge=1, le=20)] = 1
    """``adaptive``: how often it looks at the book."""
    edge_minutes: Annotated[float, Field(gt=0, le=1_440)] = 15
    """``adaptive``: how long a forecast's edge lasts; what waits loses it evenly."""
    unknown_requery_s: Annotated[float, Field(gt=0, le=60)] = 2.0

    @model_validator(mode="after")
    def _fits_in_a_minute(self) -> "ExecutionSettings":
        if self.slices * self.slice_seconds > 60:
            raise ValueError(
                f"slices × slice_seconds is {self.slices * self.slice_seconds} s; a schedule must fit in 60 s"
            )
        if self.jitter_seconds >= self.slice_seconds:
            raise ValueError(
                f"jitter_seconds {self.jitter_seconds} must be below slice_seconds {self.slice_seconds}, or slices "
                "would overtake each other"
            )
        if self.algorithm == "immediate" and self.horizon_minutes > 1:
            raise ValueError(
                f"algorithm immediate sends all at once; horizon_minutes {self.horizon_minutes} asks for a schedule "
                "(twap, vwap, pov, is or adaptive), or set it to 1"
            )
        return self


PositivePercent = Annotated[float, Field(gt=0, lt=100)]


class ProtectionSettings(Section):
    """Exits that protect each position by itself, whatever the ensemble says. null = off."""

    stop_loss_pct: PositivePercent | None = 10
    """Sell when the price has fallen so far below the average entry."""
    trailing_stop_pct: PositivePercent | None = None
    """Sell when the price has fallen so far below its highest since the entry."""
    trailing_activation_pct: Annotated[float, Field(ge=0, le=1_000)] = 0
    """The trailing stop holds once the price has risen so far above the entry."""
    take_profit_pct: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Sell when the price has risen so far above the average entry."""
    time_stop_minutes: Annotated[float, Field(gt=0, le=10_000_000)] | None = None
    """Sell when the position is so old."""
    look_seconds: Annotated[int, Field(ge=1, le=60)] = 10
    """Prices are looked at so often inside a minute, and whenever a slice is due. Paper and live also look at every
    change of the book."""
    max_collar_bps: Annotated[float, Field(ge=0, le=5_000)] = 500
    """An exit that was not filled is sent again at twice the distance from the mid, up to this. The first stands at
    ``risk.collar_bps``."""
    at_exchange: bool = False
    """Paper and live: also leave a stop order under each position at the exchange, where it holds such (Binance), with a
    take-profit the two of which one cancels the other, as a net for when the bot is away; it stays there when the bot is
    stopped. It binds the coins, so that every sale takes it off first."""

    @property
    def on(self) -> bool:
        """Anything is to be looked for."""
        wanted = (self.stop_loss_pct, self.trailing_stop_pct, self.take_profit_pct, self.time_stop_minutes)
        return any(value is not None for value in wanted)


class LiveSettings(Section):
    """How trading with real money begins: under a cap that rises by steps, each earned by clean days. Paper, replay and
    backtest have none."""

    starting_cap_pct: Annotated[float, Field(gt=0, le=100)] = 25
    """What live trading begins with, per cent of what ``trade.invest_pct`` allows; 100 is no cap."""
    starting_cap_usdt: Annotated[Decimal, Field(gt=0)] | None = None
    """A cap in money beside it; the smaller of both holds. It rises in the same proportion, and never ends."""
    cap_step_pct: Percent = 25
    """By how much of what ``trade.invest_pct`` allows the cap rises at a step; 0 never raises it."""
    clean_days: Annotated[int, Field(ge=1, le=365)] = 3
    """Clean days in a row that earn a step (UTC days with trades, without a loss limit, a difference or a defect)."""
    clean_day_minutes: Annotated[int, Field(ge=1, le=1_440)] = 720
    """A day with fewer decided minutes earns nothing."""
    max_lake_age_days: Annotated[float, Field(gt=0, le=3_650)] = 14
    """Live does not start when the newest bars that models could learn from are older."""


class CostSettings(Section):
    """What a simulated trade costs. Every part can be switched off, to see what it is worth; backtest and simulated
    exchange read the same section."""

    fees: bool = True
    fee_tier: dict[Literal["binance", "upbit"], Annotated[int, Field(ge=0, le=9)]] = Field(default_factory=dict)
    """VIP level by venue (Binance 0 to 9, Upbit has only 0); 0 where not named."""
    fee_paid_in: Literal["received", "bnb"] = "received"
    """``received``: taken from what comes in. ``bnb``: 25 % less, taken as its worth from the quote balance (the price
    risk of the BNB that pays is not modelled). Binance only."""
    spread: bool = True
    half_spread_default_bps: Bps = 2.0
    """Where the bars are too few to estimate one."""
    half_spread_max_bps: Bps = 50.0
    """Estimates are cut here."""
    impact: bool = True
    impact_coefficient: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Y of impact = Y x volatility x sqrt(quantity / volume)."""
    min_volatility_bps: Bps = 1.0
    """Per minute; a market that stood still is not free to trade."""
    latency: bool = True
    latency_ms: Annotated[int, Field(ge=0, le=10_000)] = 86
    """From the decision to the match: the price that was seen is never the price that is got."""
    recovery_half_life_s: Annotated[float, Field(ge=0, le=3_600)] = 5.0
    """Paper and recordings only: after so many seconds half of what our simulated orders took from the real book is back
    (Obizhaeva & Wang 2013); 0 = all of it with the book's next update. A prior between the two that are known: after the
    largest bursts of trades in ten minutes of Binance's BTC and ETH half of the depth was back in 1 to 2 s, in a stock's
    book in about 20 s (Large 2007, "Measuring the resiliency of an electronic limit order book")."""
    participation: bool = True
    max_participation_pct: Annotated[float, Field(gt=0, le=100)] = 10
    """Of a minute's volume that one side of ours may take; what is beyond it is not filled."""
    min_notional: bool = True
    """The venue's smallest order value."""
    halts: bool = True
    """A minute without a bar or without volume fills nothing. Off: it trades at the last close."""
    rounding: bool = True
    """The venue's tick and lot. Off: a grid a thousand times as fine as a basis point."""
