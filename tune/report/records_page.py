"""The report of a backtest or a replay: one self-contained HTML page and the summary beside it.

Everything is computed from MinuteRecords, so a backtest, a replay and a live run are reported by the same code.
"""

import html
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.messages import MinuteRecord
from core.metrics import Performance, measure

SHORTEST_FOR_RATIOS = 7 * 1_440
"""Minutes."""
TRADES_SHOWN = 500
"""Newest trades listed on the page; all are in the Parquet records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportHead:
    """What stands above the figures."""

    title: str
    market: str
    synthetic: bool
    costs: str


def performance_of(records: list[MinuteRecord]) -> Performance | None:
    """The figures of a run; None when no minute ran. Missed minutes carry no equity and are left out of the series."""
    done = [r for r in records if r.status == "done" and np.isfinite(r.equity) and r.equity > 0]
    if not done:
        return None
    equity = np.array([r.equity for r in done], dtype=np.float64)
    invested = np.array([_exposure(r) * r.equity for r in done], dtype=np.float64)
    return measure(equity, invested, [fill for r in records for fill in r.fills])


def rows_of(performance: Performance | None) -> list[tuple[str, str]]:
    """(name, value) as a person reads them."""
    if performance is None:
        return []
    # A ratio a year from less than a week says nothing, and looks as if it did.
    long_enough = performance.minutes >= SHORTEST_FOR_RATIOS
    return [
        ("return", f"{performance.total_return:+.2%}"),
        ("largest fall", f"{performance.max_drawdown:.2%}"),
        ("Sharpe (year)", f"{performance.sharpe:.2f}" if long_enough else "too short to say"),
        ("Sortino (year)", f"{performance.sortino:.2f}" if long_enough else "too short to say"),
        ("volatility (year)", f"{performance.volatility:.1%}"),
        ("turnover", f"{performance.turnover:.2f}×"),
        ("hit rate", f"{performance.hit_rate:.0%}"),
        ("mean exposure", f"{performance.exposure:.1%}"),
        ("fills", f"{performance.trades:,}"),
    ]


def write_report(path: Path, head: ReportHead, records: list[MinuteRecord]) -> Path:
    """Write the page to ``path`` and return it. Works with no trades and with missed minutes."""
    performance = performance_of(records)
    figure = _figure(records)
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>{html.escape(head.title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(head.title)}</h1>",
        "<p class='synthetic'>SYNTHETIC MARKET: these prices never happened.</p>" if head.synthetic else "",
        f"<p>{html.escape(head.market)}<br>{html.escape(head.costs)}</p>",
        _summary_table(performance, records),
        figure.to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False}),
        _trade_table(records),
        "</body></html>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(parts), encoding="utf-8")
    return path


def _exposure(record: MinuteRecord) -> float:
    """Share of equity held in base assets."""
    held = sum(p * c for p, c in zip(record.position, record.close, strict=True) if p and np.isfinite(c))
    return float(held / record.equity) if record.equity > 0 else 0.0


def _figure(records: list[MinuteRecord]) -> go.Figure:
    done = [r for r in records if r.status == "done"]
    times = [_utc(r.minute) for r in done]
    equity = np.array([r.equity for r in done])
    peak = np.maximum.accumulate(equity) if len(equity) else equity
    drawdown = (equity / peak - 1.0) * 100 if len(equity) else equity
    figure = make_subplots(
        rows=4,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.04,
        row_heights=[0.4, 0.18, 0.18, 0.24],
        subplot_titles=("Equity, USDT", "Drawdown, %", "Exposure, % of equity", "Ensemble forecast, bps"),
    )
    figure.add_scatter(x=times, y=equity, name="equity", line={"color": "#2f7ed8"}, row=1, col=1)
    figure.add_scatter(x=times, y=drawdown, name="drawdown", fill="tozeroy", line={"color": "#c0392b"}, row=2, col=1)
    exposure = [_exposure(r) * 100 for r in done]
    figure.add_scatter(x=times, y=exposure, name="exposure", fill="tozeroy", line={"color": "#7f8c8d"}, row=3, col=1)
    for row, instrument in enumerate(done[0].instruments if done else ()):
        edges = [r.edge_bps[row] if r.edge_bps else np.nan for r in done]
        figure.add_scatter(x=times, y=edges, name=instrument.symbol, line={"width": 1}, row=4, col=1)
    figure.update_layout(height=1000, template="plotly_white", margin={"l": 60, "r": 20, "t": 40, "b": 30})
    return figure


def _summary_table(performance: Performance | None, records: list[MinuteRecord]) -> str:
    missed = sum(r.status == "missed" for r in records)
    rows = [("minutes", f"{len(records):,}"), ("missed", f"{missed:,}"), *rows_of(performance)]
    cells = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in rows)
    return f"<table class='summary'>{cells}</table>"


def _trade_table(records: list[MinuteRecord]) -> str:
    why = {a.intent_id: a.arithmetic for r in records for a in r.approved}
    intent = {o.client_id: o.intent_id for r in records for o in r.orders}
    fills = [fill for r in records for fill in r.fills]
    lines = []
    for fill in fills[-TRADES_SHOWN:][::-1]:
        reason = "<br>".join(map(html.escape, why.get(intent.get(fill.client_id, ""), ())))
        notional = fill.price * fill.quantity
        lines.append(
            f"<tr><td>{_utc(fill.at_ms):%Y-%m-%d %H:%M:%S}</td><td>{html.escape(fill.instrument.symbol)}</td>"
            f"<td class='{fill.side}'>{fill.side}</td><td>{_plain(fill.quantity)}</td><td>{_plain(fill.price)}</td>"
            f"<td>{notional:.2f}</td><td>{_plain(fill.fee)} {html.escape(fill.fee_asset)}</td><td class='why'>{reason}</td></tr>"
        )
    head = "<tr><th>time (UTC)</th><th>symbol</th><th>side</th><th>quantity</th><th>price</th><th>value</th><th>fee</th><th>why</th></tr>"
    note = f" (newest {TRADES_SHOWN} of {len(fills):,})" if len(fills) > TRADES_SHOWN else f" ({len(fills):,})"
    return f"<h2>Trades{note}</h2><table class='trades'>{head}{''.join(lines) or '<tr><td colspan=8>none</td></tr>'}</table>"


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1200px;padding:0 1rem;color:#222}
h1{font-size:1.5rem}.synthetic{background:#fff3cd;border:1px solid #e0b100;padding:.5rem 1rem;border-radius:4px;font-weight:600}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.25rem .75rem;border-bottom:1px solid #ddd;text-align:right;font-variant-numeric:tabular-nums}
.summary th{text-align:left;font-weight:500}.trades{font-size:13px;width:100%}.trades .why{text-align:left;color:#555}
.buy{color:#1a7f37}.sell{color:#b3261e}
"""
