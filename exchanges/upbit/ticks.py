"""Price grids of the instruments: the house's table, corrected by what the venue said of the price it had."""

import logging
from decimal import Decimal

from core.errors import DataError
from core.grid import upbit_tick
from core.units import Instrument
from exchanges.upbit.names import VENUE

log = logging.getLogger(__name__)


class Ticks:
    """``core.grid.upbit_tick`` is the rule for every price. The venue tells one tick a market, that of its price at the
    moment; where it differs from the table (which knows KRW markets only), it holds for that stretch of the table."""

    def __init__(self) -> None:
        self._told: dict[Instrument, tuple[Decimal, Decimal]] = {}
        """(our table's, the venue's) at the price the market had then."""

    def learn(self, instrument: Instrument, price: float, stated: Decimal) -> None:
        """The venue's tick at ``price``. ``DataError`` when it is none."""
        if not stated.is_finite() or stated <= 0:
            raise DataError(f"{VENUE} tick sizes: {instrument.symbol} has {stated}")
        ours = upbit_tick(instrument.symbol, price)
        if instrument.quote == "KRW" and stated != ours:
            log.warning("%s: the venue's tick at %s is %s, our table says %s", instrument, price, stated, ours)
        self._told[instrument] = (ours, stated)

    def current(self, instrument: Instrument) -> Decimal:
        """The tick the venue told last."""
        return self._told[instrument][1]

    def at(self, instrument: Instrument, price: Decimal) -> Decimal:
        """The tick at this price."""
        ours = upbit_tick(instrument.symbol, float(price))
        then, stated = self._told.get(instrument, (ours, ours))
        return stated if ours == then else ours
