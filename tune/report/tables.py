"""The tables of the page, as HTML. Everything that comes from a run is escaped here."""

import html
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import polars as pl

from core.units import MINUTE_MS
from tune.report.calendars import Grid
from tune.report.key_figures import KeyFigure
from tune.report.style import DASH, clock, money, number, percent, price, span
from tune.report.waterfall import Step
from tune.result import Result
from tune.stats.bootstrap import Bands
from tune.stats.trades import MonteCarlo

MOST_TRADES = 500
"""Newest round trips that the page lists; the folder of the result holds all."""


class Cell(NamedTuple):
    """Text of a table's cell, already escaped; what it is sorted by; its class."""

    text: str
    by: float | None = None
    kind: str = ""


def cell(text: str) -> Cell:
    """A cell of words."""
    return Cell(html.escape(text), None, "word")


def amount(value: float, text: str, *, coloured: bool = False) -> Cell:
    """A number: sorted by value, coloured by sign when wanted."""
    colour = ("gain" if value > 0 else "loss" if value < 0 else "") if coloured else ""
    return Cell(html.escape(text), float(value), colour)


def table(
    head: list[str], rows: Iterable[list[Cell]], *, kind: str = "", sortable: bool = False, tall: bool = False
) -> str:
    """A table that scrolls sideways by itself on a narrow screen. ``head`` is plain text."""
    rows = list(rows)
    body = "".join(f"<tr>{''.join(map(_td, row))}</tr>" for row in rows)
    if not body:
        body = f"<tr><td class='word quiet' colspan='{len(head)}'>none</td></tr>"
    kinds = [one.kind if one.kind in ("word", "when", "why") else "" for one in rows[0]] if rows else [""] * len(head)
    heads = "".join(
        f"<th scope='col' class='{of}'>{html.escape(text)}</th>" for of, text in zip(kinds, head, strict=True)
    )
    sort = " sortable" if sortable else ""
    top = f"<thead><tr>{heads}</tr></thead>" if head else ""
    box = "wide tall" if tall else "wide"
    return f"<div class='{box}'><table class='{kind}{sort}'>{top}<tbody>{body}</tbody></table></div>"


def figures_table(figures: list[KeyFigure]) -> str:
    """Name and value, the band beneath it."""
    lines = []
    for figure in figures:
        hint = f"<small>{html.escape(figure.hint)}</small>" if figure.hint else ""
        band = f"<small>{html.escape(figure.band)}</small>" if figure.band else ""
        lines.append(
            f"<tr><th scope='row'>{html.escape(figure.label)}{hint}</th><td>{html.escape(figure.text)}{band}</td></tr>"
        )
    note = "<p class='quiet'>Beneath a value: where nine in ten resampled runs lie.</p>"
    banded = any(figure.band for figure in figures)
    return f"<table class='figures'><tbody>{''.join(lines)}</tbody></table>{note if banded else ''}"


def waterfall_table(steps: list[Step]) -> str:
    """The lines that add up."""
    lines = []
    for step in steps:
        bps = "" if step.bps is None else number(step.bps, 2, sign=True)
        lines.append(
            f"<tr class='{step.key}'><th scope='row'>{html.escape(step.label)}<small>{html.escape(step.hint)}</small></th>"
            f"<td>{html.escape(money(step.amount, sign=True))}</td><td class='quiet'>{bps}</td></tr>"
        )
    return (
        "<table class='figures waterfall'><thead><tr><th></th><th>USDT</th><th>bps of traded</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def calendar_table(grid: Grid) -> str:
    """Returns as a heat map that is also a table."""
    most = float(np.nanmax(np.abs(grid.values))) if np.isfinite(grid.values).any() else 0.0
    rows = []
    for row, name in enumerate(grid.rows):
        cells = "".join(_heat_cell(float(value), most) for value in grid.values[row])
        total = "" if grid.totals is None else f"<td class='total'>{_short(float(grid.totals[row]))}</td>"
        rows.append(f"<tr><th scope='row'>{html.escape(name)}</th>{cells}{total}</tr>")
    heads = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in grid.columns)
    total = "" if grid.totals is None else "<th scope='col'>all</th>"
    return (
        f"<div class='wide'><table class='calendar'><thead><tr><th></th>{heads}{total}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def symbols_table(groups: pl.DataFrame, net: float) -> str:
    """By symbol (``tune.stats.ratios.by_symbol``); where the rows do not meet the run's net a line says by how much."""
    lines = []
    for row in groups.iter_rows(named=True):
        costs = [row[name] for name in ("fees_usdt", "spread_usdt", "impact_usdt", "delay_usdt")]
        gross = row["net_usdt"] + sum(costs)
        lines.append(
            [
                cell(row["symbol"]),
                _count(row["trades"]),
                _rate(row["hit_rate"], 0),
                _rate(row["exposure"], 1),
                amount(row["notional_usdt"], money(row["notional_usdt"])),
                amount(gross, money(gross, sign=True), coloured=True),
                *(amount(-value, money(-value, sign=True)) for value in costs),
                amount(row["net_usdt"], money(row["net_usdt"], sign=True), coloured=True),
            ]
        )
    heads = ["symbol", "trips", "won", "exposure", "traded", "gross", "fees", "half spread", "impact", "delay", "net"]
    rest = round(net - float(groups["net_usdt"].sum()), 2)
    note = (
        ""
        if abs(rest) < 0.01
        else f"<p class='quiet'>{html.escape(money(rest, sign=True))} USDT of the net are in no row: remainders below a lot, "
        "and fees taken in coins, whose price moved after the fill.</p>"
    )
    return table(heads, lines, sortable=True) + note


def regimes_table(groups: pl.DataFrame) -> str:
    """By regime (``tune.stats.ratios.by_regime``)."""
    lines = [
        [
            Cell(f"<i class='dot {html.escape(row['regime'])}'></i>{html.escape(row['regime'])}", None, "word"),
            _rate(row["share"], 0),
            amount(row["total_return"], percent(row["total_return"], sign=True), coloured=True),
            amount(row["net_usdt"], money(row["net_usdt"], sign=True), coloured=True),
            _rate(row["exposure"], 1),
            _count(row["trades"]),
            _rate(row["hit_rate"], 0),
            _optional(row["profit_factor"]),
            _optional(row["expectancy"], sign=True),
        ]
        for row in groups.iter_rows(named=True)
    ]
    heads = ["regime", "minutes", "return in it", "net in it, USDT", "exposure", "trips begun", "won", "profit factor"]
    return table([*heads, "mean trip, USDT"], lines)


def luck_table(cash: float, period: str, bands: Bands | None, luck: MonteCarlo | None) -> str:
    """Quantiles of what resampled hours and resampled trades came to."""
    lines: list[list[Cell]] = []
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    if bands is not None:
        ends = {q: cash * (1.0 + bands.total[q]) for q in quantiles}
        lines.append([cell(f"end, {period}s resampled"), *(amount(ends[q], number(ends[q], 0)) for q in quantiles)])
        lines.append([cell(f"largest fall, by the {period}"), *(_rate(bands.drawdown[q], 2) for q in quantiles)])
    if luck is not None:
        ends = luck.resampled_end
        lines.append([cell("end, trades resampled"), *(amount(ends[q], number(ends[q], 0)) for q in quantiles)])
        lines.append([cell("largest fall, by the trade"), *(_rate(luck.resampled_drawdown[q], 2) for q in quantiles)])
        lines.append([cell("fall, trades reshuffled"), *(_rate(luck.reshuffled_drawdown[q], 2) for q in quantiles)])
    note = (
        ""
        if luck is None
        else f"<p class='quiet'>{percent(luck.loss, 0)} of {luck.resamples:,} resampled runs of the {luck.trades:,} trades "
        "end below the cash they began with.</p>"
    )
    heads = ["of resampled runs", "5 %", "25 %", "half", "75 %", "95 %"]
    return table(heads, lines, kind="luck") + note


def _count(value: int) -> Cell:
    return amount(value, f"{value:,}")


def _rate(value: float | None, digits: int) -> Cell:
    return amount(math.nan, DASH) if value is None else amount(value, percent(value, digits))


def _optional(value: float | None, *, sign: bool = False) -> Cell:
    return amount(math.nan, DASH) if value is None else amount(value, number(value, sign=sign))


def trades_table(result: Result, trades: pl.DataFrame) -> str:
    """Round trips, newest first, each with the arithmetic of the orders that opened and closed it folded away."""
    shown = trades.reverse().head(MOST_TRADES)
    first = len("2026-") if result.minutes and _year(result.minute[0]) == _year(result.minute[-1]) else 0
    reasons = _reasons(result, shown)
    lines = []
    for trade in shown.iter_rows(named=True):
        share = trade["net_return"] if trade["net_return"] is not None else float("nan")
        exit_price = trade["exit_price"] if trade["exit_price"] is not None else float("nan")
        costs = trade["fees_usdt"] + trade["spread_usdt"] + trade["impact_usdt"] + trade["delay_usdt"]
        left = "open" if trade["open"] else clock(trade["exit_ms"] + MINUTE_MS)[first:]
        lines.append(
            [
                Cell(clock(trade["entry_ms"] + MINUTE_MS)[first:], float(trade["entry_ms"]), "when"),
                Cell(left, float(trade["exit_ms"]), "when"),
                cell(trade["symbol"]),
                amount(trade["minutes"], span(trade["minutes"])),
                amount(trade["bought_usdt"], money(trade["bought_usdt"])),
                amount(trade["entry_price"], price(trade["entry_price"])),
                amount(exit_price, price(exit_price)),
                amount(costs, money(costs)),
                amount(trade["net_usdt"], money(trade["net_usdt"], sign=True), coloured=True),
                amount(share, number(1e4 * share, 1, sign=True), coloured=True),
                Cell(_why(trade, reasons), None, "why"),
            ]
        )
    heads = ["opened (UTC)", "closed", "symbol", "held", "paid", "entry", "exit", "costs", "net", "bps", "why"]
    return table(heads, lines, kind="trades", sortable=True, tall=True)


def _year(ms: int) -> str:
    return clock(ms)[:4]


def _reasons(result: Result, trades: pl.DataFrame) -> dict[int, tuple[str, int, tuple[str, ...]]]:
    """Order → (side, decided minute, its why lines), of the orders that began or ended these trades."""
    wanted = pl.concat([trades["entry_order"], trades["exit_order"]]).drop_nulls().unique()
    found = result.orders.filter(pl.col("order").is_in(wanted.implode())).select("order", "side", "minute", "why")
    return {order: (side, minute, tuple(why or ())) for order, side, minute, why in found.iter_rows()}


def _why(trade: dict, reasons: dict[int, tuple[str, int, tuple[str, ...]]]) -> str:
    orders = dict.fromkeys((trade["entry_order"], trade["exit_order"]))
    found = [reasons[order] for order in orders if order in reasons]
    parts = []
    for side, minute, lines in found:
        words = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
        parts.append(
            f"<b class='{html.escape(side)}'>{html.escape(side)}</b> decided {clock(minute + MINUTE_MS)}<ul>{words}</ul>"
        )
    return f"<details><summary>why</summary>{''.join(parts)}</details>" if parts else ""


def _td(one: Cell) -> str:
    kind = f" class='{one.kind}'" if one.kind else ""
    by = "" if one.by is None else f" data-by='{one.by:.15g}'" if math.isfinite(one.by) else " data-by='none'"
    return f"<td{kind}{by}>{one.text}</td>"


def _heat_cell(value: float, most: float) -> str:
    if not np.isfinite(value):
        return "<td class='off'></td>"
    strength = round(100 * min(1.0, abs(value) / most)) if most > 0.0 else 0
    kind = "up" if value > 0 else "down" if value < 0 else ""
    return f"<td class='heat {kind}' style='--s:{strength}%'>{_short(value)}</td>"


def _short(value: float) -> str:
    return number(100 * value, 2 if abs(value) < 0.1 else 1, sign=True)
