"""The drawings of the page, as plotly figures; each gives None when there is nothing to draw.

Colours of text, grid and background are left to the page, which knows whether it is read in light or dark.
"""

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from core.messages import FloatArray, TradingState
from tune.buy_and_hold import benchmarks
from tune.report.calendars import by_hour_of_week
from tune.report.series import (
    bucket_means,
    bucket_modes,
    closed_returns,
    drawdown,
    thinned,
    whole_equity,
)
from tune.report.style import BLUE, GREEN, GREY, ORANGE, PALETTE, RED, REGIME_COLOURS, STATE_COLOURS, money
from tune.report.waterfall import Step
from tune.result import REGIMES, STATES, Result

MOST_SYMBOLS = 7
"""Symbols drawn by name in a stack; the rest are one area."""
GAIN_SCALE = [[0.0, RED], [0.5, "rgba(128,128,128,0.10)"], [1.0, GREEN]]


def equity_figure(result: Result) -> go.Figure | None:
    """Equity against holding, the fall from its high beneath, and strips of regime and of what risk let through."""
    if not result.minutes:
        return None
    equity = whole_equity(result)
    strips = [_regime_strip(result)] + ([_state_strip(result)] if _was_held_back(result) else [])
    figure = make_subplots(
        rows=2 + len(strips),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.025,
        row_heights=[0.64, 0.24, *[0.05] * len(strips)],
    )
    for held, colour, dash in zip(benchmarks(result), (ORANGE, GREY), ("solid", "dot"), strict=False):
        _line(figure, result.minute[result.grid], held.equity, held.name, colour, dash, width=1.2)
    _line(figure, result.minute, equity, "strategy", BLUE, "solid", width=1.8)
    fall = 100.0 * drawdown(equity)
    at = thinned(fall)
    figure.add_scatter(
        x=_times(result.minute[at]),
        y=fall[at],
        name="drawdown",
        fill="tozeroy",
        line={"color": RED, "width": 1},
        showlegend=False,
        hovertemplate="%{y:.2f} %<extra>drawdown</extra>",
        row=2,
        col=1,
    )
    for row, strip in enumerate(strips, start=3):
        figure.add_trace(strip, row=row, col=1)
        figure.update_yaxes(showticklabels=True, fixedrange=True, showgrid=False, ticks="", row=row, col=1)
        figure.update_xaxes(showgrid=False, row=row, col=1)
    figure.update_yaxes(title_text="USDT", tickformat=",", row=1, col=1)
    figure.update_yaxes(title_text="fall, %", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(type="date")
    figure.update_layout(legend_traceorder="reversed")
    return _finished(figure, 480 + 26 * len(strips), hovermode="x unified")


def waterfall_figure(steps: list[Step]) -> go.Figure:
    """Gross to net; every step as tall as its line in the table."""
    figure = go.Figure(
        go.Waterfall(
            x=[step.label for step in steps],
            y=[step.amount for step in steps[:-1]] + [0.0],
            measure=["absolute", *["relative"] * (len(steps) - 2), "total"],
            customdata=[f"{step.amount:+,.2f}" for step in steps],
            increasing={"marker": {"color": GREEN}},
            decreasing={"marker": {"color": RED}},
            totals={"marker": {"color": BLUE}},
            connector={"line": {"color": GREY, "width": 1, "dash": "dot"}},
            hovertemplate="%{x}: %{customdata} USDT<extra></extra>",
        )
    )
    figure.add_scatter(
        x=[step.label for step in steps],
        y=_tops(steps),
        mode="text",
        text=[money(step.amount, sign=True) for step in steps],
        textposition="top center",
        cliponaxis=False,
        hoverinfo="skip",
    )
    figure.update_yaxes(title_text="USDT", tickformat=",", zeroline=True)
    figure.update_xaxes(showgrid=False, fixedrange=True)
    return _finished(figure, 340, showlegend=False)


def exposure_figure(result: Result) -> go.Figure | None:
    """Share of equity in each symbol, stacked; means of buckets, so that the stack adds up."""
    if not len(result.grid) or not result.instruments:
        return None
    share = 100.0 * np.nan_to_num(result.worth) / whole_equity(result)[result.grid][:, None]
    edges, means = bucket_means(share)
    order = np.argsort(-means.mean(axis=0), kind="stable")
    named, rest = order[:MOST_SYMBOLS], order[MOST_SYMBOLS:]
    layers = [(result.instruments[row].symbol, means[:, row]) for row in named]
    if len(rest):
        layers.append((f"{len(rest)} others", means[:, rest].sum(axis=1)))
    return _stack(_times(result.minute[result.grid][edges]), layers, "% of equity")


def weights_figure(result: Result) -> go.Figure | None:
    """Whom the ensemble listened to."""
    if not len(result.grid) or not result.members:
        return None
    edges, means = bucket_means(100.0 * np.asarray(result.weights, dtype=np.float64))
    layers = [(member, np.nan_to_num(means[:, row])) for row, member in enumerate(result.members)]
    return _stack(_times(result.minute[result.grid][edges]), layers, "weight, %")


def contribution_figure(result: Result) -> go.Figure | None:
    """What each member's share of the entries brought before costs."""
    if not result.members:
        return None
    values = np.nan_to_num(np.asarray(result.contribution, dtype=np.float64))
    figure = go.Figure(
        go.Bar(
            y=list(result.members),
            x=values,
            orientation="h",
            marker={"color": [GREEN if value >= 0 else RED for value in values]},
            text=[f"{value:+,.2f}" for value in values],
            textposition="auto",
            hovertemplate="%{y}: %{x:,.2f} USDT<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="USDT of gross profit", tickformat=",", zeroline=True)
    figure.update_yaxes(autorange="reversed", fixedrange=True, showgrid=False)
    return _finished(figure, 120 + 46 * len(result.members), showlegend=False)


def hours_figure(result: Result) -> go.Figure | None:
    """Mean return of every hour of the week."""
    if result.minutes < 2:
        return None
    grid = by_hour_of_week(result)
    return _heat(grid.values, list(grid.columns), list(grid.rows), "bps", "%{y} %{x}:00 UTC: %{z:+.2f} bps")


def trades_figure(trades: pl.DataFrame) -> go.Figure | None:
    """How the returns of closed round trips are spread, in bps after costs."""
    returns = 1e4 * closed_returns(trades)
    if not len(returns):
        return None
    edges = np.histogram_bin_edges(returns, bins=min(60, max(5, round(2 * len(returns) ** 0.5))))
    counts, _ = np.histogram(returns, edges)
    middle = (edges[1:] + edges[:-1]) / 2
    figure = go.Figure(
        go.Bar(
            x=middle,
            y=counts,
            width=np.diff(edges) * 0.94,
            marker={"color": [GREEN if value > 0 else RED for value in middle]},
            customdata=np.stack([edges[:-1], edges[1:]], axis=1),
            hovertemplate="%{customdata[0]:.0f} to %{customdata[1]:.0f} bps: %{y}<extra></extra>",
        )
    )
    mean, median = float(returns.mean()), float(np.median(returns))
    figure.add_vline(x=mean, line={"color": BLUE, "width": 1.5}, annotation_text=f"mean {mean:+.1f}")
    figure.add_vline(
        x=median,
        line={"color": GREY, "width": 1.5, "dash": "dot"},
        annotation_text=f"median {median:+.1f}",
        annotation_position="bottom right" if median >= mean else "bottom left",
    )
    figure.update_xaxes(title_text="return of a round trip, bps", zeroline=True)
    figure.update_yaxes(title_text="round trips")
    return _finished(figure, 320, showlegend=False)


def overlay_figure(results: list[Result], names: list[str]) -> go.Figure | None:
    """Growth of several runs in one picture, and their falls; each from its own start."""
    drawn = [(result, name) for result, name in zip(results, names, strict=True) if result.minutes]
    if not drawn:
        return None
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.03, row_heights=[0.7, 0.3])
    for (result, name), colour in zip(drawn, _colours(len(drawn)), strict=True):
        equity = whole_equity(result)
        _line(figure, result.minute, 100.0 * (equity / result.cash - 1.0), name, colour, "solid", unit=" %")
        fall = 100.0 * drawdown(equity)
        at = thinned(fall)
        figure.add_scatter(
            x=_times(result.minute[at]),
            y=fall[at],
            name=name,
            line={"color": colour, "width": 1},
            showlegend=False,
            hovertemplate="%{y:.2f} %",
            row=2,
            col=1,
        )
    figure.update_yaxes(title_text="growth, %", row=1, col=1)
    figure.update_yaxes(title_text="fall, %", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(type="date")
    return _finished(figure, 460, hovermode="x unified")


def costs_figure(results: list[Result], names: list[str]) -> go.Figure:
    """Gross, every cost and net of several runs side by side, as per cent of the cash at the start."""
    figure = go.Figure()
    for result, name, colour in zip(results, names, _colours(len(results)), strict=True):
        cents = result.costs.cents()
        values = [100.0 * cents[key] / result.cash for key in cents]
        figure.add_bar(
            x=["half spread" if key == "spread" else key for key in cents],
            y=values,
            name=name,
            marker={"color": colour},
            customdata=list(cents.values()),
            hovertemplate="%{x}: %{customdata:,.2f} USDT, %{y:.3f} %",
        )
    figure.update_layout(barmode="group")
    figure.update_yaxes(title_text="% of cash", zeroline=True)
    figure.update_xaxes(showgrid=False, fixedrange=True)
    return _finished(figure, 340)


def _tops(steps: list[Step]) -> list[float]:
    """Upper end of every bar of the waterfall, where its amount is written."""
    tops, level = [max(steps[0].amount, 0.0)], steps[0].amount
    for step in steps[1:-1]:
        tops.append(max(level, level + step.amount))
        level += step.amount
    return [*tops, max(steps[-1].amount, 0.0)]


def _line(
    figure: go.Figure,
    minute: np.ndarray,
    values: FloatArray,
    name: str,
    colour: str,
    dash: str,
    *,
    width: float = 1.6,
    unit: str = "",
) -> None:
    at = thinned(values)
    figure.add_scatter(
        x=_times(minute[at]),
        y=values[at],
        name=name,
        line={"color": colour, "width": width, "dash": dash},
        hovertemplate=f"%{{y:,.2f}}{unit}",
        row=1,
        col=1,
    )


def _stack(times: FloatArray, layers: list[tuple[str, FloatArray]], title: str) -> go.Figure:
    figure = go.Figure()
    for (name, values), colour in zip(layers, _colours(len(layers)), strict=True):
        figure.add_scatter(
            x=times,
            y=values,
            name=name,
            stackgroup="all",
            line={"color": colour, "width": 0.6},
            hovertemplate="%{y:.1f} %",
        )
    figure.update_yaxes(title_text=title, rangemode="tozero")
    figure.update_xaxes(type="date")
    return _finished(figure, 300, hovermode="x unified")


def _heat(values: FloatArray, columns: list[str], rows: list[str], unit: str, hover: str) -> go.Figure:
    most = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=columns,
            y=rows,
            zmin=-(most or 1.0),
            zmax=most or 1.0,
            colorscale=GAIN_SCALE,
            xgap=2,
            ygap=2,
            hoverongaps=False,
            hovertemplate=hover + "<extra></extra>",
            colorbar={"title": {"text": unit}, "thickness": 10, "outlinewidth": 0},
        )
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True)
    figure.update_xaxes(type="category", showgrid=False, fixedrange=True)
    return _finished(figure, 300, showlegend=False)


def _regime_strip(result: Result) -> go.Heatmap:
    names = ("unknown", *(regime.value for regime in REGIMES))
    edges, modes = bucket_modes(result.regime, len(REGIMES))
    return _strip("regime", result.minute[edges], modes + 1, names, [REGIME_COLOURS[name] for name in names])


def _state_strip(result: Result) -> go.Heatmap:
    """Worst state of each bucket, so that a short halt is seen."""
    names = (*(state.value for state in STATES), "missed")
    kinds = np.where(np.isfinite(result.equity), result.state, len(STATES)).astype(np.int64)
    rank = np.array(
        [(TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED).index(s) for s in STATES] + [1.5]
    )
    edges, _ = bucket_modes(kinds, len(names))
    worst = [part[np.argmax(rank[part])] for part in np.split(np.clip(kinds, 0, len(STATES)), edges[1:]) if len(part)]
    return _strip("trading", result.minute[edges], np.array(worst), names, [STATE_COLOURS[name] for name in names])


def _was_held_back(result: Result) -> bool:
    active = STATES.index(TradingState.ACTIVE)
    return bool((result.state != active).any() or not np.isfinite(result.equity).all())


def _strip(label: str, minute: np.ndarray, kinds: np.ndarray, names: tuple[str, ...], colours: list[str]) -> go.Heatmap:
    steps = len(names)
    scale = [[(kind + end) / steps, colour] for kind, colour in enumerate(colours) for end in (0, 1)]
    return go.Heatmap(
        x=_times(minute),
        y=[label],
        z=[kinds.tolist()],
        zmin=-0.5,
        zmax=steps - 0.5,
        colorscale=scale,
        showscale=False,
        text=[[names[kind] for kind in kinds]],
        hovertemplate="%{text}<extra>" + label + "</extra>",
    )


def _colours(count: int) -> list[str]:
    return [PALETTE[row % len(PALETTE)] for row in range(count)]


def _times(minute: np.ndarray) -> FloatArray:
    """Epoch ms as floats: an axis of dates takes them, and they are written in few bytes."""
    return np.asarray(minute, dtype=np.float64)


def _finished(figure: go.Figure, height: int, **layout: object) -> go.Figure:
    figure.update_layout(
        template=go.layout.Template(),
        height=height,
        autosize=True,
        margin={"l": 64, "r": 16, "t": 28, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        **layout,
    )
    figure.update_layout(legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0})
    return figure
