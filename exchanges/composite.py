"""Several venues behind the face of one: each order goes where its instrument trades, the account is that of all.

Nothing is ever moved between venues. A venue that does not answer leaves the others working: its balances stay as last
stated and the account says that it is not reconciled, so that nothing new is bought on a guess.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from core.errors import BotError, Defect, ExchangeUnavailable
from core.messages import AccountState, CancelOrder, Fill, OrderSnapshot, PlaceOrder, ShownBook, Top
from core.ports import Venue
from core.standing import NOT_STATED
from core.units import Instrument, MarketRules

Answer = TypeVar("Answer")


class Venues:
    """``core.ports.Venue`` over ``parts``, by venue name. One that has only one part behaves as that part."""

    name = "all"

    def __init__(self, parts: Mapping[str, Venue]) -> None:
        if not parts:
            raise Defect("venues: there must be at least one")
        self._parts = dict(parts)
        self._accounts: dict[str, AccountState] = {}

    async def rules(self) -> dict[Instrument, MarketRules]:
        """Of every instrument of every venue; all must answer."""
        return {i: rule for rules in await self._all(lambda venue: venue.rules()) for i, rule in rules.items()}

    async def account(self) -> AccountState:
        """Balances of all venues. Raises ExchangeUnavailable when one does not answer that never did before."""
        names = tuple(self._parts)
        asked = (self._parts[name].account() for name in names)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        faults: list[str] = []
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, AccountState):
                self._accounts[name] = answer
                if not answer.reconciled:
                    faults.append(f"{name}: {answer.difference or 'not settled'}")
            elif isinstance(answer, ExchangeUnavailable) and name in self._accounts:
                faults.append(f"{name} {NOT_STATED}: {answer}")
            else:
                raise answer
        known = [self._accounts[name] for name in names]
        if len(known) == 1 and not faults:
            return known[0]
        return AccountState(
            at_ms=max(account.at_ms for account in known),
            balances=tuple(balance for account in known for balance in account.balances),
            reconciled=not faults,
            difference="; ".join(faults),
        )

    async def place(self, order: PlaceOrder) -> OrderSnapshot:
        return await self._of(order.instrument).place(order)

    async def cancel(self, order: CancelOrder) -> OrderSnapshot:
        return await self._of(order.instrument).cancel(order)

    async def query(self, client_id: str, instrument: Instrument) -> OrderSnapshot | None:
        return await self._of(instrument).query(client_id, instrument)

    async def open_orders(self) -> tuple[OrderSnapshot, ...]:
        """Of all venues; all must answer, as an order that was not told is not one that is gone."""
        return tuple(order for orders in await self._all(lambda venue: venue.open_orders()) for order in orders)

    async def fills(self, client_id: str, instrument: Instrument) -> tuple[Fill, ...]:
        return await self._of(instrument).fills(client_id, instrument)

    async def tops(self, instruments: Sequence[Instrument]) -> dict[Instrument, Top]:
        """Of all venues that answer: one that is silent must not blind the others. Raises when none answers."""
        return await self._shown(instruments, lambda venue, mine: venue.tops(mine))

    async def books(self, instruments: Sequence[Instrument]) -> dict[Instrument, ShownBook]:
        return await self._shown(instruments, lambda venue, mine: venue.books(mine))

    async def _shown(
        self,
        instruments: Sequence[Instrument],
        ask: Callable[[Venue, list[Instrument]], Awaitable[Mapping[Instrument, Answer]]],
    ) -> dict[Instrument, Answer]:
        wanted = {name: [i for i in instruments if i.venue == name] for name in self._parts}
        asked = {name: mine for name, mine in wanted.items() if mine}
        answers = await asyncio.gather(
            *(ask(self._parts[name], mine) for name, mine in asked.items()), return_exceptions=True
        )
        found: dict[Instrument, Answer] = {}
        for answer in answers:
            if not isinstance(answer, BaseException):
                found |= answer
            elif not isinstance(answer, BotError) or len(answers) == 1:
                raise answer
        return found

    def _of(self, instrument: Instrument) -> Venue:
        try:
            return self._parts[instrument.venue]
        except KeyError:
            raise Defect(f"{instrument}: no such venue here, only {', '.join(self._parts)}") from None

    async def _all(self, ask: Callable[[Venue], Awaitable[Answer]]) -> list[Answer]:
        """The answer of every venue, asked at once; the first failure is raised when all have answered."""
        answers = await asyncio.gather(*(ask(part) for part in self._parts.values()), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers  # type: ignore[return-value]
