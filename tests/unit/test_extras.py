"""What features know beyond bars: the mood when it could be known by everybody, the premium where two venues trade."""

import math

import numpy as np
import pytest

from core.bars import fill_gaps
from core.counterparts import counterparts
from core.extras import MOOD_DELAY_MS, MOOD_LASTS_MS, Extras, mood_at, premium_of
from core.units import MINUTE_MS, Instrument
from tests.support.markets import BTC, ETH, MINUTE, walk

UPBIT_BTC = Instrument("upbit", "BTC/KRW")
UPBIT_USDT = Instrument("upbit", "USDT/KRW")
OTHER_BTC = Instrument("other", "BTC/USDT")


def test_a_reading_is_in_force_when_every_feed_has_heard_of_it() -> None:
    """At the close of a minute, ten minutes after it could be known, and until it is two days old."""
    mood = mood_at([(MINUTE, 30.0), (MINUTE + 30 * MINUTE_MS, 60.0)], MINUTE, 60)
    since = MOOD_DELAY_MS // MINUTE_MS
    assert np.isnan(mood[: since - 1]).all()
    assert (mood[since - 1 : 30 + since - 1] == 30.0).all()
    assert (mood[30 + since - 1 :] == 60.0).all()
    late = mood_at([(MINUTE, 30.0)], MINUTE + MOOD_LASTS_MS - 2 * MINUTE_MS, 3)
    assert late[:2].tolist() == [30.0, 30.0]
    assert math.isnan(late[2])
    assert np.isnan(mood_at([], MINUTE, 4)).all()
    assert mood_at([(MINUTE, 1.0)], MINUTE, 0).shape == (0,)


def test_a_minute_alone_has_the_mood_of_the_table() -> None:
    readings = [(MINUTE + k * 600_007, float(k)) for k in range(5)]
    table = mood_at(readings, MINUTE, 60)
    alone = [float(mood_at(readings, MINUTE + k * MINUTE_MS, 1)[0]) for k in range(60)]
    np.testing.assert_array_equal(table, alone)


def test_the_same_coin_at_another_venue_is_found_with_its_exchange_rate() -> None:
    rows = (BTC, ETH, UPBIT_BTC, UPBIT_USDT)
    assert counterparts(rows) == ((2, 3, 1.0), (-1, -1, 0.0), (0, 3, -1.0), (-1, -1, 0.0))
    assert counterparts((BTC, OTHER_BTC)) == ((1, -1, 0.0), (0, -1, 0.0))
    assert counterparts((BTC, UPBIT_BTC)) == ((-1, -1, 0.0),) * 2  # won and dollar without a rate


def test_the_kimchi_premium_is_the_won_price_in_dollars_over_the_dollar_price() -> None:
    bars = np.ones((3, 4, 5))
    bars[0, :, :4] = 50_000.0
    bars[1, :, :4] = 50_000.0 * 1_400.0 * 1.03
    bars[2, :, :4] = 1_400.0
    filler = np.zeros((3, 4), dtype=bool)
    filler[0, 1] = filler[1, 2] = True
    premium = premium_of((BTC, UPBIT_BTC, UPBIT_USDT), bars, filler)
    assert premium[1, 0] == pytest.approx(math.log(1.03))
    assert premium[0, 0] == pytest.approx(-math.log(1.03))
    assert np.isnan(premium[:2, 1:3]).all()  # one of the two did not trade
    assert np.isnan(premium[2]).all()
    bars[2, 3, :4] = math.nan
    assert np.isnan(premium_of((BTC, UPBIT_BTC, UPBIT_USDT), bars, filler)[:, 3]).all()


def test_between_equal_quotes_it_is_the_basis() -> None:
    bars, filler = fill_gaps(np.stack([walk(50, 1), walk(50, 2)]))
    extras = Extras.of((BTC, OTHER_BTC), bars, filler, MINUTE)
    np.testing.assert_allclose(extras.premium[0], np.log(bars[0, :, 3] / bars[1, :, 3]), atol=1e-13)
    np.testing.assert_array_equal(extras.premium[0], -extras.premium[1])
    assert np.isnan(extras.mood).all()
