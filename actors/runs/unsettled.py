"""Orders that had not ended when the last run did: does the exchange know them as our journal does?

A lost order is nothing unusual, and the executor settles it at its start. But where the exchange says less than our
journal has already counted, one of the two is wrong, and nobody may trade before a person has looked.
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from actors.limits import venue_gate
from actors.runs.arming import Pending
from actors.runs.brief import run_briefly
from actors.runs.findings import Finding
from config.secrets import ApiKeys
from config.settings import ExchangeSettings
from core.errors import ExchangeRefused
from core.messages import OrderSnapshot, OrderState
from core.units import Instrument
from exchanges.venues import gateway_of

UNSEEN = frozenset({OrderState.SENT, OrderState.UNKNOWN})
"""The exchange has not said yet that it has the order, so it may have none."""
SHOWN = 5


def judge_orders(
    exchange: ExchangeSettings,
    keys: ApiKeys,
    instruments: tuple[Instrument, ...],
    pending: Sequence[Pending],
    run_dir: Path,
    var: Path | None = None,
    venue: str = "binance",
) -> list[Finding]:
    """What speaks against going on from these orders at ``venue``. Raises ExchangeUnavailable when it does not answer."""
    mine = [order for order in pending if order.instrument.venue == venue]
    if not mine:
        return []
    wrong = run_briefly(_ask(exchange, keys, instruments, mine, var, venue))
    if not wrong:
        return []
    shown = "; ".join(wrong[:SHOWN]) + (f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else "")
    text = (
        f"{len(wrong)} orders of the last run are not what {venue} says of them ({shown}). Look at the account there; "
        f"then move {run_dir} aside, and a new journal begins with the account as it is"
    )
    return [Finding(name="unreconciled_orders", text=text)]


async def _ask(
    exchange: ExchangeSettings,
    keys: ApiKeys,
    instruments: tuple[Instrument, ...],
    pending: Sequence[Pending],
    var: Path | None,
    venue: str,
) -> list[str]:
    gateway = gateway_of(venue, exchange, keys, instruments, ledger=venue_gate(var, venue, exchange))
    found: list[str] = []
    try:
        for order in pending:
            try:
                said = await gateway.query(order.client_id, order.instrument)
            except ExchangeRefused as error:
                found.append(f"{order.client_id}: {venue} does not tell of it ({error})")
                continue
            found += contradiction(order, said)
    finally:
        await gateway.close()
    return found


def contradiction(order: Pending, said: OrderSnapshot | None) -> list[str]:
    """How the exchange's word cannot be true if our journal is; empty where it can."""
    executed = Decimal(0) if said is None else said.executed
    if executed < order.executed:
        return [f"{order.client_id}: we counted {order.executed} executed, the exchange says {executed}"]
    if said is None and order.state not in UNSEEN:
        return [f"{order.client_id}: it was {order.state.value} for us, the exchange knows no such order"]
    if said is not None and (said.side, said.instrument) != (order.side, order.instrument):
        return [f"{order.client_id}: we sent a {order.side} of {order.instrument}, the exchange has another"]
    return []
