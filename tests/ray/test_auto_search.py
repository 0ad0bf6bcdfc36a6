"""``train --auto`` in a process of its own: killed without mercy it leaves nobody behind, and goes on where it was."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from data.artifacts import ArtifactStore
from data.model_registry import CANDIDATE, fitting
from data.synthetic import make_market, write_market
from data.synthetic_spec import SyntheticSpec
from tune.auto.leaderboard import Leaderboard
from tune.auto.records import FILE, read

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
TRIALS = 12
PATIENCE_S = 240.0
"""A machine that has compiled nothing yet does so first."""


def command(var: Path, *more: str) -> list[str]:
    words = ["train", "--auto", "--market", "small", "--families", "ridge,rules", "--minutes", "10", "--seed", "3"]
    limits = ["--cores", "2", "--memory", "6GB", "--trials", str(TRIALS)]
    markets = ['trade.instruments=["binance:BTC/USDT","binance:ETH/USDT"]', f"var_dir={var}"]
    changes = [word for one in markets for word in ("--set", one)]
    return [sys.executable, str(ROOT / "run.py"), *words, *limits, *more, *changes]


def started(var: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(var, *more), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def after_steps(market: Path, count: int, process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Wait until so many steps are on record; who is below the process then."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if sum(path.read_text().count("\n") for path in market.glob(f"auto/*/{FILE}")) >= count:
            return psutil.Process(process.pid).children(recursive=True)
        if process.poll() is not None:
            break
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"{count} steps were not reached: {process.communicate()}")


def test_a_search_that_is_killed_goes_on_and_ends_in_the_registry(tmp_path: Path) -> None:
    market = tmp_path / "synth" / "small"
    spec = SyntheticSpec(name="small", seed=3, days=3, binance=("BTC", "ETH"), upbit=(), edge_bps=150.0)
    write_market(make_market(spec), market)

    killed = started(tmp_path)
    below = after_steps(market, 3, killed)
    killed.kill()
    killed.communicate()
    gone, alive = psutil.wait_procs(below, timeout=20.0)
    # Ray's two agents ask only now and then whether their node is still there.
    alive = [p for p in alive if not p.name().endswith("Agent")]
    assert not alive, f"left behind: {[p.name() for p in alive]}"
    assert len(gone) > 4, "Ray and the trials were there"
    # Read when nobody writes any more: a step may have ended between the kill and the end of its process.
    (folder,) = (market / "auto").iterdir()
    before = read(folder)
    assert len(before) >= 3

    ended = started(tmp_path, "--resume", "--json")
    answer, complaint = ended.communicate(timeout=PATIENCE_S)
    assert ended.returncode == 0, complaint
    told = json.loads(answer)
    assert told["starts"] == 2
    assert 0 < told["peak_bytes"] < 6e9
    after = read(folder)
    done = {key for key, step in before.items() if step.ok}
    assert {key: after[key] for key in done} == {key: before[key] for key in done}
    lines = [json.loads(line) for line in (folder / FILE).read_text().splitlines() if '"ok"' in line]
    assert len(lines) == len({(line["key"], line["ninths"]) for line in lines}), "a step was done twice"

    board = Leaderboard.load(Path(told["leaderboard"]))
    assert board.verdict in ("edge", "unproven", "none")
    assert {"ridge", "rules"} <= {one.member for one in board.finalists}
    assert board.rows[0].gain > 0.0, "the edge is planted"
    store = ArtifactStore(market / "artifacts")
    kept = {a.version: a for a in store.list("model")}
    for one in board.finalists:
        artifact = kept[one.version]
        assert artifact.extra[CANDIDATE]
        assert artifact.extra["hyper"]
        assert artifact.span[1] <= told["held_out"][0]
        # Nobody takes it before it was promoted.
        assert fitting(store, one.member, schema=artifact.schema, where=lambda a: True) is None
