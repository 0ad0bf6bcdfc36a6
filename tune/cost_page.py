"""The page of ``run.py tca``: where the shortfall of a run came from, by part, symbol, hour and size; works offline."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from core.execution.tca import PARTS, Shortfall, sum_of
from core.units import BPS, plural
from tune.recorded_parents import RecordedParents
from tune.report.drawing import colours, finished
from tune.report.frame import figure, head, pair, section, write_html
from tune.report.style import BLUE, DASH, GREEN, GREY, RED, clock, money, number, percent

WORDS = {
    "delay": "the mid moved between the decision and the first order",
    "timing": "it moved further until the fills",
    "spread": "half of it; earned where the order waited",
    "impact": "deeper levels eaten, and rounding to the tick",
    "fees": "what the venue takes",
    "opportunity": "what the part that was not filled would have earned until the next decision",
}
MOST_PARENTS = 200
MOST_POINTS = 3_000


def write_cost_page(
    path: Path,
    run: RecordedParents,
    losses: Sequence[Shortfall],
    groups: Mapping[str, Mapping[str, Shortfall]],
) -> Path:
    """Write the page to ``path`` and return it; ``groups`` are sums by name, for each way of grouping."""
    total = sum_of(losses)
    alone = [f"{name}: {next(iter(of))}" for name, of in groups.items() if len(of) == 1]
    first, last = run.span
    lines = (
        f"{clock(first)} to {clock(last)} UTC, {plural(len(run.parents), 'order')}",
        ", ".join(run.instruments),
        f"Only one {', only one '.join(alone)}." if alone else "",
        "Implementation shortfall (Perold 1988) of each order against the mid of its decision; losses are above zero.",
    )
    body = [
        head(f"Costs of {run.name}", lines, synthetic=run.synthetic, notes=run.notes),
        _cards(total),
        section("Where it went", pair(figure(parts_figure(total)), _parts_table(total))),
        *(
            section(f"By {name}", pair(figure(groups_figure(of)), _groups_table(of)))
            for name, of in groups.items()
            if len(of) > 1
        ),
        section("Expected and paid", figure(expected_figure(run, losses))),
        section("How it is spread", figure(spread_figure(losses))),
        _orders(run, losses),
    ]
    return write_html(path, f"Costs of {run.name}", body)


def parts_figure(total: Shortfall) -> go.Figure | None:
    """The parts and their sum, bps of what was decided upon."""
    if not total.notional:
        return None
    names = [*PARTS, "shortfall"]
    drawn = go.Figure(
        go.Waterfall(
            x=names,
            y=[total.bps(name) for name in PARTS] + [0.0],
            measure=["relative"] * len(PARTS) + ["total"],
            increasing={"marker": {"color": RED}},
            decreasing={"marker": {"color": GREEN}},
            totals={"marker": {"color": BLUE}},
            connector={"line": {"color": GREY, "width": 1, "dash": "dot"}},
            hovertemplate="%{x}: %{delta:.2f} bps<extra></extra>",
        )
    )
    drawn.update_yaxes(title_text="bps", zeroline=True)
    return finished(drawn, 340, showlegend=False)


def groups_figure(groups: Mapping[str, Shortfall]) -> go.Figure | None:
    """A stacked bar of parts for each group."""
    known = {name: one for name, one in groups.items() if one.notional}
    if not known:
        return None
    venues = {name.partition(":")[0] for name in known}
    # The venue before each market would only turn the names askew.
    names = [name.rpartition(":")[2] for name in known] if len(venues) == 1 and _are_markets(known) else list(known)
    drawn = go.Figure()
    for part, colour in zip(PARTS, colours(len(PARTS)), strict=True):
        values = [one.bps(part) for one in known.values()]
        drawn.add_bar(x=names, y=values, name=part, marker={"color": colour}, hovertemplate="%{x}: %{y:.2f} bps")
    drawn.update_layout(barmode="relative")
    drawn.update_yaxes(title_text="bps", zeroline=True)
    drawn.update_xaxes(type="category", showgrid=False)
    return finished(drawn, 320)


def expected_figure(run: RecordedParents, losses: Sequence[Shortfall]) -> go.Figure | None:
    """What each filled order was expected to cost before it was sent, and what its fills cost."""
    points = [
        (
            parent.decided.expected[5],
            float((one.total - one.opportunity) / one.filled) * 1e4,
            parent.decided.intent_id,
        )
        for parent, one in zip(run.parents, losses, strict=True)
        if parent.decided.expected and one.filled
    ]
    if not points:
        return None
    # As many as a browser draws without a graphics card; every so many of more.
    expected, paid, names = zip(*points[:: len(points) // MOST_POINTS + 1], strict=True)
    most = max(max(expected), 1.0)
    drawn = go.Figure(
        go.Scatter(
            x=expected,
            y=paid,
            text=names,
            mode="markers",
            marker={"color": BLUE, "size": 5, "opacity": 0.6},
            name="orders",
            hovertemplate="%{text}<br>expected %{x:.2f}, paid %{y:.2f} bps<extra></extra>",
        )
    )
    drawn.add_scatter(
        x=[0.0, most], y=[0.0, most], mode="lines", line={"color": GREY, "dash": "dot"}, name="as expected"
    )
    drawn.update_xaxes(title_text="expected cost of the whole order, bps of the mid")
    drawn.update_yaxes(title_text="cost of its fills, bps", zeroline=True)
    return finished(drawn, 360)


def spread_figure(losses: Sequence[Shortfall]) -> go.Figure | None:
    """Histogram of the shortfall of each order."""
    values = np.array([one.bps("total") for one in losses if one.notional])
    if not len(values):
        return None
    drawn = go.Figure(
        go.Histogram(x=values, nbinsx=min(60, max(5, round(2 * len(values) ** 0.5))), marker={"color": BLUE})
    )
    for name, at in (("mean", float(values.mean())), ("95th percentile", float(np.quantile(values, 0.95)))):
        drawn.add_vline(x=at, line={"color": GREY, "dash": "dot"}, annotation_text=f"{name} {at:.1f}")
    drawn.update_xaxes(title_text="shortfall of an order, bps")
    drawn.update_yaxes(title_text="orders")
    return finished(drawn, 320, showlegend=False)


def _are_markets(names: Iterable[str]) -> bool:
    return all("/" in name for name in names)


def _cards(total: Shortfall) -> str:
    """What a reader looks for first."""
    if not total.notional:
        return ""
    cents, share = total.cents(), float(total.filled / total.notional)
    paid = float((total.total - total.opportunity) / total.filled) * BPS if total.filled else math.nan
    told = (
        ("shortfall", f"{money(float(cents['total']))} USDT", f"{_bps(total, 'total')} bps of what was decided"),
        ("filled", percent(share, 0), f"{money(float(total.filled))} of {money(float(total.notional))} USDT decided"),
        ("cost of what was filled", f"{number(paid)} bps", "of its worth at the decision, fees included"),
        ("fees", f"{money(float(cents['fees']))} USDT", f"{_bps(total, 'fees')} bps of what was decided"),
    )
    cards = "".join(
        f"<div class='card'><span>{name}</span><b>{value}</b><small>{more}</small></div>" for name, value, more in told
    )
    return f"<div class='cards'>{cards}</div>"


def _parts_table(total: Shortfall) -> str:
    cents = total.cents()
    rows = [(name, money(float(cents[name])), _bps(total, name)) for name in PARTS]
    rows.append(("shortfall", money(float(cents["total"])), _bps(total, "total")))
    words = "".join(f"<li>{name}: {html.escape(WORDS[name])}</li>" for name in PARTS)
    return f"{_table(('part', 'USDT', 'bps'), rows, summed=True)}<ul class='assumed'>{words}</ul>"


def _groups_table(groups: Mapping[str, Shortfall]) -> str:
    rows = [
        (name, str(one.parents), money(float(one.notional)), money(float(one.cents()["total"])), _bps(one, "total"))
        for name, one in groups.items()
    ]
    return _table(("", "orders", "decided, USDT", "shortfall, USDT", "bps"), rows)


def _orders(run: RecordedParents, losses: Sequence[Shortfall]) -> str:
    """The dearest orders, one a line."""
    both = sorted(zip(run.parents, losses, strict=True), key=lambda pair: -pair[1].total)[:MOST_PARENTS]
    rows = []
    for parent, one in both:
        decided, cents = parent.decided, one.cents()
        what = (
            clock(decided.minute),
            str(decided.instrument),
            decided.side.value,
            f"{decided.quantity.normalize():f}",
        )
        filled = f"{float(parent.executed / decided.quantity) * 100:.0f} %"
        rows.append((*what, filled, *(money(float(cents[name])) for name in (*PARTS, "total")), _bps(one, "total")))
    title = (
        f"Orders ({len(rows)} dearest of {len(run.parents)})"
        if len(rows) < len(run.parents)
        else "Orders, dearest first"
    )
    names = ("minute", "market", "side", "quantity", "filled", *PARTS, "shortfall", "bps")
    table = _table(names, rows, words=3)
    what = "Parts in USDT. The minute is that of the decision, as <code>run.py why</code> takes it."
    return f"<section><details open><summary>{title}</summary><p class='quiet'>{what}</p>{table}</details></section>"


def _bps(one: Shortfall, name: str) -> str:
    return number(one.bps(name)) if one.notional else DASH


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1, *, summed: bool = False) -> str:
    """The first ``words`` columns are text; of a ``summed`` table the last row is the sum of the others."""
    told = [f"<tr>{_cells('td', row, words)}</tr>" for row in rows]
    if summed and told:
        told[-1] = f"<tr class='net'>{_cells('td', rows[-1], words)}</tr>"
    kind = "waterfall" if summed else "costs"
    first = f"<thead><tr>{_cells('th', names, words)}</tr></thead>"
    return f"<div class='wide'><table class='{kind}'>{first}<tbody>{''.join(told)}</tbody></table></div>"


def _cells(tag: str, row: Sequence[str], words: int) -> str:
    """Text to the left, and a side in the colour it has everywhere."""
    kinds = [
        f" class='word {cell}'" if cell in ("buy", "sell") else " class='word'" if n < words else ""
        for n, cell in enumerate(row)
    ]
    return "".join(f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in zip(kinds, row, strict=True))
