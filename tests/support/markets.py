"""Small markets, accounts and messages for tests, made by hand or from a seed."""

from dataclasses import replace
from decimal import Decimal

import numpy as np

from core.features import N_FEATURES, SEQUENCE, WINDOW
from core.messages import (
    AccountState,
    Balance,
    Bar,
    Detected,
    Intents,
    Market,
    MarketSlice,
    MinuteTick,
    Regime,
    Top,
    Votes,
)
from core.units import MINUTE_MS, Instrument, MarketRules, to_decimal

MINUTE = 1_700_000_040_000 // MINUTE_MS * MINUTE_MS
BTC = Instrument("binance", "BTC/USDT")
ETH = Instrument("binance", "ETH/USDT")
SOL = Instrument("binance", "SOL/USDT")


def walk(minutes: int, seed: int, *, price: float = 100.0, volatility: float = 1e-3, gaps: float = 0.0) -> np.ndarray:
    """(T, 5) bars of a random walk; a share of ``gaps`` minutes is missing (NaN)."""
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.normal(0.0, volatility, minutes)))
    opened = np.concatenate([[price], close[:-1]])
    high = np.maximum(opened, close) * (1.0 + rng.exponential(volatility / 3, minutes))
    low = np.minimum(opened, close) * (1.0 - rng.exponential(volatility / 3, minutes))
    bars = np.stack([opened, high, low, close, rng.exponential(5.0, minutes)], axis=1)
    bars[rng.random(minutes) < gaps] = np.nan
    return bars


def flat(minutes: int, price: float = 100.0, volume: float = 0.0) -> np.ndarray:
    """(T, 5) bars that never move."""
    return np.tile([price, price, price, price, volume], (minutes, 1))


def rules(instrument: Instrument = BTC, **changes: object) -> MarketRules:
    """Binance-like rules."""
    usual = MarketRules(
        instrument=instrument,
        tick=Decimal("0.01"),
        step=Decimal("0.00001"),
        min_qty=Decimal("0.00001"),
        max_qty=Decimal(9000),
        min_notional=Decimal(5),
    )
    return replace(usual, **changes)


def account(venue: str = "binance", **free: str) -> AccountState:
    """Free balances by asset, e.g. ``account(USDT="1000", BTC="0.1")``."""
    balances = tuple(
        Balance(venue=venue, asset=asset, free=Decimal(amount), locked=Decimal(0)) for asset, amount in free.items()
    )
    return AccountState(at_ms=MINUTE, balances=balances)


def tick(minute: int = MINUTE) -> MinuteTick:
    return MinuteTick(minute=minute, now_ms=minute + MINUTE_MS, trace=f"{minute:x}")


def bar(minute: int, close: float, volume: float = 1.0, **changes: object) -> Bar:
    """A bar that opened where it closed."""
    return replace(Bar(minute=minute, open=close, high=close, low=close, close=close, volume=volume), **changes)


def top(minute: int, mid: float, spread: float = 0.02) -> Top:
    return Top(bid=mid - spread / 2, bid_qty=1.0, ask=mid + spread / 2, ask_qty=1.0, at_ms=minute + MINUTE_MS)


def piece(minute: int, instruments: tuple[Instrument, ...], closes: tuple[float | None, ...]) -> MarketSlice:
    """What the feed saw: a bar and a book at each close; None is a minute without either."""
    return MarketSlice(
        minute=minute,
        instruments=instruments,
        bars=tuple(bar(minute, c) if c is not None else None for c in closes),
        tops=tuple(top(minute, c) if c is not None else None for c in closes),
    )


def market(
    instruments: tuple[Instrument, ...] = (BTC,),
    *,
    mids: tuple[float, ...] = (100.0,),
    held: tuple[float, ...] | None = None,
    cash: float = 10_000.0,
    equity: float | None = None,
    minute: int = MINUTE,
    bars: np.ndarray | None = None,
    **changes: object,
) -> Market:
    """A market with a book one cent wide, all fresh; equity is what cash and coins are worth unless given."""
    rows = len(instruments)
    mid = np.array(mids, dtype=np.float64)
    position = np.array(held if held is not None else (0.0,) * rows)
    if bars is None:
        bars = np.stack([flat(WINDOW, m if np.isfinite(m) else 1.0, 10.0) for m in mids])
    balances = [Balance(venue="binance", asset="USDT", free=to_decimal(cash), locked=Decimal(0))]
    balances += [
        Balance(venue=i.venue, asset=i.base, free=to_decimal(float(p)), locked=Decimal(0))
        for i, p in zip(instruments, position, strict=True)
    ]
    base = Market(
        minute=minute,
        now_ms=minute + MINUTE_MS,
        trace="t",
        instruments=instruments,
        bars=bars,
        filler=np.zeros(bars.shape[:2], dtype=np.bool_),
        features=np.zeros((rows, SEQUENCE, N_FEATURES)),
        bid=mid - 0.005,
        ask=mid + 0.005,
        fresh=np.ones(rows, dtype=np.bool_),
        account=AccountState(at_ms=minute, balances=tuple(balances)),
        equity=float(cash + np.nansum(mid * position)) if equity is None else equity,
        cash=np.full(rows, cash),
        position=position,
        quote_rate=np.ones(rows),
    )
    return replace(base, **changes)


def detected(seen: Market, regime: Regime = Regime.CALM, events: tuple = ()) -> Detected:
    return Detected(minute=seen.minute, trace=seen.trace, regime=regime, events=events)


def votes(seen: Market, said: dict[str, tuple[float, ...] | None]) -> Votes:
    """Votes by member: means in bps (stdev 10), or None for a silent member."""
    nothing = (np.nan,) * len(seen.instruments)
    mean = np.array([row if row is not None else nothing for row in said.values()], dtype=np.float64)
    return Votes(
        minute=seen.minute,
        trace=seen.trace,
        members=tuple(said),
        versions=("v1",) * len(said),
        mean_bps=mean,
        stdev_bps=np.where(np.isnan(mean), np.nan, 10.0),
        spoke=np.array([row is not None for row in said.values()]),
        silence=tuple("" if row is not None else "late" for row in said.values()),
        horizon=15,
    )


def intents(seen: Market, targets: tuple[float, ...], regime: Regime = Regime.CALM) -> Intents:
    rows = len(seen.instruments)
    return Intents(
        minute=seen.minute,
        trace=seen.trace,
        regime=regime,
        weights=(1.0,),
        weights_version="equal",
        edge_bps=np.full(rows, 200.0),
        spread_bps=np.full(rows, 10.0),
        target=np.array(targets, dtype=np.float64),
    )
