"""After a live run: does the venue say of our orders what our records say?"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from actors.limits import venue_gate
from actors.runs.audit import Audit
from config.secrets import ApiKeys
from config.settings import ExchangeSettings
from core.errors import BotError
from core.messages import MinuteRecord, OrderReport, OrderState
from core.orders import is_ours
from core.units import Instrument
from exchanges.binance.gateway import BinanceGateway

MOST = 300
"""Orders asked about; each costs up to nine of the venue's request weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveAudit(Audit):
    """What was compared with the venue: orders one by one. Balances are not, for others may move them."""

    orders: int
    left_out: int

    def line(self) -> str:
        more = f" ({self.left_out} earlier orders not asked about)" if self.left_out else ""
        if not self.differences:
            return f"records and the exchange agree: {self.orders} orders, {self.trades} trades{more}"
        shown = "; ".join(self.differences[:5])
        return f"{len(self.differences)} differences between our records and the exchange: {shown}{more}"


def audit_live(
    exchange: ExchangeSettings,
    keys: ApiKeys,
    instruments: tuple[Instrument, ...],
    records: Sequence[MinuteRecord],
    instance: str,
    var: Path | None = None,
) -> LiveAudit:
    """Ask the venue about the newest ``MOST`` orders of these records. ``var``: where the limits are shared."""
    orders = {order.client_id: order for record in records for order in record.orders}
    asked = dict(list(orders.items())[-MOST:])
    fills = {(f.client_id, f.trade_id): f.quantity for r in records for f in r.fills if f.client_id in asked}
    try:
        found, trades = asyncio.run(_compare(exchange, keys, instruments, asked, fills, instance, var))
    except BotError as error:
        found, trades = [f"the exchange could not be asked: {error}"], 0
    return LiveAudit(trades=trades, differences=tuple(found), orders=len(asked), left_out=len(orders) - len(asked))


async def _compare(
    exchange: ExchangeSettings,
    keys: ApiKeys,
    instruments: tuple[Instrument, ...],
    orders: dict[str, OrderReport],
    fills: dict[tuple[str, str], Decimal],
    instance: str,
    var: Path | None,
) -> tuple[list[str], int]:
    gateway = BinanceGateway(exchange, keys, instruments, ledger=venue_gate(var, "binance", exchange))
    found: list[str] = []
    theirs: dict[tuple[str, str], Decimal] = {}
    try:
        for name, order in orders.items():
            if order.state is OrderState.REJECTED:
                continue
            said = await gateway.query(name, order.instrument)
            executed = said.executed if said is not None else Decimal(0)
            if executed != order.executed:
                found.append(f"order {name}: recorded {order.executed}, the exchange says {executed}")
            if executed:
                theirs |= {(name, f.trade_id): f.quantity for f in await gateway.fills(name, order.instrument)}
        left = [o.client_id for o in await gateway.open_orders() if is_ours(o.client_id, instance)]
    finally:
        await gateway.close()
    found += [f"order {name} is still open at the exchange" for name in left]
    found += [f"trade {i} of order {n} is not in the records" for n, i in sorted(theirs.keys() - fills.keys())]
    found += [f"trade {i} of order {n} is in the records only" for n, i in sorted(fills.keys() - theirs.keys())]
    found += [
        f"trade {k[1]} of order {k[0]} differs in size" for k in theirs.keys() & fills.keys() if theirs[k] != fills[k]
    ]
    return found, len(theirs)
