"""Synthetic markets: the same seed makes the same bars, they look like a market, and their edge is what they say."""

import json
from decimal import Decimal

import numpy as np
import pytest

import run
from core.errors import DataError
from core.messages import CLOSE, HIGH, LOW, OPEN, VOLUME
from core.units import Instrument, to_decimal
from data.import_report import ImportOptions
from data.importing import import_path
from data.lake import Lake
from data.schema import Synthetic
from data.sentiment import as_of, load_series
from data.synthetic import SyntheticMarket, make_market, write_market
from data.synthetic_spec import START_MS, SyntheticSpec
from data.verify import verify
from exchanges.sim_words import past_of

BTC = Instrument("binance", "BTC/USDT")
ETH = Instrument("binance", "ETH/USDT")
BTC_KRW = Instrument("upbit", "BTC/KRW")
USDT_KRW = Instrument("upbit", "USDT/KRW")
HORIZON = 15


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return make_market(SyntheticSpec(seed=7))


@pytest.fixture(scope="module")
def long() -> dict[str, SyntheticMarket]:
    return {edge: make_market(SyntheticSpec(seed=11, days=60, edge=edge)) for edge in ("planted", "none")}


def future_bps(bars: np.ndarray) -> np.ndarray:
    close = np.log(bars[:, CLOSE])
    out = np.full(len(close), np.nan)
    out[:-HORIZON] = (close[HORIZON:] - close[:-HORIZON]) * 1e4
    return out


def informed_outcome(bars: np.ndarray) -> tuple[float, float]:
    """Mean and standard error (bps) of what followed minutes with a big volume and a big move, in the move's direction.

    Told from the bars alone, against their last hour, as a trader would.
    """
    volume, move = bars[:, VOLUME], np.log(bars[:, CLOSE] / bars[:, OPEN])
    hour = np.lib.stride_tricks.sliding_window_view
    usual_volume = np.nanmedian(hour(volume, 60), axis=1)[:-1]
    usual_move = np.nanmedian(hour(np.abs(move), 60), axis=1)[:-1]
    seen = (volume[60:] > 5 * usual_volume) & (np.abs(move[60:]) > 3 * usual_move)
    outcome = (future_bps(bars)[60:] * np.sign(move[60:]))[seen]
    outcome = outcome[np.isfinite(outcome)]
    return float(outcome.mean()), float(outcome.std() / np.sqrt(len(outcome)))


def test_the_same_spec_makes_the_same_market_and_another_seed_another(market):
    again, other = make_market(SyntheticSpec(seed=7)), make_market(SyntheticSpec(seed=8))
    for instrument, bars in market.bars.items():
        assert np.array_equal(bars, again.bars[instrument], equal_nan=True)
        assert not np.array_equal(bars, other.bars[instrument], equal_nan=True)


def test_one_more_symbol_changes_no_other(market):
    more = make_market(SyntheticSpec(seed=7, binance=("BTC", "DOGE"), upbit=()))
    assert np.array_equal(more.bars[BTC], market.bars[BTC], equal_nan=True)


def test_the_default_market_has_the_configured_symbols_and_the_won_side(market):
    assert [str(i) for i in market.instruments] == [
        *(f"binance:{base}/USDT" for base in ("BTC", "ETH", "BNB", "SOL", "XRP")),
        *(f"upbit:{base}/KRW" for base in ("BTC", "ETH", "USDT")),
    ]
    assert market.array((ETH, BTC)).shape == (2, 3 * 1_440, 5)
    assert market.spec.start_ms == START_MS


def test_bars_are_bars(market):
    for bars in market.bars.values():
        there = bars[np.isfinite(bars[:, CLOSE])]
        assert (there[:, :VOLUME] > 0).all()
        assert (there[:, HIGH] >= np.maximum(there[:, OPEN], there[:, CLOSE])).all()
        assert (there[:, LOW] <= np.minimum(there[:, OPEN], there[:, CLOSE])).all()
        assert (there[:, VOLUME] >= 0).all()


@pytest.mark.parametrize(
    ("instrument", "tick"),
    [(BTC, "0.01"), (Instrument("binance", "XRP/USDT"), "0.0001"), (BTC_KRW, "1000"), (USDT_KRW, "0.5")],
)
def test_prices_stand_on_the_tick_and_survive_decimals(market, instrument, tick):
    bars = market.bars[instrument]
    for value in bars[np.isfinite(bars)].reshape(-1, 5)[:500, :VOLUME].ravel():
        assert to_decimal(value) % Decimal(tick) == 0
    for volume in bars[:500, VOLUME]:
        assert np.isnan(volume) or to_decimal(volume) % Decimal("0.00001") == 0


def test_symbols_move_together_and_across_the_sea(market):
    def returns(instrument: Instrument) -> np.ndarray:
        return np.diff(np.log(market.bars[instrument][:, CLOSE]))

    def correlation(a: Instrument, b: Instrument) -> float:
        x, y = returns(a), returns(b)
        both = np.isfinite(x) & np.isfinite(y)
        return float(np.corrcoef(x[both], y[both])[0, 1])

    assert 0.3 < correlation(BTC, ETH) < 0.8
    assert correlation(BTC, BTC_KRW) > 0.9
    assert abs(correlation(BTC, USDT_KRW)) < 0.15


def test_the_premium_is_what_the_three_markets_show(market):
    shown = np.log(market.bars[BTC_KRW][:, CLOSE] / market.bars[BTC][:, CLOSE] / market.bars[USDT_KRW][:, CLOSE])
    traded = np.isfinite(shown) & (market.bars[BTC][:, VOLUME] > 0)
    assert np.abs(shown - market.premium)[traded].max() < 5e-4
    assert np.ptp(market.premium) > 1e-3


def test_turbulence_is_louder_and_busier(long):
    bars, loud = long["none"].bars[BTC], long["none"].turbulent
    move, volume = np.abs(np.diff(np.log(bars[:, CLOSE]))), bars[1:, VOLUME]
    assert 0.05 < loud.mean() < 0.4
    assert np.nanmean(move[loud[1:]]) > 1.6 * np.nanmean(move[~loud[1:]])
    assert np.nanmean(volume[loud[1:]]) > 1.6 * np.nanmean(volume[~loud[1:]])


def test_volume_has_a_daily_curve(long):
    volume = long["none"].bars[BTC][:, VOLUME].reshape(60, 24, 60)
    by_hour = np.nanmedian(volume, axis=(0, 2))
    assert by_hour[13:17].mean() > 1.5 * by_hour[2:6].mean()


def test_there_are_jumps(long):
    move = np.diff(np.log(long["none"].bars[BTC][:, CLOSE]))
    assert np.nanmax(np.abs(move)) > 8 * np.nanmedian(np.abs(move))


def test_halts_stop_a_whole_venue_flat_first_then_without_bars(market):
    for venue in ("binance", "upbit"):
        rows = np.stack([bars for i, bars in market.bars.items() if i.venue == venue])
        gone = np.isnan(rows[:, :, CLOSE]).all(axis=0)
        assert gone.sum() >= 5
    binance = np.stack([bars for i, bars in market.bars.items() if i.venue == "binance"])
    start = int(np.flatnonzero(np.isnan(binance[:, :, CLOSE]).all(axis=0))[0])
    assert (binance[:, start - 1, VOLUME] == 0).all()
    assert (np.ptp(binance[:, start - 1, :VOLUME], axis=1) == 0).all()


def test_empty_minutes_are_flat_bars_at_binance_and_no_bars_at_upbit(long):
    for instrument, bars in long["none"].bars.items():
        empty = bars[:, VOLUME] == 0
        assert bool(empty.any()) == (instrument.venue == "binance")
        assert (np.ptp(bars[empty, :VOLUME], axis=1) == 0).all()


@pytest.mark.parametrize("instrument", [BTC, ETH, BTC_KRW])
def test_the_planted_edge_is_there_and_of_the_stated_size(long, instrument):
    bars, truth = long["planted"].bars[instrument], long["planted"].truth_bps[instrument]
    mean, error = informed_outcome(bars)
    assert mean > 6 * error
    assert mean > 25
    outcome = future_bps(bars)
    known = np.isfinite(outcome)
    slope = np.polyfit(truth[known], outcome[known], 1)[0]
    assert 0.9 < slope < 1.1
    assert np.abs(truth).max() >= long["planted"].spec.edge_bps - 1e-9


@pytest.mark.parametrize("instrument", [BTC, ETH, BTC_KRW])
def test_without_an_edge_the_same_minutes_lead_nowhere(long, instrument):
    mean, error = informed_outcome(long["none"].bars[instrument])
    assert abs(mean) < 3.5 * error
    assert abs(mean) < 5
    assert not long["none"].truth_bps[instrument].any()


def test_a_drift_is_known_from_a_loud_bar_on_and_told_by_its_direction(long):
    bars, truth = long["planted"].bars[BTC], long["planted"].truth_bps[BTC]
    begins = np.flatnonzero((truth != 0) & (np.concatenate([[0.0], truth[:-1]]) == 0))
    begins = begins[np.isfinite(bars[begins, CLOSE]) & (bars[begins, VOLUME] > 0)]
    move = np.log(bars[begins, CLOSE] / bars[begins, OPEN])
    assert len(begins) > 500
    assert (np.sign(move) == np.sign(truth[begins])).mean() > 0.99
    assert np.median(bars[begins, VOLUME]) > 5 * np.nanmedian(bars[:, VOLUME])


def test_a_written_market_is_a_lake_that_verifies_and_says_what_it_is(tmp_path, market):
    write_market(market, tmp_path / "demo")
    lake = Lake(tmp_path / "demo")
    assert verify(lake).faults == 0
    assert {row.synthetic for row in lake.catalog()} == {Synthetic("demo", 7, "planted")}
    window = lake.window(market.instruments, START_MS, market.spec.minutes)
    assert np.array_equal(window, market.array(market.instruments), equal_nan=True)
    said = json.loads((tmp_path / "demo/market.json").read_text())
    assert (said["synthetic"], said["seed"], said["edge"]) == (True, 7, "planted")
    mood = load_series(tmp_path / "demo")
    assert mood.synthetic == Synthetic("demo", 7, "planted")
    assert as_of(mood, START_MS) is not None


def test_real_mood_does_not_go_into_a_synthetic_market(tmp_path, market):
    lake = write_market(market, tmp_path / "demo")
    path = tmp_path / "mood.csv"
    path.write_text("date,value\n2024-03-01,30\n")
    (report,) = import_path(lake, path, ImportOptions()).files
    assert str(report.findings[-1]) == "the lake's mood is synthetic (demo); a real history does not go into it"
    assert len(load_series(lake.root)) == len(market.sentiment)


def test_writing_it_again_changes_nothing_and_another_market_is_refused(tmp_path, market):
    write_market(market, tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.parquet") if "bars" in p.parts}
    write_market(market, tmp_path)
    assert {p: p.read_bytes() for p in before} == before
    with pytest.raises(DataError, match=r"holds another synthetic market \(seed 7\)"):
        write_market(make_market(SyntheticSpec(seed=8)), tmp_path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"binance": ("BTC", "NOPE")}, "no asset 'NOPE'; there are BTC"),
        ({"binance": ()}, "needs at least one symbol"),
        ({"days": 0}, "days is 0"),
        ({"edge": "huge"}, "edge is 'huge'"),
        ({"start_ms": START_MS + 60_000}, "no midnight UTC"),
        ({"horizon": 0}, "horizon is 0"),
        ({"edge_bps": float("nan")}, "edge_bps is nan"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(wrong, said):
    with pytest.raises(DataError, match=said):
        SyntheticSpec(**wrong)


def test_what_sim_prints_makes_a_past_that_ends_before_its_time(tmp_path) -> None:
    """The words are taken by the verb as they stand, and a model finds bars that closed by then."""
    now_ms = 1_795_720_642_009
    for venue, symbols in (("binance", ["BTC/USDT", "ETH/USDT"]), ("upbit", ["BTC/KRW", "USDT/KRW"])):
        name, words = past_of(venue, symbols, now_ms)
        assert run.main([*words.split(), "--lake", str(tmp_path / name)]) == 0
        rows = tuple(Instrument(venue, symbol) for symbol in symbols)
        first, last = Lake(tmp_path / name).common_span(rows)
        assert now_ms - 86_400_000 < last < now_ms
        assert last - first > 2 * 86_400_000
