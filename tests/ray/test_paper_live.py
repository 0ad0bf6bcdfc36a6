"""``run.py paper`` and ``run.py live``, whole and at both exchanges, with simulators at 30 times real speed in their place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.runs.arming import fingerprint, read_past
from actors.runs.edge import JOURNAL, SENTENCE
from actors.runs.simulators import tape_of
from config.changes import newest_kept
from config.load import load_settings
from core.units import Instrument
from data.journal import read_journal
from data.market import cut, synthetic_source
from data.records import read_records
from data.starting_caps import read_cap
from data.synthetic import SyntheticSpec, make_market, write_market
from exchanges.simulated.process import start_simulator

ROOT = Path(__file__).resolve().parents[2]
TRADED = ("binance:BTC/USDT", "binance:ETH/USDT", "binance:SOL/USDT", "upbit:BTC/KRW", "upbit:ETH/KRW")
INSTRUMENTS = tuple(map(Instrument.parse, TRADED))
VENUES = ("binance", "upbit")
PAPER_MINUTES = 12
"""Longer than this market ever goes without a forecast that asks for a trade."""
LONG_S = 240
ACCEPTED = ("--without-proven-edge", SENTENCE)


class World:
    """A folder with settings and a market to train one member on, and simulators that play its end."""

    def __init__(self, folder: Path) -> None:
        self.var = folder / "var"
        config = self.config = folder / "config"
        config.mkdir()
        common = {"dashboard": {"port": 0}, "ray": {"dashboard": False}, "var_dir": str(self.var)}
        trade = {"instruments": TRADED, "invest_pct": 30, "min_order_usdt": 50}
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
        market = cut(source, INSTRUMENTS, 400)
        self.simulators = {}
        self.common = ["--market", "tiny", "--json", "--config-dir", str(config)]
        self.environ = dict(os.environ)
        for venue in VENUES:
            tape = folder / f"tape-{venue}.npz"
            tape_of(source, market, venue).save(tape)
            self.simulators[venue] = played = start_simulator(
                ROOT,
                ["--tape", str(tape), "--start", str(market.first_minute), "--speed", "30", "--paused"],
                venue=venue,
                log_file=folder / f"sim-{venue}.log",
            )
            base, keys = f"MINUTEHAND__EXCHANGES__{venue.upper()}__", f"MINUTEHAND_{venue.upper()}_API_"
            self.environ |= {
                base + "REST_URL": played.rest,
                base + "STREAM_URL": played.stream,
                base + "USER_STREAM_URL": played.user_stream,
                keys + "KEY": played.api_key,
                keys + "SECRET": played.secret,
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
    for simulator in made.simulators.values():
        simulator.close()


def summary(done: subprocess.CompletedProcess) -> dict:
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.timeout(900)
def test_live_without_paper_is_refused_and_paper_then_live_run_whole_at_both_exchanges(world):
    # Binance tells the account's number; at Upbit a fingerprint of the key stands for it.
    accounts = ("--account", "1", "--account", fingerprint((world.simulators["upbit"].api_key, "")))
    refused = world.run("live", *accounts)
    assert refused.returncode == 4
    for reason in ("no_paper_run", "models_missing", "no_proven_edge"):
        assert f"[{reason}]" in refused.stderr
    assert "wrong_account" not in refused.stderr

    paper = summary(world.run("paper", "--minutes", str(PAPER_MINUTES), "--cash", "5000"))
    assert (paper["minutes"], paper["differences"]) == (PAPER_MINUTES, [])
    run_dir, fills = Path(paper["run_dir"]), {}
    for venue, end, cash in (("binance", "", "USDT"), ("upbit", "-upbit", "KRW")):
        statement = json.loads((run_dir / f"statement{end}.json").read_text())
        account = json.loads((world.var / "paper" / f"stand-in{end}.json").read_text())["balances"]
        assert (statement["venue"], float(account[cash])) == (venue, float(statement["balances"][cash]["free"]))
        fills[venue] = len(statement["trades"])
    assert sum(fills.values()) == paper["fills"] > 0
    # Whether the forecasts ask for a trade at Upbit is theirs to say; its bars and books are there for it.
    records = [r for r in read_records(run_dir / "records") if r.status == "done"]
    assert {i.venue for r in records for i, fresh in zip(r.instruments, r.fresh, strict=True) if fresh} == set(VENUES)
    # One account in one number: five thousand USDT there, and their worth in won here.
    assert paper["equity_first"] == pytest.approx(10_000, rel=0.02)
    assert [line.partition(":")[0] for line in paper["exchanges"]] == ["binance", "upbit", "rate"]

    live = summary(world.run("live", *accounts, "--minutes", "3", *ACCEPTED))
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
    # Live alone begins under a cap, and each size says so.
    settings = load_settings(world.config, environ={})
    kept = read_cap(world.var / "live" / "stand-in-live", settings.config.live)
    assert (kept.level_pct, kept.state.judged is not None) == (25, True)
    sizes = {
        mode: [o.arithmetic[0] for r in read_records(Path(run["run_dir"]) / "records") for o in r.approved]
        for mode, run in (("paper", paper), ("live", live))
    }
    assert all(line.startswith("starting cap 25% of 30% = 7.5%") for line in sizes["live"])
    assert not any("starting cap" in line for line in sizes["paper"])
    assert newest_kept(world.var).mode == "live"
    secrets = [simulator.secret.encode() for simulator in world.simulators.values()]
    left = [p.read_bytes() for p in world.var.rglob("*") if p.is_file() and p.name != "keys.json"]
    assert not [text for text in left if any(secret in text for secret in secrets)]
