"""Members on markets of which the truth is known: silent where nothing can be known, most of it found where something
can, and a standard deviation that is one, in calm and in wild hours.

The long version, all families with their own settings and more seeds, is ``run.py bench models``.
"""

import numpy as np
import pytest

from core.features import FEATURE_NAMES
from core.messages import FloatArray
from serve.models.base import Member, TrainingSet
from serve.models.registry import FAMILIES, NETWORKS, new_member
from tests.support.known_markets import Known, coverage, known, loudness, share_found

LEARNT = tuple(family for family in FAMILIES if family != "rl")
SMALL = {family: {"steps": 100, "batch": 128} for family in NETWORKS} | {"lightgbm": {"trees": 100}}
PAST, FUTURE = (0.0, 0.68), (0.7, 1.0)


def taught(family: str, market: Known, seed: int) -> tuple[Member, TrainingSet, dict[str, float]]:
    """A member that learned from the past, and the future."""
    member = new_member(family, **SMALL.get(family, {}))
    notes = member.fit(market.part(*PAST), seed)
    return member, market.part(*FUTURE), notes


@pytest.mark.parametrize("family", LEARNT)
def test_where_nothing_can_be_known_nothing_is_said(family: str) -> None:
    loud = []
    for seed in (1, 2, 3):
        member, future, _ = taught(family, known(seed, edge=0.0, minutes=1_500), seed)
        loud.append(loudness(member, future))
    assert np.mean(loud) < 0.02, loud
    assert max(loud) < 0.06, loud


LEAST_FOUND = {"rules": 0.15}
"""Chart rules read what is planted at the ends of the hour's range alone, where half of it is told."""


@pytest.mark.parametrize("family", LEARNT)
def test_most_of_what_can_be_known_is_found_and_the_width_is_right(family: str) -> None:
    found = []
    for seed in (1, 2):
        market = known(seed, edge=1.0, minutes=3_000)
        member, future, _ = taught(family, market, seed)
        found.append(share_found(member, future, market.planted_bps))
        _widths_are_right(member, future)
    assert np.mean(found) > LEAST_FOUND.get(family, 0.5), found
    assert max(found) < 1.1, found


def _widths_are_right(member: Member, future: TrainingSet) -> None:
    """68 and 95 % intervals hold what they say, over each horizon, in the calmer and in the wilder half of the time."""
    at = np.arange(future.size)
    mean, stdev = member.forecasts(future.windows(at))
    target = future.ahead(at)
    assert mean.shape == stdev.shape == (future.size, 3)
    wild = future.last[:, FEATURE_NAMES.index("rv_60")]
    for h in range(3):
        known_at = np.isfinite(target[:, h])

        def held(part: FloatArray, width: float, h: int = h) -> float:
            return coverage(mean[part, h], stdev[part, h], target[part, h], width)

        assert held(known_at, 1.0) == pytest.approx(0.683, abs=0.05)
        assert held(known_at, 1.96) == pytest.approx(0.95, abs=0.03)
        for half in (wild < np.median(wild), wild >= np.median(wild)):
            assert held(known_at & half, 1.0) == pytest.approx(0.683, abs=0.07)


@pytest.mark.parametrize("family", LEARNT)
def test_a_symbol_with_too_little_history_is_answered_like_any_other(family: str) -> None:
    """Nobody learned a symbol's name: one that was listed yesterday is forecast by what others taught; one whose windows
    are not whole is not."""
    market = known(5, edge=0.6, minutes=1_500)
    market.data.features[2, :1_400] = np.nan
    whole = np.isfinite(market.data.features).all(axis=2)
    rows = market.data.rows
    complete = np.array([whole[s, t - 63 : t + 1].all() for s, t in rows])
    data = market.data.where(complete)
    member = new_member(family, **SMALL.get(family, {}))
    member.fit(data.between(0, 1_300), 1)
    asked = np.flatnonzero((data.rows[:, 0] == 2) & (data.rows[:, 1] >= 1_463))
    mean, _ = member.forecast(data.windows(asked))
    assert np.isfinite(mean).all()
    late = market.data.where((rows[:, 0] == 2) & (rows[:, 1] == 1_400 + 5))
    windows = late.windows(np.arange(1))
    unknown, _ = member.forecast(windows)
    # Whoever reads further back than those few minutes has nothing to say.
    assert np.isnan(unknown[0]) == (member.depth > 6)


def test_too_few_samples_are_said() -> None:
    for family in (*NETWORKS, "lightgbm"):
        few = known(1, edge=0.0, minutes=75).data
        with pytest.raises(ValueError, match="too few to learn and to judge by"):
            new_member(family).fit(few, 1)
