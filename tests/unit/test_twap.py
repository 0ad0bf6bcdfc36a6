"""Cutting a parent into slices."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.errors import Defect
from core.execution.schedules.twap import smallest_order, split
from tests.support.fake_venue import BTC, RULES

ROW = RULES[BTC]
PRICE = Decimal(100)


def test_equal_shares_larger_first():
    assert split(Decimal("1.001"), 3, ROW, PRICE) == (Decimal("0.334"), Decimal("0.334"), Decimal("0.333"))


def test_fewer_slices_when_shares_would_be_too_small():
    # 5 USDT at 100 is 0.05: only two such shares fit into 0.11.
    assert split(Decimal("0.11"), 3, ROW, PRICE) == (Decimal("0.055"), Decimal("0.055"))


def test_nothing_when_the_whole_is_too_small():
    assert split(Decimal("0.049"), 3, ROW, PRICE) == ()
    assert split(Decimal(0), 3, ROW, PRICE) == ()


def test_the_largest_order_binds():
    row = replace(ROW, max_qty=Decimal(2))
    assert split(Decimal(10), 3, row, PRICE) == (Decimal(2),) * 3
    assert split(Decimal(6), 3, row, PRICE) == (Decimal(2),) * 3


def test_off_the_grid_is_a_defect():
    with pytest.raises(Defect, match=r"0\.0005.*0\.001"):
        split(Decimal("0.0005"), 3, ROW, PRICE)


@given(
    units=st.integers(0, 10**7),
    slots=st.integers(1, 60),
    step=st.sampled_from(["1", "0.001", "0.00001"]),
    minimum=st.integers(1, 50),
    notional=st.sampled_from(["0", "5", "10", "5000"]),
    price=st.decimals("0.01", "100000", places=2),
)
def test_slices_are_on_the_grid_big_enough_and_sum_exactly(units, slots, step, minimum, notional, price):
    assume(price > 0)
    lot = Decimal(step)
    row = replace(ROW, step=lot, min_qty=minimum * lot, min_notional=Decimal(notional), max_qty=Decimal(10**9))
    quantity = units * lot
    parts = split(quantity, slots, row, price)
    least = smallest_order(row, price)
    if quantity < least:
        assert parts == ()
        return
    assert sum(parts) == quantity
    assert 1 <= len(parts) <= slots
    assert all(part >= least and part % lot == 0 for part in parts)
    assert max(parts) - min(parts) <= lot
    # Cutting the rest anew gives the rest of the plan: the schedule does not drift when every slice fills.
    if len(parts) > 1:
        assert split(quantity - parts[0], slots - 1, row, price) == parts[1:]
