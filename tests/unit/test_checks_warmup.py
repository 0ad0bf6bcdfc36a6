"""Look-backs are measured, not believed: too short, too long and endless ones are told from true ones."""

from dataclasses import replace

import numpy as np
import pytest

from core.bars import fill_gaps
from core.errors import ConfigError
from core.features import LOOKBACK
from core.messages import CLOSE, FloatArray
from core.units import MINUTE_MS
from data.market import MarketCut
from tests.support.markets import BTC, ETH, MINUTE, walk
from tune.checks.warmup import Declared, Warmth, measure, our_features

SPAN = 12


def a_market(minutes: int = 700) -> MarketCut:
    return MarketCut(
        instruments=(BTC, ETH),
        start_minute=MINUTE,
        first_minute=MINUTE + 300 * MINUTE_MS,
        minutes=minutes - 300,
        bars=np.stack([walk(minutes, seed, gaps=0.01) for seed in (3, 4)]),
        synthetic=True,
        sentiment=(),
    )


def made_up(market: MarketCut) -> dict[str, FloatArray]:
    """A return over five minutes, answered as soon as there are bars for it; an average that never forgets; a clock."""
    close = fill_gaps(market.bars)[0][:, :, CLOSE]
    change = np.full_like(close, np.nan)
    change[:, 5:] = np.log(close[:, 5:] / close[:, :-5])
    average = np.array(close)
    for t in range(1, close.shape[1]):
        average[:, t] = average[:, t - 1] + (close[:, t] - average[:, t - 1]) / SPAN
    clock = np.tile((market.start_minute // MINUTE_MS + np.arange(close.shape[1])) % 1_440 * 1.0, (len(close), 1))
    return {"change": change, "average": average, "clock": clock}


def measured(name: str, bars: int) -> Warmth:
    return measure([Declared(name=name, bars=bars)], a_market(), made_up)[0]


def test_a_true_look_back_is_measured_as_declared() -> None:
    found = measured("change", 6)
    assert (found.exact, found.near, found.depends, found.fault) == (6, 6, 6, "")


def test_a_clock_needs_no_bars() -> None:
    found = measured("clock", 0)
    assert (found.exact, found.depends, found.fault) == (1, 0, "")


def test_a_look_back_declared_too_short_is_told() -> None:
    assert measured("change", 5).fault == "declares a look-back of 5 bars and depends on 6"


def test_a_look_back_declared_too_long_is_told() -> None:
    assert measured("change", 30).fault == "declares a look-back of 30 bars and depends on 6 only"


def test_an_average_that_never_forgets_is_near_long_before_it_is_exact() -> None:
    found = measured("average", 300)
    assert found.exact is None or found.exact > 20 * SPAN
    assert found.near is not None
    assert 15 * SPAN < found.near < 40 * SPAN
    assert found.fault


def test_an_average_begun_with_the_history_is_told_to_be_endless() -> None:
    def since_the_start(market: MarketCut) -> dict[str, FloatArray]:
        close = fill_gaps(market.bars)[0][:, :, CLOSE]
        return {"level": close / close[:, :1]}

    found = measure([Declared(name="level", bars=60)], a_market(), since_the_start)[0]
    assert (found.exact, found.depends) == (None, None)
    assert "never forgets" in found.fault


def test_ours_are_what_they_declare() -> None:
    found = measure(our_features(), a_market(2 * LOOKBACK + 100), starts=30)
    assert [f"{one.name}: {one.fault}" for one in found if one.fault] == []
    assert 0 < max(one.exact or 0 for one in found) <= LOOKBACK


def test_too_short_a_market_is_refused() -> None:
    with pytest.raises(ConfigError, match="too few"):
        measure([Declared(name="change", bars=400)], a_market(), made_up)


def test_a_market_without_a_common_minute_is_refused() -> None:
    market = a_market()
    bars = np.array(market.bars)
    bars[0, ::2] = bars[1, 1::2] = np.nan
    with pytest.raises(ConfigError, match="every instrument"):
        measure([Declared(name="change", bars=6)], replace(market, bars=bars), made_up)
