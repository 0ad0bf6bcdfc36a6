"""What is said of one minute after the other while a run goes on: decisions, what became of the last ones, what stands still.

A decision's line says by which forecast, and what is wanted beside what was wanted the minute before: a sale above the
exit threshold is a target that shrank. What was filled is known a minute later, and is said then.
"""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from actors.runs.refusals import Refusals
from core.events import STALE_MARKET
from core.messages import Approved, MinuteRecord, settings_words
from core.notices import STALE_MINUTES
from core.units import MINUTE_MS, Instrument, Side, plainly
from core.why import coin_of, cut_by, executed, finite, kept_words


def clock(ms: int) -> str:
    """Month, day, hour and minute, UTC."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%m-%d %H:%M}"


def describe(record: MinuteRecord, before: MinuteRecord | None = None, refusals: Refusals | None = None) -> list[str]:
    """One line a decision of this minute, after what changed in the settings; empty where there is neither. ``before``:
    the minute decided last. ``refusals``: what was refused in the minutes before, so that it is not said again."""
    when = clock(record.minute)
    if record.status == "missed":
        return [f"{when}  MISSED  {record.reason}"]
    lines = [f"{when}  {settings_words(line)}" for line in record.settings]
    rows = {instrument: row for row, instrument in enumerate(record.instruments)}
    for approved in record.approved:
        row = rows[approved.instrument]
        said = ", ".join(
            f"{v.member} {v.mean_bps[row]:+.0f}" if v.spoke and math.isfinite(v.mean_bps[row]) else f"{v.member} silent"
            for v in record.votes
        )
        lines.append(
            f"{when}  {approved.side.upper():4} {approved.quantity.normalize():f} {approved.instrument.symbol}"
            f" near {plainly(approved.reference_price, 7)}, {_forecast(record, approved.instrument, row)} ({said}), "
            f"{_wanted(record, before, approved.instrument, row)}{', cut by ' + cut if (cut := cut_by(approved)) else ''}"
        )
    return [*lines, *(f"{when}  {line}" for line in (refusals or Refusals()).lines(record))]


def _forecast(record: MinuteRecord, instrument: Instrument, row: int) -> str:
    """By which it was decided: of a coin at several exchanges that is the coin's, not the market's own."""
    coin = coin_of(record, instrument)
    if coin is None:
        return f"forecast {record.edge_bps[row]:+.1f} bps"
    markets = {one: number for number, one in enumerate(record.instruments)}
    parts = " and ".join(
        f"{one.venue} {record.edge_bps[markets[one]]:+.1f}" for one in coin.instruments if record.fresh[markets[one]]
    )
    return f"forecast of {instrument.base} {coin.edge_bps:+.1f} bps, the mean of {parts}"


def _wanted(record: MinuteRecord, before: MinuteRecord | None, instrument: Instrument, row: int) -> str:
    """What is wanted of it now and what was wanted the minute before, so that a sale whose target shrank says so."""
    coin = coin_of(record, instrument)
    if coin is not None:
        wanted = finite(coin.wanted)
        held = f"holds {coin.held / record.equity:.1%} of equity"
        return f"{held}, at most its cap" if wanted is None else f"{held}, wants {wanted / record.equity:.1%}"
    now = finite(record.target[row])
    if now is None:
        return "no target: above its cap"
    if before is None or instrument not in before.instruments:
        return f"target {now:.1%}"
    was = finite(before.target[before.instruments.index(instrument)])
    return f"target {'kept' if was is None else f'{was * 100:.1f}'} → {now:.1%}"


class Teller:
    """Tells one run, record by record, in the order of its minutes."""

    def __init__(self) -> None:
        self._before: MinuteRecord | None = None
        self._refusals = Refusals()
        self._still: dict[Instrument, int] = {}
        """Since when a market stands still."""
        self._told: frozenset[Instrument] = frozenset()
        self._back: dict[Instrument, int] = {}
        """Since when those had stood still of which it was told, and which trade again."""

    def tell(self, record: MinuteRecord) -> list[str]:
        """The lines of this minute; empty where nothing was decided and nothing changed."""
        before = self._before
        lines: list[str] = []
        if before is not None and record.status != "missed":
            lines += _filled(before, record)
        if record.status == "done":
            self._look(record)
            lines += self._standing(record)
            if before is not None:
                lines += _left(before, record)
            self._before = record
        elif record.status == "closed":
            self._before = None
        return lines + describe(record, before, self._refusals)

    def still(self, record: MinuteRecord) -> str:
        """How many of the markets stand still, and since when; empty where none does."""
        if not self._still:
            return ""
        count, whole = len(self._still), len(record.instruments)
        names = "" if count == whole else f" ({', '.join(one.symbol for one in self._still)})"
        since = clock(min(self._still.values()))
        return f"{count} of {whole} markets stand still{names} since {since}: no trades or no data, nothing is bought there"

    def _look(self, record: MinuteRecord) -> None:
        quiet = {one.instrument: int(one.size) for one in record.events if one.kind == STALE_MARKET}
        still: dict[Instrument, int] = {}
        for row, instrument in enumerate(record.instruments):
            if instrument in quiet:
                # So many minutes without a trade, the newest of them this one.
                first = record.minute - (quiet[instrument] - 1) * MINUTE_MS
            elif not record.fresh[row]:
                first = record.minute
            else:
                continue
            still[instrument] = min(first, self._still.get(instrument, first))
        self._back = {one: since for one, since in self._still.items() if one not in still and one in self._told}
        self._still = still

    def _standing(self, record: MinuteRecord) -> Iterable[str]:
        """What began to stand still, or trades again. One quiet minute of one market is usual, and is not news."""
        when, everything = clock(record.minute), len(self._still) == len(record.instruments)
        long = (STALE_MINUTES - 1) * MINUTE_MS
        known = frozenset(
            one
            for one, since in self._still.items()
            if everything or record.minute - since >= long or one in self._told
        )
        if known - self._told:
            yield f"{when}  STILL  {self.still(record)}"
        if self._back:
            names = ", ".join(one.symbol for one in self._back)
            minutes = (record.minute - min(self._back.values())) // MINUTE_MS
            yield f"{when}  trades again after {minutes} minutes: {names}"
        self._told = known


def _filled(before: MinuteRecord, record: MinuteRecord) -> list[str]:
    """What became of the orders of the minute before, in one line."""
    parts = []
    for approved in before.approved:
        done = executed(approved, (before, record))
        share = "" if done >= approved.quantity else f" ({_percent(approved, done)})"
        parts.append(
            f"{approved.side.upper()} {done.normalize():f} of {approved.quantity.normalize():f} "
            f"{approved.instrument.symbol}{share}"
        )
    return [f"{clock(before.minute)}  filled: {', '.join(parts)}"] if parts else []


def _left(before: MinuteRecord, record: MinuteRecord) -> Iterable[str]:
    """Sales of the minute before that were not finished and are not asked for again."""
    for sale in before.approved:
        if sale.side is not Side.SELL or sale.instrument not in record.instruments:
            continue
        words = kept_words(sale, before, executed(sale, (before, record)), record)
        if words:
            row = record.instruments.index(sale.instrument)
            yield f"{clock(record.minute)}  KEEP {plainly(record.position[row])} {sale.instrument.symbol}: {words}"


def _percent(approved: Approved, done: Decimal) -> str:
    return f"{float(done / approved.quantity):.0%}"
