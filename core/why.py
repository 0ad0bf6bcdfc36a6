"""Why an instrument was, or was not, traded in a minute: put together from the records of a run."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from core.messages import (
    Approved,
    CoinDecision,
    Fill,
    MemberVote,
    MinuteRecord,
    OrderReport,
    ProtectiveExit,
    Refused,
)
from core.units import MINUTE_MS, Instrument, Side, plainly


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One instrument of one minute."""

    record: MinuteRecord
    row: int
    """Of the instrument, in ``record``."""
    approved: Approved | None
    refused: Refused | None
    orders: tuple[OrderReport, ...]
    """Of this decision, as they were last recorded; slices of a schedule are several."""
    fills: tuple[Fill, ...]
    exits: tuple[ProtectiveExit, ...] = ()
    """What protection sold of it before the next decision."""
    left: str = ""
    """Of a sale before this minute that was not finished, and is not asked for again: why what is left is kept."""

    @property
    def instrument(self) -> Instrument:
        return self.record.instruments[self.row]

    @property
    def arithmetic(self) -> tuple[str, ...]:
        """How the size came about, line by line; empty where none was thought of."""
        verdict = self.approved or self.refused
        return verdict.arithmetic if verdict is not None else ()

    @property
    def coin(self) -> CoinDecision | None:
        """What was decided of its coin as a whole, where that is one position at several exchanges."""
        return coin_of(self.record, self.instrument)

    def outcome(self, entry_bps: float | None = None, exit_bps: float | None = None) -> str:
        """What became of it, in words. ``entry_bps`` and ``exit_bps``: the run's thresholds, where known."""
        if self.approved is not None:
            one = self.approved
            return (
                f"{one.side.upper()} {one.quantity.normalize():f} {one.instrument.base}, limit "
                f"{one.limit_price.normalize():f}, mid {plainly(one.reference_price)}"
            )
        if self.refused is not None:
            return f"REFUSED by {self.refused.reason}"
        fresh, coin = bool(at(self.record.fresh, self.row)), self.coin
        if coin is not None:
            traded = {one.instrument for one in self.record.approved}
            where = [one.venue for one in coin.instruments if one in traded]
            edge, wanted = finite(coin.edge_bps), finite(coin.wanted)
            return coin_words(
                self.instrument.base, edge, coin.held, wanted, self.record.equity, fresh, where, entry_bps, exit_bps
            )
        return idle_words(
            finite(at(self.record.edge_bps, self.row)),
            finite(at(self.record.target, self.row)),
            at(self.record.position, self.row),
            fresh,
            entry_bps,
            exit_bps,
            unknown=self.unknown,
        )

    @property
    def unknown(self) -> bool:
        """Members spoke, of this instrument none could."""
        return unknown([at(vote.mean_bps, self.row) for vote in self.record.votes if vote.spoke])


def why(
    record: MinuteRecord,
    instrument: Instrument,
    later: Iterable[MinuteRecord] = (),
    earlier: Sequence[MinuteRecord] = (),
) -> Why:
    """Why ``instrument`` was treated so in the minute of ``record``; ``later``: records that tell of its orders;
    ``earlier``: those before it, in order, that may hold a sale which was not finished.

    Raises ValueError when the instrument is not in the record.
    """
    row = record.instruments.index(instrument)
    approved = next((one for one in record.approved if one.instrument == instrument), None)
    refused = next((one for one in record.refused if one.instrument == instrument), None)
    orders: dict[str, OrderReport] = {}
    fills: dict[tuple[str, str], Fill] = {}
    told_later = tuple(later)
    sold = (one for told in (record, *told_later) for one in told.exits)
    exits = tuple(one for one in sold if one.minute == record.minute and one.instrument == instrument)
    for told in (record, *told_later):
        if approved is None:
            break
        orders |= {o.client_id: o for o in told.orders if o.intent_id == approved.intent_id}
        fills |= {(f.client_id, f.trade_id): f for f in told.fills if f.client_id in orders}
    return Why(
        record=record,
        row=row,
        approved=approved,
        refused=refused,
        orders=tuple(orders.values()),
        fills=tuple(fills.values()),
        exits=exits,
        left=_left_words(record, instrument, earlier),
    )


def executed(approved: Approved, told: Iterable[MinuteRecord]) -> Decimal:
    """Base units that were filled of an approved order, as the records ``told`` say, in order."""
    orders = {o.client_id: o.executed for r in told for o in r.orders if o.intent_id == approved.intent_id}
    return sum(orders.values(), Decimal(0))


def cut_by(approved: Approved) -> str:
    """The limit that made an order smaller than what was wanted, by its setting's name; empty where none did."""
    found = [name for line in approved.arithmetic for name in re.findall(r"^(\w+) allows [\d.]+$", line)]
    return found[-1] if found else ""


def kept_words(sale: Approved, then: MinuteRecord, done: Decimal, now: MinuteRecord) -> str:
    """Why what is left of ``sale``, decided in ``then`` and ``done`` base units of it filled, is kept in ``now``; empty
    where it was finished, nothing is left, or ``now`` asks for something."""
    row = now.instruments.index(sale.instrument)
    if done >= sale.quantity or not at(now.position, row):
        return ""
    coin = coin_of(now, sale.instrument)
    if finite(at(now.target, row) if coin is None else coin.wanted) is not None:
        return ""
    asked = {*(one.instrument for one in now.approved), *(one.instrument for one in now.refused)}
    if sale.instrument in asked:
        return ""
    was, edge = _edge(then, sale.instrument), _edge(now, sale.instrument)
    if not at(now.fresh, row):
        stands = "its market gives no fresh data now"
    elif edge is None:
        stands = "there is no forecast now"
    else:
        since = "is" if was is None else f"went from {was:+.1f} to"
        stands = f"the forecast {since} {edge:+.1f} bps, no longer below the exit"
    minutes = (now.minute - then.minute) // MINUTE_MS
    ago = "a minute" if minutes == 1 else f"{minutes} minutes"
    return f"the sale of {ago} before was filled {float(done / sale.quantity):.0%}; {stands}, so what is left stays"


def _edge(record: MinuteRecord, instrument: Instrument) -> float | None:
    coin = coin_of(record, instrument)
    return finite(coin.edge_bps if coin is not None else at(record.edge_bps, record.instruments.index(instrument)))


def _left_words(record: MinuteRecord, instrument: Instrument, earlier: Sequence[MinuteRecord]) -> str:
    """``kept_words`` of the newest order before ``record``, where that is a sale."""
    for number in range(len(earlier) - 1, -1, -1):
        last = next((one for one in earlier[number].approved if one.instrument == instrument), None)
        if last is not None:
            done = executed(last, (*earlier[number:], record))
            return "" if last.side is Side.BUY else kept_words(last, earlier[number], done, record)
    return ""


def of_order(records: Iterable[MinuteRecord], client_id: str) -> tuple[int, Instrument] | None:
    """(minute of the decision, instrument) of an order; None where no record tells of it."""
    for record in records:
        for order in record.orders:
            if order.client_id == client_id:
                head = order.intent_id.partition(":")[0]
                return (int(head) if head.isdigit() else record.minute), order.instrument
    return None


def lines(one: Why, entry_bps: float | None = None, exit_bps: float | None = None) -> Iterator[str]:
    """All of it for people, indented by two where it belongs to the line above."""
    record, row = one.record, one.row
    yield f"{one.instrument}: {one.outcome(entry_bps, exit_bps)}"
    if one.left:
        yield f"  {one.left}"
    if not at(record.fresh, row):
        yield "  its market was not fresh: no final bar, or no book"
    yield f"  price {_number(at(record.close, row))}, held {_number(at(record.position, row))} {one.instrument.base}"
    premium = finite(at(record.premium_bps, row))
    if premium is not None:
        yield f"  costs {abs(premium):.0f} bps {'less' if premium < 0 else 'more'} here than at the other exchange"
    for event in (e for e in record.events if e.instrument == one.instrument):
        yield f"  event: {event.kind}, {event.size:g} times the usual"
    yield "  forecasts:"
    for vote in record.votes:
        yield f"    {_vote(vote, row)}"
    edge, target = finite(at(record.edge_bps, row)), finite(at(record.target, row))
    wanted = "keep what is held" if target is None else f"hold {target:.2%} of what may be invested"
    weights = f" (weights {record.weights_version})" if record.weights_version else ""
    silence = "no forecast" if one.unknown else "nobody spoke"
    together = f"  together: {silence if edge is None else f'{edge:+.2f} bps'}{weights}"
    coin = one.coin
    if coin is None:
        yield f"{together}; wanted: {wanted}"
    else:
        yield f"{together}, of this market alone"
        whole = finite(coin.wanted)
        yield (
            f"  of {one.instrument.base} at {' and '.join(i.venue for i in coin.instruments)} together: held {coin.held:.2f} USDT, "
            f"wanted {'what is held' if whole is None else f'{whole:.2f} USDT'}"
        )
        if not one.arithmetic:
            yield from (f"    {line}" for line in coin.lines)
    if one.arithmetic:
        yield "  size, amounts in USDT:"
        yield from (f"    {line}" for line in one.arithmetic)
    for order in one.orders:
        reason = f", {order.reason}" if order.reason else ""
        yield (
            f"  order {order.client_id}: {order.state.value}, {order.quantity.normalize():f} at "
            f"{order.price.normalize():f}, executed {order.executed.normalize():f}{reason}"
        )
        for fill in (f for f in one.fills if f.client_id == order.client_id):
            seconds = (fill.at_ms - record.minute - MINUTE_MS) / 1000
            yield (
                f"    {seconds:+.1f} s after the close: {fill.quantity.normalize():f} at {fill.price.normalize():f}, "
                f"fee {fill.fee.normalize():f} {fill.fee_asset}, {'maker' if fill.maker else 'taker'}"
            )
    for sold in one.exits:
        seconds = (sold.at_ms - record.minute - MINUTE_MS) / 1000
        yield (
            f"  {seconds:+.1f} s after the close a {sold.reason} sells {sold.quantity.normalize():f} at "
            f"{sold.limit_price.normalize():f} or better"
        )
        yield from (f"    {line}" for line in sold.arithmetic)
    if one.approved is not None and not one.orders:
        yield "  no order of it is in the records: the minute's later records are missing, or it was never sent"


def head(record: MinuteRecord) -> str:
    """The minute in a line."""
    if record.status == "missed":
        return f"missed: {record.reason}"
    if record.status == "closed":
        return record.reason
    reason = f" ({record.state_reason})" if record.state_reason else ""
    differs = f"; the account differed from our books: {record.difference}" if record.difference else ""
    return f"{record.regime} market, equity {record.equity:,.2f} USDT, {record.state}{reason}{differs}"


def idle_words(
    edge: float | None,
    target: float | None,
    held: float | None,
    fresh: bool,
    entry_bps: float | None,
    exit_bps: float | None,
    *,
    unknown: bool = False,
) -> str:
    """Why nothing was asked for. ``edge`` in bps and ``target`` are None where there was none; ``unknown``: members spoke,
    and none of this instrument."""
    if not fresh:
        return "no fresh data: takes on nothing new"
    if edge is None:
        return f"no forecast: {TOO_LITTLE}" if unknown else "nobody voted"
    if target is None:
        if exit_bps is None or entry_bps is None:
            return f"edge {edge:+.1f} bps: keeps what it holds"
        return f"edge {edge:+.1f} bps is between exit ({exit_bps:g}) and entry ({entry_bps:g}): keeps what it holds"
    if target == 0 and not held:
        return f"edge {edge:+.1f} bps: stays out"
    return f"wants {target * 100:.1f}% of the investable equity: close enough to what it holds"


def coin_of(record: MinuteRecord, instrument: Instrument) -> CoinDecision | None:
    """What was decided of the coin of ``instrument`` as a whole, where that is one position at several exchanges."""
    return next((one for one in record.coins if instrument in one.instruments), None)


def coin_words(
    base: str,
    edge: float | None,
    held: float,
    wanted: float | None,
    equity: float | None,
    fresh: bool,
    where: Sequence[str],
    entry_bps: float | None,
    exit_bps: float | None,
) -> str:
    """Why nothing was asked of one market of a coin that is one position at several exchanges.

    ``edge`` is the coin's, bps; ``held`` and ``wanted`` USDT in all its markets (None: what is held is kept); ``where``
    the exchanges that its order of this minute goes to.
    """
    if where:
        return f"{base} is one position, and its order goes to {' and '.join(where)}"
    if edge is None or wanted is None or wanted == 0:
        target = None if wanted is None else 0.0
        return f"{base} as a whole: {idle_words(edge, target, held, fresh, entry_bps, exit_bps)}"
    share = f" ({wanted / equity:.1%} of equity)" if equity else ""
    return f"{base} as a whole: wants {wanted:.2f} USDT{share}, holds {held:.2f}: close enough"


TOO_LITTLE = "too little of its past is known (a new listing, or missing bars)"
"""Why nobody can forecast an instrument of which features are not whole."""


def unknown(means: Sequence[float | None]) -> bool:
    """Whether those who spoke in a minute, by their means of one instrument, could say nothing of it: a member that was
    asked about it and had no number would have lost its vote for all."""
    return bool(means) and all(finite(mean) is None for mean in means)


def at(values: Any, row: int) -> Any:
    """The row's value; None where the record has none."""
    return values[row] if row < len(values) else None


def finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _number(value: float | None) -> str:
    return "unknown" if value is None else plainly(value)


def _vote(vote: MemberVote, row: int) -> str:
    name = f"{vote.member} {vote.version}".strip()
    mean, stdev = finite(at(vote.mean_bps, row)), finite(at(vote.stdev_bps, row))
    if not vote.spoke:
        return f"{name}: silent ({vote.silence or 'no reason given'})"
    if mean is None:
        return f"{name}: no forecast, {TOO_LITTLE}"
    band = "" if stdev is None else f" ± {stdev:.2f}"
    trust = at(vote.trust, row)
    strange = "" if trust is None or trust >= 1.0 else f", believed to {trust:.0%}: the market is unlike its training"
    return f"{name}: {mean:+.2f}{band} bps, weight {vote.weight:.3f}{strange}"


def nothing_words(
    strongest: float | None, spoke: bool, entry_bps: float | None, cash: float, smallest: str = "", kept: str = ""
) -> str:
    """Why a whole run traded nothing, as far as its forecasts tell.

    ``strongest``: largest forecast, bps, None where nobody forecast; ``spoke``: some forecast was not zero; ``entry_bps``:
    what opens a position, None where it is not known; ``cash``: USDT it began with; ``smallest``: USDT of the smallest
    order, where known; ``kept``: of which of the forecasts this is, where not of all.
    """
    if strongest is None:
        return "Nothing was traded: no member gave a forecast."
    if not spoke:
        return (
            "Nothing was traded: every forecast was zero. What the members learned from the bars before did not hold in "
            "the part of them that it was checked on, so they say nothing."
        )
    if entry_bps is None:
        return "Nothing was traded."
    # A true minus, as in the report.
    shown = f"{strongest:,.1f}".replace("-", "\N{MINUS SIGN}")
    said = f"Nothing was traded: the strongest forecast was {shown} bps{kept}, and a position is opened from "
    if strongest < entry_bps:
        return f"{said}{entry_bps:g} on (selection.entry_edge_bps)."
    return (
        f"{said}{entry_bps:g} on, but no order came of it: it must pay for its costs (execution.cost_gate), pass the limits of "
        f"risk, and out of {cash:,.2f} USDT reach the smallest order"
        + (f" of {smallest} USDT (trade.min_order_usdt)." if smallest else ".")
    )
