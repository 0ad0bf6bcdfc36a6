"""What a live start must not go on from: stale bars, changed settings, orders that the exchange tells otherwise, a second bot."""

import asyncio
import os
import re
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal as D
from pathlib import Path

import numpy as np
import pytest

from actors.runs.arming import (
    Pending,
    find_models,
    judge_lake,
    judge_paper,
)
from actors.runs.findings import NAMES
from actors.runs.only_one import AccountLock
from actors.runs.run_mark import RunMark, leave_mark
from actors.runs.unsettled import contradiction, judge_orders
from config.changes import keep_settings
from config.identity import rules_hash
from config.load import load_settings
from core.errors import BotError
from core.messages import OrderSnapshot, OrderState, PlaceOrder, TimeInForce
from core.orders import client_id
from core.units import DAY_MS, Instrument, Side
from data.artifacts import ArtifactStore
from data.market import synthetic_source
from data.synthetic import SyntheticSpec, make_market, write_market
from exchanges.binance.gateway import BinanceGateway
from exchanges.simulated.server import serve_exchange
from tests.actors.test_arming import names, where
from tests.sim.conftest import BEGIN, KEY, SECRET, make_exchange

ROOT = Path(__file__).resolve().parents[2]
BTC = Instrument("binance", "BTC/USDT")
SETTINGS = load_settings(environ={})
OURS = client_id("live", "ens", BEGIN, "BTC/USDT", 0)


def pending(state: OrderState = OrderState.OPEN, executed: str = "0", **changes) -> Pending:
    made = Pending(client_id=OURS, instrument=BTC, side=Side.BUY, state=state, executed=D(executed))
    return replace(made, **changes)


@pytest.fixture
async def server():
    running = await serve_exchange(make_exchange(), credentials={KEY: SECRET})
    yield running
    await running.close()


async def judge(server, *orders: Pending) -> list:
    return await asyncio.to_thread(judge_orders, where(server), (KEY, SECRET), (BTC,), orders, Path("var/live/x"))


async def rest_an_order(server) -> None:
    gateway = BinanceGateway(where(server), (KEY, SECRET), (BTC,))
    price = (server.state.exchange.top(0).bid * D("0.9")).quantize(D("0.01"))
    order = PlaceOrder(
        client_id=OURS,
        intent_id="i",
        instrument=BTC,
        side=Side.BUY,
        quantity=D("0.001"),
        price=price,
        time_in_force=TimeInForce.GTC,
    )
    try:
        await gateway.place(order)
    finally:
        await gateway.close()


# Orders


async def test_an_order_that_the_exchange_knows_as_we_do_is_taken_up(server):
    await rest_an_order(server)
    assert await judge(server, pending(), pending(state=OrderState.UNKNOWN)) == []


async def test_an_order_sent_without_an_answer_may_never_have_arrived(server):
    assert await judge(server, pending(state=OrderState.SENT), pending(state=OrderState.UNKNOWN)) == []


async def test_an_order_that_was_open_and_is_unheard_of_is_refused_by_name(server):
    (found,) = await judge(server, pending())
    assert found.name == "unreconciled_orders"
    assert f"{OURS}: it was open for us, the exchange knows no such order" in found.text
    assert "move var/live/x aside" in found.text


async def test_fills_that_the_exchange_never_made_are_refused_by_name(server):
    await rest_an_order(server)
    assert names(await judge(server, pending(executed="0.0005"))) == ["unreconciled_orders"]


def test_orders_of_another_exchange_are_not_asked_about():
    elsewhere = pending(instrument=Instrument("upbit", "BTC/KRW"))
    assert judge_orders(None, None, (), (elsewhere,), Path("x")) == []


def test_another_order_under_our_name_contradicts():
    said = OrderSnapshot(
        client_id=OURS,
        venue_id="1",
        instrument=BTC,
        side=Side.SELL,
        state=OrderState.OPEN,
        quantity=D(1),
        price=D(1),
        executed=D(0),
        at_ms=0,
    )
    assert "has another" in contradiction(pending(), said)[0]
    assert contradiction(pending(), replace(said, side=Side.BUY)) == []


# Bars and models


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    var = tmp_path_factory.mktemp("var")
    write_market(make_market(SyntheticSpec(name="tiny", seed=1, days=1)), var / "synth" / "tiny")
    return synthetic_source(var, "tiny")


def test_bars_that_are_too_old_are_refused_by_name(source):
    _, last = source.lake.common_span((BTC,))
    assert judge_lake(source, (BTC,), last + DAY_MS, 14) == []
    (found,) = judge_lake(source, (BTC,), last + 15 * DAY_MS, 14)
    assert found.name == "stale_lake"
    assert "15.0 days old" in found.text
    assert "live.max_lake_age_days" in found.text


def test_bars_that_are_not_there_are_stale_too(source):
    (found,) = judge_lake(source, (BTC, Instrument("binance", "NONE/USDT")), 0, 14)
    assert found.name == "stale_lake"
    assert "has no bars of binance:NONE/USDT" in found.text


def test_models_of_other_features_are_told_apart_from_none(tmp_path):
    store = ArtifactStore(tmp_path)
    for schema in ("of_old",):
        store.save(
            "model",
            "ridge",
            lambda folder: np.savez(folder / "x.npz", a=np.zeros(1)),
            family="ridge",
            schema=schema,
            span=(0, 1),
            instruments=("binance:BTC/USDT",),
            seed=0,
            code="t",
            source="s",
            extra={"horizon": 15},
        )
    versions, found = find_models(store, SETTINGS)
    assert (versions, names(found)) == ({}, ["models_missing", "models_other_features"])
    assert "tcn, rules" in found[0].text
    assert "ridge" in found[1].text


# Settings


def finished(runs: Path, name: str, settings, at_ms: int) -> None:
    (runs / name).mkdir(parents=True)
    keep_settings(runs / name, settings, "paper", name, at_ms)
    mark = RunMark(
        run_id=name,
        mode="paper",
        rules_hash=rules_hash(settings),
        stand_in=False,
        minutes=9,
        missed=0,
        differences=0,
        ended_ms=at_ms,
    )
    leave_mark(runs / name, mark)


def test_settings_that_changed_since_the_last_paper_run_are_refused_key_by_key(tmp_path):
    finished(tmp_path, "first", load_settings(environ={}, overrides=["risk.max_order_pct=5"]), 1)
    (found,) = judge_paper(tmp_path, rules_hash(SETTINGS), stand_in=False, accepted=False, settings=SETTINGS)
    assert found.name == "config_changed"
    assert "since the last paper run, first: risk.max_order_pct: 5 % → 10 % (" in found.text
    finished(tmp_path, "second", SETTINGS, 2)
    assert judge_paper(tmp_path, rules_hash(SETTINGS), stand_in=False, accepted=False, settings=SETTINGS) == []


# Two bots


def test_two_bots_on_one_account_are_refused_by_name(tmp_path):
    first, second = AccountLock(tmp_path), AccountLock(tmp_path)
    assert first.take("binance", "77") == []
    (found,) = second.take("binance", "77")
    assert found.name == "account_in_use"
    assert str(os.getpid()) in found.text
    assert second.take("binance", "78") == []
    assert second.take("upbit", "77") == []
    first.release()
    assert second.take("binance", "77") == []
    second.release()


def test_a_lock_that_cannot_be_kept_stops_the_start(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BotError, match="must be a folder of this user"):
        AccountLock(tmp_path / "file").take("binance", "77")


def test_a_bot_that_was_killed_holds_no_account(tmp_path):
    code = (
        "import os, pathlib\nfrom actors.runs.only_one import AccountLock\n"
        f"assert AccountLock(pathlib.Path({str(tmp_path)!r})).take('binance', '77') == []\nos._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 9
    assert AccountLock(tmp_path).take("binance", "77") == []


# All of them


def test_every_reason_has_its_name_and_every_name_its_reason():
    sources = [*(ROOT / "actors" / "runs").glob("*.py"), ROOT / "actors" / "verbs" / "live_command.py"]
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    used = set(re.findall(r'Finding\(\s*name="(\w+)"', code)) | {"key_file_open", "key_file_wrong"}
    assert used == set(NAMES)
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in NAMES if f'"{name}"' not in tests and f"[{name}]" not in tests] == []
