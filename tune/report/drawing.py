"""What the figures are drawn with: thinned lines, stacks, heat maps, and the frame around them.

Colours of text, grid and background are left to the page, which knows whether it is read in light or dark.
"""

import numpy as np
import plotly.graph_objects as go

from core.messages import FloatArray
from tune.report.series import thinned
from tune.report.style import GREEN, PALETTE, RED

GAIN_SCALE = [[0.0, RED], [0.5, "rgba(128,128,128,0.10)"], [1.0, GREEN]]


def line(
    figure: go.Figure,
    minute: np.ndarray,
    values: FloatArray,
    name: str,
    colour: str,
    dash: str,
    *,
    width: float = 1.6,
    unit: str = "",
    row: int = 1,
    legend: bool = True,
) -> None:
    at = thinned(values)
    figure.add_scatter(
        x=times(minute[at]),
        y=values[at],
        name=name,
        line={"color": colour, "width": width, "dash": dash},
        hovertemplate=f"%{{y:,.2f}}{unit}",
        showlegend=legend,
        row=row,
        col=1,
    )


def stack(times: FloatArray, layers: list[tuple[str, FloatArray]], title: str) -> go.Figure:
    figure = go.Figure()
    for (name, values), colour in zip(layers, colours(len(layers)), strict=True):
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
    return finished(figure, 300, hovermode="x unified")


def heat(values: FloatArray, columns: list[str], rows: list[str], unit: str, hover: str) -> go.Figure:
    known = np.abs(values[np.isfinite(values)])
    # One wild cell does not wash out all others: it and the next few share the darkest colour.
    most = float(np.quantile(known, 0.97) or known.max()) if len(known) else 0.0
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
    return finished(figure, 300, showlegend=False)


def colours(count: int) -> list[str]:
    return [PALETTE[row % len(PALETTE)] for row in range(count)]


def times(minute: np.ndarray) -> FloatArray:
    """Epoch ms as floats: an axis of dates takes them, and they are written in few bytes."""
    return np.asarray(minute, dtype=np.float64)


def finished(figure: go.Figure, height: int, **layout: object) -> go.Figure:
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
