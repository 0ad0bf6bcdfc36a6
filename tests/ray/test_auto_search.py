"""``train --auto`` in a process of its own: killed without mercy it leaves nobody behind, and goes on where it was."""

import json
import os
import signal
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

pytestmark = pytest.mark.ray
ROOT = Path(__file__).resolve().parents[2]
TRIALS = 6
PATIENCE_S = 120.0


def command(var: Path, *more: str) -> list[str]:
    words = ["train", "--auto", "--market", "small", "--families", "ridge,rules", "--minutes", "10", "--seed", "3"]
    limits = ["--cores", "2", "--memory", "6GB", "--trials", str(TRIALS)]
    markets = ['trade.instruments=["binance:BTC/USDT","binance:ETH/USDT"]', f"var_dir={var}"]
    changes = [word for one in markets for word in ("--set", one)]
    return [sys.executable, str(ROOT / "run.py"), *words, *limits, *more, *changes]


def steps_in(market: Path) -> int:
    return sum(path.read_text().count("\n") for path in market.glob(f"auto/*/{FILE}"))


def test_a_search_that_is_killed_goes_on_and_ends_in_the_registry(tmp_path: Path) -> None:
    market = tmp_path / "synth" / "small"
    spec = SyntheticSpec(name="small", seed=3, days=3, binance=("BTC", "ETH"), upbit=(), edge_bps=150.0)
    write_market(make_market(spec), market)
    first = subprocess.Popen(command(tmp_path), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    below: list[psutil.Process] = []
    until = time.monotonic() + PATIENCE_S
    while steps_in(market) < 3 and time.monotonic() < until:
        assert first.poll() is None, "it ended before it was killed"
        below = psutil.Process(first.pid).children(recursive=True)
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    (folder,) = (market / "auto").iterdir()
    before = read(folder)
    assert len(before) >= 3
    gone, alive = psutil.wait_procs(below, timeout=20.0)
    assert not alive, f"left behind: {[p.name() for p in alive]}"
    assert len(gone) > 4, "Ray and the trials were there"

    again = subprocess.run(
        command(tmp_path, "--resume", "--json"), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S * 2
    )
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert told["starts"] == 2
    assert 0 < told["peak_bytes"] < 6e9
    after = read(folder)
    # What was on record before is there as it was: nothing was done twice.
    assert {key: after[key] for key in before} == before
    lines = [json.loads(line) for line in (folder / FILE).read_text().splitlines()]
    assert len(lines) == len({(line["key"], line["ninths"]) for line in lines})

    board = Leaderboard.load(Path(told["leaderboard"]))
    assert board.verdict in ("edge", "unproven", "none")
    assert {one.member for one in board.finalists} == {"ridge", "rules"}
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

    third = subprocess.run(command(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    assert third.returncode == 0, third.stderr
    assert "this search had ended before" in third.stdout
    assert read(folder) == after
