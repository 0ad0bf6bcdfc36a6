"""The paper venue as a process: fills at what the watched exchange shows, and an account that outlives it."""

import asyncio
import json
import os
from decimal import Decimal as D
from pathlib import Path

import pytest

from actors.runs.paper_account import open_account
from config.settings import ExchangeSettings
from core.errors import BotError, ExchangeRefused
from core.messages import OrderState, PlaceOrder, TimeInForce
from core.params import CostSettings
from core.units import Instrument, Side
from exchanges.binance.gateway import BinanceGateway
from exchanges.simulated.process import start_server
from exchanges.simulated.server import serve_exchange
from tests.sim.conftest import make_exchange

ROOT = Path(__file__).resolve().parents[2]
BTC = Instrument("binance", "BTC/USDT")


@pytest.fixture
async def market(monkeypatch):
    """The watched exchange, and the settings by which a child finds it."""
    # Its touch is deep: what is shown beyond the best price never reaches a paper order.
    watched = make_exchange(costs=CostSettings(impact=False))
    running = await serve_exchange(watched, mode="speed", speed=5.0, paused=True)
    base = "MINUTEHAND__EXCHANGES__BINANCE__"
    monkeypatch.setenv(base + "REST_URL", running.url)
    monkeypatch.setenv(base + "STREAM_URL", running.stream_url)
    monkeypatch.setenv(base + "USER_STREAM_URL", running.ws_api_url)
    yield running
    await running.close()


async def start(market, folder: Path):
    program = ["-m", "actors.runs.paper_venue", "--account", str(folder / "account.json"), "--speed", "5"]
    program += ["--statement", str(folder / "statement.json"), "--sim-url", market.url]
    program += ['--set=trade.instruments=["binance:BTC/USDT","binance:ETH/USDT"]']
    return await asyncio.to_thread(start_server, ROOT, program, log_file=folder / "paper.log", parent_pid=os.getpid())


def order(name: str, price: D) -> PlaceOrder:
    return PlaceOrder(
        client_id=name,
        intent_id="i",
        instrument=BTC,
        side=Side.BUY,
        quantity=D("0.001"),
        price=price,
        time_in_force=TimeInForce.IOC,
    )


async def shown(market, seen: set) -> None:
    """Every ask the watched exchange shows."""
    while True:
        top = market.state.exchange.top(0)
        seen.add(top.ask)
        await asyncio.sleep(0.01)


async def until_refused(gateway: BinanceGateway, price: D) -> None:
    for number in range(100):
        await gateway.place(order(f"mh-late-{number}", price))
        await asyncio.sleep(0.1)


async def test_orders_fill_at_the_watched_exchanges_price_and_the_account_stays(market, tmp_path):
    open_account(tmp_path / "account.json", D(1_000), reset=False).save({"USDT": D(1_000)})
    asks: set = set()
    looking = asyncio.create_task(shown(market, asks))
    price = (market.state.exchange.top(0).ask * D("1.02")).quantize(D("0.01"))
    venue = await start(market, tmp_path)
    where = ExchangeSettings(rest_url=venue.rest, user_stream_url=venue.ws_api, recv_window_ms=60_000)
    gateway = BinanceGateway(where, (venue.api_key, venue.secret), [BTC])
    try:
        assert (await gateway.rules())[BTC].status == "TRADING"
        done = await gateway.place(order("mh-1", price))
        assert done.state is OrderState.FILLED
        assert {fill.price for fill in done.fills} <= asks
        # On disk before we were told.
        kept = open_account(tmp_path / "account.json", None, reset=False).balances
        account = await gateway.account()
        assert kept == {b.asset: b.total for b in account.balances}
        assert kept["USDT"] == D(1_000) - done.fills[0].price * D("0.001")
        assert market.state.exchange.account.free("USDT") == D(100_000)
        # The watched exchange goes away: there is no price to trade at any more.
        for connection in tuple(market.state.hub.connections):
            connection.abandon()
        await market.close()
        async with asyncio.timeout(10):
            with pytest.raises(ExchangeRefused, match="Market is closed"):
                await until_refused(gateway, price)
    finally:
        looking.cancel()
        await gateway.close()
        await asyncio.to_thread(venue.close)
    statement = json.loads((tmp_path / "statement.json").read_text())
    assert statement["trades"][0]["client_id"] == "mh-1"
    last = open_account(tmp_path / "account.json", None, reset=False).balances
    assert last["BTC"] == D(statement["balances"]["BTC"]["free"])


async def test_an_exchange_that_is_not_there_is_named(market, tmp_path):
    open_account(tmp_path / "account.json", None, reset=False).save({"USDT": D(1_000)})
    await market.close()
    with pytest.raises(BotError, match=r"did not start: .*127\.0\.0\.1"):
        await start(market, tmp_path)
    assert not (tmp_path / "statement.json").exists()
