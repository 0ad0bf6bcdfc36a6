"""``train --rl`` in a process of its own, killed without mercy: what goes on ends with what would have been."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from config.load import ROOT
from core.features import N_FEATURES, SEQUENCE
from data.artifacts import ArtifactStore
from data.synthetic import SyntheticSpec, make_market, write_market
from serve.models.registry import load_member
from tests.support.rl_child import PLAN, trained
from tune.rl.checkpoints import Checkpoints
from tune.rl.runner import PpoLoop
from tune.rl.train import Trained

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
PATIENCE_S = 200.0


def killed_in_the_middle(var: Path, root: Path) -> int:
    """Start training, kill it after its first checkpoint; the iterations that were kept."""
    command = [sys.executable, "-m", "tests.support.rl_child", str(var), str(root)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + PATIENCE_S
    while not (kept := list(var.glob("rl/*/seed-0.pkl"))):
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            raise AssertionError(f"no checkpoint was kept: {process.communicate()}")
        time.sleep(0.005)
    process.kill()
    process.communicate()
    found = Checkpoints(kept[0].parent).load(0)
    assert found is not None
    return found.done


def said(agent: Trained, var: Path) -> np.ndarray:
    folder = ArtifactStore(var / "artifacts").load(agent.artifact.reference).path
    features = np.random.default_rng(1).normal(size=(50, SEQUENCE, N_FEATURES))
    return np.stack(load_member("rl", folder).forecast(features))


def test_a_training_killed_in_the_middle_ends_with_what_it_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "market"
    spec = SyntheticSpec(seed=3, days=1, edge="planted", binance=("BTC", "ETH"), upbit=())
    write_market(make_market(spec), root)
    done = killed_in_the_middle(tmp_path / "killed", root)
    assert 1 <= done < PLAN.iterations
    assert not (tmp_path / "killed" / "artifacts").exists()

    turns: list[int] = []
    original = PpoLoop.train
    monkeypatch.setattr(PpoLoop, "train", lambda self: turns.append(1) or original(self))
    gone_on = trained(tmp_path / "killed", root)
    assert len(turns) == PLAN.iterations - done
    straight = trained(tmp_path / "straight", root)
    assert gone_on.curves == straight.curves
    np.testing.assert_array_equal(said(gone_on, tmp_path / "killed"), said(straight, tmp_path / "straight"))
    assert not list((tmp_path / "killed").glob("rl/*")), "checkpoints of a training that is done are gone"
