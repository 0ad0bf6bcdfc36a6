"""The other drawings of the page, as plotly figures; each gives None when there is nothing to draw."""

import numpy as np
import plotly.graph_objects as go
import polars as pl

from tune.report.calendars import by_hour_of_week
from tune.report.drawing import colours, finished, heat, stack, times
from tune.report.series import bucket_means, closed_returns, whole_equity
from tune.report.style import BLUE, GREEN, GREY, RED, money, number
from tune.report.waterfall import Step, steps_of
from tune.result import Result

MOST_SYMBOLS = 7
"""Symbols drawn by name in a stack; the rest are one area."""


def waterfall_figure(steps: list[Step]) -> go.Figure:
    """Gross to net; every step as tall as its line in the table."""
    figure = go.Figure(
        go.Waterfall(
            x=_names(steps),
            y=[step.amount for step in steps[:-1]] + [0.0],
            measure=["absolute", *["relative"] * (len(steps) - 2), "total"],
            customdata=[money(step.amount, sign=True) for step in steps],
            increasing={"marker": {"color": GREEN}},
            decreasing={"marker": {"color": RED}},
            totals={"marker": {"color": BLUE}},
            connector={"line": {"color": GREY, "width": 1, "dash": "dot"}},
            hovertemplate="%{x}: %{customdata} USDT<extra></extra>",
        )
    )
    figure.add_scatter(
        x=_names(steps),
        y=_tops(steps),
        mode="text",
        text=[money(step.amount, sign=True) for step in steps],
        textposition="top center",
        cliponaxis=False,
        hoverinfo="skip",
    )
    figure.update_yaxes(title_text="USDT", tickformat=",", zeroline=True)
    figure.update_xaxes(showgrid=False, fixedrange=True, tickangle=0)
    return finished(figure, 340, showlegend=False)


def exposure_figure(result: Result) -> go.Figure | None:
    """Share of equity in each symbol, stacked; means of buckets, so that the stack adds up."""
    if len(result.grid) < 2 or not result.instruments:
        return None
    share = 100.0 * np.nan_to_num(result.worth) / whole_equity(result)[result.grid][:, None]
    edges, means = bucket_means(share)
    order = np.argsort(-means.mean(axis=0), kind="stable")
    named, rest = order[:MOST_SYMBOLS], order[MOST_SYMBOLS:]
    layers = [(result.instruments[row].symbol, means[:, row]) for row in named]
    if len(rest):
        layers.append((f"{len(rest)} others", means[:, rest].sum(axis=1)))
    return stack(times(result.minute[result.grid][edges]), layers, "% of equity")


def weights_figure(result: Result) -> go.Figure | None:
    """Whom the ensemble listened to."""
    if len(result.grid) < 2 or not result.members:
        return None
    edges, means = bucket_means(100.0 * np.asarray(result.weights, dtype=np.float64))
    layers = [(member, np.nan_to_num(means[:, row])) for row, member in enumerate(result.members)]
    return stack(times(result.minute[result.grid][edges]), layers, "weight, %")


def contribution_figure(result: Result) -> go.Figure | None:
    """What each member's share of the entries brought before costs."""
    values = np.nan_to_num(np.asarray(result.contribution, dtype=np.float64))
    if not values.any():
        return None
    figure = go.Figure(
        go.Bar(
            y=list(result.members),
            x=values,
            orientation="h",
            marker={"color": [GREEN if value >= 0 else RED for value in values]},
            text=[money(value, sign=True) for value in values],
            textposition="auto",
            hovertemplate="%{y}: %{x:,.2f} USDT<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="USDT of gross profit", tickformat=",", zeroline=True)
    figure.update_yaxes(autorange="reversed", fixedrange=True, showgrid=False)
    return finished(figure, 120 + 46 * len(result.members), showlegend=False)


def hours_figure(result: Result) -> go.Figure | None:
    """Mean return of every hour of the week."""
    if result.minutes < 2:
        return None
    grid = by_hour_of_week(result)
    return heat(grid.values, list(grid.columns), list(grid.rows), "bps", "%{y} %{x}:00 UTC: %{z:+.2f} bps")


def trades_figure(trades: pl.DataFrame) -> go.Figure | None:
    """How the returns of closed round trips are spread, in bps after costs."""
    returns = 1e4 * closed_returns(trades)
    if not len(returns):
        return None
    # Zero is an edge, so that no bar holds both gains and losses.
    bars = min(60, max(5, round(2 * len(returns) ** 0.5)))
    width = max(float(np.ptp(returns)), 1.0) / bars
    edges = width * np.arange(np.floor(returns.min() / width), np.floor(returns.max() / width) + 2)
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
    figure.add_vline(
        x=mean,
        line={"color": BLUE, "width": 1.5},
        annotation_text=f"mean {number(mean, 1, sign=True)}",
        annotation_position="top right" if median < mean else "top left",
    )
    figure.add_vline(
        x=median,
        line={"color": GREY, "width": 1.5, "dash": "dot"},
        annotation_text=f"median {number(median, 1, sign=True)}",
        annotation_position="top left" if median < mean else "top right",
    )
    figure.update_xaxes(title_text="return of a round trip, bps", zeroline=True)
    figure.update_yaxes(title_text="round trips")
    return finished(figure, 320, showlegend=False)


def costs_figure(results: list[Result], names: list[str]) -> go.Figure:
    """Gross, every cost and net of several runs side by side, signed as they move equity, as per cent of the cash at the
    start."""
    figure = go.Figure()
    for result, name, colour in zip(results, names, colours(len(results)), strict=True):
        steps = steps_of(result.costs)
        figure.add_bar(
            x=_names(steps),
            y=[100.0 * step.amount / result.cash for step in steps],
            name=name,
            marker={"color": colour},
            customdata=[step.amount for step in steps],
            hovertemplate="%{x}: %{customdata:,.2f} USDT, %{y:.3f} %",
        )
    figure.update_layout(barmode="group")
    figure.update_yaxes(title_text="% of cash", zeroline=True)
    figure.update_xaxes(showgrid=False, fixedrange=True)
    return finished(figure, 340)


def _names(steps: list[Step]) -> list[str]:
    """Of the bars, short enough for a phone."""
    return [step.key for step in steps]


def _tops(steps: list[Step]) -> list[float]:
    """Upper end of every bar of the waterfall, where its amount is written."""
    tops, level = [max(steps[0].amount, 0.0)], steps[0].amount
    for step in steps[1:-1]:
        tops.append(max(level, level + step.amount))
        level += step.amount
    return [*tops, max(steps[-1].amount, 0.0)]
