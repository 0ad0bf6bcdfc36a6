"""Days on which limits matter: a crash and a halt, made up and real, traded by an ensemble that is hard to satisfy."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl

from config.settings import Settings
from core.messages import MinuteRecord
from core.params import ExecutionSettings
from core.units import DAY_MS, MINUTE_MS, Instrument
from data.market import MarketCut
from exchanges.simulated.local import SimulatedVenue
from tests.support.engines import HISTORY, Panel, cut_of, make_market, make_settings
from tests.support.exposure_checker import Checked, Closes, Limits, Trade, check
from tune.backtest import make_backtest
from tune.simulate import Forecasts

HALT_DAY = 1_679_616_000_000
"""24 March 2023: 72 minutes without a trade from 11:28 UTC, then nothing at all for 80."""
CRASH_DAY = 1_681_862_400_000
"""19 April 2023: every coin fell 5 to 9 %, SOL 13 % from top to bottom, much of it within minutes at 08 UTC."""
HALTED = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "ADA/USDT", "DOGE/USDT")
CRASHED = (*HALTED, "XRP/USDT")
CASH = Decimal(10_000)


ALGORITHMS: tuple[str, ...] = get_args(ExecutionSettings.model_fields["algorithm"].annotation)
"""Every way of working an order that there is, so that a new one is held to the same."""


@dataclass(frozen=True, slots=True)
class Day:
    """What came of a day."""

    trades: list[Trade]
    """In the exchange's own words."""
    records: list[MinuteRecord]
    found: Checked
    """What the checker makes of the trades."""


def restless(rows: int, **changes: Any) -> Settings:
    """Thresholds near zero and next to no band, so that nearly every minute trades; the limits as they are, but for those
    that keep a day from coming near the others: pauses after losses, and ceilings by volatility."""
    usual: dict[str, Any] = {
        "selection__entry_edge_bps": 0.5,
        "selection__exit_edge_bps": 0.1,
        "selection__full_edge_bps": 10,
        "risk__rebalance_band_pct": 0.1,
        "risk__cooldown_minutes": 0,
        "risk__max_consecutive_losses": 0,
        "risk__max_stop_outs": 0,
        "risk__low_profit_trips": 0,
        "risk__max_position_volatility_pct": None,
        "risk__target_volatility_pct": None,
        "risk__kelly_fraction": None,
        "trade__min_order_usdt": 10,
    }
    return make_settings(rows, **{**usual, **changes})


def moods(market: MarketCut, seed: int, bias: float = 0.0) -> Forecasts:
    """Two members whose minds change within minutes; ``bias`` bps more hopeful than they should be."""
    rng = np.random.default_rng(seed)
    shape = (2, len(market.instruments), market.bars.shape[1])
    mean = 20.0 * np.sin(np.cumsum(rng.normal(size=shape), axis=2) / 2.0) + bias
    return Forecasts(
        members=("a", "b"),
        versions=("1", "1"),
        mean_bps=mean,
        stdev_bps=np.full(shape, 20.0),
        asked=np.ones(shape[1:], dtype=np.bool_),
    )


def crash(rows: int = 3, minutes: int = 180, seed: int = 1) -> MarketCut:
    """An hour as usual, then 25 % down in 20 minutes of fast trade, half of it in one gap; a third comes back."""
    bars = make_market(rows, minutes, seed, money=200_000.0).bars.copy()
    path = np.zeros(HISTORY + minutes)
    start = HISTORY + 60
    path[start : start + 20] = np.log(0.87) / 20.0
    path[start + 10] += np.log(0.86)
    path[start + 20 : start + 60] = -path[start : start + 20].sum() / 3.0 / 40.0
    after = np.exp(np.cumsum(path))
    before = np.concatenate([[1.0], after[:-1]])
    # The gap lies between two bars, the rest inside them.
    gap = np.exp(np.where(np.arange(len(path)) == start + 10, np.log(0.86), 0.0))
    bars[:, :, 0] *= before * gap
    bars[:, :, 3] *= after
    bars[:, :, 1] = np.maximum(bars[:, :, 1] * np.maximum(before * gap, after), bars[:, :, [0, 3]].max(axis=2))
    bars[:, :, 2] = np.minimum(bars[:, :, 2] * np.minimum(before * gap, after), bars[:, :, [0, 3]].min(axis=2))
    bars[:, start : start + 20, 4] *= 8.0
    return cut_of(bars)


def halt(rows: int = 3, minutes: int = 200, seed: int = 2) -> MarketCut:
    """As on 24 March 2023, shorter: bars without a trade for 30 minutes, then none at all for 40, then 5 % lower."""
    bars = make_market(rows, minutes, seed, money=200_000.0).bars.copy()
    still, gone, back = HISTORY + 60, HISTORY + 90, HISTORY + 130
    bars[:, still:gone, :4] = bars[:, still - 1, 3][:, None, None]
    bars[:, still:gone, 4] = 0.0
    bars[:, gone:back] = np.nan
    bars[:, back:, :4] *= (bars[:, still - 1, 3] * 0.95 / bars[:, back, 0])[:, None, None]
    return cut_of(bars)


def real_day(folder: Path, day: int, symbols: tuple[str, ...], history: int = HISTORY) -> MarketCut:
    """A UTC day of ``folder`` (``binance_2023-03``), with the minutes before it."""
    total = history + DAY_MS // MINUTE_MS
    bars = np.full((len(symbols), total, 5), np.nan)
    start = day - history * MINUTE_MS
    for row, symbol in enumerate(symbols):
        frame = pl.read_parquet(folder / "binance" / f"{symbol.replace('/', '')}.parquet")
        frame = frame.filter(pl.col("ts").is_between(start, start + total * MINUTE_MS, closed="left"))
        at = (frame["ts"].to_numpy() - start) // MINUTE_MS
        bars[row, at] = frame.select("open", "high", "low", "close", "volume").to_numpy()
    return MarketCut(
        instruments=tuple(Instrument("binance", symbol) for symbol in symbols),
        start_minute=start,
        first_minute=day,
        minutes=DAY_MS // MINUTE_MS,
        bars=bars,
        synthetic=False,
        sentiment=(),
    )


def closes_of(market: MarketCut) -> Closes:
    return Closes(
        symbols=tuple(i.symbol for i in market.instruments),
        start=market.start_minute,
        close=market.bars[:, :, 3],
        volume=market.bars[:, :, 4],
        low=market.bars[:, :, 2],
    )


def fills_of(venue: SimulatedVenue) -> list[Trade]:
    """What the exchange's own books say was traded."""
    exchange = venue.exchange
    return [
        Trade(
            at_ms=t.at_ms,
            symbol=instrument.symbol,
            buy=str(t.side) == "buy",
            quantity=t.quantity,
            price=t.price,
            fee=t.fee,
            fee_asset=t.fee_asset,
            client_id=t.client_id,
        )
        for row, instrument in enumerate(exchange.instruments)
        for t in exchange.my_trades(row)
    ]


def judge(settings: Settings, market: MarketCut, trades: list[Trade]) -> Checked:
    """What the independent checker makes of these fills."""
    return check(
        trades,
        closes_of(market),
        Limits.of_settings(settings.model_dump(mode="json")),
        cash=CASH,
        first_minute=market.first_minute,
        minutes=market.minutes,
    )


def trade_day(settings: Settings, market: MarketCut, forecasts: Forecasts) -> Day:
    """A LocalDesk over the day."""
    panel = Panel(market, forecasts, settings.rules.models.horizon_minutes)
    test = make_backtest(settings, market, panel, cash=CASH)
    records = list(test.run())
    trades = fills_of(test.venue)
    return Day(trades, records, judge(settings, market, trades))
