"""kill -9 in mid-schedule, thirty times: every parent ends with its quantity conserved, and nothing is sent twice."""

from pathlib import Path

import pytest

from core.params import ExecutionSettings
from core.protection import ExitRules
from tests.support.bad_days import ALGORITHMS
from tests.support.mortal_executor import KINDS, Mortality

KILLS = 30
TWAP = ExecutionSettings(slices=3, slice_seconds=15, unknown_requery_s=2.0)


@pytest.mark.timeout(120)
def test_thirty_deaths_in_mid_schedule_lose_nothing_and_send_nothing_twice(tmp_path: Path):
    found = Mortality(tmp_path, KILLS, seed=1, execution=TWAP).run()
    assert found.differences == []
    assert sum(found.kinds.values()) == KILLS
    assert set(found.kinds) == set(KINDS)
    assert set(found.slots) == {0, 1, 2}
    # Most came in the middle of something, and what they interrupted was worth it. How many depends on the machine.
    assert found.unfinished > KILLS * 0.6
    assert found.parents > 20 and found.partly > 3
    assert found.fills > found.orders > 40


@pytest.mark.timeout(120)
@pytest.mark.parametrize("algorithm", [name for name in ("immediate", "is", "adaptive") if name in ALGORITHMS])
def test_nor_does_dying_in_any_other_schedule(tmp_path: Path, algorithm: str):
    found = Mortality(tmp_path, 6, seed=2, execution=TWAP.model_copy(update={"algorithm": algorithm})).run()
    assert found.differences == []
    assert sum(found.kinds.values()) == 6
    assert found.unfinished >= 2 and found.fills > 20


@pytest.mark.timeout(120)
def test_nor_does_dying_with_stops_and_profits_left_at_the_exchange(tmp_path: Path):
    """Each position has a pair there that comes near: some are executed, all others are taken off before a sale."""
    near = ExitRules(stop=0.004, profit=0.004)
    found = Mortality(tmp_path, 20, seed=3, execution=TWAP, exits=near).run()
    assert found.differences == []
    assert sum(found.kinds.values()) == 20
    assert found.pairs >= 10 and found.over_pairs >= 1 and found.fills > 50
