"""A coin that was listed a moment ago, among one that was not: nobody is asked about it until enough of its past is known,
everybody goes on voting about the other, and the record, `why` and the page say so."""

import json
import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from core.bars import fill_gaps
from core.features import HISTORY, SEQUENCE, feature_table
from core.why import TOO_LITTLE, lines, why
from data import plain
from serve.dashboard.views import minute_view
from serve.models.guard import Guarded
from serve.models.registry import new_member
from serve.models.rules import ChartRules
from serve.panel import LocalPanel, forecast_history
from tests.support.engines import cut_of, make_settings
from tests.support.markets import walk
from tests.support.outspoken import FOLLOWER
from tests.support.samples import made_up
from tune.backtest import make_backtest
from tune.simulate import Forecasts, simulate

FAMILIES = ("ridge", "rules", "lightgbm", "tcn")
SHORT = {"lightgbm": {"trees": 10}, "tcn": {"steps": 5}}


@pytest.fixture(scope="module")
def panel() -> LocalPanel:
    data = made_up(edge=40.0)
    members = {}
    for family in FAMILIES:
        member = new_member(family, **SHORT.get(family, {}))
        member.fit(data, 1)
        if isinstance(member, ChartRules):
            # Loud enough to be traded on; whether it pays is not asked here.
            member.coefficients = np.array(FOLLOWER)
        members[family] = (Guarded.taught(member, data) if family == "ridge" else member, "v1")
    return LocalPanel(members, 15)


def listed_at(first_bar: int, minutes: int, history: int = HISTORY):
    """BTC climbs as ever; ETH has no bar before minute index ``first_bar``; the first decision is at index ``history``."""
    size = history + minutes
    bars = np.stack([walk(size, 3, price=60_000.0), walk(size, 4, price=3_000.0)])
    bars[0, :, :4] *= np.exp(4e-4 * np.arange(size))[:, None]
    bars[1, :first_bar] = np.nan
    return cut_of(bars, history)


def eager():
    """Rules under which little is enough to be traded."""
    members = [{"name": family, "family": family} for family in FAMILIES]
    changes = {"entry_edge_bps": 0.1, "exit_edge_bps": 0.05, "full_edge_bps": 1}
    return make_settings(2, models__members=members, **{f"selection__{name}": value for name, value in changes.items()})


def lived(market, panel: LocalPanel):
    """The minutes of the parts that run live, one after the other."""
    return list(make_backtest(eager(), market, panel, cash=Decimal(10_000)).run())


def test_others_are_voted_on_and_traded_while_nobody_is_asked_about_the_new_one(panel: LocalPanel):
    market = listed_at(HISTORY - 5, 40)
    records = lived(market, panel)
    assert [record.status for record in records] == ["done"] * 40
    for record in records:
        assert record.fresh == (True, True), "it trades: it is not for want of a price"
        for vote in record.votes:
            assert vote.spoke, vote.silence
            assert math.isfinite(vote.mean_bps[0]) and math.isfinite(vote.stdev_bps[0])
            assert math.isnan(vote.mean_bps[1]) and math.isnan(vote.stdev_bps[1])
        assert math.isfinite(record.edge_bps[0])
        assert math.isnan(record.edge_bps[1]) and math.isnan(record.target[1])
    asked_for = {a.instrument.base for r in records for a in (*r.approved, *r.refused)}
    assert asked_for == {"BTC"}, "the others' orders are not held up, and the new one has none"


def test_it_is_forecast_from_the_minute_on_in_which_all_that_is_looked_back_on_is_known(panel: LocalPanel):
    begins, minutes = HISTORY + 260, 50
    market = listed_at(400, minutes, begins)
    bars, filler = fill_gaps(market.bars)
    known = np.isfinite(feature_table(bars, filler, market.start_minute)[1]).all(axis=1)
    whole = next(t for t in range(begins, begins + minutes) if known[t - SEQUENCE + 1 : t + 1].all())
    assert begins < whole, "in the middle of the run"
    records = lived(market, panel)
    for t, record in enumerate(records, begins):
        for vote in record.votes:
            assert vote.spoke, vote.silence
            assert math.isfinite(vote.mean_bps[1]) == (t >= whole), (t, vote.member)


def test_the_record_why_and_the_page_say_it(panel: LocalPanel):
    market = listed_at(HISTORY - 5, 2)
    record = lived(market, panel)[0]
    told = "\n".join(lines(why(record, market.instruments[1])))
    assert told.startswith(f"binance:ETH/USDT: no forecast: {TOO_LITTLE}\n")
    assert f"ridge v1: no forecast, {TOO_LITTLE}" in told
    assert "together: no forecast" in told
    assert "nobody" not in told and "silent" not in told
    other = "\n".join(lines(why(record, market.instruments[0])))
    assert "no forecast" not in other
    shown = minute_view(json.loads(plain.dumps(record)), {})["rows"]
    assert shown[1]["why"] == f"no forecast: {TOO_LITTLE}"
    assert "no forecast" not in shown[0]["why"]
    # Where all have lost their votes it is not the coin's fault.
    mute = replace(record, votes=tuple(replace(v, spoke=False, silence="late: no answer") for v in record.votes))
    assert next(lines(why(mute, market.instruments[1]))).endswith("nobody voted")


def test_the_compiled_backtest_does_with_it_what_the_parts_do_that_run_live(panel: LocalPanel):
    """To the last digit: where the last rows are known, but not all that live asks for, some members would speak already."""
    begins, minutes = HISTORY + 260, 50
    market = listed_at(400, minutes, begins)
    bars, filler = fill_gaps(market.bars)
    table = feature_table(bars, filler, market.start_minute)
    known = np.isfinite(table).all(axis=2)
    asked = np.zeros_like(known)
    asked[:, SEQUENCE - 1 :] = sliding_window_view(known, SEQUENCE, axis=1).all(axis=2)
    size, names = bars.shape[1], FAMILIES
    said = [[forecast_history(panel._members[name][0], table[row], 0, size) for row in range(2)] for name in names]
    mean, stdev = (np.array([[pair[k] for pair in rows] for rows in said]) for k in range(2))
    assert (np.isfinite(mean) & ~asked).any(), "nobody would have spoken too early"
    told = Forecasts(members=names, versions=("v1",) * len(names), mean_bps=mean, stdev_bps=stdev, asked=asked)
    found = simulate(eager(), market, told, cash=Decimal(10_000))
    exact = LocalPanel({name: (panel._members[name][0], "v1") for name in names}, 15)
    exact.precompute({one: (market.start_minute, table[row]) for row, one in enumerate(market.instruments)})
    records = [record for record in lived(market, exact) if record.status == "done"]
    assert [record.equity for record in records] == found.equity.tolist()
    assert {fill.instrument.base for record in records for fill in record.fills} == {"BTC", "ETH"}
