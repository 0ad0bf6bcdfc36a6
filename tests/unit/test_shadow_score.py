"""The score of two forecasters and its evidence: fair, bounded, and not fooled by looking often."""

import math

import numpy as np
import pytest

from core.shadow import BlockScore, Evidence, ShadowBook, Spoken, block_minutes, crps, paired_score
from core.units import MINUTE_MS

HORIZON = 15
PAIR = ("ridge", "v0001", "v0002")
FIRST = block_minutes(HORIZON) * MINUTE_MS * 1_000


def spoken(mean: float, stdev: float = 10.0) -> Spoken:
    return Spoken(mean_bps=np.array([mean]), stdev_bps=np.array([stdev]))


def block(score: float, begins_ms: int = 0) -> BlockScore:
    return BlockScore(member="m", champion="a", challenger="b", begins_ms=begins_ms, score=score, minutes=45)


def after(scores: np.ndarray) -> Evidence:
    found = Evidence()
    for score in scores:
        found = found.after(block(float(score)))
    return found


def test_crps_is_the_integral_it_stands_for():
    mean, stdev, outcome = 3.0, 12.0, -7.0
    x = np.linspace(-200, 200, 40_001)
    below = 0.5 * (1 + np.vectorize(math.erf)((x - mean) / stdev / math.sqrt(2)))
    integral = np.trapezoid((below - (x >= outcome)) ** 2, x)
    said = crps(np.array([mean]), np.array([stdev]), np.array([outcome]))[0]
    assert said == pytest.approx(integral, abs=1e-2)
    assert crps(np.array([mean]), np.array([0.0]), np.array([outcome]))[0] == 10.0


def test_the_score_is_bounded_whatever_happens():
    rng = np.random.default_rng(1)
    for _ in range(500):
        one, two = (Spoken(mean_bps=rng.normal(0, 30, 3), stdev_bps=rng.exponential(20, 3)) for _ in range(2))
        outcome = rng.standard_t(2, 3) * 50
        # Not by the clip: the largest possible difference is reckoned right.
        lost = crps(one.mean_bps, one.stdev_bps, outcome) - crps(two.mean_bps, two.stdev_bps, outcome)
        most = np.abs(one.mean_bps - two.mean_bps) + np.abs(one.stdev_bps - two.stdev_bps) / math.sqrt(math.pi)
        assert (np.abs(lost) <= most + 1e-9).all()
        assert paired_score(one, two, outcome) == pytest.approx(-paired_score(two, one, outcome))


def test_who_is_nearer_scores_and_who_is_silent_loses():
    assert paired_score(spoken(0.0), spoken(20.0), np.array([30.0])) > 0
    assert paired_score(spoken(0.0), spoken(20.0), np.array([-30.0])) < 0
    assert paired_score(Spoken(), spoken(0.0), np.array([0.0])) == 1.0
    assert paired_score(spoken(0.0), Spoken(), np.array([0.0])) == -1.0
    assert paired_score(Spoken(), Spoken(), np.array([0.0])) == 0.0
    assert paired_score(spoken(5.0), spoken(5.0), np.array([1.0])) == 0.0
    assert paired_score(spoken(5.0), spoken(9.0), np.array([np.nan])) == 0.0


def test_a_challenger_that_is_no_better_is_hardly_ever_called_better_however_often_one_looks():
    rng = np.random.default_rng(2)
    needed = Evidence().needed(0.95)
    wrong = 0
    for _ in range(400):
        found, crossed = Evidence(), False
        for score in rng.uniform(-0.6, 0.6, 300):
            found = found.after(block(float(score)))
            crossed |= found.capital >= needed
        wrong += crossed
    assert wrong / 400 <= 0.05


def test_a_better_one_is_found_and_the_more_were_tried_the_more_it_takes():
    found = after(np.random.default_rng(3).uniform(-0.4, 0.6, 200))
    assert found.score == pytest.approx(0.1, abs=0.05)
    assert found.capital > found.needed(0.95)
    assert found.needed(0.95, challengers=4) == pytest.approx(4 * found.needed(0.95))
    assert after(np.full(3, -0.5)).capital < 1.0


def run(
    book: ShadowBook, minutes: range, returns_bps: float, *, skip: frozenset[int] = frozenset()
) -> list[BlockScore]:
    """Prices rise by ``returns_bps`` a minute; the challenger says so, the champion says zero."""
    found = []
    for n in minutes:
        minute = FIRST + n * MINUTE_MS
        if n in skip:
            continue
        close = np.array([100.0 * math.exp(n * returns_bps / 1e4)])
        found += book.closed(minute, close, np.array([True]))
        book.spoke(minute, PAIR, spoken(0.0), spoken(returns_bps * HORIZON))
    return found


def test_a_block_is_whole_when_its_last_outcome_is_known_and_waits_are_not_scored():
    found = run(ShadowBook(HORIZON), range(130), 2.0)
    assert [b.begins_ms for b in found] == [FIRST, FIRST + 60 * MINUTE_MS]
    assert [b.minutes for b in found] == [45, 45]
    exact = paired_score(spoken(0.0), spoken(30.0), np.array([30.0]))
    assert found[0].score == pytest.approx(exact)


def test_missed_minutes_count_as_zero_and_never_shift_an_outcome():
    whole = run(ShadowBook(HORIZON), range(61), 2.0)[0]
    # Minute 20 was neither forecast nor may it be the outcome of minute 5.
    holed = run(ShadowBook(HORIZON), range(61), 2.0, skip=frozenset({20}))[0]
    assert holed.minutes == 43
    assert holed.score == pytest.approx(whole.score * 43 / 45)
    # The block's last minute is missed: the next one ends it.
    assert run(ShadowBook(HORIZON), range(62), 2.0, skip=frozenset({59}))[0].minutes == 44


def test_a_block_that_was_begun_late_has_only_what_was_seen():
    found = run(ShadowBook(HORIZON), range(40, 61), 2.0)
    assert found[0].minutes == 5


def test_a_stale_price_is_no_outcome():
    book = ShadowBook(HORIZON)
    for n in range(61):
        minute = FIRST + n * MINUTE_MS
        found = book.closed(minute, np.array([100.0 + n]), np.array([n != 30]))
        book.spoke(minute, PAIR, spoken(0.0), spoken(30.0))
        if found:
            # The minutes are scored, yet what nobody knows decides nothing in them.
            assert found[0].minutes == 45
            assert 0 < found[0].score < 1
