"""Sizes: on the grid, within every limit, never below the minimum, never leaving what cannot be sold."""

import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.sizing import LIMIT_NAMES, Caps, Limit, Rows, arithmetic, size_rows
from tests.support.markets import BTC, rules

CAPS = Caps(
    equity=10_000.0,
    invest=0.3,
    min_order=50.0,
    max_order=0.1,
    max_position=0.15,
    max_gross=0.6,
    band=0.01,
    collar=0.003,
    max_orders=20.0,
)


def rows(count: int = 1, **changes) -> Rows:
    """Rows of a 100 USDT coin sold in hundredths, nothing held, plenty of cash."""
    base = {
        "target": 1.0,
        "held": 0.0,
        "sellable": None,
        "mid": 100.0,
        "price": None,
        "rate": 1.0,
        "step": 0.01,
        "tick": 0.01,
        "min_qty": 0.01,
        "max_qty": 9_000.0,
        "min_notional": 5.0,
        "fee": 0.001,
        "cash": 1e6,
        "purse": 0,
        "coin": None,
        "most": 1.0,
        "ceiling": math.inf,
        "buy_block": 0,
        "sell_block": 0,
        "ceiling_limit": 0,
    } | changes
    if base["sellable"] is None:
        base["sellable"] = np.floor(np.asarray(base["held"]) / np.asarray(base["step"]) + 1e-9)
    if base["price"] is None:
        base["price"] = base["mid"]
    if base["coin"] is None:
        base["coin"] = np.arange(count)
    whole = {"purse", "coin", "buy_block", "sell_block", "ceiling_limit"}
    return Rows(
        **{
            name: np.array(np.broadcast_to(np.asarray(value, dtype=np.int64 if name in whole else float), (count,)))
            for name, value in base.items()
        }
    )


def one(caps: Caps = CAPS, **changes) -> tuple[float, Limit]:
    sized = size_rows(rows(**changes), caps)
    return float(sized.lots[0]), Limit(int(sized.limit[0]))


@pytest.mark.parametrize(
    ("changes", "lots", "limit"),
    [
        ({"target": 0.2}, 600, Limit.PASSED),
        ({"target": math.nan}, 0, Limit.KEEP),
        ({"target": math.nan, "held": 15.9}, 0, Limit.KEEP),
        ({"target": math.nan, "held": 16.1}, -110, Limit.PASSED),
        ({"target": math.nan, "held": 6.1, "most": 0.05}, -110, Limit.PASSED),
        ({"target": math.nan, "held": 16.1, "mid": math.nan, "price": 100.0}, 0, Limit.KEEP),
        ({"target": math.nan, "held": 16.1, "rate": math.nan}, 0, Limit.KEEP),
        ({"target": math.nan, "held": 30.0}, -999, Limit.MAX_ORDER),
        ({"target": 0.0}, 0, Limit.NOTHING),
        ({"target": 0.2, "held": 6.5}, 0, Limit.BAND),
        ({"target": 0.2, "held": 8.0}, -200, Limit.PASSED),
        ({"target": 0.0, "held": 8.0}, -800, Limit.PASSED),
        ({"target": 0.0, "held": 0.3}, -30, Limit.PASSED),
        ({"target": 0.0, "held": 0.049}, 0, Limit.DUST),
        ({"target": 0.4}, 997, Limit.MAX_ORDER),
        ({"target": 0.6, "held": 14.0}, 99, Limit.MAX_POSITION),
        ({"target": 0.6, "held": 17.0}, -200, Limit.PASSED),
        ({"target": 0.2, "cash": 300.0}, 298, Limit.CASH),
        ({"target": 0.2, "cash": 40.0}, 0, Limit.CASH),
        ({"target": 0.2, "max_qty": 2.0}, 200, Limit.MAX_QTY),
        ({"target": 0.2, "ceiling": 0.03, "ceiling_limit": Limit.KELLY}, 299, Limit.KELLY),
        ({"target": 0.2, "held": 4.0, "ceiling": 0.03, "ceiling_limit": Limit.KELLY}, 0, Limit.KELLY),
        ({"target": 0.3, "held": 4.0, "most": 0.05}, 99, Limit.MAX_POSITION),
        ({"target": 0.3, "held": 8.0, "most": 0.05}, -300, Limit.PASSED),
        ({"target": 0.2, "buy_block": Limit.NOT_FRESH}, 0, Limit.NOT_FRESH),
        ({"target": 0.2, "mid": math.nan, "price": 100.0}, 0, Limit.NO_BOOK),
        ({"target": 0.0, "held": 8.0, "sell_block": Limit.HALTED}, 0, Limit.HALTED),
        ({"target": 0.0, "held": 8.0, "buy_block": Limit.NOT_FRESH}, -800, Limit.PASSED),
    ],
)
def test_one_row(changes, lots, limit):
    assert one(**changes) == (lots, limit)


def test_an_order_in_money_and_a_row_with_a_cap_of_its_own_are_named():
    caps = CAPS._replace(max_order_usdt=200.0)
    r = rows(target=0.2)
    assert "max_order_usdt allows 200.00" in arithmetic(r, caps, size_rows(r, caps), 0, rules())
    r = rows(target=0.2, most=0.02)
    assert "max_pct allows 200.00" in arithmetic(r, CAPS, size_rows(r, CAPS), 0, rules())


def test_a_position_that_rose_above_its_cap_is_trimmed_and_the_arithmetic_says_so():
    r = rows(target=math.nan, held=16.5)
    assert arithmetic(r, CAPS, size_rows(r, CAPS), 0, rules())[:2] == (
        "no target; cap 15% of 10000.00 = 1500.00",
        "held 16.5 BTC = 1650.00, change -150.00",
    )
    poor = CAPS._replace(equity=1_000.0)
    assert one(poor, target=math.nan, held=1.9) == (0, Limit.KEEP), "less than an order is no reason to trade"
    assert one(poor, target=math.nan, held=2.1) == (-60, Limit.PASSED)


def test_a_sell_leaves_no_rest_that_cannot_be_sold():
    # wanted 3.5 of 3.9 held: 0.4 x 100 USDT would be left, under the 50 of an order
    caps = CAPS._replace(band=0.0)
    assert one(caps, target=40.0 / 3_000, held=3.9) == (-390, Limit.PASSED)
    assert one(caps, target=60.0 / 3_000, held=3.9) == (-330, Limit.PASSED)


def test_a_large_position_leaves_in_pieces_and_the_last_piece_is_sellable():
    held, sold = 10.3, []
    while held > 1e-9:
        lots, limit = one(target=0.0, held=held)
        assert lots < 0, limit
        held = round(held + lots * 0.01, 8)
        assert held == 0 or held * 100 >= 50.0
        sold.append(-lots)
    assert sold == [979, 51]
    assert max(sold) * 1.0 <= 1_000.0


def test_a_position_is_sold_even_when_equity_has_become_too_small_for_the_order_limit():
    poor = CAPS._replace(equity=60.0)
    assert one(poor, target=0.0, held=0.6) == (-60, Limit.PASSED)
    assert one(poor, target=0.5) == (0, Limit.MAX_ORDER)


def test_exits_need_no_equity_and_entries_do():
    for equity in (math.nan, math.inf, -math.inf, 0.0, -5.0):
        blind = CAPS._replace(equity=equity)
        assert one(blind, target=0.0, held=8.0) == (-800, Limit.PASSED)
        assert one(blind, target=0.5, held=8.0) == (0, Limit.NO_EQUITY)
        assert one(blind, target=0.5) == (0, Limit.NO_EQUITY)


def test_buys_share_the_purse_in_row_order_after_all_sells():
    caps = CAPS._replace(max_orders=3.0)
    sized = size_rows(
        rows(4, target=[0.2, 0.2, 0.2, 0.0], held=[0, 0, 0, 4.0], cash=1_000.0, purse=0),
        caps,
    )
    assert sized.lots.tolist() == [600, 396, 0, -400]
    assert [Limit(int(x)) for x in sized.limit] == [Limit.PASSED, Limit.CASH, Limit.CASH, Limit.PASSED]
    sized = size_rows(rows(3, target=0.2, cash=1e6), CAPS._replace(max_orders=2.0))
    assert sized.lots.tolist() == [600, 600, 0]
    assert Limit(int(sized.limit[2])) is Limit.MAX_ORDERS


def test_gross_and_invested_exposure_bound_the_buys():
    held = [0.0, 0.0, 25.0]
    target = [0.4, 0.4, math.nan]
    caps = CAPS._replace(max_position=0.3)
    sized = size_rows(rows(3, target=target, held=held), caps)
    assert sized.lots.tolist() == [499, 0, 0]
    assert [Limit(int(x)) for x in sized.limit[:2]] == [Limit.INVEST, Limit.INVEST]
    sized = size_rows(rows(3, target=target, held=held), caps._replace(invest=0.9, max_gross=0.3))
    assert Limit(int(sized.limit[0])) is Limit.MAX_GROSS
    unknown = size_rows(rows(3, target=target, held=held, price=[100, 100, math.nan]), caps)
    assert not unknown.lots.any()
    assert Limit(int(unknown.limit[0])) is Limit.NO_EQUITY


def test_one_coin_on_two_markets_is_sold_once_and_counted_once():
    sized = size_rows(rows(2, target=0.0, held=8.0, coin=[0, 0]), CAPS)
    assert sized.lots.tolist() == [-800, 0]
    assert Limit(int(sized.limit[1])) is Limit.SAME_COIN
    third = size_rows(rows(3, target=[math.nan, math.nan, 0.2], held=[15.0, 15.0, 0.0], coin=[0, 0, 1]), CAPS)
    assert third.lots.tolist() == [0, 0, 600]


def test_amounts_in_another_currency_are_compared_in_dollars():
    krw = {"mid": 140_000.0, "rate": 1 / 1_400, "step": 1e-4, "tick": 100.0, "min_qty": 1e-4, "min_notional": 5_000.0}
    lots, limit = one(target=0.2, cash=1e9, **krw)
    assert (lots, limit) == (60_000, Limit.PASSED)
    lots, limit = one(target=0.2, cash=300 * 1_400.0, **krw)
    assert limit is Limit.CASH
    assert lots * 1e-4 * 100 == pytest.approx(300 / (140_400 / 140_000) / 1.001, abs=0.01)


def test_locked_coins_are_not_sold():
    assert one(target=0.0, held=8.0, sellable=300.0) == (-300, Limit.PASSED)
    assert one(target=0.0, held=8.0, sellable=0.0) == (0, Limit.DUST)


positive = st.floats(1e-7, 1e6)
row_inputs = st.fixed_dictionaries(
    {
        "target": st.one_of(st.just(0.0), st.just(math.nan), st.floats(0, 1), st.just(1e9)),
        "held": st.one_of(st.just(0.0), st.floats(0, 1e5)),
        "mid": st.one_of(positive, st.just(math.nan)),
        "step": st.sampled_from([1.0, 0.1, 1e-5, 1e-8, 0.025]),
        "tick": st.sampled_from([1.0, 0.01, 1e-8, 0.5]),
        "min_qty": st.sampled_from([0.0, 1e-5, 1.0]),
        "max_qty": st.sampled_from([9_000.0, 1e9, 10.0]),
        "min_notional": st.sampled_from([0.0, 5.0, 5_000.0]),
        "fee": st.sampled_from([0.0, 0.001, 0.01]),
        "purse": st.integers(0, 1),
        "free": st.floats(0, 1),
        "most": st.one_of(st.just(1.0), st.floats(0, 1)),
        "ceiling": st.one_of(st.just(math.inf), st.floats(0, 1)),
        "ceiling_limit": st.just(int(Limit.KELLY)),
    }
)
caps_inputs = st.builds(
    Caps,
    equity=st.one_of(st.floats(1, 1e7), st.sampled_from([math.nan, -5.0, 0.0])),
    invest=st.floats(0, 1),
    min_order=st.sampled_from([1.0, 50.0]),
    max_order=st.floats(0, 1),
    max_position=st.floats(0, 1),
    max_gross=st.floats(0, 1),
    band=st.sampled_from([0.0, 0.01]),
    collar=st.sampled_from([0.0, 0.003, 0.2]),
    max_orders=st.sampled_from([0.0, 2.0, 20.0]),
    max_order_usdt=st.sampled_from([math.inf, math.inf, 75.0, 5_000.0]),
)


RATES = (1.0, 1 / 1_400)
purses = st.tuples(st.floats(0, 1e6), st.floats(0, 1e9))


def build(inputs: list[dict], cash: tuple[float, float]) -> Rows:
    """Rows whose purses are one of two currencies: dollars and won."""
    names = [name for name in inputs[0] if name != "free"]
    columns = {name: [one_row[name] for one_row in inputs] for name in names}
    sellable = [math.floor(one_row["held"] * one_row["free"] / one_row["step"]) for one_row in inputs]
    by_purse = {name: [of[one_row["purse"]] for one_row in inputs] for name, of in (("cash", cash), ("rate", RATES))}
    return rows(len(inputs), **columns, **by_purse, sellable=sellable)


@given(st.lists(row_inputs, min_size=1, max_size=5), purses, caps_inputs)
@settings(max_examples=400, deadline=None)
def test_no_size_breaks_a_limit(inputs, cash, caps):
    r = build(inputs, cash)
    sized = size_rows(r, caps)
    lots, ticks = sized.lots, sized.ticks
    active = np.flatnonzero(lots)
    buys = int((lots > 0).sum())
    assert buys <= max(0.0, caps.max_orders - (len(active) - buys)), "sales count, and pass in any case"
    assert (lots == np.floor(lots)).all()
    assert (ticks[active] == np.floor(ticks[active])).all()
    assert (ticks[active] >= 1).all()
    tight, loose = 1 + 1e-9, 1 - 1e-9
    spent = {0: 0.0, 1: 0.0}
    gross = float(np.nansum(np.where(r.held > 0, r.held * r.price * r.rate, 0.0)))
    for i in active:
        quantity, price = abs(lots[i]) * r.step[i], ticks[i] * r.tick[i]
        at_mid, at_limit = quantity * r.mid[i] * r.rate[i], quantity * price * r.rate[i]
        if math.isnan(r.target[i]):
            over = r.held[i] * r.price[i] * r.rate[i] - min(caps.max_position, r.most[i]) * caps.equity
            assert lots[i] < 0 and over > max(caps.band * caps.equity, caps.min_order)
        assert r.min_qty[i] * loose <= quantity <= r.max_qty[i] * tight
        assert quantity * min(price, r.mid[i]) >= r.min_notional[i] * loose
        least = max(caps.min_order, r.min_notional[i] * r.rate[i])
        if lots[i] > 0:
            assert caps.equity > 0
            assert price <= r.mid[i] * (1 + caps.collar) * tight
            assert at_mid >= least * loose
            assert at_limit <= min(caps.max_order * caps.equity, caps.max_order_usdt) * tight
            share = min(caps.max_position, r.most[i], r.ceiling[i])
            assert r.held[i] * r.mid[i] * r.rate[i] + at_mid <= share * caps.equity * tight
            wanted = min(r.target[i], 1.0) * caps.invest * caps.equity
            assert r.held[i] * r.mid[i] * r.rate[i] + at_mid <= wanted * tight
            spent[r.purse[i]] += quantity * price * (1 + r.fee[i])
            gross += at_mid
            assert spent[r.purse[i]] <= r.cash[i] * tight
            assert gross <= min(caps.max_gross, caps.invest) * caps.equity * tight
        else:
            assert price >= min(r.mid[i] * (1 - caps.collar), r.tick[i]) * loose
            assert -lots[i] <= r.sellable[i]
            rest = (r.sellable[i] + lots[i]) * r.step[i] * r.mid[i] * r.rate[i]
            assert rest == 0 or rest >= least * loose
            if rest:
                assert at_mid >= least * loose
            if caps.equity > 0:
                lot = r.step[i] * r.mid[i] * r.rate[i]
                in_worst_terms = max(least, r.min_qty[i] * r.mid[i] * r.rate[i]) * (r.mid[i] / min(price, r.mid[i]))
                assert at_mid <= max(caps.max_order * caps.equity, 2 * (in_worst_terms + lot)) * tight
                assert at_mid <= max(caps.max_order_usdt, 2 * (in_worst_terms + lot)) * tight


@given(st.lists(row_inputs, min_size=1, max_size=4), purses, caps_inputs)
@settings(max_examples=200, deadline=None)
def test_every_row_says_why(inputs, cash, caps):
    r = build(inputs, cash)
    sized = size_rows(r, caps)
    for i in range(len(inputs)):
        limit = Limit(int(sized.limit[i]))
        if sized.lots[i]:
            assert limit is Limit.PASSED or limit in LIMIT_NAMES
        else:
            assert limit is not Limit.PASSED
        lines = arithmetic(r, caps, sized, i, rules())
        assert 2 <= len(lines) <= 4
        assert all(len(line) < 200 for line in lines)


@given(row_inputs, purses, st.floats(0.01, 0.99))
@settings(max_examples=200, deadline=None)
def test_less_room_never_makes_a_larger_buy(inputs, cash, squeeze):
    assume(inputs["held"] == 0.0)
    r = build([inputs], cash)
    roomy = size_rows(r, CAPS).lots[0]
    for field in ("max_order", "max_position", "max_gross", "invest"):
        assert size_rows(r, CAPS._replace(**{field: getattr(CAPS, field) * squeeze})).lots[0] <= roomy
    assert size_rows(r._replace(cash=r.cash * squeeze), CAPS).lots[0] <= roomy


def test_the_arithmetic_is_short_and_readable():
    r = rows(target=0.4)
    assert arithmetic(r, CAPS, size_rows(r, CAPS), 0, replace(rules(BTC))) == (
        "target 0.4000 of 30% of 10000.00 = 1200.00",
        "held 0 BTC = 0.00, change +1200.00",
        "max_order_pct allows 1000.00",
        "buy 997 lots of 0.00001 BTC = 997.00, limit mid +30 bps",
    )


SCRIPT = """
import sys, numpy as np
from tests.unit import test_sizing as t
rng = np.random.default_rng(3)
n = 40
for _ in range(5):
    target = np.where(rng.random(n) < .3, 0.0, rng.random(n) * .2)
    held = rng.random(n) * 20 * (rng.random(n) < .5)
    r = t.rows(n, target=target, held=held, mid=rng.lognormal(3, 2, n), cash=rng.random() * 5e4, fee=.001)
    for column in t.size_rows(r, t.CAPS._replace(equity=1e5)):
        sys.stdout.write(np.asarray(column).tobytes().hex())
"""


def test_compiled_and_uncompiled_agree_bit_for_bit():
    answers = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "NUMBA_DISABLE_JIT": off},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for off in ("0", "1")
    ]
    assert answers[0] == answers[1]
    assert len(answers[0]) > 1_000
