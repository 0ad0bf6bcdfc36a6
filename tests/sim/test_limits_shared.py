"""One ledger for all processes of a machine: real processes at one file, killed in the middle, and a simulated venue."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from config.settings import ExchangeSettings
from core.errors import ExchangeUnavailable
from core.units import MINUTE_MS, Instrument
from exchanges.binance.gateway import BinanceGateway
from exchanges.limits.sharing import limits_file, shared_gate
from exchanges.limits.store import HEAD, FileStore
from exchanges.limits.tables import UPBIT_GROUPS, WEIGHT, binance_line, upbit_line
from exchanges.simulated.binance.budget import Allowance
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.rules import DEFAULT_COSTS
from exchanges.simulated.server import serve_exchange
from exchanges.simulated.upbit.market import upbit_exchange
from exchanges.simulated.upbit.walk import krw_walk_tape
from exchanges.simulated.walk import random_walk_tape
from tests.support import limits_caller
from tests.support.binance_stub import API_KEY, SECRET

ROOT = Path(__file__).resolve().parents[2]
WALL = 1_772_000_000_000
START = 1_767_225_600_000
BTC = Instrument("binance", "BTC/USDT")


def worker(module: str, *words: object) -> subprocess.Popen:
    line = [sys.executable, "-m", f"tests.support.{module}", *map(str, words)]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def end(children: list[subprocess.Popen]) -> None:
    for child in children:
        if child.poll() is None:
            child.kill()
        child.wait(10)
        child.stdout.close()


def test_processes_that_hammer_one_file_and_are_killed_in_the_middle_stay_under_the_limit(tmp_path):
    """Four processes with eight requests each, all urgencies, for four seconds; two of them killed on the way, each
    replaced. The log is what the venue sees."""
    path, log = tmp_path / "upbit.bin", tmp_path / "log"
    children = [worker("limits_worker", path, log, 5, seed) for seed in range(4)]
    try:
        deadline = time.monotonic() + 30
        while not log.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        chance = random.Random(7)
        for turn in range(2):
            time.sleep(chance.uniform(0.7, 1.1))
            children[turn].kill()
            children.append(worker("limits_worker", path, log, 2, 10 + turn))
        for child in children[2:]:
            assert child.wait(30) == 0
    finally:
        end(children)
    told = [line.split() for line in log.read_text().splitlines()]
    rows = [row for row in told if row[2] != "given_up"]
    at = sorted(float(row[0]) for row in rows)
    limit = UPBIT_GROUPS["order"][0]
    worst = max(sum(t <= other < t + 1.0 for other in at) for t in at)
    assert worst <= limit
    # It is used, too: a place takes one second and a way of 80 ms on average, and a killed process leaves up to eight
    # places taken for three seconds.
    assert len(rows) > 0.3 * limit * (at[-1] - at[0])
    # Under a siege there is always somebody more urgent than history. How many of each came through says little, and how
    # long they waited as well: a killed process keeps everybody waiting. Who came through at all says it.
    served = {n: sum(r[1] == n for r in rows) / sum(r[1] == n for r in told) for n in ("CANCEL", "HISTORY")}
    assert served["CANCEL"] > served["HISTORY"]
    store = FileStore(path, upbit_line, lambda: WALL)
    assert not store.damaged
    store.close()


def test_a_process_killed_while_it_writes_leaves_the_file_whole(tmp_path):
    """A child does nothing but change the file, and is killed at a seeded moment; what it wrote last is there."""
    script = f"""
from pathlib import Path
from exchanges.limits.store import FileStore
from exchanges.limits.tables import binance_line
store = FileStore(Path({str(tmp_path / "b.bin")!r}), binance_line, lambda: {WALL})
while True:
    print(store.run(lambda line, now: setattr(line, "refusals", line.refusals + 1) or line.refusals), flush=True)
"""
    chance = random.Random(11)
    before = 0
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        first = int(child.stdout.readline())
        assert first == before + 1
        time.sleep(chance.uniform(0.01, 0.1))
        child.kill()
        told = [int(word) for word in child.stdout.read().split() if word.isdecimal()]
        child.wait(10)
        child.stdout.close()
        store = FileStore(tmp_path / "b.bin", binance_line, lambda: WALL)
        assert not store.damaged
        before = store.run(lambda line, now: line.refusals)
        store.close()
        # The last number may have been cut while it was printed, or not have been printed yet.
        assert before >= max(told[:-1], default=first)
    assert before > 30


def test_a_fork_gets_a_lock_of_its_own(tmp_path):
    """A child must not go through its parent's lock."""
    script = f"""
import os
from pathlib import Path
from exchanges.limits.store import FileStore
from exchanges.limits.tables import binance_line
store = FileStore(Path({str(tmp_path / "b.bin")!r}), binance_line, lambda: {WALL})
pid = os.fork()
for _ in range(300):
    store.run(lambda line, now: setattr(line, "refusals", line.refusals + 1))
if pid == 0:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(store.run(lambda line, now: line.refusals))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "600"


def exchange(seconds_to_the_minute: int = 0) -> SimulatedExchange:
    tape = random_walk_tape(("BTC/USDT",), START, 300, seed=5)
    begin = START + 60 * MINUTE_MS - seconds_to_the_minute * 1_000
    return SimulatedExchange(
        tape, tape.default_rules(DEFAULT_COSTS), {"USDT": Decimal(1_000_000)}, begin, costs=DEFAULT_COSTS
    )


async def test_three_processes_of_mixed_calls_never_earn_a_429_by_themselves(tmp_path):
    """The venue allows 400 weight a minute and 8 orders in ten seconds; nine callers want far more, over the turn of
    its minute. It is never they who are refused; what does not fit is kept back here."""
    refused: list[int] = []
    server = await serve_exchange(
        exchange(seconds_to_the_minute=4),
        mode="speed",
        speed=1.0,
        credentials={API_KEY: SECRET},
        allowance=Allowance(weight=400, orders_10s=8),
    )
    spend, count = server.state.budget.spend, server.state.budget.count_order
    server.state.budget.spend = lambda weight: noting(refused, spend, weight)
    server.state.budget.count_order = lambda: noting(refused, count)
    gateway = BinanceGateway(
        ExchangeSettings(rest_url=server.url),
        None,
        [BTC],
        ledger=shared_gate(tmp_path, "binance", server.url, lambda: WALL),
    )
    await gateway.rules()  # the limits are learnt from exchangeInfo, by whoever asks first, for everybody
    await gateway.close()
    try:
        total = await called(tmp_path, "binance", server.url)
    finally:
        await server.close()
    assert refused == []
    assert total["refusals"] == 0
    assert "429" not in total
    assert total.get("kept back", 0) + total.get("given up", 0) > 0, total  # so they wanted more than there was
    assert total["order"] >= 4, total
    assert set(total) <= {
        "order",
        "cancel",
        "account",
        "open",
        "bars",
        "query",
        "kept back",
        "given up",
        "refusals",
    } | {word for word in total if word.startswith(("cancel:", "order:"))}


async def test_three_processes_at_upbit_never_earn_a_429_either(tmp_path):
    """Nine callers, groups of 10 to 30 a second; the simulated Upbit counts by its own seconds."""
    tape = krw_walk_tape(("BTC/KRW",), START, 300, 5)
    market = upbit_exchange(tape, {"KRW": Decimal(100_000_000)}, START + 60 * MINUTE_MS)
    server = await serve_exchange(market, mode="speed", venue="upbit", credentials={API_KEY: SECRET})
    try:
        total = await called(tmp_path, "upbit", server.url)
    finally:
        await server.close()
    assert total["refusals"] == 0, total
    assert "429" not in total
    assert sum(total.values()) > 60, total


async def called(folder: Path, venue: str, url: str) -> dict[str, int]:
    """What three processes of callers say became of their calls, added up."""
    told = [folder / f"{seed}.json" for seed in range(3)]
    children = [limits_caller.start(told[seed], venue, url, folder, 6.0, seed) for seed in range(3)]
    try:
        await asyncio.gather(*(asyncio.to_thread(child.join, 40) for child in children))
    finally:
        for child in children:
            child.kill()
            child.join(5)
    said = [json.loads(path.read_text()) for path in told]
    return {word: sum(one.get(word, 0) for one in said) for word in {w for one in said for w in one}}


def noting(refused: list, call, *args):
    try:
        return call(*args)
    except BaseException as refusal:
        refused.append(refusal.number)
        raise


async def test_a_restart_asks_what_is_used_before_it_spends(tmp_path):
    """Another program used most of the minute's weight. A new process does not assume a fresh budget: it asks."""
    server = await serve_exchange(exchange(40), mode="speed", credentials={API_KEY: SECRET})
    server.state.budget.spend(5_000)
    gate = shared_gate(tmp_path, "binance", server.url, lambda: WALL)
    gateway = BinanceGateway(ExchangeSettings(rest_url=server.url), None, [BTC], ledger=gate)
    with pytest.raises(ExchangeUnavailable, match="budget of weight is spent"):
        await gateway.rules()
    assert 5_000 < gate.look(lambda line, now: line.used(now, WEIGHT)) < 5_010
    await gateway.close()
    await server.close()


async def test_a_restart_keeps_a_pause(tmp_path):
    server = await serve_exchange(
        exchange(), mode="lockstep", credentials={API_KEY: SECRET}, allowance=Allowance(weight=1)
    )
    settings = ExchangeSettings(rest_url=server.url)
    first = BinanceGateway(settings, None, [BTC], ledger=shared_gate(tmp_path, "binance", server.url, lambda: WALL))
    await first.server_time_ms()
    with pytest.raises(ExchangeUnavailable, match="429"):
        await first.server_time_ms()
    await first.close()
    asked = server.state.budget.headers()["X-MBX-USED-WEIGHT-1M"]
    second = BinanceGateway(settings, None, [BTC], ledger=shared_gate(tmp_path, "binance", server.url, lambda: WALL))
    with pytest.raises(ExchangeUnavailable, match="asked for a pause") as away:
        await second.server_time_ms()
    assert away.value.retry_after_s > 1
    assert server.state.budget.headers()["X-MBX-USED-WEIGHT-1M"] == asked
    await second.close()
    await server.close()


def test_a_file_of_the_wrong_owner_is_no_reason_to_stop(tmp_path, caplog):
    """Read-only for us: counted for this process alone, said once."""
    path = limits_file(tmp_path, "binance", None)
    FileStore(path, binance_line, lambda: WALL).close()
    if os.geteuid() == 0:
        path.unlink()
        path.mkdir()  # root may write anything; a folder in its place can not be opened by anybody
    else:
        path.chmod(0o400)
    gate = shared_gate(tmp_path, "binance", None, lambda: WALL)
    assert not gate.shared
    assert "for itself" in caplog.text
    assert HEAD.size == 24
