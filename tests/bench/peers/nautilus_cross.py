"""nautilus_trader: an event engine with a matching engine of its own, one strategy call a bar.

In the time: ``engine.run()`` alone; wrangling bars into its objects is not. It models more than the others here (order
events, account, precision of price and size); not: participation, impact from bars, halts.
"""

from decimal import Decimal

import nautilus_trader
import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model import BarType, Money, TraderId, Venue
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy
from protocol import FAST, SLOW, arguments, report, timed


class CrossConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType
    size: Decimal


class Cross(Strategy):
    """Buys a fixed size when the fast mean rises above the slow one, closes when it falls below."""

    def __init__(self, config: CrossConfig) -> None:
        super().__init__(config)
        self.fast, self.slow = SimpleMovingAverage(FAST), SimpleMovingAverage(SLOW)
        self.above: bool | None = None
        self.crossings = 0

    def on_start(self) -> None:
        self.instrument = self.cache.instrument(self.config.instrument_id)
        self.quantity = self.instrument.make_qty(self.config.size)
        self.register_indicator_for_bars(self.config.bar_type, self.fast)
        self.register_indicator_for_bars(self.config.bar_type, self.slow)
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar) -> None:
        if not self.indicators_initialized():
            return
        above = self.fast.value > self.slow.value
        if self.above is not None and above != self.above:
            if above:
                self.crossings += 1
                order = self.order_factory.market(self.config.instrument_id, OrderSide.BUY, self.quantity)
                self.submit_order(order)
            elif not self.portfolio.is_flat(self.config.instrument_id):
                self.close_all_positions(self.config.instrument_id)
        self.above = above


def engine_of(bars: pd.DataFrame) -> tuple[BacktestEngine, Cross]:
    instrument = TestInstrumentProvider.btcusdt_binance()
    kind = BarType.from_str("BTCUSDT.BINANCE-1-MINUTE-LAST-EXTERNAL")
    engine = BacktestEngine(
        BacktestEngineConfig(trader_id=TraderId("B-001"), logging=LoggingConfig(bypass_logging=True))
    )
    engine.add_venue(
        Venue("BINANCE"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=None,
        starting_balances=[Money(10_000_000, USDT), Money(0, BTC)],
    )
    engine.add_instrument(instrument)
    engine.add_data(BarDataWrangler(kind, instrument).process(bars))
    strategy = Cross(CrossConfig(instrument_id=instrument.id, bar_type=kind, size=Decimal("1")))
    engine.add_strategy(strategy)
    return engine, strategy


if __name__ == "__main__":
    args = arguments()
    raw = pd.read_parquet(args.bars)
    bars = raw[["open", "high", "low", "close", "volume"]].set_index(pd.to_datetime(raw["ts"], unit="ms", utc=True))
    bars.index.name = "timestamp"
    engine_of(bars.iloc[:3000])[0].run()
    seconds = []
    for _ in range(args.repeat):
        engine, strategy = engine_of(bars)
        seconds += timed(engine.run, 1)[0]
        crossings = strategy.crossings
        engine.dispose()
    report(
        peer="nautilus_trader",
        version=nautilus_trader.__version__,
        bars=len(bars),
        seconds=seconds,
        crossings=crossings,
    )
