"""The schedules' kernels: what each sends when, over any life of minutes, and what a parent of each keeps to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.execution.schedules.rule import FIRST, due_lots, jitter_of, jitter_seed, next_stage, schedule_of
from core.execution.schedules.volume_curve import learn_curve, shares_ahead
from core.impact import PRIOR
from core.params import ExecutionSettings
from core.session import beat_times
from core.units import DAY_MS, MINUTE_MS
from tests.support.fake_venue import BTC, ETH, MINUTE

SLICED = ("immediate", "twap", "vwap", "pov", "is")


def life(rules: ExecutionSettings, lots: int, least: int = 1, volumes=None, curve=None, fills=1.0) -> list[list[int]]:
    """Lots sent at each slot of each minute of a parent whose orders fill by ``fills``."""
    schedule, minutes = schedule_of(rules), rules.horizon_minutes
    volumes = [1_000.0] * (minutes + 1) if volumes is None else volumes
    curve = [1.0] * minutes if curve is None else curve
    left, done, stage, sent = lots, 0, FIRST, []
    for minute in range(minutes):
        share, ahead = shares_ahead(np.array(curve), minute, minutes - minute)
        stage = next_stage(
            schedule, stage, minute > 0, done, float(left), volumes[minute], 1_000.0, 1e-3, 1e5, share, ahead
        )
        assert stage.age == minute and stage.before == done
        unsent, row = left, []
        for slot in range(schedule.slices):
            part = due_lots(schedule, stage, slot, unsent, left, least, 10**9)
            assert 0 <= part <= unsent and (part == 0 or part >= least)
            row.append(part)
            unsent -= int(part * fills)
        done += left - unsent
        left = unsent
        sent.append(row)
    return sent


def over(algorithm: str, minutes: int, **more) -> ExecutionSettings:
    return ExecutionSettings(algorithm=algorithm, horizon_minutes=minutes, slices=2, slice_seconds=30, **more)


def test_a_twap_over_minutes_is_even():
    assert life(over("twap", 5), 100) == [[10, 10]] * 5


def test_orders_too_small_to_cut_so_often_are_spread_over_the_whole_life():
    sent = life(over("twap", 10), 50, least=10)
    assert [sum(row) for row in sent] == [0, 10, 0, 10, 0, 10, 0, 10, 0, 10]


def test_a_vwap_follows_its_curve():
    sent = life(over("vwap", 4), 1_000, curve=[1.0, 2.0, 6.0, 1.0])
    assert [sum(row) for row in sent] == [100, 200, 600, 100]


def test_a_participation_takes_its_share_of_what_trades_and_no_more():
    rules = over("pov", 4, participation_pct=10)
    # 10 % of 1,000 lots are expected in the first minute; three times as much traded in it.
    sent = life(rules, 10_000, volumes=[0.0, 3_000.0, 1_000.0, 0.0])
    assert [sum(row) for row in sent] == [100, 300, 100, 0]
    assert life(rules, 150) == [[50, 50], [50, 0], [0, 0], [0, 0]]


def test_an_implementation_shortfall_hurries_as_it_fears_risk():
    calm, afraid = (life(over("is", 5, risk_aversion=aversion), 10_000) for aversion in (1e-9, 0.05))
    assert [sum(row) for row in calm] == pytest.approx([2_000] * 5, abs=2)
    amounts = [sum(row) for row in afraid]
    assert amounts == sorted(amounts, reverse=True) and amounts[0] > 2 * amounts[-1]
    assert sum(amounts) == sum(map(sum, calm)) == 10_000


def test_what_did_not_fill_is_made_up_for():
    sent = life(over("twap", 3), 120, fills=0.5)
    assert sent[0] == [20, 30] and sum(sent[2]) > sum(sent[0])


def test_a_life_ends_and_another_begins():
    schedule = schedule_of(over("twap", 2))
    second = next_stage(schedule, FIRST, True, 7, 10.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    third = next_stage(schedule, second, True, 12, 10.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    turned = next_stage(schedule, FIRST, False, 7, 10.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    assert (second.age, second.before) == (1, 7)
    assert (third.age, third.before) == (turned.age, turned.before) == (0, 0)


def test_what_a_market_does_not_say_makes_no_schedule_fail():
    nan = float("nan")
    for algorithm in ("vwap", "pov", "is"):
        schedule = schedule_of(over(algorithm, 3))
        stage = next_stage(schedule, FIRST, False, 0, 100.0, nan, nan, nan, nan, 1.0, 2.0)
        assert 0 <= due_lots(schedule, stage, 0, 100, 100, 1, 1_000) <= 100


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SLICED),
    st.integers(1, 6),
    st.integers(1, 100_000),
    st.integers(1, 500),
    st.floats(0.0, 1.0),
    st.lists(st.floats(0.01, 50.0), min_size=6, max_size=6),
)
def test_no_schedule_sends_more_than_there_is_nor_less_than_may_be(algorithm, minutes, lots, least, fills, curve):
    rules = over(algorithm, 1 if algorithm == "immediate" else minutes)
    sent = life(rules, lots, least, curve=curve, fills=fills)  # holds each slot to its bounds
    if algorithm != "pov" and fills == 1.0:
        assert sum(map(sum, sent)) == (lots if lots >= least else 0)


def test_jitter_is_of_its_instance_instrument_minute_and_slot_alone():
    seed = jitter_seed("replay", BTC)
    found = [jitter_of(seed, minute, slot, 9) for minute in range(29_000_000, 29_000_300) for slot in range(3)]
    assert found == [jitter_of(seed, minute, slot, 9) for minute in range(29_000_000, 29_000_300) for slot in range(3)]
    counts = np.bincount(found, minlength=10)
    assert len(counts) == 10 and counts.min() > 50 and counts.max() < 140
    others = {jitter_seed(name, i) for name in ("replay", "main") for i in (BTC, ETH)}
    assert len(others) == 4
    assert jitter_of(seed, 29_000_000, 0, 0) == 0


def test_beats_cover_every_instant_that_a_slice_may_leave():
    rules = ExecutionSettings(slices=2, slice_seconds=30, jitter_seconds=2)
    start = MINUTE + MINUTE_MS
    assert [(t - start) // 1_000 for t in beat_times(MINUTE, rules)] == [1, 2, 30, 31, 32]
    looks = beat_times(MINUTE, ExecutionSettings(algorithm="adaptive", reprice_seconds=20))
    assert [(t - start) // 1_000 for t in looks] == [20, 40]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"jitter_seconds": 15}, "jitter_seconds 15 must be below slice_seconds 15"),
        ({"algorithm": "immediate", "horizon_minutes": 2}, "immediate sends all at once; horizon_minutes 2"),
        ({"algorithm": "vwop"}, "algorithm"),
        ({"participation_pct": 0}, "participation_pct"),
        ({"risk_aversion": -1}, "risk_aversion"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(change, said):
    with pytest.raises(ValidationError, match=said):
        ExecutionSettings(**change)


def day_bars(days: int, shape: np.ndarray, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    bars = np.ones((days * 1_440, 5))
    bars[:, 4] = np.tile(shape, days) * rng.lognormal(0.0, 0.8, days * 1_440)
    return bars


def test_a_curve_is_learnt_with_shrinkage():
    shape = 1.0 + 0.8 * np.sin(np.arange(1_440) / 1_440 * 2 * np.pi)
    start = MINUTE - MINUTE % DAY_MS
    errors = []
    for days in (1, 5, 40):
        found = learn_curve(day_bars(days, shape), start)
        assert found.shape == (1_440,) and found.mean() == pytest.approx(1.0) and found.min() > 0.0
        errors.append(np.sqrt(np.mean((found - shape) ** 2)))
    assert errors == sorted(errors, reverse=True) and errors[0] < 0.5 < 5 * errors[2]
    assert errors[-1] < np.sqrt(np.mean((1.0 - shape) ** 2)) / 2


def test_a_curve_of_too_little_is_even_and_an_hour_offset_keeps_its_minute():
    assert (learn_curve(day_bars(1, np.ones(1_440))[:600], MINUTE) == 1.0).all()
    shape = np.ones(1_440)
    shape[600] = 15.0
    bars, start = day_bars(20, shape), MINUTE - MINUTE % DAY_MS
    late = learn_curve(bars[90:], start + 90 * MINUTE_MS)
    assert int(np.argmax(late)) == 600
    bars[::3] = np.nan
    assert np.isfinite(learn_curve(bars, start)).all()


def test_a_curve_goes_on_over_midnight():
    assert shares_ahead(np.arange(1_440.0), 1_439, 3) == (1_439.0, 1.0)


def test_who_believes_that_orders_move_the_price_four_times_as_far_hurries_half_as_much():
    """kappa goes with 1 / sqrt(Y), in the schedule of a shortfall as in Almgren and Chriss's eta."""
    rules = ExecutionSettings(algorithm="is", horizon_minutes=10, risk_aversion=0.05)

    def kappa(y: float) -> float:
        schedule = schedule_of(rules, PRIOR._replace(coefficient=y))
        return next_stage(schedule, FIRST, False, 0, 1_000.0, 500.0, 1_000.0, 1e-3, 1e5, 0.0, 0.0).kappa

    assert kappa(4.0) == pytest.approx(kappa(1.0) / 2.0, rel=1e-12) and kappa(1.0) > 0.0
