"""Pauses after losses hold on the worst days: reckoned anew from the fills by a checker that shares nothing with risk."""

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest

from tests.support.bad_days import Day, crash, halt, moods, restless, trade_day
from tests.support.exposure_checker import Trade
from tests.support.pause_checker import Pauses, broken, pauses_of

STRICT = {
    "risk__cooldown_minutes": 3,
    "risk__max_consecutive_losses": 4,
    "risk__consecutive_losses_pause_minutes": 6,
    "risk__max_stop_outs": 2,
    "risk__stop_outs_within_minutes": 30,
    "risk__stop_outs_pause_minutes": 8,
    "risk__low_profit_trips": 3,
    "risk__low_profit_pct": -0.5,
    "risk__low_profit_within_minutes": 60,
    "risk__low_profit_pause_minutes": 12,
    "protection__stop_loss_pct": 0.6,
}
"""So near that each of them holds within three hours."""
SETTINGS = restless(3, **STRICT)
RULES = Pauses.of_settings(SETTINGS.model_dump(mode="json")["rules"]["risk"])
DAYS = {"crash": crash, "halt": halt}
pytestmark = pytest.mark.parametrize("name", DAYS)


@cache
def played(name: str) -> Day:
    market = DAYS[name]()
    return trade_day(SETTINGS, market, moods(market, 3))


def fills_of(name: str) -> list[Trade]:
    return sorted(played(name).trades, key=lambda fill: fill.at_ms)


def test_nothing_is_bought_in_a_pause_and_each_of_them_came(name):
    fills = fills_of(name)
    came = Counter(pause.name for pause in pauses_of(fills, RULES))
    assert came.keys() == {"cooldown_minutes", "low_profit_trips", "max_consecutive_losses", "max_stop_outs"}
    assert broken(fills, RULES) == [] and played(name).found.crossings == []
    held_back = {refused.reason.split(":")[0] for record in played(name).records for refused in record.refused}
    assert {"cooldown_minutes", "low_profit_pct", "max_consecutive_losses", "max_stop_outs"} <= held_back
    assert sum(fill.buy for fill in fills) > 200


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("cooldown_minutes", 6, "cooldown_minutes"),
        ("consecutive_losses_pause_minutes", 12, "max_consecutive_losses"),
        ("max_consecutive_losses", 3, "max_consecutive_losses"),
        ("stop_outs_pause_minutes", 30, "max_stop_outs"),
        ("max_stop_outs", 1, "max_stop_outs"),
        ("low_profit_pause_minutes", 20, "low_profit_trips"),
        ("low_profit_trips", 2, "low_profit_trips"),
    ],
)
def test_stricter_rules_than_those_in_force_are_found_broken(name, key, value, found):
    told = broken(fills_of(name), replace(RULES, **{key: value}))
    assert {pause.name for _, pause in told} == {found}
