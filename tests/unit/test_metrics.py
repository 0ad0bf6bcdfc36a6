"""Performance numbers checked by hand, and defined where nothing happened."""

import math
from decimal import Decimal

import numpy as np
import pytest

from core.messages import Fill
from core.metrics import MINUTES_A_YEAR, measure, realised
from core.units import Side
from tests.support.markets import BTC, ETH


def fill(side: Side, quantity: str, price: str, fee: str = "0", fee_asset: str = "USDT", instrument=BTC) -> Fill:
    return Fill(
        client_id="c",
        instrument=instrument,
        trade_id="1",
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(price),
        fee=Decimal(fee),
        fee_asset=fee_asset,
        maker=False,
        at_ms=0,
    )


def test_a_run_that_did_nothing_has_defined_numbers():
    for equity in (np.full(100, 1_000.0), np.array([1_000.0])):
        found = measure(equity, np.zeros(len(equity)))
        assert (found.total_return, found.max_drawdown, found.sharpe, found.sortino) == (0.0, 0.0, 0.0, 0.0)
        assert (found.volatility, found.turnover, found.hit_rate, found.exposure, found.trades) == (0, 0, 0, 0, 0)
        assert found.minutes == len(equity)


def test_numbers_checked_by_hand():
    equity = np.array([100.0, 110.0, 99.0, 104.5])
    returns = np.array([0.1, -0.1, 104.5 / 99 - 1])
    found = measure(equity, np.array([0.0, 55.0, 99.0, 0.0]))
    assert found.total_return == pytest.approx(0.045)
    assert found.max_drawdown == pytest.approx(0.1)
    assert found.sharpe == pytest.approx(returns.mean() / returns.std() * math.sqrt(MINUTES_A_YEAR))
    assert found.sortino == pytest.approx(returns.mean() / (0.1 / math.sqrt(3)) * math.sqrt(MINUTES_A_YEAR))
    assert found.exposure == pytest.approx(0.375)


def test_a_run_that_never_fell_has_no_downside():
    assert measure(np.array([1.0, 1.0, 2.0])).sortino == math.inf
    assert measure(100.0 * 1.001 ** np.arange(50)).sharpe == 0.0, "a growth that does not vary has no Sharpe ratio"


def test_drawdown_is_from_the_highest_before_not_from_the_start():
    assert measure(np.array([100.0, 50.0, 200.0, 80.0, 150.0])).max_drawdown == pytest.approx(0.6)


def test_turnover_and_hits_come_from_fills():
    fills = (
        fill(Side.BUY, "2", "100"),
        fill(Side.SELL, "1", "110"),
        fill(Side.SELL, "1", "99"),
        fill(Side.BUY, "1", "50", instrument=ETH),
    )
    found = measure(np.full(10, 459.0), fills=fills)
    assert found.turnover == pytest.approx((200 + 110 + 99 + 50) / 459)
    assert found.hit_rate == 0.5
    assert found.trades == 4


def test_profit_is_after_fees_in_either_asset_against_the_average_cost():
    fills = (
        fill(Side.BUY, "1", "100", fee="0.1"),
        fill(Side.BUY, "1", "120", fee="0.001", fee_asset="BTC"),
        fill(Side.SELL, "1.999", "110.3", fee="0.2"),
    )
    (profit,) = realised(fills)
    assert profit == pytest.approx(1.999 * 110.3 - 0.2 - 220.1)


def test_selling_what_was_never_bought_is_no_hit():
    assert realised((fill(Side.SELL, "1", "100"),)) == ()
    (profit,) = realised((fill(Side.BUY, "1", "100"), fill(Side.SELL, "3", "110")))
    assert profit == pytest.approx(10.0)


@pytest.mark.parametrize("equity", [[], [[1.0]], [1.0, math.nan], [1.0, 0.0], [1.0, -3.0], [math.inf]])
def test_what_is_no_equity_is_refused(equity):
    with pytest.raises(ValueError, match="equity"):
        measure(np.array(equity))


def test_other_lengths_are_refused():
    with pytest.raises(ValueError, match="invested is"):
        measure(np.ones(3), np.ones(2))
