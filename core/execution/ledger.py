"""Our account against the venue's: what the fills say the balances must be, and what the venue says they are."""

from dataclasses import replace
from decimal import Decimal

from core.execution.machine import ExecutionMachine
from core.execution.stimuli import BalancesAgreed
from core.messages import AccountState, OrderState, Unexplained
from core.ports import ZERO
from core.standing import FILLS_MISSING, OUTCOME_UNKNOWN

ABSOLUTE = Decimal("0.000001")
RELATIVE = Decimal("0.000000001")
"""A venue rounds each fee and each value to 8 decimals or fewer; anything above this is not rounding."""
UNCLEAR = frozenset({OrderState.SENT, OrderState.UNKNOWN, OrderState.CANCELLING})
SHOWN = 5
"""Differences named one by one."""


class Ledger:
    """Compares, minute by minute, the venue's balances with the last ones plus the fills counted since.

    A difference is reported as long as it changes; one that stays the same for a second comparison was no race but
    somebody else's doing (a deposit, a trade by hand) and is taken over as the new starting point. The starting point is
    in the machine's books, and so in its journal: what came or went while the bot was down is told in the same way at the
    next start, and is no profit or loss; what prices did to the balances is.
    """

    def __init__(self) -> None:
        self._adopted: BalancesAgreed | None = None
        self._last: dict[tuple[str, str], Decimal] = {}
        self._transferred: dict[tuple[str, str], Decimal] = {}
        self._faults = 0

    def reconcile(self, machine: ExecutionMachine, account: AccountState) -> AccountState:
        """The venue's account, marked with whether it agrees with the machine's books, and how it differs."""
        texts = []
        lost = [
            o for o in machine.unsettled() if o.state in (OrderState.SENT, OrderState.UNKNOWN, OrderState.CANCELLING)
        ]
        if lost:
            texts.append(f"{OUTCOME_UNKNOWN}: {_names([o.client_id for o in lost])}")
        short = [o for o in machine.unsettled() if o.short]
        if short:
            texts.append(f"{FILLS_MISSING}: {_names([o.client_id for o in short])}")
        texts.extend(self._new_faults(machine))
        texts.extend(self._compare(machine, account))
        if not account.reconciled:
            texts.insert(0, account.difference or "the venue's own view is not settled")
        return replace(
            account,
            reconciled=not texts,
            difference="; ".join(texts),
            closed=tuple(machine.books.trips.closed),
            unexplained=_told(self._last),
            transferred=_told(self._transferred),
        )

    def adopted(self) -> BalancesAgreed | None:
        """The new starting point that the last comparison led to, for the machine; None where the old one leads there."""
        adopted, self._adopted = self._adopted, None
        return adopted

    def settle_faults(self, machine: ExecutionMachine) -> None:
        """Take the faults so far as told (they are history that a restart replayed)."""
        self._faults = machine.books.fault_count

    def _new_faults(self, machine: ExecutionMachine) -> list[str]:
        new = machine.books.fault_count - self._faults
        self._faults = machine.books.fault_count
        more = [f"and {new - SHOWN} more faults"] if new > SHOWN else []
        return [*machine.faults[-new:][-SHOWN:], *more] if new else []

    def _compare(self, machine: ExecutionMachine, account: AccountState) -> list[str]:
        self._transferred = {}
        stated = {(b.venue, b.asset): b.total for b in account.balances}
        flows, agreed = machine.books.flows, machine.books.agreed
        if agreed is None:
            self._adopt(stated)
            return []
        found: dict[tuple[str, str], Decimal] = {}
        same = True
        for key in sorted(agreed.totals.keys() | stated.keys() | flows.keys()):
            expected = agreed.totals.get(key, ZERO) + flows.get(key, ZERO) - agreed.flows.get(key, ZERO)
            same = same and stated.get(key, ZERO) == expected
            gap = stated.get(key, ZERO) - expected
            if abs(gap) > ABSOLUTE + RELATIVE * abs(expected):
                found[key] = gap
        texts = [f"{venue} {asset}: {gap:+f} against our fills" for (venue, asset), gap in list(found.items())[:SHOWN]]
        if not same and (not found or found == self._last):
            self._adopt(stated)
        taken_over = found == self._last
        self._transferred = found if taken_over else {}
        self._last = {} if taken_over else found
        return texts

    def _adopt(self, stated: dict[tuple[str, str], Decimal]) -> None:
        totals = tuple((venue, asset, total) for (venue, asset), total in sorted(stated.items()) if total)
        self._adopted = BalancesAgreed(totals=totals)


def _told(changes: dict[tuple[str, str], Decimal]) -> tuple[Unexplained, ...]:
    return tuple(
        Unexplained(venue=venue, asset=asset, amount=amount) for (venue, asset), amount in sorted(changes.items())
    )


def _names(ids: list[str]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(ids[:SHOWN]) + more
