"""What the coins of the account cost: Upbit tells the average buying price of each asset with its balance."""

from decimal import Decimal

from core.units import Instrument, Side
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.orders import ZERO, Trade


class Averages:
    """Average buying prices in the quote currency, fees left out; coins held from the start cost nothing."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        account = exchange.account
        self._held = {asset: account.free(asset) + account.locked(asset) for asset in account.assets()}
        self._price: dict[str, Decimal] = {}
        self._quote: dict[str, str] = {}

    def traded(self, instrument: Instrument, trade: Trade) -> None:
        base = instrument.base
        held = self._held.get(base, ZERO)
        if trade.side is Side.BUY:
            money = held * self._price.get(base, ZERO) + trade.quote_quantity
            self._held[base] = held + trade.quantity
            self._price[base], self._quote[base] = money / self._held[base], instrument.quote
            return
        self._held[base] = held - trade.quantity
        if self._held[base] <= 0:
            self._price.pop(base, None)

    def price(self, asset: str) -> Decimal:
        """To eight decimals; 0 when the asset was never bought."""
        return round(self._price.get(asset, ZERO), 8)

    def quote(self, asset: str) -> str:
        return self._quote.get(asset, "KRW")
