"""Which of the account's coins are the bot's: those that its own fills brought. Others are left alone.

A coin that was there before the bot came, that was bought by hand or sent in, is no position of the bot's: it is not
counted, not valued, not sold. Quote currencies are common: what the bot may use of them is ``trade.capital_usdt`` and
``trade.capital_pct``. Where a person takes away what the bot had bought, less is the bot's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from core.messages import AccountState, Balance, Unexplained
from core.ports import ZERO
from core.units import Instrument

Assets = Mapping[tuple[str, str], Decimal]
"""(venue, asset) -> amount."""


def ours(account: AccountState, flows: Assets, instruments: Iterable[Instrument]) -> AccountState:
    """The account with only the bot's part of each traded coin; ``flows`` are what its fills brought in all."""
    known = tuple(instruments)
    quotes = {(i.venue, i.quote) for i in known}
    coins = {(i.venue, i.base) for i in known} - quotes
    return replace(
        account,
        balances=tuple(_part(b, flows, coins) for b in account.balances),
        unexplained=_parts(account.unexplained, account, flows, coins),
        transferred=_parts(account.transferred, account, flows, coins),
    )


def mine(flow: Decimal, total: Decimal) -> Decimal:
    """Of ``total`` coins, how many the bot's fills brought."""
    return max(ZERO, min(flow, total))


def _part(balance: Balance, flows: Assets, coins: set[tuple[str, str]]) -> Balance:
    key = (balance.venue, balance.asset)
    if key not in coins:
        return balance
    part = mine(flows.get(key, ZERO), balance.total)
    # What is locked is in an order, and orders of this name are the bot's; others' shrink what is free.
    locked = min(balance.locked, part)
    return replace(balance, free=min(balance.free, part - locked), locked=locked)


def _parts(
    changes: tuple[Unexplained, ...], account: AccountState, flows: Assets, coins: set[tuple[str, str]]
) -> tuple[Unexplained, ...]:
    """What of the changes nobody explains touched the bot's part."""
    found = []
    for change in changes:
        key = (change.venue, change.asset)
        amount = change.amount
        if key in coins:
            flow, total = flows.get(key, ZERO), account.total(*key)
            amount = mine(flow, total) - mine(flow, total - change.amount)
        if amount:
            found.append(replace(change, amount=amount))
    return tuple(found)
