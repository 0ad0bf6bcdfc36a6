"""Several runs beside each other: figures with their differences, equity overlaid, costs side by side."""

import html
import math
from collections.abc import Sequence
from pathlib import Path

from config.changes import changes
from config.meanings import flat
from tune.report.equity import overlay_figure
from tune.report.figures import costs_figure
from tune.report.findings import Findings
from tune.report.frame import Judged, figure, head, pair, section, write_html
from tune.report.key_figures import KeyFigure
from tune.report.style import MINUS, money, number, span

Named = tuple[str, Findings]
MOST_SETTINGS = 12
"""Named one by one; who changed more compared two files rather than two runs."""


def comparison_rows(runs: Sequence[Named]) -> list[tuple[str, list[KeyFigure | None]]]:
    """(label, that figure of each run; None where it has none), as the first run has them; what only later ones have
    stands behind what it follows there.

    Matched by label: which coins ``hold0`` holds depends on the run.
    """
    by_label = [{figure.label: figure for figure in found.figures} for _, found in runs]
    labels = list(by_label[0])
    for figures in by_label[1:]:
        before = -1
        for label in figures:
            if label not in labels:
                labels.insert(before + 1, label)
            before = labels.index(label)
    return [(label, [figures.get(label) for figures in by_label]) for label in labels]


def difference(base: KeyFigure, other: KeyFigure) -> tuple[str, str]:
    """(how ``other`` differs from ``base``; ``better``, ``worse`` or nothing)."""
    apart = (other.value - base.value) * base.scale
    if not math.isfinite(apart):
        return "", ""
    judged = apart * base.better
    kind = "better" if judged > 0 else "worse" if judged < 0 else ""
    if base.unit == "min":
        return ("+" if apart > 0 else MINUS if apart < 0 else "") + span(abs(apart)), kind
    return number(apart, base.digits, sign=True) + (" pp" if base.unit == "%" else ""), kind


def comparison_table(runs: Sequence[Named]) -> str:
    """Figures side by side; what a later run has more or less than the first stands under its value."""
    names = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name, _ in runs)
    lines = []
    for label, (base, *others) in comparison_rows(runs):
        cells = [f"<td>{html.escape(base.text) if base is not None else ''}</td>"]
        for other in others:
            if other is None:
                cells.append("<td></td>")
                continue
            text, kind = difference(base, other) if base is not None else ("", "")
            cells.append(f"<td>{html.escape(other.text)}<small class='{kind}'>{html.escape(text)}</small></td>")
        lines.append(f"<tr><th scope='row'>{html.escape(label)}</th>{''.join(cells)}</tr>")
    return (
        f"<div class='wide'><table class='figures compared'><thead><tr><th></th>{names}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def costs_table(runs: Sequence[Named]) -> str:
    """The waterfalls as columns, each of which adds up."""
    names = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name, _ in runs)
    columns = [found.steps for _, found in runs]
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
    results, names = [found.result for _, found in runs], [name for name, _ in runs]
    return (
        section("Compared: growth", figure(overlay_figure(results, names)))
        + section("Compared: figures", comparison_table(runs))
        + section("Compared: costs", pair(figure(costs_figure(results, names)), costs_table(runs)))
    )


def write_comparison(path: Path, runs: Sequence[Named], verdicts: Sequence[Judged | None] = ()) -> Path:
    """One page of several runs, the first being what the others are held against; ``verdicts`` of each, where known."""
    title = " against ".join([runs[0][0], ", ".join(name for name, _ in runs[1:])])
    words = [f"; verdict: {one.word}" if one is not None else "" for one in verdicts] or [""] * len(runs)
    lines = [
        f"{name}: {found.result.market}, {found.result.cash:,.2f} USDT{word}"
        for (name, found), word in zip(runs, words, strict=True)
    ]
    notes = (
        mismatches(runs)
        + set_otherwise(runs)
        + [f"{name}: {note}" for name, found in runs for note in found.result.notes]
    )
    body = [
        head(title, lines, synthetic=any(found.result.synthetic for _, found in runs), notes=notes),
        comparison_section(runs),
    ]
    return write_html(path, title, body)


def mismatches(runs: Sequence[Named]) -> list[str]:
    """What makes two runs less than comparable: other minutes, other instruments."""
    name, first = runs[0][0], runs[0][1].result
    found = []
    for other_name, one in runs[1:]:
        other = one.result
        spans = [(int(r.minute[0]), int(r.minute[-1])) if r.minutes else () for r in (first, other)]
        if spans[0] != spans[1]:
            found.append(f"{other_name} ran over other minutes than {name}: their figures are of different markets.")
        if first.instruments != other.instruments:
            found.append(f"{other_name} traded other instruments than {name}.")
    return found


def set_otherwise(runs: Sequence[Named]) -> list[str]:
    """Which settings each later run had otherwise than the first: what a difference of theirs may come from. Nothing of a
    run that kept no settings."""
    name, first = runs[0][0], runs[0][1].result
    found = []
    for other_name, one in runs[1:]:
        old, new = (
            flat({"config": {"trade": result.settings.get("trade", {})}, "rules": result.settings.get("rules", {})})
            for result in (first, one.result)
        )
        if not old or not new:
            continue
        apart = [f"{c.key} {c.old or '(not there)'} → {c.new or '(not there)'}" for c in changes(old, new, first.cash)]
        more = f" and {len(apart) - MOST_SETTINGS} more" if len(apart) > MOST_SETTINGS else ""
        if apart:
            found.append(f"{other_name} was set otherwise than {name}: {', '.join(apart[:MOST_SETTINGS])}{more}.")
    return found
