"""Several runs beside each other: figures with their differences, equity overlaid, costs side by side."""

import html
from collections.abc import Sequence
from pathlib import Path

from tune.report.figures import costs_figure, overlay_figure
from tune.report.frame import figure, head, pair, section, write_html
from tune.report.key_figures import KeyFigure, key_figures
from tune.report.style import money, number
from tune.report.waterfall import steps_of
from tune.result import Result
from tune.stats.trades import round_trips

Named = tuple[str, Result]


def comparison_rows(runs: Sequence[Named]) -> list[tuple[KeyFigure, list[KeyFigure | None]]]:
    """A row a figure of the first run: it, and the same of the others (None where they have none)."""
    first, *others = [key_figures(result, round_trips(result)) for _, result in runs]
    by_key = [{figure.key: figure for figure in figures} for figures in others]
    return [(figure, [found.get(figure.key) for found in by_key]) for figure in first]


def difference(base: KeyFigure, other: KeyFigure) -> tuple[str, str]:
    """(how ``other`` differs from ``base``, ``better``, ``worse`` or nothing)."""
    apart = (other.value - base.value) * base.scale
    if apart != apart or abs(apart) == float("inf"):
        return "", ""
    unit = " pp" if base.unit == "%" else f" {base.unit}" if base.unit else ""
    text = number(apart, 0 if base.unit == "min" or base.key in ("trades", "minutes") else 2, sign=True) + unit
    judged = apart * base.better
    return text, "better" if judged > 0 else "worse" if judged < 0 else ""


def comparison_table(runs: Sequence[Named]) -> str:
    """Figures side by side; what a later run has more or less than the first stands under its value."""
    names = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name, _ in runs)
    lines = []
    for base, others in comparison_rows(runs):
        cells = [f"<td>{html.escape(base.text)}</td>"]
        for other in others:
            if other is None:
                cells.append("<td></td>")
                continue
            text, kind = difference(base, other)
            cells.append(f"<td>{html.escape(other.text)}<small class='{kind}'>{html.escape(text)}</small></td>")
        lines.append(f"<tr><th scope='row'>{html.escape(base.label)}</th>{''.join(cells)}</tr>")
    return (
        f"<div class='wide'><table class='figures compared'><thead><tr><th></th>{names}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def costs_table(runs: Sequence[Named]) -> str:
    """The waterfalls as columns, each of which adds up."""
    names = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name, _ in runs)
    columns = [steps_of(result.costs) for _, result in runs]
    lines = []
    for row in zip(*columns, strict=True):
        cells = "".join(f"<td>{html.escape(money(step.amount, sign=True))}</td>" for step in row)
        lines.append(f"<tr class='{row[0].key}'><th scope='row'>{html.escape(row[0].label)}</th>{cells}</tr>")
    return (
        f"<div class='wide'><table class='figures waterfall'><thead><tr><th>USDT</th>{names}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def comparison_section(runs: Sequence[Named]) -> str:
    """The parts of a page that compare; the first run is the one that the others are held against."""
    results, names = [result for _, result in runs], [name for name, _ in runs]
    return (
        section("Compared: growth", figure(overlay_figure(results, names)))
        + section("Compared: figures", comparison_table(runs))
        + section("Compared: costs", pair(figure(costs_figure(results, names)), costs_table(runs)))
    )


def write_comparison(path: Path, runs: Sequence[Named]) -> Path:
    """One page of several runs, the first being what the others are held against."""
    title = " against ".join([runs[0][0], ", ".join(name for name, _ in runs[1:])])
    lines = [f"{name}: {result.market}, {result.cash:,.2f} USDT" for name, result in runs]
    notes = [f"{name}: {note}" for name, result in runs for note in result.notes] + mismatches(runs)
    body = [
        head(title, lines, synthetic=any(result.synthetic for _, result in runs), notes=notes),
        comparison_section(runs),
    ]
    return write_html(path, title, body)


def mismatches(runs: Sequence[Named]) -> list[str]:
    """What makes two runs less than comparable: other minutes, other instruments."""
    name, first = runs[0]
    found = []
    for other_name, other in runs[1:]:
        spans = [(int(r.minute[0]), int(r.minute[-1])) if r.minutes else () for r in (first, other)]
        if spans[0] != spans[1]:
            found.append(f"{other_name} ran over other minutes than {name}: their figures are of different markets.")
        if first.instruments != other.instruments:
            found.append(f"{other_name} traded other instruments than {name}.")
    return found
