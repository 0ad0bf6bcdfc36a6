"""The weight search on Ray Tune: finds what is there, is taken up where it was left, survives a torn state."""

from pathlib import Path

import numpy as np
import pytest

from config.load import load_settings
from tests.support.histories import history
from tune.scoring import score
from tune.weights import search

pytestmark = pytest.mark.ray
SETTINGS = load_settings(environ={})
TRIALS = 4


def run(folder: Path, said: list[str] | None = None, trials: int = TRIALS) -> tuple[np.ndarray, int, bool]:
    return search(
        history(),
        SETTINGS,
        folder,
        trials=trials,
        minutes=2.0,
        seed=3,
        progress=lambda text, share: said.append(text) if said is not None else None,
    )


def test_a_search_finds_the_member_that_knows_and_is_not_repeated(ray_cluster: None, tmp_path: Path) -> None:
    said: list[str] = []
    found, ended, cut_short = run(tmp_path, said)
    assert (ended, cut_short) == (TRIALS, False)
    assert said[-1].startswith(f"trial {TRIALS} of {TRIALS}")
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    equal = np.full((1, 3, 2), 0.5)
    rules, invest = SETTINGS.rules.selection, SETTINGS.config.trade.invest_pct / 100
    assert score(found[None], history(), rules, invest)[0] > score(equal, history(), rules, invest)[0]
    again, ended, _ = run(tmp_path)
    assert ended == TRIALS
    np.testing.assert_array_equal(again, found)


def test_a_torn_state_starts_anew(ray_cluster: None, tmp_path: Path) -> None:
    run(tmp_path, trials=2)
    (tmp_path / "trials-2" / "tuner.pkl").write_bytes(b"")
    _, ended, _ = run(tmp_path, trials=2)
    assert ended == 2
    assert (tmp_path / "trials-2.torn").is_dir()
