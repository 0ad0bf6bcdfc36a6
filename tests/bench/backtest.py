"""Backtest speed: the peers' table on the same bars, our rows beside it, the scaling curve, memory and compilation.

Everything is measured in one run on one machine; every row is a process of its own, kept to one core where the system
lets us. Its first call (imports, compilation) is not timed; the median of the warm calls is shown, by the clock and by
the processor. All programs run on one thread, so on a quiet machine the two are equal; ratios are those of the processor's
time, which others on the machine disturb less, and the spread (most less fewest, in % of the median) is its too.
The quick programs take turns, so that none has the quiet moment for itself.

The peers' table is one symbol, SMA 20/60 cross, long or flat, fee 0.1 %. What a row's time holds, and what its program
does not model, stands in its script (tests/bench/peers). In short: vectorbt fills at the very close that made the signal
and knows no halt, lot, tick, minimum, participation, impact, delay or limit; backtesting and freqtrade fill at
the next open without spread or impact; nautilus_trader has an order book's events and precision, but no impact of
bars. Ours has all its costs and limits on (``rules.costs``), through the compiled engine, with orders sent at once as the
peers send them, and again in the slices of ``twap``. Its rows, told apart in ``tests/bench/support/cross.py``:

* ``market at hand``: averages, signals, the account under all costs and limits, its equity curve, costs, number of trades
  and total return. The market was prepared before, as it is in every run but the first over it; vectorbt, which has
  nothing of the kind to prepare, computes averages, signals, portfolio, number of trades and total return. The row to
  compare with it.
* ``first time``: the same with the preparation: bars checked, spreads estimated from them, liquidity tabled.
* ``with every order's table and why``: over a market at hand, with the tables of orders and fills in full.
* ``loop alone``: the account minute by minute, without signals and result.

``raw limit`` is a bare loop of the
averages and the marking to market: what the metal does. Reading the bars is in no row's time.

Equal numbers of entries show that the same strategy ran; they may differ by 0.5 %, as some programs leave out the last
trade and averages are added up in different orders. Not measured: results (they differ by what is modelled), a grid
of parameters (where vectorbt shares work), many cores.
"""

import argparse
import math
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from config.argument_types import whole
from data.market_arguments import add_market
from tests.bench.support.bars import YEAR, write_bars
from tests.bench.support.big_lake import big_lake
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
ALGORITHMS = ("immediate", "twap")
OUR_ROWS = {
    "first": ", first time",
    "hand": ", market at hand",
    "tables": ", with every order's table and why",
    "loop": ", loop alone",
}
QUICK_PEERS = ("vectorbt",)
SLOW_PEERS = ("backtesting", "freqtrade", "nautilus")
ROUNDS, CALLS = 5, 5
"""Turns that the quick rows take, and calls in each."""
BAR = 10.0
"""Times vectorbt, asked of the row that does what vectorbt does."""
HELD_TO_BAR = "Minutehand immediate, market at hand"
TIMEOUT = 900.0
SAME_SHARE = 0.005
PEER_HEADINGS = (
    "program",
    "version",
    "bars",
    "calls",
    "s",
    "cpu s",
    "spread %",
    "bars/s",
    "bars/cpu s",
    "x vectorbt",
    "entries",
    "MB",
)
RULE_HEADINGS = ("what", "symbols", "minutes", "calls", "s", "cpu s", "spread %", "symbol-minutes/cpu s", "which")
MEMORY_HEADINGS = ("what", "symbols", "minutes", "MB after imports", "MB at most", "MB with mapped files")
FIRST_HEADINGS = ("what", "first call s", "cpu s", "from disk s", "cpu s")
ALL_RULES = "all rules, forecasts cached"
SCALE_HEADINGS = ("what", "symbols", "minutes", "best cpu s", "symbol-minutes/cpu s", "x time per doubling", "which")


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
    parser.add_argument("--bars", type=whole(1), default=YEAR, help=f"minutes of the peers' table (default {YEAR:,})")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    everyone = ",".join((*QUICK_PEERS, *SLOW_PEERS))
    parser.add_argument("--peers", default=everyone, help=f"some of {everyone}, or none")
    parser.add_argument("--quick", action="store_true", help="a tenth of the bars, few calls: does it all still run")
    parser.add_argument("--root", type=Path, default=ROOT / "var" / "bench", help="where the peers' environments lie")
    args = parser.parse_args(argv)
    parts = args.only.split(",")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        parser.error(f"--only {unknown[0]}: there are {', '.join(PARTS)}")
    good = True
    for part, run in (("peers", peers), ("rules", rules), ("scaling", scaling), ("memory", memory), ("compile", first)):
        if part in parts:
            print(f"\n-- {part}", flush=True)
            good &= run(args)
    return 0 if good else 1


# ---------------------------------------------------------------- the peers' table


def peers(args: argparse.Namespace) -> bool:
    """Print the table; whether all that finished found the same entries."""
    minutes = args.bars // 10 if args.quick else args.bars
    rows: dict[str, Row] = {}
    asked = args.peers.split(",")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.parquet"
        said = write_bars(path, minutes, args)
        _say(f"peers: {said}, core {a_core()}")
        for _ in range(1 if args.quick else ROUNDS):
            for name in [name for name in QUICK_PEERS if name in asked]:
                _add(rows, name, _peer(args, name, path, CALLS))
            _add(rows, "raw limit", _measured("raw limit", own_command("limit", path, *_options(CALLS))))
            for algorithm in ALGORITHMS:
                for row in _ours(path, algorithm):
                    _add(rows, row.name, row)
        for name in [name for name in SLOW_PEERS if name in asked]:
            _say(f"  {name} …")
            _add(rows, name, _peer(args, name, path, 1 if args.quick else 2))
    print(table(PEER_HEADINGS, peer_lines(rows.values())), flush=True)
    for row in rows.values():
        if row.why:
            print(f"{row.name}: {row.why}")
    print(held_to_bar(rows))
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


def _ours(path: Path, algorithm: str) -> list[Row]:
    """Our rows, as ``tests/bench/support/cross.py`` tells them apart."""
    name = f"Minutehand {algorithm}"
    try:
        told = measure(own_command("cross", path, algorithm, *_options(CALLS)), TIMEOUT, ONE_THREAD)
    except Failed as error:
        return [Row(name, "", None, why=f"failed: {error}")]
    return [
        Row(f"{name}{OUR_ROWS[part]}", "", Timing.of(seconds, told["bars"]), told["crossings"], told["peak_mb"])
        for part, seconds in told["rows"].items()
    ]


def _options(repeat: int) -> list[object]:
    core = a_core()
    return ["--repeat", repeat, *([] if core is None else ["--core", core])]


def _measured(name: str, command: list[str]) -> Row:
    try:
        told = measure(command, TIMEOUT, ONE_THREAD)
    except Failed as error:
        return Row(name, "", None, why=f"failed: {error}")
    timing = Timing.of(told["seconds"], told["bars"])
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
    base = next((row.timing.rate_used for row in rows if row.name == "vectorbt" and row.timing), None)
    done = sorted((row for row in rows if row.timing), key=lambda row: -row.timing.rate_used)
    lines: list[tuple[object, ...]] = []
    for row in done:
        timing = row.timing
        ratio: object = timing.rate_used / base if base else "-"
        lines.append(
            (
                *(row.name, row.version, timing.done, len(timing.seconds), timing.wall, timing.used, timing.spread),
                *(timing.rate, timing.rate_used, ratio, row.entries, round(row.peak_mb)),
            )
        )
    return lines


def held_to_bar(rows: dict[str, Row]) -> str:
    """Whether the bar is met by the medians of all calls, and what it was turn by turn, or why that is not told."""
    ours, base = (rows[name].timing if name in rows else None for name in (HELD_TO_BAR, "vectorbt"))
    if ours is None or base is None:
        return f"{HELD_TO_BAR}: not held against the bar of {BAR:g} x vectorbt, as not both were measured"
    times = base.used / ours.used
    turns = [theirs.used / own.used for theirs, own in zip(base.split(CALLS), ours.split(CALLS), strict=False)]
    return (
        f"{HELD_TO_BAR}: {times:.1f} x vectorbt, bar {BAR:g}: {'met' if times >= BAR else 'not met'}"
        f" (turn by turn {', '.join(f'{one:.1f}' for one in turns)})"
    )


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


# ---------------------------------------------------------------- the whole rule set


def rules(args: argparse.Namespace) -> bool:
    """Features, all rules over cached forecasts, and the live parts minute by minute: symbol-minutes a second."""
    minutes = 10_000 if args.quick else 100_000
    lines = []
    for what, module, size in (
        (ALL_RULES, "engine_job", f"20x{minutes}"),
        (f"{ALL_RULES}, every order's table and why", "engine_tables_job", f"20x{minutes}"),
        ("all features, 20 symbols", "features_job", f"20x{minutes // 5}"),
        ("all features, 5 symbols", "features_job", f"5x{minutes // 5}"),
        ("LocalDesk, minute by minute", "desk_job", "20x200"),
    ):
        told = _told(what, own_command(module, size, *_options(2 if args.quick else 5)))
        if told:
            lines += point_lines(what, told, rate=True)
    print(table(RULE_HEADINGS, lines), flush=True)
    return bool(lines)


def scaling(args: argparse.Namespace) -> bool:
    """Twice the minutes and twice the symbols: how much more time. The quickest of several calls, taken in turns.

    What each did stands beside it: a ratio is one of the program's only where twice as much was done. A table of features
    of less than 32 MB would lie in memory that the table before gave back, a larger one in memory that the system has to
    clear first, which takes an eighth of its time: so all of them are larger (but with ``--quick``). And all are much
    longer than what features look back on, which the first minutes do not have.
    """
    unit = 1 if args.quick else 5
    by_minutes = ",".join(f"20x{2_500 * unit * times}" for times in (1, 2, 4, 8))
    by_symbols = ",".join(f"{symbols}x{4_000 * unit}" for symbols in (5, 10, 20, 40))
    few = ",".join(f"10x{1_000 * unit * times}" for times in (1, 2, 4, 8))
    few_symbols = ",".join(f"{symbols}x{2_000 * unit}" for symbols in (5, 10, 20, 40))
    lines = []
    for what, module, sizes in (
        (ALL_RULES, "engine_job", by_minutes),
        (ALL_RULES, "engine_job", by_symbols),
        ("all features", "features_job", few),
        ("all features", "features_job", few_symbols),
    ):
        told = _told(what, own_command(module, sizes, *_options(2 if args.quick else 7)))
        if told:
            lines += point_lines(what, told, rate=False)
    print(table(SCALE_HEADINGS, lines), flush=True)
    return bool(lines)


def point_lines(what: str, told: dict[str, Any], *, rate: bool) -> list[tuple[object, ...]]:
    """The lines of a job's points: for the table of rates, or for that of scaling with the ratio to the point before."""
    lines: list[tuple[object, ...]] = []
    before: tuple[int, float] | None = None
    for (symbols, minutes, seconds), note in zip_longest(told["points"], told.get("notes", ()), fillvalue=""):
        timing = Timing.of(seconds, symbols * minutes)
        if rate:
            used = (timing.wall, timing.used, timing.spread, timing.rate_used)
            lines.append((what, symbols, minutes, len(seconds), *used, note))
            continue
        ratio: object = "-"
        if before:
            # Between points that are not exactly twice as large, the time of one doubling.
            ratio = (timing.best / before[1]) ** (1.0 / math.log2(timing.done / before[0]))
        lines.append((what, symbols, minutes, timing.best, timing.done / timing.best, ratio, note))
        before = (timing.done, timing.best)
    return lines


# ---------------------------------------------------------------- memory and compilation


def memory(args: argparse.Namespace) -> bool:
    """Most memory of a process that goes through a history, and of one that goes through four times as much.

    Anonymous memory; beside it with the pages of mapped files, which the system takes back when it needs room.
    """
    days = 14 if args.quick else 56
    root = args.root / f"lake-10x{4 * days}"
    big_lake(root, 10, 4 * days, _say)
    lines = []
    for what, job in (("all features, in pieces", "features"), (ALL_RULES, "account")):
        found = []
        for length in (days, 4 * days):
            told = _told(what, own_command("memory_job", job, root, length, *_options(1)))
            if told:
                found.append(told["anonymous_mb"])
                lines.append((what, 10, length * 1440, told["before_mb"], told["anonymous_mb"], round(told["peak_mb"])))
        if len(found) == 2:
            _say(f"{what}: four times the history took {found[1] / found[0]:.2f} times the memory")
    print(table(MEMORY_HEADINGS, lines), flush=True)
    return bool(lines)


def first(args: argparse.Namespace) -> bool:
    """The first call in an empty cache of compiled code, and in a new process beside the filled one. On all cores: two
    processes compile the engine. The processor's time is that of the measured one."""
    lines = []
    for what, module in ((ALL_RULES, "engine_job"), ("all features", "features_job")):
        with tempfile.TemporaryDirectory() as folder:
            took = []
            for _ in range(2):
                told = _told(
                    what, own_command(module, "2x2000", "--repeat", 1), {**ONE_THREAD, "NUMBA_CACHE_DIR": folder}
                )
                took += told["first_s"] if told else []
        if len(took) == 4:
            lines.append((what, *took))
    print(table(FIRST_HEADINGS, lines), flush=True)
    return bool(lines)


def _told(what: str, command: list[str], env: dict[str, str] = ONE_THREAD) -> dict[str, Any] | None:
    try:
        return measure(command, TIMEOUT, env)
    except Failed as error:
        _say(f"{what}: failed: {error}")
        return None


def _say(text: str) -> None:
    print(text, flush=True)
