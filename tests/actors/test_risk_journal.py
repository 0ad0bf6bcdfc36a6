"""What risk keeps over a restart: the newest of each part, and no more written than what changed."""

import json
from dataclasses import replace

from actors.risk import in_parts, taken_up
from core.messages import ClosedTrip, TradingState
from core.params import RiskSettings, TradeSettings
from core.risk import Risk, RiskState
from tests.support.markets import BTC, intents, market, rules


def desk() -> Risk:
    return Risk(TradeSettings(instruments=(str(BTC),)), RiskSettings(), {BTC: rules(BTC)})


def test_nothing_kept_is_a_fresh_state():
    assert taken_up([]) == (RiskState(), {})


def test_a_state_comes_back_from_its_parts_as_it_was():
    risk = desk()
    now = market((BTC,))
    trip = ClosedTrip(number=1, instrument=BTC, at_ms=now.minute, result_pct=-1.0)
    now = replace(now, account=replace(now.account, closed=(trip,)))
    risk.review(now, intents(now, (0.2,)))
    risk.halt("anna", "looking", 5)
    parts = in_parts(risk.state)
    entries = [("risk_history", b'{"history": []}'), *((kind, text.encode()) for kind, text in parts.items())]
    state, kept = taken_up(entries)
    assert state == risk.state
    assert kept == parts
    assert state.state is TradingState.HALTED
    assert state.guards["losses_in_a_row"] == 1


def test_a_quiet_minute_changes_the_small_part_alone():
    risk = desk()
    now = market((BTC,))
    risk.review(now, intents(now, (float("nan"),)))
    before = in_parts(risk.state)
    now = replace(now, minute=now.minute + 60_000, now_ms=now.now_ms + 60_000)
    risk.review(now, intents(now, (float("nan"),)))
    after = in_parts(risk.state)
    assert [kind for kind in after if after[kind] != before[kind]] == ["risk_state"]
    assert len(after["risk_state"]) < 500


def test_a_journal_of_the_first_version_is_taken_up():
    old = {name: value for name, value in RiskState().to_json().items() if name not in ("guards", "history")}
    for added in ("day_money", "orders_day", "orders_today"):
        del old[added]
    state, _ = taken_up([("risk_state", json.dumps(old | {"state": "halted"}).encode())])
    assert state.state is TradingState.HALTED
