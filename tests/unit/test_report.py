"""The page of a run: whole for every run there can be, in order, safe, and adding up."""

import html
import json
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from config.load import load_settings
from core.messages import TradingState
from core.params import CostSettings
from tests.support.results import made_up_result, with_missed
from tune.report.compare import MOST_SETTINGS, difference, set_otherwise, write_comparison
from tune.report.figures import costs_figure
from tune.report.findings import findings_of
from tune.report.frame import Judged
from tune.report.key_figures import KeyFigure
from tune.report.page import write_page
from tune.report.style import number, price, span
from tune.report.tables import MOST_TRADES
from tune.report.terminal import as_json, print_comparison, print_findings
from tune.report.waterfall import steps_of
from tune.report.words import UNKNOWN, costs_in_words, notes_of, switched_off, why_stopped
from tune.result import STATES, Result, Tables, empty_fills, empty_orders
from tune.simulated_result import settings_of

SECTIONS = (
    "Equity",
    "Where the money went",
    "Exposure by symbol",
    "By hour of the week, mean bps (UTC)",
    "Members",
    "By symbol",
    "By regime",
    "Returns of round trips",
    "How much of it is luck",
)


def nothing_done() -> Result:
    """A run that was interrupted before its first minute."""
    run = made_up_result(10, trades=0)
    none = np.zeros(0)
    return replace(
        run,
        minute=none.astype(np.int64),
        equity=none,
        invested=none,
        regime=none.astype(np.int8),
        state=none.astype(np.int8),
        grid=none.astype(np.int64),
        close=run.close[:0],
        worth=run.worth[:0],
        edge_bps=run.edge_bps[:0],
        weights=run.weights[:0],
        tables=Tables(empty_fills(), empty_orders()),
        notes=("Interrupted after 0 of 10 minutes: all figures are of what was done.",),
    )


def page_of(result: Result, tmp_path, **more) -> str:
    """The page's text, its library left out."""
    path = write_page(tmp_path / "made" / "report.html", findings_of(result), **more)
    text = path.read_text(encoding="utf-8")
    return re.sub(r"(<script type='application/octet-stream'[^>]*>)[^<]*", r"\1", text)


def drawn(text: str) -> list[dict]:
    """The figures of a page."""
    return [json.loads(data) for data in re.findall(r"<script type='application/json'>(.*?)</script>", text, re.DOTALL)]


def cells(text: str, row: str) -> list[str]:
    """The cells of the table row that begins with ``row``."""
    found = re.search(rf"<tr[^>]*><th scope='row'>{row}(?:<small>.*?</small>)?</th>(.*?)</tr>", text, re.DOTALL)
    assert found, row
    return re.findall(r"<td[^>]*>([^<]*)", found[1])


RUNS = {
    "usual": lambda: made_up_result(),
    "zero trades": lambda: made_up_result(trades=0),
    "one trade": lambda: made_up_result(trades=1, seed=3),
    "one minute": lambda: made_up_result(minutes=1),
    "two minutes": lambda: made_up_result(minutes=2, trades=3),
    "no minute": nothing_done,
    "never flat": lambda: replace(made_up_result(trades=30), regime=np.full(4_320, -1, np.int8)),
    "missed": lambda: with_missed(made_up_result(), 0, 700),
    "all missed": lambda: with_missed(made_up_result(trades=0), 0, 4_319),
    "one symbol": lambda: made_up_result(symbols=1),
    "no members": lambda: replace(made_up_result(), members=(), contribution=np.zeros(0), weights=np.zeros((4_320, 0))),
    "no prices": lambda: replace(made_up_result(trades=0), close=np.full((4_320, 3), np.nan)),
}


@pytest.mark.parametrize("name", RUNS)
def test_every_run_has_a_page_and_a_table(name, tmp_path):
    result = RUNS[name]()
    text = page_of(result, tmp_path)
    assert re.findall(r"<h2>([^<]*)</h2>", text) == list(SECTIONS)
    assert not re.search(
        r"\b(nan|inf|None)\b", re.sub(r"<script.*?</script>|<style>.*?</style>", "", text, flags=re.DOTALL)
    )
    console = Console(record=True, width=120, file=open("/dev/null", "w"))  # noqa: SIM115
    print_findings(console, findings_of(result))
    assert "net" in console.export_text()
    json.dumps(as_json(findings_of(result)), allow_nan=False)


def test_the_page_needs_nothing_from_outside(tmp_path):
    path = write_page(tmp_path / "report.html", findings_of(made_up_result()))
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?!data:)\w+:""", text)
    assert "default-src 'none'" in text
    assert "connect-src" not in text, "nothing may be fetched, so default-src rules it"
    assert len(text) < 3_500_000


def test_the_verdict_stands_above_every_figure_with_its_reasons(tmp_path):
    judged = Judged("unproven", ("Failed: 12 trades are few.", "Passed: <all> else."))
    text = page_of(made_up_result(), tmp_path, verdict=judged)
    assert "<span class='chip unproven'>unproven</span>" in text
    assert text.index("chip unproven'>") < text.index("<h2>")
    assert "Passed: &lt;all&gt; else." in text


def test_a_synthetic_market_and_every_note_are_told_first(tmp_path):
    run = made_up_result(notes=("Interrupted after 3 of 9 minutes: all figures are of what was done.",))
    text = page_of(run, tmp_path)
    assert text.index("SYNTHETIC market:") < text.index("<h2>")
    assert text.index("Interrupted after 3 of 9") < text.index("<h2>")
    assert "SYNTHETIC" not in page_of(replace(run, synthetic=False), tmp_path)


def test_many_notes_are_folded_but_all_there(tmp_path):
    text = page_of(made_up_result(notes=tuple(f"note {number}" for number in range(9))), tmp_path)
    assert "<summary>5 more notes</summary>" in text
    assert text.index("note 3") < text.index("<summary>5 more notes") < text.index("note 8") < text.index("<h2>")


def test_a_run_that_traded_nothing_says_why(tmp_path):
    run = made_up_result(trades=0)
    rules = {"rules": {"selection": {"entry_edge_bps": 500.0}}}
    text = page_of(replace(run, settings=rules), tmp_path)
    assert f"the strongest forecast was {run.edge_bps.max():.1f} bps, and a position is opened from 500 on" in text
    silent = replace(run, edge_bps=np.full_like(run.edge_bps, np.nan))
    assert "no member gave a forecast" in page_of(silent, tmp_path)
    rules["rules"]["selection"]["entry_edge_bps"] = 0.01
    small = page_of(replace(run, settings=rules | {"trade": {"min_order_usdt": "50"}}), tmp_path)
    assert "out of 10,000.00 USDT reach the smallest order of 50 USDT (trade.min_order_usdt)" in small
    noted = page_of(replace(run, notes=tuple(f"note {n}" for n in range(9))), tmp_path)
    assert noted.index("Nothing was traded") < noted.index("note 0"), "not folded away behind others"
    humble = replace(run, edge_bps=np.zeros_like(run.edge_bps))
    assert "every forecast was zero" in page_of(humble, tmp_path)
    assert "Nothing was traded" not in page_of(made_up_result(), tmp_path)


def test_the_lines_of_the_waterfall_on_the_page_add_up_to_the_net(tmp_path):
    run = made_up_result(10_000, trades=150)
    text = page_of(run, tmp_path)
    names = ("gross", "fees", "half spread", "impact", "delay", "net")
    amounts = [round(100 * float(cells(text, name)[0].replace("−", "-").replace(",", ""))) for name in names]
    assert sum(amounts[:-1]) == amounts[-1] == round(100 * (run.equity[-1] - run.equity[0]))


def test_bars_of_the_waterfall_are_its_lines(tmp_path):
    run = made_up_result()
    found = findings_of(run)
    figure = next(f for f in drawn(page_of(run, tmp_path)) if f["data"][0]["type"] == "waterfall")
    assert figure["data"][0]["y"][:-1] == [step.amount for step in found.steps[:-1]]
    assert figure["data"][0]["measure"] == ["absolute", *["relative"] * 4, "total"]


def test_what_a_venue_or_a_member_says_is_never_markup(tmp_path):
    evil = "</script><img src=x onerror=alert(1)>"
    run = made_up_result()
    orders = run.orders.with_columns(pl.lit([evil]).alias("why"))
    tables = Tables(run.fills, orders)
    text = page_of(
        replace(run, name=evil, market=evil, members=(evil, "b", "c"), tables=tables, notes=(evil,)), tmp_path
    )
    assert "<img" not in text
    assert len(drawn(text)) >= 7, "no figure's data was cut off by it"


def test_trades_are_listed_newest_first_with_their_why_and_capped(tmp_path):
    run = made_up_result(40_000, symbols=4, trades=1_500)
    found = findings_of(run)
    assert len(found.trades) > MOST_TRADES
    text = page_of(run, tmp_path)
    assert f"newest {MOST_TRADES} of {len(found.trades):,}" in text
    body = text[text.index("<table class='trades") :]
    entries = [int(by) for by in re.findall(r"<tr><td class='when' data-by='(\d+)'", body)]
    assert len(entries) == MOST_TRADES
    assert entries == sorted(entries, reverse=True)
    assert body.count("asks for the full share") >= MOST_TRADES


def test_a_halt_and_missed_minutes_have_a_strip_of_their_own(tmp_path):
    run = made_up_result()
    assert all(trace.get("y") != ["trading"] for f in drawn(page_of(run, tmp_path)) for trace in f["data"])
    state = run.state.copy()
    state[100:103] = STATES.index(TradingState.HALTED)
    strips = [
        trace
        for f in drawn(page_of(with_missed(replace(run, state=state), 2_000, 2_100), tmp_path))
        for trace in f["data"]
        if trace.get("y") == ["trading"]
    ]
    assert len(strips) == 1
    assert {"halted", "missed", "active"} == set(strips[0]["text"][0]), "three halted minutes of 4,320 are still seen"


def test_rows_by_symbol_meet_the_net(tmp_path):
    run = made_up_result(20_000, trades=200)
    text = page_of(run, tmp_path)
    part = text[text.index("<h2>By symbol") : text.index("<h2>By regime")]
    rows = re.findall(r"<tr>(.*?)</tr>", part[part.index("<tbody>") :])
    nets = [float(re.findall(r"data-by='([^']*)'", row)[-1]) for row in rows]
    assert len(nets) == 3
    assert sum(nets) == pytest.approx(run.costs.net, abs=0.01 * abs(run.costs.net) + 2.0)


def test_that_buying_was_stopped_is_told_before_any_figure():
    run = made_up_result()
    state = np.zeros(run.minutes, dtype=np.int8)
    assert why_stopped(replace(run, state=state)) == ""
    state[100:250] = STATES.index(TradingState.REDUCING)
    told = notes_of(replace(run, state=state, notes=("another",)))
    when = str(np.datetime64(int(run.minute[100]), "ms").astype("datetime64[m]")).replace("T", " ")
    assert f"nothing be bought in 150 of {run.minutes:,} minutes, first at {when} UTC" in told[0]
    assert told[-1] == "another"


def test_costs_are_told_in_words():
    run = made_up_result()
    assert costs_in_words(run) == [UNKNOWN]
    kept = replace(run, settings={"rules": {"costs": CostSettings().model_dump(mode="json")}})
    told = " | ".join(costs_in_words(kept))
    assert "Fees: taker 0.1 % (binance)" in told
    assert "86 ms" in told
    assert switched_off(kept) == []
    off = CostSettings(fees=False, latency=False).model_dump(mode="json")
    freed = replace(run, settings={"rules": {"costs": off}})
    assert switched_off(freed) == ["fees", "latency"]
    assert "Fees: switched off" in costs_in_words(freed)
    assert costs_in_words(replace(run, settings={"rules": {"costs": {"fees": "never heard of"}}})) == [UNKNOWN]


def test_two_runs_side_by_side(tmp_path):
    runs = [(name, findings_of(made_up_result(seed=seed, name=name))) for seed, name in ((1, "A"), (2, "<B>"))]
    text = write_comparison(tmp_path / "c.html", runs).read_text(encoding="utf-8")
    assert re.findall(r"<h2>([^<]*)</h2>", text) == ["Compared: growth", "Compared: figures", "Compared: costs"]
    assert "<B>" not in text
    row = cells(text, "return")
    assert row == [found.figures[0].text for _, found in runs]
    console = Console(record=True, width=140, file=open("/dev/null", "w"))  # noqa: SIM115
    print_comparison(console, runs)
    assert runs[1][1].figures[0].text in console.export_text()


def test_runs_of_other_minutes_or_instruments_are_called_so(tmp_path):
    one, other = made_up_result(500), made_up_result(400, symbols=2)
    runs = [("one", findings_of(one)), ("other", findings_of(other)), ("none", findings_of(nothing_done()))]
    text = write_comparison(tmp_path / "c.html", runs).read_text(encoding="utf-8")
    assert "other ran over other minutes than one" in text
    assert "other traded other instruments than one" in text
    assert "none ran over other minutes than one" in text


@pytest.mark.parametrize("order", [(1, 2), (2, 1)], ids=["one coin first", "two coins first"])
def test_holding_is_compared_with_holding_the_same(tmp_path, order):
    known = {coins: findings_of(made_up_result(500, symbols=coins, seed=coins)) for coins in order}
    runs = [(str(coins), known[coins]) for coins in order]
    held = {
        coins: {f.label: f.text for f in found.figures if f.key.startswith("hold")} for coins, found in known.items()
    }
    assert list(held[1]) == ["hold BTC"] and list(held[2]) == ["hold all 2 equally", "hold BTC"]
    text = write_comparison(tmp_path / "c.html", runs).read_text(encoding="utf-8")
    console = Console(record=True, width=140, file=open("/dev/null", "w"))  # noqa: SIM115
    print_comparison(console, runs)
    lines = console.export_text().splitlines()
    for label in held[2]:
        expected = [held[coins].get(label, "") for coins in order]
        assert cells(text, label) == expected
        (line,) = [one for one in lines if label in one]
        assert [re.sub(r" \(.*", "", cell).strip() for cell in line.split("│")[2:4]] == expected


def test_what_the_runs_were_set_otherwise_is_named_on_the_page_and_the_console(tmp_path):
    settings = load_settings(environ={})
    told = settings_of(settings)
    bolder = settings_of(load_settings(environ={}, overrides=["trade.invest_pct=60", "selection.entry_edge_bps=30"]))
    runs = [
        (name, findings_of(replace(made_up_result(name=name), settings=kept)))
        for name, kept in (("A", told), ("same", told), ("bold", bolder), ("old", {}))
    ]
    (said,) = set_otherwise(runs)
    assert said.startswith("bold was set otherwise than A: ")
    assert set(said.removeprefix("bold was set otherwise than A: ").removesuffix(".").split(", ")) == {
        "trade.invest_pct 30 % → 60 %",
        "selection.entry_edge_bps 25 bps → 30 bps",
    }
    assert said in html.unescape(write_comparison(tmp_path / "c.html", runs).read_text(encoding="utf-8"))
    console = Console(record=True, width=240, file=open("/dev/null", "w"))  # noqa: SIM115
    print_comparison(console, runs)
    assert said in console.export_text()


def test_where_most_of_the_settings_differ_only_so_many_are_named():
    told = settings_of(load_settings(environ={}))
    other = {"trade": told["trade"], "rules": {}}
    runs = [(name, findings_of(replace(made_up_result(), settings=kept))) for name, kept in (("A", told), ("B", other))]
    (said,) = set_otherwise(runs)
    assert said.count("→") == MOST_SETTINGS
    assert re.search(r" and \d+ more\.$", said)


def test_a_page_can_hold_another_run_beside_its_own(tmp_path):
    before = findings_of(made_up_result(400, seed=4))
    text = page_of(made_up_result(500), tmp_path, against=[("before", before)])
    assert "<h2>Compared: growth</h2>" in text
    assert "before ran over other minutes than this run" in text


def figure_of(value: float, better: int, unit: str = "") -> KeyFigure:
    return KeyFigure(
        key="x", label="x", text="x", value=value, better=better, unit=unit, scale=100 if unit == "%" else 1
    )


@pytest.mark.parametrize(
    ("base", "other", "better", "told"),
    [
        (0.01, 0.03, 1, ("+2.00 pp", "better")),
        (0.01, 0.03, -1, ("+2.00 pp", "worse")),
        (0.03, 0.01, 0, ("−2.00 pp", "")),
        (0.01, 0.01, 1, ("0.00 pp", "")),
        (0.01, float("nan"), 1, ("", "")),
        (float("inf"), 1.0, 1, ("", "")),
    ],
)
def test_a_difference_says_how_much_and_whether_it_is_better(base, other, better, told):
    assert difference(figure_of(base, better, "%"), figure_of(other, better, "%")) == told


def test_a_difference_in_time_is_said_as_times_are():
    assert difference(figure_of(61_684, -1, "min"), figure_of(0, -1, "min")) == ("−42.8 d", "better")
    assert difference(figure_of(30, 0, "min"), figure_of(75, 0, "min")) == ("+45 min", "")
    assert difference(figure_of(30, 0, "min"), figure_of(30, 0, "min")) == ("0 min", "")


def test_costs_are_drawn_as_their_table_has_them():
    runs = [made_up_result(trades=40, seed=seed) for seed in (1, 2)]
    for bars, run in zip(costs_figure(runs, ["one", "other"]).data, runs, strict=True):
        assert list(bars.customdata) == [step.amount for step in steps_of(run.costs)]
        assert bars.y[1] < 0.0, "fees are taken, not given"
        assert sum(bars.y[:-1]) == pytest.approx(bars.y[-1])


def test_numbers_read_as_numbers():
    assert number(-1_234.5) == "−1,234.50"
    assert number(-0.001) == "0.00", "no minus before nothing"
    assert number(0.5, sign=True) == "+0.50"
    assert number(float("nan")) == "–"
    assert number(float("-inf")) == "−∞"
    assert price(70_123.456789) == "70,123.46"
    assert price(0.00001234567) == "0.0000123457"
    assert span(90) == "90 min"
    assert span(600) == "10.0 h"
    assert span(14_400) == "10.0 d"
