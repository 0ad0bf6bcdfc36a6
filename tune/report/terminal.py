"""The report in a terminal: the figures, the waterfall as lines that add up, and the verdict."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tune.report.compare import comparison_rows, difference, mismatches, set_otherwise
from tune.report.findings import Findings
from tune.report.frame import Judged
from tune.report.style import money, number
from tune.report.words import notes_of

COLOURS = {"edge": "green", "unproven": "yellow", "none": "red"}


def print_findings(console: Console, found: Findings, verdict: Judged | None = None) -> None:
    """Two tables and the word."""
    result = found.result
    banded = any(figure.band for figure in found.figures)
    figures = Table(title=escape(f"{result.name}{' (SYNTHETIC market)' if result.synthetic else ''}"))
    figures.add_column("figure")
    figures.add_column("value", justify="right")
    if banded:
        figures.add_column("9 in 10 resampled", justify="right", style="dim")
    for figure in found.figures:
        figures.add_row(escape(figure.label), figure.text, *([figure.band] if banded else []))
    console.print(figures)
    console.print(waterfall_lines(found))
    for note in notes_of(result):
        console.print(f"[yellow]{escape(note)}[/]", highlight=False)
    if verdict is not None:
        print_verdict(console, verdict)


def waterfall_lines(found: Findings) -> Table:
    """Gross, the costs, and the net they add up to."""
    table = Table(title="where the money went", show_edge=False, pad_edge=False)
    table.add_column("")
    table.add_column("USDT", justify="right")
    table.add_column("bps of traded", justify="right", style="dim")
    for step in found.steps:
        bps = "" if step.bps is None else number(step.bps, 2, sign=True)
        if step.key == "net":
            table.add_section()
        style = "bold" if step.key == "net" else ""
        table.add_row(step.label, money(step.amount, sign=True), bps, style=style)
    return table


def print_verdict(console: Console, verdict: Judged) -> None:
    """The word, then every reason on a line."""
    console.print(f"verdict: [bold {COLOURS.get(verdict.word, 'white')}]{escape(verdict.word)}[/]")
    for reason in verdict.reasons:
        console.print(f"  {escape(reason)}", highlight=False, soft_wrap=True)


def print_comparison(console: Console, runs: Sequence[tuple[str, Findings]]) -> None:
    """A column a run; under a value by how much it differs from the first run's."""
    table = Table(title="compared; the difference to the first in brackets")
    table.add_column("")
    for name, _ in runs:
        table.add_column(escape(name), justify="right")
    for label, (base, *others) in comparison_rows(runs):
        cells = ["" if base is None else base.text]
        for other in others:
            text, kind = difference(base, other) if base is not None and other is not None else ("", "")
            colour = {"better": "green", "worse": "red"}.get(kind, "dim")
            cells.append("" if other is None else f"{other.text}" + (f" [{colour}]({text})[/]" if text else ""))
        table.add_row(escape(label), *cells)
    table.add_section()
    for row in zip(*(found.steps for _, found in runs), strict=True):
        table.add_row(row[0].label, *(money(step.amount, sign=True) for step in row))
    console.print(table)
    for note in mismatches(runs):
        console.print(f"[yellow]{escape(note)}[/]", highlight=False)
    for note in set_otherwise(runs):
        console.print(escape(note), highlight=False)


def as_json(found: Findings, verdict: Judged | None = None) -> dict[str, Any]:
    """Figures by name (None where they have no meaning), costs to the cent, the verdict."""
    figures = {figure.key: figure.value if figure.value == figure.value else None for figure in found.figures}
    told: dict[str, Any] = {
        "name": found.result.name,
        "synthetic": found.result.synthetic,
        "figures": figures,
        "costs": found.result.costs.cents(),
        "notes": list(notes_of(found.result)),
    }
    return told if verdict is None else told | {"verdict": verdict.word, "reasons": list(verdict.reasons)}
