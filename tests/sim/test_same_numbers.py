"""The same orders in-process and over the wire: equal to the last digit."""

import random
from decimal import Decimal

import ccxt
import pytest

from config.settings import ExchangeSettings
from core.errors import ExchangeRefused, OutcomeUnknown
from core.messages import CancelOrder, PlaceOrder, TimeInForce
from core.params import CostSettings
from core.units import MINUTE_MS, Side, floor_to_step, round_price, to_decimal
from exchanges.binance.gateway import BinanceGateway
from exchanges.simulated.local import SimulatedVenue
from exchanges.simulated.rules import DEFAULT_COSTS
from exchanges.simulated.server import serve_exchange
from tests.sim.conftest import BEGIN, KEY, SECRET, make_exchange

OTHER_COSTS = CostSettings(
    fee_tier={"binance": 5}, fee_paid_in="bnb", latency_ms=700, max_participation_pct=2, impact_coefficient=0.3
)


def script(seed: int, count: int):
    """(ms, what) in order of time; prices relative to the top so that some take, some rest, some are refused."""
    dice = random.Random(seed)
    at = BEGIN
    for number in range(count):
        at += dice.choice((0, 0, 5_000, 15_000, 41_000))
        kind = dice.choice(("place", "place", "place", "place", "cancel"))
        side, force = dice.choice(tuple(Side)), dice.choice(tuple(TimeInForce))
        yield (
            at,
            kind,
            number,
            side,
            force,
            dice.randint(-15, 15),
            dice.choice((0.0005, 0.02, 0.4, 3.0)),
            dice.randint(0, 1),
        )


def order_of(venue: SimulatedVenue, number, side, force, away, size, row) -> PlaceOrder:
    instrument = venue.exchange.instruments[row]
    rule = venue.rules()[instrument]
    top = venue.slice(BEGIN).tops[row]
    price = round_price(to_decimal((top.bid + top.ask) / 2 * (1 + away / 20_000)), rule.tick, side)
    return PlaceOrder(
        client_id=f"s-{number}",
        intent_id="i",
        instrument=instrument,
        side=side,
        quantity=floor_to_step(to_decimal(size), rule.step),
        price=price,
        time_in_force=force,
        post_only=away % 5 == 0,
    )


async def answer(call):
    try:
        result = call()
        return await result if hasattr(result, "__await__") else result
    except ExchangeRefused as refused:
        return refused.code
    except OutcomeUnknown:
        return "unknown"


@pytest.mark.parametrize("costs", [DEFAULT_COSTS, OTHER_COSTS], ids=["default", "other"])
async def test_local_venue_and_wire_agree(costs):
    server = await serve_exchange(
        make_exchange(costs=costs), credentials={KEY: SECRET}, wall_ms=ccxt.Exchange.milliseconds
    )
    local = SimulatedVenue(make_exchange(costs=costs))
    settings = ExchangeSettings(rest_url=server.url)
    gateway = BinanceGateway(settings, (KEY, SECRET), local.exchange.instruments)
    seen = {"place": 0, "cancel": 0, "refused": 0, "fills": 0}
    try:
        assert await gateway.rules() == local.rules()
        for at, kind, number, *rest in script(seed=4, count=60):
            local.advance_to(at)
            async with server.state.lock:
                await server.state.advance(at)
            if kind == "cancel":
                still_open = [o for o in local.open_orders() if number % 3]
                instrument = still_open[0].instrument if still_open else local.exchange.instruments[rest[-1]]
                wanted = CancelOrder(
                    client_id=still_open[0].client_id if still_open else f"s-{number // 2}", instrument=instrument
                )
                here, there = (
                    await answer(lambda w=wanted: local.cancel(w)),
                    await answer(lambda w=wanted: gateway.cancel(w)),
                )
            else:
                wanted = order_of(local, number, *rest)
                here, there = (
                    await answer(lambda w=wanted: local.place(w)),
                    await answer(lambda w=wanted: gateway.place(w)),
                )
            assert here == there, (at, kind, wanted)
            seen["refused" if isinstance(here, str) else kind] += 1
            assert local.open_orders() == await gateway.open_orders()
        local.advance_to(BEGIN + 90 * MINUTE_MS)
        async with server.state.lock:
            await server.state.advance(BEGIN + 90 * MINUTE_MS)
        for instrument in local.exchange.instruments:
            for number in range(60):
                mine = local.fills(f"s-{number}", instrument)
                assert mine == await gateway.fills(f"s-{number}", instrument)
                seen["fills"] += len(mine)
        assert local.account().balances == (await gateway.account()).balances
    finally:
        await gateway.close()
        await server.close()
    assert min(seen.values()) >= 3, seen
    assert local.exchange.account.free("USDT") != Decimal(100_000)


async def test_what_stands_or_is_dead_is_answered_alike(server):
    """A client id that stands, that is spent, and a cancel that comes too late: same answers on both ways."""
    local = SimulatedVenue(make_exchange())
    gateway = BinanceGateway(ExchangeSettings(rest_url=server.url), (KEY, SECRET), local.exchange.instruments)
    row = {"side": Side.BUY, "force": TimeInForce.GTC, "size": 0.02, "row": 0}
    rests = order_of(local, 1, away=-40, **row)
    taken = order_of(local, 2, away=41, **row)
    dead = CancelOrder(client_id=rests.client_id, instrument=rests.instrument)
    absent = CancelOrder(client_id="s-9", instrument=rests.instrument)
    try:
        seen = []
        for name, wanted in (
            ("place", rests),
            ("place", rests),
            ("cancel", dead),
            ("cancel", dead),
            ("place", rests),
            ("place", taken),
            ("place", taken),
            ("cancel", CancelOrder(client_id=taken.client_id, instrument=taken.instrument)),
            ("cancel", absent),
        ):
            here = await answer(lambda n=name, w=wanted: getattr(local, n)(w))
            there = await answer(lambda n=name, w=wanted: getattr(gateway, n)(w))
            assert here == there, (name, wanted.client_id)
            seen.append(here if isinstance(here, str) else str(here.state))
    finally:
        await gateway.close()
    assert rests.post_only
    # The id of a cancelled order stands for good; that of a filled one is taken again, as at the venue.
    assert seen == ["open", "unknown", "cancelled", "cancelled", "unknown", "filled", "filled", "filled", "-2011"]
