"""A coin at two venues is one position: its order goes where it costs least, and never against itself."""

import math
import re
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from actors.runs.told import describe
from core.coin_split import split_rules
from core.coins import coins_at_venues
from core.cost_gate import cost_gate
from core.messages import AccountState, Balance, Market, MinuteRecord, MinuteTick, Reports, Verdicts
from core.params import CostSettings, ExecutionSettings, RiskSettings, SelectionSettings, TradeSettings
from core.record import input_hash, make_record
from core.risk import Risk
from core.selection import Selector, WeightTable
from core.units import Instrument, Side, to_decimal
from core.warmup import load_risk
from core.why import lines, why
from data import plain
from serve.dashboard.views import minute_view
from tests.support.markets import BTC, ETH, detected, intents, market, rules, votes, walk

KRW = 1 / 1_400
UPBIT = Instrument("upbit", "BTC/KRW")
ROWS = (BTC, UPBIT, ETH)
KNOWN = {
    BTC: rules(BTC, taker_fee=Decimal("0.001")),
    UPBIT: rules(UPBIT, tick=Decimal(10), min_notional=Decimal(5_000), taker_fee=Decimal("0.0005")),
    ETH: rules(ETH),
}


def seen(
    premium: float = 0.0,
    held: tuple[float, float] = (0.0, 0.0),
    cash: tuple[float, float] = (5_000.0, 5_000.0),
    **changes: object,
) -> Market:
    """BTC at 100 USDT at Binance and for ``premium`` more at Upbit; money at both, in USDT's worth."""
    mids = (100.0, 100.0 * (1 + premium) / KRW, 50.0)
    bars = np.stack([walk(240, 3, volatility=1e-3) for _ in ROWS])
    for row, mid in enumerate(mids):
        bars[row, :, :4] *= mid / bars[row, -1, 3]
        bars[row, :, 4] = 40.0
    money = (cash[0], cash[1] / KRW, cash[0])
    balances = (
        Balance(venue="binance", asset="USDT", free=to_decimal(money[0]), locked=Decimal(0)),
        Balance(venue="upbit", asset="KRW", free=to_decimal(round(money[1], 2)), locked=Decimal(0)),
        Balance(venue="binance", asset="BTC", free=to_decimal(held[0]), locked=Decimal(0)),
        Balance(venue="upbit", asset="BTC", free=to_decimal(held[1]), locked=Decimal(0)),
    )
    base = market(ROWS, mids=mids, held=(*held, 0.0), bars=bars)
    half = np.array([0.005, 5.0, 0.005])
    return replace(
        base,
        bid=np.array(mids) - half,
        ask=np.array(mids) + half,
        account=AccountState(at_ms=base.minute, balances=balances),
        cash=np.array(money),
        quote_rate=np.array([1.0, KRW, 1.0]),
        equity=sum(cash) + 100.0 * held[0] + 100.0 * (1 + premium) * held[1],
        premium_bps=np.array([-1e4 * premium, 1e4 * premium, math.nan]),
        shown=np.full((2, 3), 0.5),
        **changes,
    )


def review(
    at: Market,
    target: tuple[float, ...] = (0.4, 0.4, math.nan),
    edge: float = 200.0,
    limits: dict | None = None,
    buy_scale: np.ndarray | None = None,
    **execution: object,
) -> Verdicts:
    settings = ExecutionSettings(**execution)  # type: ignore[arg-type]
    costs = CostSettings()
    allowed = RiskSettings(
        **{
            "max_order_pct": 50,
            "max_position_pct": 60,
            "kelly_fraction": None,
            "max_position_volatility_pct": None,
            "target_volatility_pct": None,
            **(limits or {}),
        }
    )
    trade = TradeSettings(instruments=tuple(map(str, ROWS)), invest_pct=50)
    risk = Risk(trade, allowed, KNOWN, gate=cost_gate(settings, costs), split=split_rules(settings, costs))
    return risk.review(at, replace(intents(at, target), edge_bps=np.full(3, edge), buy_scale=buy_scale))


def worth(verdicts: Verdicts, at: Market) -> dict[Instrument, float]:
    rate = dict(zip(at.instruments, at.mid * at.quote_rate, strict=True))
    sign = {Side.BUY: 1.0, Side.SELL: -1.0}
    return {o.instrument: sign[o.side] * float(o.quantity) * rate[o.instrument] for o in verdicts.approved}


def test_which_rows_belong_together() -> None:
    assert coins_at_venues(ROWS) == [[0, 1]]
    assert coins_at_venues((BTC, ETH)) == []


def test_one_order_over_both_and_the_record_says_how() -> None:
    at = seen()
    verdicts = review(at)
    bought = worth(verdicts, at)
    assert set(bought) == {BTC, UPBIT}
    assert sum(bought.values()) == pytest.approx(2 * 0.4 * 0.5 * 10_000, rel=1e-3)
    assert bought[UPBIT] > bought[BTC], "half the fee"
    forecast, split, *_ = verdicts.approved[0].arithmetic
    assert forecast.endswith("forecast +200.00 bps, the mean of binance +200.00, upbit +200.00")
    assert split.startswith("one BTC order of +4000.00: binance +") and "upbit +" in split


def test_a_dear_venue_is_left_alone_and_a_cheap_one_taken() -> None:
    for premium, where in ((0.02, BTC), (-0.02, UPBIT)):
        at = seen(premium)
        assert set(worth(review(at, (0.2, 0.2, math.nan)), at)) == {where}


def test_where_the_money_is_short_the_other_takes_the_rest() -> None:
    at = seen(cash=(9_700.0, 300.0))
    bought = worth(review(at), at)
    assert 200.0 < bought[UPBIT] <= 300.0
    assert bought[BTC] + bought[UPBIT] == pytest.approx(4_000.0, rel=1e-3)


def test_a_silent_venue_has_no_room() -> None:
    at = seen()
    at = replace(at, fresh=np.array([False, True, True]))
    bought = worth(review(at), at)
    assert set(bought) == {UPBIT} and bought[UPBIT] == pytest.approx(4_000.0, rel=1e-3)
    unpriced = replace(at, fresh=np.ones(3, dtype=bool), quote_rate=np.array([1.0, math.nan, 1.0]))
    assert set(worth(review(unpriced), unpriced)) == {BTC}, "a rate that is missing"


def test_nothing_can_be_bought_anywhere_and_the_limit_is_named() -> None:
    at = replace(seen(), fresh=np.zeros(3, dtype=bool))
    verdicts = review(at)
    assert not verdicts.approved
    assert [r.reason.split(":")[0] for r in verdicts.refused] == ["not_fresh"]


def test_what_is_held_at_one_venue_is_not_traded_against_the_other() -> None:
    # All that both want lies at Upbit already: alone, one row would buy and the other sell.
    at = seen(held=(0.0, 40.0), cash=(3_000.0, 3_000.0))
    assert at.equity == pytest.approx(10_000.0)
    assert review(at).approved == ()
    alone = worth(review(at, split=False), at)
    assert alone[BTC] > 0.0 > alone[UPBIT]


def test_less_is_sold_where_it_earns_more_and_all_of_it_everywhere() -> None:
    at = seen(premium=0.01, held=(20.0, 20.0), cash=(3_000.0, 3_000.0))
    sold = worth(review(at, (0.2, 0.2, math.nan)), at)
    assert set(sold) == {UPBIT} and sold[UPBIT] == pytest.approx(-2_010.0, rel=0.02)
    everything = worth(review(at, (0.0, 0.0, math.nan)), at)
    assert everything[BTC] == pytest.approx(-2_000.0) and everything[UPBIT] == pytest.approx(-2_020.0)


def test_a_ceiling_holds_for_the_coin() -> None:
    at = seen()
    kelly = {"max_position_volatility_pct": None, "target_volatility_pct": None, "kelly_fraction": 0.002}
    # Mean 200 bps, spread 10 bps: 0.002 of Kelly is 0.002 x 200 x 10000 / 100 = 40 of equity; of 2 bps, 40 %.
    free = sum(worth(review(at, limits=kelly, edge=2.0, cost_gate="off"), at).values())
    held = sum(worth(review(at, limits={**kelly, "kelly_fraction": 0.001}, edge=2.0, cost_gate="off"), at).values())
    assert free == pytest.approx(4_000.0, rel=1e-3)
    assert held == pytest.approx(2_000.0, rel=1e-3)


def test_a_shock_at_one_venue_holds_the_coin_back_and_sells_nothing() -> None:
    shocked = np.array([0.5, 1.0, 1.0])
    at = seen()
    assert sum(worth(review(at, buy_scale=shocked), at).values()) == pytest.approx(2_000.0, rel=1e-3)
    # Half of the 4,000 that are wanted are there: more is not bought now, and none of it is sold.
    at = seen(held=(5.0, 25.0), cash=(4_000.0, 3_000.0))
    assert review(at, buy_scale=shocked).approved == ()
    assert sum(worth(review(at), at).values()) == pytest.approx(1_000.0, rel=1e-3)


def test_a_coin_that_rose_above_its_cap_in_all_is_trimmed_where_nobody_has_an_opinion() -> None:
    none = (math.nan,) * 3
    at = seen(held=(31.0, 31.5), cash=(1_750.0, 2_000.0))
    assert at.equity == pytest.approx(10_000.0)
    sold = worth(review(at, none), at)
    assert sum(sold.values()) == pytest.approx(-250.0, abs=5.0), "62.5 of 60 %: neither venue alone is above it"
    within = seen(held=(30.0, 30.5), cash=(1_950.0, 2_000.0))
    assert review(within, none).approved == ()


def test_a_coins_forecast_is_that_of_its_rows() -> None:
    at = seen()
    verdicts = review(at, edge=5.0)
    assert not verdicts.approved
    assert {r.reason.split(":")[0] for r in verdicts.refused} == {"cost_gate"}


def test_the_minutes_hash_knows_what_was_displayed() -> None:
    at = seen()
    assert input_hash(at) != input_hash(replace(at, shown=np.full((2, 3), 0.6)))
    load_risk(TradeSettings(instruments=tuple(map(str, ROWS))), RiskSettings(), KNOWN)


# Judged once, by one forecast


def both(at: Market, edges: tuple[float, float], cost_gate_is: str = "round_trip", **limits: object) -> Verdicts:
    """Selector and risk, as in a run, with forecasts of BTC at Binance and at Upbit; ETH is forecast nothing."""
    settings, costs = ExecutionSettings(cost_gate=cost_gate_is), CostSettings()  # type: ignore[arg-type]
    trade = TradeSettings(instruments=tuple(map(str, ROWS)), invest_pct=50)
    allowed = RiskSettings(
        **{
            "max_order_pct": 50,
            "max_position_pct": 60,
            "kelly_fraction": None,
            "max_position_volatility_pct": None,
            "target_volatility_pct": None,
            **limits,
        }
    )
    chooser = Selector(SelectionSettings(), WeightTable.equal(("ridge",)), ("ridge",), coins=True)
    chosen = chooser.choose(at, detected(at), votes(at, {"ridge": (*edges, 0.0)}))
    risk = Risk(trade, allowed, KNOWN, gate=cost_gate(settings, costs), split=split_rules(settings, costs))
    return risk.review(at, chosen)


def test_a_coin_is_bought_by_the_mean_of_its_forecasts_and_by_none_alone() -> None:
    at = seen()
    verdicts = both(at, (23.84, 26.36), "off")
    wanted = 2 / 3 * 25.1 / 60 * 0.5 * 10_000
    (coin,) = verdicts.coins
    assert (coin.edge_bps, coin.wanted) == (pytest.approx(25.1), pytest.approx(wanted))
    assert sum(worth(verdicts, at).values()) == pytest.approx(wanted, rel=1e-3)
    assert "forecast +25.10 bps, the mean of binance +23.84, upbit +26.36" in verdicts.approved[0].arithmetic[0]
    # One of them far above the threshold is not enough.
    verdicts = both(at, (15.0, 34.0))
    assert verdicts.approved == () == verdicts.refused and verdicts.coins[0].wanted == 0.0


def test_what_lies_at_one_venue_is_not_asked_for_again_by_the_other() -> None:
    # All that is wanted of it lies at Binance, whose own forecast is below the threshold now.
    wanted = 2 / 3 * 25.1 / 60 * 0.5
    at = seen(held=(wanted * 100.0, 0.0), cash=(5_000.0, 5_000.0 - wanted * 1e4))
    assert at.equity == pytest.approx(10_000.0)
    verdicts = both(at, (23.84, 26.36))
    assert verdicts.approved == ()
    assert "none is made" in verdicts.coins[0].lines[-1]


def test_the_way_out_is_judged_as_the_way_in_by_the_mean() -> None:
    at = seen(held=(14.0, 0.0), cash=(4_000.0, 4_600.0))
    kept = both(at, (0.9, 9.0))
    assert kept.approved == () and math.isnan(kept.coins[0].wanted)
    sold = both(at, (-2.0, 7.0))
    assert worth(sold, at) == {BTC: pytest.approx(-1_400.0)}
    assert sold.coins[0].wanted == 0.0 and "forecast +2.50 bps" in sold.approved[0].arithmetic[0]


def test_a_silent_markets_forecast_does_not_count() -> None:
    at = replace(seen(), fresh=np.array([False, True, True]))
    verdicts = both(at, (-50.0, 40.0))
    assert verdicts.coins[0].edge_bps == 40.0
    assert set(worth(verdicts, at)) == {UPBIT}
    assert "binance: nothing, not_fresh" in verdicts.approved[0].arithmetic


def test_nothing_is_bought_where_the_venues_own_forecast_does_not_pay() -> None:
    # Binance is cheaper by far more than its fee, but its market is expected to stand.
    at = seen(premium=0.01)
    verdicts = both(at, (5.0, 110.0))
    assert set(worth(verdicts, at)) == {UPBIT}
    lines = verdicts.approved[0].arithmetic
    assert "binance: nothing, cost_gate" in lines
    verdicts = both(at, (57.0, 58.0))
    assert set(worth(verdicts, at)) == {BTC}


def test_the_parts_and_what_is_left_add_up_and_each_cap_is_named() -> None:
    at = seen()
    verdicts = both(at, (80.0, 80.0), max_order_pct=10, max_order_usdt=800, max_position_pct=30)
    (coin,) = verdicts.coins
    assert f"{2 / 3 * 0.5 * 1e4:.2f} is wanted of it; max_position_pct allows 3000.00" in coin.lines
    (line,) = [one for one in coin.lines if one.startswith("one BTC order of ")]
    whole, here, there, left = map(float, re.findall(r"[+-]\d+\.\d\d", line))
    assert whole == 3_000.0 and left > 1_000.0
    assert here + there + left == pytest.approx(whole, abs=0.015)
    assert {f"{venue}: max_order_usdt allows 800.00" for venue in ("binance", "upbit")} <= set(coin.lines)
    (own,) = (o for o in verdicts.approved if o.instrument == UPBIT)
    assert f"upbit is asked for what it holds and {there:+.2f}" in own.arithmetic


def test_an_order_limit_below_the_band_still_sends_it_where_it_costs_least() -> None:
    at = seen(premium=0.01)
    verdicts = both(at, (26.0, 26.0), max_order_usdt=60, rebalance_band_pct=10)
    assert {i: round(w, -1) for i, w in worth(verdicts, at).items()} == {BTC: 60.0}
    at = seen(premium=-0.01)
    verdicts = both(at, (26.0, 26.0), max_order_usdt=60, rebalance_band_pct=10)
    assert {i: round(w, -1) for i, w in worth(verdicts, at).items()} == {UPBIT: 60.0}


def recorded(at: Market, edges: tuple[float, float]) -> MinuteRecord:
    """That minute as its record says it, read back."""
    verdicts = both(at, edges)
    chooser = Selector(SelectionSettings(), WeightTable.equal(("ridge",)), ("ridge",), coins=True)
    said = votes(at, {"ridge": (*edges, 0.0)})
    chosen = chooser.choose(at, detected(at), said)
    tick = MinuteTick(minute=at.minute, now_ms=at.minute, trace=at.trace)
    reports = Reports(minute=at.minute, trace=at.trace, orders=(), fills=())
    record = make_record(tick, at, detected(at), said, chosen, verdicts, reports)
    return plain.loads(MinuteRecord, plain.dumps(record))


def test_the_record_of_the_other_market_tells_where_the_order_went() -> None:
    record = recorded(seen(premium=0.02), (38.0, 42.0))
    assert [one.instrument for one in record.approved] == [BTC]
    told = list(lines(why(record, UPBIT), 25.0, 3.0))
    assert told[0] == "upbit:BTC/KRW: BTC is one position, and its order goes to binance"
    assert any("the mean of binance +38.00, upbit +42.00" in one for one in told)
    assert any(re.fullmatch(r"    one BTC order of \+\d+\.\d\d: binance .*", one) for one in told)
    page = minute_view(plain.encode(record), {"entry_edge_bps": 25.0, "exit_edge_bps": 3.0})
    assert page["rows"][1]["why"] == "BTC is one position, and its order goes to binance"
    (said,) = describe(record)
    assert (
        "BTC/USDT" in said
        and "forecast of BTC +40.0 bps, the mean of binance +38.0 and upbit +42.0 (ridge +38)" in said
    )


def test_a_market_whose_coin_is_kept_or_left_alone_says_so_of_the_coin() -> None:
    kept = recorded(seen(held=(14.0, 0.0), cash=(4_000.0, 4_600.0)), (0.9, 9.0))
    assert next(iter(lines(why(kept, BTC), 25.0, 3.0))).endswith(
        "BTC as a whole: edge +5.0 bps is between exit (3) and entry (25): keeps what it holds"
    )
    out = recorded(seen(), (15.0, 34.0))
    assert next(iter(lines(why(out, UPBIT), 25.0, 3.0))).endswith("BTC as a whole: edge +24.5 bps: stays out")
    (sums,) = minute_view(plain.encode(out), {})["sizing"]
    assert (sums["what"], sums["outcome"]) == ("binance:BTC/USDT, upbit:BTC/KRW", "none")
    assert sums["arithmetic"][0].endswith("forecast +24.50 bps, the mean of binance +15.00, upbit +34.00")
