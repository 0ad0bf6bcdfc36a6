"""What is loaded before the first minute is all that a minute needs: no rule is compiled, or fetched, while it runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.runs.rehearsal import Rehearsal, rehearse
from config.numba_cache import sources_hash

ROOT = Path(__file__).resolve().parents[2]

LOADED = """
import gc, json, sys
from decimal import Decimal

import numpy as np
from numba.core.registry import CPUDispatcher

from actors.runs.rehearsal import MEMBERS, rehearse
from config.load import load_settings
from core import warmup
from core.events import Detector
from core.selection import Selector, WeightTable
from core.units import MarketRules
from exchanges.simulated.warmup import load_matching

def kernels():
    return {f"{k.py_func.__module__}.{k.py_func.__name__}": len(k.signatures)
            for k in gc.get_objects() if isinstance(k, CPUDispatcher)}

settings = load_settings(environ={})
trade, rules = settings.config.trade, settings.rules
rows = trade.rows
warmup.load_cache(rows)
warmup.load_detector(Detector(rules.events), rows)
warmup.load_selector(Selector(rules.selection, WeightTable.equal(MEMBERS), MEMBERS), rows, MEMBERS)
one = Decimal(1)
warmup.load_risk(
    trade,
    rules.risk,
    {i: MarketRules(instrument=i, tick=one, step=one, min_qty=one, max_qty=one, min_notional=one) for i in rows},
)
warmup.load_execution()
load_matching()
before = kernels()
records = rehearse()
after = kernels()
late = sorted(name for name, count in after.items() if count != before.get(name, 0))
print(json.dumps({"late": late, "kernels": len(after), "fills": sum(len(r.fills) for r in records)}))
"""


def test_the_parts_have_loaded_every_rule_before_a_minute_calls_it():
    # In a process of its own: here, other tests have loaded this and that.
    said = subprocess.run([sys.executable, "-c", LOADED], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    told = json.loads(said)
    assert told["late"] == []
    assert told["kernels"] > 20
    assert told["fills"] > 0


SPLIT = """
import gc, json

from numba.core.registry import CPUDispatcher

from core import warmup
from tests.unit import test_coin_split as story

def kernels():
    return {f"{k.py_func.__module__}.{k.py_func.__name__}": len(k.signatures)
            for k in gc.get_objects() if isinstance(k, CPUDispatcher)}

trade = story.TradeSettings(instruments=tuple(map(str, story.ROWS)))
warmup.load_risk(trade, story.RiskSettings(), story.KNOWN)
seen = story.seen(held=(2.0, 1.0))
before = kernels()
sides = {side for target in (0.4, 0.01) for side in story.worth(story.review(seen, (target, target, 0.0)), seen).values()}
after = kernels()
late = sorted(name for name, count in after.items() if count != before.get(name, 0))
print(json.dumps({"late": late, "bought": max(sides), "sold": min(sides)}))
"""


def test_a_coin_at_two_exchanges_finds_its_rules_loaded_too():
    said = subprocess.run([sys.executable, "-c", SPLIT], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    told = json.loads(said)
    assert told["late"] == []
    assert told["bought"] > 0 > told["sold"]


def test_a_rehearsal_decides_and_trades():
    records = rehearse()
    assert [r.status for r in records] == ["done", "done"]
    assert all(r.approved for r in records)
    assert sum(len(r.fills) for r in records) > 0


@pytest.fixture
def environ(tmp_path):
    return {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}


def test_what_was_rehearsed_for_these_sources_is_not_rehearsed_again(tmp_path, environ):
    (tmp_path / f"rehearsed-{sources_hash(ROOT)}").touch()
    rehearsal = Rehearsal(ROOT, environ)
    assert not rehearsal.needed
    rehearsal.wait(1)
    rehearsal.close()


def test_one_that_is_not_over_is_not_waited_for_for_ever_and_ends_with_us(tmp_path, environ, caplog):
    rehearsal = Rehearsal(ROOT, environ)
    try:
        assert rehearsal.needed
        rehearsal.wait(0.01)
        assert "the actors compile for themselves" in caplog.text
        assert not list(tmp_path.glob("rehearsed-*"))
    finally:
        rehearsal.close()
    assert not rehearsal.needed


def test_one_that_fails_is_told_and_not_taken_for_done(tmp_path, environ, caplog):
    rehearsal = Rehearsal(tmp_path, {**environ, "PYTHONPATH": ""})  # no project there
    rehearsal.wait(30)
    assert "the rehearsal failed with exit code 1" in caplog.text
    assert not list(tmp_path.glob("rehearsed-*"))
