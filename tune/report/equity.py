"""Equity in time: against holding, with its falls and the strips of regime and state; runs overlaid; the fan of luck.

Each figure is None when there is nothing to draw.
"""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.messages import TradingState
from tune.buy_and_hold import benchmarks
from tune.report.drawing import colours, finished, line, times
from tune.report.series import bucket_edges, bucket_shares, drawdown, thinned, whole_equity
from tune.report.style import BLUE, GREY, ORANGE, RED, REGIME_COLOURS, STATE_COLOURS
from tune.result import REGIMES, STATES, Result
from tune.stats.bootstrap import Bands

DWARFED = 4.0
"""The strategy is drawn alone as well when holding ranged over this many times as much."""


def equity_figure(result: Result) -> go.Figure | None:
    """Equity against holding, the fall from its high beneath, and strips of regime and of what risk let through.

    Where holding moved so much more that the strategy looks like a flat line, it is drawn once more alone.
    """
    if result.minutes < 2:
        return None
    equity = whole_equity(result)
    held = benchmarks(result)
    strips = [_regime_strip(result), *([[_state_strip(result)]] if _was_held_back(result) else [])]
    alone = bool(held) and max(np.ptp(one.equity) for one in held) > DWARFED * np.ptp(equity) > 0.0
    curves = [0.44, 0.28] if alone else [0.64]
    heights = [*curves, 0.2 if alone else 0.24, *[0.05] * len(strips)]
    figure = make_subplots(rows=len(heights), cols=1, shared_xaxes=True, vertical_spacing=0.025, row_heights=heights)
    for one, colour, dash in zip(held, (ORANGE, GREY), ("solid", "dot"), strict=False):
        line(figure, result.minute[result.grid], one.equity, one.name, colour, dash, width=1.2)
    line(figure, result.minute, equity, "strategy", BLUE, "solid", width=1.8)
    if alone:
        line(figure, result.minute, equity, "strategy alone", BLUE, "solid", width=1.4, row=2, legend=False)
        figure.update_yaxes(title_text="strategy", tickformat=",", row=2, col=1)
    fall = 100.0 * drawdown(equity)
    at = thinned(fall)
    below = len(curves) + 1
    figure.add_scatter(
        x=times(result.minute[at]),
        y=fall[at],
        name="drawdown",
        fill="tozeroy",
        line={"color": RED, "width": 1},
        showlegend=False,
        hovertemplate="%{y:.2f} %<extra>drawdown</extra>",
        row=below,
        col=1,
    )
    for row, strip in enumerate(strips, start=below + 1):
        figure.add_traces(strip, rows=row, cols=1)
        figure.update_yaxes(showticklabels=True, fixedrange=True, showgrid=False, ticks="", row=row, col=1)
        figure.update_xaxes(showgrid=False, row=row, col=1)
    figure.update_yaxes(range=[0, 100], tickvals=[50], ticktext=["regime"], row=below + 1, col=1)
    figure.update_yaxes(title_text="USDT", tickformat=",", row=1, col=1)
    figure.update_yaxes(title_text="fall, %", rangemode="tozero", row=below, col=1)
    figure.update_xaxes(type="date")
    figure.update_layout(legend_traceorder="reversed")
    return finished(figure, 480 + 26 * len(strips) + 100 * alone, hovermode="x unified")


def overlay_figure(results: list[Result], names: list[str]) -> go.Figure | None:
    """Growth of several runs in one picture, and their falls; each from its own start."""
    drawn = [(result, name) for result, name in zip(results, names, strict=True) if result.minutes > 1]
    if not drawn:
        return None
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.03, row_heights=[0.7, 0.3])
    for (result, name), colour in zip(drawn, colours(len(drawn)), strict=True):
        equity = whole_equity(result)
        line(figure, result.minute, 100.0 * (equity / result.cash - 1.0), name, colour, "solid", unit=" %")
        fall = 100.0 * drawdown(equity)
        at = thinned(fall)
        figure.add_scatter(
            x=times(result.minute[at]),
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
    return finished(figure, 460, hovermode="x unified")


def fan_figure(result: Result, bands: Bands | None) -> go.Figure | None:
    """Where resampled runs went: half of them within the dark band, nine in ten within the light one; and the real one."""
    if bands is None:
        return None
    x = times(bands.fan_at)
    figure = go.Figure()
    for low, high, name, colour in (
        (0, 4, "9 in 10", "rgba(61,127,214,0.16)"),
        (1, 3, "half", "rgba(61,127,214,0.28)"),
    ):
        figure.add_scatter(x=x, y=bands.fan[low], mode="lines", line={"width": 0}, showlegend=False, hoverinfo="skip")
        figure.add_scatter(
            x=x,
            y=bands.fan[high],
            mode="lines",
            line={"width": 0},
            fill="tonexty",
            fillcolor=colour,
            name=name,
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=x,
        y=bands.fan[2],
        name="middle",
        mode="lines",
        line={"color": GREY, "dash": "dot", "width": 1.4},
        hovertemplate="%{y:,.2f}",
    )
    equity = whole_equity(result)
    at = thinned(equity)
    figure.add_scatter(
        x=times(result.minute[at]),
        y=equity[at],
        name="this run",
        line={"color": BLUE, "width": 1.6},
        hovertemplate="%{y:,.2f}",
    )
    figure.update_xaxes(type="date")
    figure.update_yaxes(title_text="USDT", tickformat=",")
    return finished(figure, 320)


def _regime_strip(result: Result) -> list[go.Scatter]:
    """Shares of each bucket, as a column of a long run is hours wide: what is seldom is seen as a thin layer."""
    names = ("unknown", *(regime.value for regime in REGIMES))
    edges, shares = bucket_shares(result.regime, len(REGIMES))
    x = times(np.append(result.minute[edges], result.minute[-1]))
    seen = [row for row in range(len(names)) if shares[:, row].any()]
    return [
        go.Scatter(
            x=x,
            y=100.0 * np.append(shares[:, row], shares[-1, row]),
            name=names[row],
            stackgroup="regime",
            mode="lines",
            line={"width": 0, "shape": "hv"},
            fillcolor=REGIME_COLOURS[names[row]],
            showlegend=False,
            hovertemplate="%{y:.0f} %",
        )
        for row in seen
    ]


def _state_strip(result: Result) -> go.Heatmap:
    """Worst state of each bucket, so that a short halt is seen."""
    names = (*(state.value for state in STATES), "missed")
    kinds = np.where(np.isfinite(result.equity), result.state, len(STATES)).astype(np.int64)
    rank = np.array(
        [(TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED).index(s) for s in STATES] + [1.5]
    )
    edges = bucket_edges(len(kinds))
    worst = [part[np.argmax(rank[part])] for part in np.split(np.clip(kinds, 0, len(STATES)), edges[1:]) if len(part)]
    return _strip("trading", result.minute[edges], np.array(worst), names, [STATE_COLOURS[name] for name in names])


def _was_held_back(result: Result) -> bool:
    active = STATES.index(TradingState.ACTIVE)
    return bool((result.state != active).any() or not np.isfinite(result.equity).all())


def _strip(label: str, minute: np.ndarray, kinds: np.ndarray, names: tuple[str, ...], colours: list[str]) -> go.Heatmap:
    steps = len(names)
    scale = [[(kind + end) / steps, colour] for kind, colour in enumerate(colours) for end in (0, 1)]
    return go.Heatmap(
        x=times(minute),
        y=[label],
        z=[kinds.tolist()],
        zmin=-0.5,
        zmax=steps - 0.5,
        colorscale=scale,
        showscale=False,
        text=[[names[kind] for kind in kinds]],
        hovertemplate="%{text}<extra>" + label + "</extra>",
    )
