"""The account at the simulated exchange: free and locked balances, in Decimal, never negative."""

from collections.abc import Mapping
from decimal import Decimal

from core.errors import Defect
from core.units import Side
from exchanges.simulated.fees import Charge
from exchanges.simulated.orders import ZERO
from exchanges.simulated.refusals import insufficient_balance


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

    def settle(self, side: Side, base: str, quote: str, quantity: Decimal, money: Decimal, fee: Charge) -> None:
        """Exchange what was locked (``quantity`` to sell; ``money`` to buy, and a fee ``beside`` it) and take the fee."""
        if side is Side.SELL:
            self._move(self._locked, base, -quantity)
            self._free[quote] += money
        else:
            self._move(self._locked, quote, -(money + fee.amount if fee.beside else money))
            self._free[base] += quantity
        if not fee.beside:
            self._move(self._free, fee.asset, -fee.amount)

    def transfer(self, asset: str, amount: Decimal) -> None:
        """Put something in from outside, or take it out (negative); VenueRefusal -2010 when it is not there."""
        self.add(asset)
        if amount + self._free[asset] < 0:
            raise insufficient_balance()
        self._free[asset] += amount

    def _move(self, purse: dict[str, Decimal], asset: str, amount: Decimal) -> None:
        if purse[asset] + amount < 0:
            raise Defect(f"simulated account: {asset} would fall below zero")
        purse[asset] += amount
