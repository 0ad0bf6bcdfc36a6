"""What was imported, found and stored, for a person: a table on a terminal, plain lines elsewhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.catalog import Catalog
from data.checks import FAULT, NOTE, WARNING, Finding, iso
from data.import_report import FileReport, ImportReport
from data.verify import VerifyReport

SHOWN = 20
"""Findings of a file on the screen; --json has them all."""
IMPORT_WORDS = (
    ("rows", "rows of the file"),
    ("new", "minutes that the lake had not"),
    ("same", "minutes that the lake has, equal to the last digit"),
    ("revised", "minutes where the file's bar took the place of the lake's (--replace)"),
    ("kept", "minutes where the file's bar differs from the lake's, which stayed"),
    ("bad", "rows that can be no bar; they stayed out"),
    ("twice", "further copies of an identical row"),
    ("conflict", "rows that say different things of one minute; none was taken"),
    ("disorder", "rows whose time is before that of the row above; taken all the same"),
    ("gaps", "runs of minutes without a bar"),
    ("missing", "minutes in them"),
    ("empty", "bars in which nothing was traded (volume 0)"),
)
"""What the counts of an import are called, and what each counts."""
STYLE = {FAULT: "red", WARNING: "yellow", NOTE: "dim"}


def show_import(report: ImportReport, out: TextIO) -> None:
    """One line a file with its counts, its findings below, and what it comes to."""
    bars = [f for f in report.files if f.kind != "other"]
    heads: tuple[str, ...] = ("file", "instrument", *(word for word, _ in IMPORT_WORDS), "first", "last")
    rows: list[tuple[str, ...]] = [
        (
            f.path.name,
            str(f.instrument) if f.instrument else f.kind if f.kind != "bars" else "?",
            *map(
                str,
                (
                    f.rows,
                    f.new,
                    f.unchanged,
                    f.revised,
                    f.kept,
                    f.bad,
                    f.duplicates,
                    f.conflicting,
                    f.disordered,
                    f.gaps,
                    f.missing,
                    f.zero_volume,
                ),
            ),
            iso(f.first),
            iso(f.last),
        )
        for f in bars
    ]
    if out.isatty() and len({row[1] for row in rows}) == len(rows) and all(f.instrument for f in bars):
        # The instrument tells the file: its name would only take the room of the times.
        heads, rows = heads[1:], [row[1:] for row in rows]
    _table(out, heads, rows, "Import" + (" (dry run, nothing was written)" if report.dry_run else ""))
    _legend(out, heads, rows)
    for file in report.files:
        _findings(out, _where(file), file.findings)
    word = "would be new" if report.dry_run else "new"
    new, same, revised = (sum(getattr(f, name) for f in bars) for name in ("new", "unchanged", "revised"))
    total = f"{new} rows {word}, {same} there already, {revised} revised"
    faults = f"; {report.faults} faults: what they name stayed out" if report.faults else "; no faults"
    print(f"{total}{faults}. Lake: {report.lake}", file=out)


def show_catalog(root: Path, found: Catalog, readings: int, out: TextIO, advice: str = "") -> None:
    """``advice``: what fills an empty lake."""
    if not found.rows and not found.faults:
        print(f"the lake at {root} is empty{advice and '; '}{advice}", file=out)
    else:
        heads = ("instrument", "rows", "first", "last", "gaps", "missing", "filler", "synthetic")
        body = [
            (
                str(r.instrument),
                *(str(r.rows), iso(r.first), iso(r.last), str(r.gaps), str(r.missing), str(r.filler)),
                f"{r.synthetic.name} seed={r.synthetic.seed} edge={r.synthetic.edge}" if r.synthetic else "no",
            )
            for r in found.rows
        ]
        _table(out, heads, body, f"Lake {root}")
    for fault in found.faults:
        print(f"not counted: {fault}", file=out)
    if readings:
        print(f"fear and greed: {readings} readings", file=out)


def show_verify(report: VerifyReport, out: TextIO) -> None:
    for check in report.files:
        _findings(out, str(check.path), check.findings)
    rows = sum(check.rows for check in report.files)
    end = f"{report.faults} faults; nothing was changed" if report.faults else "no faults"
    print(f"{len(report.files)} files, {rows} rows read in {report.lake}: {end}", file=out)


def _where(file: FileReport) -> str:
    return f"{file.path} ({file.instrument})" if file.instrument else str(file.path)


def _findings(out: TextIO, where: str, findings: Sequence[Finding]) -> None:
    order = {FAULT: 0, WARNING: 1, NOTE: 2}
    ranked = sorted(findings, key=lambda f: order[f.severity])
    if not out.isatty():
        for one in ranked[:SHOWN]:
            print(f"{where}: {one.severity}: {one}", file=out)
    elif ranked:
        console = Console(file=out)
        console.print(escape(where), style="bold", soft_wrap=True)
        for one in ranked[:SHOWN]:
            console.print(
                f"  [{STYLE[one.severity]}]{one.severity}[/]: {escape(str(one))}", soft_wrap=True, highlight=False
            )
    if len(ranked) > SHOWN:
        print(f"{where}: and {len(ranked) - SHOWN} more findings; --json lists all", file=out)


def _legend(out: TextIO, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The words of the counts that are not 0, but for those that say it themselves."""
    about = dict(IMPORT_WORDS)
    told = [
        f"{head}: {about[head]}"
        for at, head in enumerate(heads)
        if head in about and head not in ("rows", "new") and any(row[at] != "0" for row in rows)
    ]
    if told:
        Console(file=out).print(". ".join(told) + ".", style="dim", highlight=False, markup=False)


def _table(out: TextIO, heads: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    if out.isatty():
        # A column that says nothing but 0 is left out, so that the rest has room in 80 letters.
        shown = [at for at, head in enumerate(heads) if head in ("rows", "new") or any(row[at] != "0" for row in rows)]
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for at in shown:
            number = all(row[at].isdigit() for row in rows)
            table.add_column(
                heads[at],
                justify="right" if number else "left",
                no_wrap=number or heads[at] in ("instrument", "file"),
                min_width=10 if heads[at] in ("first", "last") else None,
            )
        for row in rows:
            # A day and its time may stand on two lines.
            table.add_row(
                *(escape(row[at].replace("T", " ") if heads[at] in ("first", "last") else row[at]) for at in shown)
            )
        Console(file=out).print(table)
        return
    print(title, file=out)
    for row in rows:
        print("  " + " ".join(f"{head}={cell}" for head, cell in zip(heads, row, strict=True)), file=out)
