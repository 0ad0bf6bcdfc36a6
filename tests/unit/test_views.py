"""What the page is told: why each minute did what it did, and numbers that hide nothing."""

import json
from dataclasses import replace

import pytest

from core.messages import SETTINGS_REFUSED, MinuteRecord, ModelStep
from data import plain
from serve.dashboard.views import curve, latency, minute_view, quantile, thinned
from tests.support.minute_records import MadeUpRun

ABOUT = {"entry_edge_bps": 12, "exit_edge_bps": 2}


def view(record: MinuteRecord) -> dict:
    return minute_view(json.loads(plain.dumps(record)), ABOUT)


def first(wanted) -> MinuteRecord:
    return next(record for record in iter(MadeUpRun().next, None) if wanted(record))


def test_every_kind_of_minute_has_a_headline_and_reasons():
    for record in MadeUpRun(seed=1).many(300):
        seen = view(record)
        assert seen["headline"]
        assert all(row["why"] for row in seen["rows"])
        json.dumps(seen, allow_nan=False)


def test_a_trade_says_what_it_bought_and_how_the_size_came_about():
    record = first(lambda r: r.approved and not r.refused)
    seen = view(record)
    order = record.approved[0]
    assert seen["headline"].startswith("Buys ")
    row = next(row for row in seen["rows"] if row["instrument"] == str(order.instrument))
    assert (row["outcome"], row["why"]) == (
        "approved",
        f"buy {order.quantity} {order.instrument.base}, limit {order.limit_price}",
    )
    assert seen["sizing"][0]["arithmetic"] == list(order.arithmetic)


def test_what_is_held_in_won_is_worth_its_rate_and_nothing_without_one():
    record = first(lambda r: r.status == "done")
    won = "upbit:BTC/KRW"
    plainly = json.loads(plain.dumps(record)) | {"rates": [], "premium_bps": []}
    count = len(plainly["instruments"])
    held = plainly | {"instruments": [won] * count, "position": [2.0] * count, "close": [70_000_000.0] * count}
    assert {row["value"] for row in minute_view(held, ABOUT)["rows"]} == {None}
    rate = {"currency": "KRW", "usdt": 1 / 1_400, "source": "upbit:USDT/KRW", "at_ms": 0}
    seen = minute_view(held | {"rates": [rate], "premium_bps": [120.0] * count}, ABOUT)
    assert {row["value"] for row in seen["rows"]} == {2.0 * 70_000_000 / 1_400}
    assert {row["premium"] for row in seen["rows"]} == {120.0}
    assert seen["rates"] == [rate]


def test_a_change_of_the_settings_is_shown_with_its_minute():
    record = first(lambda r: r.status == "done")
    assert view(record)["settings"] == []
    change, fault = "trade.invest_pct 10 → 20", f"{SETTINGS_REFUSED}config.json: trade.invest_pct = 'lots'"
    assert view(replace(record, settings=(change, fault)))["settings"] == [
        {"words": f"settings changed: {change}", "refused": False},
        {"words": fault, "refused": True},
    ]


def test_a_refusal_names_the_limit():
    record = first(lambda r: r.refused and not r.approved)
    seen = view(record)
    assert "held back by limits" in seen["headline"]
    row = next(row for row in seen["rows"] if row["outcome"] == "refused")
    assert row["why"].startswith("max_position_pct:")


def test_a_missed_minute_says_why_and_has_no_equity():
    seen = view(first(lambda r: r.status == "missed"))
    assert seen["headline"] == "Missed: late: no record within 20 s"
    assert seen["equity"] is None


def test_what_filled_after_the_last_decision_is_not_called_a_minute_without_trade():
    record = first(lambda r: r.fills)
    closing = MinuteRecord(minute=record.minute, trace="closing", status="closed", orders=record.orders)
    assert view(closing)["headline"] == "After the last decision: what became of the orders"


def test_no_opinion_is_explained_by_the_thresholds():
    record = first(lambda r: not r.approved and not r.refused and r.status == "done" and all(r.fresh))
    record = replace(record, edge_bps=(4.1,) * 5, target=(float("nan"),) * 5)
    assert view(record)["rows"][0]["why"] == "edge +4.1 bps is between exit (2) and entry (12): keeps what it holds"
    assert minute_view(json.loads(plain.dumps(record)), {})["rows"][0]["why"] == "edge +4.1 bps: keeps what it holds"


def test_wanting_and_holding_nothing_is_staying_out():
    record = first(lambda r: not r.approved and not r.refused and r.status == "done" and all(r.fresh))
    record = replace(record, edge_bps=(-3.0,) * 5, target=(0.0,) * 5, position=(0.0, 1.0, 0.0, 0.0, 0.0))
    rows = view(record)["rows"]
    assert rows[0]["why"] == "edge -3.0 bps: stays out"
    assert rows[1]["why"].startswith("wants 0.0% of the investable equity")


def test_a_stale_market_and_a_silent_panel_are_told():
    record = first(lambda r: not r.approved and not r.refused and r.status == "done")
    stale = replace(record, fresh=(False,) * 5)
    assert view(stale)["rows"][0]["why"] == "no fresh data: takes on nothing new"
    silent = replace(record, edge_bps=(float("nan"),) * 5, fresh=(True,) * 5)
    assert view(silent)["rows"][0]["why"] == "nobody voted"
    assert view(silent)["headline"] == "No trade: nobody voted"


def test_a_strong_edge_without_a_trade_says_that_the_coin_is_held():
    record = first(lambda r: not r.approved and not r.refused and r.status == "done")
    record = replace(record, edge_bps=(50.5, -1.0, 0.0, 0.0, 0.0), position=(0.3, 0.0, 0.0, 0.0, 0.0))
    base = record.instruments[0].symbol.split("/")[0]
    assert view(record)["headline"] == f"No trade: strongest edge +50.5 bps ({base}, held)"
    out = view(replace(record, position=(0.0,) * 5))
    assert out["headline"] == f"No trade: strongest edge +50.5 bps ({base})"


def test_the_value_of_what_is_held_adds_up():
    record = first(lambda r: r.status == "done")
    seen = view(record)
    held = sum(p * c for p, c in zip(record.position, record.close, strict=True))
    assert seen["gross"] == pytest.approx(held)


def test_latency_is_the_nearest_rank_over_done_minutes():
    minutes = [[["cache", float(n)], ["risk", 1.0]] for n in range(1, 101)]
    lines = {line["step"]: line for line in latency([*minutes, []])}
    assert (lines["cache"]["p50"], lines["cache"]["p99"], lines["cache"]["last"]) == (50.0, 99.0, 100.0)
    assert lines["all steps"] == {"step": "all steps", "p50": 51.0, "p99": 100.0, "last": 101.0, "n": 100}
    assert latency([]) == []
    assert quantile([3.0], 0.99) == 3.0


def test_a_thinned_curve_keeps_its_ends_and_its_extremes():
    points = [(n, 100.0) for n in range(5_000)]
    points[1_234] = (1_234, 42.0)
    points[4_001] = (4_001, 177.0)
    few = thinned(points, 200)
    assert len(few) <= 202
    assert {points[0], points[-1], points[1_234], points[4_001]} <= set(few)
    assert few == sorted(few)
    assert thinned(points[:10], 200) == points[:10]


def test_a_minute_told_twice_is_one_point():
    assert curve([(2, 5.0), (1, 4.0), (2, 6.0)]) == [(1, 4.0), (2, 6.0)]


def test_what_happened_to_a_models_versions_is_one_line():
    step = ModelStep(kind="rolled_back", member="ridge", version="v0001.ab", before="v0002.cd", why="it lost its vote")
    record = replace(first(lambda r: r.status == "done"), models=(step,))
    assert view(record)["models"] == ["ridge v0001.ab rolled back: it lost its vote"]
