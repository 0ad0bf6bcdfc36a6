"""Fees in whole units, the venues' tables, grids, and where the cost of a fill went."""

import math
import os
import subprocess
import sys
from decimal import ROUND_DOWN
from decimal import Decimal as D
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.checks import lot_ok, money_of, notional_ok, percent_price_ok
from core.costs import BINANCE_SPOT, UNITS, commission, fees_of, split_cost, terms_of, units_of
from core.errors import ConfigError
from core.execution.schedules.twap import least_lots, next_slice, smallest_order
from core.grid import fine_grid, step_for, upbit_tick
from core.params import CostSettings
from core.units import Instrument
from exchanges.simulated.fees import fee_on
from exchanges.simulated.rules import default_rules

ROOT = Path(__file__).resolve().parents[2]
BTC = Instrument("binance", "BTC/USDT")
KRW = Instrument("upbit", "BTC/KRW")


# Fees


@pytest.mark.parametrize(
    ("tier", "paid_in", "maker", "taker"),
    [
        (0, "received", "0.001", "0.001"),
        (1, "received", "0.0009", "0.001"),
        (9, "received", "0.00011", "0.00023"),
        (0, "bnb", "0.00075", "0.00075"),
        (5, "bnb", "0.0001875", "0.0002325"),
    ],
)
def test_binance_charges_by_tier_and_a_quarter_less_in_bnb(tier, paid_in, maker, taker):
    found = fees_of(BTC, CostSettings(fee_tier={"binance": tier}, fee_paid_in=paid_in))
    assert (found.maker, found.taker, found.in_quote) == (D(maker), D(taker), paid_in == "bnb")


def test_a_higher_tier_never_costs_more():
    for lower, higher in pairwise(BINANCE_SPOT):
        assert higher[0] <= lower[0]
        assert higher[1] <= lower[1]
        assert higher[0] <= higher[1]


def test_upbit_charges_by_quote_currency_out_of_it():
    assert fees_of(KRW, CostSettings()) == (D("0.0005"), D("0.0005"), True)
    assert fees_of(Instrument("upbit", "ETH/BTC"), CostSettings()).taker == D("0.0025")
    assert fees_of(Instrument("upbit", "ETH/USDT"), CostSettings(fee_paid_in="bnb")).taker == D("0.0025")
    with pytest.raises(ConfigError, match="one tier only"):
        fees_of(KRW, CostSettings(fee_tier={"upbit": 2}))
    with pytest.raises(ConfigError, match="EUR"):
        fees_of(Instrument("upbit", "BTC/EUR"), CostSettings())


def test_fees_can_be_switched_off_and_a_tier_that_is_none_is_refused():
    assert fees_of(BTC, CostSettings(fees=False)) == (0, 0, False)
    with pytest.raises(ValidationError):
        CostSettings(fee_tier={"binance": 10})
    with pytest.raises(ValidationError):
        CostSettings(fee_tier={"kraken": 1})


@settings(deadline=None)
@given(amount=st.integers(0, 9 * 10**18), rate=st.integers(0, 25_000_000))
def test_a_fee_in_whole_units_is_the_decimal_one_cut(amount, rate):
    if amount * rate > 9 * 10**18 * UNITS:
        amount //= 100
    exact = (D(amount) / UNITS * D(rate) / UNITS).quantize(D("1e-8"), rounding=ROUND_DOWN)
    assert commission(amount, rate) == amount * rate // UNITS == units_of(exact)
    assert fee_on(D(amount) / UNITS, D(rate) / UNITS) == exact


# Grids


@pytest.mark.parametrize(
    ("symbol", "price", "tick"),
    [
        ("BTC/KRW", 150_000_000.0, "1000"),
        ("SOL/KRW", 999_999.0, "500"),
        ("ETH/KRW", 100_000.0, "100"),
        ("A/KRW", 99_999.0, "50"),
        ("A/KRW", 10_000.0, "10"),
        ("A/KRW", 5_000.0, "5"),
        ("DOGE/KRW", 298.0, "1"),
        ("A/KRW", 10.0, "0.1"),
        ("A/KRW", 0.0005, "0.000001"),
        ("USDT/KRW", 1_400.0, "0.5"),
        ("USDT/KRW", 999.0, "1"),
        ("ETH/BTC", 0.03, "0.00000001"),
    ],
)
def test_upbits_tick_is_a_table_of_the_price(symbol, price, tick):
    assert upbit_tick(symbol, price) == D(tick)


@given(st.floats(1e-6, 1e8))
def test_money_keeps_eight_decimals_on_every_grid(price):
    tick, step = fine_grid(price)
    assert tick * step == D("1e-8")
    assert float(tick) <= price * 1e-6 * (1 + 1e-9)
    assert float(step) * price <= 0.11
    krw = upbit_tick("A/KRW", price)
    assert krw * step_for(krw) % D("1e-8") == 0


def test_rules_follow_the_settings():
    usual, free = default_rules(BTC, 60_000.0), default_rules(BTC, 60_000.0, CostSettings(min_notional=False))
    assert (usual.min_notional, free.min_notional) == (5, 0)
    fine = default_rules(BTC, 60_000.0, CostSettings(rounding=False, fees=False))
    assert (fine.tick, fine.taker_fee) == (D("0.01"), 0)
    assert fine.step == D("0.000001")
    krw = default_rules(KRW, 150_000_000.0)
    assert (krw.tick, krw.step, krw.min_notional, krw.taker_fee) == (1_000, D("1e-8"), 5_000, D("0.0005"))
    assert krw.max_qty * 150_000_000 <= 10**9


# Checks and slices in ints


def test_the_venues_checks():
    assert lot_ok(5, 1, 10)
    assert not lot_ok(0, 1, 10)
    assert not lot_ok(11, 1, 10)
    assert notional_ok(10, 100, 1000, 1_000_000, 2_000_000)
    assert not notional_ok(9, 100, 1000, 1_000_000, 2_000_000)
    assert not notional_ok(21, 100, 1000, 1_000_000, 2_000_000)
    assert percent_price_ok(100, 0.01, 1.0, 0.2, 5.0)
    assert not percent_price_ok(501, 0.01, 1.0, 0.2, 5.0)
    assert percent_price_ok(501, 0.01, math.nan, 0.2, 5.0)
    assert money_of(3, 7, 1000) == 21_000


@settings(deadline=None)
@given(unsent=st.integers(0, 10**9), slots=st.integers(1, 60), least=st.integers(1, 10**6), most=st.integers(1, 10**9))
def test_slices_never_pass_a_bound_and_leave_a_sendable_rest(unsent, slots, least, most):
    lots = next_slice(unsent, slots, least, most)
    if unsent < least:
        assert lots == 0
        return
    assert 0 < lots <= min(unsent, most)
    assert lots >= min(least, most)
    if lots < most and lots < unsent:
        # Equal shares: the rest fills the other slots with sizes that differ by at most a lot.
        assert next_slice(unsent - lots, slots - 1, least, most) in (lots, lots - 1)


@settings(deadline=None)
@given(ticks=st.integers(1, 10**8), notional=st.sampled_from(["0", "5", "5000", "0.0001"]))
def test_the_smallest_order_is_the_same_in_ints_and_decimals(ticks, notional):
    rules = default_rules(BTC, 60_000.0)
    price = ticks * rules.tick
    unit = units_of(rules.tick * rules.step)
    object.__setattr__(rules, "min_notional", D(notional))
    lots = least_lots(1, units_of(D(notional)), ticks * unit)
    assert lots * rules.step == smallest_order(rules, price)
    assert lots == 1 or (lots - 1) * rules.step * price < rules.min_notional <= lots * rules.step * price


# Where the money went


@settings(deadline=None)
@given(
    buying=st.booleans(),
    quantity=st.floats(1e-3, 1e3),
    bid=st.integers(1_000, 10_000),
    width=st.integers(1, 50),
    behind=st.integers(0, 500),
    mid_then=st.floats(10.0, 100.0),
)
def test_the_parts_add_up_to_what_was_lost(buying, quantity, bid, width, behind, mid_then):
    tick, ask = 0.01, bid + width
    ticks = ask + behind if buying else bid - behind
    delay, spread, impact = split_cost(buying, quantity, ticks, bid, ask, tick, mid_then)
    lost = (ticks * tick - mid_then) * quantity * (1 if buying else -1)
    assert delay + spread + impact == pytest.approx(lost, rel=1e-9, abs=1e-9)
    assert spread > 0
    assert impact >= 0


def test_a_known_split():
    # Mid 100.00 at the decision, the book is 100.09 x 100.11 when it acts, filled two ticks behind the ask.
    assert split_cost(True, 2.0, 10_013, 10_009, 10_011, 0.01, 100.0) == pytest.approx((0.2, 0.02, 0.04))
    assert split_cost(False, 2.0, 10_007, 10_009, 10_011, 0.01, 100.0) == pytest.approx((-0.2, 0.02, 0.04))


def test_what_is_switched_off_has_the_numbers_of_no_cost():
    off = dict.fromkeys(("fees", "spread", "impact", "latency", "participation", "halts"), False)
    terms = terms_of(CostSettings(**off))
    assert terms.depth.coefficient == 0.0
    assert terms.latency_ms == 0
    assert terms.share == math.inf
    assert not terms.halts
    assert terms.half_spread_default_bps == terms.half_spread_max_bps == 0.0
    on = terms_of(CostSettings())
    assert (on.latency_ms, on.share, on.halts, on.depth) == (86, 0.1, True, (1.0, 0.1))


# Compiled and not

KERNELS = """
import numpy as np
from core.book import LEVELS, Depth, best_ticks, room_of, side_levels, take_levels
from core.costs import commission, split_cost
from core.execution.schedules.twap import next_slice
from core.liquidity import half_spreads, liquidity_at
from core.path import extremes_at, price_at, share_below
rng = np.random.default_rng(5)
close = 100.0 * np.exp(np.cumsum(rng.normal(0, 1e-3, (2, 400)), axis=1))
opened = close * np.exp(rng.normal(0, 2e-4, close.shape))
high, low = np.maximum(opened, close) * 1.0004, np.minimum(opened, close) * 0.9997
bars = np.stack([opened, high, low, close, rng.lognormal(3, 1, close.shape)], axis=2)
bars[0, 40:45] = np.nan
said = [half_spreads(bars, 600_000, 2.0, 50.0).tobytes().hex()]
for e in range(0, 400, 13):
    volume, sigma = liquidity_at(bars[1], e, 1e-4)
    price = price_at(*bars[1, e, :4], e * 150)
    ticks, steps, gone, level, part = (np.zeros(LEVELS, np.int64) for _ in range(5))
    n = side_levels(bool(e % 2), price, price * 1e-4, 0.01, 1e-3, volume, sigma, Depth(1.0, 0.1), ticks, steps)
    k = take_levels(bool(e % 2), ticks, steps, n, gone, 0, 5_000, room_of(volume, 0.1, 1e-3, True), level, part)
    said += [volume.hex(), sigma.hex(), price.hex(), ticks[:n].tolist(), steps[:n].tolist(), part[:k].tolist()]
    said += [extremes_at(*bars[1, e, :4], e * 150), best_ticks(price, 0.03, 0.01), share_below(1.0, 2.0, 1.0 + e / 500)]
    said += [commission(e * 10**15 + 7, 23_250), next_slice(e, 3, 20, 90), split_cost(True, 1.5, 105, 99, 101, 0.1, 9.9)]
for one in said:
    print(one if isinstance(one, str | list) else [float(x).hex() for x in np.atleast_1d(one)])
"""


def test_kernels_give_the_same_bits_uncompiled(capsys):
    exec(KERNELS, {})
    here = capsys.readouterr().out
    other = "0" if os.environ.get("NUMBA_DISABLE_JIT") == "1" else "1"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": other}
    done = subprocess.run([sys.executable, "-c", KERNELS], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert len(here) > 5_000
    assert done.stdout == here
