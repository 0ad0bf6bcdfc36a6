"""Did an account keep its pauses after losses? Reckoned anew from its fills alone, by code that shares nothing with risk.

A round trip begins with a buy and is closed by the sale that leaves less than the exchange takes in one order
(``LEAST``); what it brought is counted at average cost, with fees. From the moment it closed nothing may be decided to be
bought: of the same coin for the cooldown, and for longer where its trips of late did not pay; of any coin after too many
losses in a row, or after too many stops. What was decided before a trip closed may still be filled.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, Protocol

MINUTE = 60_000
ZERO = Decimal(0)
LEAST = Decimal(5)
"""Quote units: Binance's least order of a USDT market. A lot's worth above it, up to 0.1 here, is not told apart."""
STOPPED = ("exit", "stop")
"""Third parts of the names of orders that a stop sends. Where take-profit or time stop are on, theirs look the same."""


class Sold(Protocol):
    """What is needed of a fill; ``exposure_checker.Trade`` is one."""

    @property
    def at_ms(self) -> int: ...
    @property
    def symbol(self) -> str: ...
    @property
    def buy(self) -> bool: ...
    @property
    def quantity(self) -> Decimal: ...
    @property
    def price(self) -> Decimal: ...
    @property
    def fee(self) -> Decimal: ...
    @property
    def fee_asset(self) -> str: ...
    @property
    def client_id(self) -> str: ...
    @property
    def minute(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """What ``risk`` in the settings of a run says of them. Counts of 0: off."""

    cooldown_minutes: int
    max_consecutive_losses: int
    consecutive_losses_pause_minutes: int
    max_stop_outs: int
    stop_outs_within_minutes: int
    stop_outs_pause_minutes: int
    low_profit_trips: int
    low_profit_pct: float
    low_profit_within_minutes: int
    low_profit_pause_minutes: int

    @classmethod
    def of_settings(cls, risk: Mapping[str, Any]) -> "Pauses":
        return cls(**{one.name: risk[one.name] for one in fields(cls)})


@dataclass(frozen=True, slots=True)
class Paused:
    """From when until when nothing is bought, and why."""

    name: str
    symbol: str
    """Of one coin; empty: of all."""
    from_ms: int
    until_ms: int

    def forbids(self, fill: Sold) -> bool:
        decided = fill.minute + MINUTE
        return fill.buy and self.symbol in ("", fill.symbol) and self.from_ms < decided < self.until_ms


@dataclass(slots=True)
class _Coin:
    """A coin's open trip, and how the closed ones ended."""

    held: Decimal = ZERO
    cost: Decimal = ZERO
    """Of what is held."""
    spent: Decimal = ZERO
    earned: Decimal = ZERO
    results: list[tuple[int, float]] = field(default_factory=list)
    """(epoch ms, per cent of what was spent)."""


def pauses_of(fills: Sequence[Sold], rules: Pauses) -> Iterator[Paused]:
    """Every pause that these fills, in the order of their times, lead to."""
    coins: dict[str, _Coin] = defaultdict(_Coin)
    lost, stops = 0, list[int]()
    for fill in fills:
        coin = coins[fill.symbol]
        if not _closed_by(coin, fill):
            continue
        at, result = fill.at_ms, coin.results[-1][1]
        if rules.cooldown_minutes:
            yield Paused("cooldown_minutes", fill.symbol, at, at + rules.cooldown_minutes * MINUTE)
        of_late = [r for when, r in coin.results if when > at - rules.low_profit_within_minutes * MINUTE]
        if rules.low_profit_trips and len(of_late) >= rules.low_profit_trips and sum(of_late) < rules.low_profit_pct:
            yield Paused("low_profit_trips", fill.symbol, at, at + rules.low_profit_pause_minutes * MINUTE)
        lost = lost + 1 if result < 0 else 0
        if rules.max_consecutive_losses and lost >= rules.max_consecutive_losses:
            yield Paused("max_consecutive_losses", "", at, at + rules.consecutive_losses_pause_minutes * MINUTE)
            lost = 0
        if result < 0 and fill.client_id.split("-")[2:3] and fill.client_id.split("-")[2] in STOPPED:
            stops = [when for when in (*stops, at) if when > at - rules.stop_outs_within_minutes * MINUTE]
            if rules.max_stop_outs and len(stops) >= rules.max_stop_outs:
                yield Paused("max_stop_outs", "", at, at + rules.stop_outs_pause_minutes * MINUTE)


def broken(fills: Sequence[Sold], rules: Pauses) -> list[tuple[Sold, Paused]]:
    """Purchases that a pause forbids, with the first such pause."""
    ordered = sorted(fills, key=lambda fill: fill.at_ms)
    pauses = list(pauses_of(ordered, rules))
    bought = [fill for fill in ordered if fill.buy]
    return [(fill, found[0]) for fill in bought if (found := [pause for pause in pauses if pause.forbids(fill)])]


def _closed_by(coin: _Coin, fill: Sold) -> bool:
    """Book a fill; whether it closed the trip, whose result is then the newest."""
    quantity, money = fill.quantity, fill.quantity * fill.price
    in_base = fill.fee_asset == fill.symbol.partition("/")[0]
    money += ZERO if in_base else fill.fee if fill.buy else -fill.fee
    if fill.buy:
        coin.held += quantity - (fill.fee if in_base else ZERO)
        coin.cost += money
        coin.spent += money
        return False
    if coin.held <= 0:
        return False
    part = min(Decimal(1), quantity / coin.held)
    coin.earned += money - coin.cost * part
    coin.cost -= coin.cost * part
    coin.held = max(ZERO, coin.held - quantity)
    if coin.held * fill.price >= LEAST:
        return False
    coin.results.append((fill.at_ms, float(coin.earned / coin.spent) * 100.0))
    # What is left goes into the next trip at its cost.
    coin.cost = coin.cost if coin.held else ZERO
    coin.spent, coin.earned = coin.cost, ZERO
    return True
