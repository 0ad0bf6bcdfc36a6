"""Paper at two venues at once, as processes: each watches its own exchange, keeps its own account and speaks its own wire."""

import argparse
import asyncio
import json
from decimal import Decimal as D

import pytest

from actors.runs.audit import audit
from actors.runs.paper_account import open_account
from actors.runs.reach import let_run, reach_all
from actors.runs.simulators import venue_of
from actors.verbs.paper_command import open_accounts, start_venues
from config.load import load_settings
from core.errors import ConfigError
from core.messages import OrderState, PlaceOrder, TimeInForce
from core.params import CostSettings
from core.units import Instrument, Side
from exchanges.simulated.server import serve_exchange
from exchanges.venues import gateway_of
from tests.sim.conftest import make_exchange
from tests.sim.upbit.conftest import make_exchange as make_upbit

BTC, WON = Instrument("binance", "BTC/USDT"), Instrument("upbit", "BTC/KRW")
SETTINGS = ('trade.instruments=["binance:BTC/USDT","upbit:BTC/KRW"]',)
SPEED = 5.0
WAIT_S = 20.0


@pytest.fixture
async def markets(monkeypatch):
    """The watched exchanges, and the settings by which we and children find them."""
    costs = CostSettings(latency=False, participation=False)
    running = {}
    for venue, make in (("binance", make_exchange), ("upbit", make_upbit)):
        running[venue] = await serve_exchange(make(costs=costs), mode="speed", speed=SPEED, paused=True, venue=venue)
        base = f"MINUTEHAND__EXCHANGES__{venue.upper()}__"
        monkeypatch.setenv(base + "REST_URL", running[venue].url)
        monkeypatch.setenv(base + "STREAM_URL", running[venue].stream_url)
        monkeypatch.setenv(base + "USER_STREAM_URL", running[venue].user_stream_url)
    yield running
    for server in running.values():
        await server.close()


def words(**more) -> argparse.Namespace:
    usual = {"cash": D(5_000), "krw": None, "reset": False, "overrides": list(SETTINGS), "config_dir": None}
    return argparse.Namespace(**(usual | more))


def order(instrument: Instrument, price: D, force: TimeInForce, name: str) -> PlaceOrder:
    return PlaceOrder(
        client_id=name,
        intent_id="i",
        instrument=instrument,
        side=Side.BUY,
        quantity=D("0.002"),
        price=price,
        time_in_force=force,
    )


@pytest.mark.slow
async def test_two_venues_each_with_its_market_its_account_and_its_wire(markets, tmp_path):
    settings = load_settings(overrides=SETTINGS)
    reached = await asyncio.to_thread(reach_all, settings.config)
    assert (reached.name, reached.stand_in, reached.speed) == ("binance+upbit", True, SPEED)
    assert reached.sim_urls == tuple(server.url for server in markets.values())
    accounts = await asyncio.to_thread(open_accounts, words(), settings, tmp_path, reached)
    # What five thousand USDT are worth in won, by the exchange's own market of them.
    rate = markets["upbit"].state.exchange.market.price(2, markets["upbit"].state.exchange.now_ms)
    assert accounts["binance"].balances == {"USDT": D(5_000)}
    assert float(accounts["upbit"].balances["KRW"]) == pytest.approx(5_000 * rate, rel=0.01)
    begun = {(v, asset): held for v, account in accounts.items() for asset, held in account.balances.items()}
    for account in accounts.values():
        account.save(account.balances)
    venues = await asyncio.to_thread(start_venues, words(), tmp_path, accounts, reached)
    gateways = {
        v: gateway_of(v, venue_of(part, SPEED), (part.api_key, part.secret), (BTC, WON))
        for v, part in venues.parts.items()
    }
    fills = []
    try:
        for instrument in (BTC, WON):
            venue = instrument.venue
            assert (await gateways[venue].rules())[instrument].status == "TRADING"
            top = markets[venue].state.exchange.top(0)
            price = (top.ask * D("1.01")).quantize(D("0.01") if venue == "binance" else D(1_000))
            done = await gateways[venue].place(order(instrument, price, TimeInForce.IOC, f"mh-{venue}"))
            assert done.state is OrderState.FILLED
            fills += done.fills
        resting = await rested(gateways["upbit"], markets["upbit"])
        fills += resting.fills
        # On disk: each account in its own file, moved by its own orders only.
        for venue, gateway in gateways.items():
            kept = open_account(accounts[venue].path, None, reset=False).balances
            assert kept == {b.asset: b.total for b in (await gateway.account()).balances if b.total}
    finally:
        for gateway in gateways.values():
            await gateway.close()
        await asyncio.to_thread(venues.close)
    names = ("statement.json", "statement-upbit.json")
    statements = [json.loads((tmp_path / name).read_text()) for name in names]
    assert [s["venue"] for s in statements] == ["binance", "upbit"]
    executed = {f.client_id: sum((x.quantity for x in fills if x.client_id == f.client_id), D(0)) for f in fills}
    books = {"orders": {name: str(q) for name, q in executed.items()}, "unsettled": [], "faults": []}
    assert audit(books, statements, fills, begun).differences == ()
    assert {f.fee_asset for f in fills if f.instrument == WON} == {"KRW"}


async def rested(gateway, watched):
    """An order that rests inside the spread until a trade of the watched market comes to it. The market moves
    meanwhile, so that it may take a few."""
    for number in range(8):
        top = watched.state.exchange.top(0)
        placed = await gateway.place(order(WON, top.ask - 5_000, TimeInForce.GTC, f"mh-rest-{number}"))
        async with asyncio.timeout(WAIT_S):
            for _ in range(25):
                found = await gateway.query(placed.client_id, WON)
                if found.state is OrderState.FILLED and placed.state is OrderState.OPEN:
                    assert {fill.price for fill in found.fills} == {placed.price}
                    return found
                await asyncio.sleep(0.1)
    raise AssertionError("no resting order was ever filled")


async def test_simulators_that_do_not_keep_one_time_are_refused(markets):
    settings = load_settings(overrides=SETTINGS)
    slower = await serve_exchange(make_exchange(), mode="speed", speed=2.0, paused=True)
    try:
        there = {"rest_url": slower.url, "stream_url": slower.stream_url, "user_stream_url": slower.user_stream_url}
        binance = settings.config.exchanges["binance"].model_copy(update=there)
        exchanges = settings.config.exchanges | {"binance": binance}
        config = settings.config.model_copy(update={"exchanges": exchanges})
        with pytest.raises(ConfigError, match="binance and upbit run at different speeds"):
            await asyncio.to_thread(reach_all, config)
    finally:
        await slower.close()


async def test_simulators_whose_clocks_are_apart_are_refused_and_all_begin_to_run_at_once(markets):
    settings = load_settings(overrides=SETTINGS)
    reached = await asyncio.to_thread(reach_all, settings.config)
    await asyncio.to_thread(let_run, reached)
    running = await asyncio.to_thread(reach_all, settings.config)
    assert {part.paused for part in running.parts.values()} == {False}
    late = markets["upbit"].state
    async with late.lock:
        await late.advance(late.exchange.now_ms + 600_000)
    with pytest.raises(ConfigError, match=r"clocks of the simulators of binance and upbit are .* s apart"):
        await asyncio.to_thread(reach_all, settings.config)


async def test_one_simulator_that_stands_beside_one_that_runs_is_refused(markets):
    markets["upbit"].state.running.set()
    with pytest.raises(ConfigError, match="the clock of the simulator of binance stands, that of the other runs"):
        await asyncio.to_thread(reach_all, load_settings(overrides=SETTINGS).config)


async def test_won_for_an_account_that_exists_and_won_without_upbit_are_mistakes(markets, tmp_path):
    settings = load_settings(overrides=SETTINGS)
    reached = await asyncio.to_thread(reach_all, settings.config)
    given = await asyncio.to_thread(open_accounts, words(krw=D(700_000)), settings, tmp_path, reached)
    assert given["upbit"].balances == {"KRW": D(700_000)}
    for account in given.values():
        account.save(account.balances)
    again = await asyncio.to_thread(open_accounts, words(cash=None), settings, tmp_path, reached)
    assert [account.fresh for account in again.values()] == [False, False]
    with pytest.raises(ConfigError, match=r"--krw 5: the paper account exists already and holds 700000 KRW"):
        await asyncio.to_thread(open_accounts, words(cash=None, krw=D(5)), settings, tmp_path, reached)
    alone = load_settings(overrides=('trade.instruments=["binance:BTC/USDT"]',))
    reached = await asyncio.to_thread(reach_all, alone.config)
    with pytest.raises(ConfigError, match="nothing is traded at Upbit"):
        await asyncio.to_thread(open_accounts, words(cash=None, krw=D(5)), alone, tmp_path, reached)
