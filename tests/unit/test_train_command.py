"""What ``run.py train`` learns from, and what it tells when it is done."""

import io
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from rich.console import Console

from config.load import load_settings
from core.errors import DataError
from core.units import MINUTE_MS
from data.artifacts import ArtifactStore
from data.lake import Lake
from data.market import MarketSource
from data.schema import VALUES
from tests.support.markets import BTC, ETH, MINUTE, walk
from tune.rl.train import train_agent
from tune.train import train_members
from tune.train_command import newest_span, show_agent

LONG = "Passed: the 5% quantile of the mean net return of an hour is +3.76 bps over 2,000 resampled runs, above 0."


def test_an_agent_and_its_rivals_are_told_in_one_unit_and_no_line_is_cut():
    judged = SimpleNamespace(
        result=SimpleNamespace(minute=[0, 960 * MINUTE_MS]),
        seeds=(100.0, 300.0, 200.0),
        metrics={
            "holdout_bps": 133.6,
            "seeds_lowest_bps_a_day": 100.0,
            "seeds_median_bps_a_day": 200.0,
            "seeds_highest_bps_a_day": 300.0,
        },
        rivals={"flat": 0.0, "hold all 2 equally": -50.0},
        verdict=SimpleNamespace(word="unproven", reasons=(LONG,)),
    )
    said = io.StringIO()
    show_agent(Console(file=said, width=80), judged, Path("var/reports/agent.html"))
    assert said.getvalue().splitlines() == [
        "held out for 16 hours, bps a day after all costs:",
        "  the agent (3 seeds together)  +200.4",
        "  each seed alone               +100.0 to +300.0, median +200.0",
        "  flat                          +0.0",
        "  hold all 2 equally            -75.0",
        "verdict: unproven",
        f"  {LONG}",
        "learning curve: var/reports/agent.html",
    ]


LONG_AGO, LISTED = 3_000, 2_700
SETTINGS = load_settings(environ={}, overrides=['trade.instruments=["binance:BTC/USDT","binance:ETH/USDT"]'])


@pytest.fixture
def fresh(tmp_path: Path) -> MarketSource:
    """BTC with 3,000 minutes of bars, ETH with the newest 300 of them."""
    lake = Lake(tmp_path)
    for instrument, first in ((BTC, 0), (ETH, LISTED)):
        bars = walk(LONG_AGO, 1 + first)[first:]
        columns = dict(zip(VALUES, bars.T, strict=True))
        stamps = [MINUTE + k * MINUTE_MS for k in range(first, LONG_AGO)]
        lake.write(instrument, pl.DataFrame({"ts": stamps} | columns), "test")
    return MarketSource(name="lake", root=tmp_path, lake=lake, synthetic=False)


def test_a_coin_that_was_listed_a_moment_ago_makes_what_is_learned_from_the_others_no_shorter(fresh: MarketSource):
    span = newest_span(fresh, SETTINGS, 30, None)
    assert (span.first_minute, span.minutes) == (MINUTE, LONG_AGO)
    assert newest_span(fresh, SETTINGS, 1, None).minutes == 1_440
    before = newest_span(fresh, SETTINGS, 30, MINUTE + 2_000 * MINUTE_MS)
    assert (before.first_minute, before.minutes) == (MINUTE, 2_000)
    members = tuple(m for m in SETTINGS.rules.models.members if m.family == "ridge")
    store = ArtifactStore(fresh.root / "artifacts")
    (made,) = train_members(fresh.lake, (BTC, ETH), span, members, store, horizon=15)
    assert made.extra["samples"] > 1_000
    # Accounts of the agent hold every coin from their first minute on: it says which one it has to do without.
    shared = newest_span(fresh, SETTINGS, 30, None, shared=True)
    assert (shared.first_minute, shared.minutes) == (MINUTE + LISTED * MINUTE_MS, LONG_AGO - LISTED)


def test_an_agent_names_the_coin_that_leaves_it_too_little(fresh: MarketSource):
    shared = newest_span(fresh, SETTINGS, 30, None, shared=True)
    with pytest.raises(
        DataError, match=r"300 minutes are too few for an agent.*: ETH/USDT last to begin\. Leave out of"
    ):
        train_agent(fresh, SETTINGS, shared, ArtifactStore(fresh.root / "artifacts"))
