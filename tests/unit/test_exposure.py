"""No limit is crossed on the worst days: what was traded is added up again by a checker that shares nothing with risk."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from core.params import MemberSettings, ModelSettings
from core.units import MINUTE_MS
from data.artifacts import ArtifactStore
from serve.models.rules import DEFAULTS, ChartRules
from tests.support.bad_days import (
    ALGORITHMS,
    CASH,
    CRASH_DAY,
    CRASHED,
    HALT_DAY,
    HALTED,
    Day,
    closes_of,
    crash,
    halt,
    judge,
    moods,
    real_day,
    restless,
    trade_day,
)
from tests.support.exposure_checker import CLOSING_MINUTES, Checked, Limits, Trade, check
from tests.support.outspoken import keep_untrained
from tune.train import ensure_members

TIGHT = {"risk__daily_loss_pct": 2, "risk__max_position_pct": 12, "risk__max_gross_pct": 40}
UNPROTECTED = {"protection__stop_loss_pct": None}
"""So that it is the loss limit that sells."""
DAYS = {
    "crash, unprotected": (crash, UNPROTECTED),
    "crash": (crash, {}),
    "crash, tight": (crash, TIGHT),
    "halt": (halt, {}),
    "halt, tight": (halt, TIGHT),
}


@cache
def made_up(name: str, bias: float = 25.0) -> Day:
    make, changes = DAYS[name]
    market = make()
    return trade_day(restless(len(market.instruments), **changes), market, moods(market, 3, bias))


def kept(found: Checked, least: int) -> None:
    """Nothing was crossed, and the limits were near enough for that to say something."""
    assert found.crossings == [], found.text()
    assert found.buys >= least and found.sells + found.exits >= least / 2, found.text()
    assert found.nearest["max_order_pct"] > 0.9, found.text()
    assert max(found.nearest["max_position_pct"], found.nearest["max_gross_pct"]) > 0.95, found.text()


@pytest.mark.parametrize("bias", [0.0, 25.0], ids=["of two minds", "hopeful"])
@pytest.mark.parametrize("name", DAYS)
def test_no_limit_is_crossed_in_a_made_up_crash_or_halt(name, bias):
    found = made_up(name, bias).found
    kept(found, 40)
    if bias:
        assert (found.breach is not None) == name.startswith("crash")


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "twap"])
def test_no_limit_is_crossed_however_an_order_is_worked(algorithm):
    market = crash()
    settings = restless(3, **TIGHT, execution__algorithm=algorithm)
    found = trade_day(settings, market, moods(market, 3, 10.0)).found
    assert found.crossings == [], found.text()
    assert found.breach is not None and found.buys > 20, found.text()


def test_a_loss_limit_ends_buying_within_the_minute_and_sells_all():
    day = made_up("crash, unprotected")
    trades, found = day.trades, day.found
    assert found.breach is not None and found.breach[1] == "daily_loss_pct"
    after = [t for t in trades if t.minute >= found.breach[0]]
    assert after and not any(t.buy for t in after)
    assert max(t.at_ms for t in after) < found.breach[0] + CLOSING_MINUTES * MINUTE_MS


def test_stops_sell_in_a_crash_and_are_judged_by_the_market_they_met():
    found = made_up("crash").found
    assert found.exits > 0 and found.nearest["exit_collar_bps"] < 1.0


def test_nothing_trades_in_a_halt_and_all_goes_on_after_it():
    trades = made_up("halt").trades
    first = halt().first_minute
    still, back = first + 60 * MINUTE_MS, first + 130 * MINUTE_MS
    # What was decided upon just before may still meet the minute's first milliseconds.
    assert not [t for t in trades if still + MINUTE_MS <= t.at_ms < back]
    assert sum(t.at_ms < still for t in trades) > 10
    assert sum(t.at_ms >= back for t in trades) > 10


@pytest.mark.shared
def test_no_limit_is_crossed_on_the_day_of_the_crash(shared_data: Path):
    market = real_day(shared_data / "binance_2023-03", CRASH_DAY, CRASHED)
    day = trade_day(restless(len(CRASHED)), market, moods(market, 3, 25.0))
    trades, found = day.trades, day.found
    kept(found, 800)
    assert found.breach is not None and found.breach[1] == "daily_loss_pct"
    assert found.lowest < -5.0
    assert not any(t.buy and t.minute >= found.breach[0] for t in trades)


@pytest.mark.shared
def test_no_limit_is_crossed_on_the_day_of_the_halt(shared_data: Path):
    market = real_day(shared_data / "binance_2023-03", HALT_DAY, HALTED)
    day = trade_day(restless(len(HALTED), **TIGHT), market, moods(market, 3, 25.0))
    trades, found = day.trades, day.found
    kept(found, 400)
    halted = range(HALT_DAY + 689 * MINUTE_MS, HALT_DAY + 840 * MINUTE_MS)
    assert not [t for t in trades if t.at_ms in halted]
    assert any(t.at_ms > halted.stop for t in trades)


def test_untrained_rules_are_there_to_speak_where_trained_members_are_silent(tmp_path: Path):
    """So that a replay of days on which nothing was ever proved trades all the same."""
    keep_untrained(tmp_path)
    settings = ModelSettings(members=(MemberSettings(name="rules", family="rules"),))
    found = ensure_members(None, (), None, settings, ArtifactStore(tmp_path / "artifacts"), before=HALT_DAY)
    assert ChartRules.load(found["rules"].path).coefficients.tolist() == list(DEFAULTS)


# --- the checker is no ornament ------------------------------------------------------------------------------------


def nth_buy(trades: list[Trade], after: int = 0) -> int:
    return next(n for n, t in enumerate(trades) if t.buy and t.at_ms >= after)


def doubled(trades: list[Trade], found: Checked) -> list[Trade]:
    """Every buy of one minute and coin was twice what it was said to be."""
    return [replace(t, quantity=2 * t.quantity) if t.buy and t.symbol == "BTC/USDT" else t for t in trades]


def left_out(trades: list[Trade], found: Checked) -> list[Trade]:
    """The sells of a coin were made up: it was never sold."""
    return [t for t in trades if t.buy or t.symbol != "BTC/USDT"]


def late(trades: list[Trade], found: Checked) -> list[Trade]:
    """A buy three minutes after the loss limit."""
    assert found.breach is not None
    was = max((t for t in trades if t.buy), key=lambda t: t.at_ms)
    at = found.breach[0] + 3 * MINUTE_MS
    close = closes_of(crash())
    price = close.close[close.symbols.index(was.symbol), (at - close.start) // MINUTE_MS]
    return [*trades, replace(was, at_ms=at + MINUTE_MS + 86, client_id="", price=Decimal(repr(float(price))))]


def dear(trades: list[Trade], found: Checked) -> list[Trade]:
    """One was paid for 1 % above the market."""
    n = nth_buy(trades)
    return [*trades[:n], replace(trades[n], price=trades[n].price * Decimal("1.01")), *trades[n + 1 :]]


def short(trades: list[Trade], found: Checked) -> list[Trade]:
    """A coin was sold before it was bought."""
    n = nth_buy(trades)
    return [replace(trades[n], buy=False, at_ms=trades[n].at_ms - 1), *trades]


def stale(trades: list[Trade], found: Checked) -> list[Trade]:
    """A fill of an order that was decided an hour before."""
    n = nth_buy(trades)
    return [*trades[:n], replace(trades[n], at_ms=trades[n].at_ms + 60 * MINUTE_MS), *trades[n + 1 :]]


@pytest.mark.parametrize(
    ("falsify", "limit"),
    [
        (doubled, "max_position_pct"),
        (left_out, "still held after a loss limit"),
        (late, "bought after daily_loss_pct"),
        (dear, "collar_bps"),
        (short, "sold more than was held"),
        (stale, "filled outside its minute"),
    ],
)
def test_a_falsified_fill_is_found(falsify: Callable[[list[Trade], Checked], list[Trade]], limit: str):
    day = made_up("crash")
    told = judge(restless(3), crash(), falsify(day.trades, day.found))
    assert limit in {crossing.limit for crossing in told.crossings}, told.text()
    assert limit in told.text()


def test_a_fill_in_a_market_without_a_bar_is_found():
    trades = made_up("halt").trades
    market = halt()
    gone = market.first_minute + 100 * MINUTE_MS
    was = max((t for t in trades if t.buy and t.at_ms < gone), key=lambda t: t.at_ms)
    told = judge(restless(3), market, [*trades, replace(was, at_ms=gone + MINUTE_MS, client_id="")])
    assert "bought without a bar" in {crossing.limit for crossing in told.crossings}


def test_a_fill_in_a_market_that_stands_still_is_found():
    day, market = made_up("crash"), crash()
    closes, was = closes_of(market), day.trades[nth_buy(day.trades)]
    row, at = closes.symbols.index(was.symbol), (was.minute - closes.start) // MINUTE_MS
    limits = Limits.of_settings(restless(3).model_dump(mode="json"))
    how = {"cash": CASH, "first_minute": market.first_minute, "minutes": market.minutes}
    for quiet, found in ((limits.stale_minutes - 1, False), (limits.stale_minutes, True)):
        volume = closes.volume.copy()
        volume[row, at + 1 - quiet : at + 1] = 0.0
        told = check(day.trades, replace(closes, volume=volume), limits, **how)
        assert ("bought where nothing traded" in {crossing.limit for crossing in told.crossings}) is found


@pytest.mark.parametrize("limit", ["max_order_pct", "max_position_pct", "max_gross_pct", "invest_pct", "collar_bps"])
def test_a_limit_a_little_tighter_than_what_was_done_is_found_crossed(limit):
    """So the measures are what they say: used to 97 % means that 96 % of it was too little."""
    day = made_up("crash, tight")
    market = crash()
    usual = Limits.of_settings(restless(3, **TIGHT).model_dump(mode="json"))
    tighter = replace(usual, **{limit: getattr(usual, limit) * day.found.nearest[limit] * 0.97})
    how = {"cash": CASH, "first_minute": market.first_minute, "minutes": market.minutes, "tolerance": 1e-4}
    if limit == "collar_bps":
        how["tolerance"] = 0.0
    told = check(day.trades, closes_of(market), tighter, **how)
    assert limit in {crossing.limit for crossing in told.crossings}


def test_more_orders_than_allowed_and_more_money_in_one_or_lost_in_a_day_are_found():
    day = made_up("halt", 0.0)
    market = halt()
    assert day.found.nearest["max_orders_per_minute"] == 3 / 20
    usual = Limits.of_settings(restless(3).model_dump(mode="json"))
    how = {"cash": CASH, "first_minute": market.first_minute, "minutes": market.minutes}
    for limit, allowed in (("max_orders_per_minute", 2), ("max_orders_per_day", 100), ("max_order_usdt", 900.0)):
        told = check(day.trades, closes_of(market), replace(usual, **{limit: allowed}), **how)
        assert {crossing.limit for crossing in told.crossings} == {limit}
    told = check(day.trades, closes_of(market), replace(usual, daily_loss_usdt=60.0), **how)
    assert told.breach is not None and told.breach[1] == "daily_loss_usdt"
    assert "bought after daily_loss_usdt" in {crossing.limit for crossing in told.crossings}


@pytest.mark.parametrize("name", ["crash", "halt"])
def test_the_account_adds_up_to_what_the_desk_believes(name):
    """From fills and closes alone, the equity that every minute was decided upon."""
    day = made_up(name)
    told = [record.equity for record in day.records if record.status == "done"]
    assert len(day.found.equity) == len(told)
    assert max(abs(a / b - 1.0) for a, b in zip(day.found.equity, told, strict=True)) < 1e-4
    assert min(told) < 0.99 * float(CASH)


def test_what_is_no_fill_is_refused():
    trades = made_up("crash").trades
    with pytest.raises(ValueError, match="not a fill of BTC/USDT"):
        judge(restless(3), crash(), [replace(trades[0], symbol="PEPE/USDT")])
    with pytest.raises(ValueError, match="not a fill"):
        judge(restless(3), crash(), [replace(trades[0], quantity=Decimal(0))])
