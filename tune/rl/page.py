"""The page of a trained agent: how each seed learnt, and what all of them are worth where they had not learned."""

import html
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

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
        f"{len(curves)} seeds, {curves[0].samples[-1]:,} minutes of experience each; {trained.artifact.reference}",
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
    judged = trained.judgement
    rows = [("the agent (all seeds together, through the selector)", judged.metrics["holdout_bps"])]
    rows += list(judged.rivals.items())
    body = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{number(growth, 1, sign=True)} bps</td></tr>" for name, growth in rows
    )
    seeds = ", ".join(number(one, 1, sign=True) for one in judged.seeds)
    return f"<table><tbody>{body}</tbody></table><p>Each seed alone, bps a day: {seeds}.</p>"
