"""``train --auto`` in a process of its own: killed, stopped by Ctrl-C, taken up again, it leaves nobody behind."""

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
from tune.auto.leaderboard import Leaderboard, finalists_of
from tune.auto.records import FILE, read

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
TRIALS = 12
PATIENCE_S = 240.0
"""A machine that has compiled nothing yet does so first."""
GONE_S = 90.0
"""For processes to end on a machine that is busy; they do within seconds, Ray's agents within a minute."""


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
    """Wait until so many steps are on record, of this start or those before; who is below the process then."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if written(market) >= count:
            return psutil.Process(process.pid).children(recursive=True)
        if process.poll() is not None:
            break
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"{count} steps were not reached: {process.communicate()}")


def written(market: Path) -> int:
    """Lines on record."""
    return sum(path.read_text().count("\n") for path in market.glob(f"auto/*/{FILE}"))


def still_there(processes: list[psutil.Process], within_s: float = GONE_S) -> list[str]:
    return [p.name() for p in psutil.wait_procs(processes, timeout=within_s)[1]]


def test_a_search_killed_and_stopped_by_ctrl_c_goes_on_and_ends_in_the_registry(tmp_path: Path) -> None:
    market = tmp_path / "synth" / "small"
    spec = SyntheticSpec(name="small", seed=3, days=3, binance=("BTC", "ETH"), upbit=(), edge_bps=150.0)
    write_market(make_market(spec), market)

    killed = started(tmp_path)
    below = after_steps(market, 3, killed)
    killed.kill()
    killed.communicate()
    # Ray's two agents notice at once, and spend a minute on telling a store that is gone: the next start ends them.
    agents = [p for p in below if p.is_running() and p.name().endswith("Agent")]
    assert not still_there([p for p in below if p not in agents])
    assert len(below) - len(agents) > 4, "Ray and the trials were there"
    # Read when nobody writes any more: a step may have ended between the kill and the end of its process.
    (folder,) = (market / "auto").iterdir()
    before = read(folder)
    assert len(before) >= 3

    stopped = started(tmp_path, "--resume")
    below = after_steps(market, written(market) + 1, stopped)
    assert not still_there(agents, within_s=0.0), "the start before them was killed"
    # As a terminal does: all of the group hear it.
    os.killpg(stopped.pid, signal.SIGINT)
    words, complaint = stopped.communicate(timeout=PATIENCE_S)
    assert stopped.returncode == 130, complaint
    assert "interrupted: what is done is kept; the same command goes on" in words + complaint
    assert not still_there(below)
    between = read(folder)
    assert all(between[key].ok for key, step in before.items() if step.ok)

    ended = started(tmp_path, "--resume", "--json")
    answer, complaint = ended.communicate(timeout=PATIENCE_S)
    assert ended.returncode == 0, complaint
    told = json.loads(answer)
    assert told["starts"] == 3
    assert 0 < told["peak_bytes"] < 6e9
    after = read(folder)
    done = {key for key, step in before.items() if step.ok}
    assert {key: after[key] for key in done} == {key: before[key] for key in done}
    lines = [json.loads(line) for line in (folder / FILE).read_text().splitlines() if '"ok"' in line]
    assert len(lines) == len({(line["key"], line["ninths"]) for line in lines}), "a step was done twice"

    board = Leaderboard.load(Path(told["leaderboard"]))
    assert board.verdict in ("edge", "unproven", "none")
    # Which trials reach the last rung hangs on who came to each rung first; the rules' lead is not by chance.
    assert [one.key for one in board.finalists] == [row.key for row in finalists_of(board, len(board.finalists))]
    assert board.rows[0].family == "rules"
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
