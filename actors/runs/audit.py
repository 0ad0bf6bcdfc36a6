"""Do the executor's journal, the records and the exchange's own statement tell the same story?"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

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


def audit(books: dict, statement: dict, fills: Iterable[Fill], cash: dict[str, Decimal]) -> Audit:
    """Compare the executor's ``books()``, the records' fills and the exchange's ``statement``.

    ``cash``: what the account held at the start, by asset. Amounts are compared as decimals, exactly.
    """
    found: list[str] = []
    by_order: dict[str, Decimal] = defaultdict(lambda: ZERO)
    flows: dict[str, Decimal] = defaultdict(lambda: ZERO, cash)
    for trade in statement["trades"]:
        quantity, price = Decimal(trade["quantity"]), Decimal(trade["price"])
        base, _, quote = trade["symbol"].partition("/")
        sign = 1 if trade["side"] == "buy" else -1
        by_order[trade["client_id"]] += quantity
        flows[base] += sign * quantity
        flows[quote] -= sign * quantity * price
        flows[trade["fee_asset"]] -= Decimal(trade["fee"])
    # The exchange with itself: its balances follow from its trades.
    for asset, amount in sorted(statement["balances"].items()):
        held = Decimal(amount["free"]) + Decimal(amount["locked"])
        if held != flows[asset]:
            found.append(f"the exchange holds {held} {asset}, its trades give {flows[asset]}")
    # Journal against exchange: each order's executed quantity, both ways.
    executed = {name: Decimal(text) for name, text in books["orders"].items()}
    for name in sorted(executed.keys() | by_order.keys()):
        if executed.get(name, ZERO) != by_order.get(name, ZERO):
            found.append(f"order {name}: journal {executed.get(name, ZERO)}, exchange {by_order.get(name, ZERO)}")
    found += [f"order {name} was never settled" for name in books["unsettled"]]
    found += [f"order {name} is still open at the exchange" for name in statement["open_orders"]]
    found += list(books["faults"])
    # Records against exchange: the same trades, each once.
    ours: dict[tuple[str, str], Decimal] = {}
    for fill in fills:
        key = (fill.instrument.symbol, fill.trade_id)
        # A report may be told again after a crash; the venue's trade id makes it one.
        if ours.setdefault(key, fill.quantity) != fill.quantity:
            found.append(f"trade {key[1]} of {key[0]} is recorded with two quantities")
    theirs = {(t["symbol"], t["trade_id"]): Decimal(t["quantity"]) for t in statement["trades"]}
    found += [f"trade {i} of {s} is not in the records" for s, i in sorted(theirs.keys() - ours.keys())]
    found += [f"trade {i} of {s} is in the records only" for s, i in sorted(ours.keys() - theirs.keys())]
    found += [
        f"trade {k[1]} of {k[0]}: {ours[k]} recorded, {theirs[k]} traded"
        for k in ours.keys() & theirs.keys()
        if ours[k] != theirs[k]
    ]
    return Audit(trades=len(theirs), differences=tuple(found))


def audit_run(run_dir: Path, fills: Iterable[Fill], cash: dict[str, Decimal]) -> Audit:
    """Audit a finished run from what it left in its folder."""
    books = json.loads((run_dir / "books.json").read_text(encoding="utf-8"))
    statement = json.loads((run_dir / "statement.json").read_text(encoding="utf-8"))
    return audit(books, statement, fills, cash)
