"""What every page of ours is made of: one HTML file that needs nothing from outside, sections, boxes of figures.

plotly's library goes in compressed and is unpacked by the browser; a content policy forbids the page to load anything.
"""

import base64
import gzip
import html
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from core.units import plural
from tune.report.series import MOST_COLUMNS, MOST_POINTS

MOST_NOTES = 4
"""Shown at once; the rest opens on a click."""
HERE = Path(__file__).parent
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


class Judged(NamedTuple):
    """A verdict as a page shows it."""

    word: str
    reasons: tuple[str, ...]


def write_html(path: Path, title: str, body: Iterable[str]) -> Path:
    """A whole page around ``body`` (which begins with ``head``), with the library, the style and the script."""
    foot = (
        f"<footer>Times are UTC. Lines are drawn with at most {MOST_POINTS:,} points, of which every stretch keeps its "
        f"lowest and highest; strips and stacks with at most {MOST_COLUMNS:,} columns.</footer>"
    )
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{html.escape(title)}</title><link rel='icon' href='data:,'>",
        f"<style>{(HERE / 'page.css').read_text(encoding='utf-8')}</style></head><body>",
        *body,
        "</main>",
        foot,
        f"<script type='application/octet-stream' id='library'>{_library()}</script>",
        f"<script>{(HERE / 'page.js').read_text(encoding='utf-8')}</script></body></html>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(parts), encoding="utf-8")
    return path


def head(
    title: str, lines: Iterable[str], *, synthetic: bool, notes: Iterable[str] = (), verdict: Judged | None = None
) -> str:
    """Title, what it ran over, and whatever a reader must know before any figure. Opens <main>."""
    banner = "<p class='banner'><b>SYNTHETIC market:</b> these prices never happened.</p>" if synthetic else ""
    judged = ""
    if verdict is not None:
        reasons = "".join(f"<li class='{_kind(reason)}'>{html.escape(reason)}</li>" for reason in verdict.reasons)
        word = html.escape(verdict.word)
        judged = f"<div class='verdict'><span class='chip {word}'>{word}</span><ul>{reasons}</ul></div>"
    words = "".join(f"<p class='quiet'>{html.escape(line)}</p>" for line in lines if line)
    return f"<header><h1>{html.escape(title)}</h1>{words}{banner}{judged}{_told(list(notes))}</header><main>"


def _told(notes: list[str]) -> str:
    """Notes as a list; what is beyond the first few is folded away."""
    lines = [f"<li>{html.escape(note)}</li>" for note in notes]
    if not lines:
        return ""
    rest = lines[MOST_NOTES:]
    more = f"<details><summary>{plural(len(rest), 'more note')}</summary>{''.join(rest)}</details>" if rest else ""
    return f"<ul class='notes'>{''.join(lines[:MOST_NOTES])}{more}</ul>"


def _kind(reason: str) -> str:
    """Class of a verdict's reason, by its first word."""
    return {"Passed": "passed", "Failed": "failed"}.get(reason.partition(":")[0], "untested")


def section(title: str, content: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2>{content}</section>"


def pair(left: str, right: str, kind: str = "") -> str:
    """Two columns where there is room, one below the other where there is not."""
    return f"<div class='pair {kind}'><div>{left}</div><div>{right}</div></div>"


def figure(drawn: go.Figure | None) -> str:
    """A box with the figure's data, drawn when it is scrolled to."""
    if drawn is None:
        return "<p class='quiet'>Nothing to draw.</p>"
    data = drawn.to_json().replace("</", "<\\/")
    height = drawn.layout.height
    return f"<div class='figure' style='min-height:{height}px'><script type='application/json'>{data}</script></div>"


@cache
def _library() -> str:
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
