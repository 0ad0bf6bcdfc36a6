"""A market prepared once: the same numbers with and without, on disk and off it, whole or damaged."""

import os
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from core.errors import ConfigError, DataError
from core.features import HISTORY as FEATURES
from core.units import MINUTE_MS, Instrument
from data.lake import Lake
from data.market import MarketSource, cut_out
from tests.support.bar_files import rows_of
from tests.support.engines import cut_of, make_forecasts, make_market, make_settings
from tune.array_store import DRAFT, HEAD, ArrayStore
from tune.prepared import mapped_cut, prepare
from tune.result import Result
from tune.simulate import simulate

CASH = Decimal(10_000)


def equal(one: Result, other: Result) -> bool:
    return (
        np.array_equal(one.equity, other.equity, equal_nan=True)
        and np.array_equal(one.contribution, other.contribution)
        and one.costs == other.costs
        and one.fills.equals(other.fills)
        and one.orders.equals(other.orders)
    )


@pytest.mark.parametrize("halts", [True, False])
def test_a_run_over_a_prepared_market_is_the_same_run(tmp_path: Path, halts: bool) -> None:
    settings, market = make_settings(2, costs__halts=halts), make_market(2, 500, gaps=0.05)
    said = make_forecasts(market, scale=40.0)
    plain = simulate(settings, market, said, cash=CASH)
    assert plain.fills.height > 0
    store = ArrayStore(tmp_path)
    for prepared in (prepare(settings, market), prepare(settings, market, store), prepare(settings, market, store)):
        assert prepared.fits(settings, market)
        for _ in range(2):
            assert equal(plain, simulate(settings, market, said, cash=CASH, prepared=prepared))
    assert len(list(tmp_path.iterdir())) == 1, "made once, found once"


def test_what_was_prepared_for_other_settings_or_another_market_is_not_used(tmp_path: Path) -> None:
    settings, market = make_settings(2), make_market(2, 400)
    said = make_forecasts(market, scale=40.0)
    other = make_settings(2, costs__half_spread_default_bps=9.0, costs__half_spread_max_bps=9.0)
    store = ArrayStore(tmp_path)
    prepared = prepare(settings, market, store)
    assert not prepared.fits(other, market)
    assert equal(simulate(other, market, said, cash=CASH), simulate(other, market, said, cash=CASH, prepared=prepared))
    assert not np.array_equal(prepared.tape.half_bps, prepare(other, market, store).tape.half_bps)
    changed = np.array(market.bars)
    changed[0, 100, 4] += 1.0
    prepare(settings, cut_of(changed), store)
    prepare(settings, replace(market, start_minute=market.start_minute + MINUTE_MS), store)
    assert len(list(tmp_path.iterdir())) == 4, "settings, bars and their time each name another entry"


def test_a_coin_at_two_exchanges_is_refused_as_its_premium_is_not_judged_here() -> None:
    market = make_market(1, 5)
    coin = market.instruments[0].symbol
    twice = (market.instruments[0], Instrument("upbit", coin))
    bars = np.stack([market.bars[0], market.bars[0]])
    with pytest.raises(ConfigError, match="a coin at one exchange"):
        prepare(make_settings(2), replace(market, instruments=twice, bars=bars))


def test_bars_that_were_prepared_cannot_be_changed_any_more() -> None:
    market = make_market(1, 300)
    prepare(make_settings(1), market)
    with pytest.raises(ValueError, match="read-only"):
        market.bars[0, 0, 0] = 1.0


@pytest.mark.parametrize("damage", ["flip", "short", "head", "missing"])
def test_a_damaged_entry_is_made_anew_with_a_note(tmp_path: Path, damage: str) -> None:
    settings, market = make_settings(1), make_market(1, 400)
    store = ArrayStore(tmp_path)
    first = prepare(settings, market, store)
    wanted = np.array(first.tape.liquidity)
    (folder,) = tmp_path.iterdir()
    path = folder / "liquidity.npy"
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-9] ^= 4
    path.write_bytes(content[: len(content) // 2] if damage == "short" else content)
    if damage == "head":
        (folder / HEAD).write_text("{")
    if damage == "missing":
        path.unlink()
    again = prepare(settings, market, store)
    assert len(again.notes) == 1 and "damaged" in again.notes[0]
    assert np.array_equal(again.tape.liquidity, wanted)
    assert prepare(settings, market, store).notes == ()
    result = simulate(settings, market, make_forecasts(market), cash=CASH, prepared=again)
    assert result.notes == again.notes


def test_mapped_arrays_can_be_written_to_and_the_file_stays_as_it_is(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path)
    arrays, _ = store.get("key", {"a": (3, 4)}, lambda into: into["a"].fill(2.0))
    arrays["a"][:] = 7.0
    again, notes = store.get("key", {"a": (3, 4)}, lambda into: into["a"].fill(5.0))
    assert (again["a"] == 2.0).all() and not notes


def test_where_nothing_can_be_kept_it_is_made_in_memory_and_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    arrays, notes = ArrayStore(tmp_path / "file").get("key", {"a": (2,)}, lambda into: into["a"].fill(1.0))
    assert (arrays["a"] == 1.0).all() and "made in memory" in notes[0]


def test_the_entry_used_longest_ago_goes_first_and_what_was_left_half_made_with_it(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path, most_bytes=2_900)
    for age, key in ((300, "one"), (200, "two")):
        store.get(key, {"a": (100,)}, lambda into: into["a"].fill(1.0))
        moment = (tmp_path / key).stat().st_mtime - age
        os.utime(tmp_path / key, (moment, moment))
    store.get("one", {"a": (100,)}, lambda into: into["a"].fill(1.0))
    for name, age in ((f"{DRAFT}old", 200_000), (f"{DRAFT}young", 10)):
        (tmp_path / name).mkdir()
        moment = (tmp_path / "one").stat().st_mtime - age
        os.utime(tmp_path / name, (moment, moment))
    store.get("three", {"a": (100,)}, lambda into: into["a"].fill(1.0))
    assert {path.name for path in tmp_path.iterdir()} == {"one", "three", f"{DRAFT}young"}


def test_a_failing_maker_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(into: dict[str, np.ndarray]) -> None:
        raise DataError("no bars")

    with pytest.raises(DataError, match="no bars"):
        ArrayStore(tmp_path).get("key", {"a": (2,)}, fail)
    assert list(tmp_path.iterdir()) == []


def test_a_mapped_cut_holds_the_bars_of_the_lake_and_follows_its_content(tmp_path: Path) -> None:
    bars = make_market(1, 2_000).bars[0]
    lake = Lake(tmp_path / "lake")
    coin = Instrument("binance", "BTC/USDT")
    start = 1_772_323_200_000
    holed = bars.copy()
    holed[700:720] = np.nan
    lake.write(coin, rows_of(start, holed), "made up")
    source = MarketSource(name="test", root=tmp_path, lake=lake, synthetic=False)
    store = ArrayStore(tmp_path / "kept")
    first = start + FEATURES * MINUTE_MS
    plain = cut_out(source, (coin,), first, 1_000, FEATURES)
    noted: list[str] = []
    mapped = mapped_cut(source, (coin,), first, 1_000, FEATURES, store, noted)
    assert noted == []
    assert np.array_equal(plain.bars, mapped.bars, equal_nan=True) and np.isnan(mapped.bars).any()
    assert (plain.start_minute, plain.first_minute, plain.minutes) == (mapped.start_minute, mapped.first_minute, 1_000)
    assert mapped_cut(source, (coin,), first, 1_000, FEATURES, store).content == mapped.content
    lake.write(coin, rows_of(start, bars), "made up")
    healed = mapped_cut(source, (coin,), first, 1_000, FEATURES, store)
    assert healed.content != mapped.content and not np.isnan(healed.bars).any()
