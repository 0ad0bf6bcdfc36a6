"""Backtest speed: the peers' table on the same bars, our rows beside it, the scaling curve, memory and compilation.

Everything is measured in one run on one machine; every row is a process of its own, kept to one core where the system
lets us. Its first call (imports, compilation) is not timed; the median of the warm calls is shown, with the spread
(slowest less fastest, in % of the median). The quick ones take turns, so that none has the quiet moment for itself.

The peers' table is one symbol, SMA 20/60 cross, long or flat, fee 0.1 %. What a row's time holds, and what its program
does not model, stands in its script (tests/bench/peers). In short: vectorbt fills at the very close that made the signal
and knows no halt, lot, tick, minimum, participation, impact, delay or limit; backtesting and freqtrade fill at
the next open without spread or impact; nautilus_trader has an order book's events and precision, but no impact of
bars. Ours has all its costs and limits on (``rules.costs``), through the compiled engine. ``raw limit`` is a bare
loop of the averages and the marking to market: what the metal does. Reading the bars is in no row's time.

Equal numbers of entries show that the same strategy ran; they may differ by 0.5 %, as some programs leave out the last
trade and averages are added up in different orders. Not measured: results (they differ by what is modelled), a grid
of parameters (where vectorbt shares work), many cores.
"""

import argparse
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data.market_arguments import add_market
from tests.bench.support.bars import YEAR, write_bars
from tests.bench.support.environments import NotInstallable, python_of
from tests.bench.support.processes import (
    ONE_THREAD,
    ROOT,
    Failed,
    Timing,
    a_core,
    measure,
    own_command,
    peer_command,
)
from tests.support.table import table

NAME = "backtest"
PARTS = ("peers", "rules", "scaling", "memory", "compile")
QUICK_PEERS = ("vectorbt",)
SLOW_PEERS = ("backtesting", "freqtrade", "nautilus")
ROUNDS = 3
"""Turns that the quick rows take."""
TIMEOUT = 600.0
SAME_SHARE = 0.005
PEER_HEADINGS = ("program", "version", "bars", "calls", "median s", "spread %", "bars/s", "x vectorbt", "entries", "MB")
RULE_HEADINGS = ("what", "symbols", "minutes", "calls", "median s", "spread %", "symbol-minutes/s", "of which")
SCALE_HEADINGS = ("what", "symbols", "minutes", "median s", "symbol-minutes/s", "x time per doubling")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the peers' table; ``timing`` is None where there is none, and ``why`` says why."""

    name: str
    version: str
    timing: Timing | None
    entries: int = 0
    peak_mb: float = 0.0
    why: str = ""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py bench backtest", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_market(parser)
    parser.add_argument("--bars", type=int, default=YEAR, help=f"minutes of the peers' table (default {YEAR:,})")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="a tenth of the bars, few calls: does it all still run")
    parser.add_argument("--root", type=Path, default=ROOT / "var" / "bench", help="where the peers' environments lie")
    args = parser.parse_args(argv)
    parts = args.only.split(",")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        parser.error(f"--only {unknown[0]}: there are {', '.join(PARTS)}")
    good = True
    if "peers" in parts:
        good &= peers(args)
    return 0 if good else 1


# ---------------------------------------------------------------- the peers' table


def peers(args: argparse.Namespace) -> bool:
    """Print the table; whether all that finished found the same entries."""
    minutes = args.bars // 10 if args.quick else args.bars
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.parquet"
        said = write_bars(path, minutes, args)
        _say(f"peers: {said}, core {a_core()}")
        for _ in range(1 if args.quick else ROUNDS):
            for name in QUICK_PEERS:
                _add(rows, name, _peer(args, name, path, 3))
            for name, what in (("Minutehand", "cross"), ("raw limit", "limit")):
                _add(rows, name, _measured(name, own_command(what, path, *_options(5))))
        for name in SLOW_PEERS:
            _say(f"  {name} …")
            _add(rows, name, _peer(args, name, path, 1 if args.quick else 2))
    print(table(PEER_HEADINGS, peer_lines(rows.values())), flush=True)
    for row in rows.values():
        if row.why:
            print(f"{row.name}: {row.why}")
    wrong = other_entries(rows.values())
    for line in wrong:
        print(line)
    return not wrong


def _peer(args: argparse.Namespace, name: str, path: Path, repeat: int) -> Row:
    try:
        python = python_of(args.root / "peers", name, _say)
    except NotInstallable as error:
        return Row(name, "", None, why=f"not installable here: {error}")
    return _measured(name, peer_command(python, f"{name}_cross", path, *_options(repeat)))


def _options(repeat: int) -> list[object]:
    core = a_core()
    return ["--repeat", repeat, *([] if core is None else ["--core", core])]


def _measured(name: str, command: list[str]) -> Row:
    try:
        told = measure(command, TIMEOUT, ONE_THREAD)
    except Failed as error:
        return Row(name, "", None, why=f"failed: {error}")
    timing = Timing(tuple(told["seconds"]), told["bars"])
    return Row(name, told.get("version", ""), timing, told["crossings"], told["peak_mb"])


def _add(rows: dict[str, Row], name: str, row: Row) -> None:
    """Join a turn's calls with those of the turns before."""
    old = rows.get(name)
    if old and old.timing and row.timing:
        joined = Timing(old.timing.seconds + row.timing.seconds, row.timing.done)
        row = Row(name, row.version, joined, row.entries, max(old.peak_mb, row.peak_mb))
    if row.timing or not old:
        rows[name] = row


def peer_lines(rows: Iterable[Row]) -> list[tuple[object, ...]]:
    """The table's lines, quickest first."""
    rows = list(rows)
    base = next((row.timing.rate for row in rows if row.name == "vectorbt" and row.timing), None)
    done = sorted((row for row in rows if row.timing), key=lambda row: -row.timing.rate)
    lines: list[tuple[object, ...]] = []
    for row in done:
        timing = row.timing
        lines.append(
            (
                *(row.name, row.version, timing.done, len(timing.seconds), timing.median, timing.spread * 100.0),
                *(timing.rate, timing.rate / base if base else "-", row.entries, round(row.peak_mb)),
            )
        )
    return lines


def other_entries(rows: Iterable[Row]) -> list[str]:
    """Sentences about programs that did not run the same strategy, by the entries that the raw limit counted."""
    known = {row.name: row.entries for row in rows if row.timing}
    if not known:
        return []
    expected = known.get("raw limit", next(iter(known.values())))
    return [
        f"{name}: {entries} entries where {expected} were expected: it did not run the same strategy"
        for name, entries in known.items()
        if abs(entries - expected) > max(2, SAME_SHARE * expected)
    ]


def _say(text: str) -> None:
    print(text, flush=True)
