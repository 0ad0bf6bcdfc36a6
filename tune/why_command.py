"""``run.py why``: why something was traded, or was not, from the records of a run or the orders of a backtest."""

import argparse
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config import load
from config.changes import Kept, kept_in
from core.errors import EXIT_OK, DataError
from core.messages import SETTINGS_REFUSED, MinuteRecord
from core.orders import parse_id
from core.units import DAY_MS, MINUTE_MS, Instrument, plainly
from core.why import Why, head, lines, of_order, why
from data import plain
from data.bar_log import WORDS, read_source
from data.records import read_records
from tune.result import Result

HELP = (
    "why something was traded, or was not: the models' votes, the size line by line, the limit that cut or refused it, "
    "its orders and fills. Without words: the newest minute in which something was decided."
)
EXAMPLE = (
    "python3 run.py why                                     (the last decision of the newest run)\n"
    "python3 run.py why 2026-01-03T23:55 ETH/USDT           (or just 23:55 ETH)\n"
    "python3 run.py why mh-live-ens-gva52-ETHUSDT-0         (the decision behind an order)\n"
    "python3 run.py why --run var/backtests/demo 23:55"
)
CLOCK = re.compile(r"(?:(?:(\d{4})-)?(\d{2})-(\d{2})[T ])?(\d{2}):(\d{2})")
LATER_MS = DAY_MS
"""How long after its decision an order's news is looked for, and before one an order that was not finished."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="a minute (UTC, the opening time of its bar, as the run printed it: 2026-01-03T23:55, 01-03 23:55 or 23:55), "
        "a market (ETH, ETH/USDT or binance:ETH/USDT), or the id of an order",
    )
    parser.add_argument(
        "--run", type=Path, metavar="RUN", help="folder or name of a run or backtest (default: the newest one)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line, nothing else")
    load.arguments(parser)


def main(args: argparse.Namespace) -> int:
    var = load.resolve_var(load.from_arguments(args))
    folder = newest_run(var) if args.run is None else named_run(args.run, var)
    asked = read_words(args.words)
    if (folder / "records").is_dir():
        return _of_records(folder, asked, as_json=args.json)
    return _of_backtest(folder, asked, as_json=args.json)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the words ask for."""

    clock: re.Match[str] | None = None
    market: str = ""
    order: str = ""

    def is_minute(self, minute: int) -> bool:
        """Whether the clock's words fit this minute; any does where none was said."""
        if self.clock is None:
            return True
        year, *rest = self.clock.groups()
        at = datetime.fromtimestamp(minute / 1000, UTC)
        fits = zip((at.month, at.day, at.hour, at.minute), rest, strict=True)
        return year in (None, str(at.year)) and all(said is None or int(said) == value for value, said in fits)

    def is_market(self, instrument: Instrument) -> bool:
        names = (str(instrument), instrument.symbol, instrument.base)
        return not self.market or self.market.upper() in {name.upper() for name in names}


def read_words(words: Sequence[str]) -> Asked:
    """Raises DataError for a word that is none of the three."""
    text, market, order = " ".join(words), "", ""
    clock = CLOCK.search(text)
    for word in CLOCK.sub(" ", text, count=1).split():
        if parse_id(word) is not None:
            order = word
        elif re.fullmatch(r"(\w+:)?\w+(/\w+)?", word):
            market = word
        else:
            raise DataError(
                f"{word!r} is neither a minute like 23:55, nor a market like ETH/USDT, nor the id of an order"
            )
    return Asked(clock=clock, market=market, order=order)


def newest_run(var: Path) -> Path:
    """The run that wrote last. DataError where there is none."""
    found = [path for pattern in ("runs/*", "live/*", "backtests/*") for path in var.glob(pattern) if _written(path)]
    if not found:
        raise DataError(f"{var}: holds no run and no backtest; make one: python3 run.py replay --lockstep")
    return max(found, key=_written)


def named_run(named: Path, var: Path) -> Path:
    """A folder, or the name of one below ``var``."""
    places = [named, *(var / room / named for room in ("runs", "live", "backtests"))]
    for place in places:
        if _written(place):
            return place
    raise DataError(f"--run {named}: holds no records and no result, and is no name of a run in {var}")


def _written(folder: Path) -> float:
    """When its records or its result were last written; 0 where it has neither."""
    files = [*(folder / "records").glob("*"), *folder.glob("result.json")]
    return max((path.stat().st_mtime for path in files), default=0.0)


def _of_records(folder: Path, asked: Asked, *, as_json: bool) -> int:
    records = list(read_records(folder / "records"))
    market = asked.market
    if asked.order:
        found = of_order(records, asked.order)
        if found is None:
            raise DataError(f"{folder}: no record tells of an order {asked.order}")
        chosen, market = [r for r in records if r.minute == found[0]], str(found[1])
    else:
        chosen = [r for r in records if asked.is_minute(r.minute)]
        if asked.clock is None:
            chosen = [r for r in chosen if _decided(r, asked)]
    if not chosen:
        raise DataError(f"{folder}: {_nothing(records, asked)}")
    record = chosen[-1]
    wanted = Asked(market=market)
    rows = [i for i in record.instruments if wanted.is_market(i)]
    if market and record.instruments and not rows:
        raise DataError(f"{folder}: {market} was not traded then, but {', '.join(map(str, record.instruments))}")
    if not market and asked.clock is None:
        rows = [i for i in rows if i in _touched(record)]
    changed = changes(records, record.minute)
    later = [r for r in records if record.minute < r.minute <= record.minute + LATER_MS]
    earlier = [r for r in records if record.minute - LATER_MS <= r.minute < record.minute]
    told = [why(record, instrument, later, earlier) for instrument in rows]
    sources = [read_source(folder, record.minute, one.instrument) for one in told]
    if as_json:
        found = _plain(folder, record, told)
        for row, source in zip(found["rows"], sources, strict=True):
            row["bar_source"] = source
        found["settings"] = list(changed)
        print(json.dumps(found, allow_nan=False))
        return EXIT_OK
    entry, leave = _thresholds(kept_in(folder))
    print(f"{folder.name}, minute {_utc(record.minute)} UTC: {head(record)}")
    for line in changed:
        print(line)
    for one, source in zip(told, sources, strict=True):
        print()
        if source:
            print(f"bar of {one.instrument}: {WORDS[source]}")
        for line in lines(one, entry, leave):
            print(line)
    return EXIT_OK


def changes(records: Sequence[MinuteRecord], minute: int) -> tuple[str, ...]:
    """What the newest change of the settings was that this minute was decided by, and since when; empty without any."""
    told = [record for record in records if record.settings and record.minute <= minute]
    if not told:
        return ()
    since = "in this minute" if told[-1].minute == minute else f"at {_utc(told[-1].minute)} UTC"
    return tuple(
        f"{since}: {line}" if line.startswith(SETTINGS_REFUSED) else f"settings changed {since}: {line}"
        for line in told[-1].settings
    )


def _touched(record: MinuteRecord) -> set[Instrument]:
    return {one.instrument for one in (*record.approved, *record.refused)}


def _decided(record: MinuteRecord, asked: Asked) -> bool:
    return any(asked.is_market(instrument) for instrument in _touched(record))


def _nothing(records: Sequence[MinuteRecord], asked: Asked) -> str:
    if not records:
        return "holds no minutes"
    span = f"it has {_utc(records[0].minute)} to {_utc(records[-1].minute)} UTC"
    if asked.clock is not None:
        return f"has no minute {asked.clock.group()}; {span}"
    return f"nothing was approved or refused{f' of {asked.market}' if asked.market else ''}; name a minute, {span}"


def _thresholds(kept: Kept | None) -> tuple[float | None, float | None]:
    """What opens and what closes a position, bps, where the run kept its settings."""
    found = kept.settings if kept is not None else {}
    entry, leave = found.get("selection.entry_edge_bps"), found.get("selection.exit_edge_bps")
    return (None if entry is None else float(entry)), (None if leave is None else float(leave))


def _plain(folder: Path, record: MinuteRecord, told: Sequence[Why]) -> dict[str, Any]:
    encoded = plain.encode(record)
    return {
        "run": str(folder),
        "minute": record.minute,
        "status": record.status,
        "head": head(record),
        "rows": [
            {
                "instrument": str(one.instrument),
                "outcome": one.outcome(),
                "votes": [
                    {"member": v["member"], "version": v["version"], "weight": v["weight"], "silence": v["silence"]}
                    | {name: v[name][one.row] if one.row < len(v[name]) else None for name in ("mean_bps", "stdev_bps")}
                    for v in encoded["votes"]
                ],
                "edge_bps": encoded["edge_bps"][one.row],
                "target": encoded["target"][one.row],
                "arithmetic": list(one.arithmetic),
                "orders": [plain.encode(order) for order in one.orders],
                "fills": [plain.encode(fill) for fill in one.fills],
            }
            for one in told
        ],
    }


# A backtest keeps its orders, not its minutes


def _of_backtest(folder: Path, asked: Asked, *, as_json: bool) -> int:
    result = Result.load(folder)
    if asked.order:
        raise DataError(f"{folder}: a backtest has no ids of orders; name a minute and a market")
    known = [i for i in result.instruments if asked.is_market(i)]
    if not known:
        raise DataError(f"{folder}: {asked.market} was not traded, but {', '.join(map(str, result.instruments))}")
    symbols = {i.symbol for i in known}
    rows = [r for r in result.orders.iter_rows(named=True) if r["symbol"] in symbols and asked.is_minute(r["minute"])]
    if not rows:
        which = f" of {asked.market}" if asked.market else ""
        when = f" at {asked.clock.group()}" if asked.clock is not None else ""
        raise DataError(f"{folder}: no order{which}{when}; of a backtest only the minutes with orders are kept")
    last = rows[-1]["minute"]
    chosen = [row for row in rows if row["minute"] == last]
    fills = result.fills.filter(result.fills["minute"] == last).to_dicts()
    told = [row | {"fills": [f for f in fills if f["order"] == row["order"]]} for row in chosen]
    if as_json:
        rows = [{name: _number(value) for name, value in row.items()} for row in told]
        print(json.dumps({"run": str(folder), "minute": last, "orders": rows}, allow_nan=False))
        return EXIT_OK
    print(
        f"{folder.name}, minute {_utc(last)} UTC: {chosen[0]['regime']} market, equity {chosen[0]['equity']:,.2f} USDT"
    )
    for row in told:
        print(
            f"\n{row['symbol']}: {row['side'].upper()} {plainly(row['quantity'])}, limit {plainly(row['limit_price'])}, mid {plainly(row['mid'])}"
        )
        edge, target = _number(row["edge_bps"]), _number(row["target"])
        forecast = "nobody spoke" if edge is None else f"forecast {edge:+.2f} bps"
        wanted = "keep what is held" if target is None else f"hold {target:.2%} of what may be invested"
        print(f"  {forecast}; wanted: {wanted}")
        print("  size, amounts in USDT:")
        for line in row["why"] or ():
            print(f"    {line}")
        for fill in row["fills"]:
            seconds = (fill["at_ms"] - last - MINUTE_MS) / 1000
            print(
                f"  {seconds:+.1f} s after the close: {plainly(fill['quantity'])} at {plainly(fill['price'])}; cost "
                f"{fill['fee_usdt']:.2f} fee, {fill['spread_usdt']:.2f} spread, {fill['impact_usdt']:.2f} impact, "
                f"{fill['delay_usdt']:.2f} delay"
            )
        print(f"  executed {plainly(row['executed'])}")
    return EXIT_OK


def _number(value: Any) -> Any:
    """As JSON has it: nothing for what is no number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _utc(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}"
