"""A LocalDesk minute by minute, with something happening between its slices."""

from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np

from config.settings import Settings
from core.messages import MinuteRecord
from core.minute import run_minute
from core.session import beat_times, decision_ms, tick_of
from core.units import MINUTE_MS, Instrument, Side
from data.market import MarketCut
from exchanges.simulated.orders import SimOrder
from tests.support.bad_days import CASH
from tests.support.engines import Panel, Wishes, make_forecasts, make_settings
from tune.backtest import make_backtest

Between = Callable[[int], object]
"""Called with the number of the slice that is due next, before it leaves."""


def nothing(slot: int) -> None:
    return None


class Story:
    """``wishes`` says what is wanted: a share of the investable equity a row, for every minute until told otherwise."""

    def __init__(self, market: MarketCut, wishes: Sequence[float], settings: Settings | None = None) -> None:
        rows = len(market.instruments)
        self.settings = settings or make_settings(rows, trade__invest_pct=30, risk__rebalance_band_pct=0.5)
        self._target = np.full((market.bars.shape[1], rows), np.nan)
        self.wish(wishes)
        panel = Panel(market, make_forecasts(market), self.settings.rules.models.horizon_minutes)
        test = make_backtest(self.settings, market, panel, cash=CASH, selector=Wishes(market, self._target))
        self.market, self.desk, self.venue, self.executor = market, test.desk, test.venue, test.executor
        self.exchange, self.machine = test.venue.exchange, test.executor.machine
        self.minute = market.first_minute
        self.records: list[MinuteRecord] = []

    def wish(self, wishes: Sequence[float]) -> None:
        """From the next minute on."""
        self._target[:] = np.array(wishes, dtype=np.float64)

    def play(self, between: Between = nothing) -> MinuteRecord:
        """Decide a minute and let its slices leave."""
        self.desk.market.advance_to(decision_ms(self.minute))
        record = run_minute(self.desk, tick_of(self.minute))
        for slot, now in enumerate(beat_times(self.minute, self.settings.rules.execution), start=1):
            self.desk.market.advance_to(now)
            between(slot)
            self.desk.executor.beat(now)
        self.machine.validate()
        self.minute += MINUTE_MS
        self.records.append(record)
        return record

    def holds(self, asset: str) -> Decimal:
        return self.exchange.account.free(asset) + self.exchange.account.locked(asset)

    def orders(self, instrument: Instrument | None = None, side: Side | None = None) -> list[SimOrder]:
        """What the exchange took, oldest first."""
        return [
            o for o in self.exchange.orders.values() if instrument in (None, o.instrument) and side in (None, o.side)
        ]


def reasons(record: MinuteRecord) -> dict[str, str]:
    """Why nothing was approved, by coin."""
    return {refused.instrument.base: refused.reason for refused in record.refused}
