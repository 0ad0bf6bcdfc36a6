"""Do the executor's journal, the records and the exchange's own statement tell the same story?"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from core.execution.stops import stays
from core.messages import Fill

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The result: how much was compared, and every difference in words."""

    trades: int
    differences: tuple[str, ...]

    def line(self) -> str:
        if not self.differences:
            return (
                f"journal, records and the exchange's own books agree: {self.trades} trades, balances to the last digit"
            )
        return f"{len(self.differences)} differences between our books and the exchange's: " + "; ".join(
            self.differences[:5]
        )


Balances = Mapping[tuple[str, str], Decimal]
"""By (venue, asset)."""


def audit(books: dict, statements: Iterable[dict], fills: Iterable[Fill], cash: Balances) -> Audit:
    """Compare the executor's ``books()``, the records' fills and the exchanges' ``statements``, one a venue.

    ``cash``: what the accounts held at the start. Amounts are compared as decimals, exactly.
    """
    found: list[str] = []
    by_order: dict[str, Decimal] = defaultdict(lambda: ZERO)
    flows: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO, cash)
    theirs: dict[tuple[str, str], Decimal] = {}
    for statement in statements:
        venue = statement["venue"]
        for trade in statement["trades"]:
            quantity, price = Decimal(trade["quantity"]), Decimal(trade["price"])
            base, _, quote = trade["symbol"].partition("/")
            sign = 1 if trade["side"] == "buy" else -1
            by_order[trade["client_id"]] += quantity
            flows[venue, base] += sign * quantity
            flows[venue, quote] -= sign * quantity * price
            flows[venue, trade["fee_asset"]] -= Decimal(trade["fee"])
            theirs[f"{venue}:{trade['symbol']}", trade["trade_id"]] = quantity
        # The exchange with itself: its balances follow from its trades.
        for asset, amount in sorted(statement["balances"].items()):
            held = Decimal(amount["free"]) + Decimal(amount["locked"])
            if held != flows[venue, asset]:
                found.append(f"{venue} holds {held} {asset}, its trades give {flows[venue, asset]}")
        found += [f"order {name} is still open at {venue}" for name in statement["open_orders"] if not stays(name)]
    # Journal against exchange: each order's executed quantity, both ways.
    executed = {name: Decimal(text) for name, text in books["orders"].items()}
    for name in sorted(executed.keys() | by_order.keys()):
        if executed.get(name, ZERO) != by_order.get(name, ZERO):
            found.append(f"order {name}: journal {executed.get(name, ZERO)}, exchange {by_order.get(name, ZERO)}")
    found += [f"order {name} was never settled" for name in books["unsettled"]]
    found += list(books["faults"])
    # Records against exchange: the same trades, each once.
    ours: dict[tuple[str, str], Decimal] = {}
    for fill in fills:
        key = (str(fill.instrument), fill.trade_id)
        # A report may be told again after a crash; the venue's trade id makes it one.
        if ours.setdefault(key, fill.quantity) != fill.quantity:
            found.append(f"trade {key[1]} of {key[0]} is recorded with two quantities")
    found += [f"trade {i} of {s} is not in the records" for s, i in sorted(theirs.keys() - ours.keys())]
    found += [f"trade {i} of {s} is in the records only" for s, i in sorted(ours.keys() - theirs.keys())]
    found += [
        f"trade {k[1]} of {k[0]}: {ours[k]} recorded, {theirs[k]} traded"
        for k in ours.keys() & theirs.keys()
        if ours[k] != theirs[k]
    ]
    return Audit(trades=len(theirs), differences=tuple(found))


def audit_run(run_dir: Path, fills: Iterable[Fill], cash: Balances) -> Audit:
    """Audit a finished run from what it left in its folder."""
    books = json.loads((run_dir / "books.json").read_text(encoding="utf-8"))
    found = sorted(run_dir.glob("statement*.json"))
    return audit(books, [json.loads(path.read_text(encoding="utf-8")) for path in found], fills, cash)
