"""``run.py sim`` as a process: it says where it is, serves, and never outlives whoever it belongs to."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from core.errors import BotError, ConfigError
from exchanges.sim_command import parse_balances, read_costs
from exchanges.simulated.process import start_simulator
from exchanges.simulated.walk import random_walk_tape
from tests.sim.conftest import START

ROOT = Path(__file__).resolve().parents[2]


def state(url: str) -> dict:
    with urllib.request.urlopen(f"{url}/sim/state", timeout=5) as answer:
        return json.load(answer)


def test_a_tape_is_served_from_where_and_for_as_long_as_told_with_faults_by_seed(tmp_path):
    random_walk_tape(("BTC/USDT", "ETH/USDT"), START, 120, seed=2).save(tmp_path / "tape.npz")
    (tmp_path / "costs.json").write_text('{"min_notional": false}')
    told = ["--lockstep", "--tape", str(tmp_path / "tape.npz"), "--symbols", "ETH/USDT"]
    told += ["--costs", str(tmp_path / "costs.json"), "--chaos", "seed=7,rate=1,only=stamp"]
    simulator = start_simulator(ROOT, [*told, "--start", str(START + 3_600_000), "--minutes", "30"])
    try:
        found = state(simulator.rest)
        assert (found["start_ms"], found["end_ms"]) == (START + 3_600_000, START + 5_400_000)
        assert (found["symbols"], found["mode"], found["synthetic"]) == (["ETH/USDT"], "lockstep", True)
        assert simulator.stream.startswith("ws://127.0.0.1:")
        assert simulator.secret not in repr(simulator)
        with urllib.request.urlopen(f"{simulator.rest}/api/v3/exchangeInfo", timeout=5) as answer:
            filters = json.load(answer)["symbols"][0]["filters"]
        assert [float(f["minNotional"]) for f in filters if f["filterType"] == "NOTIONAL"] == [0.0]
        # Faults are switched on by seed, and told: here none but those of signed requests.
        for _ in range(2):
            with pytest.raises(urllib.error.HTTPError, match="400") as caught:
                urllib.request.urlopen(f"{simulator.rest}/api/v3/account", timeout=5)
            assert json.load(caught.value)["code"] == -1021
        with urllib.request.urlopen(f"{simulator.rest}/sim/chaos", timeout=5) as answer:
            faults = json.load(answer)
        assert (faults["seed"], faults["only"], faults["done"]) == (7, ["stamp"], {"stamp": 2})
    finally:
        simulator.close()
    # It was asked to stop, as its owner asks.
    assert simulator.process.returncode == 128 + signal.SIGTERM


def test_a_wrong_argument_ends_with_its_reason(tmp_path, capfd):
    with pytest.raises(BotError, match="did not start"):
        start_simulator(ROOT, ["--tape", str(tmp_path / "absent.npz")])
    assert "absent.npz: no such file" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ('{"latency": "perhaps"}', r"costs\.json: latency"),
        ('{"tariff": 1}', r"costs\.json: tariff"),
        ("no", r"costs\.json: the file"),
    ],
)
def test_costs_that_are_none_are_named(tmp_path, content, match):
    (tmp_path / "costs.json").write_text(content)
    with pytest.raises(ConfigError, match=match):
        read_costs(tmp_path / "costs.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_costs(tmp_path / "absent.json")


def test_it_goes_when_its_owner_is_killed():
    code = (
        "import sys, time; from pathlib import Path; from exchanges.simulated.process import start_simulator; "
        "s = start_simulator(Path(sys.argv[1]), ['--lockstep']); print(s.process.pid, s.rest, flush=True); "
        "time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(ROOT)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        pid, url = owner.stdout.readline().split()
        assert state(url)["mode"] == "lockstep"
    finally:
        owner.kill()
        owner.wait(5)
        owner.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return
        status = Path(f"/proc/{pid}/stat")
        if status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    os.kill(int(pid), signal.SIGKILL)
    pytest.fail("the simulator outlived its owner")


def test_balances_are_read_and_nonsense_is_named():
    assert {k: str(v) for k, v in parse_balances("USDT=10000, btc=0.5").items()} == {"USDT": "10000", "BTC": "0.5"}
    for text in ("USDT", "USDT=x", "USDT=-1", "=5", "USDT=NaN"):
        with pytest.raises(argparse.ArgumentTypeError, match="ASSET=AMOUNT"):
            parse_balances(text)
