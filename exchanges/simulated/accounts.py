"""The account at the simulated exchange: free and locked balances, in Decimal, never negative."""

from collections.abc import Mapping
from decimal import Decimal

from core.costs import UNIT, commission, units_of
from core.errors import Defect
from core.units import Side
from exchanges.simulated.orders import ZERO
from exchanges.simulated.refusals import insufficient_balance


def fee_on(amount: Decimal, rate: Decimal) -> Decimal:
    """Fee on an amount, cut to the venue's 8 decimals."""
    return int(commission(units_of(amount), units_of(rate))) * UNIT


class Account:
    """Balances by asset. A limit order locks what it may spend; a fill settles out of the lock or out of free."""

    def __init__(self, balances: Mapping[str, Decimal]) -> None:
        self._free = {asset: Decimal(amount) for asset, amount in balances.items()}
        self._locked = dict.fromkeys(self._free, ZERO)
        self.changed_ms = 0
        if wrong := [asset for asset, amount in self._free.items() if amount < 0]:
            raise Defect(f"simulated account: the balance of {wrong[0]} is below zero")

    def free(self, asset: str) -> Decimal:
        return self._free.get(asset, ZERO)

    def locked(self, asset: str) -> Decimal:
        return self._locked.get(asset, ZERO)

    def assets(self) -> list[str]:
        return sorted(self._free)

    def add(self, asset: str) -> None:
        """List an asset, with nothing of it."""
        self._free.setdefault(asset, ZERO)
        self._locked.setdefault(asset, ZERO)

    def lock(self, asset: str, amount: Decimal) -> None:
        """Set ``amount`` aside for an order; VenueRefusal -2010 when it is not there."""
        if amount > self.free(asset):
            raise insufficient_balance()
        self._free[asset] -= amount
        self._locked[asset] += amount

    def release(self, asset: str, amount: Decimal) -> None:
        """Give back what an order had set aside."""
        self._move(self._locked, asset, -amount)
        self._free[asset] += amount

    def settle(
        self,
        side: Side,
        base: str,
        quote: str,
        quantity: Decimal,
        money: Decimal,
        rate: Decimal,
        in_quote: bool = False,
    ) -> Decimal:
        """Exchange what was locked (``quantity`` to sell, ``money`` to buy) and return the fee.

        The fee is taken from what comes in: base coin on a buy, quote coin on a sell, as Binance does without BNB; or,
        ``in_quote``, always from the quote coin (on a buy out of what was locked beside ``money``).
        """
        if side is Side.SELL:
            fee = fee_on(money, rate)
            self._move(self._locked, base, -quantity)
            self._free[quote] += money - fee
            return fee
        fee = fee_on(money if in_quote else quantity, rate)
        self._move(self._locked, quote, -(money + fee if in_quote else money))
        self._free[base] += quantity if in_quote else quantity - fee
        return fee

    def _move(self, purse: dict[str, Decimal], asset: str, amount: Decimal) -> None:
        if purse[asset] + amount < 0:
            raise Defect(f"simulated account: locked {asset} would fall below zero")
        purse[asset] += amount
