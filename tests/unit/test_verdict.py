"""The word on a run: seldom ``edge`` without one, ``edge`` with one, and every reason with its number."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from core.errors import DataError
from core.messages import TradingState
from core.units import DAY_MS, MINUTE_MS
from tests.support.results import made_up_result
from tests.unit.test_stats_ratios import START, run
from tune.result import FILLS, STATES, Costs, Tables, empty_orders
from tune.stats.overfitting import overfitting
from tune.stats.sharpe import Trials
from tune.verdict import Thresholds, Verdict, judge

STEP = 15
"""Minutes between the decisions of the runs below: many of them are judged."""


def account(rng, days: int = 60, trades: int = 120, edge: float = 0.0, cost: float = 0.001, drift: float = 0.0):
    """A run that is in a market without memory now and then; ``edge`` is the log return added to each trade, ``cost``
    what each of its two fills costs. Half the account is in a trade."""
    rows = days * 1_440 // STEP
    steps = 0.003 * rng.standard_normal(rows) + drift
    width = rows // trades
    entries = np.arange(trades) * width + rng.integers(0, width // 2, trades)
    exits = entries + rng.integers(1, width // 2, trades)
    share = edge / (exits - entries)
    held = np.zeros(rows, dtype=bool)
    for entry, leave, extra in zip(entries, exits, share, strict=True):
        held[entry + 1 : leave + 1] = True
        steps[entry + 1 : leave + 1] += extra
    close = 100 * np.exp(np.cumsum(steps))
    growth = np.where(held, 0.5 * np.expm1(steps), 0.0)
    growth[entries + 1] -= 0.5 * cost
    growth[exits] -= 0.5 * cost
    equity = 10_000 * np.cumprod(1 + growth)
    minute = START + STEP * MINUTE_MS * np.arange(rows, dtype=np.int64)
    at = np.ravel(np.column_stack([entries, exits]))
    notional = 0.5 * equity[np.repeat(entries, 2)]
    quantity = notional / close[np.repeat(entries, 2)]
    fills = pl.DataFrame(
        {
            "order": np.arange(len(at)), "minute": minute[at], "at_ms": minute[at] + MINUTE_MS, "symbol": "BTC/USDT",
            "side": ["buy", "sell"] * trades, "quantity": quantity, "price": close[at],
            "notional_usdt": quantity * close[at], "fee_usdt": cost * quantity * close[at], "spread_usdt": 0.0,
            "impact_usdt": 0.0, "delay_usdt": 0.0, "maker": False,
        },
        schema=FILLS,
    )  # fmt: skip
    net = float(equity[-1] - equity[0])
    fees = float(fills["fee_usdt"].sum())
    return replace(
        run(equity, STEP * MINUTE_MS, close=close[:, None]),
        tables=Tables(fills, empty_orders()),
        costs=Costs(gross=net + fees, fees=fees, net=net),
    )


def words(seeds: int, **how) -> dict[str, float]:
    """Share of each word over that many runs."""
    found = [judge(account(np.random.default_rng(seed), **how), resamples=300).word for seed in range(seeds)]
    return {word: found.count(word) / seeds for word in ("edge", "unproven", "none")}


def test_without_an_edge_costs_leave_none():
    share = words(300)
    assert share["edge"] == 0.0
    assert share["none"] >= 0.95


def test_even_without_costs_luck_is_seldom_an_edge():
    share = words(300, cost=0.0)
    assert share["edge"] <= 0.05
    assert share["none"] >= 0.4


def test_a_market_that_rises_is_no_edge():
    share = words(150, cost=0.0, drift=0.0004)
    assert share["edge"] <= 0.1, "the level of the random-entry test, with every other one passed"


@pytest.mark.parametrize(("edge", "least"), [(0.004, 0.55), (0.005, 0.9), (0.008, 0.98)])
def test_an_edge_of_that_size_is_seen_with_this_power(edge, least):
    """120 trades in 60 days of 40, 50 or 80 bps each, 20 bps of costs taken from them, and swings of about 100 bps:
    annual Sharpe ratios of about 5.5, 8 and 16. Measured over 100 runs: 68 %, 97 % and 100 % are called an edge."""
    share = words(80, edge=edge)
    assert share["edge"] >= least
    assert share["none"] <= 0.02


def test_the_best_of_many_without_an_edge_is_not_taken_for_one():
    """Twenty variants without an edge or costs, the best one shown: edge in at most 1 of 40."""
    edges = plain = 0
    for seed in range(40):
        runs = [account(np.random.default_rng([seed, n]), cost=0.0) for n in range(20)]
        daily = np.array([r.equity[:: 1_440 // STEP] for r in runs]).T
        returns = daily[1:] / daily[:-1] - 1
        sharpes = returns.mean(axis=0) / returns.std(axis=0) * np.sqrt(365)
        best = runs[int(sharpes.argmax())]
        plain += judge(best, resamples=300).word == "edge"
        found = judge(best, trials=Trials.of(sharpes), pbo=overfitting(returns, 8).pbo, resamples=300)
        edges += found.word == "edge"
    assert edges <= 1
    assert plain >= 10, "judged as if it had been the only one, it fools"


# Reasons


def good(**how):
    return account(np.random.default_rng(1), edge=0.01, **how)


def test_every_test_of_an_edge_is_a_sentence_with_its_numbers():
    found = judge(good(), trials=Trials(count=5, variance=1.0), pbo=0.1, folds=(5.0, -1.0, 3.0))
    assert found.word == "edge"
    assert len(found.reasons) == 9 and all(r.startswith("Passed: ") and r.endswith(".") for r in found.reasons)
    text = "\n".join(found.reasons)
    for part in ("60.0 days", "120 trades", "5 variants", "95%", "2 of 3 folds", "10%, at most 25%", "best day", "bps"):
        assert part in text, part
    assert found.figures["deflated_sharpe"] > 0.95
    assert found.figures["minimum_track_days"] < 60


def failed(verdict: Verdict) -> list[str]:
    return [r for r in verdict.reasons if not r.startswith("Passed: ")]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"pbo": 0.4, "trials": Trials(count=5, variance=1.0)}, "probability of overfitting"),
        ({"trials": Trials(count=5, variance=1.0)}, "Not tested: 5 variants were tried"),
        ({"folds": (1.0, -1.0, -1.0)}, "1 of 3 folds made a net profit"),
        ({"thresholds": Thresholds(days=61)}, "60.0 days were run, at least 61"),
        ({"thresholds": Thresholds(trades=121)}, "120 trades were closed, at least 121"),
    ],
)
def test_one_failed_test_is_enough_for_unproven(how, reason):
    found = judge(good(), **how)
    assert found.word == "unproven"
    assert len(failed(found)) == 1 and reason in found.reasons[0]


def test_too_many_trials_for_what_was_found_is_none():
    found = judge(good(), trials=Trials(count=1_000, variance=400.0), pbo=0.0)
    assert found.word == "none"
    assert "not above the" in found.reasons[0] and "1,000 variants" in found.reasons[0]


def test_all_of_it_on_one_day_is_unproven():
    result = good(trades=40)
    equity = np.full_like(result.equity, 10_000.0)
    equity[-50:] = 10_900.0
    found = judge(replace(result, equity=equity))
    assert found.word != "edge"
    assert any("without its best day" in r for r in failed(found))


def test_prices_that_are_too_sparse_leave_it_unproven_until_given():
    result = good()
    sparse = np.arange(0, result.minutes, 200)
    coarse = replace(result, grid=sparse, close=result.close[sparse], worth=result.worth[sparse])
    found = judge(coarse)
    assert found.word == "unproven" and "pass prices" in found.reasons[0]
    assert judge(coarse, prices=(result.minute, result.close)).word == "edge"


def test_days_in_which_nothing_may_be_bought_are_no_evidence():
    result = good()
    state = np.zeros(len(result.equity), dtype=np.int8)
    state[len(state) // 10 :] = STATES.index(TradingState.REDUCING)
    stopped = judge(replace(result, state=state))
    told = "Failed: in 6.0 days of 60.0 days it was allowed to buy, at least 14 are needed."
    assert stopped.word == "unproven" and failed(stopped) == [told]
    assert stopped.figures["days"] == pytest.approx(60.0, abs=0.1) and stopped.figures["days_buying"] == pytest.approx(
        6.0, abs=0.1
    )
    assert judge(replace(result, state=np.zeros_like(state))).word == "edge"


def test_folds_that_held_and_traded_nothing_made_no_profit():
    found = judge(good(), folds=(5.0, math.nan, math.nan))
    assert found.word == "unproven"
    (reason,) = failed(found)
    assert "1 of 3 folds made a net profit (2 held and traded nothing)" in reason
    assert found.figures["folds_positive"] == 1 and found.figures["folds_idle"] == 2


def test_nothing_traded_and_nothing_run():
    for equity in ([1_000.0] * 3, [1_000.0], [np.nan]):
        found = judge(run(equity))
        assert found.word == "none" and "Nothing was traded" in found.reasons[0]


@pytest.mark.parametrize("minutes", [1, 2, 3, 70, 3_000])
def test_short_runs_are_judged_and_their_verdict_is_json(minutes):
    result = made_up_result(minutes, 2, 40, edge=0.001)
    found = judge(result, folds=(1.0,))
    assert found.word in ("none", "unproven")
    assert Verdict.from_json(found.to_json()) == found


def test_constant_equity_with_fills_and_missed_minutes():
    result = good()
    flat = judge(replace(result, equity=np.full_like(result.equity, 10_000.0)))
    assert flat.word == "none" and "made +0.00 USDT" in flat.reasons[0]
    missed = result.equity.copy()
    missed[::7] = np.nan
    assert judge(replace(result, equity=missed)).word == "edge"
    assert judge(replace(result, equity=np.full_like(missed, np.nan))).word == "none"


def test_losing_names_what_the_costs_took():
    found = judge(account(np.random.default_rng(2), edge=0.001))
    assert found.word == "none"
    assert "before costs" in found.reasons[0] and f"{found.figures['net_usdt']:+,.2f}" in found.reasons[0]


def test_equal_inputs_give_an_equal_verdict():
    assert judge(good()) == judge(good())


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"word": "sure", "reasons": [], "figures": {}}', '"edge"'])
def test_what_is_no_verdict_is_refused(text):
    with pytest.raises(DataError, match="run the backtest again"):
        Verdict.from_json(text)


def test_a_day_is_a_day():
    assert judge(good(days=20)).figures["days"] == pytest.approx(20 - (STEP - 1) * MINUTE_MS / DAY_MS)
