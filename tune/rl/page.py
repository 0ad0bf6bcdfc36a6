"""The page of a trained agent: how each seed learnt, and what all of them are worth where they had not learned."""

import html
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from core.units import DAY_MS, plural
from tune.report.drawing import finished
from tune.report.frame import Judged, figure, head, section, write_html
from tune.report.style import BLUE, GREY, PALETTE, clock, number
from tune.rl.train import Curve, Trained

DAY = " bps a day"


def write_page(path: Path, trained: Trained) -> Path:
    """One HTML file that needs nothing from outside."""
    judged, curves = trained.judgement, trained.curves
    result = judged.result
    lines = (
        f"{trained.source.name}: {', '.join(str(i) for i in trained.instruments)}",
        f"learned before {clock(int(result.minute[0]))} UTC, judged from there to {clock(int(result.minute[-1]))} UTC",
        f"{plural(len(curves), 'seed')}, {curves[0].samples[-1]:,} minutes of experience each; {trained.artifact.reference}",
    )
    verdict = Judged(judged.verdict.word, judged.verdict.reasons)
    held = [(c.held_samples, c.held) for c in curves]
    learnt = [(c.samples, c.reward) for c in curves]
    body = [
        head("The agent", lines, synthetic=trained.source.synthetic, verdict=verdict),
        section("Learning curve: growth on held-out minutes", figure(curve_figure(curves, held, "growth"))),
        section("Learning curve: reward of training episodes", figure(curve_figure(curves, learnt, "reward"))),
        section("Held out, after all costs", _table(trained)),
    ]
    return write_html(path, "The agent", body)


def curve_figure(
    curves: tuple[Curve, ...], series: list[tuple[tuple[int, ...], tuple[float, ...]]], what: str
) -> go.Figure:
    """A thin line a seed, their median, and flat."""
    drawn = go.Figure()
    for curve, (samples, values), colour in zip(curves, series, _colours(len(curves)), strict=True):
        drawn.add_scatter(
            x=samples,
            y=values,
            name=f"seed {curve.seed}",
            line={"color": colour, "width": 1.2},
            hovertemplate="%{y:,.1f}" + DAY,
        )
    shortest = min(len(values) for _, values in series)
    if shortest:
        middle = np.median([values[:shortest] for _, values in series], axis=0)
        drawn.add_scatter(
            x=series[0][0][:shortest],
            y=middle,
            name="median",
            line={"color": BLUE, "width": 3},
            hovertemplate="%{y:,.1f}" + DAY,
        )
    drawn.add_hline(y=0.0, line={"color": GREY, "dash": "dash"}, annotation_text="flat")
    drawn.update_xaxes(title_text="minutes of experience")
    drawn.update_yaxes(title_text=f"{what},{DAY}")
    return finished(drawn, 380, hovermode="x unified")


def _colours(count: int) -> list[str]:
    return [PALETTE[1 + number % (len(PALETTE) - 1)] for number in range(count)]


def _table(trained: Trained) -> str:
    """Growth over the held-out time and by the day, in one unit for all, so that seeds and rivals can be compared."""
    judged = trained.judgement
    minute = judged.result.minute
    days = max(1, int(minute[-1]) - int(minute[0])) / DAY_MS
    rows = [(f"the agent: {len(judged.seeds)} seeds together, through the selector", judged.metrics["holdout_bps"])]
    rows += list(judged.rivals.items())
    lines = [_line(name, growth, growth / days) for name, growth in rows]
    lines += [
        _line(f"seed {c.seed} alone", one * days, one) for c, one in zip(trained.curves, judged.seeds, strict=True)
    ]
    low, middle, high = (judged.metrics[f"seeds_{one}_bps_a_day"] for one in ("lowest", "median", "highest"))
    spread = f"Seeds alone, bps a day: {number(low, 1, sign=True)} to {number(high, 1, sign=True)}"
    return (
        "<table class='figures'><thead><tr><th></th><th>bps</th><th>bps a day</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table><p>{spread}, median {number(middle, 1, sign=True)}.</p>"
    )


def _line(name: str, growth: float, a_day: float) -> str:
    figures = "".join(f"<td>{number(one, 1, sign=True)}</td>" for one in (growth, a_day))
    return f"<tr><th scope='row'>{html.escape(name)}</th>{figures}</tr>"
