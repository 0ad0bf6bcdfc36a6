"""``run.py tca``: what every order of a run lost against its decision, part by part, and what moves the market."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from config import load
from core.errors import EXIT_OK, ConfigError, DataError
from core.execution.calibration import LEAST_ORDERS, calibrate, observations_of
from core.execution.tca import PARTS, Parent, Shortfall, shortfall_of, sum_of
from core.impact import PRIOR
from core.units import MINUTE_MS
from data.artifacts import ArtifactStore
from data.impact_law import keep_law
from tune.cost_page import write_cost_page
from tune.recorded_parents import RecordedParents, read_parents
from tune.report.style import DASH, clock, number

HELP = "what every order of a run cost against its decision: delay, timing, spread, impact, fees, opportunity"
EXAMPLE = "python3 run.py tca\npython3 run.py tca var/runs/RUN --by hour"
PAGE = "tca.html"
WIDE = 110


def _hour(parent: Parent) -> str:
    return f"{(parent.decided.minute + MINUTE_MS) // 3_600_000 % 24:02d}:00"


GROUPS: dict[str, Callable[[Parent], str]] = {
    "symbol": lambda parent: str(parent.decided.instrument),
    "schedule": lambda parent: parent.schedule or "unknown",
    "hour": _hour,
    "side": lambda parent: parent.decided.side.value,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    load.arguments(parser)
    run_argument(parser)
    parser.add_argument(
        "--by", choices=tuple(GROUPS), default="symbol", help="a line of the table for each (default symbol)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"where the page goes (default {PAGE} in the folder)")
    parser.add_argument(
        "--calibration", action="store_true", help="fit the law of impact to this run's fills, beside the prior"
    )
    parser.add_argument("--keep", action="store_true", help="with --calibration: keep it; later runs estimate by it")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON line, nothing else")


def run_argument(parser: argparse.ArgumentParser) -> None:
    """The folder that both ``tca`` and ``orders`` read."""
    parser.add_argument(
        "run",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        help="folder of a replay, paper or live run, or of an exact backtest (default: the newest of var/runs)",
    )


def main(args: argparse.Namespace) -> int:
    folder = args.run or newest_run(load.resolve_var(load.from_arguments(args)) / "runs")
    run = read_parents(folder)
    if args.keep and not args.calibration:
        raise ConfigError("--keep keeps a calibration; add --calibration")
    if args.calibration:
        return _calibrate(args, folder, run)
    losses = [shortfall_of(parent) for parent in run.parents]
    lines = grouped(run, losses, args.by)
    total = sum_of(losses)
    page = args.out or folder / PAGE
    try:
        write_cost_page(page, run, losses, {name: grouped(run, losses, name) for name in GROUPS})
    except OSError as error:
        raise DataError(f"{page}: the page cannot be written there ({error.strerror}); name a file by --out") from error
    if args.json:
        told = {"run": run.name, "page": str(page), "total": as_json(total), "notes": list(run.notes)}
        print(json.dumps({**told, "by": {name: as_json(one) for name, one in lines.items()}}, allow_nan=False))
        return EXIT_OK
    console = Console()
    if not run.parents:
        console.print(f"{run.name}: nothing was ordered", highlight=False)
    else:
        console.print(table_of(lines, total, args.by, wide=console.width >= WIDE))
        console.print(
            "Parts in bps of what was decided upon; above zero is lost. Opportunity: what waiting cost the unfilled part."
        )
    for note in run.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    console.print(f"page: {page}", highlight=False, soft_wrap=True)
    return EXIT_OK


def _calibrate(args: argparse.Namespace, folder: Path, run: RecordedParents) -> int:
    """Fit, show, and where asked keep."""
    found = calibrate(observations_of(run.parents, run.horizon_minutes))
    store = ArtifactStore(run.artifacts or load.resolve_var(load.from_arguments(args)) / "artifacts")
    kept = ""
    if args.keep:
        if not found.learnt:
            raise DataError(
                f"{run.name}: {found.orders} filled orders, {LEAST_ORDERS} are needed to learn from; the prior stands"
            )
        ms = [fill.at_ms for parent in run.parents for fill in parent.fills]
        span = (min(ms), max(ms) + 1)
        artifact = keep_law(
            store, found, real=run.real, span=span, instruments=run.instruments, source=str(folder.resolve().name)
        )
        kept = artifact.reference
    if args.json:
        told = {"learnt": found.learnt, "orders": found.orders, "law": found.law._asdict(), "prior": PRIOR._asdict()}
        print(json.dumps({"run": run.name, **told, "kept": kept or None}))
        return EXIT_OK
    console = Console()
    table = Table("", "prior", "from the fills", box=box.SIMPLE_HEAD)
    for name, what in (("coefficient", "Y, temporary (square root)"), ("permanent", "gamma, permanent (linear)")):
        before, now = ((getattr(law, name), getattr(law, f"{name}_sd")) for law in (PRIOR, found.law))
        table.add_row(what, f"{before[0]:.3f} ± {before[1]:.3f}", f"{now[0]:.3f} ± {now[1]:.3f}")
    console.print(table)
    how = f"beyond the market's own moves {found.scale_bps:.2f} bps" if found.learnt else "too few: the prior stands"
    console.print(f"{found.orders} filled orders ({LEAST_ORDERS} are needed), {how}", highlight=False)
    for artifact in store.list("impact"):
        m = artifact.metrics
        console.print(
            f"{artifact.reference}: Y {m['coefficient']:.3f} ± {m['coefficient_sd']:.3f}, gamma {m['permanent']:.3f} ± "
            f"{m['permanent_sd']:.3f}, {m['orders']:.0f} orders up to {clock(artifact.span[1])} UTC, from {artifact.source}",
            highlight=False,
            soft_wrap=True,
        )
    if not kept:
        console.print("not kept; --keep makes it a version that later runs estimate by", highlight=False)
    return EXIT_OK


def newest_run(runs: Path) -> Path:
    """The run in ``runs`` that was begun last; DataError without one."""
    found = [path for path in runs.glob("*") if (path / "records").is_dir()]
    if not found:
        raise DataError(f"{runs}: there is no run yet; make one with python3 run.py replay, or name a folder")
    return max(found, key=lambda path: (path.stat().st_mtime, path.name))


def grouped(run: RecordedParents, losses: list[Shortfall], by: str) -> dict[str, Shortfall]:
    """Sums by ``by``, in the order of the names."""
    key, found = GROUPS[by], dict[str, Shortfall]()
    for parent, lost in zip(run.parents, losses, strict=True):
        name = key(parent)
        found[name] = found.get(name, Shortfall()) + lost
    return {name: found[name] for name in sorted(found)}


def table_of(lines: dict[str, Shortfall], total: Shortfall, by: str, *, wide: bool = True) -> Table:
    """A line a group, and their sum: the parts in bps of what was decided upon, the shortfall in USDT too. Not ``wide``:
    without the counts, so that it fits 80 columns."""
    counts = ("orders", "decided", "filled") if wide else ()
    parts = list(PARTS)
    table = Table(by, *counts, *parts, "bps", "USDT", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    for name, one in [*lines.items(), ("all", total)]:
        if name == "all":
            table.add_section()
        share = f"{float(one.filled / one.notional) * 100:.0f} %" if one.notional else DASH
        told = (str(one.parents), number(float(one.notional), 0), share) if wide else ()
        bps = [number(one.bps(part)) for part in (*PARTS, "total")]
        table.add_row(name, *told, *bps, number(float(one.cents()["total"])))
    return table


def as_json(one: Shortfall) -> dict[str, object]:
    """Cents as text, so that their sum stays exact."""
    cents = {name: str(amount) for name, amount in one.cents().items()}
    bps = {name: None if not one.notional else round(one.bps(name), 4) for name in (*PARTS, "total")}
    return {"parents": one.parents, "notional": str(round(one.notional, 2)), "usdt": cents, "bps": bps}
