"""After a live run: does the venue say of our orders what our records say?"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from actors.limits import venue_gate
from actors.runs.audit import Audit
from actors.runs.brief import run_briefly
from config.secrets import ApiKeys
from config.settings import ExchangeSettings
from core.errors import BotError
from core.execution.stops import stays
from core.messages import MinuteRecord, OrderReport, OrderState
from core.orders import LIVE, is_ours
from core.units import Instrument
from exchanges.venues import gateway_of

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
    venue: str = "binance",
) -> LiveAudit:
    """Ask the venue about its newest ``MOST`` orders of these records, after the run. ``var``: where the limits are
    shared. A venue that cannot be asked is a difference."""
    try:
        return ask_about(exchange, keys, instruments, records, instance, var, venue, ended=True)
    except BotError as error:
        text = f"{venue} could not be asked: {error}"
        return LiveAudit(trades=0, differences=(text,), orders=len(_orders(records, venue)[-MOST:]), left_out=0)


def ask_about(
    exchange: ExchangeSettings,
    keys: ApiKeys,
    instruments: tuple[Instrument, ...],
    records: Sequence[MinuteRecord],
    instance: str,
    var: Path | None = None,
    venue: str = "binance",
    *,
    ended: bool,
) -> LiveAudit:
    """As ``audit_live``, but raises BotError when the venue cannot be asked. While the run goes on (``ended`` False),
    orders that our records do not call ended are left out, and none has to be gone."""
    orders = [order for order in _orders(records, venue) if ended or order.state not in LIVE]
    asked = {order.client_id: order for order in orders[-MOST:]}
    fills = {(f.client_id, f.trade_id): f.quantity for r in records for f in r.fills if f.client_id in asked}
    found, trades = run_briefly(_compare(exchange, keys, instruments, asked, fills, instance, var, venue, ended))
    return LiveAudit(trades=trades, differences=tuple(found), orders=len(asked), left_out=len(orders) - len(asked))


def _orders(records: Sequence[MinuteRecord], venue: str) -> list[OrderReport]:
    """The venue's orders as last recorded, oldest first."""
    every = (order for record in records for order in record.orders)
    return list({order.client_id: order for order in every if order.instrument.venue == venue}.values())


def together(parts: Sequence[LiveAudit]) -> LiveAudit:
    """The audits of several venues as one."""
    return LiveAudit(
        trades=sum(part.trades for part in parts),
        differences=tuple(difference for part in parts for difference in part.differences),
        orders=sum(part.orders for part in parts),
        left_out=sum(part.left_out for part in parts),
    )


async def _compare(
    exchange: ExchangeSettings,
    keys: ApiKeys,
    instruments: tuple[Instrument, ...],
    orders: dict[str, OrderReport],
    fills: dict[tuple[str, str], Decimal],
    instance: str,
    var: Path | None,
    venue: str,
    ended: bool,
) -> tuple[list[str], int]:
    gateway = gateway_of(venue, exchange, keys, instruments, ledger=venue_gate(var, venue, exchange))
    found: list[str] = []
    theirs: dict[tuple[str, str], Decimal] = {}
    try:
        for name, order in orders.items():
            if order.state is OrderState.REJECTED:
                continue
            said = await gateway.query(name, order.instrument)
            executed = said.executed if said is not None else Decimal(0)
            if executed != order.executed:
                found.append(f"order {name}: recorded {order.executed}, {venue} says {executed}")
            if executed:
                theirs |= {(name, f.trade_id): f.quantity for f in await gateway.fills(name, order.instrument)}
        still = await gateway.open_orders() if ended else ()
        left = [o.client_id for o in still if is_ours(o.client_id, instance) and not stays(o.client_id)]
    finally:
        await gateway.close()
    found += [f"order {name} is still open at {venue}" for name in left]
    found += [f"trade {i} of order {n} is not in the records" for n, i in sorted(theirs.keys() - fills.keys())]
    found += [f"trade {i} of order {n} is in the records only" for n, i in sorted(fills.keys() - theirs.keys())]
    found += [
        f"trade {k[1]} of order {k[0]} differs in size" for k in theirs.keys() & fills.keys() if theirs[k] != fills[k]
    ]
    return found, len(theirs)
