"""``run.py paper`` and ``run.py live``, whole, with a simulator at 30 times real speed at the exchange's place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.runs.arming import read_past
from actors.runs.edge import JOURNAL, SENTENCE
from config.load import load_settings
from core.units import Instrument
from data.journal import read_journal
from data.market import cut, synthetic_source
from data.synthetic import SyntheticSpec, make_market, write_market
from exchanges.simulated.process import start_simulator
from exchanges.simulated.tape import Tape

ROOT = Path(__file__).resolve().parents[2]
PAIRS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "BNB/USDT")
PAPER_MINUTES = 12
"""Longer than this market ever goes without a forecast that asks for a trade."""
LONG_S = 240
ACCEPTED = ("--without-proven-edge", SENTENCE)
BASE = "MINUTEHAND__EXCHANGES__BINANCE__"


class World:
    """A folder with settings and a market to train one member on, and a simulator that plays its end."""

    def __init__(self, folder: Path) -> None:
        self.var = folder / "var"
        config = self.config = folder / "config"
        config.mkdir()
        common = {"dashboard": {"port": 0}, "ray": {"dashboard": False}, "var_dir": str(self.var)}
        trade = {"instruments": [f"binance:{p}" for p in PAIRS], "invest_pct": 30, "min_order_usdt": 50}
        (config / "config.json").write_text(json.dumps({"trade": trade, **common}))
        rules = {
            "models": {"horizon_minutes": 15, "members": [{"name": "ridge", "family": "ridge"}]},
            # So low that something is traded every few minutes.
            "selection": {"entry_edge_bps": 0.1, "exit_edge_bps": 0, "full_edge_bps": 1},
            "execution": {"cost_gate": "off"},
        }
        (config / "trading_rules.json").write_text(json.dumps(rules))
        write_market(
            make_market(SyntheticSpec(name="tiny", seed=3, days=2, edge="planted", edge_bps=150)),
            self.var / "synth" / "tiny",
        )
        source = synthetic_source(self.var, "tiny")
        market = cut(source, tuple(Instrument("binance", p) for p in PAIRS), 400)
        tape = folder / "tape.npz"
        Tape(market.instruments, market.start_minute, market.bars, True, market.sentiment).save(tape)
        self.simulator = start_simulator(
            ROOT,
            ["--tape", str(tape), "--start", str(market.first_minute), "--speed", "30", "--paused"],
            log_file=folder / "sim.log",
        )
        self.common = ["--market", "tiny", "--json", "--config-dir", str(config)]
        self.environ = os.environ | {
            BASE + "REST_URL": self.simulator.rest,
            BASE + "STREAM_URL": self.simulator.stream,
            BASE + "USER_STREAM_URL": self.simulator.ws_api,
            "MINUTEHAND_BINANCE_API_KEY": self.simulator.api_key,
            "MINUTEHAND_BINANCE_API_SECRET": self.simulator.secret,
        }
        # A cluster of its own, not the session's.
        for name in ("RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", "RAY_ADDRESS"):
            self.environ.pop(name, None)

    def run(self, *words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / "run.py"), *words, *self.common]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=LONG_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.simulator.close()


def summary(done: subprocess.CompletedProcess) -> dict:
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.timeout(900)
def test_live_without_paper_is_refused_and_paper_then_live_run_whole(world):
    refused = world.run("live", "--account", "1")
    assert refused.returncode == 4
    for reason in ("no_paper_run", "models_missing", "no_proven_edge"):
        assert f"[{reason}]" in refused.stderr

    paper = summary(world.run("paper", "--minutes", str(PAPER_MINUTES), "--cash", "5000"))
    assert (paper["minutes"], paper["differences"]) == (PAPER_MINUTES, [])
    assert paper["fills"] > 0
    account = json.loads((world.var / "paper" / "stand-in.json").read_text())["balances"]
    assert float(account["USDT"]) != 5_000
    statement = json.loads((Path(paper["run_dir"]) / "statement.json").read_text())
    assert len(statement["trades"]) == paper["fills"]

    live = summary(world.run("live", "--account", "1", "--minutes", "3", *ACCEPTED))
    assert (live["minutes"], live["differences"]) == (3, [])
    # A busy machine may miss one of these two-second minutes.
    assert min(paper["done"], live["done"]) >= 1
    assert live["run_dir"] == str(world.var / "live" / "stand-in-live")
    (said,) = read_journal(world.var / "live" / "stand-in-live" / JOURNAL)
    assert SENTENCE in said[1].decode()

    # The journal goes on: the next run knows this one's orders, and none is left hanging.
    past = read_past(world.var / "live" / "stand-in-live", load_settings(world.config, environ={}), "live")
    assert (past.unsettled, past.fault) == ((), "")
    assert len(past.orders) >= live["orders"]
    assert paper["run_dir"] != live["run_dir"]
    secret = world.simulator.secret
    left = [p for p in world.var.rglob("*") if p.is_file() and p.name != "keys.json"]
    assert not [p for p in left if secret.encode() in p.read_bytes()]
