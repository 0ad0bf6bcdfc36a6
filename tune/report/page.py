"""The page of one run, in the order in which a trader reads. Defined for every result: no trade, one minute, none."""

import html
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from core.units import MINUTE_MS, plural
from tune.report import figures as draw
from tune.report import tables
from tune.report.calendars import calendar_of
from tune.report.compare import comparison_section, mismatches, set_otherwise
from tune.report.equity import equity_figure, fan_figure
from tune.report.findings import Findings
from tune.report.frame import Judged, figure, head, pair, section, write_html
from tune.report.key_figures import TOO_SHORT, KeyFigure
from tune.report.style import DASH, REGIME_COLOURS, clock, span
from tune.report.words import costs_in_words, notes_of
from tune.result import Result
from tune.stats.ratios import by_regime, by_symbol

CARDS = ("return", "hold0", "drawdown", "sharpe", "trades", "costs")


def write_page(
    path: Path, found: Findings, *, verdict: Judged | None = None, against: Sequence[tuple[str, Findings]] = ()
) -> Path:
    """Write the page of one run to ``path`` and return it; ``against`` are other runs to compare it with."""
    result, trades = found.result, found.trades
    compared = [("this run", found), *against]
    body = [
        _head(result, verdict, [*mismatches(compared), *set_otherwise(compared)]),
        _cards(found.figures),
        section("Equity", _lead(found)),
        section("Where the money went", _waterfall(found)),
        comparison_section(compared) if against else "",
        section("Exposure by symbol", figure(draw.exposure_figure(result))),
        section("By hour of the week, mean bps (UTC)", figure(draw.hours_figure(result))),
        section("Members", _members(result)),
        section("By symbol", tables.symbols_table(by_symbol(result, trades), result.costs.net)),
        section("By regime", tables.regimes_table(by_regime(result, trades))),
        section("Returns of round trips", figure(draw.trades_figure(trades))),
        section("How much of it is luck", _luck(found)),
        _trades(result, trades),
    ]
    return write_html(path, result.name, body)


def _head(result: Result, verdict: Judged | None, compared: Sequence[str]) -> str:
    symbols = ", ".join(instrument.symbol for instrument in result.instruments)
    when = "no minute was run"
    if result.minutes:
        first, end = int(result.minute[0]), int(result.minute[-1]) + MINUTE_MS
        length = span((end - first) / MINUTE_MS)
        when = f"{clock(first)} to {clock(end)} UTC ({length}, {plural(result.minutes, 'minute')})"
    lines = (result.market, when, symbols, f"{result.cash:,.2f} USDT at the start")
    return head(result.name, lines, synthetic=result.synthetic, notes=[*notes_of(result), *compared], verdict=verdict)


def _cards(known: list[KeyFigure]) -> str:
    by_key = {one.key: one for one in known}
    cards = []
    for one in (by_key[key] for key in CARDS if key in by_key):
        big, small = (DASH, one.text) if one.text == TOO_SHORT else (one.text, one.band)
        cards.append(
            f"<div class='card'><span>{html.escape(one.label)}</span><b>{html.escape(big)}</b>"
            f"<small>{html.escape(small)}</small></div>"
        )
    return f"<div class='cards'>{''.join(cards)}</div>" if cards else ""


def _lead(found: Findings) -> str:
    result = found.result
    names = [kind for kind in REGIME_COLOURS if kind != "unknown" or (result.regime < 0).any()]
    legend = "".join(f"<span><i class='dot {name}'></i>{name}</span>" for name in names)
    assumed = "".join(f"<li>{html.escape(line)}</li>" for line in costs_in_words(result))
    grid = calendar_of(result)
    left = (
        f"{figure(equity_figure(result))}<div class='legend'>{legend}<span>A click on a name hides its line.</span>"
        f"</div><h3>{html.escape(grid.title)}, %</h3>{tables.calendar_table(grid)}"
        f"<h3>Costs assumed</h3><ul class='assumed'>{assumed}</ul>"
    )
    return pair(left, tables.figures_table(found.figures), "lead")


def _waterfall(found: Findings) -> str:
    return pair(figure(draw.waterfall_figure(found.steps)), tables.waterfall_table(found.steps))


def _luck(found: Findings) -> str:
    if found.bands is None and found.luck is None:
        return "<p class='quiet'>Too little happened to resample it.</p>"
    drawn = figure(fan_figure(found.result, found.bands))
    return pair(drawn, tables.luck_table(found.result.cash, found.ratios.period, found.bands, found.luck))


def _members(result: Result) -> str:
    return pair(
        "<h3>Contribution to gross profit</h3>" + figure(draw.contribution_figure(result)),
        "<h3>Weights used</h3>" + figure(draw.weights_figure(result)),
    )


def _trades(result: Result, trades: pl.DataFrame) -> str:
    all_shown = len(trades) <= tables.MOST_TRADES
    note = f"{len(trades):,}" if all_shown else f"newest {tables.MOST_TRADES:,} of {len(trades):,}"
    rest = "" if all_shown else "<p class='quiet'>The folder of this result holds all (fills.parquet).</p>"
    return (
        f"<section><details open><summary>Trades ({note})</summary>{rest}{tables.trades_table(result, trades)}"
        "</details></section>"
    )
