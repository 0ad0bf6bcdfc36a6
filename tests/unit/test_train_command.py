"""What ``run.py train`` tells when it is done."""

import io
from pathlib import Path
from types import SimpleNamespace

from rich.console import Console

from core.units import MINUTE_MS
from tune.train_command import show_agent

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
